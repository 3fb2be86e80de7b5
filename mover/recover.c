/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery (reliability.md (c), crash windows): by journal first, by notes after it. */
#include "mover/recover.h"

#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "mover/disk.h"
#include "mover/worker.h"

#define JOB_WAIT_MS 3000

struct recover {
	struct worker w; /* for its journal, lock and libvirt calls */
	bool quiet;
	bool later;
	uint8_t *letter; /* of the other device, see read_inbox() */
	size_t letter_len;
	struct policyd_vm *vms;
	size_t vm_count;
};

static void await(struct recover *r, const char *what)
{
	r->later = true;
	if (!r->quiet)
		log_notice("recovery", "%s: %s", r->w.hex, what);
}

/* W6: libvirtd may still be cleaning up after the worker; nothing is touched before it is done. */
static enum transfer_event look(struct recover *r)
{
	uint64_t end = worker_now_ms() + JOB_WAIT_MS;
	struct virt_copy copy;

	virt_copy_get(r->w.virt, r->w.grant.uuid, &copy);
	while (copy.job && worker_now_ms() < end) {
		usleep(50000);
		virt_copy_get(r->w.virt, r->w.grant.uuid, &copy);
	}
	if (copy.job)
		return TRANSFER_EVENT_COPY_UNKNOWN;
	switch (copy.state) {
	case COPY_GONE:
		return TRANSFER_EVENT_COPY_GONE;
	case COPY_PAUSED:
		return TRANSFER_EVENT_COPY_PAUSED;
	case COPY_RUNS:
		return TRANSFER_EVENT_COPY_RUNS;
	case COPY_UNKNOWN:
	case _COPY_STATE_MAX:
		break;
	}
	return TRANSFER_EVENT_COPY_UNKNOWN;
}

/* What the other device said by way of kithd since nobody worked on this hand-off. policyd has
 * verified it and keeps only what the last record waits for. */
static void read_inbox(struct recover *r)
{
	enum custody_statement_kind kind;
	struct kerr err = {0};

	free(r->letter);
	r->letter = NULL;
	r->letter_len = 0;
	if (policyd_client_custody_inbox(r->w.policyd, r->w.hid, &kind, &r->letter, &r->letter_len,
					 &err) < 0)
		log_debug("recovery", "%s", err.text);
}

/* With the letter as proof. Which one of two it is need not be known: policyd refuses a proof of
 * the wrong kind. */
static bool journal_letter(struct recover *r, enum custody_record record)
{
	_cleanup_free_ uint8_t *statement = NULL;
	size_t len;

	return r->letter_len && worker_journal(&r->w, record, r->letter, r->letter_len, &statement,
					       &len) == TRANSFER_EVENT_JOURNALLED;
}

static bool journal(struct recover *r, enum custody_record record)
{
	_cleanup_free_ uint8_t *statement = NULL;
	size_t len;

	if (worker_journal(&r->w, record, NULL, 0, &statement, &len) == TRANSFER_EVENT_JOURNALLED)
		return true;
	await(r, "policyd does not take the record now; asking again.");
	return false;
}

static void remove_images(struct recover *r)
{
	struct worker *w = &r->w;
	_cleanup_close_ int folder = -EBADF;
	struct kerr err = {0};

	if (w->remnant.count && disk_folder_open(w->config.images, &folder, &err) < 0) {
		await(r, err.text);
		return;
	}
	for (size_t i = 0; i < w->remnant.count; i++) {
		int n = disk_remove(folder, w->config.images, w->remnant.paths[i]);

		if (n < 0 && n != -ENOENT)
			log_warning("recovery", "Cannot remove %s: %s.", w->remnant.paths[i],
				    strerror(-n));
	}
	remnant_remove(w->folder, w->hid);
}

static bool destroy(struct recover *r)
{
	struct kerr err = {0};

	if (virt_destroy(r->w.virt, r->w.grant.uuid, &err) == 0)
		return true;
	await(r, err.text);
	return false;
}

/* Makes the copy run, and at the destination permanent; then the hand-off is closed. */
static void run_copy(struct recover *r, bool source, bool boot)
{
	struct worker *w = &r->w;
	struct kerr err = {0};
	struct virt_copy copy;

	virt_copy_get(w->virt, w->grant.uuid, &copy);
	if (copy.state == COPY_PAUSED && virt_resume(w->virt, w->grant.uuid, &err) < 0) {
		await(r, err.text);
		return;
	}
	if (!source && w->remnant.xml && (boot || !copy.defined) &&
	    virt_define(w->virt, w->remnant.xml, boot, &err) < 0) {
		await(r, err.text);
		return;
	}
	virt_copy_get(w->virt, w->grant.uuid, &copy);
	if (copy.state != COPY_RUNS) {
		await(r, "the VM does not run yet; trying again.");
		return;
	}
	log_notice("recovery", "%s: the VM \"%s\" runs here.", w->hex, w->grant.vm);
	if (journal(r, CUSTODY_DONE))
		remnant_remove(w->folder, w->hid);
}

static void void_copy(struct recover *r)
{
	/* Only a domain that we asked libvirt for is ours to destroy. */
	if (r->w.remnant.xml && !destroy(r))
		return;
	log_notice("recovery", "%s: the incomplete copy of \"%s\" is removed.", r->w.hex,
		   r->w.grant.vm);
	if (journal(r, CUSTODY_VOID))
		remove_images(r);
}

/* RELEASED: a NACK gives the VM back (R4), an ACK ends the copy here (S7b, then S7d). */
static void released(struct recover *r)
{
	if (!r->letter_len) {
		await(r, "the VM was released to the other device and stays paused here until "
			 "that one says that it runs there, or that its copy was lost.");
	} else if (journal_letter(r, CUSTODY_RECLAIM)) {
		log_notice("recovery", "%s: the other device lost its copy; the VM stays here.",
			   r->w.hex);
		run_copy(r, true, false);
	} else if (destroy(r) && journal_letter(r, CUSTODY_DONE)) {
		log_notice("recovery", "%s: the VM \"%s\" runs on the other device.", r->w.hex,
			   r->w.grant.vm);
		remove_images(r);
	} else {
		await(r, "the other device's answer could not be acted on yet.");
	}
}

/* PREPARED with a whole copy: RELEASE makes it ours, ABORT ends it. */
static void prepared(struct recover *r, bool paused)
{
	if (!r->letter_len) {
		await(r, "a complete copy waits, paused, for the source's decision.");
	} else if (!paused) {
		log_error("recovery",
			  "%s: the copy runs although it was never released; it is "
			  "left alone.",
			  r->w.hex);
		r->later = true;
	} else if (journal_letter(r, CUSTODY_OWN)) {
		run_copy(r, false, false);
	} else if (destroy(r) && journal_letter(r, CUSTODY_VOID)) {
		log_notice("recovery", "%s: the source kept the VM; the copy is removed.",
			   r->w.hex);
		remove_images(r);
	} else {
		await(r, "the source's decision could not be acted on yet.");
	}
}

/* The own copy died before the commit: a VOTE saves the VM (R1, R2). Until one comes the hand-off
 * counts as given up, so that the owner may boot the VM from its disk. */
static void forward(struct recover *r, enum custody_record record)
{
	_cleanup_free_ uint8_t *statement = NULL;
	struct kerr err = {0};
	size_t len;

	if (r->letter_len &&
	    policyd_client_release_forward(r->w.policyd, r->w.hid, r->letter, r->letter_len,
					   &statement, &len, &err) == 0) {
		await(r, "this device's copy died, but the other one has a complete copy: it was "
			 "released to it.");
		return;
	}
	if (record == CUSTODY_PREP)
		journal(r, CUSTODY_ABORTED);
	await(r,
	      "this device's copy died during the hand-off; only the destination can say whether "
	      "it has a complete one. Waiting for its word; the VM can also be started again from "
	      "its disk.");
}

static void apply(struct recover *r, const struct policyd_open *o)
{
	enum transfer_event copy = look(r);

	switch (transfer_recovery(o->record, copy)) {
	case RECOVERY_NOTHING:
		break;
	case RECOVERY_ABORT:
		if (journal(r, CUSTODY_ABORTED))
			run_copy(r, true, false);
		break;
	case RECOVERY_RUN:
		run_copy(r, o->source, false);
		break;
	case RECOVERY_CLOSE:
		if (journal(r, CUSTODY_DONE))
			remnant_remove(r->w.folder, r->w.hid);
		break;
	case RECOVERY_ASK:
		forward(r, o->record);
		break;
	case RECOVERY_AWAIT_ANSWER:
		released(r);
		break;
	case RECOVERY_AWAIT_RELEASE:
		prepared(r, copy == TRANSFER_EVENT_COPY_PAUSED);
		break;
	case RECOVERY_VOID:
		void_copy(r);
		break;
	case RECOVERY_BOOT:
		run_copy(r, false, true);
		break;
	case RECOVERY_LATER:
		await(r, "libvirt cannot be asked now, or is still busy with the VM.");
		break;
	case _RECOVERY_MAX:
		break;
	}
}

/* Takes the hand-off's lock; false while its worker lives. */
static bool claim(struct recover *r, const uint8_t hid[HID_LEN])
{
	struct worker *w = &r->w;
	struct kerr err = {0};

	memcpy(w->hid, hid, HID_LEN);
	hex_encode(hid, HID_LEN, w->hex);
	kerr_clear(&w->failure);
	memset(&w->grant, 0, sizeof(w->grant));
	remnant_clear(&w->remnant);
	w->remnant = (struct remnant){0};
	if (worker_folder(w, &err) < 0)
		return false;
	(void)remnant_read(w->folder, hid, &w->remnant);
	return true;
}

static void unclaim(struct recover *r)
{
	worker_folder_remove(r->w.dir, r->w.dir_fd);
	closep(&r->w.dir_fd);
	r->w.dir_fd = -EBADF;
}

static int open_list(struct recover *r, struct policyd_open **ret, size_t *ret_n)
{
	struct worker *w = &r->w;
	struct kerr err = {0};
	char path[160];
	int n = 0;

	if (!w->policyd) {
		n = config_run_path(&w->config, POLICYD_SOCKET, path, sizeof(path));
		n = n < 0 ? n : ipc_client_new(path, &w->policyd);
	}
	return n < 0 ? n : policyd_client_open_list(w->policyd, ret, ret_n, &err);
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
		memcpy(r->w.grant.uuid, o->uuid, UUID_LEN);
		memcpy(r->w.grant.vm, o->vm, sizeof(r->w.grant.vm));
		read_inbox(r);
		apply(r, o);
	}
	unclaim(r);
}

static int custody_of(const struct recover *r, const uint8_t uuid[UUID_LEN])
{
	for (size_t i = 0; i < r->vm_count; i++)
		if (memcmp(r->vms[i].uuid, uuid, UUID_LEN) == 0)
			return r->vms[i].here ? 1 : 0;
	return -1;
}

/* A note without an open hand-off: the journal is closed, the cleaning up was interrupted. */
static void clean_one(struct recover *r, const uint8_t hid[HID_LEN])
{
	struct remnant *rem = &r->w.remnant;
	int here;

	if (!claim(r, hid))
		return;
	here = custody_of(r, rem->uuid);
	memcpy(r->w.grant.uuid, rem->uuid, UUID_LEN);
	if (here == 1) {
		/* Kept at the source, or owned by now: images are in use. */
		remnant_remove(r->w.folder, hid);
	} else if (rem->source ? here == 0 : true) {
		log_notice("recovery", "%s: removing what an ended hand-off left here.", r->w.hex);
		if ((!rem->source && !rem->xml) || destroy(r))
			remove_images(r);
	}
	unclaim(r);
}

static bool is_open(const struct policyd_open *list, size_t n, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(list[i].hid, hid, HID_LEN) == 0)
			return true;
	return false;
}

static int pass(struct recover *r)
{
	_cleanup_free_ uint8_t(*notes)[HID_LEN] = NULL;
	_cleanup_free_ struct policyd_open *list = NULL;
	struct kerr err = {0};
	size_t n = 0, note_count = 0;

	/* Notes first: one that appears later belongs to a worker that lives. */
	if (remnant_list(r->w.folder, &notes, &note_count) < 0 || open_list(r, &list, &n) < 0 ||
	    policyd_client_vms(r->w.policyd, &r->vms, &r->vm_count, &err) < 0) {
		if (!r->quiet)
			log_warning("recovery", "policyd does not answer yet; trying again.");
		return RECOVER_LATER;
	}
	for (size_t i = 0; i < n; i++)
		recover_one(r, list[i].hid);
	for (size_t i = 0; i < note_count; i++)
		if (!is_open(list, n, notes[i]))
			clean_one(r, notes[i]);
	return r->later ? RECOVER_LATER : 0;
}

int recover_main(const struct config *config, bool quiet)
{
	static struct recover r;

	log_setup("kith-mover recovery");
	r.w.config = *config;
	r.quiet = quiet;
	r.w.dir_fd = -EBADF;
	r.w.virt = virt_new();
	if (secret_process_setup() < 0 || !r.w.virt || virt_setup() < 0 ||
	    remnant_folder_open(config->state, &r.w.folder) < 0) {
		log_error("recovery", "Cannot start.");
		return RECOVER_LATER;
	}
	return pass(&r);
}
