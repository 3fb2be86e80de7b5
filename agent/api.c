/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in, one checked struct out; structs in, JSON lines out. */
#include "agent/api.h"

#include <glib.h>
#include <string.h>

#include "base/advice.h"
#include "base/buf.h"

#define MEMBER_ID 0x1u
#define MEMBER_OP 0x2u
#define MEMBERS_ALWAYS (MEMBER_ID | MEMBER_OP)

struct reading {
	const struct api_row *rows;
	struct api_request request;
	unsigned seen; /* members */
};

/* jansson itself recurses up to 2,048 levels. */
static bool depth_ok(const char *line, size_t len)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > API_DEPTH_MAX)
				return false;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return true;
}

static int read_text(const json_t *v, char *ret, size_t size)
{
	const char *s = json_string_value(v);

	if (!s || !*s || strlen(s) >= size || !text_is_name(s, size - 1))
		return -EINVAL;
	memcpy(ret, s, strlen(s) + 1);
	return 0;
}

static int read_id(const json_t *v, struct reading *r)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EINVAL;
	r->request.id = (uint64_t)json_integer_value(v);
	return 0;
}

static int read_op(const json_t *v, struct reading *r)
{
	const char *name = json_string_value(v);

	for (const struct api_row *row = r->rows; name && row->name; row++)
		if (strcmp(row->name, name) == 0) {
			r->request.row = row;
			return 0;
		}
	return -EINVAL;
}

static int read_device(const json_t *v, struct reading *r)
{
	return read_text(v, r->request.device, sizeof(r->request.device));
}

static int read_address(const json_t *v, struct reading *r)
{
	return read_text(v, r->request.address, sizeof(r->request.address));
}

static int read_hex(const json_t *v, uint8_t *ret, size_t len)
{
	const char *s = json_string_value(v);

	return s && strlen(s) == 2 * len && hex_decode(s, ret, len) == 0 ? 0 : -EINVAL;
}

static int read_hid(const json_t *v, struct reading *r)
{
	return read_hex(v, r->request.hid, HID_LEN);
}

static int read_vm(const json_t *v, struct reading *r)
{
	return read_hex(v, r->request.vm, UUID_LEN);
}

static const struct {
	const char *name, *expects;
	unsigned bit;
	int (*read)(const json_t *v, struct reading *r);
} members[] = {
	{"id", "a whole number, not negative", MEMBER_ID, read_id},
	{"op", "the name of a request", MEMBER_OP, read_op},
	{"device", "text", API_DEVICE, read_device},
	{"address", "text", API_ADDRESS, read_address},
	{"hid", "32 hexadecimal digits", API_HID, read_hid},
	{"vm", "a UUID as 32 hexadecimal digits", API_VM, read_vm},
};

static int read_member(const char *key, const json_t *v, struct reading *r, struct kerr *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		if (strcmp(members[i].name, key) != 0)
			continue;
		r->seen |= members[i].bit;
		if (members[i].read(v, r) < 0)
			return kerr_set(err, EINVAL, KCODE_USAGE, "\"%s\" must be %s.", key,
					members[i].expects);
		return 0;
	}
	return kerr_set(err, EINVAL, KCODE_USAGE, "A request has no member \"%.40s\".", key);
}

static int read_object(json_t *object, struct reading *r, struct kerr *err)
{
	const struct api_row *row;
	const char *key;
	json_t *v;
	int first = 0;

	/* All of them, so that the id is found even if another is wrong. */
	json_object_foreach(object, key, v)
	{
		int e = read_member(key, v, r, err);

		if (first == 0)
			first = e;
	}
	if (first < 0)
		return first;
	if ((r->seen & MEMBERS_ALWAYS) != MEMBERS_ALWAYS)
		return kerr_set(err, EINVAL, KCODE_USAGE, "A request needs \"id\" and \"op\".");
	row = r->request.row;
	if ((r->seen & row->needs) != row->needs ||
	    (r->seen & ~(MEMBERS_ALWAYS | row->needs | row->may)))
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The request \"%s\" lacks a member or has one too many.",
				row->name);
	return 0;
}

int api_parse(const char *line, size_t len, const struct api_row *rows, struct api_request *ret,
	      struct kerr *err)
{
	struct reading r = {.rows = rows};
	json_error_t e;
	json_t *root = NULL;
	int n;

	ret->id = 0;
	if (len < API_LINE_MAX && depth_ok(line, len))
		root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(root)) {
		json_decref(root);
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The request is not one JSON object of bounded size and depth.");
	}
	n = read_object(root, &r, err);
	json_decref(root);
	if (n < 0)
		ret->id = r.request.id;
	else
		*ret = r.request;
	return n;
}

json_t *api_text(const char *text)
{
	json_t *v = json_string(text);

	if (!v) {
		char *valid = g_utf8_make_valid(text, -1);

		v = json_string(valid);
		g_free(valid);
	}
	return v;
}

json_t *api_hex(const uint8_t *data, size_t len)
{
	char hex[2 * 64 + 1];

	hex_encode(data, MIN_OF(len, (size_t)64), hex);
	return json_string(hex);
}

json_t *api_error(const struct kerr *err)
{
	if (err->code == KCODE_OK)
		return json_null();
	return json_pack("{s:s, s:o, s:o}", "code", kcode_to_string(err->code), "text",
			 api_text(err->text), "next", api_text(kcode_next_step(err->code)));
}

static char *to_line(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT), *line = NULL;

	json_decref(object);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}

char *api_reply(uint64_t id, json_t *result)
{
	return to_line(
		json_pack("{s:I, s:b, s:o}", "id", (json_int_t)id, "ok", 1, "result", result));
}

char *api_reply_error(uint64_t id, const struct kerr *err)
{
	return to_line(json_pack("{s:I, s:b, s:o}", "id", (json_int_t)id, "ok", 0, "error",
				 api_error(err)));
}

char *api_event(const char *name, json_t *object)
{
	json_object_set_new(object, "event", json_string(name));
	return to_line(object);
}
