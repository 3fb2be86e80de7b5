/* SPDX-License-Identifier: Apache-2.0 */
/* The stubs: the struct of a request out, that of its reply in (policyd/api/requests.h). */
#include "policyd/api/client.h"

#define ONE false
#define LIST true
#define ROW(op, number, name, who, needs, max, request, reply, list, handler) \
	{number, list, &policyd_##request##_record, &policyd_##reply##_record},
static const struct shape {
	uint16_t op;
	bool list;
	const struct record *request, *reply;
} shapes[] = {POLICYD_REQUESTS(ROW)};
#undef ROW

static int bad_reply(struct kerr *err)
{
	return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
			"kith-policyd sent an answer that this program does not understand.");
}

static int no_memory(struct kerr *err)
{
	return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
}

static const struct shape *shape_of(enum policyd_op op)
{
	size_t i = 0;

	while (shapes[i].op != op)
		i++;
	return &shapes[i];
}

/* Writes and sends the request, which may hold a secret. */
static int send_request(struct ipc_client *c, const struct shape *shape, const void *request,
			struct rbuf *ret, struct kerr *err)
{
	_cleanup_free_ uint8_t *buf = malloc(IPC_MAX_BODY);
	struct wbuf w = wbuf_init(buf, IPC_MAX_BODY);
	int r;

	if (!buf)
		return no_memory(err);
	record_put(&w, shape->request, request);
	r = wbuf_error(&w);
	if (r < 0)
		r = kerr_set(err, -r, KCODE_USAGE,
			     "What was given is too long for kith-policyd, or not plain text.");
	else
		r = ipc_call(c, shape->op, &w, POLICYD_CLIENT_TIMEOUT_MS, ret, err);
	explicit_bzero(buf, w.len);
	return r;
}

/* What *reply borrows is in the client's buffer until its next call. */
static int call(struct ipc_client *c, enum policyd_op op, const void *request, void *reply,
		struct kerr *err)
{
	const struct shape *shape = shape_of(op);
	struct rbuf r;
	int e = send_request(c, shape, request, &r, err);

	if (e < 0)
		return e;
	return record_get(&r, shape->reply, reply) < 0 || rbuf_end(&r) < 0 ? bad_reply(err) : 0;
}

/* A text that does not fit is refused, never cut. */
static int take_text(char *to, size_t size, const char *text, struct kerr *err)
{
	size_t len = strlen(text);

	if (len >= size)
		return kerr_set(err, EMSGSIZE, KCODE_USAGE, "A text is longer than %zu bytes.",
				size - 1);
	memcpy(to, text, len + 1);
	return 0;
}

static int take_statement(uint8_t to[POLICYD_PROOF_MAX], size_t *ret_len, const void *statement,
			  size_t len, struct kerr *err)
{
	if (len > POLICYD_PROOF_MAX)
		return kerr_set(err, EMSGSIZE, KCODE_USAGE, "A custody statement is too long.");
	if (len)
		memcpy(to, statement, len);
	*ret_len = len;
	return 0;
}

/* A copy of what a reply borrows; NULL where it is empty. */
static int give_copy(const void *data, size_t len, uint8_t **ret, size_t *ret_len, struct kerr *err)
{
	*ret = NULL;
	*ret_len = len;
	if (!len)
		return 0;
	*ret = malloc(len);
	if (!*ret)
		return no_memory(err);
	memcpy(*ret, data, len);
	return 0;
}

/* Requests and replies that are nothing. */
static const struct policyd_nothing nothing;

static int call_nothing(struct ipc_client *c, enum policyd_op op, const void *request,
			struct kerr *err)
{
	struct policyd_nothing v;

	return call(c, op, request, &v, err);
}

static int call_device(struct ipc_client *c, enum policyd_op op, const uint8_t id[DEVICE_ID_LEN],
		       void *reply, struct kerr *err)
{
	struct policyd_device q;

	memcpy(q.id, id, sizeof(q.id));
	return call(c, op, &q, reply, err);
}

static int call_hid(struct ipc_client *c, enum policyd_op op, const uint8_t hid[HID_LEN],
		    void *reply, struct kerr *err)
{
	struct policyd_hid q;

	memcpy(q.hid, hid, sizeof(q.hid));
	return call(c, op, &q, reply, err);
}

static int call_uuid(struct ipc_client *c, enum policyd_op op, const uint8_t uuid[UUID_LEN],
		     void *reply, struct kerr *err)
{
	struct policyd_uuid q;

	memcpy(q.uuid, uuid, sizeof(q.uuid));
	return call(c, op, &q, reply, err);
}

static int call_recovery(struct ipc_client *c, enum policyd_op op, const void *request,
			 char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX], struct kerr *err)
{
	struct policyd_recovery v;
	int r = call(c, op, request, &v, err);

	if (r == 0)
		memcpy(ret_recovery_key, v.key, sizeof(v.key));
	explicit_bzero(&v, sizeof(v));
	return r;
}

static int call_list(struct ipc_client *c, enum policyd_op op, const void *request, void **ret,
		     size_t *ret_n, struct kerr *err)
{
	const struct shape *shape = shape_of(op);
	struct rbuf r;
	int e = send_request(c, shape, request, &r, err);

	if (e == 0)
		e = record_list_get(&r, shape->reply, ret, ret_n);
	return e == -EBADMSG ? bad_reply(err) : e == -ENOMEM ? no_memory(err) : e;
}

/* Defines the stub of a request without arguments whose reply is a list. */
#define DEFINE_LIST_STUB(name, op, type)                                            \
	int name(struct ipc_client *c, type **ret, size_t *ret_n, struct kerr *err) \
	{                                                                           \
		void *list;                                                         \
		int r = call_list(c, op, &nothing, &list, ret_n, err);              \
                                                                                    \
		if (r == 0)                                                         \
			*ret = list;                                                \
		return r;                                                           \
	}

/* -- Anyone -- */

int policyd_client_status(struct ipc_client *c, struct policyd_status *ret, struct kerr *err)
{
	return call(c, POLICYD_OP_STATUS, &nothing, ret, err);
}

/* -- People -- */

int policyd_client_init(struct ipc_client *c, const char *person,
			char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX], struct kerr *err)
{
	struct policyd_person q;
	int r = take_text(q.name, sizeof(q.name), person, err);

	return r < 0 ? r : call_recovery(c, POLICYD_OP_INIT, &q, ret_recovery_key, err);
}

int policyd_client_recovery_renew(struct ipc_client *c,
				  char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX], struct kerr *err)
{
	return call_recovery(c, POLICYD_OP_RECOVERY_RENEW, &nothing, ret_recovery_key, err);
}

int policyd_client_recovery_shown(struct ipc_client *c, struct kerr *err)
{
	return call_nothing(c, POLICYD_OP_RECOVERY_SHOWN, &nothing, err);
}

int policyd_client_unlock(struct ipc_client *c, const char *recovery_key, bool *ret_new_ak,
			  struct kerr *err)
{
	struct policyd_recovery q;
	struct policyd_flag v;
	int r = take_text(q.key, sizeof(q.key), recovery_key, err);

	if (r == 0)
		r = call(c, POLICYD_OP_UNLOCK, &q, &v, err);
	explicit_bzero(&q, sizeof(q));
	if (r == 0)
		*ret_new_ak = v.on;
	return r;
}

int policyd_client_pair_open(struct ipc_client *c, enum person_role foreign_role, uint32_t seconds,
			     bool replace, char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX],
			     struct kerr *err)
{
	const struct policyd_window q = {foreign_role, seconds, replace};

	return call_recovery(c, POLICYD_OP_PAIR_OPEN, &q, ret_recovery_key, err);
}

int policyd_client_pair_close(struct ipc_client *c, struct kerr *err)
{
	return call_nothing(c, POLICYD_OP_PAIR_CLOSE, &nothing, err);
}

int policyd_client_pair_status(struct ipc_client *c, struct policyd_pair_status *ret,
			       struct kerr *err)
{
	return call(c, POLICYD_OP_PAIR_STATUS, &nothing, ret, err);
}

int policyd_client_pair_confirm(struct ipc_client *c, const uint8_t hash[HASH_LEN], bool same_code,
				struct kerr *err)
{
	struct policyd_yes q = {.same = same_code};

	memcpy(q.hash, hash, sizeof(q.hash));
	return call_nothing(c, POLICYD_OP_PAIR_CONFIRM, &q, err);
}

DEFINE_LIST_STUB(policyd_client_peers, POLICYD_OP_PEERS, struct policyd_peer)

int policyd_client_trust_show(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
			      struct policyd_trust *ret, struct kerr *err)
{
	return call_device(c, POLICYD_OP_TRUST_SHOW, device, ret, err);
}

int policyd_client_trust_accept(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
				const uint8_t shown[HASH_LEN], struct kerr *err)
{
	struct policyd_accept q;

	memcpy(q.id, device, sizeof(q.id));
	memcpy(q.shown, shown, sizeof(q.shown));
	return call_nothing(c, POLICYD_OP_TRUST_ACCEPT, &q, err);
}

int policyd_client_peer_forget(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
			       struct kerr *err)
{
	struct policyd_nothing v;

	return call_device(c, POLICYD_OP_PEER_FORGET, device, &v, err);
}

int policyd_client_peer_receive(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN], bool on,
				struct kerr *err)
{
	struct policyd_receive q = {.on = on};

	memcpy(q.id, device, sizeof(q.id));
	return call_nothing(c, POLICYD_OP_PEER_RECEIVE, &q, err);
}

int policyd_client_policy_set(struct ipc_client *c, const uint8_t uuid[UUID_LEN], const char *name,
			      const char *text, const void *compiled, size_t compiled_len,
			      uint64_t *ret_version, struct kerr *err)
{
	struct policyd_rules q = {.text = (const uint8_t *)text,
				  .text_len = strlen(text),
				  .compiled = compiled,
				  .compiled_len = compiled_len};
	struct policyd_number v;
	int r;

	if (q.text_len > POLICYD_POLICY_MAX || compiled_len > POLICYD_POLICY_MAX)
		return kerr_set(err, EMSGSIZE, KCODE_USAGE, "The policy is longer than %d bytes.",
				POLICYD_POLICY_MAX);
	memcpy(q.uuid, uuid, sizeof(q.uuid));
	r = take_text(q.name, sizeof(q.name), name, err);
	if (r == 0)
		r = call(c, POLICYD_OP_POLICY_SET, &q, &v, err);
	if (r == 0)
		*ret_version = v.value;
	return r;
}

void policyd_policy_clear(struct policyd_policy *p)
{
	free(p->text);
	*p = (struct policyd_policy){0};
}

int policyd_client_policy_get(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
			      struct policyd_policy *ret, struct kerr *err)
{
	struct policyd_rules_held v;
	int r = call_uuid(c, POLICYD_OP_POLICY_GET, uuid, &v, err);
	_cleanup_free_ char *text = NULL;

	if (r < 0)
		return r;
	text = strndup((const char *)v.text, v.text_len);
	if (!text)
		return no_memory(err);
	if (strlen(text) != v.text_len || !text_is_clean(text))
		return bad_reply(err);
	*ret = (struct policyd_policy){.version = v.version, .text = TAKE_PTR(text)};
	memcpy(ret->owner_id, v.owner_id, sizeof(ret->owner_id));
	memcpy(ret->name, v.name, sizeof(ret->name));
	return 0;
}

int policyd_client_plan(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
			const uint8_t device[DEVICE_ID_LEN], struct policyd_plan *ret,
			struct kerr *err)
{
	struct policyd_target q;

	memcpy(q.uuid, uuid, sizeof(q.uuid));
	memcpy(q.device, device, sizeof(q.device));
	return call(c, POLICYD_OP_PLAN, &q, ret, err);
}

int policyd_client_changes_ask(struct ipc_client *c, const struct policyd_mark *seen,
			       struct kerr *err)
{
	uint8_t buf[sizeof(*seen)];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	record_put(&w, &policyd_mark_record, seen);
	return ipc_ask(c, POLICYD_OP_CHANGES, &w, -EBADF, err);
}

int policyd_client_changes_wait(struct ipc_client *c, int timeout_ms, struct policyd_mark *seen,
				struct kerr *err)
{
	struct rbuf r;
	int e = ipc_answer(c, POLICYD_OP_CHANGES, timeout_ms, &r, err);

	if (e < 0)
		return e;
	return record_get(&r, &policyd_mark_record, seen) < 0 || rbuf_end(&r) < 0 ? bad_reply(err)
										  : 0;
}

int policyd_client_why(struct ipc_client *c, const struct policyd_question *question,
		       struct policyd_plan *ret, struct kerr *err)
{
	return call(c, POLICYD_OP_WHY, question, ret, err);
}

int policyd_client_fetch(struct ipc_client *c, const uint8_t uuid[UUID_LEN], enum move_rung rung,
			 uint8_t ret_wish[HID_LEN], struct kerr *err)
{
	struct policyd_fetch q = {.rung = rung};
	struct policyd_hid v;
	int r;

	memcpy(q.uuid, uuid, UUID_LEN);
	r = call(c, POLICYD_OP_FETCH, &q, &v, err);
	if (r == 0)
		memcpy(ret_wish, v.hid, HID_LEN);
	return r;
}

int policyd_client_fetch_status(struct ipc_client *c, const uint8_t wish[HID_LEN],
				struct policyd_fetched *ret, struct kerr *err)
{
	struct policyd_hid q;

	memcpy(q.hid, wish, HID_LEN);
	return call(c, POLICYD_OP_FETCH_STATUS, &q, ret, err);
}

int policyd_client_move_request(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
				const uint8_t device[DEVICE_ID_LEN], enum move_rung rung,
				uint8_t ret_hid[HID_LEN], struct kerr *err)
{
	struct policyd_move q = {.rung = rung};
	struct policyd_hid v;
	int r;

	memcpy(q.uuid, uuid, sizeof(q.uuid));
	memcpy(q.device, device, sizeof(q.device));
	r = call(c, POLICYD_OP_MOVE_REQUEST, &q, &v, err);
	if (r == 0)
		memcpy(ret_hid, v.hid, sizeof(v.hid));
	return r;
}

int policyd_client_claim(struct ipc_client *c, const uint8_t uuid[UUID_LEN], uint64_t *ret_epoch,
			 struct kerr *err)
{
	struct policyd_number v;
	int r = call_uuid(c, POLICYD_OP_CLAIM, uuid, &v, err);

	if (r == 0)
		*ret_epoch = v.value;
	return r;
}

int policyd_client_abort_request(struct ipc_client *c, const uint8_t hid[HID_LEN], struct kerr *err)
{
	struct policyd_nothing v;

	return call_hid(c, POLICYD_OP_ABORT_REQUEST, hid, &v, err);
}

int policyd_client_audit_read(struct ipc_client *c, uint64_t from, uint16_t max,
			      struct policyd_audit **ret, size_t *ret_n, struct kerr *err)
{
	const struct policyd_range q = {from, max};
	void *list;
	int r = call_list(c, POLICYD_OP_AUDIT_READ, &q, &list, ret_n, err);

	if (r == 0)
		*ret = list;
	return r;
}

DEFINE_LIST_STUB(policyd_client_audit_verify, POLICYD_OP_AUDIT_VERIFY, struct policyd_audit_log)
DEFINE_LIST_STUB(policyd_client_vms, POLICYD_OP_VMS, struct policyd_vm)

int policyd_client_console_request(struct ipc_client *c, const struct policyd_console_wish *wish,
				   struct policyd_console_place *ret, struct kerr *err)
{
	return call(c, POLICYD_OP_CONSOLE_REQUEST, wish, ret, err);
}

/* -- kithd -- */

int policyd_client_tls_leaf(struct ipc_client *c, const void *spki, size_t spki_len,
			    uint8_t **ret_leaf, size_t *ret_leaf_len, uint8_t **ret_device,
			    size_t *ret_device_len, struct kerr *err)
{
	_cleanup_free_ uint8_t *leaf = NULL, *device = NULL;
	const struct policyd_spki q = {spki, spki_len};
	struct policyd_leaf v;
	size_t leaf_len = 0, device_len = 0;
	int r = call(c, POLICYD_OP_TLS_LEAF, &q, &v, err);

	if (r == 0 && (!v.leaf_len || !v.device_len))
		r = bad_reply(err);
	if (r == 0)
		r = give_copy(v.leaf, v.leaf_len, &leaf, &leaf_len, err);
	if (r == 0)
		r = give_copy(v.device, v.device_len, &device, &device_len, err);
	if (r < 0)
		return r;
	*ret_leaf = TAKE_PTR(leaf);
	*ret_leaf_len = leaf_len;
	*ret_device = TAKE_PTR(device);
	*ret_device_len = device_len;
	return 0;
}

int policyd_client_converse(struct ipc_client *c, const struct policyd_talk *talk,
			    struct policyd_conversation *ret, struct kerr *err)
{
	if (talk->len > POLICYD_BLOB_MAX)
		return kerr_set(err, EMSGSIZE, KCODE_BAD_MESSAGE,
				"The other device's message is too long.");
	return call(c, POLICYD_OP_CONVERSE, talk, ret, err);
}

DEFINE_LIST_STUB(policyd_client_wanted, POLICYD_OP_WANTED, struct policyd_wanted)
DEFINE_LIST_STUB(policyd_client_custody_outbox, POLICYD_OP_CUSTODY_OUTBOX, struct policyd_letter)

int policyd_client_custody_step(struct ipc_client *c, const uint8_t peer[DEVICE_ID_LEN],
				const void *statement, size_t len, uint8_t **ret_reply,
				size_t *ret_len, struct kerr *err)
{
	struct policyd_statement v;
	struct policyd_letter q;
	int r = take_statement(q.statement, &q.len, statement, len, err);

	memcpy(q.peer, peer, sizeof(q.peer));
	if (r == 0)
		r = call(c, POLICYD_OP_CUSTODY_STEP, &q, &v, err);
	return r < 0 ? r : give_copy(v.bytes, v.len, ret_reply, ret_len, err);
}

/* -- kith-mover -- */

int policyd_client_custody_inbox(struct ipc_client *c, const uint8_t hid[HID_LEN],
				 enum custody_statement_kind *ret_kind, uint8_t **ret_statement,
				 size_t *ret_len, struct kerr *err)
{
	struct policyd_news v;
	int r = call_hid(c, POLICYD_OP_CUSTODY_INBOX, hid, &v, err);

	if (r == 0)
		r = give_copy(v.statement.bytes, v.statement.len, ret_statement, ret_len, err);
	if (r == 0)
		*ret_kind = v.kind;
	return r;
}

int policyd_client_custody_accept(struct ipc_client *c, const uint8_t hid[HID_LEN],
				  const void *statement, size_t len, struct kerr *err)
{
	struct policyd_word q;
	int r = take_statement(q.statement.bytes, &q.statement.len, statement, len, err);

	memcpy(q.hid, hid, sizeof(q.hid));
	return r < 0 ? r : call_nothing(c, POLICYD_OP_CUSTODY_ACCEPT, &q, err);
}

int policyd_client_grant_take(struct ipc_client *c, const uint8_t hid[HID_LEN], bool source,
			      struct policyd_grant *ret, struct kerr *err)
{
	struct policyd_side q = {.source = source};

	memcpy(q.hid, hid, sizeof(q.hid));
	return call(c, POLICYD_OP_GRANT_TAKE, &q, ret, err);
}

int policyd_client_console_take(struct ipc_client *c, const uint8_t hid[HID_LEN],
				struct policyd_console_grant *ret, struct kerr *err)
{
	return call_hid(c, POLICYD_OP_CONSOLE_TAKE, hid, ret, err);
}

int policyd_client_console_check(struct ipc_client *c, const uint8_t hid[HID_LEN], struct kerr *err)
{
	struct policyd_nothing v;

	return call_hid(c, POLICYD_OP_CONSOLE_CHECK, hid, &v, err);
}

static int call_journal(struct ipc_client *c, const uint8_t hid[HID_LEN],
			enum custody_record record, const void *proof, size_t proof_len,
			bool copy_gone, uint8_t **ret_statement, size_t *ret_len, struct kerr *err)
{
	struct policyd_entry q = {.record = record, .copy_gone = copy_gone};
	struct policyd_statement v;
	int r = take_statement(q.proof.bytes, &q.proof.len, proof, proof_len, err);

	memcpy(q.hid, hid, sizeof(q.hid));
	if (r == 0)
		r = call(c, POLICYD_OP_JOURNAL, &q, &v, err);
	return r < 0 ? r : give_copy(v.bytes, v.len, ret_statement, ret_len, err);
}

int policyd_client_journal(struct ipc_client *c, const uint8_t hid[HID_LEN],
			   enum custody_record record, const void *proof, size_t proof_len,
			   uint8_t **ret_statement, size_t *ret_len, struct kerr *err)
{
	return call_journal(c, hid, record, proof, proof_len, false, ret_statement, ret_len, err);
}

int policyd_client_release_forward(struct ipc_client *c, const uint8_t hid[HID_LEN],
				   const void *vote, size_t vote_len, uint8_t **ret_statement,
				   size_t *ret_len, struct kerr *err)
{
	return call_journal(c, hid, CUSTODY_RELEASED, vote, vote_len, true, ret_statement, ret_len,
			    err);
}

DEFINE_LIST_STUB(policyd_client_open_list, POLICYD_OP_OPEN_LIST, struct policyd_open)

int policyd_client_abort_allowed(struct ipc_client *c, const uint8_t hid[HID_LEN], struct kerr *err)
{
	struct policyd_nothing v;

	return call_hid(c, POLICYD_OP_ABORT_ALLOWED, hid, &v, err);
}

int policyd_client_requote(struct ipc_client *c, const uint8_t hid[HID_LEN], struct kerr *err)
{
	struct policyd_nothing v;

	return call_hid(c, POLICYD_OP_REQUOTE, hid, &v, err);
}

/* -- The libvirt hook, the fence and the warden -- */

DEFINE_LIST_STUB(policyd_client_fence, POLICYD_OP_FENCE, struct policyd_fence)
DEFINE_LIST_STUB(policyd_client_ward, POLICYD_OP_WARD, struct policyd_fence)

int policyd_client_alarm(struct ipc_client *c, const uint8_t uuid[UUID_LEN], const char *text,
			 struct kerr *err)
{
	struct policyd_alarm q;
	int r = take_text(q.text, sizeof(q.text), text, err);

	memcpy(q.uuid, uuid, sizeof(q.uuid));
	return r < 0 ? r : call_nothing(c, POLICYD_OP_ALARM, &q, err);
}

int policyd_client_custody_check(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
				 enum custody_use use, struct kerr *err)
{
	struct policyd_use q = {.use = use};

	memcpy(q.uuid, uuid, sizeof(q.uuid));
	return call_nothing(c, POLICYD_OP_CUSTODY_CHECK, &q, err);
}
