/* SPDX-License-Identifier: Apache-2.0 */
/* Notes are written before the stop: a stop that nobody remembers would never end. */
#include "mover/warden-hold.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "policyd/api/proto.h"

#define NOTES "warden/frozen" /* below the run directory */
#define NOTE_MAX 128
#define WOKEN_OFTEN 100
#define ALARM_MS 10000 /* between two alarms about one copy */

/* -- notes -- */

int holds_open(const struct config *config, struct holds *ret)
{
	char path[256];
	int r = config_run_path(config, "warden", path, sizeof(path));
	_cleanup_close_ int parent = -EBADF;

	*ret = (struct holds){.notes_fd = -EBADF};
	if (r == 0)
		r = dir_open(path, 0755, &parent);
	if (r == 0)
		r = config_run_path(config, NOTES, path, sizeof(path));
	return r == 0 ? dir_open(path, 0700, &ret->notes_fd) : r;
}

static int note_write(const struct holds *h, const uint8_t uuid[UUID_LEN],
		      const struct qemu_process *p, bool stopped)
{
	char name[CUSTODY_UUID_TEXT], text[NOTE_MAX];
	int n = snprintf(text, sizeof(text), "%d %" PRIu64 " %s\n", (int)p->pid, p->start,
			 stopped ? "stopped" : "stopping");

	custody_uuid_text(uuid, name);
	return file_write_atomic(h->notes_fd, name, text, (size_t)n, 0600);
}

static void note_remove(const struct holds *h, const uint8_t uuid[UUID_LEN])
{
	char name[CUSTODY_UUID_TEXT];

	custody_uuid_text(uuid, name);
	if (unlinkat(h->notes_fd, name, 0) < 0 && errno != ENOENT)
		log_warning("hold", "Cannot remove the note of %s: %s", name, strerror(errno));
}

static int note_read(const struct holds *h, const char *name, struct hold *ret)
{
	_cleanup_free_ uint8_t *text = NULL;
	char phase[16];
	uint64_t start;
	size_t len;
	int pid, r = custody_uuid_parse(name, ret->uuid);

	if (r == 0)
		r = file_read(h->notes_fd, name, NOTE_MAX, &text, &len);
	if (r < 0)
		return r;
	if (sscanf((const char *)text, "%d %" SCNu64 " %15s", &pid, &start, phase) != 3 || pid <= 1)
		return -EBADMSG;
	ret->stopped = strcmp(phase, "stopped") == 0;
	return qemu_reopen(ret->uuid, pid, start, &ret->p);
}

/* -- the table -- */

struct hold *holds_find(struct holds *h, const uint8_t uuid[UUID_LEN])
{
	for (size_t i = 0; i < HOLDS_MAX; i++)
		if (h->list[i].used && memcmp(h->list[i].uuid, uuid, UUID_LEN) == 0)
			return &h->list[i];
	return NULL;
}

bool holds_any(const struct holds *h)
{
	for (size_t i = 0; i < HOLDS_MAX; i++)
		if (h->list[i].used)
			return true;
	return false;
}

static struct hold *free_slot(struct holds *h)
{
	for (size_t i = 0; i < HOLDS_MAX; i++)
		if (!h->list[i].used)
			return &h->list[i];
	return NULL;
}

static void adopt(struct holds *h, const char *name)
{
	struct hold found = {.used = true, .p = QEMU_PROCESS_NONE}, *slot = free_slot(h);
	int r;

	if (custody_uuid_parse(name, found.uuid) < 0 || holds_find(h, found.uuid) || !slot)
		return;
	r = note_read(h, name, &found);
	if (r < 0) {
		log_info("hold", "%s: its frozen process is gone.", name);
		note_remove(h, found.uuid);
		return;
	}
	log_notice("hold", "%s: process %d was frozen before, and stays so.", name,
		   (int)found.p.pid);
	/* hold_watch() sees whether it still stands still; that it was seen so before makes it an
	 * alarm if it does not. The bolt ended with the one who set it. */
	*slot = found;
	if (found.stopped && qemu_state_all(&slot->p) == QEMU_STOPPED)
		slot->stopped = false;
}

/* A death in the middle of writing a note leaves half of one under a name of its own. */
static void tidy(struct holds *h, const char *name)
{
	const char *end = strrchr(name, '.');

	if (name[0] == '.' && end != name && end && strcmp(end, ".new") == 0)
		unlinkat(h->notes_fd, name, 0);
}

void holds_adopt(struct holds *h)
{
	int fd = openat(h->notes_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (!h->tidied)
			tidy(h, entry->d_name);
		adopt(h, entry->d_name);
	}
	h->tidied = true;
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

int holds_take(struct holds *h, const uint8_t uuid[UUID_LEN], struct qemu_process *p)
{
	struct hold *slot = free_slot(h);
	int r = slot ? note_write(h, uuid, p, false) : -EBUSY;

	if (r < 0)
		return r;
	*slot = (struct hold){.used = true, .p = *p};
	*p = QEMU_PROCESS_NONE;
	memcpy(slot->uuid, uuid, UUID_LEN);
	return qemu_signal(&slot->p, SIGSTOP);
}

void holds_forget(struct holds *h, struct hold *hold)
{
	note_remove(h, hold->uuid);
	qemu_close(&hold->p);
	hold->used = false;
}

/* The note goes last: a death in between leaves a note of a process that runs, and the markers,
 * which allowed this, decide once more. */
void holds_let_go(struct holds *h, struct hold *hold)
{
	int r = qemu_let_go(&hold->p);

	if (r < 0 && r != -ESRCH)
		log_error("hold", "Cannot continue process %d: %s", (int)hold->p.pid, strerror(-r));
	else
		holds_forget(h, hold);
}

/* -- watching -- */

static void tell(struct holds *h, struct hold *hold)
{
	uint64_t now = clock_ms();

	hold->told = hold->woken;
	if (now < hold->alarm_at)
		return;
	hold->alarm_at = now + ALARM_MS;
	log_warning("hold", "Process %d was woken up (%u times so far) and is stopped again.",
		    (int)hold->p.pid, hold->woken);
	if (h->alarm)
		h->alarm(h->ctx, hold->uuid);
}

/* A process that is killed looks the same for a moment: it is told when it stands still again,
 * or when somebody keeps on waking it. */
static void woken(struct holds *h, struct hold *hold)
{
	qemu_signal(&hold->p, SIGSTOP);
	if (++hold->woken - hold->told >= WOKEN_OFTEN)
		tell(h, hold);
}

/* It stands still for the first time, or again. */
static void confirm(struct holds *h, struct hold *hold)
{
	int r = hold->p.bolted || hold->weak ? 0 : qemu_bolt(&hold->p);

	if (r < 0) {
		hold->weak = true;
		log_warning("hold", "Process %d is stopped but not bolted (%s): it is watched.",
			    (int)hold->p.pid, strerror(-r));
	}
	hold->stopped = true;
	r = note_write(h, hold->uuid, &hold->p, true);
	if (r < 0)
		log_warning("hold", "Cannot renew a note: %s", strerror(-r));
}

void hold_watch(struct holds *h, struct hold *hold)
{
	switch (hold->stopped ? qemu_state(&hold->p) : qemu_state_all(&hold->p)) {
	case QEMU_GONE:
		holds_forget(h, hold);
		return;
	case QEMU_STOPPED:
		if (!hold->stopped)
			confirm(h, hold);
		if (hold->woken != hold->told)
			tell(h, hold);
		return;
	case QEMU_WOKEN:
		woken(h, hold);
		return;
	case QEMU_RUNNING:
		if (hold->stopped)
			woken(h, hold);
		else
			qemu_signal(&hold->p, SIGSTOP);
		hold->stopped = false;
		return;
	}
}

void holds_watch(struct holds *h)
{
	for (size_t i = 0; i < HOLDS_MAX; i++)
		if (h->list[i].used)
			hold_watch(h, &h->list[i]);
}

int holds_stop_and_leave(struct holds *h, const uint8_t uuid[UUID_LEN], struct qemu_process *p)
{
	int stopped, r = note_write(h, uuid, p, false);

	/* Stopped it must be in any case; kith-warden finds it by its marker. */
	if (r < 0)
		log_warning("hold", "Cannot note what is stopped: %s", strerror(-r));
	stopped = qemu_stop_wait(p, HOLD_STOP_MS);
	/* The journal may have let the copy go meanwhile, and kith-warden have removed the note
	 * before we stopped it. With one it looks again, and does what the marker says. */
	(void)note_write(h, uuid, p, false);
	return stopped;
}
