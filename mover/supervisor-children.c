/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's children, and who waits for an answer of them. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "mover/supervisor-internal.h"
#include "mover/worker.h"

struct child *child_find(struct supervisor *s, enum child_kind kind, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].kind == kind && memcmp(s->children[i].hid, hid, HID_LEN) == 0)
			return &s->children[i];
	return NULL;
}

size_t child_count(const struct supervisor *s, enum child_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		n += s->children[i].kind == kind;
	return n;
}

static struct child *child_free_slot(struct supervisor *s)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].kind == CHILD_NONE)
			return &s->children[i];
	return NULL;
}

static int spawn(char *const argv[], int fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	sigemptyset(&none);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attr) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	r = -posix_spawn_file_actions_adddup2(&actions, fd, WORKER_FD);
	if (r == 0)
		r = -posix_spawnattr_setsigmask(&attr, &none);
	if (r == 0)
		r = -posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	/* The same program, whatever happened to the file on disk since. */
	if (r == 0)
		r = -posix_spawn(ret_pid, "/proc/self/exe", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

int child_start(struct supervisor *s, enum child_kind kind, char *const argv[], struct child **ret)
{
	struct child *c = child_free_slot(s);
	int pair[2], r;

	if (!c)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*c = (struct child){.owner = CONNS_MAX, .started_ms = worker_now_ms()};
	r = spawn(argv, pair[1], &c->pid);
	close(pair[1]);
	if (r < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
		close(pair[0]);
		return r < 0 ? r : -errno;
	}
	c->fd = pair[0];
	c->kind = kind;
	*ret = c;
	return 0;
}

/* -- answers -- */

void supervisor_reply(struct supervisor *s, size_t conn, uint16_t op, uint32_t serial,
		      uint32_t flags, const void *body, size_t len)
{
	if (conn < CONNS_MAX && s->conns[conn].fd >= 0)
		ipc_send(s->conns[conn].fd, op, flags | IPC_FLAG_REPLY, serial, body, len, -EBADF);
}

void supervisor_reply_error(struct supervisor *s, size_t conn, uint16_t op, uint32_t serial,
			    const struct kerr *err)
{
	uint8_t body[KERR_TEXT_MAX + 8];
	struct wbuf w = wbuf_init(body, sizeof(body));

	kerr_put(&w, err);
	supervisor_reply(s, conn, op, serial, IPC_FLAG_ERROR, body, w.len);
}

int supervisor_expect(struct supervisor *s, const struct asker *a, const struct child *c,
		      uint32_t *ret_serial)
{
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (!s->pending[i].used) {
			s->pending[i] = (struct pending){
				.used = true,
				.conn = a->conn,
				.child = (size_t)(c - s->children),
				.op = a->msg->op,
				.serial = a->msg->serial,
				.child_serial = *ret_serial ? *ret_serial : ++s->serial,
			};
			*ret_serial = s->pending[i].child_serial;
			return 0;
		}
	return -EBUSY;
}
