/* SPDX-License-Identifier: Apache-2.0 */
/* Custody markers: a sentence for people on the first line, `key value` lines for the hook. */
#include "policyd/custody-marker.h"

#include <fcntl.h>

#include "base/file.h"

#define MARKER_MAX 4096

static const char *const custody_marker_names[_CUSTODY_MARKER_MAX] = {
	[CUSTODY_MARKER_HERE] = "here",		[CUSTODY_MARKER_ELSEWHERE] = "elsewhere",
	[CUSTODY_MARKER_LEAVING] = "leaving",	[CUSTODY_MARKER_ARRIVING] = "arriving",
	[CUSTODY_MARKER_RELEASED] = "released", [CUSTODY_MARKER_PREPARED] = "prepared",
	[CUSTODY_MARKER_KEPT] = "kept",		[CUSTODY_MARKER_DOUBT] = "in doubt",
};
DEFINE_NAMES(custody_marker, enum custody_marker, _CUSTODY_MARKER_MAX)

/* -- UUIDs -- */

void custody_uuid_text(const uint8_t uuid[UUID_LEN], char ret[CUSTODY_UUID_TEXT])
{
	static const uint8_t group[] = {4, 2, 2, 2, 6};
	size_t in = 0, out = 0;

	for (size_t i = 0; i < ARRAY_SIZE(group); i++) {
		if (i)
			ret[out++] = '-';
		hex_encode(uuid + in, group[i], ret + out);
		in += group[i];
		out += 2u * group[i];
	}
}

int custody_uuid_parse(const char *text, uint8_t ret[UUID_LEN])
{
	char digits[2 * UUID_LEN + 1];
	size_t n = 0;

	if (strlen(text) != CUSTODY_UUID_TEXT - 1)
		return -EBADMSG;
	for (size_t i = 0; text[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (text[i] == '-'))
			return -EBADMSG;
		if (!dash)
			digits[n++] = text[i];
	}
	digits[n] = '\0';
	return hex_decode(digits, ret, UUID_LEN);
}

/* -- Writing -- */

enum custody_marker custody_marker_state(const struct custody_view *view)
{
	if (custody_is_open(view)) {
		bool bound = view->record == CUSTODY_RELEASED || view->record == CUSTODY_PREPARED;

		if (view->source)
			return bound ? CUSTODY_MARKER_RELEASED : CUSTODY_MARKER_LEAVING;
		return bound ? CUSTODY_MARKER_PREPARED : CUSTODY_MARKER_ARRIVING;
	}
	if (view->doubt == CUSTODY_ASKING)
		return CUSTODY_MARKER_DOUBT;
	if (view->handoff && view->source && view->record == CUSTODY_ABORTED)
		return CUSTODY_MARKER_KEPT;
	return view->here ? CUSTODY_MARKER_HERE : CUSTODY_MARKER_ELSEWHERE;
}

static void sentence(const struct custody_view *v, enum custody_marker state, char *ret,
		     size_t size)
{
	switch (state) {
	case CUSTODY_MARKER_HERE:
		snprintf(ret, size, "The VM \"%s\" belongs to this device.", v->name);
		return;
	case CUSTODY_MARKER_ELSEWHERE:
		snprintf(ret, size, "The VM \"%s\" is on \"%s\" and must not be started here.",
			 v->name, v->holder_name[0] ? v->holder_name : "another device");
		return;
	case CUSTODY_MARKER_KEPT:
		snprintf(
			ret, size,
			"The VM \"%s\" belongs to this device; a hand-off of it is being given up.",
			v->name);
		return;
	case CUSTODY_MARKER_DOUBT:
		snprintf(ret, size,
			 "Nobody said yet whether the VM \"%s\" is here; it must not be started "
			 "here.",
			 v->name);
		return;
	case CUSTODY_MARKER_LEAVING:
	case CUSTODY_MARKER_RELEASED:
		snprintf(ret, size,
			 "The VM \"%s\" is being handed over to \"%s\" and must not be "
			 "started here.",
			 v->name, v->peer_name);
		return;
	case CUSTODY_MARKER_ARRIVING:
	case CUSTODY_MARKER_PREPARED:
		snprintf(ret, size,
			 "The VM \"%s\" is just arriving from \"%s\" and must not be "
			 "started here.",
			 v->name, v->peer_name);
		return;
	case _CUSTODY_MARKER_MAX:
		break;
	}
	ret[0] = '\0';
}

int custody_marker_write(int dirfd, const struct custody_view *view)
{
	enum custody_marker state = custody_marker_state(view);
	char file[CUSTODY_UUID_TEXT], head[384], text[1024];
	const char *holder = view->holder_name;
	int n;

	custody_uuid_text(view->uuid, file);
	if (!view->known)
		return unlinkat(dirfd, file, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (custody_is_open(view))
		holder = view->peer_name;
	sentence(view, state, head, sizeof(head));
	n = snprintf(text, sizeof(text),
		     "%s Written by kith-policyd; changing it changes nothing but what a start "
		     "without kith-policyd is told.\nstate %s\nepoch %llu\nname %s\nholder %s\n",
		     head, custody_marker_to_string(state), (unsigned long long)view->epoch,
		     view->name, holder[0] ? holder : "-");
	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENOBUFS;
	return file_write_atomic(dirfd, file, text, (size_t)n, 0644);
}

/* -- Reading -- */

static int parse_epoch(const char *text, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EBADMSG;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || v > CUSTODY_EPOCH_MAX)
		return -EBADMSG;
	*ret = v;
	return 0;
}

static int parse_name(const char *text, char ret[NAME_MAX_LEN + 1])
{
	if (!text_is_name(text, NAME_MAX_LEN))
		return -EBADMSG;
	snprintf(ret, NAME_MAX_LEN + 1, "%s", text);
	return 0;
}

/* Takes the line that starts with `key` and a space; the cursor moves behind it. */
static char *take_line(char **cursor, const char *key)
{
	char *line = *cursor, *end = strchr(line, '\n');
	size_t len = strlen(key);

	if (!end || strncmp(line, key, len) != 0 || line[len] != ' ')
		return NULL;
	*end = '\0';
	*cursor = end + 1;
	return line + len + 1;
}

static int parse(char *text, struct custody_marker_info *ret)
{
	struct custody_marker_info info = {0};
	char *cursor = strchr(text, '\n');
	const char *state, *epoch, *name, *holder;
	int value;

	if (!cursor)
		return -EBADMSG;
	cursor++;
	state = take_line(&cursor, "state");
	epoch = state ? take_line(&cursor, "epoch") : NULL;
	name = epoch ? take_line(&cursor, "name") : NULL;
	holder = name ? take_line(&cursor, "holder") : NULL;
	if (!holder || *cursor)
		return -EBADMSG;
	value = custody_marker_from_string(state);
	if (value < 0 || parse_epoch(epoch, &info.epoch) < 0 || parse_name(name, info.name) < 0 ||
	    parse_name(holder, info.holder) < 0)
		return -EBADMSG;
	info.state = (enum custody_marker)value;
	*ret = info;
	return 0;
}

int custody_marker_read(int dirfd, const uint8_t uuid[UUID_LEN], struct custody_marker_info *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	char file[CUSTODY_UUID_TEXT];
	size_t len;
	int r;

	custody_uuid_text(uuid, file);
	r = file_read(dirfd, file, MARKER_MAX, &data, &len);
	if (r == -ENOENT)
		return r;
	/* A marker that cannot be read forbids like a damaged one. */
	if (r < 0 || strlen((char *)data) != len)
		return -EBADMSG;
	return parse((char *)data, ret);
}

int custody_marker_may_start(int dirfd, const uint8_t uuid[UUID_LEN], enum custody_use use,
			     struct kerr *err)
{
	struct custody_marker_info info;
	int r;

	if (use != CUSTODY_USE_START)
		return kerr_set(err, EACCES, KCODE_NOT_READY,
				"kith-policyd does not run, so no VM may come in by migration. "
				"Start kith-policyd, then try again.");
	r = custody_marker_read(dirfd, uuid, &info);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return kerr_set(
			err, EACCES, KCODE_CUSTODY,
			"The custody marker of this VM is damaged and kith-policyd does not "
			"run to say where the VM is. Start kith-policyd, then try again.");
	if (info.state == CUSTODY_MARKER_HERE)
		return 0;
	if (info.state == CUSTODY_MARKER_KEPT)
		return kerr_set(
			err, EACCES, KCODE_CUSTODY,
			"A hand-off of the VM \"%s\" is being given up, and kith-policyd has to "
			"record its start but does not run. Start kith-policyd, then try again.",
			info.name);
	return kerr_set(err, EACCES, KCODE_CUSTODY,
			"The VM \"%s\" may not be started here: it is %s (\"%s\", epoch %llu). "
			"kith-policyd does not run, so this is the last that was known.",
			info.name, custody_marker_to_string(info.state), info.holder,
			(unsigned long long)info.epoch);
}
