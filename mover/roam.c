/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a CPU that several devices can give, and changes a VM's definition. */
#include "mover/roam.h"

#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "mover/cpus.h"
#include "mover/definition.h"
#include "mover/filter/roam-xml.h"
#include "mover/offers.h"
#include "mover/oneshot.h"
#include "mover/roam-client.h"
#include "mover/worker.h"

/* What libvirt has of the VM. */
struct roaming {
	struct workplace *p;
	const struct roam_wish *wish;
	struct definition vm;
	struct cpu host; /* what this host gives to such a VM */
};

static void roaming_done(struct roaming *m)
{
	definition_done(&m->vm);
}

/* -- who may -- */

/* A definition is changed where the VM is, and not while that is being decided. */
static int check_custody(struct roaming *m, struct kerr *err)
{
	struct policyd_vm vm;
	int r = workplace_known(m->p, m->wish->uuid, &vm, err);

	if (r <= 0)
		return r;
	if (vm.open)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"A hand-off of the VM \"%s\" is open; its CPU is not changed "
				"before that has ended.",
				vm.name);
	if (vm.doubt || !vm.here)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"The VM \"%s\" is not on this device; change its CPU where it "
				"is%s%s.",
				vm.name, vm.holder_name[0] && !vm.doubt ? ", on " : "",
				vm.doubt ? "" : vm.holder_name);
	return 0;
}

/* -- what it has -- */

static void tell_state(const struct roaming *m, struct roam_answer *ret)
{
	_cleanup_free_ char *unused = NULL, *unused_too = NULL;
	const char *next = m->vm.kept, *now = m->vm.live ? m->vm.live : next;

	ret->running = m->vm.live != NULL;
	ret->kept = roam_xml_kept(next);
	ret->waits = definition_waits(&m->vm);
	(void)roam_xml_cpu(now, ret->now, &unused);
	(void)roam_xml_cpu(next, ret->next, &unused_too);
}

/* -- CPUs of devices -- */

static int read_offered(const struct roaming *m, struct cpu *ret, struct kerr *err)
{
	_cleanup_free_ struct offers *o = calloc(1, sizeof(*o));
	struct rbuf r = rbuf_init(m->wish->data, m->wish->len);
	int n = o ? offers_get(&r, o) : -ENOMEM;

	if (n == -EPROTONOSUPPORT)
		return kerr_set(err, -n, KCODE_UNREACHABLE,
				"It runs another version of Kith, which says otherwise what it "
				"can give; install the same version on both devices.");
	if (n < 0 || rbuf_end(&r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"What it says that it can give is unreadable.");
	if (o->why.code != KCODE_OK)
		return kerr_set(err, EREMOTEIO, o->why.code, "%s", o->why.text);
	if (m->vm.kvm && !o->host.kvm)
		return kerr_set(err, EPERM, KCODE_DOMAIN,
				"The VM needs hardware virtualisation (KVM), and it has none.");
	*ret = o->host.cpu[m->vm.kvm];
	return 0;
}

static int step_read(struct roaming *m, struct roam_answer *ret, struct kerr *err)
{
	static uint8_t body[sizeof(struct cpu) + 16];
	static struct cpu cpu;
	struct wbuf w = wbuf_init(body, sizeof(body));
	int r = 0;

	cpu = m->host;
	if (m->wish->len)
		r = read_offered(m, &cpu, err);
	if (r < 0)
		return r;
	if (!cpu_is_known(&cpu))
		return kerr_set(err, ENODATA, KCODE_NOT_READY,
				"Its libvirt does not tell what CPU it can give to a VM.");
	cpu_code(&(struct coder){.w = &w}, &cpu);
	snprintf(ret->vendor, sizeof(ret->vendor), "%s", cpu.vendor);
	ret->data = body;
	ret->len = w.len;
	return wbuf_error(&w);
}

/* The devices' CPUs, as kith collected them. */
static int read_all(const struct roaming *m, struct cpu *cpus, size_t *ret_n, struct kerr *err)
{
	struct rbuf r = rbuf_init(m->wish->data, m->wish->len);
	size_t n = 0;

	while (r.left && rbuf_error(&r) == 0) {
		if (n == CPUS_HOSTS_MAX)
			return kerr_set(err, E2BIG, KCODE_USAGE,
					"A VM can be made for %d devices at most.", CPUS_HOSTS_MAX);
		cpu_code(&(struct coder){.r = &r}, &cpus[n]);
		n += rbuf_error(&r) == 0 && cpu_is_known(&cpus[n]);
	}
	if (rbuf_end(&r) < 0 || n < 2)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	*ret_n = n;
	return 0;
}

/* libvirt's answer is not taken on faith: a name may mean more to it than a device said. */
static int check_given(const struct cpu *given, const struct cpu *cpus, size_t n, struct kerr *err)
{
	char words[CPU_WORDS_MAX];

	for (size_t i = 0; i < n; i++)
		if (!cpu_is_known(given) || cpu_lacks(&cpus[i], given, words))
			return kerr_set(err, ENOTSUP, KCODE_DOMAIN,
					"libvirt here finds no CPU that all these devices can "
					"give. Leave one out with --devices.");
	return 0;
}

/* The definition with the CPU that all have. */
static int make_definition(struct roaming *m, char **ret, struct cpu *ret_cpu, struct kerr *err)
{
	_cleanup_free_ struct cpu *cpus = calloc(CPUS_HOSTS_MAX, sizeof(*cpus));
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	int r = cpus ? read_all(m, cpus, &n, err) : -ENOMEM;

	if (r == 0)
		r = cpus_baseline(m->p->virt, cpus, n, m->vm.kvm, &text, err);
	if (r == 0)
		r = roam_xml_set(m->vm.kept, text, ret, err);
	if (r < 0)
		return r;
	cpus_of_definition(m->p->virt, *ret, &m->host, ret_cpu);
	return check_given(ret_cpu, cpus, n, err);
}

static int step_show(struct roaming *m, struct roam_answer *ret, struct kerr *err)
{
	_cleanup_free_ struct cpu *then = calloc(1, sizeof(*then)), *now = calloc(1, sizeof(*now));
	_cleanup_free_ char *xml = NULL, *unused = NULL;
	bool set = m->wish->step == ROAM_STEP_SET;
	int r = then && now ? make_definition(m, &xml, then, err) : -ENOMEM;

	if (r < 0)
		return r;
	crypto_generichash(ret->hash, sizeof(ret->hash), (const uint8_t *)xml, strlen(xml), NULL,
			   0);
	if (set && memcmp(ret->hash, m->wish->hash, sizeof(ret->hash)) != 0)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"The VM's definition was changed meanwhile, so nothing is. Try "
				"again.");
	cpus_of_guest(m->p->virt, m->wish->uuid, &m->host, now);
	ret->lost_count = (uint32_t)cpu_lacks(then, now, ret->lost);
	if (set)
		r = definition_replace(m->p->virt, m->wish->uuid, xml, &m->vm, err);
	tell_state(m, ret);
	(void)roam_xml_cpu(xml, ret->next, &unused);
	return r;
}

static int step_undo(struct roaming *m, struct roam_answer *ret, struct kerr *err)
{
	_cleanup_free_ char *xml = NULL;
	int r = roam_xml_undo(m->vm.kept, &xml, err);

	if (r == 0)
		r = definition_replace(m->p->virt, m->wish->uuid, xml, &m->vm, err);
	tell_state(m, ret);
	return r;
}

static int step_state(struct roaming *m, struct roam_answer *ret, struct kerr *err)
{
	(void)err;
	tell_state(m, ret);
	return 0;
}

static const struct {
	bool here; /* only where the VM is */
	int (*run)(struct roaming *m, struct roam_answer *ret, struct kerr *err);
} steps[_ROAM_STEP_MAX] = {
	[ROAM_STEP_STATE] = {false, step_state}, [ROAM_STEP_READ] = {true, step_read},
	[ROAM_STEP_SHOW] = {true, step_show},	 [ROAM_STEP_SET] = {true, step_show},
	[ROAM_STEP_UNDO] = {true, step_undo},
};

/* -- the process -- */

static int answer(struct workplace *p, const struct roam_wish *wish, struct wbuf *w,
		  struct kerr *err)
{
	static struct roaming m;
	struct roam_answer told = {0};
	int r;

	m.p = p;
	m.wish = wish;
	r = steps[wish->step].here ? check_custody(&m, err) : 0;
	if (r == 0)
		r = definition_read(p->virt, wish->uuid, &m.vm, err);
	if (r == 0) {
		host_cpu(p->virt, m.vm.kvm, &m.host);
		r = steps[wish->step].run(&m, &told, err);
	}
	roaming_done(&m);
	return r < 0 ? r : roam_answer_put(w, &told);
}

void roam_main(const struct config *config)
{
	static uint8_t body[IPC_MAX_BODY];
	static struct workplace p;
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct roam_wish wish;
	struct kerr err = {0};
	int r;

	log_setup("kith-mover roam");
	r = oneshot_question(&roam_wish_record, &wish, &err);
	if (r == 0)
		r = workplace_open(&p, config, &err);
	if (r == 0)
		r = answer(&p, &wish, &w, &err);
	oneshot_answer(MOVER_OP_ROAM, r, &w, &err, "The VM's CPU cannot be changed.");
}
