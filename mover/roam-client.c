/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs of both ends, and the one question. */
#include "mover/roam-client.h"

#include "mover/proto.h"

/* libvirt may be busy with others. */
#define WAIT_MS 30000

static void roam_wish_code(struct coder *c, struct roam_wish *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_ENUM(c, v->step, _ROAM_STEP_MAX);
	CODE_BYTES(c, v->hash);
	code_blob(c, &v->data, &v->len, ROAM_DATA_MAX);
}
DEFINE_CODEC(roam_wish)

static void roam_answer_code(struct coder *c, struct roam_answer *v)
{
	CODE_FLAG(c, v->running);
	CODE_FLAG(c, v->waits);
	CODE_FLAG(c, v->kept);
	CODE_TEXT(c, v->now);
	CODE_TEXT(c, v->next);
	CODE_TEXT(c, v->vendor);
	code_u32(c, &v->lost_count);
	CODE_TEXT(c, v->lost);
	CODE_BYTES(c, v->hash);
	code_blob(c, &v->data, &v->len, ROAM_DATA_MAX);
}
DEFINE_CODEC(roam_answer)

int roam_client_ask(struct ipc_client *c, const struct roam_wish *wish, struct roam_answer *ret,
		    struct kerr *err)
{
	_cleanup_free_ uint8_t *body = malloc(IPC_MAX_BODY);
	struct wbuf w = wbuf_init(body, IPC_MAX_BODY);
	struct roam_answer answer;
	struct rbuf reply;
	int r;

	if (!body)
		return -ENOMEM;
	if (roam_wish_put(&w, wish) < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"That are too many devices at once; name fewer with --devices.");
	r = ipc_call(c, MOVER_OP_ROAM, &w, WAIT_MS, &reply, err);
	if (r < 0)
		return r;
	if (roam_answer_get(&reply, &answer) < 0 || rbuf_end(&reply) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"kith-mover's answer is unreadable.");
	*ret = answer;
	return 0;
}
