/* SPDX-License-Identifier: Apache-2.0 */
/* Where the disks of arriving VMs are made, and the old ones that VMs left here. */
#include <string.h>

#include "base/text.h"
#include "mover/disks-client.h"
#include "mover/proto.h"
#include "ui-tui/cli.h"
#include "ui-tui/model/says.h"

#define COMMAND_MAX (4 * DISKS_PATH_MAX + 32)

struct disks {
	struct ipc_client *mover;
	struct disks_place place;
	struct disks_stale *stale;
	size_t count;
};

static void disks_done(struct disks *d)
{
	ipc_client_free(d->mover);
	free(d->stale);
}

static int disks_read(struct cli *cli, struct disks *d, struct kerr *err)
{
	int r = cli_mover(cli, &d->mover, err);

	if (r < 0)
		return r;
	r = disks_client_get(d->mover, &d->place, &d->stale, &d->count, err);
	return cli_mover_refused(r, err);
}

/* As a shell takes it: in quotes, of which each one inside ends them for a moment. */
static void by_hand(const char *path, char *ret, size_t size)
{
	struct wbuf w = wbuf_init(ret, size - 1);

	wbuf_bytes(&w, "sudo rm -- '", 12);
	for (; *path; path++)
		if (*path == '\'')
			wbuf_bytes(&w, "'\\''", 4);
		else
			wbuf_bytes(&w, path, 1);
	wbuf_bytes(&w, "'", 1);
	ret[wbuf_error(&w) < 0 ? 0 : w.len] = '\0';
}

/* -- the list -- */

static json_t *stale_json(const struct disks_stale *s)
{
	return json_pack(
		"{s:s, s:o, s:s, s:s, s:I, s:o, s:s, s:b, s:b}", "vm", s->vm, "uuid",
		cli_hex(s->uuid, UUID_LEN), "path", s->path, "device", s->peer_name, "time",
		(json_int_t)s->time, "bytes",
		s->state == DISKS_STATE_THERE ? json_integer((json_int_t)s->bytes) : json_null(),
		"state", disks_state_to_string(s->state), "made", s->made, "here", s->here);
}

static json_t *disks_json(const struct disks *d)
{
	const struct disks_place *p = &d->place;
	json_t *list = json_array();

	for (size_t i = 0; i < d->count; i++)
		json_array_append_new(list, stale_json(&d->stale[i]));
	return json_pack("{s:{s:o, s:o, s:I, s:I, s:o}, s:o}", "place", "pool",
			 p->pool[0] ? json_string(p->pool) : json_null(), "folder",
			 p->folder[0] ? json_string(p->folder) : json_null(), "free_bytes",
			 (json_int_t)p->free_bytes, "total_bytes", (json_int_t)p->total_bytes,
			 "reason", cli_kerr_json(&p->why), "stale", list);
}

static void print_place(const struct disks_place *p)
{
	char room[32], total[32];

	if (!p->folder[0]) {
		printf("! no place for disks of VMs that arrive\n  %s\n", p->why.text);
		return;
	}
	model_bytes(p->free_bytes, room, sizeof(room));
	model_bytes(p->total_bytes, total, sizeof(total));
	printf("+ disks of VMs that arrive are made in %s%s%s%s, %s of %s free\n",
	       p->pool[0] ? "the storage pool \"" : "the folder ", p->pool,
	       p->pool[0] ? "\", " : "", p->folder, room, total);
	if (p->why.code != KCODE_OK)
		printf("  %s\n", p->why.text);
}

static void print_stale(const struct disks_stale *s)
{
	static const char *const words[_DISKS_STATE_MAX] = {
		[DISKS_STATE_THERE] = "",
		[DISKS_STATE_GONE] = "gone",
		[DISKS_STATE_UNKNOWN] = "size not known",
	};
	char size[32], when[32];

	model_bytes(s->bytes, size, sizeof(size));
	says_time(s->time, when, sizeof(when));
	printf("! %-16s %s, %s\n%18s%s since it went to \"%s\", %s%s\n", s->vm, s->path,
	       s->state == DISKS_STATE_THERE ? size : words[s->state], "",
	       s->made ? "Kith could not remove it" : "out of date", s->peer_name, when,
	       s->here ? "; the VM is here again, on another image" : "");
}

static int disks_show(struct cli *cli, struct disks *d)
{
	if (cli->json) {
		cli_print_json(disks_json(d));
		return 0;
	}
	print_place(&d->place);
	for (size_t i = 0; i < d->count; i++)
		print_stale(&d->stale[i]);
	if (d->count)
		puts("  `kith disks remove VM` removes what no VM here needs any more.");
	return 0;
}

/* -- removing -- */

static bool is_uuid(const char *word, const uint8_t uuid[UUID_LEN])
{
	char hex[2 * UUID_LEN + 1];
	const char *at = hex;

	hex_encode(uuid, UUID_LEN, hex);
	for (; *word && (*word == '-' || *word == *at); word++)
		at += *word != '-';
	return !*word && !*at;
}

/* The word may be a path, a VM's name, or its UUID. */
static bool is_meant(const struct disks_stale *s, const char *word)
{
	return strcmp(s->path, word) == 0 || strcmp(s->vm, word) == 0 || is_uuid(word, s->uuid);
}

static int ask_remove(struct cli *cli, const struct disks_stale *s, bool forget, struct kerr *err)
{
	char question[DISKS_PATH_MAX + 384], size[32], when[32];

	if (forget)
		return 0;
	model_bytes(s->bytes, size, sizeof(size));
	says_time(s->time, when, sizeof(when));
	snprintf(question, sizeof(question),
		 "Remove %s%s%s%s, which \"%s\" left here when it went to \"%s\" on %s? It cannot "
		 "be brought back. [y/N] ",
		 s->path, s->state == DISKS_STATE_THERE ? " (" : "",
		 s->state == DISKS_STATE_THERE ? size : "",
		 s->state == DISKS_STATE_THERE ? ")" : "", s->vm, s->peer_name, when);
	return cli_confirm(cli, question, err);
}

static const char *const outcome_words[_DISKS_OUTCOME_MAX] = {
	[DISKS_OUTCOME_REMOVED] = "removed",
	[DISKS_OUTCOME_GONE] = "forgotten",
	[DISKS_OUTCOME_BY_HAND] = "by-hand",
};

static void tell_outcome(const struct cli *cli, const struct disks_stale *s,
			 enum disks_outcome outcome)
{
	char command[COMMAND_MAX];

	by_hand(s->path, command, sizeof(command));
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:s, s:s, s:o}", "vm", s->vm, "path", s->path,
					 "outcome", outcome_words[outcome], "command",
					 outcome == DISKS_OUTCOME_BY_HAND ? json_string(command)
									  : json_null()));
	else if (outcome == DISKS_OUTCOME_BY_HAND)
		printf("%s is in no storage pool of libvirt, so Kith may not remove it. No VM here "
		       "needs it:\n    %s\n`kith disks forget %s` then takes it off the list.\n",
		       s->path, command, s->vm);
	else
		printf("%s is %s.\n", s->path,
		       outcome == DISKS_OUTCOME_REMOVED ? "removed" : "off the list");
}

static int remove_one(struct cli *cli, struct disks *d, const struct disks_stale *s, bool forget,
		      struct kerr *err)
{
	struct disks_wish wish = {.forget = forget};
	enum disks_outcome outcome;
	int r = ask_remove(cli, s, forget, err);

	if (r < 0)
		return r;
	memcpy(wish.path, s->path, sizeof(wish.path));
	r = disks_client_remove(d->mover, &wish, &outcome, err);
	if (r == 0)
		tell_outcome(cli, s, outcome);
	return r;
}

static int disks_drop(struct cli *cli, struct disks *d, const char *word, bool forget,
		      struct kerr *err)
{
	const struct disks_stale *first = NULL;
	int r = 0;

	for (size_t i = 0; i < d->count; i++) {
		const struct disks_stale *s = &d->stale[i];

		if (!is_meant(s, word))
			continue;
		if (first && memcmp(first->uuid, s->uuid, UUID_LEN) != 0)
			return kerr_set(err, EINVAL, KCODE_USAGE,
					"Two VMs called \"%.63s\" left images here; give the path.",
					word);
		first = s;
	}
	if (!first)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"\"%.200s\" is no image, and no VM that left one here; `kith "
				"disks` lists them.",
				word);
	for (size_t i = 0; r == 0 && i < d->count; i++)
		if (is_meant(&d->stale[i], word))
			r = remove_one(cli, d, &d->stale[i], forget, err);
	return r;
}

int cmd_disks(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err)
{
	_cleanup_(disks_done) struct disks d = {0};
	int r = disks_read(cli, &d, err);

	return r < 0 ? r : disks_show(cli, &d);
}

static int drop(struct cli *cli, const char *word, bool forget, struct kerr *err)
{
	_cleanup_(disks_done) struct disks d = {0};
	int r = disks_read(cli, &d, err);

	return r < 0 ? r : disks_drop(cli, &d, word, forget, err);
}

int cmd_disks_remove(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	return drop(cli, argv[0], false, err);
}

int cmd_disks_forget(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	return drop(cli, argv[0], true, err);
}

void cli_tell_stale(struct cli *cli, const uint8_t uuid[UUID_LEN])
{
	_cleanup_(disks_done) struct disks d = {0};
	struct kerr ignored = {0};

	if (disks_read(cli, &d, &ignored) < 0)
		return;
	for (size_t i = 0; i < d.count; i++)
		if (memcmp(d.stale[i].uuid, uuid, UUID_LEN) == 0)
			printf("Its old image stays here, out of date: %s (see `kith disks`).\n",
			       d.stale[i].path);
}
