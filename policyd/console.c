/* SPDX-License-Identifier: Apache-2.0 */
/* The table of consoles and the decision about each; the proofs are the session's (attest/). */
#include "policyd/console.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "policyd/handoff-internal.h"
#include "policyd/tpm.h"
#include "policyd/trust.h"

#define CONSOLES_MAX 16
#define CONSOLES_INCOMING_MAX 8 /* of them; the others are for what the owner asks for here */
#define CONSOLES_EACH_MAX 4	/* of one peer */
#define CONSOLE_ASKED_MS 60000	/* a wish that did not begin by then is void */
#define CONSOLE_GRANT_MS 30000	/* a grant not taken by then is void */

enum console_state {
	CONSOLE_FREE,
	CONSOLE_ASKED,	 /* viewer: the owner wants it; nobody has connected yet */
	CONSOLE_SESSION, /* the devices prove themselves */
	CONSOLE_GRANTED, /* the mover has not asked yet */
	CONSOLE_OPEN,
	_CONSOLE_STATE_MAX,
};

static const char *const console_state_names[_CONSOLE_STATE_MAX] = {
	[CONSOLE_FREE] = "free",       [CONSOLE_ASKED] = "asked", [CONSOLE_SESSION] = "session",
	[CONSOLE_GRANTED] = "granted", [CONSOLE_OPEN] = "open",
};

struct console {
	struct consoles *all;
	enum console_state state;
	enum console_side side;
	struct policyd_console_wish wish; /* holder: from the sealed offer */
	uint8_t hid[HID_LEN], peer[DEVICE_ID_LEN], exporter[EXPORTER_LEN];
	char vm[NAME_MAX_LEN + 1], peer_name[NAME_MAX_LEN + 1], person[NAME_MAX_LEN + 1];
	bool quoted; /* `before` is there */
	struct quote_info
		before; /* the peer's last quote when this session's nonce was made (M3) */
	uint64_t deadline_ms;
	uint64_t worker; /* connection that took the grant */
	enum verdict verdict;
	struct session *session;
};

struct consoles {
	struct core *core;
	struct console list[CONSOLES_MAX];
	struct replays replays;
	struct pace pace; /* how often each peer may begin a session here */
};

/* -- the table -- */

int consoles_new(struct core *core, struct consoles **ret)
{
	struct consoles *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->core = core;
	*ret = c;
	return 0;
}

static void console_enter(struct console *c, enum console_state state)
{
	char hid[2 * HID_LEN + 1];

	hex_encode(c->hid, HID_LEN, hid);
	log_info("console", "%.8s %s -> %s", hid, console_state_names[c->state],
		 console_state_names[state]);
	c->state = state;
	if (state != CONSOLE_FREE)
		return;
	session_free(c->session);
	*c = (struct console){.all = c->all};
}

struct consoles *consoles_free(struct consoles *c)
{
	for (size_t i = 0; c && i < CONSOLES_MAX; i++)
		if (c->list[i].state != CONSOLE_FREE)
			console_enter(&c->list[i], CONSOLE_FREE);
	free(c);
	return NULL;
}

static struct console *console_find(struct consoles *c, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < CONSOLES_MAX; i++)
		if (c->list[i].state != CONSOLE_FREE && memcmp(c->list[i].hid, hid, HID_LEN) == 0)
			return &c->list[i];
	return NULL;
}

static bool console_is_over(const struct console *c)
{
	return c->state != CONSOLE_OPEN && clock_ms() > c->deadline_ms;
}

/* NULL: there are as many of that kind as there may be. */
static struct console *console_add(struct consoles *all, const uint8_t hid[HID_LEN], bool incoming)
{
	struct console *free_one = NULL;
	size_t n = 0;

	for (size_t i = 0; i < CONSOLES_MAX; i++) {
		struct console *c = &all->list[i];

		if (c->state != CONSOLE_FREE && console_is_over(c))
			console_enter(c, CONSOLE_FREE);
		if (c->state == CONSOLE_FREE)
			free_one = free_one ? free_one : c;
		else
			n += (c->side == CONSOLE_SIDE_HOLDER) == incoming;
	}
	if (n >= (incoming ? CONSOLES_INCOMING_MAX : CONSOLES_MAX - CONSOLES_INCOMING_MAX))
		return NULL;
	*free_one = (struct console){.all = all};
	memcpy(free_one->hid, hid, HID_LEN);
	return free_one;
}

/* What a peer caused does not push out what the owner did. */
static void console_audit(const struct console *c, const char *action, const struct kerr *reason)
{
	(c->side == CONSOLE_SIDE_HOLDER ? core_audit_peer : core_audit)(
		c->all->core, c->person, c->peer_name, c->vm, action, reason);
}

/* -- decisions -- */

static int check_here(const struct handoff_case *k, struct kerr *err)
{
	if (k->view.doubt == CUSTODY_ASKING)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"Whether \"%s\" is on this device is in doubt; its console stays "
				"closed until that is known.",
				k->view.name);
	if (!k->view.here)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"\"%s\" is not on this device; it is on \"%s\".", k->view.name,
				k->view.holder_name[0] ? k->view.holder_name : "another one");
	return 0;
}

/* A console is the VM's keyboard too, so a rule alone hands it to nobody else. */
static int check_owner(const struct handoff_case *k, const uint8_t owner_pk[SIGN_PK_LEN],
		       struct kerr *err)
{
	if (memcmp(k->policy.owner_pk, owner_pk, SIGN_PK_LEN) == 0)
		return 0;
	return kerr_set(err, EACCES, KCODE_POLICY,
			"\"%s\" belongs to another person, who alone may open its console.",
			k->view.name);
}

static int check_rules(const struct handoff_case *k, struct policy_facts facts, struct kerr *err)
{
	struct policy_decision d;

	facts.person = facts.dest_person = PERSON_ROLE_OWNER;
	facts.action = POLICY_ACTION_VIEW;
	policy_decide(&k->rules, k->view.name, &facts, &d);
	return d.allowed ? 0 : kerr_set(err, EACCES, d.reason.code, "%s", d.reason.text);
}

/* At the keyboard of the device that has the VM: nobody has to prove anything to it. */
static int decide_local(struct core *core, const struct handoff_case *k, struct kerr *err)
{
	int r = check_here(k, err);

	if (r == 0)
		r = check_owner(k, core->id.owner_pk, err);
	return r < 0 ? r : check_rules(k, handoff_facts_here(core), err);
}

/* From a device that proved itself. Where the VM is lent to this device, its owner is asked as
 * well: by what he said of that person's devices. */
static int decide_remote(struct core *core, const struct handoff_case *k, enum verdict verdict,
			 struct kerr *err)
{
	struct policy_facts facts = handoff_facts_of(&k->peer);
	int r = check_here(k, err);

	facts.fresh = true;
	facts.verdict = verdict;
	if (r == 0)
		r = check_owner(k, k->peer.owner_pk, err);
	if (r == 0)
		r = handoff_may_send(core, &k->peer, err);
	if (r == 0 && verdict != VERDICT_TRUSTED)
		r = kerr_set(err, EACCES, KCODE_ATTEST_ERROR,
			     "\"%s\" is not trusted any more (%s).", k->peer.name,
			     verdict_to_string(verdict));
	return r < 0 ? r : check_rules(k, facts, err);
}

/* -- what the owner wants here -- */

static int ask_local(struct consoles *all, struct console *c, struct kerr *err)
{
	_cleanup_(handoff_case_clear) struct handoff_case k = {0};
	int r;

	c->side = CONSOLE_SIDE_LOCAL;
	memcpy(c->peer, all->core->id.id, DEVICE_ID_LEN);
	snprintf(c->peer_name, sizeof(c->peer_name), "%s", all->core->config.name);
	c->deadline_ms = clock_ms() + CONSOLE_GRANT_MS;
	r = handoff_case_vm(all->core, c->wish.uuid, &k, err);
	return r < 0 ? r : decide_local(all->core, &k, err);
}

static int ask_remote(struct consoles *all, struct console *c, const struct custody_view *view,
		      struct kerr *err)
{
	struct store_peer peer;
	int r;

	c->side = CONSOLE_SIDE_VIEWER;
	memcpy(c->peer_name, view->holder_name, sizeof(c->peer_name));
	r = store_peer_get(all->core->store, view->holder, &peer, err);
	if (r == 0)
		r = core_require_tpm(all->core, err);
	if (r < 0)
		return r;
	memcpy(c->peer, peer.id, DEVICE_ID_LEN);
	memcpy(c->peer_name, peer.name, sizeof(c->peer_name));
	c->deadline_ms = clock_ms() + CONSOLE_ASKED_MS;
	return 0;
}

static int ask(struct consoles *all, struct console *c, const struct custody_view *view,
	       struct kerr *err)
{
	bool here = view->here || view->doubt == CUSTODY_ASKING;
	int r = here ? ask_local(all, c, err) : ask_remote(all, c, view, err);

	console_audit(c, "view", r < 0 ? err : NULL);
	return r < 0 ? r : store_commit(all->core->store, COMMIT_PLAIN, err);
}

int console_request(struct consoles *all, const struct policyd_console_wish *wish,
		    struct policyd_console_place *ret, struct kerr *err)
{
	struct core *core = all->core;
	struct custody_view view;
	uint8_t hid[HID_LEN];
	struct console *c;
	int r = store_custody_get(core->store, wish->uuid, &view, err);

	if (r < 0)
		return r;
	if (!view.known)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"This VM is not in Kith's care yet, so no policy says who may see "
				"it. Give it one with `kith policy set VM`.");
	randombytes_buf(hid, sizeof(hid));
	c = console_add(all, hid, false);
	if (!c)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"Too many consoles are open on this device. Close one of them.");
	c->wish = *wish;
	memcpy(c->vm, view.name, sizeof(c->vm));
	memcpy(c->person, core->id.owner_name, sizeof(c->person));
	r = ask(all, c, &view, err);
	if (r < 0) {
		console_enter(c, CONSOLE_FREE);
		return r;
	}
	console_enter(c, c->side == CONSOLE_SIDE_LOCAL ? CONSOLE_GRANTED : CONSOLE_ASKED);
	*ret = (struct policyd_console_place){.here = c->side == CONSOLE_SIDE_LOCAL};
	memcpy(ret->hid, c->hid, HID_LEN);
	memcpy(ret->device, c->peer, DEVICE_ID_LEN);
	memcpy(ret->device_name, c->peer_name, sizeof(ret->device_name));
	return 0;
}

/* -- session -- */

static int on_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		    struct kerr *err)
{
	return measure_quote(((struct console *)ctx)->all->core, binding, ret, err);
}

static enum verdict on_judge(void *ctx, const struct evidence *ev,
			     const uint8_t qualifying[HASH_LEN], struct kerr *err)
{
	struct console *c = ctx;
	const struct trust_case t = {.peer = c->peer,
				     .qualifying = qualifying,
				     .before = c->quoted ? &c->before : NULL,
				     .person = c->person,
				     .vm = c->vm,
				     .peer_began = c->side == CONSOLE_SIDE_HOLDER};

	return c->verdict = trust_judge(c->all->core, &t, ev, err);
}

static bool on_seen(void *ctx, const uint8_t *hid, const uint8_t nonce[ATTEST_NONCE_LEN])
{
	struct console *c = ctx;
	bool seen = replays_seen(&c->all->replays, nonce, ATTEST_NONCE_LEN);

	return (hid && replays_seen(&c->all->replays, hid, HID_LEN)) || seen;
}

static int on_offer(void *ctx, struct wbuf *w, struct kerr *err)
{
	const struct console *c = ctx;

	return record_put(w, &policyd_console_wish_record, &c->wish) < 0
		       ? kerr_set(err, EIO, KCODE_FAILED, "The wish cannot be written.")
		       : 0;
}

/* The decision that counts: with the evidence just judged. */
static int on_accept(void *ctx, const uint8_t *data, size_t len, struct kerr *err)
{
	_cleanup_(handoff_case_clear) struct handoff_case k = {0};
	struct console *c = ctx;
	struct rbuf from = rbuf_init(data, len);
	int r;

	if (record_get(&from, &policyd_console_wish_record, &c->wish) < 0 || rbuf_end(&from) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The other device's wish for a console cannot be read.");
	r = handoff_case_load(c->all->core, c->wish.uuid, c->peer, &k, err);
	memcpy(c->vm, k.view.name, sizeof(c->vm));
	return r < 0 ? r : decide_remote(c->all->core, &k, c->verdict, err);
}

static const struct session_ops console_ops = {
	.quote = on_quote,
	.judge = on_judge,
	.seen = on_seen,
	.offer = on_offer,
	.accept = on_accept,
};

static enum conversation_state settle(struct console *c, enum conversation_state state,
				      struct kerr *err)
{
	if (state == CONVERSATION_SEND)
		return state;
	if (state == CONVERSATION_DONE) {
		if (c->side == CONSOLE_SIDE_HOLDER) {
			console_audit(c, "view", NULL);
			store_commit(c->all->core->store, COMMIT_PLAIN, NULL);
		}
		c->deadline_ms = clock_ms() + CONSOLE_GRANT_MS;
		console_enter(c, CONSOLE_GRANTED);
		return state;
	}
	console_audit(c, "view", err);
	console_enter(c, CONSOLE_FREE);
	return CONVERSATION_REFUSED;
}

static int begin(struct console *c, const struct store_peer *peer,
		 const uint8_t exporter[EXPORTER_LEN], struct kerr *err)
{
	struct session_config config = {.source = c->side == CONSOLE_SIDE_VIEWER,
					.purpose = SESSION_CONSOLE};
	int r;

	memcpy(c->peer, peer->id, DEVICE_ID_LEN);
	memcpy(c->peer_name, peer->name, sizeof(c->peer_name));
	memcpy(c->exporter, exporter, EXPORTER_LEN);
	c->quoted = peer->quoted;
	c->before = peer->quote;
	memcpy(config.hid, c->hid, HID_LEN);
	memcpy(config.exporter, exporter, EXPORTER_LEN);
	memcpy(config.own, c->all->core->id.id, DEVICE_ID_LEN);
	memcpy(config.peer, peer->id, DEVICE_ID_LEN);
	c->deadline_ms = clock_ms() + SESSION_MAX_MS;
	r = session_new(&config, &console_ops, c, clock_ms(), &c->session);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The session could not start: %s.",
				strerror(-r));
	console_enter(c, CONSOLE_SESSION);
	return 0;
}

enum conversation_state console_session_start(struct consoles *all, const uint8_t hid[HID_LEN],
					      const uint8_t exporter[EXPORTER_LEN],
					      struct wbuf *out, struct kerr *err)
{
	struct console *c = console_find(all, hid);
	struct store_peer peer;

	if (!c || c->state != CONSOLE_ASKED || console_is_over(c)) {
		kerr_set(err, ENOENT, KCODE_NOT_FOUND,
			 "Nobody asked for this console, or more than a minute ago. Ask again.");
		return CONVERSATION_REFUSED;
	}
	if (store_peer_get(all->core->store, c->peer, &peer, err) < 0 ||
	    begin(c, &peer, exporter, err) < 0)
		return settle(c, CONVERSATION_REFUSED, err);
	return settle(c, session_start(c->session, out, err), err);
}

/* What a peer may cost before it proved anything (H5, H26): nothing is written, no quote is made.
 */
static int admit(struct consoles *all, const struct store_peer *peer, struct kerr *err)
{
	static const struct {
		uint64_t every_ms;
		unsigned at_once;
	} paces[2] = {[false] = {5000, 4}, [true] = {500, 8}};
	size_t each = 0;

	if (!pace_take(&all->pace, peer->id, paces[peer->own].every_ms, paces[peer->own].at_once,
		       clock_ms()))
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"Consoles of this device are asked for too often. Try again in "
				"some seconds.");
	for (size_t i = 0; i < CONSOLES_MAX; i++)
		each += all->list[i].state != CONSOLE_FREE && !console_is_over(&all->list[i]) &&
			all->list[i].side == CONSOLE_SIDE_HOLDER &&
			memcmp(all->list[i].peer, peer->id, DEVICE_ID_LEN) == 0;
	if (each >= CONSOLES_EACH_MAX)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"\"%s\" has %d consoles of this device open already. Close one of "
				"them.",
				peer->name, CONSOLES_EACH_MAX);
	if (handoff_may_send(all->core, peer, NULL) == 0)
		return 0;
	kerr_set(err, EACCES, KCODE_POLICY, "\"%s\" opens consoles for devices of its owner only.",
		 all->core->config.name);
	core_audit_peer(all->core, peer->person, peer->name, "", "view", err);
	return -EACCES;
}

/* The first message of a peer begins it here. */
static struct console *begin_holder(struct consoles *all, const uint8_t hid[HID_LEN],
				    const uint8_t id[DEVICE_ID_LEN],
				    const uint8_t exporter[EXPORTER_LEN], struct kerr *err)
{
	struct store_peer peer;
	struct console *c;

	if (store_peer_get(all->core->store, id, &peer, err) < 0 || admit(all, &peer, err) < 0)
		return NULL;
	c = console_add(all, hid, true);
	if (!c) {
		kerr_set(err, EBUSY, KCODE_BUSY,
			 "Too many consoles of \"%s\" are open. Close one of them.",
			 all->core->config.name);
		return NULL;
	}
	c->side = CONSOLE_SIDE_HOLDER;
	memcpy(c->person, peer.person, sizeof(c->person));
	if (begin(c, &peer, exporter, err) == 0)
		return c;
	console_enter(c, CONSOLE_FREE);
	return NULL;
}

enum conversation_state console_session_step(struct consoles *all, const uint8_t hid[HID_LEN],
					     const uint8_t peer[DEVICE_ID_LEN],
					     const uint8_t exporter[EXPORTER_LEN],
					     const uint8_t *data, size_t len, struct wbuf *out,
					     struct kerr *err)
{
	struct console *c = console_find(all, hid);

	if (!c)
		c = begin_holder(all, hid, peer, exporter, err);
	if (!c)
		return CONVERSATION_REFUSED;
	/* M10: who knows the number of somebody else's console cannot end it. */
	if (c->state != CONSOLE_SESSION || memcmp(c->peer, peer, DEVICE_ID_LEN) != 0 ||
	    sodium_memcmp(c->exporter, exporter, EXPORTER_LEN) != 0) {
		kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
			 "A message about the console came over another channel, from another "
			 "device, or too late.");
		return CONVERSATION_REFUSED;
	}
	return settle(c, session_step(c->session, peer, exporter, data, len, clock_ms(), out, err),
		      err);
}

void console_session_end(struct consoles *all, const uint8_t hid[HID_LEN],
			 const uint8_t exporter[EXPORTER_LEN])
{
	struct console *c = console_find(all, hid);

	if (c && (c->state == CONSOLE_ASKED ||
		  ((c->state == CONSOLE_SESSION || c->state == CONSOLE_GRANTED) &&
		   c->side != CONSOLE_SIDE_LOCAL &&
		   sodium_memcmp(c->exporter, exporter, EXPORTER_LEN) == 0)))
		console_enter(c, CONSOLE_FREE);
}

/* -- the mover -- */

static int give_key(struct console *c, struct policyd_console_grant *g, struct kerr *err)
{
	_cleanup_secret_ struct secret key = SECRET_INIT;

	if (c->side == CONSOLE_SIDE_LOCAL)
		return 0;
	if (session_data_key(c->session, &key) < 0 || key.len != sizeof(g->key))
		return kerr_set(err, EIO, KCODE_FAILED, "The session has no data key.");
	memcpy(g->key, key.data, sizeof(g->key));
	return 0;
}

int console_take(struct consoles *all, const uint8_t hid[HID_LEN], uint64_t connection,
		 struct policyd_console_grant *ret, struct kerr *err)
{
	struct console *c = console_find(all, hid);
	struct policyd_console_grant g = {0};
	int r;

	if (!c || c->state != CONSOLE_GRANTED || console_is_over(c))
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no grant for this console, or it was taken.");
	g.side = c->side;
	g.wish = c->wish;
	memcpy(g.vm, c->vm, sizeof(g.vm));
	memcpy(g.peer_name, c->peer_name, sizeof(g.peer_name));
	r = give_key(c, &g, err);
	if (r == 0) {
		c->session = session_free(c->session);
		c->worker = connection;
		console_enter(c, CONSOLE_OPEN);
		*ret = g;
	}
	sodium_memzero(&g, sizeof(g));
	return r;
}

int console_check(struct consoles *all, const uint8_t hid[HID_LEN], uint64_t connection,
		  struct kerr *err)
{
	_cleanup_(handoff_case_clear) struct handoff_case k = {0};
	const struct console *c = console_find(all, hid);
	int r;

	if (!c || c->state != CONSOLE_OPEN || c->worker != connection)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "This console is not open.");
	if (c->side == CONSOLE_SIDE_VIEWER)
		return 0;
	if (c->side == CONSOLE_SIDE_LOCAL) {
		r = handoff_case_vm(all->core, c->wish.uuid, &k, err);
		return r < 0 ? r : decide_local(all->core, &k, err);
	}
	r = handoff_case_load(all->core, c->wish.uuid, c->peer, &k, err);
	return r < 0 ? r : decide_remote(all->core, &k, k.peer.verdict, err);
}

void console_connection_gone(struct consoles *all, uint64_t connection)
{
	bool ended = false;

	for (size_t i = 0; i < CONSOLES_MAX; i++) {
		struct console *c = &all->list[i];

		if (c->state != CONSOLE_OPEN || c->worker != connection)
			continue;
		console_audit(c, "view-end", NULL);
		console_enter(c, CONSOLE_FREE);
		ended = true;
	}
	if (ended && all->core->store)
		store_commit(all->core->store, COMMIT_PLAIN, NULL);
}
