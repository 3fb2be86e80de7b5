/* SPDX-License-Identifier: Apache-2.0 */
/* One short connection for each request: the mover keeps few places for its owner. */
#include "mover/console-client.h"

#include <string.h>
#include <sys/socket.h>

#include "base/ipc-client.h"

#define WAIT_MS 40000 /* another device may have to be reached */

static int ask(const struct config *config, uint16_t op, const uint8_t hid[HID_LEN], int fd,
	       struct mover_console *ret, struct kerr *err)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	struct mover_handoff v;
	uint8_t body[HID_LEN];
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct rbuf reply;
	char path[256];
	int r = config_run_path(config, MOVER_SOCKET, path, sizeof(path));

	if (r == 0)
		r = ipc_client_new(path, &c);
	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED,
				"kith-mover does not answer (%s): %s. Start it with `systemctl "
				"start kith-mover`.",
				path, strerror(-r));
	memcpy(v.hid, hid, HID_LEN);
	record_put(&w, &mover_handoff_record, &v);
	r = ipc_call_fd(c, op, &w, fd, WAIT_MS, &reply, err);
	if (r == 0 && ret && (record_get(&reply, &mover_console_record, ret) < 0 || reply.left))
		r = kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "kith-mover's answer is unreadable.");
	return r;
}

int console_client_open(const struct config *config, const uint8_t hid[HID_LEN],
			enum mover_display *ret, int *ret_life, struct kerr *err)
{
	_cleanup_close_ int own = -EBADF, theirs = -EBADF;
	struct mover_console v;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return kerr_set(err, errno, KCODE_FAILED, "There is no socket left.");
	own = pair[0];
	theirs = pair[1];
	r = ask(config, MOVER_OP_CONSOLE, hid, theirs, &v, err);
	if (r < 0)
		return r;
	*ret = v.display;
	*ret_life = TAKE_FD(own);
	return 0;
}

int console_client_attach(const struct config *config, const uint8_t hid[HID_LEN], int fd,
			  struct kerr *err)
{
	return ask(config, MOVER_OP_ATTACH, hid, fd, NULL, err);
}

void console_client_end(int life, struct kerr *ret)
{
	_cleanup_free_ uint8_t *buf = malloc(IPC_MAX_FRAME);
	struct ipc_msg m = {.fd = -EBADF};

	kerr_clear(ret);
	if (buf && ipc_recv(life, buf, &m) == 1) {
		struct rbuf r = rbuf_init(m.body, m.len);

		if (m.op != MOVER_EVENT_CONSOLE_END || kerr_get(&r, ret) < 0)
			kerr_clear(ret);
		ipc_msg_release(&m);
	}
	kerr_set(ret, ECONNRESET, KCODE_INTERRUPTED, "kith-mover on this device went away.");
}
