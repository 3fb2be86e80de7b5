/* SPDX-License-Identifier: Apache-2.0 */
/* Judging and measuring a VM that shall leave. */
#include "mover/departure.h"

#include <string.h>

#include "mover/definition.h"
#include "mover/filter/fit-xml.h"
#include "mover/host.h"
#include "mover/stores.h"

static const char *state_words(enum copy_state state)
{
	return state == COPY_PAUSED ? "is paused" : "neither runs nor is off";
}

static int check_state(const struct virt_domain *d, struct kerr *err)
{
	if (d->copy.state != COPY_RUNS && d->copy.state != COPY_GONE)
		return kerr_set(err, EINVAL, KCODE_NOT_RUNNING,
				"The VM \"%s\" %s; only one that runs or is switched off can be "
				"handed over.",
				d->name, state_words(d->copy.state));
	if (d->copy.state == COPY_GONE && d->saved)
		return kerr_set(err, EINVAL, KCODE_NOT_RUNNING,
				"The VM \"%s\" is off, but its memory is saved on this device "
				"(`virsh managedsave`); start it, then hand it over.",
				d->name);
	return 0;
}

/* libvirt would refuse as well, only later: it moves no VM that has them. What is copied is what
 * the disks hold now, without the snapshots in them. */
static int check_snapshots(const struct virt_domain *d, struct kerr *err)
{
	if (d->snapshots)
		return kerr_set(
			err, EPERM, KCODE_DOMAIN,
			"The VM \"%s\" has %d snapshots (%s%s), and a move carries only what its "
			"disks "
			"hold now. Delete those that are not needed (`virsh snapshot-delete %s "
			"NAME`); to keep one, first copy the disk images away while the VM is off.",
			d->name, d->snapshots, d->snapshot_names,
			d->snapshots > VIRT_SNAPSHOTS_NAMED ? " and more" : "", d->name);
	if (d->checkpoints)
		return kerr_set(err, EPERM, KCODE_DOMAIN,
				"The VM \"%s\" has %d checkpoints of backups, which stay in "
				"libvirt on this "
				"device. Delete them (`virsh checkpoint-list %s`, then `virsh "
				"checkpoint-delete %s NAME`), then hand it over.",
				d->name, d->checkpoints, d->name, d->name);
	return 0;
}

int departure_check(const struct virt_domain *d, const char *granted, struct domain_facts *ret,
		    struct kerr *err)
{
	int r;

	if (granted && strcmp(d->name, granted) != 0)
		return kerr_set(err, EACCES, KCODE_IDENTITY,
				"The VM is called \"%s\" here, but \"%s\" was granted.", d->name,
				granted);
	r = check_state(d, err);
	if (r == 0)
		r = check_snapshots(d, err);
	return r < 0 ? r : domain_disks(d->xml, strlen(d->xml), ret, err);
}

int departure_rung(const struct virt_domain *d, enum move_rung rung, struct kerr *err)
{
	bool off = d->copy.state == COPY_GONE;

	if (off && (rung == MOVE_RUNG_LIVE || rung == MOVE_RUNG_WARM))
		return kerr_set(
			err, EINVAL, KCODE_NOT_RUNNING,
			"The VM \"%s\" is switched off, and only one that runs can move %s. "
			"Start it first, or move it cold.",
			d->name, move_rung_to_string(rung));
	if (!off && rung == MOVE_RUNG_COLD && !d->copy.defined)
		return kerr_set(err, EINVAL, KCODE_NOT_RUNNING,
				"The VM \"%s\" has no definition in libvirt on this device, so it "
				"would be gone once it is shut down. Move it live or warm.",
				d->name);
	return 0;
}

static int check_kvm(struct virt *v, const struct domain_facts *facts, struct kerr *err)
{
	struct domain_host host;

	if (!facts->kvm)
		return 0;
	host_look(v, &host);
	if (host.kvm)
		return 0;
	return kerr_set(
		err, EOPNOTSUPP, KCODE_DOMAIN,
		"The VM \"%s\" needs hardware virtualisation (KVM), which this device does "
		"not have, so it cannot be started here. Make KVM available (a switch of "
		"the firmware, or `modprobe kvm`), or change its type to \"qemu\" (`virsh edit`).",
		facts->name);
}

/* One that runs proves that it can; one that is off has to be started for its move, if only with
 * its CPUs stopped. */
int departure_starts(struct virt *v, const struct virt_domain *d, struct kerr *err)
{
	_cleanup_free_ char *vehicle = NULL;
	int r;

	if (d->copy.state != COPY_GONE)
		return 0;
	r = fit_vehicle(d->xml, &vehicle, err);
	return r < 0 ? r : virt_could_start(v, vehicle, err);
}

static int check_kept(struct virt *v, const char *kept, struct kerr *err)
{
	_cleanup_free_ struct domain_facts *facts = calloc(1, sizeof(*facts));
	int r = facts ? domain_disks(kept, strlen(kept), facts, err)
		      : kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");

	if (r == 0)
		r = check_kvm(v, facts, err);
	return r < 0 ? r : virt_could_start(v, kept, err);
}

int departure_again(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_(definition_done) struct definition d = {0};
	struct kerr why = {0};
	int r = definition_read(v, uuid, &d, err);

	if (r < 0)
		return r;
	r = check_kept(v, d.kept, &why);
	return r < 0 ? kerr_set(err, -r, why.code,
				"Once it is shut down, the VM would not go on as it is defined for "
				"its "
				"next start. %s",
				why.text)
		     : 0;
}

/* Of one that is off, libvirt does not ask the server by itself; then the pool may know. */
static int measure_shared(struct virt *v, const struct domain_facts *facts,
			  const struct domain_disk *d, struct frame_disk *ret, struct kerr *err)
{
	struct kerr ignored = {0};
	int r = stores_resolve(v, d, &ret->shared, err);

	if (r == 0 &&
	    virt_disk_size(v, facts->uuid, d->target, &ret->capacity, &ret->used, &ignored) < 0 &&
	    stores_size(v, &ret->shared, &ret->capacity, &ignored) < 0)
		ret->capacity = 0;
	ret->used = 0;
	return r;
}

int departure_measure(struct virt *v, const struct domain_facts *facts, const char *definition,
		      struct frame_offer *ret, struct kerr *err)
{
	struct frame_offer offer = {.memory_bytes = facts->memory_bytes,
				    .vcpus = facts->vcpus,
				    .count = facts->disk_count};
	int r = host_origin(v, facts, definition, &offer.origin, err);
	for (size_t i = 0; r == 0 && i < facts->disk_count; i++) {
		const struct domain_disk *d = &facts->disks[i];
		struct frame_disk *o = &offer.disks[i];

		r = d->is_shared ? measure_shared(v, facts, d, o, err)
				 : virt_disk_size(v, facts->uuid, d->target, &o->capacity, &o->used,
						  err);
		memcpy(o->target, d->target, sizeof(o->target));
		o->format = d->format;
	}
	if (r == 0)
		*ret = offer;
	return r;
}
