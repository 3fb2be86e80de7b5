/* SPDX-License-Identifier: Apache-2.0 */
/* Who may see a VM: cores on TPMs of their own, without network; and the attacks on it. */
#include "policyd/console.h"

#include "agent/viewings.h"
#include "mover/filter/display.h"
#include "mover/proto.h"
#include "tests/unit/golden.h"
#include "tests/unit/policyd-fixture.h"

#define MOVER 9 /* number of the mover's connection */

struct view {
	struct device *v, *h; /* viewer, holder */
	struct policyd_console_place place;
	struct wire blob[5];
	struct kerr err; /* of the side that refused */
};

static struct policyd_console_wish wish_of(enum console_kind kind)
{
	struct policyd_console_wish w = {.kind = kind};

	memcpy(w.uuid, vm, UUID_LEN);
	return w;
}

static int ask_console(struct device *d, struct policyd_console_place *ret, struct kerr *err)
{
	const struct policyd_console_wish w = wish_of(CONSOLE_SERIAL);

	kerr_clear(err);
	return console_request(d->consoles, &w, ret, err);
}

static int take(struct device *d, const uint8_t hid[HID_LEN], struct policyd_console_grant *ret,
		struct kerr *err)
{
	kerr_clear(err);
	return console_take(d->consoles, hid, MOVER, ret, err);
}

/* All four messages. True if both agreed. `viewer_sees`, `holder_sees`: exporters. */
static bool prove(struct view *c, const uint8_t *viewer_sees, const uint8_t *holder_sees)
{
	enum conversation_state state;

	kerr_clear(&c->err);
	for (int i = 0; i < 5; i++)
		wire_clear(&c->blob[i]);
	if (ask_console(c->v, &c->place, &c->err) < 0)
		return false;
	g_assert_false(c->place.here);
	state = console_session_start(c->v->consoles, c->place.hid, viewer_sees, &c->blob[1].buf,
				      &c->err);
	for (int i = 1; i < 4 && state == CONVERSATION_SEND; i++) {
		struct device *to = i % 2 ? c->h : c->v, *from = i % 2 ? c->v : c->h;

		state = console_session_step(to->consoles, c->place.hid, from->core->id.id,
					     i % 2 ? holder_sees : viewer_sees, c->blob[i].room,
					     c->blob[i].buf.len, &c->blob[i + 1].buf, &c->err);
	}
	if (state != CONVERSATION_DONE)
		return false;
	return console_session_step(c->v->consoles, c->place.hid, c->h->core->id.id, viewer_sees,
				    c->blob[4].room, c->blob[4].buf.len, &c->blob[0].buf,
				    &c->err) == CONVERSATION_DONE;
}

/* The VM goes from one to the other. */
static void hand_over(struct device *from, struct device *to)
{
	struct run *run = g_new0(struct run, 1);

	run->s = from;
	run->d = to;
	g_assert_true(attest(run, exporter, exporter));
	commit(run);
	g_free(run);
}

static size_t count_audit(struct device *d, const char *action, const char *device, bool allowed)
{
	_cleanup_free_ struct policyd_audit *list = NULL;
	struct kerr err = {0};
	size_t n = 0, found = 0;

	g_assert_cmpint(store_audit_list(d->core->store, 0, 64, &list, &n, &err), ==, 0);
	for (size_t i = 0; i < n; i++)
		found += strcmp(list[i].action, action) == 0 &&
			 strcmp(list[i].device, device) == 0 && list[i].allowed == allowed;
	return found;
}

static void test_here(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct policyd_console_place place;
	struct policyd_console_grant g;
	struct kerr err = {0};

	/* Without a policy nobody sees it. */
	g_assert_cmpint(ask_console(laptop, &place, &err), ==, -ENOENT);
	give_policy(laptop, policytext_default);
	g_assert_cmpint(ask_console(laptop, &place, &err), ==, 0);
	g_assert_true(place.here);
	g_assert_cmpstr(place.device_name, ==, "laptop");
	g_assert_cmpint(take(laptop, place.hid, &g, &err), ==, 0);
	g_assert_cmpint(g.side, ==, CONSOLE_SIDE_LOCAL);
	g_assert_cmpstr(g.vm, ==, "work");
	g_assert_cmpint(console_check(laptop->consoles, place.hid, MOVER, &err), ==, 0);
	/* Once, and for nobody else. */
	g_assert_cmpint(take(laptop, place.hid, &g, &err), ==, -ENOENT);
	g_assert_cmpint(console_check(laptop->consoles, place.hid, MOVER + 1, &err), <, 0);
	g_assert_cmpuint(count_audit(laptop, "view", "laptop", true), ==, 1);
	g_assert_cmpuint(count_audit(laptop, "view-end", "laptop", true), ==, 0);
	console_connection_gone(laptop->consoles, MOVER + 1);
	g_assert_cmpuint(count_audit(laptop, "view-end", "laptop", true), ==, 0);
	console_connection_gone(laptop->consoles, MOVER);
	g_assert_cmpuint(count_audit(laptop, "view-end", "laptop", true), ==, 1);
	device_free(laptop);
}

static void test_rules(void)
{
	struct device *strict = device_new("strict", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct policyd_console_place place;
	struct policyd_console_grant g;
	struct kerr err = {0};

	/* S1-07: what no rule allows is denied, on the VM's own device as well. */
	give_policy(strict, "allow owner move-out, move-in to own\n");
	g_assert_cmpint(ask_console(strict, &place, &err), ==, -EACCES);
	g_assert_cmpint(err.code, ==, KCODE_POLICY);
	g_assert_cmpuint(count_audit(strict, "view", "strict", false), ==, 1);
	device_free(strict);
	give_policy(laptop, "allow owner view to own laptop\n");
	g_assert_cmpint(ask_console(laptop, &place, &err), ==, 0);
	g_assert_cmpint(take(laptop, place.hid, &g, &err), ==, 0);
	/* One that is open ends when the rules change. */
	g_assert_cmpint(console_check(laptop->consoles, place.hid, MOVER, &err), ==, 0);
	put_policy(laptop, "allow owner view to own desktop\n", 2);
	kerr_clear(&err);
	g_assert_cmpint(console_check(laptop->consoles, place.hid, MOVER, &err), ==, -EACCES);
	device_free(laptop);
}

/* F11: what is asked for and never used has an end. */
static void test_flood_here(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct policyd_console_place place;
	struct kerr err = {0};
	int n = 0;

	give_policy(laptop, policytext_default);
	while (n < 100 && ask_console(laptop, &place, &err) == 0)
		n++;
	g_assert_cmpint(n, ==, 8);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	device_free(laptop);
}

static void test_there(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct policyd_console_grant gv, gh;
	struct view *c = g_new0(struct view, 1);

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	give_policy(laptop, policytext_default);
	hand_over(laptop, desktop);
	c->v = laptop;
	c->h = desktop;
	g_assert_true(prove(c, exporter, exporter));
	g_assert_cmpint(take(laptop, c->place.hid, &gv, &c->err), ==, 0);
	g_assert_cmpint(take(desktop, c->place.hid, &gh, &c->err), ==, 0);
	g_assert_cmpint(gv.side, ==, CONSOLE_SIDE_VIEWER);
	g_assert_cmpint(gh.side, ==, CONSOLE_SIDE_HOLDER);
	g_assert_cmpmem(gv.key, 32, gh.key, 32);
	g_assert_cmpmem(gh.wish.uuid, UUID_LEN, vm, UUID_LEN);
	g_assert_cmpint(console_check(desktop->consoles, c->place.hid, MOVER, &c->err), ==, 0);
	g_assert_cmpuint(count_audit(desktop, "view", "laptop", true), ==, 1);
	console_connection_gone(desktop->consoles, MOVER);
	g_assert_cmpuint(count_audit(desktop, "view-end", "laptop", true), ==, 1);
	/* B1: somebody between them; and without him it goes. */
	g_assert_false(prove(c, exporter, other_exporter));
	g_assert_cmpint(c->err.code, ==, KCODE_ATTEST_BINDING);
	g_assert_true(prove(c, exporter, exporter));
	/* B2: its first message again. */
	console_session_end(desktop->consoles, c->place.hid, exporter);
	kerr_clear(&c->err);
	g_assert_cmpint(console_session_step(desktop->consoles, c->place.hid, laptop->core->id.id,
					     exporter, c->blob[1].room, c->blob[1].buf.len,
					     wire_clear(&c->blob[0]), &c->err),
			==, CONVERSATION_REFUSED);
	g_assert_cmpint(c->err.code, ==, KCODE_ATTEST_REPLAY);
	g_free(c);
	device_free(laptop);
	device_free(desktop);
}

/* S1-15: a device that was changed sees nothing, until its owner accepted the change; and one that
 * is found to be changed later loses what it has open. */
static void test_untrusted(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct policyd_console_grant g;
	struct view *c = g_new0(struct view, 1);
	uint8_t first[HID_LEN];

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	give_policy(laptop, policytext_default);
	hand_over(laptop, desktop);
	c->v = laptop;
	c->h = desktop;
	g_assert_true(prove(c, exporter, exporter));
	memcpy(first, c->place.hid, HID_LEN);
	g_assert_cmpint(take(desktop, first, &g, &c->err), ==, 0);
	extend_running(laptop, 4);
	g_assert_false(prove(c, exporter, exporter));
	g_assert_cmpint(c->err.code, ==, KCODE_ATTEST_PCR);
	g_assert_cmpuint(count_audit(desktop, "view", "laptop", false), ==, 1);
	kerr_clear(&c->err);
	g_assert_cmpint(console_check(desktop->consoles, first, MOVER, &c->err), <, 0);
	g_assert_cmpint(accept_evidence(desktop, laptop, &c->err), ==, 0);
	g_assert_true(prove(c, exporter, exporter));
	g_free(c);
	device_free(laptop);
	device_free(desktop);
}

/* Another person's device, sound and paired: refused before it costs a quote, whatever the rules
 * say of family. */
static void test_others(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *bobs = device_new("bobs", DEVICE_ROLE_LAPTOP, "Bob");
	struct view *c = g_new0(struct view, 1);
	char hex[2 * DEVICE_ID_LEN + 1], sql[160];
	int busy = 0;

	pair(laptop, bobs, PERSON_ROLE_FAMILY);
	give_policy(laptop, "allow owner all to own\nallow family view\n");
	/* Bob's device made up that it knows the VM: it is on the laptop. */
	give_policy(bobs, policytext_default);
	hex_encode(laptop->core->id.id, DEVICE_ID_LEN, hex);
	snprintf(sql, sizeof(sql), "UPDATE custody SET here=0, holder=x'%s'", hex);
	rewrite(bobs, sql);
	c->v = bobs;
	c->h = laptop;
	g_assert_false(prove(c, exporter, exporter));
	g_assert_cmpint(c->err.code, ==, KCODE_POLICY);
	g_assert_cmpuint(c->blob[2].buf.len, <, 600); /* no evidence is in it */
	g_assert_cmpuint(count_audit(laptop, "view", "bobs", false), ==, 1);
	/* Allowed to send VMs here, it gets to the rules, and no further. */
	take_from(laptop, bobs);
	g_assert_false(prove(c, exporter, exporter));
	g_assert_cmpint(c->err.code, ==, KCODE_POLICY);
	g_assert_nonnull(strstr(c->err.text, "another person"));
	/* H5: and not often. */
	for (int i = 0; i < 8; i++) {
		g_assert_false(prove(c, exporter, exporter));
		busy += c->err.code == KCODE_BUSY;
	}
	g_assert_cmpint(busy, >=, 5);
	g_free(c);
	device_free(laptop);
	device_free(bobs);
}

/* A session of one kind is none of the other, whoever carries it. */
static void test_purposes(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct policyd_console_place place;
	struct wire *w = g_new0(struct wire, 5);
	struct kerr err = {0};

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	give_policy(laptop, policytext_default);
	hand_over(laptop, desktop);
	g_assert_cmpint(ask_console(laptop, &place, &err), ==, 0);
	for (int i = 0; i < 5; i++)
		wire_clear(&w[i]);
	g_assert_cmpint(
		console_session_start(laptop->consoles, place.hid, exporter, &w[1].buf, &err), ==,
		CONVERSATION_SEND);
	/* A hijacked kithd brings it to the desktop as a hand-off. */
	g_assert_cmpint(handoff_session_step(desktop->handoffs, place.hid, laptop->core->id.id,
					     exporter, w[1].room, w[1].buf.len, &w[2].buf, &err),
			==, CONVERSATION_SEND);
	/* The quote of the desktop is for these nonces, and nothing else is in it. */
	console_session_step(laptop->consoles, place.hid, desktop->core->id.id, exporter, w[2].room,
			     w[2].buf.len, &w[3].buf, &err);
	kerr_clear(&err);
	g_assert_cmpint(handoff_session_step(desktop->handoffs, place.hid, laptop->core->id.id,
					     exporter, w[3].room, w[3].buf.len, &w[4].buf, &err),
			==, CONVERSATION_REFUSED);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_BINDING);
	g_free(w);
	device_free(laptop);
	device_free(desktop);
}

/* H26: a device of the owner's own has a bound, too, and what it closes is free again. */
static void test_many(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct policyd_console_grant g;
	struct view *c = g_new0(struct view, 1);

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	give_policy(laptop, policytext_default);
	hand_over(laptop, desktop);
	c->v = laptop;
	c->h = desktop;
	for (int i = 0; i < 4; i++) {
		g_assert_true(prove(c, exporter, exporter));
		g_assert_cmpint(take(desktop, c->place.hid, &g, &c->err), ==, 0);
	}
	g_assert_false(prove(c, exporter, exporter));
	g_assert_cmpint(c->err.code, ==, KCODE_BUSY);
	console_connection_gone(desktop->consoles, MOVER);
	g_assert_true(prove(c, exporter, exporter));
	g_free(c);
	device_free(laptop);
	device_free(desktop);
}

/* -- on the wire -- */

static void expect_wire(const struct record *record, const void *v, const char *golden)
{
	_Alignas(max_align_t) uint8_t again[RECORD_SIZE_MAX] = {0};
	uint8_t want[512], got[512];
	struct wbuf w = wbuf_init(got, sizeof(got));
	size_t n = golden_parse(golden, want, sizeof(want));
	struct rbuf r;

	g_assert_cmpint(record_put(&w, record, v), ==, 0);
	g_assert_cmpmem(got, w.len, want, n);
	r = rbuf_init(got, w.len);
	g_assert_cmpint(record_get(&r, record, again), ==, 0);
	g_assert_cmpint(rbuf_end(&r), ==, 0);
	g_assert_cmpmem(again, record->size, v, record->size);
	/* N1: cut anywhere it is none. */
	for (size_t len = 0; len < w.len; len++) {
		r = rbuf_init(got, len);
		g_assert_cmpint(record_get(&r, record, again), ==, -EBADMSG);
	}
}

static void test_wire(void)
{
	static struct policyd_console_wish wish = {.uuid = {1}, .kind = CONSOLE_SERIAL, .force = 1};
	static struct policyd_console_place place = {
		.hid = {2}, .here = 1, .device = {3}, .device_name = "desk"};
	static struct policyd_console_grant grant = {.side = CONSOLE_SIDE_HOLDER,
						     .wish = {.kind = CONSOLE_GRAPHICS},
						     .vm = "work",
						     .peer_name = "lap",
						     .key = {9}};
	static struct mover_console console = {.display = MOVER_DISPLAY_SPICE};
	uint8_t buf[64];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	expect_wire(&policyd_console_wish_record, &wish, "01 15x00 00 01");
	expect_wire(&policyd_console_place_record, &place, "02 15x00 01 03 31x00 0400 6465736b");
	expect_wire(&policyd_console_grant_record, &grant,
		    "02 16x00 01 00 0400 776f726b 0300 6c6170 09 31x00");
	expect_wire(&mover_console_record, &console, "02");
	/* A display is nobody's to take away; neither is it written. */
	wish.kind = CONSOLE_GRAPHICS;
	g_assert_cmpint(record_put(&w, &policyd_console_wish_record, &wish), ==, -EINVAL);
	r = rbuf_init((const uint8_t[18]){[16] = 1, [17] = 1}, 18);
	g_assert_cmpint(record_get(&r, &policyd_console_wish_record, &wish), ==, -EBADMSG);
	r = rbuf_init((const uint8_t[18]){[16] = 2}, 18);
	g_assert_cmpint(record_get(&r, &policyd_console_wish_record, &wish), ==, -EBADMSG);
	r = rbuf_init((const uint8_t[1]){3}, 1);
	g_assert_cmpint(record_get(&r, &mover_console_record, &console), ==, -EBADMSG);
}

/* -- what kithd remembers -- */

static void test_remembered(void)
{
	struct viewings *c = viewings_new();
	uint8_t hid[HID_LEN] = {0}, peer[DEVICE_ID_LEN] = {1};

	g_assert_null(viewings_find(c, hid, true)); /* zeros are no number */
	hid[0] = 200;
	viewings_add(c, hid, true, peer);
	g_assert_nonnull(viewings_find(c, hid, true));
	g_assert_null(viewings_find(c, hid, false));
	/* Peers push out their own only. */
	for (uint8_t i = 1; i < 100; i++) {
		hid[0] = i;
		viewings_add(c, hid, false, peer);
	}
	g_assert_null(viewings_find(c, (uint8_t[HID_LEN]){1}, false));
	g_assert_nonnull(viewings_find(c, (uint8_t[HID_LEN]){99}, false));
	g_assert_nonnull(viewings_find(c, (uint8_t[HID_LEN]){200}, true));
	viewings_free(c);
}

/* -- what of a VM can be seen -- */

#define DOMAIN(devices) \
	"<domain type='kvm'><name>work</name><devices>" devices "</devices></domain>"

static void test_display(void)
{
	static const struct {
		const char *xml, *serial;
		enum display_graphics graphics;
	} rows[] = {
		{DOMAIN(""), "", DISPLAY_NONE},
		{DOMAIN("<graphics type='vnc' port='5900'/>"), "", DISPLAY_VNC},
		{DOMAIN("<graphics type='spice'/><graphics type='vnc'/>"), "", DISPLAY_SPICE},
		{DOMAIN("<graphics type='sdl'/>"), "", DISPLAY_OTHER},
		{DOMAIN("<graphics/>"), "", DISPLAY_OTHER},
		{DOMAIN("<serial type='pty'><alias name='serial0'/></serial>"), "serial0",
		 DISPLAY_NONE},
		{DOMAIN("<serial type='file'><alias name='serial0'/></serial>"
			"<serial type='pty'><alias name='serial1'/></serial>"
			"<console type='pty'><alias name='console1'/></console>"),
		 "serial1", DISPLAY_NONE},
		/* What libvirt could not open: no alias, another kind, too long a name. */
		{DOMAIN("<serial type='pty'/>"), "", DISPLAY_NONE},
		{DOMAIN("<serial type='tcp'><alias name='serial0'/></serial>"), "", DISPLAY_NONE},
		{DOMAIN("<console type='pty'><alias name='"
			"0123456789012345678901234567890123456789012345678901234567890123"
			"'/></console>"),
		 "", DISPLAY_NONE},
		/* Only what is in <devices> is one. */
		{"<domain><graphics type='vnc'/></domain>", "", DISPLAY_NONE},
	};
	struct display d;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_assert_cmpint(display_read(rows[i].xml, &d), ==, 0);
		g_assert_cmpint(d.graphics, ==, rows[i].graphics);
		g_assert_cmpstr(d.serial, ==, rows[i].serial);
	}
	g_assert_cmpint(display_read("", &d), ==, -EBADMSG);
	g_assert_cmpint(display_read("<domain><devices>", &d), ==, -EBADMSG);
	g_assert_cmpint(display_read("<!DOCTYPE domain [<!ENTITY a 'b'>]><domain>&a;</domain>", &d),
			==, -EBADMSG);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (secret_process_setup() < 0)
		return 1;
	g_test_add_func("/console/where the VM is: once, until the connection ends", test_here);
	g_test_add_func("/console/S1-07 by the rules of the VM, also while it is open", test_rules);
	g_test_add_func("/console/F11 what is asked for has a bound", test_flood_here);
	g_test_add_func("/console/B1 B2 on another device: proof, key, audit", test_there);
	g_test_add_func("/console/S1-15 H26 an untrusted device sees nothing", test_untrusted);
	g_test_add_func("/console/H5 H26 another person's device sees nothing", test_others);
	g_test_add_func("/console/H26 not too many for one device", test_many);
	g_test_add_func("/console/on the wire", test_wire);
	g_test_add_func("/console/its session is no hand-off", test_purposes);
	g_test_add_func("/console/kithd remembers the last ones of each kind", test_remembered);
	g_test_add_func("/console/display and port are found", test_display);
	return g_test_run();
}
