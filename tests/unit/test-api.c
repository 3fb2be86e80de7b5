/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON requests: exactly what the table allows passes. */
#include <glib.h>
#include <string.h>

#include "agent/requests.h"

#define HID "000102030405060708090a0b0c0d0e0f"

static void test_good(void)
{
	struct api_request r;
	struct kerr err = {0};
	const char *line = "{\"id\": 7, \"op\": \"handoff\", \"hid\": \"" HID
			   "\", \"device\": \"desktop\", \"address\": \"10.0.0.1:4747\"}";

	g_assert_cmpint(api_parse(line, strlen(line), requests_rows, &r, &err), ==, 0);
	g_assert_cmpuint(r.id, ==, 7);
	g_assert_cmpstr(r.row->name, ==, "handoff");
	g_assert_cmpstr(r.device, ==, "desktop");
	g_assert_cmpstr(r.address, ==, "10.0.0.1:4747");
	g_assert_cmpint(r.hid[15], ==, 15);
	line = "{\"id\": 8, \"op\": \"plan\", \"vm\": \"" HID "\", \"device\": \"desktop\"}";
	g_assert_cmpint(api_parse(line, strlen(line), requests_rows, &r, &err), ==, 0);
	g_assert_cmpint(r.vm[15], ==, 15);
	line = "{\"id\": 9, \"op\": \"plan\", \"vm\": \"" HID "\"}";
	g_assert_cmpint(api_parse(line, strlen(line), requests_rows, &r, &err), ==, 0);
	g_assert_cmpstr(r.device, ==, "");
}

/* N10: whoever does not own the device sees no VM and no hand-off, and does nothing. */
static void test_who(void)
{
	for (const struct api_row *row = requests_rows; row->name; row++) {
		bool open = strcmp(row->name, "status") == 0 || strcmp(row->name, "devices") == 0;

		g_assert_true(row->who & 1u << ASKER_OWNER);
		g_assert_cmpint(!!(row->who & 1u << ASKER_USER), ==, open);
		g_assert_nonnull(row->handle);
		for (const struct api_row *other = row + 1; other->name; other++)
			g_assert_cmpstr(row->name, !=, other->name);
	}
}

static void test_refused(void)
{
	static const struct {
		const char *line;
		enum kcode code;
		uint64_t id;
	} rows[] = {
		{"", KCODE_BAD_MESSAGE, 0},
		{"nonsense", KCODE_BAD_MESSAGE, 0},
		{"[]", KCODE_BAD_MESSAGE, 0},
		{"{\"id\":1,\"op\":\"status\"} x", KCODE_BAD_MESSAGE, 0},
		{"{\"id\":1,\"id\":1,\"op\":\"status\"}", KCODE_BAD_MESSAGE, 0},
		{"{\"id\":1,\"op\":\"stat\\u0000us\"}", KCODE_BAD_MESSAGE, 0},
		{"{\"id\":1,\"op\":\"\xff\"}", KCODE_BAD_MESSAGE, 0},
		{"{\"op\":\"status\"}", KCODE_USAGE, 0},
		{"{\"id\":3}", KCODE_USAGE, 3},
		{"{\"id\":-1,\"op\":\"status\"}", KCODE_USAGE, 0},
		{"{\"id\":1.5,\"op\":\"status\"}", KCODE_USAGE, 0},
		{"{\"id\":\"1\",\"op\":\"status\"}", KCODE_USAGE, 0},
		{"{\"id\":4,\"op\":\"nothing\"}", KCODE_USAGE, 4},
		{"{\"id\":4,\"op\":null}", KCODE_USAGE, 4},
		{"{\"op\":\"status\",\"more\":{},\"id\":5}", KCODE_USAGE, 5},
		{"{\"id\":6,\"op\":\"pair\"}", KCODE_USAGE, 6},
		{"{\"id\":6,\"op\":\"pair\",\"device\":\"\"}", KCODE_USAGE, 6},
		{"{\"id\":6,\"op\":\"pair\",\"device\":\"a\\nb\"}", KCODE_USAGE, 6},
		{"{\"id\":6,\"op\":\"status\",\"device\":\"a\"}", KCODE_USAGE, 6},
		{"{\"id\":6,\"op\":\"cancel\",\"hid\":\"" HID "00\"}", KCODE_USAGE, 6},
		{"{\"id\":6,\"op\":\"cancel\",\"hid\":\"zz0102030405060708090a0b0c0d0e0f\"}",
		 KCODE_USAGE, 6},
		{"{\"id\":6,\"op\":\"plan\",\"vm\":\"work\",\"device\":\"a\"}", KCODE_USAGE, 6},
		{"{\"id\":6,\"op\":\"plan\",\"device\":\"a\"}", KCODE_USAGE, 6},
		{"{\"id\":6,\"op\":\"handoff\",\"hid\":\"" HID "\"}", KCODE_USAGE, 6},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct api_request r;
		struct kerr err = {0};

		g_assert_cmpint(
			api_parse(rows[i].line, strlen(rows[i].line), requests_rows, &r, &err), <,
			0);
		g_assert_cmpint(err.code, ==, rows[i].code);
		g_assert_cmpuint(r.id, ==, rows[i].id);
	}
}

static void test_bounds(void)
{
	g_autofree char *deep = g_strnfill(60000, '[');
	g_autofree char *name = g_strnfill(API_DEVICE_MAX + 1, 'a');
	g_autofree char *line =
		g_strdup_printf("{\"id\":1,\"op\":\"pair\",\"device\":\"%s\"}", name);
	g_autofree char *big = g_strnfill(API_LINE_MAX, ' ');
	struct api_request r;
	struct kerr err = {0};

	g_assert_cmpint(api_parse(deep, strlen(deep), requests_rows, &r, &err), ==, -EBADMSG);
	g_assert_cmpint(api_parse(line, strlen(line), requests_rows, &r, NULL), ==, -EINVAL);
	memmove(strstr(line, "aa"), strstr(line, "aa") + 1, strlen(strstr(line, "aa")));
	g_assert_cmpint(api_parse(line, strlen(line), requests_rows, &r, NULL), ==, 0);
	memcpy(big, "{\"id\":1,\"op\":\"status\"}", 22);
	g_assert_cmpint(api_parse(big, API_LINE_MAX, requests_rows, &r, NULL), ==, -EBADMSG);
	g_assert_cmpint(api_parse(big, API_LINE_MAX - 1, requests_rows, &r, NULL), ==, 0);
}

static void test_replies(void)
{
	struct kerr err = {0};
	json_error_t e;
	char *line;
	json_t *o;

	/* A sentence whose last character was cut in half. */
	kerr_set(&err, 1, KCODE_POLICY, "No \x1b[31m \xe2\x82");
	line = api_reply_error(9, &err);
	g_assert_nonnull(line);
	/* One reply is one line, whatever is in it. */
	g_assert_cmpint(strchr(line, '\n') - line, ==, (int)strlen(line) - 1);
	g_assert_null(strchr(line, 0x1b));
	o = json_loads(line, 0, &e);
	g_assert_cmpstr(json_string_value(json_object_get(json_object_get(o, "error"), "code")), ==,
			"policy");
	g_assert_cmpint(json_integer_value(json_object_get(o, "id")), ==, 9);
	g_assert_true(json_is_false(json_object_get(o, "ok")));
	json_decref(o);
	free(line);
	line = api_event("progress", json_pack("{s:i}", "n", 1));
	g_assert_nonnull(strstr(line, "\"event\":\"progress\""));
	free(line);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/api/a request", test_good);
	g_test_add_func("/api/N10 who may ask for what", test_who);
	g_test_add_func("/api/N1 what is none", test_refused);
	g_test_add_func("/api/N1 size and depth", test_bounds);
	g_test_add_func("/api/N9 replies", test_replies);
	return g_test_run();
}
