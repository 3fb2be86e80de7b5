/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery (docs/threats.md, W1 to W16): by journal first, by notes after it. */
#include "mover/recover.h"

#include <dirent.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "mover/disk.h"
#include "mover/images.h"
#include "mover/off.h"
#include "mover/stores.h"
#include "mover/worker.h"

#define JOB_WAIT_MS 3000

struct recover {
	struct workplace place;
	char vm[NAME_MAX_LEN + 1];
	bool quiet;
	bool later;
	bool frozen_is_ours; /* what kith-warden holds of this VM was made by this hand-off */
	enum custody_statement_kind letter_kind; /* of the other device, see read_inbox() */
	struct statement letter;
};

static void await(struct recover *r, const char *what)
{
	r->later = true;
	if (!r->quiet)
		log_notice("recovery", "%s: %s", r->place.hex, what);
}

static bool recover_held(struct recover *r)
{
	enum warden_copy copy;
	struct kerr err = {0};

	return warden_settle(&r->place.config, r->place.uuid, &copy, &err) == 0 &&
	       copy == WARDEN_COPY_FROZEN;
}

/* A VM that is switched off goes on without a process, where it is defined: at the source unless it
 * was released, at the destination since OWN. */
static bool rests(const struct recover *r, enum custody_record record, const struct virt_copy *copy)
{
	static const bool here[_CUSTODY_RECORD_MAX] = {
		[CUSTODY_PREP] = true,
		[CUSTODY_ABORTED] = true,
		[CUSTODY_RECLAIM] = true,
		[CUSTODY_OWN] = true,
	};

	return r->place.remnant.off && here[record] && copy->state == COPY_GONE && copy->defined;
}

/* The warden first: of a frozen copy libvirt knows less than nothing. Then only the state, since
 * libvirt would wait for the monitor of a stopped QEMU. */
static enum transfer_event recover_look(struct recover *r, enum custody_record record)
{
	struct virt_copy copy;

	if (recover_held(r))
		return TRANSFER_EVENT_COPY_PAUSED;
	virt_copy_get(r->place.virt, r->place.uuid, &copy);
	return rests(r, record, &copy) ? TRANSFER_EVENT_COPY_HALTED : worker_copy_event(copy.state);
}

/* W6: libvirtd may still be cleaning up after the worker; nothing is resumed before it is done. */
static bool wait_job(struct recover *r)
{
	uint64_t end = worker_now_ms() + JOB_WAIT_MS;
	struct virt_copy copy;

	virt_copy_job(r->place.virt, r->place.uuid, &copy);
	while (copy.job && worker_now_ms() < end) {
		usleep(50000);
		virt_copy_job(r->place.virt, r->place.uuid, &copy);
	}
	return !copy.job && copy.state != COPY_UNKNOWN;
}

/* What the other device said by way of kithd since nobody worked on this hand-off. policyd has
 * verified it and keeps only what the last record waits for. */
static void read_inbox(struct recover *r)
{
	struct kerr err = {0};

	free(r->letter.data);
	r->letter = (struct statement){0};
	r->letter_kind = CUSTODY_STATEMENT_NONE;
	if (workplace_policyd(&r->place) < 0 ||
	    policyd_client_custody_inbox(r->place.policyd, r->place.hid, &r->letter_kind,
					 &r->letter.data, &r->letter.len, &err) < 0)
		log_debug("recovery", "%s", err.text);
}

/* Writes a record; `proof` is the letter, or NULL where it needs none. */
static bool recover_journal(struct recover *r, enum custody_record record,
			    const struct statement *proof)
{
	static const struct statement none;
	struct statement said = {0};
	struct kerr err = {0};
	enum transfer_event e =
		workplace_journal(&r->place, record, proof ? proof : &none, &said, &err);

	free(said.data);
	if (e == TRANSFER_EVENT_JOURNALLED)
		return true;
	await(r, "policyd does not take the record now; asking again.");
	return false;
}

/* What the warden has to do now that a record is written, or an ACK is here. */
static bool recover_settle(struct recover *r)
{
	if (workplace_settle(&r->place) == 0)
		return true;
	await(r, "kith-warden still holds the VM's copy, or does not answer; asking again.");
	return false;
}

static void remove_images(struct recover *r)
{
	struct kerr err = {0};

	if (images_drop(&r->place, &err) < 0)
		await(r, err.text);
}

/* -- whose copy is it? -- */

enum whose {
	WHOSE_NOBODYS, /* no process */
	WHOSE_OURS,    /* this hand-off made it: not permanent, and all its disks are in the note */
	WHOSE_OTHERS,
	WHOSE_UNKNOWN,
};

static enum whose whose_copy(struct recover *r)
{
	struct workplace *p = &r->place;
	struct domain_facts facts = {0};
	struct virt_copy copy;
	struct kerr err = {0};

	/* libvirt might never answer for a frozen one. */
	if (recover_held(r))
		return r->frozen_is_ours ? WHOSE_OURS : WHOSE_UNKNOWN;
	virt_copy_get(p->virt, p->uuid, &copy);
	if (copy.state == COPY_UNKNOWN)
		return WHOSE_UNKNOWN;
	if (copy.state == COPY_GONE)
		return WHOSE_NOBODYS;
	if (copy.defined || virt_live_disks(p->virt, p->uuid, &facts, &err) < 0)
		return WHOSE_OTHERS;
	stores_claim(p->virt, p->config.shared_pools, &facts);
	for (size_t i = 0; i < facts.disk_count; i++)
		if (!facts.disks[i].is_shared && !remnant_has(&p->remnant, facts.disks[i].source))
			return WHOSE_OTHERS;
	return WHOSE_OURS;
}

/* F1: only what this hand-off made ends here, never a definition, never another copy. */
static bool end_our_copy(struct recover *r)
{
	struct kerr err = {0};

	switch (whose_copy(r)) {
	case WHOSE_NOBODYS:
		return true;
	case WHOSE_OURS:
		(void)workplace_settle(&r->place);
		if (virt_end(r->place.virt, r->place.uuid, &err) == 0)
			return true;
		await(r, err.text);
		return false;
	case WHOSE_OTHERS:
		await(r, "a copy of the VM is here that this hand-off did not make; it is left "
			 "alone.");
		return false;
	case WHOSE_UNKNOWN:
		break;
	}
	await(r, "libvirt cannot be asked now.");
	return false;
}

/* -- one open hand-off -- */

static bool goes_on(const struct recover *r, const struct virt_copy *copy)
{
	return copy->state == COPY_RUNS || copy->state == COPY_HALTED ||
	       (copy->state == COPY_PAUSED && r->place.remnant.paused) ||
	       (copy->state == COPY_GONE && copy->defined && r->place.remnant.off);
}

/* How a copy goes on. */
enum going {
	GOING_BACK, /* S: it runs again, as it is defined */
	GOING_HERE, /* D: it runs, and is made permanent */
	GOING_COLD, /* D: it is gone, and starts from its disk */
};

/* Of a VM that is switched off what stands here paused ends: at the source only if its guest did
 * nothing, at the destination after it is permanent. */
static int end_off(struct recover *r, enum going going, struct kerr *err)
{
	struct workplace *p = &r->place;
	struct kerr none = {0};
	struct virt_copy copy;
	int n;

	if (going == GOING_BACK) {
		n = off_end(p, err);
		return n > 0 ? off_forget(p) : n;
	}
	virt_copy_get(p->virt, p->uuid, &copy);
	n = copy.state == COPY_PAUSED ? virt_end(p->virt, p->uuid, err) : 0;
	if (n < 0 || !p->remnant.again_until)
		return n;
	/* One that was shut down for this boots here; or not, and is here none the less. */
	virt_copy_get(p->virt, p->uuid, &copy);
	if (copy.state == COPY_GONE && virt_start(p->virt, p->uuid, &none) < 0)
		log_error("recovery", "%s: the VM is here, but does not start: %s", p->hex,
			  none.text);
	return 0;
}

/* At the destination also permanent: a VM that would vanish with its next power-off is not done
 * (F5). */
static bool make_permanent(struct recover *r, bool boot, struct kerr *err)
{
	struct workplace *p = &r->place;
	struct virt_copy copy;

	virt_copy_get(p->virt, p->uuid, &copy);
	if (p->remnant.xml && (boot || !copy.defined) &&
	    virt_define(p->virt, p->remnant.xml,
			boot && (!p->remnant.off || p->remnant.again_until), err) < 0)
		return false;
	virt_copy_get(p->virt, p->uuid, &copy);
	return copy.defined;
}

/* Makes the copy run, and at the destination permanent; then the hand-off is closed. */
static void run_copy(struct recover *r, enum going going)
{
	struct workplace *p = &r->place;
	struct kerr err = {0};
	struct virt_copy copy;

	if (!recover_settle(r))
		return;
	if (going != GOING_COLD && !wait_job(r)) {
		await(r, "libvirt cannot be asked now, or is still busy with the VM.");
		return;
	}
	/* Before its first instruction: see resume_copy() of side-destination.c. */
	if (going == GOING_HERE && !make_permanent(r, false, &err)) {
		await(r, err.code == KCODE_OK ? "the VM is not permanent yet." : err.text);
		return;
	}
	virt_copy_get(p->virt, p->uuid, &copy);
	if (copy.state == COPY_PAUSED && !p->remnant.paused && !p->remnant.off &&
	    virt_resume(p->virt, p->uuid, &err) < 0) {
		await(r, err.text);
		return;
	}
	if (going == GOING_COLD && !make_permanent(r, true, &err)) {
		await(r, err.code == KCODE_OK ? "the VM is not permanent yet." : err.text);
		return;
	}
	if (p->remnant.off && end_off(r, going, &err) < 0) {
		await(r, err.text);
		return;
	}
	virt_copy_get(p->virt, p->uuid, &copy);
	if (!goes_on(r, &copy)) {
		await(r, "the VM does not run yet; trying again.");
		return;
	}
	log_notice("recovery", "%s: the VM \"%s\" %s.", p->hex, r->vm,
		   copy.state == COPY_GONE ? "is here, switched off" : "runs here");
	if (!recover_journal(r, CUSTODY_DONE, NULL))
		return;
	if (going == GOING_BACK && p->remnant.off && p->remnant.again_until)
		r->later = true; /* it is started in the next pass */
	else
		remnant_remove(p->folder, p->hid);
}

/* The source goes on without a copy: an ordinary crash, or the destination has none either. One
 * that was shut down for the hand-off is started in the next pass. */
static void close_kept(struct recover *r)
{
	if (!recover_journal(r, CUSTODY_DONE, NULL))
		return;
	if (r->place.remnant.again_until)
		r->later = true;
	else
		remnant_remove(r->place.folder, r->place.hid);
}

/* Never voted for, or gone. A frozen one cannot run any more: VOID first lets the warden end it;
 * else nobody may hear of VOID before it is gone. */
static void void_copy(struct recover *r, bool fresh)
{
	bool frozen = recover_held(r);
	struct kerr err = {0};

	if (frozen && !recover_journal(r, CUSTODY_VOID, NULL))
		return;
	if (!end_our_copy(r))
		return;
	log_notice("recovery", "%s: the incomplete copy of \"%s\" is removed.", r->place.hex,
		   r->vm);
	if (!frozen && !recover_journal(r, CUSTODY_VOID, NULL))
		return;
	/* A definition from an earlier stay; of a VM that Kith did not know it is its owner's. */
	if (!fresh && virt_retire(r->place.virt, r->place.uuid, r->place.folder, &err) < 0)
		await(r, err.text);
	remove_images(r);
}

/* S7b, S7d: the process, the definition, then DONE (F7). */
static void moved_away(struct recover *r)
{
	struct workplace *p = &r->place;
	struct kerr err = {0};

	if (!recover_settle(r))
		return;
	if (virt_end(p->virt, p->uuid, &err) < 0 ||
	    virt_retire(p->virt, p->uuid, p->folder, &err) < 0) {
		await(r, err.text);
		return;
	}
	if (!recover_journal(r, CUSTODY_DONE, &r->letter))
		return;
	log_notice("recovery", "%s: the VM \"%s\" runs on the other device.", p->hex, r->vm);
	remove_images(r);
}

/* RELEASED: a NACK gives the VM back (R4), an ACK ends the copy here. */
static void recover_released(struct recover *r)
{
	if (r->letter_kind == CUSTODY_STATEMENT_ACK) {
		moved_away(r);
	} else if (r->letter_kind == CUSTODY_STATEMENT_NACK) {
		if (!recover_journal(r, CUSTODY_RECLAIM, &r->letter))
			return;
		log_notice("recovery", "%s: the other device lost its copy; the VM stays here.",
			   r->place.hex);
		r->later = true; /* as the table says for RECLAIM */
	} else {
		await(r, "the VM was released to the other device and stays frozen here until "
			 "that one says that it runs there, or that its copy was lost.");
	}
}

/* PREPARED with a whole copy: RELEASE makes it ours, ABORT ends it, VOID before anything goes. */
static void recover_prepared(struct recover *r, enum transfer_event copy)
{
	if (copy == TRANSFER_EVENT_COPY_RUNS)
		log_error("recovery", "%s: the copy runs although it was never released.",
			  r->place.hex);
	if (r->letter_kind == CUSTODY_STATEMENT_RELEASE) {
		if (recover_journal(r, CUSTODY_OWN, &r->letter))
			run_copy(r, GOING_HERE);
	} else if (r->letter_kind == CUSTODY_STATEMENT_ABORT) {
		if (!recover_journal(r, CUSTODY_VOID, &r->letter) || !end_our_copy(r))
			return;
		log_notice("recovery", "%s: the source kept the VM; the copy is removed.",
			   r->place.hex);
		remove_images(r);
	} else {
		await(r, "a complete copy waits, frozen, for the source's decision.");
	}
}

/* The own copy died before the commit: a VOTE saves the VM (R1, R2), a NACK says that there is
 * nothing to save. Until one comes the hand-off counts as given up, so that the owner may boot the
 * VM from its disk; that forbids the release (F6). */
static void recover_forward(struct recover *r, const struct policyd_open *o)
{
	_cleanup_free_ uint8_t *statement = NULL;
	struct kerr err = {0};
	size_t len;

	if (o->record == CUSTODY_PREP && !recover_journal(r, CUSTODY_ABORTED, NULL))
		return;
	if (o->started || r->letter_kind == CUSTODY_STATEMENT_NACK) {
		close_kept(r);
		return;
	}
	if (r->letter_kind == CUSTODY_STATEMENT_VOTE) {
		if (policyd_client_release_forward(r->place.policyd, r->place.hid, r->letter.data,
						   r->letter.len, &statement, &len, &err) == 0)
			await(r, "this device's copy died, but the other one has a complete copy: "
				 "it was released to it.");
		else
			await(r, err.text);
		return;
	}
	await(r,
	      "this device's copy died during the hand-off; only the destination can say whether "
	      "it has a complete one. Waiting for its word; the VM can also be started again from "
	      "its disk.");
}

static void recover_apply(struct recover *r, const struct policyd_open *o)
{
	enum transfer_event copy = recover_look(r, o->record);

	switch (transfer_recovery(o->record, copy)) {
	case RECOVERY_NOTHING:
		break;
	case RECOVERY_ABORT:
		/* ABORTED thaws what was frozen for a release that did not come. */
		if (recover_journal(r, CUSTODY_ABORTED, NULL))
			run_copy(r, GOING_BACK);
		break;
	case RECOVERY_RUN:
		run_copy(r, o->source ? GOING_BACK : GOING_HERE);
		break;
	case RECOVERY_CLOSE:
		close_kept(r);
		break;
	case RECOVERY_ASK:
		recover_forward(r, o);
		break;
	case RECOVERY_AWAIT_ANSWER:
		recover_released(r);
		break;
	case RECOVERY_AWAIT_RELEASE:
		recover_prepared(r, copy);
		break;
	case RECOVERY_VOID:
		void_copy(r, o->fresh);
		break;
	case RECOVERY_BOOT:
		run_copy(r, GOING_COLD);
		break;
	case RECOVERY_LATER:
		await(r, "libvirt cannot be asked now, or is still busy with the VM.");
		break;
	case _RECOVERY_MAX:
		break;
	}
}

/* Takes the hand-off's lock. While its worker lives, or an orphan of an earlier supervisor still
 * leaves, that is for later: whoever has the lock may leave everything to us (F4). */
static bool claim(struct recover *r, const uint8_t hid[HID_LEN])
{
	struct workplace *p = &r->place;
	struct kerr err = {0};
	int n;

	memset(p->uuid, 0, sizeof(p->uuid));
	memset(r->vm, 0, sizeof(r->vm));
	remnant_clear(&p->remnant);
	p->remnant = (struct remnant){0};
	if (workplace_lock(p, hid, &err) < 0) {
		await(r, err.text);
		return false;
	}
	n = remnant_read(p->folder, hid, &p->remnant);
	if (n < 0 && n != -ENOENT)
		log_warning("recovery", "%s: the note cannot be read: %s.", p->hex, strerror(-n));
	return true;
}

static void unclaim(struct recover *r)
{
	workplace_remove(&r->place);
	closep(&r->place.dir_fd);
	r->place.dir_fd = -EBADF;
}

static int open_list(struct recover *r, struct policyd_open **ret, size_t *ret_n)
{
	struct kerr err = {0};
	int n = workplace_policyd(&r->place);

	return n < 0 ? n : policyd_client_open_list(r->place.policyd, ret, ret_n, &err);
}

/* The record may have changed until we got the lock: read it again. */
static void recover_one(struct recover *r, const uint8_t hid[HID_LEN])
{
	_cleanup_free_ struct policyd_open *list = NULL;
	size_t n = 0;

	if (!claim(r, hid))
		return;
	if (open_list(r, &list, &n) < 0)
		await(r, "policyd does not answer.");
	for (size_t i = 0; i < n; i++) {
		const struct policyd_open *o = &list[i];

		if (memcmp(o->hid, hid, HID_LEN) != 0)
			continue;
		memcpy(r->place.uuid, o->uuid, UUID_LEN);
		memcpy(r->vm, o->vm, sizeof(r->vm));
		read_inbox(r);
		r->frozen_is_ours = true;
		recover_apply(r, o);
	}
	unclaim(r);
}

/* -- notes of hand-offs that the journal has closed -- */

/* What the journal says now about a note's VM. */
struct standing {
	bool asked; /* policyd answered */
	bool open;  /* this very hand-off */
	bool busy;  /* another one of the same VM */
	bool known; /* the VM is in Kith's care */
	bool here;
};

static struct standing recover_standing(struct recover *r)
{
	_cleanup_free_ struct policyd_open *list = NULL;
	_cleanup_free_ struct policyd_vm *vms = NULL;
	const uint8_t *uuid = r->place.remnant.uuid;
	struct standing s = {0};
	struct kerr err = {0};
	size_t n = 0, vm_count = 0;

	if (open_list(r, &list, &n) < 0 ||
	    policyd_client_vms(r->place.policyd, &vms, &vm_count, &err) < 0)
		return s;
	s.asked = true;
	for (size_t i = 0; i < n; i++) {
		bool same = memcmp(list[i].hid, r->place.hid, HID_LEN) == 0;

		s.open |= same;
		s.busy |= !same && memcmp(list[i].uuid, uuid, UUID_LEN) == 0;
	}
	for (size_t i = 0; i < vm_count; i++) {
		bool same = memcmp(vms[i].uuid, uuid, UUID_LEN) == 0;

		s.known |= same;
		s.here |= same && vms[i].here;
	}
	return s;
}

static bool images_exist(struct recover *r)
{
	for (size_t i = 0; i < r->place.remnant.count; i++)
		if (!disk_was_made(r->place.folder, r->place.remnant.images[i].path))
			return false;
	return true;
}

/* The VM was shut down for a hand-off that did not take place, or its guest still may be about to.
 * True once there is nothing left to do. */
static bool start_again(struct recover *r, bool busy)
{
	struct workplace *p = &r->place;
	struct kerr err = {0};
	int n;

	if (busy) {
		await(r, "another hand-off of the VM is open.");
		return false;
	}
	n = off_again(p, &err);
	if (n == 0)
		log_notice("recovery",
			   "%s: the VM \"%s\" was asked to shut down for a hand-off that did not "
			   "take place; it is on again.",
			   p->hex, p->remnant.vm);
	else
		await(r, n < 0 ? err.text : "the VM's guest may still shut down.");
	return n == 0;
}

/* The VM is this device's: the images are in use, and the note goes once the VM is permanent. An
 * older note, of an earlier stay, has images that left with the VM then. */
static void clean_here(struct recover *r, bool busy)
{
	struct workplace *p = &r->place;
	struct virt_copy copy;
	struct kerr err = {0};

	virt_copy_get(p->virt, p->uuid, &copy);
	if (copy.state == COPY_UNKNOWN) {
		await(r, "libvirt cannot be asked now.");
		return;
	}
	if (!p->remnant.source && p->remnant.xml && !copy.defined && images_exist(r) &&
	    (copy.state == COPY_GONE || whose_copy(r) == WHOSE_OURS)) {
		log_notice("recovery", "%s: the VM is made permanent again.", p->hex);
		if (virt_define(p->virt, p->remnant.xml, false, &err) < 0) {
			await(r, err.text);
			return;
		}
	}
	/* Started for a hand-off that never began. */
	if (p->remnant.source && p->remnant.off && off_end(p, &err) < 0) {
		await(r, err.text);
		return;
	}
	if (p->remnant.source && p->remnant.again_until && !start_again(r, busy))
		return;
	remnant_remove(p->folder, p->hid);
}

/* The VM is elsewhere, or never came: what this hand-off made goes, and a definition that was kept
 * of a VM whose custody is elsewhere (F7). A hand-off of the same VM that is open now has images of
 * its own. */
static void clean_elsewhere(struct recover *r, const struct standing *s)
{
	struct workplace *p = &r->place;
	struct kerr err = {0};
	enum whose whose = whose_copy(r);

	if (whose == WHOSE_UNKNOWN) {
		await(r, "libvirt cannot be asked now.");
		return;
	}
	log_notice("recovery", "%s: removing what an ended hand-off left here.", p->hex);
	if (!s->busy && whose == WHOSE_OURS && !p->remnant.source && !end_our_copy(r))
		return;
	if (!s->busy && whose == WHOSE_NOBODYS && s->known &&
	    virt_retire(p->virt, p->uuid, p->folder, &err) < 0) {
		await(r, err.text);
		return;
	}
	if (whose == WHOSE_OTHERS && p->remnant.source && !s->busy) {
		await(r, "a copy of the VM still runs here although it is elsewhere.");
		return;
	}
	remove_images(r);
}

/* F1: nothing that was known before the lock counts: custody and open hand-offs are asked anew. A
 * copy that was frozen before that, and has no open hand-off after it, is what an ended one left.
 */
static void clean_one(struct recover *r, const uint8_t hid[HID_LEN])
{
	struct standing s;
	bool frozen;

	if (!claim(r, hid))
		return;
	memcpy(r->place.uuid, r->place.remnant.uuid, UUID_LEN);
	frozen = recover_held(r);
	s = recover_standing(r);
	r->frozen_is_ours = frozen && s.asked && !s.open && !s.busy;
	if (!s.asked)
		await(r, "policyd does not answer.");
	else if (s.open)
		await(r, "this hand-off is still open.");
	else if (s.here)
		clean_here(r, s.busy);
	else
		clean_elsewhere(r, &s);
	unclaim(r);
}

/* A worker that was killed after its last record leaves an empty folder with a lock nobody has. */
static void sweep_folders(struct recover *r)
{
	char path[160];
	struct dirent *entry;
	DIR *dir;

	if (config_run_path(&r->place.config, "mover", path, sizeof(path)) < 0)
		return;
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		uint8_t hid[HID_LEN];

		if (hex_decode(entry->d_name, hid, HID_LEN) == 0 && claim(r, hid))
			unclaim(r);
	}
	if (dir)
		closedir(dir);
}

static bool is_open(const struct policyd_open *list, size_t n, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(list[i].hid, hid, HID_LEN) == 0)
			return true;
	return false;
}

static int recover_pass(struct recover *r)
{
	_cleanup_free_ uint8_t(*notes)[HID_LEN] = NULL;
	_cleanup_free_ struct policyd_open *list = NULL;
	size_t n = 0, note_count = 0;

	/* Notes first: one that appears later belongs to a worker that lives. */
	if (remnant_list(r->place.folder, &notes, &note_count) < 0 || open_list(r, &list, &n) < 0) {
		if (!r->quiet)
			log_warning("recovery", "policyd does not answer yet; trying again.");
		return RECOVER_LATER;
	}
	for (size_t i = 0; i < n; i++)
		recover_one(r, list[i].hid);
	for (size_t i = 0; i < note_count; i++)
		if (!is_open(list, n, notes[i]))
			clean_one(r, notes[i]);
	sweep_folders(r);
	return r->later ? RECOVER_LATER : 0;
}

int recover_main(const struct config *config, bool quiet)
{
	static struct recover r;
	struct kerr err = {0};

	log_setup("kith-mover recovery");
	r.quiet = quiet;
	if (secret_process_setup() < 0 || workplace_open(&r.place, config, &err) < 0) {
		log_error("recovery", "Cannot start.");
		return RECOVER_LATER;
	}
	return recover_pass(&r);
}
