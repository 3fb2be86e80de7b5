/* SPDX-License-Identifier: Apache-2.0 */
/* Goes the way of a hand-off up to the first byte, with what both hosts say and nothing made. */
#include "mover/plan.h"

#include <string.h>

#include "base/log.h"
#include "mover/arrival.h"
#include "mover/definition.h"
#include "mover/departure.h"
#include "mover/oneshot.h"
#include "mover/stores.h"
#include "mover/worker.h"

#define SORRY "The plan cannot be made."
#define MADE_UP_PATH "/plan" /* of all images that are not there */

/* -- judging -- */

static void made_up_map(const struct frame_offer *offer, struct domain_disk_map *ret)
{
	*ret = (struct domain_disk_map){.count = offer->count};
	for (size_t i = 0; i < offer->count; i++) {
		struct domain_disk_target *t = &ret->disks[i];

		memcpy(t->target, offer->disks[i].target, sizeof(t->target));
		memcpy(t->path, MADE_UP_PATH, sizeof(MADE_UP_PATH));
		t->format = offer->disks[i].format;
		t->capacity = offer->disks[i].capacity;
	}
}

_Static_assert(MOVER_LACKS_MAX == CPU_WORDS_MAX, "the plan has room for what a CPU lacks");

static void tell_fit(const struct fit *fit, struct mover_fitted *ret)
{
	ret->emulated = fit->emulated;
	ret->machine_from = fit->machine_from;
	ret->machine_to = fit->machine_to;
	ret->other_cpu = fit->cpu;
	memcpy(ret->cpu_lacks, fit->lacks, sizeof(ret->cpu_lacks));
}

int plan_judge(const struct plan_vm *vm, const struct offers *o, struct mover_plan *ret,
	       struct kerr *err)
{
	_cleanup_free_ struct domain_disk_map *map = malloc(sizeof(*map));
	_cleanup_free_ struct domain_facts *there = calloc(1, sizeof(*there));
	_cleanup_free_ char *unused = NULL;
	struct domain_limits limits = {.serial_path = MADE_UP_PATH, .nvram_path = MADE_UP_PATH};
	struct offers_need need = {.name = vm->facts.name, .offer = &vm->offer};
	size_t len = strlen(vm->xml);
	struct fit fit = {0};
	int r;

	if (!map || !there)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	memcpy(need.uuid, vm->facts.uuid, UUID_LEN);
	r = offers_judge(o, &need, err);
	if (r < 0)
		return r;
	made_up_map(&vm->offer, map);
	r = offers_place_shared(o, &vm->offer, map, err);
	if (r < 0)
		return r;
	offers_limits(o, &need, &limits);
	r = vm->off ? arrival_definition(o, &need, &limits, map, vm->xml, len, there, &fit, &unused,
					 err)
		    : domain_rebuild(vm->xml, len, &limits, map, &unused, there, err);
	if (r < 0)
		return r;
	ret->rewired = (uint32_t)there->rewired_count;
	tell_fit(&fit, &ret->fitted);
	return 0;
}

void plan_count(const struct plan_vm *vm, enum copy_state state, struct mover_plan *ret)
{
	/* That of a VM which is off is empty. */
	ret->memory_bytes = state == COPY_GONE ? 0 : vm->facts.memory_bytes;
	ret->disk_bytes = 0;
	ret->shared = 0;
	for (size_t i = 0; i < vm->offer.count; i++) {
		const struct frame_disk *d = &vm->offer.disks[i];

		ret->shared += frame_disk_is_shared(d);
		ret->disk_bytes += frame_disk_is_shared(d) ? 0 : MIN_OF(d->used, d->capacity);
	}
	ret->rung = state == COPY_GONE		    ? MOVER_RUNG_COLD
		    : vm->offer.count > ret->shared ? MOVER_RUNG_LIVE_DISK
						    : MOVER_RUNG_LIVE;
}

void plan_rungs(const struct virt_domain *d, struct mover_plan *ret)
{
	ret->off = d->copy.state == COPY_GONE;
	for (int i = MOVE_RUNG_LIVE; i < _MOVE_RUNG_MAX; i++)
		departure_rung(d, (enum move_rung)i, &ret->rungs[i]);
}

/* -- the two processes -- */

/* Without policyd nobody is known, which only makes the host more careful. */
static void read_known(struct workplace *p, struct policyd_vm **ret, size_t *ret_n)
{
	struct kerr err = {0};

	if (workplace_policyd(p) < 0 || policyd_client_vms(p->policyd, ret, ret_n, &err) < 0)
		log_info("plan", "kith-policyd does not tell its VMs: %s", err.text);
}

void plan_offers_main(const struct config *config)
{
	static uint8_t body[OFFERS_MAX];
	static struct workplace p;
	static struct offers offers;
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct policyd_vm *known = NULL;
	struct kerr err = {0};
	size_t n = 0;
	int r;

	log_setup("kith-mover offers");
	/* Without it no worker starts, and the source hears that before it looks at its VM. */
	r = warden_ping(config, &err);
	if (r == 0)
		r = workplace_open(&p, config, &err);
	if (r == 0) {
		read_known(&p, &known, &n);
		offers_look(p.virt, config, known, n, &offers);
		r = offers_put(&w, &offers);
	}
	oneshot_answer(MOVER_OP_OFFERS, r, &w, &err, SORRY);
}

/* As the source's worker does. */
static int look_here(struct workplace *p, const uint8_t uuid[UUID_LEN], struct virt_domain *d,
		     struct plan_vm *vm, struct kerr *err)
{
	struct policyd_vm known;
	struct kerr none = {0};
	int named, r = warden_ping(&p->config, err);

	if (r == 0)
		r = virt_domain(p->virt, uuid, d, err);
	if (r < 0)
		return r;
	vm->xml = d->xml;
	vm->off = d->copy.state == COPY_GONE;
	named = workplace_known(p, uuid, &known, &none);
	if (named < 0)
		log_info("plan", "kith-policyd does not tell its VMs: %s", none.text);
	r = departure_check(d, named > 0 ? known.name : NULL, &vm->facts, err);
	if (r == 0)
		stores_claim(p->virt, p->config.shared_pools, &vm->facts);
	if (r == 0)
		r = departure_starts(p->virt, d, err);
	return r < 0 ? r
		     : departure_measure(p->virt, &vm->facts, vm->off ? vm->xml : NULL, &vm->offer,
					 err);
}

/* The other device's word is read only now, and by this process alone. */
static int read_offers(const struct mover_plan_ask *ask, struct offers *ret, struct kerr *err)
{
	struct rbuf r = rbuf_init(ask->offers, ask->len);
	int n = offers_get(&r, ret);

	if (n == -EPROTONOSUPPORT)
		return kerr_set(err, -n, KCODE_UNREACHABLE,
				"The other device runs another version of Kith, which says "
				"otherwise what it can take; install the same version on both "
				"devices.");
	if (n < 0 || rbuf_end(&r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"What the other device says that it can take is unreadable.");
	return 0;
}

/* One that runs would be shut down, and then is what its next start would make of it. */
static int judge_shut_down(struct workplace *p, const uint8_t uuid[UUID_LEN],
			   const struct offers *o, struct mover_plan *ret, struct kerr *err)
{
	_cleanup_(definition_done) struct definition d = {0};
	_cleanup_free_ struct plan_vm *vm = calloc(1, sizeof(*vm));
	int r = vm ? definition_read(p->virt, uuid, &d, err)
		   : kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");

	if (r < 0)
		return r;
	vm->xml = d.kept;
	vm->off = true;
	r = domain_disks(d.kept, strlen(d.kept), &vm->facts, err);
	if (r == 0)
		stores_claim(p->virt, p->config.shared_pools, &vm->facts);
	if (r == 0)
		r = departure_measure(p->virt, &vm->facts, d.kept, &vm->offer, err);
	return r < 0 ? r : plan_judge(vm, o, ret, err);
}

/* A VM that cannot go there while it runs can perhaps switched off. One that can is not asked about
 * twice: libvirt takes its time. */
static void judge_rungs(struct workplace *p, const uint8_t uuid[UUID_LEN], const struct offers *o,
			struct mover_plan *ret)
{
	struct kerr *cold = &ret->rungs[MOVE_RUNG_COLD];
	struct mover_plan shut_down = {0};

	ret->rungs[MOVE_RUNG_LIVE] = ret->rungs[MOVE_RUNG_WARM] = ret->reason;
	if (cold->code != KCODE_OK || judge_shut_down(p, uuid, o, &shut_down, cold) < 0)
		return;
	ret->fitted = shut_down.fitted;
}

static int look_there(struct workplace *p, const struct plan_vm *vm,
		      const struct mover_plan_ask *ask, struct mover_plan *ret)
{
	static struct offers offers;
	int r = read_offers(ask, &offers, &ret->reason);

	if (r < 0)
		return r;
	r = plan_judge(vm, &offers, ret, &ret->reason);
	ret->there = r < 0;
	if (ret->there && !vm->off)
		judge_rungs(p, ask->uuid, &offers, ret);
	return r;
}

/* Of a VM that libvirt does not keep nothing waits. */
static bool look_roams(struct workplace *p, const uint8_t uuid[UUID_LEN])
{
	_cleanup_(definition_done) struct definition d = {0};
	struct kerr ignored = {0};

	return definition_read(p->virt, uuid, &d, &ignored) == 0 && definition_waits(&d);
}

static void plan_make(struct workplace *p, const struct mover_plan_ask *ask, struct mover_plan *ret)
{
	static struct plan_vm vm;
	struct virt_domain d = {0};
	int r = look_here(p, ask->uuid, &d, &vm, &ret->reason);

	if (r == 0) {
		plan_count(&vm, d.copy.state, ret);
		plan_rungs(&d, ret);
		if (!ret->off && ret->rungs[MOVE_RUNG_COLD].code == KCODE_OK)
			departure_again(p->virt, ask->uuid, &ret->rungs[MOVE_RUNG_COLD]);
		ret->roams = look_roams(p, ask->uuid);
		if (ask->len)
			r = look_there(p, &vm, ask, ret);
	}
	if (r < 0 && !ret->there)
		for (int i = MOVE_RUNG_LIVE; i < _MOVE_RUNG_MAX; i++)
			ret->rungs[i] = ret->reason;
	if (r < 0) {
		ret->rung = MOVER_RUNG_NONE;
		kerr_set(&ret->reason, EIO, KCODE_FAILED, "It failed without a reason.");
	}
	free(d.xml);
}

void plan_main(const struct config *config)
{
	static uint8_t body[4096];
	static struct workplace p;
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct mover_plan_ask ask;
	struct mover_plan plan = {0};
	struct kerr err = {0};
	int r;

	log_setup("kith-mover plan");
	r = oneshot_question(&mover_plan_ask_record, &ask, &err);
	if (r == 0)
		r = workplace_open(&p, config, &err);
	if (r == 0) {
		plan_make(&p, &ask, &plan);
		r = record_put(&w, &mover_plan_record, &plan);
	}
	oneshot_answer(MOVER_OP_PLAN, r, &w, &err, SORRY);
}
