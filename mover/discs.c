/* SPDX-License-Identifier: Apache-2.0 */
/* A disc is ejected from the VM that runs and from its definition, where it is in both: it shall
 * not be back at the next start. */
#include "mover/discs.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mover/disks-client.h"
#include "mover/filter/discs.h"
#include "mover/oneshot.h"
#include "mover/virt-internal.h"
#include "mover/worker.h"

_Static_assert(DISCS_MAX == DISKS_DISCS_MAX, "an answer has room for all");
_Static_assert(sizeof(((struct disc_drive *)NULL)->what) ==
		       sizeof(((struct disks_disc *)NULL)->what),
	       "and for each of them");

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
	struct policyd_vm vm = {0};
	int r = workplace_known(p, uuid, &vm, err);

	if (r < 0)
		return r;
	if (!vm.here)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"Kith has no such VM in its care on this device.");
	return vm.open ? kerr_set(err, EBUSY, KCODE_BUSY,
				  "A hand-off of the VM is open; its drives stay as they are until "
				  "that has ended.")
		       : 0;
}

void discs_main(const struct config *config, const char *mode)
{
	static uint8_t body[IPC_MAX_BODY];
	static struct workplace p;
	static struct disks_disc ask;
	bool eject = strcmp(mode, DISCS_MODE_EJECT) == 0;
	struct wbuf w = wbuf_init(body, sizeof(body));
	virDomainPtr dom = NULL;
	struct kerr err = {0};
	int r;

	log_setup("kith-mover discs");
	r = oneshot_question(&disks_disc_record, &ask, &err);
	if (r == 0)
		r = workplace_open(&p, config, &err);
	if (r == 0)
		r = check_custody(&p, ask.uuid, &err);
	if (r == 0)
		r = virt_lookup(p.virt, ask.uuid, &dom, &err);
	if (r == 0)
		r = eject ? discs_eject(dom, &ask, &err) : discs_list(dom, &w, &err);
	oneshot_answer(eject ? MOVER_OP_EJECT : MOVER_OP_DISCS, r, &w, &err,
		       "The VM's discs cannot be told.");
}
