/* SPDX-License-Identifier: Apache-2.0 */
/* Who may cost this device what: whole cores, of which one belongs to somebody else (H4, H5, M7,
 * M10). Each attack has its twin that passes. */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/policyd-fixture.h"

#include "policyd/core-audit.h"

static const char push[] = "allow owner all to own\nallow owner all to guest\n";

/* Bob and Tom's desktop know each other, and each has a VM of his own: Bob's is `vm`. */
struct street {
	struct device *desktop, *bobs;
	struct run run;
};

static struct street *street_new(void)
{
	struct street *s = g_new0(struct street, 1);

	s->desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, "Tom");
	s->bobs = device_new("bobs", DEVICE_ROLE_LAPTOP, "Bob");
	pair(s->desktop, s->bobs, PERSON_ROLE_GUEST);
	s->run.s = s->bobs;
	s->run.d = s->desktop;
	return s;
}

static void street_free(struct street *s)
{
	device_free(s->desktop);
	device_free(s->bobs);
	g_free(s);
}

static uint64_t number(struct device *d, const char *sql)
{
	uint64_t n = 99;

	g_assert_cmpint(sql_number(d->core->store, NULL, &n, sql), ==, 0);
	return n;
}

/* The whole file: no two commits of the same content are alike. */
static GBytes *file_of(struct device *d)
{
	g_autofree char *path = g_build_filename(d->tpm.dir, "policyd", STORE_FILE, NULL);
	char *data = NULL;
	gsize len = 0;

	g_assert_true(g_file_get_contents(path, &data, &len, NULL));
	return g_bytes_new_take(data, len);
}

static bool wrote(struct device *d, GBytes *before)
{
	g_autoptr(GBytes) now = file_of(d);

	return !g_bytes_equal(before, now);
}

static size_t under_way(struct device *d)
{
	size_t n = 0;

	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		n += d->handoffs->list[i].state != HANDOFF_FREE;
	return n;
}

/* The first message of a session, genuine in form, under a number of its own. */
static enum conversation_state hello(struct device *from, struct device *to, struct kerr *err)
{
	uint8_t data[66] = {1, 1}, hid[HID_LEN];
	static struct wire out;

	randombytes_buf(data + 2, sizeof(data) - 2);
	randombytes_buf(hid, sizeof(hid));
	wire_clear(&out);
	kerr_clear(err);
	return handoff_session_step(to->handoffs, hid, from->core->id.id, exporter, data,
				    sizeof(data), &out.buf, err);
}

static void audit_last(struct device *d, struct policyd_audit *ret, size_t *ret_n)
{
	struct policyd_audit *list = NULL;
	size_t n = 0;

	g_assert_cmpint(store_audit_list(d->core->store, 0, SIZE_MAX, &list, &n, NULL), ==, 0);
	g_assert_cmpuint(n, >, 0);
	if (n)
		*ret = list[n - 1];
	*ret_n = n;
	free(list);
}

/* -- H4: nothing comes unasked -- */

static void test_h4_push(void)
{
	struct street *s = street_new();
	struct policyd_audit last;
	struct policyd_peer wire;
	struct store_peer peer;
	struct kerr err;
	size_t n;

	give_policy(s->bobs, push);
	g_assert_false(attest(&s->run, exporter, exporter));
	g_assert_cmpint(s->run.err.code, ==, KCODE_POLICY);
	g_assert_nonnull(strstr(s->run.err.text, "kith trust receive bobs on"));
	/* Refused before anything was spent: no session, so no quote. */
	g_assert_cmpuint(under_way(s->desktop), ==, 0);
	g_assert_cmpuint(s->run.blob[2].buf.len, ==, 0);
	audit_last(s->desktop, &last, &n);
	g_assert_cmpstr(last.action, ==, "move-in");
	g_assert_cmpstr(last.person, ==, "Bob");
	g_assert_cmpint(last.reason.code, ==, KCODE_POLICY);
	/* The twin: the owner said so. */
	idle(s->bobs);
	take_from(s->desktop, s->bobs);
	g_assert_cmpint(store_peer_get(s->desktop->core->store, s->bobs->core->id.id, &peer, &err),
			==, 0);
	store_peer_to_wire(&peer, &wire);
	g_assert_cmpint(wire.receive, ==, 1);
	g_assert_true(attest(&s->run, exporter, exporter));
	commit(&s->run);
	g_assert_cmpint(may_start(s->desktop), ==, 0);
	g_assert_cmpint(may_start(s->bobs), <, 0);
	street_free(s);
}

static void test_h4_own_device(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct policyd_peer wire;
	struct store_peer peer;
	struct kerr err = {0};

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	g_assert_cmpint(store_peer_get(laptop->core->store, desktop->core->id.id, &peer, &err), ==,
			0);
	store_peer_to_wire(&peer, &wire);
	g_assert_cmpint(wire.receive, ==, 1);
	g_assert_cmpint(store_peer_set_receive(laptop->core->store, peer.id, false, &err), ==,
			-EINVAL);
	g_assert_cmpint(err.code, ==, KCODE_USAGE);
	device_free(laptop);
	device_free(desktop);
}

/* A session whose mover never came is recorded when its place is needed, on both sides. */
static void test_reclaimed(void)
{
	struct world *w = world_new();
	struct policyd_audit last;
	size_t before, n;
	uint8_t hid[HID_LEN] = {1};

	for (int side = 0; side < 2; side++) {
		struct device *d = side ? w->desktop : w->laptop;

		g_assert_true(attest(&w->run, exporter, exporter));
		audit_last(d, &last, &before);
		/* The twin: a place that is in use stays. */
		for (int late = 0; late < 2; late++) {
			if (late)
				d->handoffs->list[0].deadline_ms = 0;
			g_assert_nonnull(handoff_add(d->handoffs, hid));
			audit_last(d, &last, &n);
			g_assert_cmpuint(n, ==, before + (size_t)late);
		}
		g_assert_cmpstr(last.action, ==, side ? "move-in" : "move-out");
		g_assert_cmpstr(last.vm, ==, "work");
		g_assert_false(last.allowed);
		g_assert_cmpint(last.reason.code, ==, KCODE_INTERRUPTED);
		idle(w->laptop);
		idle(w->desktop);
	}
	world_free(w);
}

/* While a VM of Tom's is with Bob, Bob may begin; what he then offers is asked about. */
static void test_h4_lent(void)
{
	struct street *s = street_new();

	give_policy(s->bobs, push);
	give_policy(s->desktop, push);
	rewrite(s->desktop, "UPDATE policies SET uuid=x'bb0000000000000000000000000000bb'");
	rewrite(s->desktop, "UPDATE custody SET uuid=x'bb0000000000000000000000000000bb',"
			    " name='lent', here=0, holder=(SELECT id FROM peers)");
	g_assert_false(attest(&s->run, exporter, exporter));
	g_assert_cmpint(s->run.err.code, ==, KCODE_POLICY);
	g_assert_nonnull(strstr(s->run.err.text, "kith trust receive bobs on"));
	g_assert_cmpuint(s->run.blob[2].buf.len, >, 0);
	g_assert_cmpuint(s->run.blob[4].buf.len, >, 0);
	idle(s->bobs);
	/* Back here, or on an own device, it lets nobody begin. */
	rewrite(s->desktop, "UPDATE custody SET here=1");
	g_assert_false(attest(&s->run, exporter, exporter));
	g_assert_cmpuint(s->run.blob[2].buf.len, ==, 0);
	street_free(s);
}

/* -- M7: who asks -- */

static void test_m7_asker(void)
{
	static const char no[] = "allow owner all to own\nallow owner all to guest\n"
				 "allow guest move-out to own\n";
	static const char yes[] = "allow owner all to own\nallow owner all to guest\n"
				  "allow guest move-out, move-in to own\n";
	struct street *s = street_new();
	struct policyd_audit last;
	size_t n;

	for (int allowed = 0; allowed < 2; allowed++) {
		give_policy(s->desktop, allowed ? yes : no);
		s->run.s = s->desktop;
		s->run.d = s->bobs;
		take_from(s->bobs, s->desktop);
		g_assert_true(attest(&s->run, exporter, exporter));
		commit(&s->run);
		/* What Bob asks is not what Tom may. */
		s->run.s = s->bobs;
		s->run.d = s->desktop;
		if (!allowed) {
			g_assert_false(attest(&s->run, exporter, exporter));
			g_assert_cmpint(s->run.err.code, ==, KCODE_POLICY);
			audit_last(s->desktop, &last, &n);
			g_assert_cmpstr(last.person, ==, "Bob");
			rewrite(s->desktop, "DELETE FROM custody; ");
			rewrite(s->desktop, "DELETE FROM policies");
			rewrite(s->bobs, "DELETE FROM custody");
			rewrite(s->bobs, "DELETE FROM policies");
			rewrite(s->desktop, "DELETE FROM journal");
			rewrite(s->bobs, "DELETE FROM journal");
			idle(s->bobs);
			idle(s->desktop);
			continue;
		}
		/* He says that he is Tom; nobody takes that from him. */
		g_snprintf(s->bobs->core->id.owner_name, sizeof(s->bobs->core->id.owner_name),
			   "Tom");
		g_assert_true(attest(&s->run, exporter, exporter));
		commit(&s->run);
		audit_last(s->desktop, &last, &n);
		g_assert_cmpstr(last.action, ==, "custody-own");
		g_assert_cmpstr(last.person, ==, "Bob");
	}
	street_free(s);
}

/* -- H4: growth and squatting -- */

/* A policy as long as an offer may carry. */
static char *long_policy(void)
{
	GString *text = g_string_new(push);

	while (text->len < 14000)
		g_string_append(text,
				"# .......................................................\n");
	return g_string_free(text, FALSE);
}

static void test_h4_growth(void)
{
	struct street *s = street_new();
	g_autofree char *text = long_policy();
	struct policyd_grant g;
	struct kerr err;
	size_t before = 0;

	take_from(s->desktop, s->bobs);
	give_policy(s->bobs, text);
	for (int i = 0; i < 10; i++) {
		g_autoptr(GBytes) file = NULL;

		rest(s->desktop);
		g_assert_true(attest(&s->run, exporter, exporter));
		g_assert_cmpint(handoff_grant_take(s->desktop->handoffs, s->run.hid, false, WORKER,
						   &g, &err),
				==, 0);
		g_assert_cmpint(journal(s->desktop, &s->run, CUSTODY_RECV, NULL, NULL, &err), ==,
				0);
		g_assert_cmpint(journal(s->desktop, &s->run, CUSTODY_VOID, NULL, NULL, &err), ==,
				0);
		idle(s->bobs);
		file = file_of(s->desktop);
		if (!i)
			before = g_bytes_get_size(file);
		g_assert_cmpuint(g_bytes_get_size(file), <, before + 16384);
	}
	g_assert_cmpuint(number(s->desktop, "SELECT (SELECT count(*) FROM policies)"
					    " + (SELECT count(*) FROM offers)"
					    " + (SELECT count(*) FROM chains)"
					    " + (SELECT count(*) FROM custody)"),
			 ==, 0);
	street_free(s);
}

/* Between PREPARED and OWN policyd may die; what came with the offer is there. */
static void test_h4_restart(void)
{
	struct world *w = world_new();
	struct kerr err;
	uint64_t version;

	go_to(w, CUSTODY_RELEASED);
	g_assert_cmpint(store_policy_version(w->desktop->core->store, vm, &version, &err), ==, 0);
	g_assert_cmpuint(version, ==, 0);
	restart(w->desktop);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_OWN, &w->release, &w->ack, &err), ==,
			0);
	g_assert_cmpint(store_policy_version(w->desktop->core->store, vm, &version, &err), ==, 0);
	g_assert_cmpuint(version, ==, 1);
	g_assert_cmpuint(number(w->desktop, "SELECT count(*) FROM offers"), ==, 0);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_DONE, &w->ack, NULL, &err), ==, 0);
	idle(w->laptop);
	g_assert_true(move(w, w->desktop, w->laptop));
	world_free(w);
}

/* Nobody offers a VM of his under the UUID of one that is known here as another owner's. */
static void test_h4_squat(void)
{
	struct world *w = world_new();

	pair(w->desktop, w->bobs, PERSON_ROLE_GUEST);
	take_from(w->desktop, w->bobs);
	g_assert_true(move(w, w->laptop, w->desktop));
	g_assert_true(move(w, w->desktop, w->laptop));
	give_policy(w->bobs, push);
	rewrite(w->bobs, "UPDATE custody SET epoch=9000000000");
	g_assert_false(move(w, w->bobs, w->desktop));
	g_assert_cmpint(w->run.err.code, ==, KCODE_IDENTITY);
	/* The twin: the true one. */
	g_assert_true(move(w, w->laptop, w->desktop));
	world_free(w);
}

/* -- H5: places, pace, disk -- */

static void test_h5_places(void)
{
	struct world *w = world_new();
	struct kerr err;
	int sessions = 0;

	take_from(w->laptop, w->bobs);
	for (int i = 0; i < 8; i++) {
		rest(w->laptop);
		sessions += hello(w->bobs, w->laptop, &err) == CONVERSATION_SEND;
	}
	g_assert_cmpint(sessions, ==, 1);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	/* The owner's own move goes out... */
	g_assert_true(move(w, w->laptop, w->desktop));
	/* ...and, his devices having as many places as they like but half, comes back. */
	for (int i = 0; i < 8; i++)
		hello(w->desktop, w->laptop, &err);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	g_assert_cmpuint(under_way(w->laptop), ==, HANDOFFS_MAX / 2);
	idle(w->laptop);
	rest(w->laptop);
	g_assert_true(move(w, w->desktop, w->laptop));
	world_free(w);
}

/* All of Bob's devices together, and all people together, fill no more than their share. */
static void test_h5_people(void)
{
	static struct core core = {.config.name = "laptop"};
	static struct handoffs h = {.core = &core};
	struct store_peer peer = {.receive = true};
	struct kerr err;
	size_t places = 0;

	for (unsigned i = 0; i < 6; i++) {
		uint8_t hid[HID_LEN] = {(uint8_t)(i + 1)};
		struct handoff *ho;

		peer.id[0] = (uint8_t)(i + 1);
		g_snprintf(peer.person, sizeof(peer.person), i < 3 ? "Bob" : "Eve %u", i);
		g_snprintf(peer.name, sizeof(peer.name), "device %u", i);
		if (handoff_admit(&h, &peer, &err) < 0)
			continue;
		ho = handoff_add(&h, hid);
		g_assert_nonnull(ho);
		memcpy(ho->peer, peer.id, DEVICE_ID_LEN);
		memcpy(ho->person, peer.person, sizeof(ho->person));
		ho->deadline_ms = UINT64_MAX;
		ho->state = HANDOFF_SESSION;
		places++;
	}
	g_assert_cmpuint(places, ==, 2);
	peer.own = true;
	peer.id[0] = 99;
	g_assert_cmpint(handoff_admit(&h, &peer, &err), ==, 0);
}

static void test_h5_pace(void)
{
	struct world *w = world_new();
	g_autoptr(GBytes) before = NULL;
	struct kerr err;

	take_from(w->laptop, w->bobs);
	for (int i = 0; i < 4; i++) {
		g_assert_cmpint(hello(w->bobs, w->laptop, &err), ==, CONVERSATION_SEND);
		idle(w->laptop);
	}
	before = file_of(w->laptop);
	g_assert_cmpint(hello(w->bobs, w->laptop, &err), ==, CONVERSATION_REFUSED);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	g_assert_false(wrote(w->laptop, before));
	/* Others have a pace of their own, and his goes on when he waited. */
	g_assert_cmpint(hello(w->desktop, w->laptop, &err), ==, CONVERSATION_SEND);
	idle(w->laptop);
	for (size_t i = 0; i < PACE_DEVICES_MAX; i++)
		if (w->laptop->handoffs->pace.rows[i].full_ms)
			w->laptop->handoffs->pace.rows[i].full_ms -= 5000;
	g_assert_cmpint(hello(w->bobs, w->laptop, &err), ==, CONVERSATION_SEND);
	idle(w->laptop);
	g_assert_cmpint(hello(w->bobs, w->laptop, &err), ==, CONVERSATION_REFUSED);
	world_free(w);
}

static void test_h5_audit(void)
{
	struct street *s = street_new();
	g_autoptr(GBytes) before = NULL;
	struct policyd_audit last;
	struct kerr err;
	size_t first, n;

	hello(s->bobs, s->desktop, &err);
	audit_last(s->desktop, &last, &first);
	g_assert_cmpint(err.code, ==, KCODE_POLICY);
	before = file_of(s->desktop);
	for (int i = 0; i < 37; i++) {
		rest(s->desktop);
		hello(s->bobs, s->desktop, &err);
	}
	g_assert_false(wrote(s->desktop, before));
	/* Not over yet. */
	g_assert_cmpint(core_audit_tick(s->desktop->core), >, 0);
	g_assert_false(wrote(s->desktop, before));
	s->desktop->core->refusals->list[0].started_ms -= CORE_AUDIT_RUN_MS;
	g_assert_cmpint(core_audit_tick(s->desktop->core), ==, -1);
	audit_last(s->desktop, &last, &n);
	g_assert_cmpuint(n, ==, first + 1);
	g_assert_nonnull(strstr(last.reason.text, "(37 more times in "));
	g_assert_cmpstr(last.action, ==, "move-in");
	g_assert_cmpint(last.allowed, ==, 0);
	/* The next one is recorded at once; another kind too; and the end leaves nothing out. */
	rest(s->desktop);
	hello(s->bobs, s->desktop, &err);
	hello(s->bobs, s->desktop, &err);
	core_audit_peer(s->desktop->core, "Bob", "bobs", "other", "move-in", &err);
	audit_last(s->desktop, &last, &n);
	g_assert_cmpuint(n, ==, first + 3);
	restart(s->desktop);
	audit_last(s->desktop, &last, &n);
	g_assert_cmpuint(n, ==, first + 4);
	g_assert_nonnull(strstr(last.reason.text, "(1 more times in "));
	g_assert_cmpint(store_log_verify(s->desktop->core->store, STORE_AUDIT, &err), ==, 0);
	/* The twin: what the owner is refused is recorded each time. */
	for (int i = 0; i < 3; i++)
		core_audit(s->desktop->core, "Tom", "bobs", "work", "move", &err);
	audit_last(s->desktop, &last, &n);
	kerr_set(&err, EACCES, KCODE_POLICY, "No.");
	for (int i = 0; i < 3; i++)
		core_audit(s->desktop->core, "Tom", "bobs", "work", "move", &err);
	first = n;
	audit_last(s->desktop, &last, &n);
	g_assert_cmpuint(n, ==, first + 3);
	street_free(s);
}

/* A hash is read again only when the file is another one. */
static void test_h5_hashes(void)
{
	g_autofree char *dir = g_dir_make_tmp("kith-cost-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "program", NULL);
	struct measure_cache cache = {0};
	uint8_t a[HASH_LEN], b[HASH_LEN];
	struct timespec times[2];
	struct stat st;

	g_assert_true(g_file_set_contents(path, "one", 3, NULL));
	g_assert_cmpint(measure_file(path, &cache, a), ==, 0);
	g_assert_true(cache.full);
	/* Taken from where it was kept... */
	cache.hash[0] ^= 1;
	g_assert_cmpint(measure_file(path, &cache, b), ==, 0);
	g_assert_cmpint(b[0], ==, a[0] ^ 1);
	/* ...but not for a file of the same length and time that was written since. */
	g_assert_cmpint(stat(path, &st), ==, 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	g_usleep(20000);
	{
		FILE *f = fopen(path, "r+");

		g_assert_nonnull(f);
		fputs("two", f);
		fclose(f);
	}
	g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
	g_assert_cmpint(measure_file(path, &cache, b), ==, 0);
	g_assert_true(memcmp(a, b, HASH_LEN) != 0);
	g_assert_cmpint(b[0], !=, a[0] ^ 1);
	unlink(path);
	g_assert_cmpint(measure_file(path, &cache, b), ==, -ENOENT);
	g_rmdir(dir);
}

/* -- M10 -- */

static void test_m10_stranger(void)
{
	struct world *w = world_new();
	struct run *run = &w->run;
	uint8_t junk[66] = {1, 1};
	struct wire out;
	struct kerr err;

	pair(w->desktop, w->bobs, PERSON_ROLE_GUEST);
	take_from(w->desktop, w->bobs);
	for (int i = 0; i < 5; i++)
		wire_clear(&run->blob[i]);
	kerr_clear(&run->err);
	g_assert_cmpint(ask_to_move(w->laptop, w->desktop, run->hid, &run->err), ==, 0);
	g_assert_cmpint(handoff_session_start(w->laptop->handoffs, run->hid, exporter,
					      &run->blob[1].buf, &run->err),
			==, CONVERSATION_SEND);
	for (int i = 1; i < 5; i++) {
		struct device *to = i % 2 ? w->desktop : w->laptop;
		struct device *from = i % 2 ? w->laptop : w->desktop;
		enum conversation_state want =
			i < 4 && i != 4 ? CONVERSATION_SEND : CONVERSATION_DONE;
		enum conversation_state state;

		/* Bob has seen the number, and talks to whichever side has a session of it; then
		 * his channel ends. The same from the right device over another channel. */
		for (int other = 0; i > 1 && other < 2; other++) {
			wire_clear(&out);
			kerr_clear(&err);
			g_assert_cmpint(handoff_session_step(to->handoffs, run->hid,
							     (other ? from : w->bobs)->core->id.id,
							     other_exporter, junk, sizeof(junk),
							     &out.buf, &err),
					==, CONVERSATION_REFUSED);
			g_assert_cmpint(err.code, ==, KCODE_ATTEST_BINDING);
			g_assert_cmpuint(out.buf.len, ==, 0);
			handoff_session_end(to->handoffs, run->hid, other_exporter);
		}
		state = handoff_session_step(to->handoffs, run->hid, from->core->id.id, exporter,
					     run->blob[i].room, run->blob[i].buf.len,
					     i < 4 ? &run->blob[i + 1].buf : &run->blob[0].buf,
					     &run->err);
		if (i < 3)
			g_assert_cmpint(state, ==, want);
		else
			g_assert_cmpint(state, ==, CONVERSATION_DONE);
	}
	commit(run);
	g_assert_cmpint(may_start(w->desktop), ==, 0);
	/* The twin: its own channel's end does end a session. */
	run->s = w->desktop;
	run->d = w->laptop;
	g_assert_true(attest(run, exporter, exporter));
	handoff_session_end(w->desktop->handoffs, run->hid, exporter);
	g_assert_null(handoff_find(w->desktop->handoffs, run->hid));
	world_free(w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(secret_process_setup(), ==, 0);
	g_test_add_func("/cost/H4 no VM of another person unless the owner said so", test_h4_push);
	g_test_add_func("/cost/H4 own devices need no word", test_h4_own_device);
	g_test_add_func("/cost/H4 what is lent may come home, and nothing else", test_h4_lent);
	g_test_add_func("/cost/S2-05 a place that was taken back is recorded", test_reclaimed);
	g_test_add_func("/cost/H4 offers that were voided take no room", test_h4_growth);
	g_test_add_func("/cost/H4 an offer outlives policyd until OWN", test_h4_restart);
	g_test_add_func("/cost/H4 no UUID of another owner's VM", test_h4_squat);
	g_test_add_func("/cost/H5 places are kept for the owner", test_h5_places);
	g_test_add_func("/cost/H5 people share their places", test_h5_people);
	g_test_add_func("/cost/H5 each peer has a pace", test_h5_pace);
	g_test_add_func("/cost/H5 equal refusals of a peer are counted", test_h5_audit);
	g_test_add_func("/cost/H5 programs are hashed once", test_h5_hashes);
	g_test_add_func("/cost/M7 who asks is whose device it is", test_m7_asker);
	g_test_add_func("/cost/M10 a stranger to a session cannot end it", test_m10_stranger);
	return g_test_run();
}
