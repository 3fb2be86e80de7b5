/* SPDX-License-Identifier: Apache-2.0 */
/* A disc is ejected from the VM that runs and from its definition, where it is in both: it shall
 * not be back at the next start. */
#include "mover/discs.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mover/disks-client.h"
#include "mover/filter/discs.h"
#include "mover/virt-internal.h"
#include "mover/worker.h"

#define SERIAL 1

_Static_assert(DISCS_MAX == DISKS_DISCS_MAX, "an answer has room for all");
_Static_assert(sizeof(((struct disc_drive *)NULL)->what) ==
		       sizeof(((struct disks_disc *)NULL)->what),
	       "and for each of them");

static void free_domain(virDomainPtr *d)
{
	if (*d)
		virDomainFree(*d);
}

static int look_up(struct workplace *p, const uint8_t uuid[UUID_LEN], virDomainPtr *ret,
		   struct kerr *err)
{
	int r = virt_ensure(p->virt, err);

	if (r < 0)
		return r;
	*ret = virDomainLookupByUUID(p->virt->conn, uuid);
	return *ret ? 0 : virt_fail(err, "Looking the VM up");
}

/* As it runs; of one that is off, its definition. */
static int read_discs(virDomainPtr dom, unsigned flags, struct disc_drive discs[DISCS_MAX],
		      size_t *ret_n, struct kerr *err)
{
	char *xml = virDomainGetXMLDesc(dom, flags);
	int r = xml ? discs_read(xml, discs, ret_n) : -EIO;

	free(xml);
	return r < 0 ? virt_fail(err, "Reading the VM's configuration") : 0;
}

static int discs_list(virDomainPtr dom, struct wbuf *w, struct kerr *err)
{
	static struct disc_drive discs[DISCS_MAX];
	struct record_list list;
	size_t n = 0;
	int r = read_discs(dom, 0, discs, &n, err);

	if (r < 0)
		return r;
	record_list_begin(&list, w, &disks_disc_record);
	for (size_t i = 0; i < n; i++) {
		struct disks_disc told = {0};

		memcpy(told.target, discs[i].target, sizeof(told.target));
		memcpy(told.what, discs[i].what, sizeof(told.what));
		record_list_add(&list, &told);
	}
	record_list_end(&list);
	return wbuf_error(w);
}

/* -ENOENT: it is not in there. */
static int eject_from(virDomainPtr dom, const struct disc_drive *disc, bool live, struct kerr *err)
{
	char *xml = virDomainGetXMLDesc(dom, live ? 0 : VIR_DOMAIN_XML_INACTIVE), *drive = NULL;
	int r = xml ? discs_without(xml, disc, &drive) : -EIO;

	/* Not by force: a guest that locked its drive is asked, and may say no. */
	if (r == 0 && virDomainUpdateDeviceFlags(dom, drive,
						 live ? VIR_DOMAIN_AFFECT_LIVE
						      : VIR_DOMAIN_AFFECT_CONFIG) < 0)
		r = virt_fail(err, live ? "Ejecting the disc (the guest may have locked its drive)"
					: "Ejecting the disc from the VM's definition");
	else if (r < 0 && r != -ENOENT)
		virt_fail(err, "Reading the VM's configuration");
	free(drive);
	free(xml);
	return r;
}

static int discs_eject(virDomainPtr dom, const struct disks_disc *which, struct kerr *err)
{
	struct disc_drive disc = {0};
	bool live = virDomainIsActive(dom) == 1, kept = virDomainIsPersistent(dom) == 1;
	int from_live, r;

	memcpy(disc.target, which->target, sizeof(disc.target));
	memcpy(disc.what, which->what, sizeof(disc.what));
	from_live = live ? eject_from(dom, &disc, true, err) : -ENOENT;
	if (from_live < 0 && from_live != -ENOENT)
		return from_live;
	r = kept ? eject_from(dom, &disc, false, err) : -ENOENT;
	if (r == -ENOENT && from_live == -ENOENT)
		return kerr_set(
			err, ENOENT, KCODE_NOT_FOUND,
			"The disc %.200s is not in the drive %s of the VM any more; nothing "
			"was changed.",
			disc.what, disc.target);
	if (r < 0 && r != -ENOENT)
		return r;
	log_notice("discs", "The disc %s was ejected from the drive %s of \"%s\".", disc.what,
		   disc.target, virDomainGetName(dom));
	return 0;
}

/* Only what could be moved at all, and not under a hand-off: the copy has the same drives. */
static int check_custody(struct workplace *p, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	size_t n = 0;
	int r = workplace_policyd(p);

	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED, "kith-policyd cannot be reached.");
	r = policyd_client_vms(p->policyd, &vms, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (memcmp(vms[i].uuid, uuid, UUID_LEN) != 0 || !vms[i].here)
			continue;
		return vms[i].open ? kerr_set(err, EBUSY, KCODE_BUSY,
					      "A hand-off of the VM is open; its drives stay as "
					      "they are until that has ended.")
				   : 0;
	}
	return r < 0 ? r
		     : kerr_set(err, EACCES, KCODE_CUSTODY,
				"Kith has no such VM in its care on this device.");
}

static int discs_answer(const struct config *config, bool eject, struct wbuf *w, struct kerr *err)
{
	static uint8_t buf[IPC_MAX_FRAME];
	static struct workplace p;
	static struct disks_disc ask;
	_cleanup_(free_domain) virDomainPtr dom = NULL;
	struct ipc_msg m = {.fd = -EBADF};
	struct rbuf r;
	int n;

	if (ipc_recv(WORKER_FD, buf, &m) != 1)
		return -ECONNRESET;
	r = rbuf_init(m.body, m.len);
	if (disks_disc_get(&r, &ask) < 0 || rbuf_end(&r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	n = workplace_open(&p, config, err);
	if (n == 0)
		n = check_custody(&p, ask.uuid, err);
	if (n == 0)
		n = look_up(&p, ask.uuid, &dom, err);
	if (n < 0)
		return n;
	return eject ? discs_eject(dom, &ask, err) : discs_list(dom, w, err);
}

void discs_main(const struct config *config, const char *mode)
{
	static uint8_t body[IPC_MAX_BODY];
	bool eject = strcmp(mode, DISCS_MODE_EJECT) == 0;
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct kerr err = {0};
	uint32_t flags = IPC_FLAG_REPLY;
	int r;

	log_setup("kith-mover discs");
	if (discs_answer(config, eject, &w, &err) < 0) {
		kerr_set(&err, EIO, KCODE_FAILED, "The VM's discs cannot be told.");
		w = wbuf_init(body, sizeof(body));
		kerr_put(&w, &err);
		flags |= IPC_FLAG_ERROR;
	}
	r = ipc_send(WORKER_FD, eject ? MOVER_OP_EJECT : MOVER_OP_DISCS, flags, SERIAL, body, w.len,
		     -EBADF);
	_exit(r < 0);
}
