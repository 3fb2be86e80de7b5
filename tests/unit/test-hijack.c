/* SPDX-License-Identifier: Apache-2.0 */
/* kithd faces strangers, so it is taken as hijacked already. Here it is: it asks policyd for all
 * that it may ask and all that it may not, swaps peers, hides, repeats and invents. It may deny,
 * and it sees names. It cannot move a VM, adopt a device, forge a verdict or learn a key. */
#include <sys/socket.h>

#include "base/ipc.h"
#include "policyd/dispatch.h"
#include "policyd/server.h"
#include "tests/unit/policyd-fixture.h"

#define OPS 256

static void ask(struct device *kithd, uint16_t op, const struct wire *w, struct reply *ret)
{
	ask_as(kithd, WHO_ANYONE | WHO_AGENT, op, w->room, w->buf.len, ret);
}

/* All that the owner is told of. */
static GBytes *facts_of(struct device *d)
{
	static const uint16_t ops[] = {POLICYD_OP_STATUS, POLICYD_OP_PEERS, POLICYD_OP_VMS,
				       POLICYD_OP_PAIR_STATUS};
	GByteArray *all = g_byte_array_new();
	struct reply reply;

	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
		ask_as(d, WHO_ANYONE | WHO_OWNER, ops[i], NULL, 0, &reply);
		g_assert_false(reply.refused);
		g_byte_array_append(all, reply.body, (guint)reply.len);
	}
	return g_byte_array_free_to_bytes(all);
}

/* Records from number `from` on, of which each has to be a refusal of this account. */
static uint64_t refusals_since(const struct device *d, uint64_t from)
{
	g_autofree struct policyd_audit *list = NULL;
	struct kerr err = {0};
	size_t n;

	g_assert_cmpint(store_audit_list(d->core->store, from, 1000, &list, &n, &err), ==, 0);
	for (size_t i = 0; i < n; i++) {
		g_assert_false(list[i].allowed);
		g_assert_cmpint(list[i].reason.code, ==, KCODE_NOT_ALLOWED);
		g_assert_nonnull(strstr(list[i].reason.text, "local account 990"));
	}
	return n;
}

static uint64_t newest_record(const struct device *d)
{
	g_autofree struct policyd_audit *list = NULL;
	struct kerr err = {0};
	size_t n;

	g_assert_cmpint(store_audit_list(d->core->store, 0, 1000, &list, &n, &err), ==, 0);
	return n ? list[n - 1].seq : 0;
}

/* -- What it may ask at all -- */

static bool kithds_own(unsigned op)
{
	switch (op) {
	case POLICYD_OP_STATUS:
	case POLICYD_OP_PAIR_STATUS:
	case POLICYD_OP_PEERS:
	case POLICYD_OP_VMS:
	case POLICYD_OP_TLS_LEAF:
	case POLICYD_OP_CONVERSE:
	case POLICYD_OP_CUSTODY_STEP:
	case POLICYD_OP_CUSTODY_OUTBOX:
	case POLICYD_OP_CHANGES:
	case POLICYD_OP_WANTED:
		return true;
	default:
		return false;
	}
}

/* Every number there is, empty and with 200 bytes that mean nothing. What is not kithd's is refused
 * before anybody reads it, and nothing is written but that somebody wanted what is the owner's:
 * once for each request, however often (S2-05). */
static void test_ops(void)
{
	struct world *w = world_new();
	GBytes *before = facts_of(w->laptop), *after;
	uint64_t newest = newest_record(w->laptop), recorded;
	struct reply reply;
	unsigned known = 0, owners = 0;
	struct wire junk;

	for (unsigned op = 0; op < OPS; op++) {
		for (size_t len = 0; len <= 200; len += 200) {
			if (kithds_own(op))
				continue;
			wire_clear(&junk);
			memset(junk.room, 0xa5, len);
			junk.buf.len = len;
			ask(w->laptop, (uint16_t)op, &junk, &reply);
			g_assert_true(reply.refused);
			g_assert_true(reply.code == KCODE_NOT_ALLOWED ||
				      reply.code == KCODE_BAD_MESSAGE);
			known += reply.code == KCODE_NOT_ALLOWED;
		}
	}
	after = facts_of(w->laptop);
	g_assert_true(g_bytes_equal(before, after));
	recorded = refusals_since(w->laptop, newest + 1);
	g_assert_cmpuint(recorded, >, 15);
	g_assert_cmpuint(recorded, <, 32);
	/* The twin: there are requests of others, and they are answered to those. */
	g_assert_cmpuint(known, >, 40);
	for (unsigned op = 0; op < OPS; op++) {
		ask_as(w->laptop, WHO_ANYONE | WHO_OWNER, (uint16_t)op, junk.room, 0, &reply);
		owners += !kithds_own(op) && (!reply.refused || reply.code != KCODE_BAD_MESSAGE);
	}
	g_assert_cmpuint(owners, >, 5);
	g_bytes_unref(before);
	g_bytes_unref(after);
	world_free(w);
}

/* -- What it reads -- */

struct secrets {
	uint8_t of[6][32];
	const char *name[6];
	size_t count;
};

static void add_secret(struct secrets *s, const char *name, const uint8_t data[32])
{
	memcpy(s->of[s->count], data, 32);
	s->name[s->count++] = name;
}

static const char *secret_in(const struct secrets *s, const struct reply *reply)
{
	for (size_t i = 0; i < s->count; i++)
		if (memmem(reply->body, reply->len, s->of[i], 32))
			return s->name[i];
	return NULL;
}

static struct secrets secrets_of(struct device *d)
{
	struct secrets s = {0};
	uint8_t owner[64];
	size_t len;

	add_secret(&s, "device key", d->core->id.device_sk.data);
	add_secret(&s, "store key", d->core->keys.db.data);
	add_secret(&s, "authority key", d->core->keys.authority.data);
	if (store_meta_get(d->core->store, STORE_OWNER_SK, owner, sizeof(owner), &len, NULL) == 0)
		add_secret(&s, "owner key", owner);
	return s;
}

/* All that it can read while a whole hand-off is attested and granted. */
static void test_secrets(void)
{
	static const uint16_t reads[] = {POLICYD_OP_STATUS, POLICYD_OP_PAIR_STATUS,
					 POLICYD_OP_PEERS, POLICYD_OP_VMS,
					 POLICYD_OP_CUSTODY_OUTBOX};
	struct world *w = world_new();
	struct secrets s = secrets_of(w->laptop);
	struct policyd_grant grant;
	struct reply reply;
	struct wire none;
	bool saw_name = false;

	g_assert_cmpuint(s.count, ==, 4);
	g_assert_true(attest(&w->run, exporter, exporter));
	g_assert_cmpint(
		handoff_grant_take(w->laptop->handoffs, w->run.hid, true, WORKER, &grant, NULL), ==,
		0);
	add_secret(&s, "data key", grant.key);
	wire_clear(&none);
	for (size_t i = 0; i < G_N_ELEMENTS(reads); i++) {
		ask(w->laptop, reads[i], &none, &reply);
		g_assert_false(reply.refused);
		g_assert_cmpstr(secret_in(&s, &reply), ==, NULL);
		saw_name |= memmem(reply.body, reply.len, "desktop", 7) != NULL;
	}
	for (int i = 1; i < 5; i++) {
		memcpy(reply.body, w->run.blob[i].room, w->run.blob[i].buf.len);
		reply.len = w->run.blob[i].buf.len;
		g_assert_cmpuint(reply.len, >, 0);
		g_assert_cmpstr(secret_in(&s, &reply), ==, NULL);
	}
	g_assert_true(saw_name); /* it does see names */
	/* The twin: the search finds what is there. */
	memcpy(reply.body + 40, grant.key, sizeof(grant.key));
	reply.len = 100;
	g_assert_cmpstr(secret_in(&s, &reply), ==, "data key");
	world_free(w);
}

/* -- What it may set in motion -- */

/* A START where there is no peer yet. */
static void session_body(struct wire *w, const uint8_t *hid, const uint8_t *peer,
			 const struct wire *blob)
{
	struct policyd_talk talk = {.kind = TALK_SESSION, .verb = peer ? TALK_STEP : TALK_START};

	memcpy(talk.hid, hid, sizeof(talk.hid));
	if (peer)
		memcpy(talk.peer, peer, sizeof(talk.peer));
	memcpy(talk.exporter, exporter, sizeof(talk.exporter));
	if (blob) {
		talk.blob = blob->room;
		talk.len = blob->buf.len;
	}
	policyd_talk_put(wire_clear(w), &talk);
}

/* State of a conversation reply. */
static enum conversation_state state_of(const struct reply *reply, struct wire *ret_blob)
{
	struct policyd_conversation c;
	struct rbuf r = rbuf_init(reply->body, reply->len);

	g_assert_false(reply->refused);
	g_assert_cmpint(policyd_conversation_get(&r, &c), ==, 0);
	wire_clear(ret_blob);
	wbuf_bytes(&ret_blob->buf, c.blob, c.len);
	return c.state;
}

/* The owner wants the VM on the desktop; kithd carries the first message to `to`, and this is the
 * answer of the policyd there. */
static void carry(struct world *w, struct device *to, uint8_t ret_hid[HID_LEN], struct wire *ret)
{
	static struct wire body, blob;
	static struct reply reply;
	struct kerr err = {0};

	g_assert_cmpint(ask_to_move(w->laptop, w->desktop, ret_hid, &err), ==, 0);
	session_body(&body, ret_hid, NULL, NULL);
	ask(w->laptop, POLICYD_OP_CONVERSE, &body, &reply);
	g_assert_cmpint(state_of(&reply, &blob), ==, CONVERSATION_SEND);
	session_body(&body, ret_hid, w->laptop->core->id.id, &blob);
	ask(to, POLICYD_OP_CONVERSE, &body, &reply);
	g_assert_cmpint(state_of(&reply, ret), ==, CONVERSATION_SEND);
}

/* No hand-off that the owner did not ask for, none to another device than he named. */
static void test_moves(void)
{
	static struct wire body, blob, other;
	struct world *w = world_new();
	uint8_t invented[HID_LEN] = {7}, hid[HID_LEN];
	struct policyd_grant grant;
	static struct reply reply;
	struct kerr err = {0};

	session_body(&body, invented, NULL, NULL);
	ask(w->laptop, POLICYD_OP_CONVERSE, &body, &reply);
	g_assert_cmpint(state_of(&reply, &blob), ==, CONVERSATION_REFUSED);

	/* What is for the desktop goes to Bob's, which would take it, and whose evidence comes back
	 * as the desktop's. */
	g_assert_cmpint(
		store_peer_set_receive(w->bobs->core->store, w->laptop->core->id.id, true, &err),
		==, 0);
	carry(w, w->bobs, hid, &other);
	session_body(&body, hid, w->desktop->core->id.id, &other);
	ask(w->laptop, POLICYD_OP_CONVERSE, &body, &reply);
	g_assert_cmpint(state_of(&reply, &blob), ==, CONVERSATION_REFUSED);
	g_assert_cmpint(handoff_grant_take(w->laptop->handoffs, hid, true, WORKER, &grant, &err), <,
			0);
	g_assert_cmpint(handoff_grant_take(w->bobs->handoffs, hid, false, WORKER, &grant, &err), <,
			0);
	g_assert_cmpint(may_start(w->laptop), ==, 0);

	/* The twin: carried where it belongs, it is granted. */
	kerr_clear(&err);
	g_assert_true(attest(&w->run, exporter, exporter));
	take_grants(&w->run);
	world_free(w);
}

/* -- What it may deny, and no more -- */

/* Letters lost, repeated, late and of an accomplice: custody is what the two devices said. */
static void test_letters(void)
{
	struct world *w = world_new();
	static struct reply reply;
	struct wire body, stale;
	struct kerr err;

	go_to(w, CUSTODY_RELEASED);
	stale = w->vote;
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_OWN, &w->release, &w->ack, &err), ==,
			0);
	/* The ACK is withheld, the VOTE comes again, and again under Bob's name. */
	for (int i = 0; i < 3; i++) {
		wire_clear(&body);
		wbuf_bytes(&body.buf, i ? w->bobs->core->id.id : w->desktop->core->id.id,
			   DEVICE_ID_LEN);
		wbuf_blob(&body.buf, stale.room, stale.buf.len);
		ask(w->laptop, POLICYD_OP_CUSTODY_STEP, &body, &reply);
		g_assert_cmpint(bound(w->laptop), ==, FENCE_FREEZE);
		g_assert_cmpint(may_start(w->laptop), <, 0);
	}
	/* A genuine letter, but of another sender: kept for nobody. */
	wire_clear(&body);
	wbuf_bytes(&body.buf, w->bobs->core->id.id, DEVICE_ID_LEN);
	wbuf_blob(&body.buf, w->ack.room, w->ack.buf.len);
	ask(w->laptop, POLICYD_OP_CUSTODY_STEP, &body, &reply);
	g_assert_cmpint(bound(w->laptop), ==, FENCE_FREEZE);
	/* The twin: the ACK of the one who signed it. */
	wire_clear(&body);
	wbuf_bytes(&body.buf, w->desktop->core->id.id, DEVICE_ID_LEN);
	wbuf_blob(&body.buf, w->ack.room, w->ack.buf.len);
	ask(w->laptop, POLICYD_OP_CUSTODY_STEP, &body, &reply);
	g_assert_false(reply.refused);
	g_assert_cmpint(bound(w->laptop), ==, FENCE_KILL);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	g_assert_cmpint(may_start(w->desktop), ==, 0);
	world_free(w);
}

/* A verdict is what the evidence says: bytes changed on the way give a refusal or nothing. */
static void test_verdicts(void)
{
	struct world *w = world_new();
	static struct wire body, blob, out;
	static struct reply reply;
	uint8_t hid[HID_LEN];
	struct store_peer peer;

	extend_running(w->desktop, 4);
	g_assert_false(attest(&w->run, exporter, exporter));
	g_assert_cmpint(
		store_peer_get(w->laptop->core->store, w->desktop->core->id.id, &peer, NULL), ==,
		0);
	g_assert_cmpint(peer.verdict, ==, VERDICT_UNTRUSTED);
	idle(w->laptop);
	idle(w->desktop);
	for (size_t step = 0; step < 6; step++) {
		carry(w, w->desktop, hid, &blob);
		blob.room[blob.buf.len * step / 6] ^= (uint8_t)(1u << step % 8);
		session_body(&body, hid, w->desktop->core->id.id, &blob);
		ask(w->laptop, POLICYD_OP_CONVERSE, &body, &reply);
		g_assert_cmpint(state_of(&reply, &out), ==, CONVERSATION_REFUSED);
		g_assert_cmpint(store_peer_get(w->laptop->core->store, w->desktop->core->id.id,
					       &peer, NULL),
				==, 0);
		g_assert_cmpint(peer.verdict, !=, VERDICT_TRUSTED);
		idle(w->laptop);
		idle(w->desktop);
	}
	world_free(w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_assert_cmpint(sodium_init(), >=, 0);
	g_test_add_func("/hijack/a hijacked kithd asks for what is kithd's and nothing else",
			test_ops);
	g_test_add_func("/hijack/it reads names and no key", test_secrets);
	g_test_add_func("/hijack/it moves nothing, and nothing elsewhere", test_moves);
	g_test_add_func("/hijack/C2 letters withheld, repeated, misaddressed", test_letters);
	g_test_add_func("/hijack/it makes no verdict", test_verdicts);
	return g_test_run();
}
