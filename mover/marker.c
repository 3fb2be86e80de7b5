/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of custody markers: whatever is not exactly what kith-policyd writes is damaged. */
#include "mover/marker.h"

#include <string.h>

#include "base/file.h"

#define MARKER_MAX 4096

static int parse_epoch(const char *text, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EBADMSG;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || v > INT64_MAX)
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

static int parse(char *text, struct marker *ret)
{
	struct marker info = {0};
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

int marker_read(int dirfd, const uint8_t uuid[UUID_LEN], struct marker *ret)
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

int marker_may_start(int dirfd, const uint8_t uuid[UUID_LEN], enum custody_use use,
		     struct kerr *err)
{
	struct marker info;
	int r;

	if (use != CUSTODY_USE_START)
		return kerr_set(err, EACCES, KCODE_NOT_READY,
				"kith-policyd does not run or is locked, so no VM may come in by "
				"migration. `kith status` says what to do; then try again.");
	r = marker_read(dirfd, uuid, &info);
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
			"record its start but does not run or is locked. `kith status` says what "
			"to do; then try again.",
			info.name);
	return kerr_set(err, EACCES, KCODE_CUSTODY,
			"The VM \"%s\" may not be started here: it is %s (\"%s\", epoch %llu). "
			"kith-policyd does not run or is locked, so this is the last that was "
			"known.",
			info.name, custody_marker_to_string(info.state), info.holder,
			(unsigned long long)info.epoch);
}
