/* SPDX-License-Identifier: Apache-2.0 */
/* The stubs: encode the arguments, one ipc_call(), decode the reply to its last byte. */
#include "policyd/client.h"

/* Room for requests without long blobs; the longest is two ids and a name. */
#define SMALL 512

static int bad_reply(struct kerr *err)
{
	return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
			"kith-policyd sent an answer that this program does not understand.");
}

static int no_memory(struct kerr *err)
{
	return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
}

static int call(struct ipc_client *c, uint16_t op, const struct wbuf *w, struct rbuf *ret,
		struct kerr *err)
{
	return ipc_call(c, op, w, -1, POLICYD_CLIENT_TIMEOUT_MS, ret, err);
}

/* A request whose answer is empty. */
static int call_empty(struct ipc_client *c, uint16_t op, const struct wbuf *w, struct kerr *err)
{
	struct rbuf r;
	int e = call(c, op, w, &r, err);

	if (e < 0)
		return e;
	return rbuf_end(&r) < 0 ? bad_reply(err) : 0;
}

/* A request that is one id and whose answer is empty. */
static int call_id(struct ipc_client *c, uint16_t op, const uint8_t *id, size_t len,
		   struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, id, len);
	return call_empty(c, op, &w, err);
}

/* A copy of the next blob of the answer; NULL where it is empty. */
static int take_blob(struct rbuf *r, size_t max, uint8_t **ret, size_t *ret_len)
{
	size_t len;
	const uint8_t *data = rbuf_blob(r, max, &len);
	uint8_t *copy = NULL;

	if (len) {
		copy = malloc(len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, data, len);
	}
	*ret = copy;
	*ret_len = len;
	return 0;
}

/* -- Lists -- */

typedef int (*get_fn)(struct rbuf *r, void *ret);

static int take_list(struct rbuf *r, size_t size, get_fn get, void **ret, size_t *ret_n,
		     struct kerr *err)
{
	_cleanup_free_ uint8_t *list = NULL;
	size_t n = rbuf_u16(r);

	/* Every element has more than one byte: a count beyond the bytes left is a lie. */
	if (rbuf_error(r) < 0 || n > r->left)
		return bad_reply(err);
	if (n) {
		list = calloc(n, size);
		if (!list)
			return no_memory(err);
	}
	for (size_t i = 0; i < n; i++)
		if (get(r, list + i * size) < 0)
			return bad_reply(err);
	if (rbuf_end(r) < 0)
		return bad_reply(err);
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static int get_peer(struct rbuf *r, void *ret)
{
	return policyd_peer_get(r, ret);
}

static int get_audit(struct rbuf *r, void *ret)
{
	return policyd_audit_get(r, ret);
}

static int get_vm(struct rbuf *r, void *ret)
{
	return policyd_vm_get(r, ret);
}

static int get_open(struct rbuf *r, void *ret)
{
	return policyd_open_get(r, ret);
}

static int call_list(struct ipc_client *c, uint16_t op, const struct wbuf *w, size_t size,
		     get_fn get, void **ret, size_t *ret_n, struct kerr *err)
{
	struct rbuf r;
	int e = call(c, op, w, &r, err);

	return e < 0 ? e : take_list(&r, size, get, ret, ret_n, err);
}

/* -- Anyone -- */

int policyd_client_status(struct ipc_client *c, struct policyd_status *ret, struct kerr *err)
{
	struct policyd_status v;
	struct rbuf r;
	int e = call(c, POLICYD_OP_STATUS, NULL, &r, err);

	if (e < 0)
		return e;
	if (policyd_status_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		return bad_reply(err);
	*ret = v;
	return 0;
}

/* -- People -- */

/* A request whose answer is a recovery key. */
static int call_recovery(struct ipc_client *c, uint16_t op, const struct wbuf *w,
			 char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX], struct kerr *err)
{
	char key[POLICYD_RECOVERY_KEY_MAX];
	struct rbuf r;
	int e = call(c, op, w, &r, err);

	if (e < 0)
		return e;
	rbuf_string(&r, key, sizeof(key));
	if (rbuf_end(&r) < 0)
		e = bad_reply(err);
	else
		memcpy(ret_recovery_key, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return e;
}

int policyd_client_init(struct ipc_client *c, const char *person,
			char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX], struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_string(&w, person);
	return call_recovery(c, POLICYD_OP_INIT, &w, ret_recovery_key, err);
}

int policyd_client_recovery_renew(struct ipc_client *c,
				  char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX], struct kerr *err)
{
	return call_recovery(c, POLICYD_OP_RECOVERY_RENEW, NULL, ret_recovery_key, err);
}

int policyd_client_recovery_shown(struct ipc_client *c, struct kerr *err)
{
	return call_empty(c, POLICYD_OP_RECOVERY_SHOWN, NULL, err);
}

int policyd_client_unlock(struct ipc_client *c, const char *recovery_key, bool *ret_new_ak,
			  struct kerr *err)
{
	uint8_t buf[SMALL], new_ak;
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;
	int e;

	wbuf_string(&w, recovery_key);
	e = call(c, POLICYD_OP_UNLOCK, &w, &r, err);
	explicit_bzero(buf, sizeof(buf));
	if (e < 0)
		return e;
	new_ak = rbuf_u8(&r);
	if (rbuf_end(&r) < 0 || new_ak > 1)
		return bad_reply(err);
	*ret_new_ak = new_ak;
	return 0;
}

int policyd_client_pair_open(struct ipc_client *c, enum person_role foreign_role, uint32_t seconds,
			     bool replace, char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX],
			     struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	char key[POLICYD_RECOVERY_KEY_MAX];
	struct rbuf reply;
	int r;

	wbuf_u8(&w, (uint8_t)foreign_role);
	wbuf_u32(&w, seconds);
	wbuf_u8(&w, replace);
	r = call(c, POLICYD_OP_PAIR_OPEN, &w, &reply, err);
	if (r < 0)
		return r;
	rbuf_string(&reply, key, sizeof(key));
	if (rbuf_end(&reply) < 0)
		r = bad_reply(err);
	else
		memcpy(ret_recovery_key, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return r;
}

int policyd_client_pair_close(struct ipc_client *c, struct kerr *err)
{
	return call_empty(c, POLICYD_OP_PAIR_CLOSE, NULL, err);
}

int policyd_client_pair_status(struct ipc_client *c, struct policyd_pair_status *ret,
			       struct kerr *err)
{
	struct policyd_pair_status v;
	struct rbuf r;
	int e = call(c, POLICYD_OP_PAIR_STATUS, NULL, &r, err);

	if (e < 0)
		return e;
	if (policyd_pair_status_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		return bad_reply(err);
	*ret = v;
	return 0;
}

int policyd_client_pair_confirm(struct ipc_client *c, const uint8_t hash[HASH_LEN], bool same_code,
				struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, hash, HASH_LEN);
	wbuf_u8(&w, same_code);
	return call_empty(c, POLICYD_OP_PAIR_CONFIRM, &w, err);
}

int policyd_client_peers(struct ipc_client *c, struct policyd_peer **ret, size_t *ret_n,
			 struct kerr *err)
{
	void *list;
	int e = call_list(c, POLICYD_OP_PEERS, NULL, sizeof(**ret), get_peer, &list, ret_n, err);

	if (e == 0)
		*ret = list;
	return e;
}

int policyd_client_trust_show(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
			      struct policyd_trust *ret, struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct policyd_trust v;
	struct rbuf r;
	int e;

	wbuf_bytes(&w, device, DEVICE_ID_LEN);
	e = call(c, POLICYD_OP_TRUST_SHOW, &w, &r, err);
	if (e < 0)
		return e;
	if (policyd_trust_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		return bad_reply(err);
	*ret = v;
	return 0;
}

int policyd_client_trust_accept(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
				const uint8_t shown[HASH_LEN], struct kerr *err)
{
	uint8_t both[DEVICE_ID_LEN + HASH_LEN];

	memcpy(both, device, DEVICE_ID_LEN);
	memcpy(both + DEVICE_ID_LEN, shown, HASH_LEN);
	return call_id(c, POLICYD_OP_TRUST_ACCEPT, both, sizeof(both), err);
}

int policyd_client_peer_forget(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
			       struct kerr *err)
{
	return call_id(c, POLICYD_OP_PEER_FORGET, device, DEVICE_ID_LEN, err);
}

int policyd_client_peer_receive(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN], bool on,
				struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, device, DEVICE_ID_LEN);
	wbuf_u8(&w, on);
	return call_empty(c, POLICYD_OP_PEER_RECEIVE, &w, err);
}

int policyd_client_policy_set(struct ipc_client *c, const uint8_t uuid[UUID_LEN], const char *name,
			      const char *text, const void *compiled, size_t compiled_len,
			      uint64_t *ret_version, struct kerr *err)
{
	_cleanup_free_ uint8_t *buf = NULL;
	size_t len = strlen(text);
	uint64_t version;
	struct wbuf w;
	struct rbuf r;
	int e;

	if (len > POLICYD_POLICY_MAX || compiled_len > POLICYD_POLICY_MAX)
		return kerr_set(err, EMSGSIZE, KCODE_USAGE, "The policy is longer than %d bytes.",
				POLICYD_POLICY_MAX);
	buf = malloc(IPC_MAX_BODY);
	if (!buf)
		return no_memory(err);
	w = wbuf_init(buf, IPC_MAX_BODY);
	wbuf_bytes(&w, uuid, UUID_LEN);
	wbuf_string(&w, name);
	wbuf_blob(&w, text, len);
	wbuf_blob(&w, compiled, compiled_len);
	e = call(c, POLICYD_OP_POLICY_SET, &w, &r, err);
	if (e < 0)
		return e;
	version = rbuf_u64(&r);
	if (rbuf_end(&r) < 0)
		return bad_reply(err);
	*ret_version = version;
	return 0;
}

void policyd_policy_clear(struct policyd_policy *p)
{
	free(p->text);
	*p = (struct policyd_policy){0};
}

int policyd_client_policy_get(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
			      struct policyd_policy *ret, struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct policyd_policy v = {0};
	const uint8_t *text;
	struct rbuf r;
	size_t len;
	int e;

	wbuf_bytes(&w, uuid, UUID_LEN);
	e = call(c, POLICYD_OP_POLICY_GET, &w, &r, err);
	if (e < 0)
		return e;
	v.version = rbuf_u64(&r);
	rbuf_bytes(&r, v.owner_id, sizeof(v.owner_id));
	rbuf_string(&r, v.name, sizeof(v.name));
	text = rbuf_blob(&r, POLICYD_POLICY_MAX, &len);
	if (rbuf_end(&r) < 0 || memchr(text, '\0', len))
		return bad_reply(err);
	v.text = strndup((const char *)text, len);
	if (!v.text)
		return no_memory(err);
	if (!text_is_clean(v.text)) {
		policyd_policy_clear(&v);
		return bad_reply(err);
	}
	*ret = v;
	return 0;
}

int policyd_client_plan(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
			const uint8_t device[DEVICE_ID_LEN], struct policyd_plan *ret,
			struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct policyd_plan v;
	struct rbuf r;
	int e;

	wbuf_bytes(&w, uuid, UUID_LEN);
	wbuf_bytes(&w, device, DEVICE_ID_LEN);
	e = call(c, POLICYD_OP_PLAN, &w, &r, err);
	if (e < 0)
		return e;
	if (policyd_plan_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		return bad_reply(err);
	*ret = v;
	return 0;
}

int policyd_client_move_request(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
				const uint8_t device[DEVICE_ID_LEN], uint8_t ret_hid[HID_LEN],
				struct kerr *err)
{
	uint8_t buf[SMALL], hid[HID_LEN];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;
	int e;

	wbuf_bytes(&w, uuid, UUID_LEN);
	wbuf_bytes(&w, device, DEVICE_ID_LEN);
	e = call(c, POLICYD_OP_MOVE_REQUEST, &w, &r, err);
	if (e < 0)
		return e;
	rbuf_bytes(&r, hid, HID_LEN);
	if (rbuf_end(&r) < 0)
		return bad_reply(err);
	memcpy(ret_hid, hid, HID_LEN);
	return 0;
}

int policyd_client_claim(struct ipc_client *c, const uint8_t uuid[UUID_LEN], uint64_t *ret_epoch,
			 struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	uint64_t epoch;
	struct rbuf r;
	int e;

	wbuf_bytes(&w, uuid, UUID_LEN);
	e = call(c, POLICYD_OP_CLAIM, &w, &r, err);
	if (e < 0)
		return e;
	epoch = rbuf_u64(&r);
	if (rbuf_end(&r) < 0)
		return bad_reply(err);
	*ret_epoch = epoch;
	return 0;
}

int policyd_client_abort_request(struct ipc_client *c, const uint8_t hid[HID_LEN], struct kerr *err)
{
	return call_id(c, POLICYD_OP_ABORT_REQUEST, hid, HID_LEN, err);
}

int policyd_client_audit_read(struct ipc_client *c, uint64_t from, uint16_t max,
			      struct policyd_audit **ret, size_t *ret_n, struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	void *list;
	int e;

	wbuf_u64(&w, from);
	wbuf_u16(&w, max);
	e = call_list(c, POLICYD_OP_AUDIT_READ, &w, sizeof(**ret), get_audit, &list, ret_n, err);
	if (e == 0)
		*ret = list;
	return e;
}

int policyd_client_vms(struct ipc_client *c, struct policyd_vm **ret, size_t *ret_n,
		       struct kerr *err)
{
	void *list;
	int e = call_list(c, POLICYD_OP_VMS, NULL, sizeof(**ret), get_vm, &list, ret_n, err);

	if (e == 0)
		*ret = list;
	return e;
}

/* -- kithd -- */

int policyd_client_tls_leaf(struct ipc_client *c, const void *spki, size_t spki_len,
			    uint8_t **ret_leaf, size_t *ret_leaf_len, uint8_t **ret_device,
			    size_t *ret_device_len, struct kerr *err)
{
	_cleanup_free_ uint8_t *leaf = NULL, *device = NULL;
	uint8_t buf[POLICYD_CERT_MAX + 4];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	size_t leaf_len, device_len;
	struct rbuf r;
	int e;

	wbuf_blob(&w, spki, spki_len);
	e = call(c, POLICYD_OP_TLS_LEAF, &w, &r, err);
	if (e < 0)
		return e;
	if (take_blob(&r, POLICYD_CERT_MAX, &leaf, &leaf_len) < 0 ||
	    take_blob(&r, POLICYD_CERT_MAX, &device, &device_len) < 0)
		return no_memory(err);
	if (rbuf_end(&r) < 0 || !leaf || !device)
		return bad_reply(err);
	*ret_leaf = TAKE_PTR(leaf);
	*ret_leaf_len = leaf_len;
	*ret_device = TAKE_PTR(device);
	*ret_device_len = device_len;
	return 0;
}

static int call_conversation(struct ipc_client *c, uint16_t op, const struct wbuf *w,
			     struct policyd_conversation *ret, struct kerr *err)
{
	struct policyd_conversation v;
	struct rbuf r;
	int e = call(c, op, w, &r, err);

	if (e < 0)
		return e;
	if (policyd_conversation_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		return bad_reply(err);
	*ret = v;
	return 0;
}

int policyd_client_pair_start(struct ipc_client *c, bool initiator,
			      const uint8_t exporter[EXPORTER_LEN],
			      struct policyd_conversation *ret, struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_u8(&w, initiator);
	wbuf_bytes(&w, exporter, EXPORTER_LEN);
	return call_conversation(c, POLICYD_OP_PAIR_START, &w, ret, err);
}

/* `head` is what stands in front of the peer's blob. */
static int call_step(struct ipc_client *c, uint16_t op, const uint8_t *head, size_t head_len,
		     const void *blob, size_t len, struct policyd_conversation *ret,
		     struct kerr *err)
{
	_cleanup_free_ uint8_t *buf = NULL;
	struct wbuf w;

	if (len > POLICYD_BLOB_MAX)
		return kerr_set(err, EMSGSIZE, KCODE_BAD_MESSAGE,
				"The other device's message is too long.");
	buf = malloc(head_len + 4 + len);
	if (!buf)
		return no_memory(err);
	w = wbuf_init(buf, head_len + 4 + len);
	wbuf_bytes(&w, head, head_len);
	wbuf_blob(&w, blob, len);
	return call_conversation(c, op, &w, ret, err);
}

int policyd_client_pair_step(struct ipc_client *c, const void *blob, size_t len,
			     struct policyd_conversation *ret, struct kerr *err)
{
	return call_step(c, POLICYD_OP_PAIR_STEP, NULL, 0, blob, len, ret, err);
}

int policyd_client_pair_poll(struct ipc_client *c, struct policyd_conversation *ret,
			     struct kerr *err)
{
	return call_conversation(c, POLICYD_OP_PAIR_POLL, NULL, ret, err);
}

int policyd_client_pair_end(struct ipc_client *c, struct kerr *err)
{
	return call_empty(c, POLICYD_OP_PAIR_END, NULL, err);
}

int policyd_client_session_start(struct ipc_client *c, const uint8_t hid[HID_LEN],
				 const uint8_t exporter[EXPORTER_LEN],
				 struct policyd_conversation *ret, struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, hid, HID_LEN);
	wbuf_bytes(&w, exporter, EXPORTER_LEN);
	return call_conversation(c, POLICYD_OP_SESSION_START, &w, ret, err);
}

int policyd_client_session_step(struct ipc_client *c, const uint8_t hid[HID_LEN],
				const uint8_t peer[DEVICE_ID_LEN],
				const uint8_t exporter[EXPORTER_LEN], const void *blob, size_t len,
				struct policyd_conversation *ret, struct kerr *err)
{
	uint8_t head[HID_LEN + DEVICE_ID_LEN + EXPORTER_LEN];
	struct wbuf w = wbuf_init(head, sizeof(head));

	wbuf_bytes(&w, hid, HID_LEN);
	wbuf_bytes(&w, peer, DEVICE_ID_LEN);
	wbuf_bytes(&w, exporter, EXPORTER_LEN);
	return call_step(c, POLICYD_OP_SESSION_STEP, head, w.len, blob, len, ret, err);
}

int policyd_client_session_end(struct ipc_client *c, const uint8_t hid[HID_LEN],
			       const uint8_t exporter[EXPORTER_LEN], const struct kerr *why,
			       struct kerr *err)
{
	uint8_t buf[SMALL + KERR_TEXT_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, hid, HID_LEN);
	wbuf_bytes(&w, exporter, EXPORTER_LEN);
	kerr_put(&w, why);
	return call_empty(c, POLICYD_OP_SESSION_END, &w, err);
}

/* A request whose answer is one custody statement, or nothing. */
static int call_statement(struct ipc_client *c, uint16_t op, const struct wbuf *w, uint8_t **ret,
			  size_t *ret_len, struct kerr *err)
{
	_cleanup_free_ uint8_t *blob = NULL;
	struct rbuf r;
	size_t len;
	int e = call(c, op, w, &r, err);

	if (e < 0)
		return e;
	if (take_blob(&r, POLICYD_PROOF_MAX, &blob, &len) < 0)
		return no_memory(err);
	if (rbuf_end(&r) < 0)
		return bad_reply(err);
	*ret = TAKE_PTR(blob);
	*ret_len = len;
	return 0;
}

static int get_letter(struct rbuf *r, void *ret)
{
	struct policyd_letter *l = ret;
	size_t len;
	const uint8_t *at;

	rbuf_bytes(r, l->peer, sizeof(l->peer));
	at = rbuf_blob(r, sizeof(l->statement), &len);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	memcpy(l->statement, at, len);
	l->len = len;
	return 0;
}

int policyd_client_custody_outbox(struct ipc_client *c, struct policyd_letter **ret, size_t *ret_n,
				  struct kerr *err)
{
	void *list;
	int e = call_list(c, POLICYD_OP_CUSTODY_OUTBOX, NULL, sizeof(**ret), get_letter, &list,
			  ret_n, err);

	if (e == 0)
		*ret = list;
	return e;
}

int policyd_client_custody_inbox(struct ipc_client *c, const uint8_t hid[HID_LEN],
				 enum custody_statement_kind *ret_kind, uint8_t **ret_statement,
				 size_t *ret_len, struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	uint8_t kind, *data;
	struct rbuf r;
	size_t len;
	int e;

	wbuf_bytes(&w, hid, HID_LEN);
	e = call(c, POLICYD_OP_CUSTODY_INBOX, &w, &r, err);
	if (e < 0)
		return e;
	kind = rbuf_u8(&r);
	if (take_blob(&r, POLICYD_PROOF_MAX, &data, &len) < 0)
		return no_memory(err);
	if (rbuf_end(&r) < 0 || kind >= _CUSTODY_STATEMENT_MAX ||
	    (kind == CUSTODY_STATEMENT_NONE) != (len == 0)) {
		free(data);
		return bad_reply(err);
	}
	*ret_kind = (enum custody_statement_kind)kind;
	*ret_statement = data;
	*ret_len = len;
	return 0;
}

int policyd_client_custody_accept(struct ipc_client *c, const uint8_t hid[HID_LEN],
				  const void *statement, size_t len, struct kerr *err)
{
	uint8_t buf[SMALL + POLICYD_PROOF_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, hid, HID_LEN);
	wbuf_blob(&w, statement, len);
	return call_empty(c, POLICYD_OP_CUSTODY_ACCEPT, &w, err);
}

int policyd_client_custody_step(struct ipc_client *c, const uint8_t peer[DEVICE_ID_LEN],
				const void *statement, size_t len, uint8_t **ret_reply,
				size_t *ret_len, struct kerr *err)
{
	uint8_t buf[SMALL + POLICYD_PROOF_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, peer, DEVICE_ID_LEN);
	wbuf_blob(&w, statement, len);
	return call_statement(c, POLICYD_OP_CUSTODY_STEP, &w, ret_reply, ret_len, err);
}

/* -- kith-mover -- */

int policyd_client_grant_take(struct ipc_client *c, const uint8_t hid[HID_LEN], bool source,
			      struct policyd_grant *ret, struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct policyd_grant v;
	struct rbuf r;
	int e;

	wbuf_bytes(&w, hid, HID_LEN);
	wbuf_u8(&w, source);
	e = call(c, POLICYD_OP_GRANT_TAKE, &w, &r, err);
	if (e < 0)
		return e;
	if (policyd_grant_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		e = bad_reply(err);
	else
		*ret = v;
	explicit_bzero(&v, sizeof(v));
	return e;
}

static int call_journal(struct ipc_client *c, const uint8_t hid[HID_LEN],
			enum custody_record record, const void *proof, size_t proof_len,
			bool copy_gone, uint8_t **ret_statement, size_t *ret_len, struct kerr *err)
{
	uint8_t buf[SMALL + POLICYD_PROOF_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, hid, HID_LEN);
	wbuf_u8(&w, (uint8_t)record);
	wbuf_blob(&w, proof, proof_len);
	wbuf_u8(&w, copy_gone);
	return call_statement(c, POLICYD_OP_JOURNAL, &w, ret_statement, ret_len, err);
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

int policyd_client_open_list(struct ipc_client *c, struct policyd_open **ret, size_t *ret_n,
			     struct kerr *err)
{
	void *list;
	int e = call_list(c, POLICYD_OP_OPEN_LIST, NULL, sizeof(**ret), get_open, &list, ret_n,
			  err);

	if (e == 0)
		*ret = list;
	return e;
}

int policyd_client_abort_allowed(struct ipc_client *c, const uint8_t hid[HID_LEN], struct kerr *err)
{
	return call_id(c, POLICYD_OP_ABORT_ALLOWED, hid, HID_LEN, err);
}

int policyd_client_requote(struct ipc_client *c, const uint8_t hid[HID_LEN], struct kerr *err)
{
	return call_id(c, POLICYD_OP_REQUOTE, hid, HID_LEN, err);
}

/* -- The libvirt hook -- */

static int get_fence(struct rbuf *r, void *ret)
{
	struct policyd_fence *f = ret;
	uint8_t verdict;

	rbuf_bytes(r, f->uuid, sizeof(f->uuid));
	rbuf_string(r, f->name, sizeof(f->name));
	rbuf_string(r, f->peer_name, sizeof(f->peer_name));
	verdict = rbuf_u8(r);
	if (rbuf_error(r) < 0 || verdict >= _FENCE_VERDICT_MAX)
		return -EBADMSG;
	f->verdict = (enum fence_verdict)verdict;
	return 0;
}

static int call_fence(struct ipc_client *c, uint16_t op, struct policyd_fence **ret, size_t *ret_n,
		      struct kerr *err)
{
	void *list;
	int e = call_list(c, op, NULL, sizeof(**ret), get_fence, &list, ret_n, err);

	if (e == 0)
		*ret = list;
	return e;
}

int policyd_client_fence(struct ipc_client *c, struct policyd_fence **ret, size_t *ret_n,
			 struct kerr *err)
{
	return call_fence(c, POLICYD_OP_FENCE, ret, ret_n, err);
}

int policyd_client_ward(struct ipc_client *c, struct policyd_fence **ret, size_t *ret_n,
			struct kerr *err)
{
	return call_fence(c, POLICYD_OP_WARD, ret, ret_n, err);
}

int policyd_client_alarm(struct ipc_client *c, const uint8_t uuid[UUID_LEN], const char *text,
			 struct kerr *err)
{
	uint8_t buf[SMALL + KERR_TEXT_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, uuid, UUID_LEN);
	wbuf_string(&w, text);
	return call_empty(c, POLICYD_OP_ALARM, &w, err);
}

int policyd_client_custody_check(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
				 enum custody_use use, struct kerr *err)
{
	uint8_t buf[SMALL];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	wbuf_bytes(&w, uuid, UUID_LEN);
	wbuf_u8(&w, (uint8_t)use);
	return call_empty(c, POLICYD_OP_CUSTODY_CHECK, &w, err);
}
