/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: trusted cores in one program, each on a software TPM of its own, and what carries
 * their words: pairing, the session, custody records. */
#pragma once

#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <string.h>

#include "mover/marker.h"
#include "policyd/dispatch.h"
#include "policyd/handoff-internal.h"
#include "policyd/offer.h"
#include "policyd/policyd.h"
#include "policyd/store-sql.h"
#include "tests/unit/swtpm-fixture.h"
#include "ui-tui/policytext.h"

static const uint8_t exporter[EXPORTER_LEN] = {1, 2, 3};
static const uint8_t other_exporter[EXPORTER_LEN] = {9};
static const uint8_t vm[UUID_LEN] = {0xaa, 1};

struct device {
	struct swtpm tpm;
	struct config config;
	struct core *core;
	struct pairdesk *pairdesk;
	struct handoffs *handoffs;
	struct consoles *consoles;
	char recovery[VAULT_RECOVERY_TEXT];
};

/* Extends while nobody else is connected: swtpm serves one at a time. */
static inline void extend(const struct swtpm *tpm, unsigned pcr)
{
	struct tpm *t = open_tpm(tpm->tcti);

	extend_pcr(t, pcr);
	tpm_free(t);
}

static inline void boot(const struct swtpm *tpm)
{
	static const unsigned pcrs[] = {0, 2, 4, 7};

	for (size_t i = 0; i < G_N_ELEMENTS(pcrs); i++)
		extend(tpm, pcrs[i]);
}

static inline int try_open_core(struct device *d, struct kerr *err)
{
	struct policyd p = {0};
	int r = policyd_start(&d->config, &p, err);

	d->core = p.core;
	d->pairdesk = p.pairdesk;
	d->handoffs = p.handoffs;
	d->consoles = p.consoles;
	return r;
}

static inline void open_core(struct device *d)
{
	struct kerr err = {0};

	g_assert_cmpint(try_open_core(d, &err), ==, 0);
}

static inline void close_core(struct device *d)
{
	policyd_stop(&(struct policyd){d->core, d->pairdesk, d->handoffs, d->consoles});
	d->core = NULL;
	d->pairdesk = NULL;
	d->handoffs = NULL;
	d->consoles = NULL;
}

/* A TPM that has booted and a configuration; no core yet. */
static inline struct device *device_blank(const char *name, enum device_role role)
{
	struct device *d = g_new0(struct device, 1);
	struct kerr err = {0};

	swtpm_start(&d->tpm);
	boot(&d->tpm);
	g_assert_cmpint(config_parse("", &d->config, &err), ==, 0);
	g_snprintf(d->config.name, sizeof(d->config.name), "%s", name);
	g_snprintf(d->config.tcti, sizeof(d->config.tcti), "%s", d->tpm.tcti);
	g_snprintf(d->config.state, sizeof(d->config.state), "%s", d->tpm.dir);
	d->config.role = role;
	return d;
}

static inline struct device *device_new(const char *name, enum device_role role, const char *owner)
{
	struct device *d = device_blank(name, role);
	struct kerr err = {0};

	open_core(d);
	g_assert_cmpint(core_ensure_device(d->core, d->recovery, &err), ==, 0);
	g_assert_cmpuint(strlen(d->recovery), >, 20);
	if (owner) {
		struct device_record rec = {
			.version = RECORD_VERSION, .role = role, .tier = TPM_TIER_SOFTWARE};

		g_snprintf(rec.name, sizeof(rec.name), "%s", name);
		memcpy(rec.sign_pk, d->core->id.sign_pk, SIGN_PK_LEN);
		memcpy(rec.ak_public, d->core->id.ak.pub.data, d->core->id.ak.pub.len);
		rec.ak_public_len = d->core->id.ak.pub.len;
		crypto_hash_sha256(rec.ek_hash, d->core->id.ek_pub.data, d->core->id.ek_pub.len);
		g_assert_cmpint(
			identity_found_cloud(d->core->store, &d->core->id, &rec, owner, &err), ==,
			0);
		g_assert_cmpint(store_commit(d->core->store, COMMIT_GUARDED, &err), ==, 0);
		core_update_state(d->core);
	}
	return d;
}

static inline void device_free(struct device *d)
{
	close_core(d);
	swtpm_stop(&d->tpm);
	g_free(d);
}

/* -- Pairing over a perfect wire -- */

struct wire {
	uint8_t room[ATTEST_BLOB_MAX];
	struct wbuf buf;
};

static inline struct wbuf *wire_clear(struct wire *w)
{
	w->buf = wbuf_init(w->room, sizeof(w->room));
	return &w->buf;
}

static inline void wire_set(struct wire *w, const void *data, size_t len)
{
	wbuf_bytes(wire_clear(w), data, len);
}

/* Carries blobs to and fro until nobody has anything to say. */
static inline void exchange(struct device *a, struct device *b, struct wire *to_b,
			    struct wire *to_a)
{
	struct kerr err = {0};

	for (int i = 0; i < 20 && (to_b->buf.len || to_a->buf.len); i++) {
		struct wire reply;

		wire_clear(&reply);
		if (to_b->buf.len) {
			pairdesk_step(b->pairdesk, to_b->room, to_b->buf.len, &reply.buf, &err);
			wire_clear(to_b);
			wbuf_bytes(&to_a->buf, reply.room, reply.buf.len);
		} else {
			pairdesk_step(a->pairdesk, to_a->room, to_a->buf.len, &reply.buf, &err);
			wire_clear(to_a);
			wbuf_bytes(&to_b->buf, reply.room, reply.buf.len);
		}
	}
}

static inline void pair(struct device *a, struct device *b, enum person_role role)
{
	const struct pairdesk_window window = {.role = role, .seconds = 60};
	static struct wire to_a, to_b;
	struct policyd_pair_status sa, sb;
	struct kerr err = {0};

	g_assert_cmpint(pairdesk_open(a->pairdesk, &window, &err), ==, 0);
	g_assert_cmpint(pairdesk_open(b->pairdesk, &window, &err), ==, 0);
	wire_clear(&to_a);
	wire_clear(&to_b);
	g_assert_cmpint(pairdesk_start(b->pairdesk, false, exporter, &to_a.buf, &err), ==,
			CONVERSATION_SEND);
	g_assert_cmpint(pairdesk_start(a->pairdesk, true, exporter, &to_b.buf, &err), ==,
			CONVERSATION_SEND);
	exchange(a, b, &to_b, &to_a);
	pairdesk_status(a->pairdesk, &sa);
	pairdesk_status(b->pairdesk, &sb);
	g_assert_true(sa.waiting && sb.waiting);
	g_assert_cmpstr(sa.code, ==, sb.code);
	g_assert_cmpint(pairdesk_confirm(a->pairdesk, sa.hash, true, &err), ==, 0);
	g_assert_cmpint(pairdesk_confirm(b->pairdesk, sb.hash, true, &err), ==, 0);
	wire_clear(&to_a);
	wire_clear(&to_b);
	pairdesk_poll(a->pairdesk, &to_b.buf, &err);
	pairdesk_poll(b->pairdesk, &to_a.buf, &err);
	exchange(a, b, &to_b, &to_a);
	pairdesk_status(a->pairdesk, &sa);
	pairdesk_status(b->pairdesk, &sb);
	g_assert_cmpstr(sa.error.text, ==, "");
	g_assert_cmpstr(sb.error.text, ==, "");
	g_assert_true(sa.done && sb.done);
}

/* -- A hand-off between two cores -- */

/* Signs these rules for the VM as its owner, and keeps them. */
static inline void put_policy(struct device *d, const char *text, uint64_t version)
{
	g_autofree struct policy *rules = g_new0(struct policy, 1);
	static uint8_t compiled[STORE_POLICY_MAX];
	struct store_policy p = {.version = version, .text = (char *)text, .compiled = compiled};
	uint8_t digest[HASH_LEN];
	struct kerr err = {0};

	g_assert_cmpint(policytext_compile(text, rules, &err), ==, 0);
	g_assert_cmpint(policytext_encode(rules, compiled, sizeof(compiled), &p.compiled_len), ==,
			0);
	p.text_len = strlen(text);
	memcpy(p.uuid, vm, UUID_LEN);
	g_snprintf(p.name, sizeof(p.name), "work");
	memcpy(p.owner_pk, d->core->id.owner_pk, SIGN_PK_LEN);
	offer_policy_digest(&p, digest);
	g_assert_cmpint(
		identity_owner_sign(d->core->store, digest, sizeof(digest), p.signature, &err), ==,
		0);
	g_assert_cmpint(store_policy_put(d->core->store, &p, &err), ==, 0);
}

static inline void give_policy(struct device *d, const char *text)
{
	struct custody_view view;
	struct kerr err = {0};

	put_policy(d, text, 1);
	g_assert_cmpint(store_custody_adopt(d->core->store, vm, "work", d->core->id.id,
					    d->config.name, &view, &err),
			==, 0);
}

#define WORKER 7 /* number of the worker's connection */

struct run {
	struct device *s, *d;
	uint64_t worker; /* 0: the one that took the grant */
	enum move_rung rung;
	uint8_t hid[HID_LEN];
	struct wire blob[5];
	struct kerr err; /* of the side that refused */
};

/* A person asks for a move of the VM. */
static inline int ask_to_move_so(struct device *from, const struct device *to, enum move_rung rung,
				 uint8_t ret_hid[HID_LEN], struct kerr *err)
{
	struct policyd_move move = {.rung = rung};

	memcpy(move.uuid, vm, UUID_LEN);
	memcpy(move.device, to->core->id.id, DEVICE_ID_LEN);
	return handoff_request(from->handoffs, PERSON_ROLE_OWNER, &move, ret_hid, err);
}

static inline int ask_to_move(struct device *from, const struct device *to,
			      uint8_t ret_hid[HID_LEN], struct kerr *err)
{
	return ask_to_move_so(from, to, MOVE_RUNG_ANY, ret_hid, err);
}

/* Requests and runs the session; true if both granted. `source_sees` and `dest_sees` are the
 * exporters of the two ends of the channel: equal unless somebody sits between. */
static inline bool attest(struct run *run, const uint8_t *source_sees, const uint8_t *dest_sees)
{
	enum conversation_state state;

	kerr_clear(&run->err);
	for (int i = 0; i < 5; i++)
		wire_clear(&run->blob[i]);
	if (ask_to_move_so(run->s, run->d, run->rung, run->hid, &run->err) < 0)
		return false;
	state = handoff_session_start(run->s->handoffs, run->hid, source_sees, &run->blob[1].buf,
				      &run->err);
	for (int i = 1; i < 4 && state == CONVERSATION_SEND; i++) {
		struct device *to = i % 2 ? run->d : run->s;
		struct device *from = i % 2 ? run->s : run->d;

		state = handoff_session_step(
			to->handoffs, run->hid, from->core->id.id, i % 2 ? dest_sees : source_sees,
			run->blob[i].room, run->blob[i].buf.len, &run->blob[i + 1].buf, &run->err);
	}
	if (state != CONVERSATION_DONE)
		return false;
	state = handoff_session_step(run->s->handoffs, run->hid, run->d->core->id.id, source_sees,
				     run->blob[4].room, run->blob[4].buf.len, &run->blob[0].buf,
				     &run->err);
	return state == CONVERSATION_DONE;
}

static inline int journal(struct device *d, const struct run *run, enum custody_record record,
			  const struct wire *proof, struct wire *ret, struct kerr *err)
{
	struct handoff_entry entry = {.hid = run->hid,
				      .record = record,
				      .proof = proof ? proof->room : NULL,
				      .proof_len = proof ? proof->buf.len : 0,
				      .worker = run->worker ? run->worker : WORKER};
	struct policyd_statement st;
	int r;

	kerr_clear(err);
	r = handoff_journal(d->handoffs, &entry, &st, err);
	store_rollback(d->core->store);
	if (r == 0 && ret)
		wire_set(ret, st.bytes, st.len);
	return r;
}

static inline void take_grants(struct run *run)
{
	struct policyd_grant gs, gd;
	struct kerr err = {0};

	g_assert_cmpint(handoff_grant_take(run->s->handoffs, run->hid, true, WORKER, &gs, &err), ==,
			0);
	g_assert_cmpint(handoff_grant_take(run->d->handoffs, run->hid, false, WORKER, &gd, &err),
			==, 0);
	g_assert_cmpmem(gs.key, 32, gd.key, 32);
	g_assert_cmpstr(gd.vm, ==, "work");
	/* What a person wants is the source's to do; the other one hears nothing of it. */
	g_assert_cmpint(gs.rung, ==, run->rung);
	g_assert_cmpint(gd.rung, ==, MOVE_RUNG_ANY);
	g_assert_cmpint(handoff_grant_take(run->s->handoffs, run->hid, true, WORKER, &gs, &err), <,
			0);
}

/* The switch-over (tests/model/README.md) as far as the two journals see it. */
static inline void commit(struct run *run)
{
	static struct wire vote, release, ack;
	struct kerr err;

	take_grants(run);
	g_assert_cmpint(journal(run->s, run, CUSTODY_PREP, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(journal(run->d, run, CUSTODY_RECV, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(journal(run->d, run, CUSTODY_PREPARED, NULL, &vote, &err), ==, 0);
	/* H8: neither side moves on without the other's word. */
	g_assert_cmpint(journal(run->s, run, CUSTODY_RELEASED, NULL, NULL, &err), <, 0);
	g_assert_cmpint(journal(run->d, run, CUSTODY_OWN, &vote, NULL, &err), <, 0);
	/* R1: a worker that did not run the migration may not release while the copy is there. */
	run->worker = WORKER + 1;
	g_assert_cmpint(journal(run->s, run, CUSTODY_RELEASED, &vote, &release, &err), <, 0);
	run->worker = 0;
	g_assert_cmpint(journal(run->s, run, CUSTODY_RELEASED, &vote, &release, &err), ==, 0);
	g_assert_cmpint(journal(run->s, run, CUSTODY_ABORTED, NULL, NULL, &err), <, 0);
	g_assert_cmpint(journal(run->d, run, CUSTODY_OWN, &release, &ack, &err), ==, 0);
	g_assert_cmpint(journal(run->s, run, CUSTODY_DONE, &release, NULL, &err), <, 0);
	g_assert_cmpint(journal(run->s, run, CUSTODY_DONE, &ack, NULL, &err), ==, 0);
}

/* As the hook asks. */
static inline int may_start(struct device *d)
{
	struct kerr err = {0};
	int r = handoff_custody_check(d->handoffs, vm, CUSTODY_USE_START, &err);

	return err.code == KCODE_LOCKED
		       ? marker_may_start(d->core->marker_fd, vm, CUSTODY_USE_START, NULL)
		       : r;
}

struct reply {
	bool refused;
	enum kcode code;
	uint8_t body[IPC_MAX_FRAME];
	size_t len;
};

static inline struct caller caller_of(const struct device *d, unsigned who, uint64_t connection)
{
	return (struct caller){.core = d->core,
			       .pairdesk = d->pairdesk,
			       .handoffs = d->handoffs,
			       .consoles = d->consoles,
			       .who = who,
			       .uid = 990,
			       .connection = connection};
}

/* Through the op table, as a program with these rights. */
static inline void ask_as(struct device *d, unsigned who, uint16_t op, const uint8_t *body,
			  size_t len, struct reply *ret)
{
	static uint8_t out[IPC_MAX_BODY], in[IPC_MAX_FRAME];
	struct caller caller = caller_of(d, who, 4711);
	struct ipc_msg msg = {.op = op, .serial = 1, .body = body, .len = len, .fd = -1}, got;
	struct kerr err = {0};
	struct rbuf r;
	int fds[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), ==, 0);
	g_assert_cmpint(dispatch(&caller, fds[0], &msg, out, sizeof(out)), ==, 0);
	g_assert_cmpint(ipc_recv(fds[1], in, &got), ==, 1);
	ret->refused = got.flags & IPC_FLAG_ERROR;
	ret->code = KCODE_OK;
	ret->len = got.len;
	if (got.len)
		memcpy(ret->body, got.body, got.len);
	if (ret->refused) {
		r = rbuf_init(ret->body, ret->len);
		g_assert_cmpint(kerr_get(&r, &err), ==, 0);
		ret->code = err.code;
	}
	close(fds[0]);
	close(fds[1]);
}

/* The TPM of a running device is reached behind its back, as a changed boot would be. */
static inline void extend_running(struct device *d, unsigned pcr)
{
	d->core->tpm = tpm_free(d->core->tpm);
	extend(&d->tpm, pcr);
	g_assert_cmpint(tpm_open(d->config.tcti, &d->core->tpm, NULL), ==, 0);
}

/* The owner looks at what a peer proved, and says yes to that. */
static inline int accept_evidence(struct device *d, const struct device *peer, struct kerr *err)
{
	struct policyd_trust shown;
	struct store_peer p;
	int r = store_peer_get(d->core->store, peer->core->id.id, &p, err);

	if (r < 0)
		return r;
	store_peer_to_trust(&p, &shown);
	r = store_peer_accept(d->core->store, p.id, d->core->config.pcrs, shown.hash, err);
	return r < 0 ? r : store_commit(d->core->store, COMMIT_GUARDED, err);
}

/* -- Faults aimed at a hand-off -- */

/* Three devices; the VM is on Tom's laptop. Bob's is a paired stranger. */
struct world {
	struct device *laptop, *desktop, *bobs;
	struct run run;
	struct wire vote, release, ack, nack;
};

static inline struct world *world_new(void)
{
	struct world *w = g_new0(struct world, 1);

	w->laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	w->desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	w->bobs = device_new("bobs", DEVICE_ROLE_LAPTOP, "Bob");
	pair(w->laptop, w->desktop, PERSON_ROLE_GUEST);
	pair(w->laptop, w->bobs, PERSON_ROLE_GUEST);
	give_policy(w->laptop, policytext_default);
	w->run.s = w->laptop;
	w->run.d = w->desktop;
	return w;
}

static inline void world_free(struct world *w)
{
	device_free(w->laptop);
	device_free(w->desktop);
	device_free(w->bobs);
	g_free(w);
}

static inline void restart(struct device *d)
{
	close_core(d);
	open_core(d);
}

/* Both sides as far as `last`. */
static inline void go_to(struct world *w, enum custody_record last)
{
	struct run *run = &w->run;
	struct kerr err;

	g_assert_true(attest(run, exporter, exporter));
	take_grants(run);
	g_assert_cmpint(journal(run->s, run, CUSTODY_PREP, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(journal(run->d, run, CUSTODY_RECV, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(journal(run->d, run, CUSTODY_PREPARED, NULL, &w->vote, &err), ==, 0);
	if (last == CUSTODY_PREPARED)
		return;
	if (last == CUSTODY_ABORTED) {
		g_assert_cmpint(journal(run->s, run, CUSTODY_ABORTED, NULL, NULL, &err), ==, 0);
		return;
	}
	g_assert_cmpint(journal(run->s, run, CUSTODY_RELEASED, &w->vote, &w->release, &err), ==, 0);
}

/* By a worker that saw that the copy at the source is gone. */
static inline int release_forward(struct world *w, struct kerr *err)
{
	struct handoff_entry entry = {.hid = w->run.hid,
				      .record = CUSTODY_RELEASED,
				      .proof = w->vote.room,
				      .proof_len = w->vote.buf.len,
				      .worker = WORKER + 5,
				      .copy_gone = true};
	struct policyd_statement out;
	int r;

	kerr_clear(err);
	r = handoff_journal(w->laptop->handoffs, &entry, &out, err);
	store_rollback(w->laptop->core->store);
	return r;
}

/* What kithd brings: the answer is in `ret`, empty if there is none. */
static inline int tell(struct device *from, struct device *to, const struct wire *said,
		       struct wire *ret, struct kerr *err)
{
	struct policyd_statement st = {0};
	int r;

	kerr_clear(err);
	r = handoff_custody_step(to->handoffs, from->core->id.id, said->room, said->buf.len, &st,
				 err);
	wire_set(ret, st.bytes, st.len);
	return r;
}

static inline int kind_of(const struct wire *said)
{
	struct custody_statement st;

	if (!said->buf.len)
		return CUSTODY_STATEMENT_NONE;
	g_assert_cmpint(custody_statement_parse(said->room, said->buf.len, &st), ==, 0);
	return (int)st.kind;
}

static inline int inbox(struct device *d, const struct run *run)
{
	struct policyd_news news;

	handoff_custody_inbox(d->handoffs, run->hid, &news);
	return (int)news.kind;
}

/* What a request whose reply is a list gives; malloced. */
static inline size_t take_list(struct device *d,
			       int (*list)(struct handoffs *, struct record_list *, struct kerr *),
			       const struct record *record, void **ret)
{
	struct record_list l;
	struct kerr err = {0};
	struct wire w;
	struct rbuf r;
	size_t n = 0;

	wire_clear(&w);
	record_list_begin(&l, &w.buf, record);
	g_assert_cmpint(list(d->handoffs, &l, &err), ==, 0);
	record_list_end(&l);
	r = rbuf_init(w.room, w.buf.len);
	g_assert_cmpint(record_list_get(&r, record, ret, &n), ==, 0);
	return n;
}

/* Verdict for the one copy that may not run, -1 if none. */
static inline int bound(struct device *d)
{
	_cleanup_free_ struct policyd_fence *list = NULL;
	size_t n = take_list(d, handoff_bound_list, &policyd_fence_record, (void **)&list);

	return n ? (int)list[n - 1].verdict : -1;
}

static inline void sign_as(struct device *d, const struct custody_statement *st, struct wire *ret)
{
	wire_clear(ret);
	custody_statement_sign(st, d->core->id.device_sk.data, ret->room);
	ret->buf.len = CUSTODY_STATEMENT_LEN;
}

/* The first letter that a device wants to have sent; its kind. */
static inline int outbox(struct device *d, struct wire *ret)
{
	_cleanup_free_ struct policyd_letter *list = NULL;
	size_t n = take_list(d, handoff_custody_outbox, &policyd_letter_record, (void **)&list);

	wire_set(ret, n ? list[0].statement : NULL, n ? list[0].len : 0);
	return kind_of(ret);
}

/* Forgets whatever hand-offs are under way in memory, as a restart does. */
static inline void idle(struct device *d)
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (d->handoffs->list[i].state != HANDOFF_FREE)
			handoff_enter(&d->handoffs->list[i], HANDOFF_FREE);
}

static inline bool move(struct world *w, struct device *from, struct device *to)
{
	w->run.s = from;
	w->run.d = to;
	if (!attest(&w->run, exporter, exporter)) {
		idle(from);
		idle(to);
		return false;
	}
	commit(&w->run);
	return true;
}

/* What a device can do to its own store. */
static inline void rewrite(struct device *d, const char *sql)
{
	g_assert_cmpint(sql_change(d->core->store, NULL, sql), ==, 0);
	g_assert_cmpint(store_commit(d->core->store, COMMIT_PLAIN, NULL), ==, 0);
}

/* The owner of `to` takes VMs of whose `from` is. */
static inline void take_from(struct device *to, struct device *from)
{
	g_assert_cmpint(store_peer_set_receive(to->core->store, from->core->id.id, true, NULL), ==,
			0);
	g_assert_cmpint(store_commit(to->core->store, COMMIT_GUARDED, NULL), ==, 0);
}

/* As if nobody had asked for a long time. */
static inline void rest(struct device *d)
{
	memset(&d->handoffs->pace, 0, sizeof(d->handoffs->pace));
}

#define IDLE                                                                                 \
	" hid=NULL, source=NULL, fresh=NULL, started=NULL, record=NULL, handoff_epoch=NULL," \
	" peer=NULL, peer_name=NULL"
