/* SPDX-License-Identifier: Apache-2.0 */
/* What the mover asks of the local libvirt. All calls block: use them from a task thread. */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "mover/filter/domain.h"
#include "mover/proto.h"

/* How a copy of the VM stands on this host. */
enum copy_state {
	COPY_GONE,   /* no such domain, or one without a process */
	COPY_PAUSED, /* complete or not: its CPUs do not run */
	COPY_RUNS,
	COPY_HALTED,  /* crashed or asleep by itself: nothing for us to resume */
	COPY_UNKNOWN, /* libvirt cannot be asked, or answers something else */
	_COPY_STATE_MAX,
};
DECLARE_NAMES(copy_state, enum copy_state);

struct virt_copy {
	enum copy_state state;
	bool defined; /* persistent */
	bool job;     /* a migration job or block job is going on */
};

struct virt_job {
	bool active;
	uint64_t ram_total, ram_done, ram_left;
	uint64_t disk_total, disk_done;
	uint64_t downtime_ms; /* libvirt's own figure or estimate, 0 = none */
};

#define VIRT_SNAPSHOTS_NAMED 3
struct virt_domain {
	char name[NAME_MAX_LEN + 1];
	char *xml; /* malloced, with the elements a migration needs */
	struct virt_copy copy;
	bool saved; /* off, with its memory in a managed save image */
	int snapshots, checkpoints;
	char snapshot_names[128]; /* the first few, for people: "one", "two" ... */
};

struct virt;

/* Once per process: error callback, event loop thread. */
int virt_setup(void);

/* The connection is made at the first call, and again after it broke. */
struct virt *virt_new(void);
struct virt *virt_free(struct virt *v);
DEFINE_CLEANUP(struct virt *, virt_free)

/* All return 0, or a negative errno with *err filled: NOT_FOUND for a missing domain,
 * INTERRUPTED when libvirt cannot be reached, FAILED with libvirt's words otherwise. */
int virt_domain(struct virt *v, const uint8_t uuid[UUID_LEN], struct virt_domain *ret,
		struct kerr *err);

/* Never fails: COPY_UNKNOWN stands for an error. It asks neither QEMU nor for libvirt's job, so it
 * answers for a frozen copy too; `job` is false. */
void virt_copy_get(struct virt *v, const uint8_t uuid[UUID_LEN], struct virt_copy *ret);
/* The same with `job`. Not for a copy that may be frozen: libvirt may wait for its monitor. */
void virt_copy_job(struct virt *v, const uint8_t uuid[UUID_LEN], struct virt_copy *ret);

/* Files of the disks of the live domain; -ENOENT without one, -EBUSY if it has a disk that Kith
 * does not take (then it is no copy of ours). */
int virt_live_disks(struct virt *v, const uint8_t uuid[UUID_LEN], struct domain_facts *ret,
		    struct kerr *err);

/* Virtual size and allocation in bytes. */
int virt_disk_size(struct virt *v, const uint8_t uuid[UUID_LEN], const char *target,
		   uint64_t *ret_capacity, uint64_t *ret_used, struct kerr *err);
/* `len` bytes, at most 4 MiB, of the VM's physical memory from address `at` on. */
int virt_peek(struct virt *v, const uint8_t uuid[UUID_LEN], uint64_t at, size_t len, void *ret,
	      struct kerr *err);
int virt_job_get(struct virt *v, const uint8_t uuid[UUID_LEN], struct virt_job *ret,
		 struct kerr *err);
int virt_job_abort(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err);
int virt_resume(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err);
/* Would libvirt start this configuration here, as far as it can tell without starting it? FAILED,
 * with its words. */
int virt_could_start(struct virt *v, const char *xml, struct kerr *err);
/* Starts a VM that is off. */
int virt_start(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err);
/* Starts a VM that is off, with its CPUs stopped, in another configuration of the same name and
 * UUID: the definition stays, and is what the next start takes. */
int virt_start_as(struct virt *v, const char *xml, struct kerr *err);
/* Asks the guest to shut down and does not wait for it. It may ignore that. */
int virt_shutdown(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err);
/* Has the guest of a live domain done nothing yet: no request to a disk, nothing sent? 1, 0, or
 * negative, as long as it cannot be told. Asks QEMU: not for a copy that may be frozen. */
int virt_untouched(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err);
int virt_suspend(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err);

/* Ends the process if there is one and touches no definition. No domain is fine. */
int virt_end(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err);
/* Removes the definition, if there is one, of a VM that does not run (-EBUSY if it does) and is
 * another host's now, with the state of its virtual TPM. Its XML is kept before as `UUID.xml` in
 * `folder`, since it may be the owner's work (F7). */
int virt_retire(struct virt *v, const uint8_t uuid[UUID_LEN], int folder, struct kerr *err);

/* Removes the state of the virtual TPM, if there is one, that libvirt made for a copy with this
 * configuration which never became a VM of this host. Nothing if libvirt has a VM of that UUID. */
int virt_discard(struct virt *v, const char *xml, struct kerr *err);

/* Makes it persistent, autostart off. With `boot`, starts it cold. */
int virt_define(struct virt *v, const char *xml, bool boot, struct kerr *err);

/* Every domain here; *ret is malloced. Waits for no domain's job and asks no QEMU, so disk_bytes
 * stays 0. */
int virt_list(struct virt *v, struct mover_vm **ret, size_t *ret_n, struct kerr *err);

/* Is there a domain of this name? 1, 0, or negative. No domain's job is waited for. */
int virt_find_name(struct virt *v, const char *name, struct kerr *err);

/* Virtual size of all disks, 0 = not known now. Never waits for a job, but asks a running QEMU
 * when there is none: not for a VM that may be frozen. */
uint64_t virt_disk_bytes(struct virt *v, const uint8_t uuid[UUID_LEN]);

/* Called from libvirt's event thread when the domain's CPUs stop (with CLOCK_MONOTONIC ns), or run
 * again (0). libvirt 9.0 does not tell an owner's pause from the migration's own. */
typedef void (*virt_cpus_fn)(void *ctx, uint64_t stopped_ns);
int virt_watch(struct virt *v, const uint8_t uuid[UUID_LEN], virt_cpus_fn fn, void *ctx,
	       struct kerr *err);

struct virt_migration {
	const char *rpc_path, *ram_path, *nbd_path; /* unix sockets */
	const struct domain_facts *facts;	    /* the disks to copy */
	bool still; /* the guest stands still for its memory; libvirt lets it go on if that fails */
};

/* The whole migration: managed, live, paused at the destination; with disk copy if there are
 * disks, during which the guest runs in any case. Returns after Confirm. Uses connections of its
 * own, so `v` is not needed. */
int virt_migrate(const uint8_t uuid[UUID_LEN], const struct virt_migration *m, struct kerr *err);
