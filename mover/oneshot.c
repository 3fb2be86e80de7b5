/* SPDX-License-Identifier: Apache-2.0 */
/* One record in, one message out. */
#include "mover/oneshot.h"

#include <unistd.h>

#include "base/ipc.h"
#include "mover/worker.h"

#define SERIAL 1 /* the supervisor waits for the first answer */

int oneshot_question(const struct record *record, void *ret, struct kerr *err)
{
	static uint8_t buf[IPC_MAX_FRAME];
	struct ipc_msg m = {.fd = -EBADF};
	struct rbuf r;

	if (ipc_recv(WORKER_FD, buf, &m) != 1)
		return -ECONNRESET;
	r = rbuf_init(m.body, m.len);
	if (record_get(&r, record, ret) < 0 || rbuf_end(&r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	return 0;
}

void oneshot_answer(uint16_t op, int r, struct wbuf *w, struct kerr *err, const char *sorry)
{
	uint32_t flags = IPC_FLAG_REPLY;

	if (r < 0 || wbuf_error(w) < 0) {
		kerr_set(err, EIO, KCODE_FAILED, "%s", sorry);
		*w = wbuf_init(w->data, w->size);
		kerr_put(w, err);
		flags |= IPC_FLAG_ERROR;
	}
	r = ipc_send(WORKER_FD, op, flags, SERIAL, w->data, w->len, -EBADF);
	/* Not exit(): a thread may be inside libvirt. */
	_exit(r < 0);
}
