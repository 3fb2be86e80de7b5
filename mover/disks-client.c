/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs of both ends, and the two questions. */
#include "mover/disks-client.h"

#include <string.h>

#include "mover/proto.h"

/* Removing a large file takes a while, and libvirt may be busy with others. */
#define WAIT_MS 90000

static const char *const disks_state_names[_DISKS_STATE_MAX] = {
	[DISKS_STATE_THERE] = "there",
	[DISKS_STATE_GONE] = "gone",
	[DISKS_STATE_UNKNOWN] = "unknown",
};
DEFINE_NAMES(disks_state, enum disks_state, _DISKS_STATE_MAX)

static void disks_place_code(struct coder *c, struct disks_place *v)
{
	code_name(c, v->pool);
	CODE_TEXT(c, v->folder);
	code_u64(c, &v->free_bytes);
	code_u64(c, &v->total_bytes);
	code_kerr(c, &v->why);
}
DEFINE_CODEC(disks_place)

static void disks_stale_code(struct coder *c, struct disks_stale *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_BYTES(c, v->peer);
	code_name(c, v->vm);
	code_name(c, v->peer_name);
	CODE_TEXT(c, v->path);
	code_u64(c, &v->time);
	code_u64(c, &v->bytes);
	CODE_ENUM(c, v->state, _DISKS_STATE_MAX);
	CODE_FLAG(c, v->made);
	CODE_FLAG(c, v->here);
}
DEFINE_RECORD(disks_stale)

static void disks_wish_code(struct coder *c, struct disks_wish *v)
{
	CODE_TEXT(c, v->path);
	code_check(c, v->path[0] == '/');
	CODE_FLAG(c, v->forget);
}
DEFINE_CODEC(disks_wish)

static void disks_answer_code(struct coder *c, struct disks_answer *v)
{
	CODE_ENUM(c, v->outcome, _DISKS_OUTCOME_MAX);
}
DEFINE_CODEC(disks_answer)

static void disks_disc_code(struct coder *c, struct disks_disc *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_TEXT(c, v->target);
	CODE_TEXT(c, v->what);
}
DEFINE_CODEC(disks_disc)

static int unreadable(struct kerr *err)
{
	return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "kith-mover's answer is unreadable.");
}

int disks_client_get(struct ipc_client *c, struct disks_place *ret, struct disks_stale **ret_list,
		     size_t *ret_n, struct kerr *err)
{
	struct wbuf none = wbuf_init(NULL, 0);
	struct disks_place place;
	struct rbuf reply;
	void *list;
	int r = ipc_call(c, MOVER_OP_DISKS, &none, WAIT_MS, &reply, err);

	if (r < 0)
		return r;
	if (disks_place_get(&reply, &place) < 0 ||
	    record_list_get(&reply, &disks_stale_record, &list, ret_n) < 0)
		return unreadable(err);
	*ret = place;
	*ret_list = list;
	return 0;
}

int disks_client_remove(struct ipc_client *c, const struct disks_wish *wish,
			enum disks_outcome *ret, struct kerr *err)
{
	uint8_t body[sizeof(*wish) + 8];
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct disks_answer answer;
	struct rbuf reply;
	int r = disks_wish_put(&w, wish);

	if (r < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE, "That is no absolute path.");
	r = ipc_call(c, MOVER_OP_DISK_REMOVE, &w, WAIT_MS, &reply, err);
	if (r < 0)
		return r;
	if (disks_answer_get(&reply, &answer) < 0 || rbuf_end(&reply) < 0)
		return unreadable(err);
	*ret = answer.outcome;
	return 0;
}

static int ask_disc(struct ipc_client *c, uint16_t op, const struct disks_disc *disc,
		    struct rbuf *ret, struct kerr *err)
{
	uint8_t body[sizeof(*disc) + 8];
	struct wbuf w = wbuf_init(body, sizeof(body));

	if (disks_disc_put(&w, disc) < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE, "That is no disc.");
	return ipc_call(c, op, &w, WAIT_MS, ret, err);
}

int disks_client_discs(struct ipc_client *c, const uint8_t uuid[UUID_LEN], struct disks_disc **ret,
		       size_t *ret_n, struct kerr *err)
{
	struct disks_disc ask = {0};
	struct rbuf reply;
	void *list;
	int r;

	memcpy(ask.uuid, uuid, UUID_LEN);
	r = ask_disc(c, MOVER_OP_DISCS, &ask, &reply, err);
	if (r < 0)
		return r;
	if (record_list_get(&reply, &disks_disc_record, &list, ret_n) < 0)
		return unreadable(err);
	*ret = list;
	return 0;
}

int disks_client_eject(struct ipc_client *c, const struct disks_disc *disc, struct kerr *err)
{
	struct rbuf reply;
	int r = ask_disc(c, MOVER_OP_EJECT, disc, &reply, err);

	return r == 0 && rbuf_end(&reply) < 0 ? unreadable(err) : r;
}
