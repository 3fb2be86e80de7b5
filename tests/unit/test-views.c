/* SPDX-License-Identifier: Apache-2.0 */
/* Each view and dialog as it is drawn, held against tests/golden/screen-*.txt; and what is said of
 * each state that a VM, a device, a hand-off or a pairing can be in. With KITH_GOLDEN=write the
 * files are written anew: look at their diff. */
#include <glib.h>
#include <locale.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "tests/unit/desk.h"
#include "ui-tui/model/says.h"

#define SERVER "cc112233445566778899aabbccddeeffcc112233445566778899aabbccddeeff"
#define EVE "dd112233445566778899aabbccddeeffdd112233445566778899aabbccddeeff"

static const char vms[] =
	"{\"vms\":["
	"{\"uuid\":\"" DESK_WORK "\",\"name\":\"work\",\"known\":true,\"defined\":true,"
	"\"policy_version\":1,\"here\":true,\"state\":\"running\",\"memory_bytes\":2147483648},"
	"{\"uuid\":\"10112233445566778899aabbccddeeff\",\"name\":\"mail\",\"known\":true,"
	"\"defined\":false,\"policy_version\":3,\"here\":false,\"holder_name\":\"desktop\","
	"\"holder\":\"" DESK_DESKTOP "\"},"
	"{\"uuid\":\"20112233445566778899aabbccddeeff\",\"name\":\"photos\",\"known\":true,"
	"\"defined\":true,\"policy_version\":1,\"here\":true,\"state\":\"off\","
	"\"memory_bytes\":536870912},"
	"{\"uuid\":\"30112233445566778899aabbccddeeff\",\"name\":\"scratch\",\"known\":false,"
	"\"defined\":true,\"here\":true,\"state\":\"running\",\"memory_bytes\":268435456}],"
	"\"error\":null,\"mover_error\":null}";
static const char devices[] =
	"{\"devices\":["
	"{\"id\":\"bb112233445566778899aabbccddeeff\",\"name\":\"tablet\",\"role\":\"other\","
	"\"paired\":false,\"nearby\":true,\"age_ms\":10,\"pairing\":true},"
	"{\"id\":\"" DESK_DESKTOP "\",\"name\":\"desktop\",\"role\":\"desktop\",\"paired\":true,"
	"\"own\":true,\"person\":\"Tom\",\"person_role\":\"owner\",\"verdict\":\"untrusted\","
	"\"tier\":\"pinned\",\"nearby\":true,\"age_ms\":20,\"reason\":{\"code\":\"attest-pcr\","
	"\"text\":\"Changed: the boot loader or kernel (PCR 4).\"}},"
	"{\"id\":\"" SERVER "\",\"name\":\"server\",\"role\":\"server\",\"paired\":true,"
	"\"own\":true,\"person\":\"Tom\",\"person_role\":\"owner\",\"verdict\":\"trusted\","
	"\"tier\":\"software\",\"nearby\":true,\"age_ms\":20,\"reason\":null},"
	"{\"id\":\"" EVE "\",\"name\":\"den\",\"role\":\"desktop\",\"paired\":true,"
	"\"own\":false,\"person\":\"Bob\",\"person_role\":\"family\",\"receive\":true,"
	"\"verdict\":\"trusted\",\"tier\":\"software\",\"nearby\":false,\"age_ms\":7200000,"
	"\"reason\":null}],\"error\":null}";
static const char jobs[] =
	"{\"jobs\":["
	"{\"hid\":\"f0112233445566778899aabbccddeeff\",\"uuid\":\"" DESK_WORK "\",\"vm\":\"work\","
	"\"device\":\"" SERVER "\",\"device_name\":\"server\",\"source\":true,"
	"\"phase\":\"copying memory\",\"ram_bytes\":536870912,\"ram_total\":2147483648,"
	"\"disk_bytes\":1073741824,\"disk_total\":1073741824,\"rate_bytes_s\":104857600,"
	"\"left_ms\":15000,\"elapsed_ms\":15000},"
	"{\"hid\":\"f1112233445566778899aabbccddeeff\",\"uuid\":"
	"\"20112233445566778899aabbccddeeff\","
	"\"vm\":\"photos\",\"device\":\"" DESK_DESKTOP "\",\"device_name\":\"desktop\","
	"\"source\":false,\"phase\":\"done\",\"elapsed_ms\":21400,\"downtime_ms\":80},"
	"{\"hid\":\"f2112233445566778899aabbccddeeff\",\"uuid\":\"" DESK_WORK "\",\"vm\":\"work\","
	"\"device\":\"" DESK_DESKTOP "\",\"device_name\":\"desktop\",\"source\":true,"
	"\"phase\":\"failed\",\"elapsed_ms\":900,\"error\":{\"code\":\"attest-pcr\","
	"\"text\":\"\\\"desktop\\\" does not run what you accepted: the boot loader or kernel (PCR "
	"4) changed.\"}}]}";
static const char checks[] =
	"{\"checks\":["
	"{\"name\":\"kith-policyd\",\"verdict\":\"ok\",\"sentence\":\"kith-policyd runs.\"},"
	"{\"name\":\"kithd\",\"verdict\":\"ok\",\"sentence\":\"kithd runs.\"},"
	"{\"name\":\"tpm\",\"verdict\":\"warn\",\"sentence\":\"The TPM is emulated: it protects "
	"against mistakes only.\"},"
	"{\"name\":\"firewall\",\"verdict\":\"bad\",\"sentence\":\"The firewall lets nobody in on "
	"port 16520.\",\"remedy\":\"`sudo ufw allow kith`\"},"
	"{\"name\":\"time\",\"verdict\":\"unknown\",\"sentence\":\"Nobody says whether the clock "
	"is "
	"right.\"}]}";
static const char policy[] = "# Mine, and at home.\n"
			     "allow owner all to own laptop, desktop, server if verdict trusted\n"
			     "allow family move-in to own if verdict trusted\n";

static void give_trust(struct desk *d)
{
	struct policyd_trust t = {.pcrs = 0x91, .versions = "kernel 6.1.0-21\nqemu 7.2.9"};

	hex_decode(DESK_DESKTOP, t.peer.id, DEVICE_ID_LEN);
	snprintf(t.peer.name, sizeof(t.peer.name), "desktop");
	snprintf(t.peer.person, sizeof(t.peer.person), "Tom");
	t.peer.role = DEVICE_ROLE_DESKTOP;
	t.peer.tier = TPM_TIER_PINNED;
	t.peer.own = 1;
	t.peer.verdict = VERDICT_UNTRUSTED;
	t.peer.evidence_time = DESK_TIME - 300;
	kerr_set(&t.peer.reason, EACCES, KCODE_ATTEST_PCR,
		 "Changed: the boot loader or kernel (PCR 4).");
	memset(t.want, 0x5a, sizeof(t.want));
	memset(t.now, 0x5a, sizeof(t.now));
	memset(t.now[4], 0xc3, HASH_LEN);
	state_take_trust(&d->state, &t);
}

static void give_log(struct desk *d)
{
	struct policyd_audit a[] = {
		{.action = "init", .person = "Tom", .allowed = 1},
		{.action = "pair", .device = "desktop", .person = "Tom", .allowed = 1},
		{.action = "policy-set", .vm = "work", .person = "Tom", .allowed = 1},
		{.action = "custody-done", .vm = "mail", .device = "desktop", .allowed = 1},
		{.action = "attest", .device = "desktop"},
		{.action = "move-request", .vm = "work", .device = "desktop", .person = "Tom"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		a[i].seq = i + 1;
		a[i].time = DESK_TIME - 600 + 60 * i;
		if (!a[i].allowed)
			kerr_set(&a[i].reason, EACCES, KCODE_ATTEST_PCR,
				 "The boot loader or kernel (PCR 4) of \"desktop\" changed.");
	}
	state_take_log(&d->state, a, ARRAY_SIZE(a));
}

static void give_all(struct desk *d, bool read_only)
{
	uint8_t work[UUID_LEN];

	desk_begin(d, read_only);
	desk_take(d, state_take_vms, vms);
	desk_take(d, state_take_devices, devices);
	desk_take(d, state_take_jobs, jobs);
	desk_take(d, state_take_checks, checks);
	give_trust(d);
	give_log(d);
	hex_decode(DESK_WORK, work, sizeof(work));
	state_take_policy(&d->state, work, 1, policy);
	ui_changed(&d->ui);
}

/* -- golden screens -- */

/* The characters, without the blanks at the ends of lines; then which columns of which line are
 * reversed, as the next key is for what stands there. */
static char *picture(const struct desk *d)
{
	GString *all = g_string_new(NULL), *focus = g_string_new("-- reversed:");

	for (unsigned line = 0; line < d->canvas.lines; line++) {
		g_autofree char *text = desk_line(d, line);
		unsigned column = 0, from;

		g_string_append_printf(all, "%s\n", g_strchomp(text));
		while (column < d->canvas.columns) {
			from = column;
			while (column < d->canvas.columns &&
			       canvas_at(&d->canvas, line, column)->reverse)
				column++;
			if (column > from)
				g_string_append_printf(focus, " %u:%u-%u", line + 1, from + 1,
						       column);
			column++;
		}
	}
	g_string_append_printf(all, "%s\n", focus->str);
	g_string_free(focus, TRUE);
	return g_string_free(all, FALSE);
}

static void compare(struct desk *d, const char *name, unsigned columns, unsigned lines)
{
	const char *top = g_getenv("top_srcdir");
	g_autofree char *file = g_strdup_printf("screen-%s-%ux%u.txt", name, columns, lines);
	g_autofree char *path = g_build_filename(top ? top : ".", "tests", "golden", file, NULL);
	g_autofree char *drawn = NULL, *want = NULL;

	desk_draw(d, columns, lines);
	drawn = picture(d);
	if (g_strcmp0(g_getenv("KITH_GOLDEN"), "write") == 0)
		g_assert_true(g_file_set_contents(path, drawn, -1, NULL));
	g_assert_true(g_file_get_contents(path, &want, NULL, NULL));
	if (g_strcmp0(drawn, want) != 0) {
		g_test_message("%s differs; KITH_GOLDEN=write writes it anew:\n%s", file, drawn);
		g_test_fail();
	}
}

static void give_reasons(struct desk *d)
{
	struct policyd_plan yes = {.allowed = 1}, no = {0};
	struct target t = d->ui.dialog.target;

	snprintf(yes.rule, sizeof(yes.rule),
		 "allow owner all to own laptop, desktop, server if verdict trusted");
	kerr_set(&no.reason, EACCES, KCODE_POLICY, "No rule allows \"Tom\" move-out to \"den\".");
	snprintf(t.name, sizeof(t.name), "server");
	g_assert_true(ui_because(&d->ui, &t, &yes));
	snprintf(t.name, sizeof(t.name), "den");
	g_assert_true(ui_because(&d->ui, &t, &no));
	/* What is told of another VM is not of this one. */
	t.uuid[0] ^= 1;
	g_assert_false(ui_because(&d->ui, &t, &yes));
}

static void give_refusal(struct desk *d)
{
	struct policyd_plan plan = {.verdict = VERDICT_UNTRUSTED};
	struct outlook o;

	kerr_set(&plan.reason, EACCES, KCODE_ATTEST_PCR,
		 "\"desktop\" does not run what you accepted: the boot loader or kernel (PCR 4) "
		 "changed.");
	outlook_begin(&plan, &o);
	ui_planned(&d->ui, &o);
	outlook_release(&o);
}

static void give_code(struct desk *d)
{
	d->state.pairing.running = true;
	desk_take(
		d, state_take_pairing,
		"{\"event\":\"code\",\"code\":\"586 0280\",\"peer\":\"tablet\",\"peer_owner\":\"\","
		"\"peer_role\":\"other\",\"peer_tier\":\"software\",\"past\":\"none\"}");
	ui_changed(&d->ui);
}

static void give_key(struct desk *d)
{
	desk_take(d, state_take_pairing,
		  "{\"event\":\"paired\",\"peer\":\"tablet\",\"peer_owner\":\"Tom\","
		  "\"recovery_key\":\"MJ905-AAAAA-BBBBB-CCCCC-DDDDD\"}");
	state_pairing_over(&d->state, 0);
	ui_changed(&d->ui);
}

static void give_nobody(struct desk *d)
{
	desk_take(
		d, state_take_here,
		"{\"name\":\"laptop\",\"role\":\"laptop\",\"owner\":null,\"state\":\"no-cloud\"}");
	desk_take(d, state_take_vms, "{\"vms\":[]}");
	desk_take(d, state_take_jobs, "{\"jobs\":[]}");
	snprintf(d->state.user, sizeof(d->state.user), "Tom");
	ui_changed(&d->ui);
}

static void give_cloud(struct desk *d)
{
	give_nobody(d);
	desk_press(d, "\n\n");
	desk_take(d, state_take_init,
		  "{\"owner\":\"Tom\",\"recovery_key\":\"MJ905-AAAAA-BBBBB-CCCCC-DDDDD\"}");
	desk_take(
		d, state_take_here,
		"{\"name\":\"laptop\",\"role\":\"laptop\",\"owner\":\"Tom\",\"state\":\"ready\"}");
	ui_changed(&d->ui);
}

static void give_silence(struct desk *d)
{
	struct kerr why = {0};

	kerr_set(&why, ECONNREFUSED, KCODE_NOT_READY, "Nobody listens.");
	state_lost(&d->state, &why);
	d->state.now += 12;
}

static const struct {
	const char *name;
	const char *keys; /* what is typed, before and... */
	void (*give)(struct desk *d);
	const char *then; /* ...after something is told */
	bool read_only;
} screens[] = {
	{"move", "", NULL, "", false},
	{"devices", "2", NULL, "", false},
	{"handoffs", "3", NULL, "", false},
	{"log", "4", NULL, "", false},
	{"policy", "5", NULL, "", false},
	{"doctor", "6", NULL, "", false},
	{"pair", "7", NULL, "", false},
	{"people", "8", NULL, "", false},
	{"person", "8j", NULL, "", false},
	{"why", "5w", give_reasons, "", false},
	{"record", "4\n", NULL, "", false},
	{"plan", "\n\n", desk_plan, "", false},
	{"plan-cold", "\n\n", desk_plan, "jj", false},
	{"plan-read-only", "\n\n", desk_plan, "", true},
	{"refused", "\n\n", give_refusal, "", false},
	{"cancel", "c", NULL, "", false},
	{"accept", "2a", NULL, "", false},
	{"take", "2jjt", NULL, "", false},
	{"forget", "2f", NULL, "", false},
	{"code", "7p", give_code, "", false},
	{"paired", "7", give_key, "", false},
	{"first", "", give_nobody, "j", false},
	{"first-name", "", give_nobody, "\n", false},
	{"first-look", "", give_nobody, "\033", false},
	{"first-key", "", give_cloud, "", false},
	{"help", "?", NULL, "", false},
	{"filter", "4/desk", NULL, "", false},
	{"silence", "", give_silence, "", false},
};

static void test_golden(gconstpointer which)
{
	size_t i = GPOINTER_TO_SIZE(which);
	struct desk d;

	give_all(&d, screens[i].read_only);
	desk_press(&d, screens[i].keys);
	if (screens[i].give)
		screens[i].give(&d);
	desk_press(&d, screens[i].then);
	compare(&d, screens[i].name, 80, 24);
	compare(&d, screens[i].name, 120, 40);
	desk_end(&d);
}

/* -- each state -- */

static void expect_row(struct desk *d, enum list_kind kind, char mark, const char *text)
{
	struct rows rows;

	rows_make(&d->state, kind, "", &rows);
	g_assert_cmpuint(rows.count, ==, 1);
	if (rows.count == 1) {
		g_assert_cmpint(rows.row[0].mark, ==, mark);
		g_assert_cmpstr(rows.row[0].text, ==, text);
	}
	rows_release(&rows);
}

static void test_vms(void)
{
	static const struct {
		const char *vm, *job;
		char mark;
		const char *text;
	} cases[] = {
		{"\"known\":true,\"defined\":true,\"policy_version\":1,\"here\":true,"
		 "\"state\":\"running\"",
		 NULL, '*', "here, running"},
		{"\"known\":true,\"defined\":true,\"policy_version\":1,\"here\":true,"
		 "\"state\":\"off\",\"memory_bytes\":1048576",
		 NULL, '*', "here, off, 1.0 MiB"},
		{"\"known\":true,\"defined\":false,\"policy_version\":1,\"here\":true", NULL, '*',
		 "here, without a definition"},
		{"\"known\":true,\"policy_version\":1,\"here\":false,\"holder_name\":\"desktop\"",
		 NULL, '-', "on desktop"},
		{"\"known\":true,\"policy_version\":1,\"here\":false", NULL, '-',
		 "on another device"},
		{"\"known\":false,\"defined\":true,\"here\":true,\"state\":\"running\"", NULL, ' ',
		 "running, no policy yet: it cannot be moved"},
		{"\"known\":null,\"here\":null,\"defined\":true,\"state\":\"running\"", NULL, '?',
		 "running, who holds it is not known while this device is locked"},
		{"\"known\":true,\"policy_version\":1,\"here\":true,\"doubt\":true", NULL, '!',
		 "in doubt: its state was rolled back. Bring your other devices into sight, or "
		 "decide with `kith claim work`"},
		{"\"known\":true,\"policy_version\":1,\"here\":true,\"state\":\"running\"",
		 "\"source\":true,\"phase\":\"attesting\"", '*', "to desktop: attesting"},
		{"\"known\":true,\"policy_version\":1,\"here\":false", "\"source\":false", '-',
		 "from desktop: checking"},
		/* One that is over is none. */
		{"\"known\":true,\"defined\":true,\"policy_version\":1,\"here\":true,\"state\":"
		 "\"running\"",
		 "\"source\":true,\"phase\":\"done\"", '*', "here, running"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		g_autofree char *vm = g_strdup_printf("{\"vms\":[{\"uuid\":\"" DESK_WORK
						      "\",\"name\":\"work\",%s}]}",
						      cases[i].vm);
		g_autofree char *job = g_strdup_printf(
			"{\"jobs\":[{\"hid\":\"f0\",\"uuid\":\"" DESK_WORK "\",\"vm\":\"work\","
			"\"device_name\":\"desktop\",%s}]}",
			cases[i].job ? cases[i].job : "\"phase\":\"failed\"");
		struct desk d;

		desk_begin(&d, false);
		desk_take(&d, state_take_vms, vm);
		desk_take(&d, state_take_jobs, job);
		expect_row(&d, LIST_VMS, cases[i].mark, cases[i].text);
		desk_end(&d);
	}
}

static void test_devices(void)
{
	static const struct {
		const char *device;
		char mark;
		const char *text;
	} cases[] = {
		{"\"paired\":true,\"own\":true,\"verdict\":\"trusted\",\"nearby\":true,"
		 "\"age_ms\":1",
		 '+', "trusted, announced"},
		{"\"paired\":true,\"own\":true,\"verdict\":\"trusted\",\"nearby\":false,"
		 "\"age_ms\":300000",
		 '+', "trusted, announced 5 min ago"},
		{"\"paired\":true,\"own\":true,\"verdict\":\"trusted\",\"age_ms\":null", '+',
		 "trusted, not announced"},
		{"\"paired\":true,\"own\":false,\"person\":\"Bob\",\"verdict\":\"trusted\","
		 "\"age_ms\":null",
		 '+', "trusted, not announced, of Bob"},
		{"\"paired\":true,\"own\":true,\"verdict\":\"untrusted\",\"age_ms\":null,"
		 "\"reason\":{\"text\":\"Changed.\"}",
		 '!', "untrusted, not announced: Changed."},
		{"\"paired\":true,\"own\":true,\"verdict\":\"unknown\",\"age_ms\":null", '!',
		 "unknown, not announced"},
		{"\"paired\":false,\"nearby\":true,\"age_ms\":1,\"role\":\"laptop\"", '?',
		 "announced; laptop, not paired"},
		{"\"paired\":false,\"nearby\":true,\"age_ms\":1,\"pairing\":true", '?',
		 "announced; wants to pair"},
		{"\"paired\":null,\"nearby\":true,\"age_ms\":1", '?',
		 "announced; not known while this device is locked"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		g_autofree char *text = g_strdup_printf(
			"{\"devices\":[{\"id\":\"aa\",\"name\":\"desktop\",%s}]}", cases[i].device);
		struct desk d;

		desk_begin(&d, false);
		desk_take(&d, state_take_devices, text);
		expect_row(&d, LIST_TARGETS, cases[i].mark, cases[i].text);
		desk_end(&d);
	}
}

/* Each phase stands below the view while it lasts, and in the list for good. */
static void test_jobs(void)
{
	for (int phase = 0; phase < _PHASE_MAX; phase++) {
		const char *word = phase_to_string((enum phase)phase);
		g_autofree char *text = g_strdup_printf(
			"{\"jobs\":[{\"hid\":\"f0\",\"uuid\":\"" DESK_WORK "\",\"vm\":\"work\","
			"\"device_name\":\"desktop\",\"source\":true,\"phase\":\"%s\","
			"\"error\":{\"code\":\"policy\",\"text\":\"It is forbidden.\"}}]}",
			word);
		g_autofree char *below = g_strdup_printf("~ work -> desktop: %s", word);
		bool over = phase == PHASE_DONE || phase == PHASE_FAILED;
		struct desk d;

		desk_begin(&d, false);
		desk_take(&d, state_take_jobs, text);
		desk_press(&d, "3");
		desk_draw(&d, 100, 24);
		g_assert_cmpint(desk_shows(&d, below), ==, !over);
		g_assert_cmpint(desk_shows(&d, "\"work\" runs on \"desktop\" now"), ==,
				phase == PHASE_DONE);
		g_assert_cmpint(desk_shows(&d, "was not moved: It is forbidden."), ==,
				phase == PHASE_FAILED);
		desk_press(&d, "c");
		g_assert_cmpint(d.ui.dialog.kind == DIALOG_CANCEL, ==, !over);
		desk_end(&d);
	}
}

static void test_pairing(void)
{
	struct desk d;

	desk_begin(&d, false);
	desk_press(&d, "7");
	desk_draw(&d, 120, 24);
	g_assert_true(desk_shows(&d, "Enter pairs with the selected device"));
	d.state.pairing.running = true;
	desk_draw(&d, 120, 24);
	g_assert_true(desk_shows(&d, "Waiting for another device, for 120 s."));
	give_code(&d);
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_CODE);
	d.state.pairing.answered = true;
	ui_changed(&d.ui);
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	desk_draw(&d, 120, 24);
	g_assert_true(desk_shows(&d, "Waiting for the answer at the other one"));
	desk_take(&d, state_take_pairing,
		  "{\"error\":{\"code\":\"pairing\",\"text\":\"The other one said no.\","
		  "\"next\":\"Try again.\"}}");
	state_pairing_over(&d.state, 77);
	ui_changed(&d.ui);
	desk_draw(&d, 120, 24);
	g_assert_true(desk_shows(&d, "! The other one said no. Try again."));
	g_assert_false(d.state.pairing.running);
	/* One that ends without a word. */
	d.state.pairing = (struct state_pairing){.running = true};
	state_pairing_over(&d.state, 139);
	desk_draw(&d, 120, 24);
	g_assert_true(desk_shows(&d, "Pairing ended without a word (139)."));
	desk_end(&d);
}

static void test_verdicts(void)
{
	static const struct {
		const char *verdict;
		char mark;
	} cases[] = {{"ok", '+'}, {"warn", '-'}, {"bad", '!'}, {"unknown", '?'}, {"", '?'}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		g_autofree char *text = g_strdup_printf(
			"{\"checks\":[{\"name\":\"tpm\",\"verdict\":\"%s\",\"sentence\":\"A "
			"sentence.\",\"remedy\":\"`a remedy`\"}]}",
			cases[i].verdict);
		struct desk d;

		desk_begin(&d, false);
		desk_take(&d, state_take_checks, text);
		expect_row(&d, LIST_CHECKS, cases[i].mark, "A sentence. `a remedy`");
		desk_end(&d);
	}
}

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "C.UTF-8");
	g_setenv("TZ", "UTC", TRUE);
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	for (size_t i = 0; i < ARRAY_SIZE(screens); i++) {
		g_autofree char *path = g_strdup_printf("/views/screen %s", screens[i].name);

		g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_golden);
	}
	g_test_add_func("/views/each state of a VM", test_vms);
	g_test_add_func("/views/each state of a device", test_devices);
	g_test_add_func("/views/each phase of a hand-off", test_jobs);
	g_test_add_func("/views/each state of a pairing", test_pairing);
	g_test_add_func("/views/each verdict of a check", test_verdicts);
	return g_test_run();
}
