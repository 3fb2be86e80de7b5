/* SPDX-License-Identifier: Apache-2.0 */
/* From bytes to a handler and back: what every request has in common. */
#include "policyd/dispatch.h"

#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "policyd/core-audit.h"
#include "policyd/core.h"
#include "policyd/server.h"

#define ROW(op, number, name, who, needs, max, request, reply, list, handler) \
	{number, name, who, max, false, NULL},
static const struct ipc_op table[] = {POLICYD_REQUESTS(ROW)};
#undef ROW

/* The same rows: what happens once the message may pass. */
#define ONE false
#define LIST true
#define ROW(op, number, name, who, needs, max, request, reply, list, handler) \
	{needs, list, &policyd_##request##_record, &policyd_##reply##_record, handler},
static const struct op_action {
	enum op_needs needs;
	bool list;
	const struct record *request, *reply;
	int (*handle)(struct caller *caller, const void *request, void *reply, struct kerr *err);
} actions[] = {POLICYD_REQUESTS(ROW)};
#undef ROW

struct wbuf op_room(void)
{
	static uint8_t room[POLICYD_BLOB_MAX];

	return wbuf_init(room, sizeof(room));
}

int op_require(const struct core *core, enum op_needs needs, struct kerr *err)
{
	int r = 0;

	if (needs == NEEDS_DEVICE)
		r = core_require_device(core, err);
	else if (needs > NEEDS_DEVICE)
		r = core_require_ready(core, err);
	return r == 0 && needs == NEEDS_TPM ? core_require_tpm(core, err) : r;
}

static int handle_one(struct caller *caller, const struct op_action *a, const void *request,
		      struct wbuf *w, struct kerr *err)
{
	_Alignas(max_align_t) uint8_t reply[RECORD_SIZE_MAX] = {0};
	int r = a->handle(caller, request, reply, err);

	if (r == 0)
		record_put(w, a->reply, reply);
	sodium_memzero(reply, a->reply->size);
	return r;
}

static int handle_list(struct caller *caller, const struct op_action *a, const void *request,
		       struct wbuf *w, struct kerr *err)
{
	struct record_list list;
	int r;

	record_list_begin(&list, w, a->reply);
	r = a->handle(caller, request, &list, err);
	record_list_end(&list);
	return r;
}

static int run(struct caller *caller, const struct op_action *a, const struct ipc_msg *msg,
	       struct wbuf *w, struct kerr *err)
{
	_Alignas(max_align_t) uint8_t request[RECORD_SIZE_MAX];
	struct rbuf r = rbuf_init(msg->body, msg->len);
	int ret;

	if (record_get(&r, a->request, request) < 0 || rbuf_end(&r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The request is too short, too long or malformed.");
	ret = op_require(caller->core, a->needs, err);
	if (ret == 0)
		ret = (a->list ? handle_list : handle_one)(caller, a, request, w, err);
	sodium_memzero(request, a->request->size);
	free(TAKE_PTR(caller->kept));
	return ret;
}

static int send_reply(int fd, const struct ipc_msg *msg, uint32_t flags, const struct wbuf *w)
{
	int r = ipc_send(fd, msg->op, IPC_FLAG_REPLY | flags, msg->serial, w->data, w->len, -1);

	/* A client that does not read its replies is of no use. */
	return r < 0 ? -ECONNRESET : 0;
}

static const struct ipc_op *row_of(uint16_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].op == number)
			return &table[i];
	return NULL;
}

/* For the journal: people are told what they may not do, not what it is called here. */
static const char *name_of(uint16_t number)
{
	const struct ipc_op *row = row_of(number);

	return row ? row->name : "unknown";
}

/* Who has no right to a request that only the owner has is recorded, by account (S2-05): equal ones
 * are counted, so that nobody fills the log. */
static void record_refused(struct caller *caller, const struct ipc_msg *msg)
{
	const struct ipc_op *row = row_of(msg->op);
	struct kerr why = {0};

	if (!row || row->who != WHO_OWNER || caller->who & WHO_OWNER)
		return;
	kerr_set(&why, EPERM, KCODE_NOT_ALLOWED,
		 "The local account %u asked for this, and is not the owner's.", caller->uid);
	core_audit_peer(caller->core, "", caller->core->config.name, "", row->name, &why);
}

int dispatch(struct caller *caller, int fd, struct ipc_msg *msg, uint8_t *out, size_t size)
{
	struct wbuf w = wbuf_init(out, size);
	struct kerr err = {0};
	const struct ipc_op *op = ipc_op_check(table, ARRAY_SIZE(table), caller->who, msg, &err);
	int ret = op ? run(caller, &actions[op - table], msg, &w, &err) : -EBADMSG;

	if (!op)
		record_refused(caller, msg);
	if (ret == 0 && wbuf_error(&w) == 0) {
		if (!caller->later)
			ret = send_reply(fd, msg, 0, &w);
		sodium_memzero(out, w.len);
		return ret;
	}
	if (caller->core->store)
		store_rollback(caller->core->store);
	if (err.code == KCODE_OK)
		kerr_set(&err, EIO, KCODE_FAILED, "The request failed inside kith-policyd: %s.",
			 strerror(ret < 0 ? -ret : EIO));
	log_info("request", "%s of uid %u refused (%s): %s", name_of(msg->op), caller->uid,
		 kcode_to_string(err.code), err.text);
	w = wbuf_init(out, size);
	kerr_put(&w, &err);
	return send_reply(fd, msg, IPC_FLAG_ERROR, &w);
}
