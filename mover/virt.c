/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of libvirt about domains. */
#include "mover/virt.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "mover/filter/rpc.h"
#include "mover/ghost.h"
#include "mover/virt-internal.h"

/* A frozen libvirtd must not freeze the mover: 5 unanswered pings, 5 s apart. */
#define KEEPALIVE_S 5
#define KEEPALIVE_COUNT 5
#define DOWNTIME_LIMIT_MS 200
#define UNTOUCHED_TRIES 20 /* libvirt's short jobs end meanwhile */
#define UNTOUCHED_WAIT_US 50000

static const char *const copy_state_names[_COPY_STATE_MAX] = {
	[COPY_GONE] = "gone",	  [COPY_PAUSED] = "paused",   [COPY_RUNS] = "running",
	[COPY_HALTED] = "halted", [COPY_UNKNOWN] = "unknown",
};
DEFINE_NAMES(copy_state, enum copy_state, _COPY_STATE_MAX)

static void close_conn(virConnectPtr *c)
{
	if (*c)
		virConnectClose(*c);
}

#define _cleanup_conn_ _cleanup_(close_conn)

static void on_error(void *ctx _unused_, virErrorPtr e)
{
	log_debug("libvirt", "%s", e && e->message ? e->message : "unknown error");
}

static void *event_loop(void *arg _unused_)
{
	for (;;)
		if (virEventRunDefaultImpl() < 0)
			log_error("libvirt", "The event loop failed.");
	return NULL;
}

/* The loop has to wake up once to notice handles that other threads add. */
static void on_tick(int timer _unused_, void *ctx _unused_)
{
}

int virt_setup(void)
{
	pthread_t thread;
	int r;

	virSetErrorFunc(NULL, on_error);
	if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0 ||
	    virEventAddTimeout(1000, on_tick, NULL, NULL) < 0)
		return -EIO;
	r = -pthread_create(&thread, NULL, event_loop, NULL);
	if (r == 0)
		pthread_detach(thread);
	return r;
}

struct virt *virt_new(void)
{
	return calloc(1, sizeof(struct virt));
}

struct virt *virt_free(struct virt *v)
{
	if (!v)
		return NULL;
	close_conn(&v->conn);
	free(v);
	return NULL;
}

/* Its words may hold anything: only clean text passes. */
int virt_fail(struct kerr *err, const char *what)
{
	virErrorPtr e = virGetLastError();
	const char *words =
		e && e->message && text_is_clean(e->message) ? e->message : "no reason given";

	if (e && e->code == VIR_ERR_NO_DOMAIN)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "libvirt has no such VM here.");
	if (e && e->domain == VIR_FROM_RPC)
		return kerr_set(err, ECONNRESET, KCODE_INTERRUPTED,
				"%s failed, because libvirt on this device went away: %.200s.",
				what, words);
	return kerr_set(err, EIO, KCODE_FAILED, "%s failed; libvirt says: %.300s.", what, words);
}

static int open_local(virConnectPtr *ret, struct kerr *err)
{
	virConnectPtr conn = virConnectOpen(RPC_LIBVIRTD_URI);

	if (!conn)
		return kerr_set(err, ECONNREFUSED, KCODE_INTERRUPTED,
				"libvirt on this device does not answer: %.200s.",
				virGetLastErrorMessage());
	if (virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVE_COUNT) < 0)
		log_debug("libvirt", "No keepalive on this connection.");
	*ret = conn;
	return 0;
}

int virt_ensure(struct virt *v, struct kerr *err)
{
	if (v->conn && virConnectIsAlive(v->conn) == 1)
		return 0;
	close_conn(&v->conn);
	v->conn = NULL;
	return open_local(&v->conn, err);
}

int virt_lookup(struct virt *v, const uint8_t uuid[UUID_LEN], virDomainPtr *ret, struct kerr *err)
{
	int r = virt_ensure(v, err);

	if (r < 0)
		return r;
	*ret = virDomainLookupByUUID(v->conn, uuid);
	return *ret ? 0 : virt_fail(err, "Looking the VM up");
}

static enum copy_state from_state(int state)
{
	switch ((virDomainState)state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED:
	case VIR_DOMAIN_SHUTDOWN:
		return COPY_RUNS;
	case VIR_DOMAIN_PAUSED:
		return COPY_PAUSED;
	case VIR_DOMAIN_SHUTOFF:
		return COPY_GONE;
	case VIR_DOMAIN_CRASHED:
	case VIR_DOMAIN_PMSUSPENDED:
		return COPY_HALTED;
	case VIR_DOMAIN_NOSTATE:
		break;
	}
	return COPY_UNKNOWN;
}

static int copy_of(virDomainPtr dom, bool job, struct virt_copy *ret)
{
	struct virt_copy copy = {0};
	virDomainJobInfo info;
	int state, reason;

	if (virDomainGetState(dom, &state, &reason, 0) < 0)
		return -EIO;
	copy.state = from_state(state);
	copy.defined = virDomainIsPersistent(dom) == 1;
	/* A panicked guest that is kept for a look has a process; one that is not is off. */
	if (copy.state == COPY_HALTED && virDomainIsActive(dom) != 1)
		copy.state = COPY_GONE;
	if (job && copy.state != COPY_GONE) {
		if (virDomainGetJobInfo(dom, &info) < 0)
			return -EIO;
		copy.job = info.type != VIR_DOMAIN_JOB_NONE;
	}
	*ret = copy;
	return 0;
}

static void copy_get(struct virt *v, const uint8_t uuid[UUID_LEN], bool job, struct virt_copy *ret)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	struct kerr err = {0};
	int r = virt_lookup(v, uuid, &dom, &err);

	*ret = (struct virt_copy){.state = r == -ENOENT ? COPY_GONE : COPY_UNKNOWN};
	if (r < 0)
		return;
	if (copy_of(dom, job, ret) < 0) {
		virErrorPtr e = virGetLastError();

		/* It may have gone between the two questions. */
		if (e && (e->code == VIR_ERR_NO_DOMAIN || e->code == VIR_ERR_OPERATION_INVALID))
			ret->state = COPY_GONE;
	}
}

void virt_copy_get(struct virt *v, const uint8_t uuid[UUID_LEN], struct virt_copy *ret)
{
	copy_get(v, uuid, false, ret);
}

void virt_copy_job(struct virt *v, const uint8_t uuid[UUID_LEN], struct virt_copy *ret)
{
	copy_get(v, uuid, true, ret);
}

int virt_live_disks(struct virt *v, const uint8_t uuid[UUID_LEN], struct domain_facts *ret,
		    struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);
	char *xml;

	if (r < 0)
		return r;
	if (virDomainIsActive(dom) != 1)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "The VM does not run here.");
	xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_MIGRATABLE);
	if (!xml)
		return virt_fail(err, "Reading the VM's configuration");
	r = domain_disks(xml, strlen(xml), ret, err);
	free(xml);
	return r < 0 ? -EBUSY : 0;
}

/* What an owner called them, as far as there is room. */
static void name_snapshots(virDomainPtr dom, char *ret, size_t size)
{
	char *names[VIRT_SNAPSHOTS_NAMED];
	int n = virDomainSnapshotListNames(dom, names, VIRT_SNAPSHOTS_NAMED, 0);
	size_t len = 0;

	ret[0] = '\0';
	for (int i = 0; i < n; i++) {
		if (text_is_name(names[i], NAME_MAX_LEN) && len < size)
			len += (size_t)snprintf(ret + len, size - len, "%s\"%.32s\"",
						len ? ", " : "", names[i]);
		free(names[i]);
	}
	text_mend(ret);
}

/* What libvirt keeps of the VM besides its definition. */
static int read_kept(virDomainPtr dom, struct virt_domain *d)
{
	int saved = virDomainHasManagedSaveImage(dom, 0);
	int checkpoints = virDomainListAllCheckpoints(dom, NULL, 0);

	d->saved = saved > 0;
	d->snapshots = virDomainSnapshotNum(dom, 0);
	d->checkpoints = checkpoints;
	if (d->snapshots > 0)
		name_snapshots(dom, d->snapshot_names, sizeof(d->snapshot_names));
	return saved < 0 || d->snapshots < 0 || checkpoints < 0 ? -EIO : 0;
}

int virt_domain(struct virt *v, const uint8_t uuid[UUID_LEN], struct virt_domain *ret,
		struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	struct virt_domain d = {0};
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	if (!text_is_name(virDomainGetName(dom), NAME_MAX_LEN))
		return kerr_set(err, EINVAL, KCODE_DOMAIN,
				"The VM's name is too long or has characters that Kith does not "
				"take.");
	snprintf(d.name, sizeof(d.name), "%s", virDomainGetName(dom));
	if (copy_of(dom, false, &d.copy) < 0)
		return virt_fail(err, "Reading the VM's state");
	if (read_kept(dom, &d) < 0)
		return virt_fail(err, "Asking what is saved of the VM");
	d.xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_MIGRATABLE);
	if (!d.xml)
		return virt_fail(err, "Reading the VM's configuration");
	*ret = d;
	return 0;
}

int virt_disk_size(struct virt *v, const uint8_t uuid[UUID_LEN], const char *target,
		   uint64_t *ret_capacity, uint64_t *ret_used, struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	virDomainBlockInfo info;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	if (virDomainGetBlockInfo(dom, target, &info, 0) < 0)
		return virt_fail(err, "Reading the size of a disk");
	*ret_capacity = info.capacity;
	*ret_used = info.allocation;
	return 0;
}

int virt_peek(struct virt *v, const uint8_t uuid[UUID_LEN], uint64_t at, size_t len, void *ret,
	      struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	return virDomainMemoryPeek(dom, at, len, ret, VIR_MEMORY_PHYSICAL) < 0
		       ? virt_fail(err, "Reading the VM's memory")
		       : 0;
}

static uint64_t param(virTypedParameterPtr p, int n, const char *name)
{
	unsigned long long v = 0;

	return virTypedParamsGetULLong(p, n, name, &v) == 1 ? v : 0;
}

int virt_job_get(struct virt *v, const uint8_t uuid[UUID_LEN], struct virt_job *ret,
		 struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	virTypedParameterPtr p = NULL;
	int n = 0, type = 0, r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	if (virDomainGetJobStats(dom, &type, &p, &n, 0) < 0)
		return virt_fail(err, "Asking for progress");
	*ret = (struct virt_job){
		.active = type != VIR_DOMAIN_JOB_NONE,
		.ram_total = param(p, n, VIR_DOMAIN_JOB_MEMORY_TOTAL),
		.ram_done = param(p, n, VIR_DOMAIN_JOB_MEMORY_PROCESSED),
		.ram_left = param(p, n, VIR_DOMAIN_JOB_MEMORY_REMAINING),
		.disk_total = param(p, n, VIR_DOMAIN_JOB_DISK_TOTAL),
		.disk_done = param(p, n, VIR_DOMAIN_JOB_DISK_PROCESSED),
		.downtime_ms = param(p, n, VIR_DOMAIN_JOB_DOWNTIME),
	};
	virTypedParamsFree(p, n);
	return 0;
}

int virt_job_abort(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	return virDomainAbortJob(dom) < 0 ? virt_fail(err, "Stopping the copy") : 0;
}

int virt_resume(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	return virDomainResume(dom) < 0 ? virt_fail(err, "Resuming the VM") : 0;
}

int virt_suspend(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	return virDomainSuspend(dom) < 0 ? virt_fail(err, "Pausing the VM") : 0;
}

int virt_start(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	return virDomainCreate(dom) < 0 ? virt_fail(err, "Starting the VM") : 0;
}

int virt_start_as(struct virt *v, const char *xml, struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_ensure(v, err);

	if (r < 0)
		return r;
	dom = virDomainCreateXML(v->conn, xml, VIR_DOMAIN_START_PAUSED);
	return dom ? 0 : virt_fail(err, "Starting the VM, paused,");
}

int virt_shutdown(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	return virDomainShutdown(dom) < 0 ? virt_fail(err, "Asking the guest to shut down") : 0;
}

int virt_could_start(struct virt *v, const char *xml, struct kerr *err)
{
	_cleanup_free_ char *command = virConnectDomainXMLToNative(v->conn, "qemu-argv", xml, 0);

	return command ? 0 : virt_fail(err, "Starting the VM on this device");
}

/* No such domain is what was wanted. */
static int lookup_or_none(struct virt *v, const uint8_t uuid[UUID_LEN], virDomainPtr *ret,
			  struct kerr *err)
{
	int r = virt_lookup(v, uuid, ret, err);

	if (r != -ENOENT)
		return r;
	kerr_clear(err);
	return 0;
}

static bool is_starting(virDomainPtr dom)
{
	int state, reason;

	return virDomainGetState(dom, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
	       reason == VIR_DOMAIN_PAUSED_STARTING_UP;
}

static int end_ghost(virDomainPtr dom, struct kerr *err)
{
	int r = ghost_end(virDomainGetName(dom));

	if (r == 0 && virDomainIsActive(dom) == 1)
		r = -EAGAIN;
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED,
				"libvirt on this device holds on to a VM that never started: %s.",
				strerror(-r));
	log_notice("libvirt", "libvirtd had a VM left that never started; it is gone.");
	return 0;
}

int virt_end(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = lookup_or_none(v, uuid, &dom, err);
	bool starting;

	if (r < 0 || !dom)
		return r;
	starting = is_starting(dom);
	if (virDomainIsActive(dom) == 1 && virDomainDestroy(dom) < 0) {
		virErrorPtr e = virGetLastError();

		if (starting && e && e->code == VIR_ERR_OPERATION_TIMEOUT)
			return end_ghost(dom, err);
		if (!e || (e->code != VIR_ERR_OPERATION_INVALID && e->code != VIR_ERR_NO_DOMAIN))
			return virt_fail(err, "Ending the VM's copy");
	}
	return 0;
}

static int keep_definition(virDomainPtr dom, int folder, struct kerr *err)
{
	char *xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE);
	char uuid[VIR_UUID_STRING_BUFLEN], name[VIR_UUID_STRING_BUFLEN + 8];
	int r = xml ? 0 : -EIO;

	if (r == 0 && virDomainGetUUIDString(dom, uuid) < 0)
		r = -EIO;
	if (r == 0) {
		/* The UUID alone: a VM's name may hold what no file name should. */
		snprintf(name, sizeof(name), "%s.xml", uuid);
		r = file_write_atomic(folder, name, xml, strlen(xml), 0600);
	}
	free(xml);
	return r < 0 ? kerr_set(err, -r, KCODE_FAILED,
				"The old definition of the VM could not be kept as a file: %s.",
				strerror(-r))
		     : 0;
}

/* The file of UEFI variables is an image like others: images_drop() sees to it. */
static int undefine(virDomainPtr dom, struct kerr *err)
{
	unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
			 VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
			 VIR_DOMAIN_UNDEFINE_TPM;

	return virDomainUndefineFlags(dom, flags) < 0
		       ? virt_fail(err, "Removing the VM's definition")
		       : 0;
}

int virt_retire(struct virt *v, const uint8_t uuid[UUID_LEN], int folder, struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = lookup_or_none(v, uuid, &dom, err);

	if (r < 0 || !dom || virDomainIsPersistent(dom) != 1)
		return r;
	if (virDomainIsActive(dom) == 1)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"The VM runs, so its definition is not touched.");
	r = keep_definition(dom, folder, err);
	return r < 0 ? r : undefine(dom, err);
}

/* libvirt removes that only with a definition, so it gets one for a moment. That starts
 * nothing, and the hook would refuse a start. */
int virt_discard(struct virt *v, const char *xml, struct kerr *err)
{
	_cleanup_free_ struct domain_facts *facts = calloc(1, sizeof(*facts));
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = facts ? domain_disks(xml, strlen(xml), facts, err) : -ENOMEM;

	if (r < 0 || !facts->tpm)
		return r;
	r = lookup_or_none(v, facts->uuid, &dom, err);
	if (r < 0 || dom)
		return r;
	dom = virDomainDefineXMLFlags(v->conn, xml, 0);
	if (!dom)
		return virt_fail(err, "Removing what was made for the VM");
	return undefine(dom, err);
}

int virt_define(struct virt *v, const char *xml, bool boot, struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_ensure(v, err);

	if (r < 0)
		return r;
	dom = virDomainDefineXMLFlags(v->conn, xml, VIR_DOMAIN_DEFINE_VALIDATE);
	if (!dom)
		return virt_fail(err, "Defining the VM");
	/* A VM that may be elsewhere tomorrow must not start by itself (H10). */
	if (virDomainSetAutostart(dom, 0) < 0)
		return virt_fail(err, "Switching autostart off");
	if (boot && virDomainIsActive(dom) != 1 && virDomainCreate(dom) < 0)
		return virt_fail(err, "Starting the VM");
	return 0;
}

struct watch {
	virt_cpus_fn fn;
	void *ctx;
};

static void on_lifecycle(virConnectPtr conn _unused_, virDomainPtr dom _unused_, int event,
			 int detail _unused_, void *opaque)
{
	const struct watch *w = opaque;
	struct timespec now;

	if (event == VIR_DOMAIN_EVENT_RESUMED)
		w->fn(w->ctx, 0);
	if (event != VIR_DOMAIN_EVENT_SUSPENDED)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	w->fn(w->ctx, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

int virt_watch(struct virt *v, const uint8_t uuid[UUID_LEN], virt_cpus_fn fn, void *ctx,
	       struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	struct watch *w;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	w = malloc(sizeof(*w));
	if (!w)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	*w = (struct watch){fn, ctx};
	if (virConnectDomainEventRegisterAny(v->conn, dom, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
					     VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), w,
					     free) < 0) {
		free(w);
		return virt_fail(err, "Watching the VM");
	}
	return 0;
}

/* Parameters of virDomainMigrate3(); the caller frees *p. */
static int migrate_params(const struct virt_migration *m, virTypedParameterPtr *p, int *n)
{
	char uri[160];
	int max = 0;

	snprintf(uri, sizeof(uri), "unix://%s", m->ram_path);
	if (virTypedParamsAddString(p, n, &max, VIR_MIGRATE_PARAM_URI, uri) < 0)
		return -1;
	if (!domain_facts_copied(m->facts))
		return 0;
	snprintf(uri, sizeof(uri), "unix://%s", m->nbd_path);
	if (virTypedParamsAddString(p, n, &max, VIR_MIGRATE_PARAM_DISKS_URI, uri) < 0)
		return -1;
	/* Named one by one: else libvirt copies all that are not <shareable/>. */
	for (size_t i = 0; i < m->facts->disk_count; i++)
		if (!m->facts->disks[i].is_shared &&
		    virTypedParamsAddString(p, n, &max, VIR_MIGRATE_PARAM_MIGRATE_DISKS,
					    m->facts->disks[i].target) < 0)
			return -1;
	return 0;
}

int virt_migrate(const uint8_t uuid[UUID_LEN], const struct virt_migration *m, struct kerr *err)
{
	/* Never peer-to-peer (R6), never PERSIST_DEST (H14), never UNSAFE. */
	unsigned flags = VIR_MIGRATE_PAUSED | VIR_MIGRATE_ABORT_ON_ERROR |
			 (m->still ? 0 : VIR_MIGRATE_LIVE) |
			 (domain_facts_copied(m->facts) ? VIR_MIGRATE_NON_SHARED_DISK : 0);
	_cleanup_conn_ virConnectPtr local = NULL, remote = NULL;
	_cleanup_domain_ virDomainPtr dom = NULL, there = NULL;
	virTypedParameterPtr p = NULL;
	char uri[192];
	int n = 0, r = open_local(&local, err);

	if (r < 0)
		return r;
	dom = virDomainLookupByUUID(local, uuid);
	if (!dom)
		return virt_fail(err, "Looking the VM up");
	/* Not every version takes it before the job has begun; QEMU's default is 300 ms. */
	(void)virDomainMigrateSetMaxDowntime(dom, DOWNTIME_LIMIT_MS, 0);
	snprintf(uri, sizeof(uri), "qemu+unix:///system?socket=%s", m->rpc_path);
	remote = virConnectOpen(uri);
	if (!remote)
		return virt_fail(err, "Reaching libvirt at the destination");
	if (migrate_params(m, &p, &n) < 0) {
		r = virt_fail(err, "Preparing the hand-off");
	} else {
		there = virDomainMigrate3(dom, remote, p, (unsigned)n, flags);
		if (!there)
			r = virt_fail(err, "The hand-off");
	}
	virTypedParamsFree(p, n);
	return r;
}

static enum mover_vm_state vm_state(int state)
{
	static const enum mover_vm_state states[_COPY_STATE_MAX] = {
		[COPY_GONE] = MOVER_VM_OFF,	 [COPY_PAUSED] = MOVER_VM_PAUSED,
		[COPY_RUNS] = MOVER_VM_RUNNING,	 [COPY_HALTED] = MOVER_VM_OTHER,
		[COPY_UNKNOWN] = MOVER_VM_OTHER,
	};

	return states[from_state(state)];
}

/* Only what libvirtd answers by itself: QEMU may be frozen, and another's job (an arrival, say)
 * lasts as long as that. False: it has gone meanwhile. */
static bool record_of(virDomainPtr dom, struct mover_vm *ret)
{
	struct mover_vm vm = {0};
	virDomainInfo info;
	int vcpus;

	if (virDomainGetUUID(dom, vm.uuid) < 0 || virDomainGetInfo(dom, &info) < 0)
		return false;
	snprintf(vm.name, sizeof(vm.name), "%s", virDomainGetName(dom));
	vcpus = virDomainGetVcpusFlags(dom, VIR_DOMAIN_VCPU_MAXIMUM);
	vm.vcpus = vcpus > 0 ? (uint32_t)vcpus : info.nrVirtCpu;
	vm.memory_bytes = (uint64_t)info.maxMem * 1024;
	vm.state = vm_state(info.state);
	*ret = vm;
	return true;
}

static void free_domains(virDomainPtr *list, int n)
{
	for (int i = 0; i < n; i++)
		virDomainFree(list[i]);
	free(list);
}

int virt_list(struct virt *v, struct mover_vm **ret, size_t *ret_n, struct kerr *err)
{
	_cleanup_free_ struct mover_vm *vms = NULL;
	virDomainPtr *list = NULL;
	size_t count = 0;
	int n, r = virt_ensure(v, err);

	if (r < 0)
		return r;
	n = virConnectListAllDomains(v->conn, &list, 0);
	if (n < 0)
		return virt_fail(err, "Listing the VMs");
	vms = calloc((size_t)n + 1, sizeof(*vms));
	for (int i = 0; vms && i < n; i++)
		/* A name that Kith does not take cannot be asked for either. */
		if (text_is_name(virDomainGetName(list[i]), NAME_MAX_LEN))
			count += record_of(list[i], &vms[count]);
	free_domains(list, n);
	if (!vms)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	*ret = TAKE_PTR(vms);
	*ret_n = count;
	return 0;
}

int virt_find_name(struct virt *v, const char *name, struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	virErrorPtr e;
	int r = virt_ensure(v, err);

	if (r < 0)
		return r;
	dom = virDomainLookupByName(v->conn, name);
	if (dom)
		return 1;
	e = virGetLastError();
	return e && e->code == VIR_ERR_NO_DOMAIN ? 0 : virt_fail(err, "Looking the name up");
}

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

/* 1, 0, or -EAGAIN: QEMU was not asked, since a job went on. */
static int is_untouched(const virDomainStatsRecord *s)
{
	unsigned blocks = 0;
	bool asked = false;

	virTypedParamsGetUInt(s->params, s->nparams, "block.count", &blocks);
	for (int i = 0; i < s->nparams; i++) {
		const virTypedParameter *p = &s->params[i];
		bool block = ends_in(p->field, ".rd.reqs") || ends_in(p->field, ".wr.reqs");

		if (!block && !ends_in(p->field, ".tx.pkts"))
			continue;
		if (p->type != VIR_TYPED_PARAM_ULLONG || p->value.ul)
			return 0;
		asked |= block;
	}
	return asked || !blocks ? 1 : -EAGAIN;
}

static int ask_untouched(virDomainPtr dom)
{
	virDomainStatsRecordPtr *stats = NULL;
	int r = -EIO;

	if (virDomainListGetStats((virDomainPtr[]){dom, NULL},
				  VIR_DOMAIN_STATS_BLOCK | VIR_DOMAIN_STATS_INTERFACE, &stats,
				  VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT) > 0)
		r = is_untouched(stats[0]);
	virDomainStatsRecordListFree(stats);
	return r;
}

int virt_untouched(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	r = ask_untouched(dom);
	for (int i = 1; r == -EAGAIN && i < UNTOUCHED_TRIES; i++) {
		usleep(UNTOUCHED_WAIT_US);
		r = ask_untouched(dom);
	}
	return r < 0 ? kerr_set(err, -r, KCODE_NOT_READY,
				"libvirt does not say whether the VM has run meanwhile.")
		     : r;
}

static uint64_t sum_capacity(const virDomainStatsRecord *s)
{
	unsigned blocks = 0;
	uint64_t sum = 0;

	virTypedParamsGetUInt(s->params, s->nparams, "block.count", &blocks);
	for (unsigned i = 0; i < blocks && i < 256; i++) {
		char key[40];

		snprintf(key, sizeof(key), "block.%u.capacity", i);
		sum += param(s->params, s->nparams, key);
	}
	return sum;
}

uint64_t virt_disk_bytes(struct virt *v, const uint8_t uuid[UUID_LEN])
{
	virDomainStatsRecordPtr *stats = NULL;
	_cleanup_domain_ virDomainPtr dom = NULL;
	struct kerr err = {0};
	uint64_t sum = 0;

	if (virt_lookup(v, uuid, &dom, &err) < 0)
		return 0;
	/* NOWAIT: with a job going on it answers what it knows without one. */
	if (virDomainListGetStats((virDomainPtr[]){dom, NULL}, VIR_DOMAIN_STATS_BLOCK, &stats,
				  VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT) > 0)
		sum = sum_capacity(stats[0]);
	virDomainStatsRecordListFree(stats);
	return sum;
}
