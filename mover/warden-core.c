/* SPDX-License-Identifier: Apache-2.0 */
/* Marker, policyd's word and process go into the tables; one step comes out and is done. */
#include "mover/warden-core.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "mover/marker.h"

static void open_custody(struct warden *w)
{
	char path[160];

	closep(&w->custody_fd);
	snprintf(path, sizeof(path), "%s/" CUSTODY_MARKER_DIR, w->config.state);
	w->custody_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A device without Kith's state has no VM of Kith; a folder that cannot be read may. */
	w->custody_lost = w->custody_fd < 0 && errno != ENOENT;
}

int warden_open(struct warden *w, const struct config *config)
{
	w->config = *config;
	w->custody_fd = -EBADF;
	open_custody(w);
	return holds_open(config, &w->holds);
}

static int marker_of(const struct warden *w, const uint8_t uuid[UUID_LEN],
		     char ret_name[NAME_MAX_LEN + 1])
{
	struct marker info = {0};
	int r = w->custody_fd >= 0 ? marker_read(w->custody_fd, uuid, &info)
		: w->custody_lost  ? -EIO
				   : -ENOENT;

	memcpy(ret_name, info.name, NAME_MAX_LEN + 1);
	if (r == -ENOENT)
		return WARDEN_MARKER_NONE;
	return r < 0 ? WARDEN_MARKER_BAD : (int)info.state;
}

void warden_name(const struct warden *w, const uint8_t uuid[UUID_LEN], char ret[NAME_MAX_LEN + 1])
{
	marker_of(w, uuid, ret);
	if (!ret[0])
		custody_uuid_text(uuid, ret);
}

/* Again at each look until it is gone, which takes a large one a while; said once. */
static int kill_copy(struct warden *w, const struct qemu_process *p, const char *name)
{
	if (w->ending != p->pid)
		log_notice("warden", "The copy of \"%s\" here (process %d) ends.", name,
			   (int)p->pid);
	w->ending = p->pid;
	return qemu_signal(p, SIGKILL);
}

static int warden_core_act(struct warden *w, enum warden_act what, const uint8_t uuid[UUID_LEN],
			   const char *name, struct hold *hold, struct qemu_process *p)
{
	switch (what) {
	case WARDEN_NOTHING:
		return 0;
	case WARDEN_TAKE:
		log_notice("warden", "The copy of \"%s\" here (process %d) is frozen.", name,
			   (int)p->pid);
		return holds_take(&w->holds, uuid, p);
	case WARDEN_STOP:
		hold_watch(&w->holds, hold);
		return 0;
	case WARDEN_LET_GO:
		log_notice("warden", "\"%s\" may run here again.", name);
		holds_let_go(&w->holds, hold);
		return 0;
	case WARDEN_KILL:
		return kill_copy(w, p, name);
	case WARDEN_FORGET:
		holds_forget(&w->holds, hold);
		return 0;
	}
	return 0;
}

/* How the copy stands after the step. */
static int outcome(struct warden *w, const uint8_t uuid[UUID_LEN], enum warden_aim aim,
		   enum qemu_state state, enum warden_copy *ret)
{
	const struct hold *hold = holds_find(&w->holds, uuid);

	if (state == QEMU_GONE)
		*ret = WARDEN_COPY_GONE;
	else if (aim == WARDEN_END || (hold && !hold->stopped))
		return -EAGAIN;
	else
		*ret = hold ? WARDEN_COPY_FROZEN : WARDEN_COPY_FREE;
	return 0;
}

int warden_apply(struct warden *w, const uint8_t uuid[UUID_LEN], enum warden_request request,
		 enum warden_word word, enum warden_copy *ret, struct kerr *err)
{
	struct qemu_process found = QEMU_PROCESS_NONE;
	_cleanup_(qemu_closep) struct qemu_process *p = &found;
	struct hold *hold = holds_find(&w->holds, uuid);
	char name[NAME_MAX_LEN + 1];
	enum warden_aim aim = warden_aim(marker_of(w, uuid, name), word, hold, request);
	enum qemu_state state = QEMU_GONE;
	int r;

	if (aim == WARDEN_REFUSE)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"No hand-off of this VM is open here, so it is not frozen.");
	if (hold)
		state = qemu_state(&hold->p);
	else if ((aim != WARDEN_LEAVE || request != WARDEN_WATCH) &&
		 qemu_find(uuid, name, &found) == 0)
		state = qemu_state(&found);
	r = warden_core_act(w, warden_act(aim, hold, state), uuid, name, hold,
			    hold ? &hold->p : &found);
	if (r < 0 && r != -ESRCH)
		return kerr_set(err, -r, KCODE_NOT_READY,
				"The process of \"%s\" cannot be stopped or ended: %s.", name,
				strerror(-r));
	return outcome(w, uuid, aim, r == -ESRCH ? QEMU_GONE : state, ret);
}

/* May a copy of it come to be that has to be held? */
static bool is_bound(const struct warden *w, const uint8_t uuid[UUID_LEN])
{
	char name[NAME_MAX_LEN + 1];

	return warden_aim(marker_of(w, uuid, name), WARDEN_WORD_NONE, false, WARDEN_WATCH) !=
	       WARDEN_LEAVE;
}

static void apply_quietly(struct warden *w, const uint8_t uuid[UUID_LEN], enum warden_word word)
{
	enum warden_copy copy;
	struct kerr err = {0};
	int r = warden_apply(w, uuid, WARDEN_WATCH, word, &copy, &err);

	if (r < 0 && r != -EAGAIN)
		log_error("warden", "%s", err.text);
}

bool warden_round(struct warden *w)
{
	uint8_t uuid[UUID_LEN];
	struct dirent *entry;
	bool bound = false;
	DIR *dir = NULL;
	int fd;

	open_custody(w);
	holds_adopt(&w->holds);
	fd = w->custody_fd < 0 ? -EBADF : openat(w->custody_fd, ".", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		dir = fdopendir(fd);
	while (dir && (entry = readdir(dir)))
		if (custody_uuid_parse(entry->d_name, uuid) == 0) {
			apply_quietly(w, uuid, WARDEN_WORD_NONE);
			bound |= is_bound(w, uuid);
		}
	if (dir)
		closedir(dir);
	else
		closep(&fd);
	return bound;
}

void warden_obey(struct warden *w, const struct policyd_fence *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		apply_quietly(w, list[i].uuid,
			      list[i].verdict == FENCE_KILL ? WARDEN_WORD_KILL
							    : WARDEN_WORD_FREEZE);
}
