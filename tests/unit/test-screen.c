/* SPDX-License-Identifier: Apache-2.0 */
/* The screen without a terminal: facts and keys in, characters and wishes out. */
#include <glib.h>
#include <locale.h>
#include <string.h>

#include "tests/unit/desk.h"
#include "ui-tui/model/qr.h"
#include "ui-tui/policytext.h"

#define BIDI "\xe2\x80\xae" /* U+202E turns the rest of a line around */

/* -- words of others -- */

static void test_plain(void)
{
	static const struct {
		const char *text, *plain;
		unsigned width;
	} cases[] = {
		{"work", "work", 4},
		{"", "", 0},
		{"a\tb\nc", "a b c", 5},
		{"\033[2J\033]0;x\007", "?[2J?]0;x?", 10}, /* clears, sets a title */
		{"a\xc2\x9b"
		 "31mb",
		 "a?31mb", 6}, /* C1: the same in one character */
		{"a" BIDI "cba", "a?cba", 5},
		{"a\xe2\x80\x8b"
		 "b",
		 "a?b", 3}, /* a space of no width */
		{"\xff\xfe"
		 "a\xe2\x82",
		 "??a??", 5},		       /* no UTF-8, and cut */
		{"\xc0\xaf", "?", 1},	       /* overlong */
		{"e\xcc\x81", "e\xcc\x81", 1}, /* a mark on a letter */
		{"\xcc\x81"
		 "e",
		 "?e", 2}, /* and on none */
		{"e\xcc\x81\xcc\x81\xcc\x81\xcc\x81", "e\xcc\x81\xcc\x81", 1},
		{"\xe6\xbc\xa2\xe5\xad\x97", "\xe6\xbc\xa2\xe5\xad\x97", 4}, /* wide */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[256];

		plain_cut(cases[i].text, 80, text, sizeof(text));
		g_assert_cmpstr(text, ==, cases[i].plain);
		g_assert_cmpuint(plain_width(cases[i].text), ==, cases[i].width);
	}
}

static void test_cut(void)
{
	char text[64];

	g_assert_cmpuint(plain_cut("laptop", 4, text, sizeof(text)), ==, 4);
	g_assert_cmpstr(text, ==, "lap…");
	/* Half a wide character is none. */
	g_assert_cmpuint(plain_cut("\xe6\xbc\xa2\xe5\xad\x97", 3, text, sizeof(text)), ==, 3);
	g_assert_cmpstr(text, ==, "\xe6\xbc\xa2…");
	g_assert_cmpuint(plain_cut("laptop", 0, text, sizeof(text)), ==, 0);
	g_assert_cmpstr(text, ==, "");
}

/* Whatever it is called, each line has exactly the columns of the screen. */
static void test_hostile_name(void)
{
	static const char *const names[] = {
		"\033[31mred",
		"x" BIDI "tac",
		"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97",
		"e\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81",
		"a\nb\rc",
		DESK_LONG DESK_LONG DESK_LONG,
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct desk d;

		desk_begin(&d, false);
		snprintf(d.state.vms[0].name, sizeof(d.state.vms[0].name), "%s", names[i]);
		snprintf(d.state.devices[1].name, sizeof(d.state.devices[1].name), "%s", names[i]);
		for (unsigned columns = 60; columns < 130; columns += 3) {
			desk_draw(&d, columns, 20);
			for (unsigned line = 0; line < 20; line++) {
				char *text = desk_line(&d, line);

				g_assert_cmpuint(plain_width(text), ==, columns);
				g_assert_null(strpbrk(text, "\033\n\r\t"));
				g_assert_null(strstr(text, BIDI));
				g_free(text);
			}
		}
		desk_end(&d);
	}
}

/* -- the first screen -- */

static void test_home(void)
{
	struct desk d;

	desk_begin(&d, false);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "kith  laptop (laptop) of Tom"));
	g_assert_true(desk_shows(&d, "Virtual machines (3)"));
	g_assert_true(desk_shows(&d, ">* work"));
	g_assert_true(desk_shows(&d, "here, running"));
	g_assert_true(desk_shows(&d, "on desktop"));
	/* The paired one stands first. */
	g_assert_true(desk_shows(&d, ">+ desktop"));
	g_assert_true(desk_shows(&d, "trusted, announced"));
	g_assert_true(desk_shows(&d, "[?] help"));
	desk_end(&d);
}

static void test_small(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_draw(&d, 59, 15);
	g_assert_true(desk_shows(&d, "kith needs 60x16"));
	desk_press(&d, "\n\ny");
	g_assert_false(ui_take_wish(&d.ui, &w));
	desk_press(&d, "q");
	g_assert_true(desk_wished(&d, WISH_QUIT, &w));
	/* No size is too small for it. */
	for (unsigned columns = 0; columns < 60; columns++)
		for (unsigned lines = 0; lines < 16; lines++)
			desk_draw(&d, columns, lines);
	desk_draw(&d, 60, 16);
	g_assert_true(desk_shows(&d, "work"));
	desk_end(&d);
}

static void test_empty(void)
{
	struct desk d;

	memset(&d, 0, sizeof(d));
	ui_begin(&d.ui, &d.state, false);
	ui_changed(&d.ui);
	for (int view = '1'; view <= '8'; view++) {
		ui_key(&d.ui, view);
		desk_press(&d, "\t\n\nbcaewxrs");
		ui_key(&d.ui, PRESS_ESC);
		ui_key(&d.ui, PRESS_END);
		desk_draw(&d, 80, 24);
	}
	g_assert_true(desk_shows(&d, "Asking kithd"));
	desk_press(&d, "7");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "Not known while kithd does not answer."));
	state_connected(&d.state);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "No device is in sight that is not paired."));
	desk_end(&d);
}

static void test_banner(void)
{
	struct kerr why = {0};
	struct desk d;

	desk_begin(&d, false);
	kerr_set(&why, ECONNREFUSED, KCODE_NOT_READY, "Nobody listens.");
	state_lost(&d.state, &why);
	d.state.now += 12;
	desk_draw(&d, 100, 24);
	g_assert_true(desk_shows(&d, "kithd does not answer since"));
	g_assert_true(desk_shows(&d, "(12 s). Start it with `systemctl"));
	state_connected(&d.state);
	desk_draw(&d, 100, 24);
	g_assert_false(desk_shows(&d, "does not answer"));
	desk_end(&d);
}

static void test_state(void)
{
	static const struct {
		const char *json, *trouble;
	} cases[] = {
		{"{\"state\":\"ready\",\"detail\":\"\",\"error\":null}", ""},
		{"{\"state\":\"no-cloud\",\"error\":null}", "belongs to nobody yet. Press 7"},
		{"{\"state\":\"locked\",\"detail\":\"Measured otherwise.\",\"error\":null}",
		 "Measured otherwise. `kith unlock` opens it"},
		{"{\"state\":null,\"error\":{\"text\":\"policyd is away.\"}}", "policyd is away."},
	};
	struct desk d;

	desk_begin(&d, false);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		desk_take(&d, state_take_here, cases[i].json);
		g_assert_nonnull(strstr(d.state.here.trouble, cases[i].trouble));
		g_assert_cmpint(!*d.state.here.trouble, ==, i == 0);
		desk_draw(&d, 120, 24);
		g_assert_cmpint(desk_shows(&d, cases[i].trouble), ==, true);
	}
	desk_end(&d);
}

/* What is missing, or of another type, or too long, counts as empty or is cut. */
static void test_odd(void)
{
	char name[400];
	json_t *v;
	struct desk d;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	v = json_pack("{s:[{s:s}, {s:i, s:i, s:s}, s, n]}", "vms", "name", name, "name", 7,
		      "memory_bytes", -1, "here", "yes", "no object");
	desk_begin(&d, false);
	state_take_vms(&d.state, v);
	json_decref(v);
	g_assert_cmpuint(d.state.vm_count, ==, 4);
	g_assert_cmpuint(strlen(d.state.vms[0].name), ==, NAME_MAX_LEN);
	g_assert_cmpstr(d.state.vms[1].name, ==, "");
	g_assert_cmpuint(d.state.vms[1].memory_bytes, ==, 0);
	g_assert_false(d.state.vms[1].here);
	desk_take(&d, state_take_devices, "{\"devices\":\"none\"}");
	g_assert_cmpuint(d.state.device_count, ==, 0);
	ui_changed(&d.ui);
	desk_draw(&d, 80, 24);
	desk_end(&d);
}

/* -- a move -- */

static void planned(struct desk *d, bool allowed)
{
	struct policyd_plan plan = {.allowed = allowed, .verdict = VERDICT_TRUSTED};
	struct outlook o;

	if (!allowed)
		kerr_set(&plan.reason, EACCES, KCODE_POLICY, "The policy forbids it.");
	outlook_begin(&plan, &o);
	o.rung = "live-disk";
	o.disk_bytes = 1 << 20;
	ui_planned(&d->ui, &o);
}

static void test_move(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "\n\n");
	g_assert_true(desk_wished(&d, WISH_PLAN, &w));
	g_assert_cmpstr(w.target.vm, ==, "work");
	g_assert_cmpstr(w.target.name, ==, "desktop");
	/* Before the plan is there, nothing is agreed to. */
	desk_press(&d, "y");
	g_assert_false(desk_wished(&d, WISH_MOVE, &w));
	planned(&d, true);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "\"work\" to \"desktop\": allowed"));
	g_assert_true(desk_shows(&d, "while it runs, with its disks"));
	g_assert_true(desk_shows(&d, "[ Yes ]"));
	desk_press(&d, "y");
	g_assert_true(desk_wished(&d, WISH_MOVE, &w));
	g_assert_cmpint(w.target.uuid[1], ==, 0x11);
	g_assert_cmpint(w.target.device[0], ==, 0xaa);
	desk_end(&d);
}

static void test_refused(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "\n\n");
	planned(&d, false);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "The policy forbids it."));
	g_assert_false(desk_shows(&d, "[ Yes ]"));
	desk_press(&d, "y\n");
	g_assert_false(desk_wished(&d, WISH_MOVE, &w));
	/* No is no, by each of its keys. */
	for (const char *no = "nq"; *no; no++) {
		ui_key(&d.ui, PRESS_ESC);
		desk_press(&d, "\n");
		planned(&d, true);
		ui_key(&d.ui, *no);
		g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
		g_assert_false(desk_wished(&d, WISH_MOVE, &w));
	}
	desk_end(&d);
}

/* Up and Down choose among the ways that would work; what counts is the one that was shown. */
static void test_rungs(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "\n\n");
	desk_plan(&d);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "(*) live: would work, while it runs"));
	g_assert_true(desk_shows(&d, "[Up/Down] how"));
	desk_press(&d, "j");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "( ) live"));
	g_assert_true(desk_shows(&d, "(*) warm: would work, it stands still"));
	desk_press(&d, "\n");
	g_assert_true(desk_wished(&d, WISH_MOVE, &w));
	g_assert_cmpint(w.target.rung, ==, MOVE_RUNG_WARM);
	/* What ends the guest's work is not begun by Enter. */
	desk_press(&d, "\n");
	desk_plan(&d);
	desk_press(&d, "jjj\n");
	g_assert_false(desk_wished(&d, WISH_MOVE, &w));
	desk_press(&d, "\n");
	desk_plan(&d);
	desk_press(&d, "jjjky");
	g_assert_true(desk_wished(&d, WISH_MOVE, &w));
	g_assert_cmpint(w.target.rung, ==, MOVE_RUNG_WARM);
	desk_end(&d);
}

static void test_rungs_not_possible(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "\n\n");
	desk_plan_of(&d, false, "It has a camera.");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "x  warm: It has a camera."));
	desk_press(&d, "j");
	/* However small the screen is, the chosen one is on it. */
	desk_draw(&d, 60, 16);
	g_assert_true(desk_shows(&d, "(*) cold: would work"));
	g_assert_true(desk_shows(&d, "[ Yes ]"));
	desk_press(&d, "y");
	g_assert_true(desk_wished(&d, WISH_MOVE, &w));
	g_assert_cmpint(w.target.rung, ==, MOVE_RUNG_COLD);
	/* One that is off goes as it is: asked to go cold, one that was started meanwhile would be
	 * shut down. */
	desk_press(&d, "\n");
	desk_plan_of(&d, true, "It is off.");
	desk_draw(&d, 80, 24);
	g_assert_false(desk_shows(&d, "(*)"));
	desk_press(&d, "j\n");
	g_assert_true(desk_wished(&d, WISH_MOVE, &w));
	g_assert_cmpint(w.target.rung, ==, MOVE_RUNG_ANY);
	desk_end(&d);
}

static void test_elsewhere(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "j\n");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "\"mail\" is on \"desktop\". Ask that device"));
	desk_press(&d, "nby");
	g_assert_true(desk_wished(&d, WISH_FETCH, &w) && strcmp(w.target.vm, "mail") == 0);
	desk_press(&d, "k\nj\n");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "is not paired with this device"));
	g_assert_false(desk_wished(&d, WISH_PLAN, &w));
	desk_end(&d);
}

#define JOB(phase, source)                                                                      \
	"{\"jobs\":[{\"hid\":\"ff112233445566778899aabbccddeeff\",\"uuid\":"                    \
	"\"00112233445566778899aabbccddeeff\",\"vm\":\"work\",\"device\":\"" DESK_DESKTOP "\"," \
	"\"device_name\":\"desktop\",\"source\":" source ",\"phase\":\"" phase "\","            \
	"\"ram_bytes\":0,\"ram_total\":100,\"disk_bytes\":40,\"disk_total\":0,"                 \
	"\"rate_bytes_s\":10,\"left_ms\":6000,\"elapsed_ms\":4000}]}"

static void test_progress(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_take(&d, state_take_jobs, JOB("copying memory", "true"));
	ui_changed(&d.ui);
	desk_draw(&d, 100, 24);
	g_assert_true(desk_shows(&d, "~ work -> desktop: copying memory  [#########"));
	g_assert_true(desk_shows(&d, "40 %"));
	g_assert_true(desk_shows(&d, "to desktop: copying memory"));
	desk_press(&d, "c");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "Stop the hand-off of \"work\" to \"desktop\"?"));
	/* The safe choice has the focus. */
	desk_press(&d, "\n");
	g_assert_false(desk_wished(&d, WISH_CANCEL, &w));
	desk_press(&d, "c\t\n");
	g_assert_true(desk_wished(&d, WISH_CANCEL, &w));
	g_assert_cmpstr(w.hid, ==, "ff112233445566778899aabbccddeeff");
	desk_end(&d);
}

static void test_bring_back(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "b");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "Nobody remembers"));
	desk_take(&d, state_take_jobs, JOB("done", "false"));
	desk_press(&d, "b");
	g_assert_true(desk_wished(&d, WISH_PLAN, &w));
	g_assert_cmpstr(w.target.name, ==, "desktop");
	desk_end(&d);
}

static void test_read_only(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, true);
	desk_take(&d, state_take_jobs, JOB("copying memory", "true"));
	desk_press(&d, "c");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "This is read-only"));
	desk_press(&d, "\n\n");
	planned(&d, true);
	desk_press(&d, "y\n");
	g_assert_false(desk_wished(&d, WISH_MOVE, &w));
	desk_draw(&d, 80, 24);
	g_assert_false(desk_shows(&d, "[ Yes ]"));
	desk_press(&d, "7p5e2a");
	g_assert_false(desk_wished(&d, WISH_PAIR, &w));
	/* It stays so. */
	desk_press(&d, "o7p");
	g_assert_false(desk_wished(&d, WISH_PAIR, &w));
	desk_end(&d);
	desk_begin(&d, false);
	desk_press(&d, "o7p");
	g_assert_false(desk_wished(&d, WISH_PAIR, &w));
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "read-only"));
	desk_press(&d, "o7p");
	g_assert_true(desk_wished(&d, WISH_PAIR, &w));
	desk_end(&d);
}

/* -- the other views -- */

static void test_selection(void)
{
	struct desk d;

	desk_begin(&d, false);
	desk_press(&d, "j");
	/* The list comes in another order. */
	desk_take(&d, state_take_vms,
		  "{\"vms\":[{\"uuid\":\"10112233445566778899aabbccddeeff\",\"name\":\"mail\","
		  "\"known\":true,\"policy_version\":1,\"here\":true}]}");
	ui_changed(&d.ui);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, ">* mail"));
	desk_end(&d);
}

static void test_filter(void)
{
	struct desk d;

	desk_begin(&d, false);
	desk_press(&d, "/MAI");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "Filter: MAI_"));
	g_assert_true(desk_shows(&d, "(1 of 3)"));
	g_assert_false(desk_shows(&d, "* work"));
	desk_press(&d, "\n");
	g_assert_true(desk_shows(&d, ">- mail"));
	ui_key(&d.ui, PRESS_ESC);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "* work"));
	desk_press(&d, "/zzz");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "No row has these letters"));
	desk_end(&d);
}

static void test_help(void)
{
	struct desk d;

	desk_begin(&d, false);
	desk_press(&d, "?bring");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "Search: bring_"));
	g_assert_true(desk_shows(&d, "send a VM back"));
	g_assert_false(desk_shows(&d, "leave; hand-offs go on"));
	ui_key(&d.ui, PRESS_ESC);
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	desk_end(&d);
}

static void test_trust(void)
{
	struct policyd_trust t = {.pcrs = 1 << 4, .versions = "kernel 6.1\nqemu 7.2"};
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	memset(t.peer.id, 0, sizeof(t.peer.id));
	desk_press(&d, "2");
	g_assert_true(desk_wished(&d, WISH_TRUST, &w));
	memcpy(t.peer.id, w.target.device, DEVICE_ID_LEN);
	memset(t.hash, 7, sizeof(t.hash));
	snprintf(t.peer.name, sizeof(t.peer.name), "desktop");
	t.peer.evidence_time = 1800000000 - 300;
	t.now[4][0] = 1;
	state_take_trust(&d.state, &t);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "DIFFERS from accepted"));
	g_assert_true(desk_shows(&d, "kernel 6.1"));
	desk_press(&d, "a");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "the boot loader or kernel (PCR 4)"));
	/* Enter is no. */
	desk_press(&d, "\n");
	g_assert_false(desk_wished(&d, WISH_ACCEPT, &w));
	desk_press(&d, "ay");
	g_assert_true(desk_wished(&d, WISH_ACCEPT, &w));
	g_assert_cmpint(w.shown[0], ==, 7);
	desk_end(&d);
}

static void test_pairing(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "7p");
	g_assert_true(desk_wished(&d, WISH_PAIR, &w));
	d.state.pairing.running = true;
	desk_take(&d, state_take_pairing,
		  "{\"event\":\"code\",\"code\":\"586 "
		  "0280\",\"peer\":\"desktop\",\"peer_owner\":\"\","
		  "\"peer_role\":\"desktop\",\"peer_tier\":\"software\",\"past\":\"none\"}");
	ui_changed(&d.ui);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "586 0280"));
	/* No single key says yes. */
	desk_press(&d, "y\n\n");
	g_assert_false(desk_wished(&d, WISH_ANSWER, &w));
	desk_press(&d, "yes\n");
	g_assert_true(desk_wished(&d, WISH_ANSWER, &w));
	g_assert_cmpstr(w.word, ==, "yes");
	d.state.pairing.answered = true;
	desk_take(&d, state_take_pairing,
		  "{\"event\":\"paired\",\"peer\":\"desktop\",\"peer_owner\":\"Tom\","
		  "\"recovery_key\":\"MJ905-AAAAA\"}");
	state_pairing_over(&d.state, 0);
	ui_changed(&d.ui);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "Paired with \"desktop\" of Tom."));
	g_assert_true(desk_shows(&d, "MJ905-AAAAA"));
	desk_end(&d);
}

static void be_nobodys(struct desk *d)
{
	desk_take(d, state_take_here, "{\"name\":\"laptop\",\"state\":\"no-cloud\"}");
	snprintf(d->state.user, sizeof(d->state.user), "tom");
	ui_changed(&d->ui);
}

static void test_first_run(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	be_nobodys(&d);
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_FIRST);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "(*) Start a new cloud"));
	g_assert_true(desk_shows(&d, "recovery key"));
	/* The user's name is offered, and can be another one; an empty one is none. */
	desk_press(&d, "\n");
	for (int i = 0; i < 5; i++)
		ui_key(&d.ui, PRESS_BACK);
	desk_press(&d, "\n");
	g_assert_false(desk_wished(&d, WISH_INIT, &w));
	desk_press(&d, "Tom\n");
	g_assert_true(desk_wished(&d, WISH_INIT, &w));
	g_assert_cmpstr(w.word, ==, "Tom");
	/* It is asked once; s asks again. */
	ui_changed(&d.ui);
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	desk_press(&d, "sj\n");
	g_assert_true(desk_wished(&d, WISH_PAIR, &w));
	g_assert_cmpstr(w.word, ==, "");
	g_assert_cmpint(d.ui.view, ==, VIEW_PAIR);
	desk_press(&d, "sjj\n");
	g_assert_false(ui_take_wish(&d.ui, &w));
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	/* One that has an owner begins no cloud. */
	desk_take(&d, state_take_here, "{\"owner\":\"Tom\",\"state\":\"ready\"}");
	desk_press(&d, "s");
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	desk_end(&d);
	desk_begin(&d, true);
	be_nobodys(&d);
	desk_press(&d, "7s");
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	desk_end(&d);
}

/* A key that was shown is still there when the next pairing begins. */
static void test_recovery_key(void)
{
	struct desk d;

	desk_begin(&d, false);
	desk_take(&d, state_take_init, "{\"owner\":\"Tom\",\"recovery_key\":\"MJ905-AAAAA\"}");
	desk_press(&d, "7");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "first one of Tom's cloud"));
	g_assert_true(desk_shows(&d, "MJ905-AAAAA"));
	state_pairing_begin(&d.state);
	desk_take(&d, state_take_pairing,
		  "{\"event\":\"paired\",\"peer\":\"desktop\",\"peer_owner\":\"Tom\"}");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "Paired with \"desktop\""));
	g_assert_true(desk_shows(&d, "MJ905-AAAAA"));
	desk_end(&d);
}

/* Dark and light of a QR code by the standard's corners, for whoever looks at its halves. */
static void test_picture(void)
{
	struct canvas c = {0};

	g_assert_cmpuint(qr_columns("KITH 586 0280"), ==, 25);
	canvas_resize(&c, 14, 30);
	/* Not into less room than it needs. */
	g_assert_cmpuint(qr_draw(&c, 0, 0, 12, 25, "KITH 586 0280"), ==, 0);
	g_assert_cmpuint(qr_draw(&c, 0, 0, 14, 24, "KITH 586 0280"), ==, 0);
	g_assert_cmpstr(canvas_at(&c, 1, 2)->text, ==, " ");
	g_assert_cmpuint(qr_draw(&c, 0, 0, 13, 25, "KITH 586 0280"), ==, 13);
	g_assert_cmpstr(canvas_at(&c, 0, 2)->text, ==, " ");
	g_assert_cmpstr(canvas_at(&c, 1, 2)->text, ==, "█");
	g_assert_cmpstr(canvas_at(&c, 1, 3)->text, ==, "▀");
	g_assert_cmpstr(canvas_at(&c, 1, 9)->text, ==, " ");
	g_assert_cmpint(canvas_at(&c, 1, 2)->style, ==, STYLE_PICTURE);
	/* Nothing that a QR code cannot hold. */
	g_assert_cmpuint(qr_columns(""), ==, 0);
	canvas_release(&c);
}

static void test_role(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "7p");
	g_assert_true(desk_wished(&d, WISH_PAIR, &w));
	g_assert_cmpint(w.role, ==, PERSON_ROLE_GUEST);
	desk_press(&d, "a");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "that person is \"admin\" to the policies here"));
	desk_press(&d, "a\n");
	g_assert_true(desk_wished(&d, WISH_PAIR, &w));
	g_assert_cmpint(w.role, ==, PERSON_ROLE_FAMILY);
	g_assert_cmpstr(w.word, ==, "device-bb112233");
	desk_end(&d);
}

/* Each wrong line of a policy is shown with its number and what is expected there. */
static void test_policy_lines(void)
{
	struct sheet sheet = {0};

	policytext_explain(policytext_default, &sheet);
	g_assert_cmpuint(sheet.count, ==, 0);
	policytext_explain("# mine\nallow ownr all\nallow owner all\ndeny guest to\n", &sheet);
	g_assert_cmpuint(sheet.count, ==, 4);
	if (sheet.count == 4) {
		g_assert_cmpstr(sheet.lines[0].text, ==, "   2  allow ownr all");
		g_assert_nonnull(
			strstr(sheet.lines[1].text, "Line 2, column 7 of the policy: \"ownr\""));
		g_assert_cmpstr(sheet.lines[2].text, ==, "   4  deny guest to");
		g_assert_nonnull(strstr(sheet.lines[3].text, "Line 4, column "));
	}
	sheet_clear(&sheet);
}

static void test_people(void)
{
	struct desk d;
	struct rows rows;

	desk_begin(&d, false);
	desk_take(
		&d, state_take_devices,
		"{\"devices\":["
		"{\"id\":\"aa\",\"name\":\"one\",\"paired\":true,\"own\":false,\"person\":\"Bob\","
		"\"person_role\":\"guest\",\"verdict\":\"trusted\"},"
		"{\"id\":\"bb\",\"name\":\"two\",\"paired\":true,\"own\":false,\"person\":\"Bob\","
		"\"person_role\":\"guest\",\"verdict\":\"trusted\",\"receive\":true},"
		/* Another one of that name is another person. */
		"{\"id\":\"cc\",\"name\":\"three\",\"paired\":true,\"own\":false,"
		"\"person\":\"Bob\",\"person_role\":\"family\",\"verdict\":\"untrusted\"},"
		"{\"id\":\"dd\",\"name\":\"four\",\"paired\":false}]}");
	ui_changed(&d.ui);
	rows_make(&d.state, LIST_PEOPLE, "", &rows);
	g_assert_cmpuint(rows.count, ==, 3);
	g_assert_cmpstr(rows.row[0].text, ==, "owner, this device and 0 devices");
	g_assert_cmpstr(rows.row[1].text, ==, "guest, 2 devices");
	g_assert_cmpstr(rows.row[2].text, ==, "family, 1 device");
	rows_release(&rows);
	desk_press(&d, "8j");
	desk_draw(&d, 120, 24);
	g_assert_true(
		desk_shows(&d, "+ one (): trusted, not announced; VMs from it are not taken"));
	g_assert_true(
		desk_shows(&d, "+ two (): trusted, not announced; VMs from it are taken here"));
	g_assert_false(desk_shows(&d, "three"));
	desk_press(&d, "j");
	desk_draw(&d, 120, 24);
	g_assert_true(desk_shows(&d, "! three ()"));
	desk_end(&d);
}

static void test_take(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	/* One's own is asked nothing. */
	desk_press(&d, "2t");
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	desk_take(&d, state_take_devices,
		  "{\"devices\":[{\"id\":\"" DESK_DESKTOP "\",\"name\":\"den\",\"paired\":true,"
		  "\"own\":false,\"person\":\"Bob\",\"verdict\":\"trusted\"}]}");
	ui_changed(&d.ui);
	desk_press(&d, "t");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "Take VMs of Bob that come from \"den\"?"));
	desk_press(&d, "\n");
	g_assert_false(desk_wished(&d, WISH_TAKE, &w));
	desk_press(&d, "ty");
	g_assert_true(desk_wished(&d, WISH_TAKE, &w));
	g_assert_true(w.on);
	g_assert_cmpint(w.target.device[0], ==, 0xaa);
	d.state.devices[0].receive = true;
	desk_press(&d, "ty");
	g_assert_true(desk_wished(&d, WISH_TAKE, &w));
	g_assert_false(w.on);
	desk_end(&d);
}

static void test_forget(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	snprintf(d.state.vms[1].holder, sizeof(d.state.vms[1].holder), "%s", DESK_DESKTOP);
	desk_press(&d, "2f");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "! It holds \"mail\""));
	desk_press(&d, "\n");
	g_assert_false(desk_wished(&d, WISH_FORGET, &w));
	desk_press(&d, "fy");
	g_assert_true(desk_wished(&d, WISH_FORGET, &w));
	g_assert_cmpint(w.target.device[0], ==, 0xaa);
	/* A stranger is not forgotten. */
	desk_press(&d, "jf");
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_NONE);
	desk_end(&d);
}

static void test_why(void)
{
	struct policyd_plan no = {0};
	struct desk d;
	struct wish w;

	desk_begin(&d, true);
	kerr_set(&no.reason, EACCES, KCODE_POLICY, "Forbidden.");
	desk_press(&d, "5w");
	g_assert_true(desk_wished(&d, WISH_WHY, &w));
	g_assert_cmpstr(w.target.vm, ==, "work");
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "No device is paired to which \"work\" could go."));
	snprintf(w.target.name, sizeof(w.target.name), "desktop");
	g_assert_true(ui_because(&d.ui, &w.target, &no));
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "! to desktop: no rule"));
	g_assert_false(desk_shows(&d, "No device is paired"));
	desk_press(&d, "\033");
	g_assert_false(ui_because(&d.ui, &w.target, &no));
	desk_end(&d);
}

static void paste(struct desk *d, const char *keys)
{
	ui_key(&d->ui, PRESS_PASTE);
	desk_press(d, keys);
	ui_key(&d->ui, PRESS_PASTE_END);
}

/* A clipboard types into a filter, and decides nothing. */
static void test_paste(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	paste(&d, "\n\nyq7p");
	g_assert_false(ui_take_wish(&d.ui, &w));
	g_assert_cmpint(d.ui.view, ==, VIEW_HOME);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "What was pasted was left out"));
	/* The same keys, typed, do something. */
	desk_press(&d, "\n\n");
	g_assert_true(desk_wished(&d, WISH_PLAN, &w));
	desk_plan(&d);
	paste(&d, "y\n");
	g_assert_false(ui_take_wish(&d.ui, &w));
	g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_PLAN);
	desk_press(&d, "\033h/");
	paste(&d, "ma\nil\033");
	g_assert_true(d.ui.filtering);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "(1 of 3)"));
	desk_end(&d);
	/* Not even the word that confirms a code. */
	desk_begin(&d, false);
	d.state.pairing.running = d.state.pairing.asking = true;
	ui_changed(&d.ui);
	paste(&d, "yes\n");
	g_assert_false(ui_take_wish(&d.ui, &w));
	desk_press(&d, "yes\n");
	g_assert_true(desk_wished(&d, WISH_ANSWER, &w));
	desk_end(&d);
}

/* Clicks on what is drawn with these words. */
static void click(struct desk *d, const char *words)
{
	desk_draw(d, 80, 24);
	for (unsigned line = 0; line < 24; line++) {
		g_autofree char *text = desk_line(d, line);
		const char *at = strstr(text, words);
		const struct cell *cell;

		if (!at)
			continue;
		*(char *)at = '\0';
		cell = canvas_at(&d->canvas, line, plain_width(text));
		ui_click(&d->ui, (enum hit)cell->hit, cell->row);
		return;
	}
	g_test_message("nothing says %s", words);
	g_test_fail();
}

static void test_mouse(void)
{
	struct desk d;
	struct wish w;
	struct row row;

	desk_begin(&d, false);
	g_assert_false(d.ui.mouse);
	desk_press(&d, "m");
	g_assert_true(d.ui.mouse);
	click(&d, "mail");
	g_assert_true(ui_selected(&d.ui, LIST_VMS, &row));
	g_assert_cmpstr(row.name, ==, "mail");
	click(&d, "work");
	click(&d, "desktop");
	g_assert_cmpuint(d.ui.pane, ==, 1);
	desk_press(&d, "\n");
	g_assert_true(desk_wished(&d, WISH_PLAN, &w));
	desk_plan(&d);
	/* What a dialog covers, or lies beside it, is not clicked. */
	click(&d, "2 Devices");
	g_assert_cmpint(d.ui.view, ==, VIEW_HOME);
	click(&d, "Yes ]");
	g_assert_true(desk_wished(&d, WISH_MOVE, &w));
	click(&d, "2 Devices");
	g_assert_cmpint(d.ui.view, ==, VIEW_DEVICES);
	click(&d, "--------");
	g_assert_cmpuint(d.ui.pane, ==, 1);
	desk_end(&d);
	desk_begin(&d, true);
	desk_press(&d, "\n\n");
	desk_plan(&d);
	ui_click(&d.ui, HIT_YES, 0);
	g_assert_false(desk_wished(&d, WISH_MOVE, &w));
	desk_end(&d);
}

static void test_log(void)
{
	struct policyd_audit a[2] = {{.seq = 1, .allowed = 1, .action = "move", .vm = "work"},
				     {.seq = 2, .action = "attest", .device = "desktop"}};
	struct desk d;

	desk_begin(&d, false);
	kerr_set(&a[1].reason, EACCES, KCODE_ATTEST_PCR, "Changed.");
	desk_press(&d, "4");
	state_take_log(&d.state, a, 2);
	ui_changed(&d.ui);
	desk_draw(&d, 100, 24);
	g_assert_true(desk_shows(&d, "attest"));
	g_assert_true(desk_shows(&d, "with desktop: Changed."));
	for (unsigned i = 0; i < STATE_LOG_MAX; i++) {
		a[0].seq = i;
		state_take_log(&d.state, a, 1);
	}
	g_assert_cmpuint(d.state.log_count, ==, STATE_LOG_MAX);
	g_assert_cmpuint(d.state.log[STATE_LOG_MAX - 1].seq, ==, STATE_LOG_MAX - 1);
	desk_end(&d);
}

static void test_doctor(void)
{
	struct desk d;
	struct wish w;

	desk_begin(&d, false);
	desk_press(&d, "6");
	g_assert_true(desk_wished(&d, WISH_DOCTOR, &w));
	desk_take(
		&d, state_take_checks,
		"{\"checks\":[{\"name\":\"kithd\",\"verdict\":\"ok\",\"sentence\":\"It runs.\"},"
		"{\"name\":\"tpm\",\"verdict\":\"bad\",\"sentence\":\"No TPM.\",\"remedy\":\"`kith "
		"x`\"}]}");
	ui_changed(&d.ui);
	desk_draw(&d, 80, 24);
	g_assert_true(desk_shows(&d, "+ kithd"));
	g_assert_true(desk_shows(&d, "! tpm"));
	g_assert_true(desk_shows(&d, "No TPM. `kith x`"));
	desk_end(&d);
}

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "C.UTF-8");
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/screen/N9 words of others", test_plain);
	g_test_add_func("/screen/words that are cut", test_cut);
	g_test_add_func("/screen/N9 hostile names", test_hostile_name);
	g_test_add_func("/screen/the first screen", test_home);
	g_test_add_func("/screen/too small", test_small);
	g_test_add_func("/screen/nothing known", test_empty);
	g_test_add_func("/screen/kithd is away", test_banner);
	g_test_add_func("/screen/this device is not ready", test_state);
	g_test_add_func("/screen/odd answers", test_odd);
	g_test_add_func("/screen/a move", test_move);
	g_test_add_func("/screen/a move that is refused", test_refused);
	g_test_add_func("/screen/a way to move is chosen", test_rungs);
	g_test_add_func("/screen/a way that is not possible", test_rungs_not_possible);
	g_test_add_func("/screen/a VM that is elsewhere", test_elsewhere);
	g_test_add_func("/screen/progress and cancel", test_progress);
	g_test_add_func("/screen/bring it back", test_bring_back);
	g_test_add_func("/screen/read only", test_read_only);
	g_test_add_func("/screen/the selection stays", test_selection);
	g_test_add_func("/screen/filter", test_filter);
	g_test_add_func("/screen/help", test_help);
	g_test_add_func("/screen/trust", test_trust);
	g_test_add_func("/screen/pairing", test_pairing);
	g_test_add_func("/screen/a device that is nobody's", test_first_run);
	g_test_add_func("/screen/a recovery key stays", test_recovery_key);
	g_test_add_func("/screen/a code as a picture", test_picture);
	g_test_add_func("/screen/another person's device", test_role);
	g_test_add_func("/screen/N12 a clipboard decides nothing", test_paste);
	g_test_add_func("/screen/clicks", test_mouse);
	g_test_add_func("/screen/people", test_people);
	g_test_add_func("/screen/VMs of another person", test_take);
	g_test_add_func("/screen/a device is forgotten", test_forget);
	g_test_add_func("/screen/why a VM may go somewhere", test_why);
	g_test_add_func("/screen/wrong lines of a policy", test_policy_lines);
	g_test_add_func("/screen/log", test_log);
	g_test_add_func("/screen/doctor", test_doctor);
	return g_test_run();
}
