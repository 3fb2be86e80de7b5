/* SPDX-License-Identifier: Apache-2.0 */
/* The facts are as kithd tells them. */
#include "tests/unit/desk.h"

#include <glib.h>
#include <string.h>

static const char vms[] =
	"{\"vms\":["
	"{\"uuid\":\"" DESK_WORK "\",\"name\":\"work\",\"known\":true,"
	"\"defined\":true,\"policy_version\":1,\"here\":true,\"state\":\"running\",\"hid\":null},"
	"{\"uuid\":\"10112233445566778899aabbccddeeff\",\"name\":\"mail\",\"known\":true,"
	"\"defined\":false,\"policy_version\":1,\"here\":false,\"holder_name\":\"desktop\"},"
	"{\"uuid\":\"20112233445566778899aabbccddeeff\",\"name\":\"" DESK_LONG "\",\"known\":false,"
	"\"defined\":true,\"here\":true,\"state\":\"off\"}],"
	"\"error\":null,\"mover_error\":null}";
static const char devices[] =
	"{\"devices\":["
	"{\"id\":\"bb112233445566778899aabbccddeeff\",\"name\":\"device-bb112233\","
	"\"paired\":false,\"nearby\":true,\"age_ms\":10,\"pairing\":false},"
	"{\"id\":\"" DESK_DESKTOP "\",\"name\":\"desktop\",\"role\":\"desktop\",\"paired\":true,"
	"\"own\":true,\"person\":\"Tom\",\"verdict\":\"trusted\",\"tier\":\"software\","
	"\"nearby\":true,\"age_ms\":20,\"reason\":null}],\"error\":null}";

void desk_take(struct desk *d, void (*fn)(struct state *s, const json_t *v), const char *text)
{
	json_error_t e;
	json_t *v = json_loads(text, 0, &e);

	if (!v)
		g_error("%s in %s", e.text, text);
	fn(&d->state, v);
	json_decref(v);
}

void desk_begin(struct desk *d, bool read_only)
{
	memset(d, 0, sizeof(*d));
	d->state.now = DESK_TIME;
	ui_begin(&d->ui, &d->state, read_only);
	state_connected(&d->state);
	desk_take(
		d, state_take_here,
		"{\"name\":\"laptop\",\"role\":\"laptop\",\"owner\":\"Tom\",\"state\":\"ready\"}");
	desk_take(d, state_take_vms, vms);
	desk_take(d, state_take_devices, devices);
	ui_changed(&d->ui);
}

void desk_end(struct desk *d)
{
	ui_release(&d->ui);
	state_release(&d->state);
	canvas_release(&d->canvas);
}

void desk_press(struct desk *d, const char *keys)
{
	for (; *keys; keys++)
		ui_key(&d->ui, *keys == '\n'	 ? PRESS_ENTER
			       : *keys == '\t'	 ? PRESS_TAB
			       : *keys == '\033' ? PRESS_ESC
						 : *keys);
}

bool desk_wished(struct desk *d, enum wish_kind kind, struct wish *ret)
{
	while (ui_take_wish(&d->ui, ret))
		if (ret->kind == kind)
			return true;
	return false;
}

void desk_plan_of(struct desk *d, bool off, const char *why_not_warm)
{
	struct policyd_plan plan = {.allowed = 1, .verdict = VERDICT_TRUSTED};
	json_t *warm = why_not_warm
			       ? json_pack("{s:s, s:s}", "code", "domain", "text", why_not_warm)
			       : json_null();
	json_t *live = off ? json_pack("{s:s, s:s}", "code", "not-running", "text", "It is off.")
			   : json_null();
	json_t *answer = json_pack(
		"{s:s, s:b, s:[{s:s, s:o, s:i}, {s:s, s:o, s:i}, {s:s, s:n, s:i}], s:n, s:I, s:I, "
		"s:b, s:i, s:i}",
		"rung", off ? "cold" : "live-disk", "off", off, "rungs", "rung", "live", "reason",
		live, "pause_ms", 1000, "rung", "warm", "reason", warm, "pause_ms", 21000, "rung",
		"cold", "reason", "pause_ms", 12000, "reason", "memory_bytes",
		(json_int_t)(off ? 0 : INT64_C(2147483648)), "disk_bytes", (json_int_t)1073741824,
		"reached", 1, "least_ms", 11000, "most_ms", 32000);
	struct outlook o;

	g_assert_nonnull(answer);
	snprintf(plan.rule, sizeof(plan.rule),
		 "allow owner all to own laptop, desktop, server if verdict trusted");
	outlook_begin(&plan, &o);
	outlook_take(&o, answer);
	json_decref(answer);
	ui_planned(&d->ui, &o);
	outlook_release(&o);
}

void desk_plan(struct desk *d)
{
	desk_plan_of(d, false, NULL);
}

void desk_draw(struct desk *d, unsigned columns, unsigned lines)
{
	g_assert_cmpint(canvas_resize(&d->canvas, lines, columns), ==, 0);
	ui_resized(&d->ui, lines, columns);
	draw_screen(&d->ui, &d->canvas);
}

char *desk_line(const struct desk *d, unsigned line)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < d->canvas.columns; i++)
		g_string_append(text, canvas_at(&d->canvas, line, i)->text);
	return g_string_free(text, FALSE);
}

bool desk_shows(const struct desk *d, const char *what)
{
	bool found = false;

	for (unsigned i = 0; i < d->canvas.lines; i++) {
		g_autofree char *text = desk_line(d, i);

		found = found || strstr(text, what);
	}
	return found;
}
