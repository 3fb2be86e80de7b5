/* SPDX-License-Identifier: Apache-2.0 */
/* kith-fence: runs before libvirtd starts (R5). A restarted libvirtd resumes a guest whose
 * migration it was cleaning up (W9); a copy that may not run must be frozen before, and every
 * worker that spoke to the old libvirtd has lost its token. It never waits for another device. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "mover/marker.h"
#include "mover/warden-hold.h"
#include "policyd/api/client.h"

#define PATIENCE_MS 5000 /* for one answer of policyd, which may be busy with a slow TPM */
#define SAY_EVERY 5	 /* rounds */

/* Which markers there are: what has to be frozen, and whether any hand-off is under way. */
static const struct {
	bool open, freeze;
} marks[_CUSTODY_MARKER_MAX] = {
	[CUSTODY_MARKER_LEAVING] = {.open = true},
	[CUSTODY_MARKER_ARRIVING] = {.open = true},
	[CUSTODY_MARKER_RELEASED] = {.open = true, .freeze = true},
	[CUSTODY_MARKER_PREPARED] = {.open = true, .freeze = true},
};

static void freeze(struct holds *h, const uint8_t uuid[UUID_LEN], const char *name)
{
	struct qemu_process found = QEMU_PROCESS_NONE;
	_cleanup_(qemu_closep) struct qemu_process *p = &found;
	int r = qemu_find(uuid, name, &found);

	if (r == 0)
		r = holds_stop_and_leave(h, uuid, &found);
	if (r == 0)
		log_notice("fence", "The copy of \"%s\" here is frozen (process %d).", name,
			   (int)found.pid);
	else if (r != -ENOENT && r != -ESRCH)
		log_error("fence", "The copy of \"%s\" here cannot be frozen: %s.", name,
			  strerror(-r));
}

static void kill_copy(const struct policyd_fence *f)
{
	struct qemu_process found = QEMU_PROCESS_NONE;
	_cleanup_(qemu_closep) struct qemu_process *p = &found;

	if (qemu_find(f->uuid, f->name, &found) < 0)
		return;
	log_notice("fence", "\"%s\" runs on \"%s\": its old copy (process %d) ends.", f->name,
		   f->peer_name, (int)found.pid);
	qemu_signal(&found, SIGKILL);
}

/* 0 when policyd took all tokens and its list was obeyed. */
static int ask_policyd(const char *socket, struct holds *h, struct kerr *err)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	_cleanup_free_ struct policyd_fence *list = NULL;
	size_t n = 0;
	int r = ipc_client_patient(socket, PATIENCE_MS, &c);

	/* A full queue is one that nobody empties: silence, too. */
	if (r == -EAGAIN)
		kerr_set(err, EAGAIN, KCODE_INTERRUPTED, "kith-policyd lets nobody in.");
	if (r == 0)
		r = policyd_client_fence(c, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (list[i].verdict == FENCE_KILL)
			kill_copy(&list[i]);
		else
			freeze(h, list[i].uuid, list[i].name);
	return r;
}

/* Without policyd the markers decide. Freezes where `h` is given; true if a hand-off is open. */
static bool look_at_markers(const struct config *config, struct holds *h)
{
	char path[160];
	struct dirent *entry;
	bool open = false;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/" CUSTODY_MARKER_DIR, config->state);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		struct marker info;
		uint8_t uuid[UUID_LEN];

		if (custody_uuid_parse(entry->d_name, uuid) < 0 ||
		    marker_read(dirfd(dir), uuid, &info) < 0)
			continue;
		open |= marks[info.state].open;
		if (h && marks[info.state].freeze)
			freeze(h, uuid, info.name);
	}
	if (dir)
		closedir(dir);
	return open;
}

/* A policyd that can be reached and says nothing may still hold a token good and take a record of
 * its worker later; one that is dead, or refuses, cannot. */
static bool is_silent(int r, const struct kerr *err)
{
	return r < 0 && err->code == KCODE_INTERRUPTED;
}

static void fence(const struct config *config, const char *socket, struct holds *h)
{
	const struct timespec second = {1, 0};

	/* Before anything that may take time. */
	look_at_markers(config, h);
	for (unsigned i = 0;; i++) {
		struct kerr err = {0};
		int r = ask_policyd(socket, h, &err);

		if (r == 0)
			return;
		if (!is_silent(r, &err) || !look_at_markers(config, NULL)) {
			log_notice("fence", "Without kith-policyd (%s) its markers were obeyed.",
				   err.text[0] ? err.text : strerror(-r));
			return;
		}
		if (i % SAY_EVERY == 0)
			log_warning("fence",
				    "A hand-off is under way and kith-policyd does not answer, so "
				    "libvirtd waits: restart kith-policyd.");
		nanosleep(&second, NULL);
	}
}

int main(int argc, char **argv)
{
	const char *path = CONFIG_PATH_DEFAULT;
	struct config config;
	struct kerr err = {0};
	struct holds holds;
	char socket[256];
	int r;

	log_setup("kith-fence");
	if (argc == 3 && strcmp(argv[1], "-c") == 0)
		path = argv[2];
	/* What is wrong in the configuration does not keep other VMs from running. */
	if (config_load(path, &config, &err) < 0)
		log_error("fence", "%s", err.text);
	r = config_run_path(&config, POLICYD_SOCKET, socket, sizeof(socket));
	if (r < 0)
		return 1;
	r = holds_open(&config, &holds);
	if (r < 0)
		log_warning("fence", "Cannot open the notes of kith-warden: %s.", strerror(-r));
	fence(&config, socket, &holds);
	return 0;
}
