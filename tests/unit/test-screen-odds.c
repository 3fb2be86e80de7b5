/* SPDX-License-Identifier: Apache-2.0 */
/* The screen under what is not usual: hostile words in every fact, any keys in any order, sizes
 * that change all the time, many rows. */
#include <glib.h>
#include <locale.h>
#include <malloc.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "tests/unit/desk.h"

#define VMS 50
#define DEVICES 200

static const char *const hostile[] = {
	"\033[2J\033]0;x\007", /* clears the screen, sets a title */
	"\xc2\x9b"
	"2J\xc2\x9d"
	"x", /* the same in C1 */
	"x\xe2\x80\xae"
	"tac", /* U+202E turns the rest of the line around */
	"\xe2\x81\xa6"
	"y\xe2\x80\x8b"
	"z",						/* an isolate, a space of no width */
	"e\xcc\x81\xcc\x81\xcc\x81\xcc\x81",		/* a letter under a heap of marks */
	"\xe6\xbc\xa2\xe5\xad\x97",			/* wide */
	"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb", /* joined */
	"\xe2\x9d\xa4\xef\xb8\x8f",			/* with another look */
	"a\nb\rc\td\be\x7f",
	"%s%n%d",
	"",
};

/* -- every fact is hostile -- */

static char *facts(const char *word)
{
	/* What JSON can carry at all; the rest is below. */
	json_t *text = json_stringn_nocheck(word, strlen(word));
	json_t *o = json_pack(
		"{s:O, s:O, s:O, s:s, s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:{s:s, s:O}}", "name",
		text, "owner", text, "role", text, "paired", "", "person", text, "person_role",
		text, "verdict", text, "tier", text, "holder_name", text, "device_name", text,
		"state", text, "reason", "code", "policy", "text", text);
	char *all;

	json_object_set_new(o, "paired", json_true());
	json_object_set_new(o, "uuid", json_string(DESK_WORK));
	json_object_set_new(o, "id", json_string(DESK_DESKTOP));
	json_object_set_new(o, "hid", json_string("f0112233445566778899aabbccddeeff"));
	json_object_set_new(o, "policy_version", json_integer(1));
	json_object_set_new(o, "here", json_true());
	json_object_set_new(o, "defined", json_true());
	json_object_set(o, "vm", text);
	json_object_set(o, "detail", text);
	json_object_set(o, "sentence", text);
	json_object_set(o, "remedy", text);
	json_object_set(o, "code", text);
	json_object_set(o, "peer", text);
	json_object_set(o, "peer_owner", text);
	json_object_set(o, "peer_role", text);
	json_object_set(o, "peer_tier", text);
	json_decref(text);
	all = json_dumps(o, JSON_ENSURE_ASCII);
	json_decref(o);
	return all;
}

static void give(struct desk *d, void (*fn)(struct state *s, const json_t *v), const char *list,
		 const char *fact)
{
	g_autofree char *text = g_strdup_printf("{\"%s\":[%s],\"error\":null}", list, fact);

	desk_take(d, fn, text);
}

static void give_hostile(struct desk *d, const char *word)
{
	struct policyd_audit a = {.seq = 1};
	struct policyd_trust t = {.pcrs = 1 << 4};
	uint8_t uuid[UUID_LEN];
	char *fact = facts(word);

	desk_take(d, state_take_here, fact);
	give(d, state_take_vms, "vms", fact);
	give(d, state_take_devices, "devices", fact);
	give(d, state_take_jobs, "jobs", fact);
	give(d, state_take_checks, "checks", fact);
	free(fact);
	snprintf(a.action, sizeof(a.action), "%s", word);
	snprintf(a.vm, sizeof(a.vm), "%s", word);
	snprintf(a.device, sizeof(a.device), "%s", word);
	kerr_set(&a.reason, EACCES, KCODE_POLICY, "%s", word);
	state_take_log(&d->state, &a, 1);
	hex_decode(DESK_DESKTOP, t.peer.id, DEVICE_ID_LEN);
	snprintf(t.peer.name, sizeof(t.peer.name), "%s", word);
	snprintf(t.versions, sizeof(t.versions), "%s", word);
	t.peer.evidence_time = DESK_TIME - 5;
	t.now[4][0] = 1;
	kerr_set(&t.peer.reason, EACCES, KCODE_POLICY, "%s", word);
	state_take_trust(&d->state, &t);
	hex_decode(DESK_WORK, uuid, sizeof(uuid));
	state_take_policy(&d->state, uuid, 1, word);
	ui_changed(&d->ui);
}

/* Each line has the columns of the screen, and nothing that drives a terminal. */
static void expect_clean(struct desk *d, unsigned columns, unsigned lines)
{
	desk_draw(d, columns, lines);
	for (unsigned line = 0; line < lines; line++) {
		g_autofree char *text = desk_line(d, line);

		g_assert_cmpuint(plain_width(text), ==, columns);
		g_assert_true(g_utf8_validate(text, -1, NULL));
		for (const char *at = text; *at; at = g_utf8_next_char(at)) {
			gunichar c = g_utf8_get_char(at);
			GUnicodeType type = g_unichar_type(c);

			g_assert_cmpint(type, !=, G_UNICODE_CONTROL);
			g_assert_cmpint(type, !=, G_UNICODE_FORMAT);
		}
	}
}

static void test_hostile(void)
{
	static const char *const keys[] = {"",	  "\n\n", "c",	 "2",	"2\n", "2a", "3",
					   "3\n", "4",	  "4\n", "5",	"5\n", "5w", "6",
					   "6\n", "7",	  "8",	 "8\n", "/x",  "b"};

	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++)
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
			struct kerr why = {0};
			struct desk d;

			desk_begin(&d, false);
			give_hostile(&d, hostile[i]);
			desk_press(&d, keys[k]);
			expect_clean(&d, 80, 24);
			expect_clean(&d, 120, 40);
			expect_clean(&d, 61, 17);
			kerr_set(&why, EACCES, KCODE_POLICY, "%s", hostile[i]);
			ui_failed(&d.ui, hostile[i], &why);
			expect_clean(&d, 80, 24);
			state_lost(&d.state, &why);
			ui_say(&d.ui, STYLE_BAD, "%s", hostile[i]);
			desk_press(&d, "\033");
			expect_clean(&d, 80, 24);
			desk_end(&d);
		}
}

static void test_hostile_code(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		char *fact = facts(hostile[i]);
		json_t *event = json_loads(fact, 0, NULL);
		struct desk d;

		json_object_set_new(event, "event", json_string("code"));
		desk_begin(&d, false);
		d.state.pairing.running = true;
		state_take_pairing(&d.state, event);
		ui_changed(&d.ui);
		g_assert_cmpint(d.ui.dialog.kind, ==, DIALOG_CODE);
		expect_clean(&d, 80, 24);
		expect_clean(&d, 120, 40);
		json_decref(event);
		free(fact);
		desk_end(&d);
	}
}

/* -- any keys -- */

/* What changes something, or shows what only its owner may see on this screen. */
static bool changes(enum wish_kind kind)
{
	switch (kind) {
	case WISH_MOVE:
	case WISH_CANCEL:
	case WISH_ACCEPT:
	case WISH_TAKE:
	case WISH_FORGET:
	case WISH_FETCH:
	case WISH_EDIT:
	case WISH_PAIR:
	case WISH_ANSWER:
	case WISH_PAIR_STOP:
	case WISH_INIT:
		return true;
	case WISH_QUIT:
	case WISH_REFRESH:
	case WISH_PLAN:
	case WISH_TRUST:
	case WISH_LOG:
	case WISH_POLICY:
	case WISH_DOCTOR:
	case WISH_WHY:
		break;
	}
	return false;
}

static int random_key(GRand *rand)
{
	static const char some[] = "\n\n\n\t\033yyhjkl12345678bcaewpxsrmotf/?q";
	int at = g_rand_int_range(rand, 0, 60);

	if (at < (int)sizeof(some) - 1)
		return some[at] == '\n'	    ? PRESS_ENTER
		       : some[at] == '\t'   ? PRESS_TAB
		       : some[at] == '\033' ? PRESS_ESC
					    : some[at];
	return at < 50 ? PRESS_UP + at % (PRESS_CLICK - PRESS_UP)
		       : g_rand_int_range(rand, 0, 0x3000);
}

static void random_fact(struct desk *d, GRand *rand)
{
	const char *word = hostile[g_rand_int_range(rand, 0, ARRAY_SIZE(hostile))];

	switch (g_rand_int_range(rand, 0, 12)) {
	case 0:
		give_hostile(d, word);
		break;
	case 1:
		desk_plan(d);
		break;
	case 2:
		desk_take(d, state_take_vms, "{\"vms\":[]}");
		break;
	case 3:
		desk_take(d, state_take_devices, "{\"devices\":[]}");
		break;
	case 4:
		d->state.pairing.running = !d->state.pairing.running;
		d->state.pairing.asking = d->state.pairing.running;
		break;
	case 5:
		desk_take(d, state_take_here, "{\"state\":\"no-cloud\"}");
		break;
	default:
		break;
	}
	ui_changed(&d->ui);
}

/* Returns how many wishes that change something there were. */
static unsigned type_at_random(guint32 seed, bool read_only)
{
	GRand *rand = g_rand_new_with_seed(seed);
	unsigned found = 0;
	struct desk d;
	struct wish w;

	desk_begin(&d, read_only);
	for (int i = 0; i < 4000; i++) {
		if (g_rand_int_range(rand, 0, 10) == 0)
			random_fact(&d, rand);
		ui_key(&d.ui, random_key(rand));
		if (g_rand_int_range(rand, 0, 10) == 0)
			ui_click(&d.ui, (enum hit)g_rand_int_range(rand, 0, HIT_NO + 1),
				 (size_t)g_rand_int_range(rand, 0, 300));
		while (ui_take_wish(&d.ui, &w))
			found += changes(w.kind);
		/* Sizes change all the time. */
		if (i % 8 == 0)
			expect_clean(&d, (unsigned)g_rand_int_range(rand, 0, 140),
				     (unsigned)g_rand_int_range(rand, 0, 45));
	}
	desk_end(&d);
	g_rand_free(rand);
	return found;
}

static void test_any_keys(void)
{
	unsigned found = 0;

	for (guint32 seed = 1; seed < 6; seed++)
		found += type_at_random(seed, false);
	/* The keys are such that something would happen. */
	g_assert_cmpuint(found, >, 5);
}

static void test_read_only(void)
{
	for (guint32 seed = 1; seed < 6; seed++)
		g_assert_cmpuint(type_at_random(seed, true), ==, 0);
}

/* -- many -- */

static void give_many(struct desk *d)
{
	json_t *devices = json_array(), *vms = json_array();
	json_t *answer = json_pack("{s:o, s:o}", "devices", devices, "vms", vms);

	for (int i = 0; i < DEVICES; i++) {
		char id[65], name[32];

		snprintf(id, sizeof(id), "%064x", i);
		snprintf(name, sizeof(name), "device %d", i);
		json_array_append_new(devices, json_pack("{s:s, s:s, s:b, s:s}", "id", id, "name",
							 name, "paired", 1, "verdict", "trusted"));
	}
	for (int i = 0; i < VMS; i++) {
		char uuid[33], name[32];

		snprintf(uuid, sizeof(uuid), "%032x", i);
		snprintf(name, sizeof(name), "vm %d", i);
		json_array_append_new(vms, json_pack("{s:s, s:s, s:b, s:i, s:s}", "uuid", uuid,
						     "name", name, "here", 1, "policy_version", 1,
						     "state", "running"));
	}
	state_take_devices(&d->state, answer);
	state_take_vms(&d->state, answer);
	json_decref(answer);
	for (unsigned i = 0; i < STATE_LOG_MAX; i++) {
		struct policyd_audit a = {.seq = i + 1, .time = DESK_TIME, .action = "attest"};

		state_take_log(&d->state, &a, 1);
	}
	ui_changed(&d->ui);
}

/* How long a key takes, with the screen that it draws; us. */
static double cost(struct desk *d, const char *keys, unsigned columns, unsigned lines)
{
	const int rounds = 40;
	clock_t start = clock();

	for (int i = 0; i < rounds; i++)
		for (const char *key = keys; *key; key++) {
			ui_key(&d->ui, *key);
			ui_changed(&d->ui);
			desk_draw(d, columns, lines);
		}
	return (double)(clock() - start) * 1e6 / CLOCKS_PER_SEC / rounds / (double)strlen(keys);
}

static void test_many(void)
{
	size_t before = mallinfo2().uordblks;
	struct desk few, many;
	double one, all;

	desk_begin(&few, false);
	one = cost(&few, "1j2j4j", 120, 40);
	desk_end(&few);
	desk_begin(&many, false);
	give_many(&many);
	all = cost(&many, "1j2j4j", 120, 40);
	g_test_message(
		"a key: %.0f us with %d VMs, %d devices and %d records, %.0f us with 3, 2 and "
		"none: %.1f times",
		all, VMS, DEVICES, STATE_LOG_MAX, one, all / one);
	g_test_message("memory of the model and the screen: %zu KiB",
		       (mallinfo2().uordblks - before) / 1024);
	/* On a machine a hundred times as slow it would still be at once. */
	g_assert_cmpfloat(all, <, 50000);
	g_assert_cmpuint(mallinfo2().uordblks - before, <, 3 << 20);
	ui_key(&many.ui, '2');
	for (int i = 0; i < DEVICES; i++)
		ui_key(&many.ui, 'j');
	desk_draw(&many, 120, 40);
	g_assert_true(desk_shows(&many, ">+ device 199"));
	desk_end(&many);
}

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "C.UTF-8");
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/odds/N9 every fact is hostile", test_hostile);
	g_test_add_func("/odds/N9 the peer of a pairing is hostile", test_hostile_code);
	g_test_add_func("/odds/any keys, clicks, facts and sizes", test_any_keys);
	g_test_add_func("/odds/any keys change nothing when it is read-only", test_read_only);
	g_test_add_func("/odds/50 VMs, 200 devices and a long log", test_many);
	return g_test_run();
}
