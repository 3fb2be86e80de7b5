/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts local connections, finds out who they are, hands single requests to the op table. */
#include "policyd/server.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/user.h"
#include "policyd/api/proto.h"
#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/policyd.h"

#define COMPLAIN_MS 60000

/* Places for each kind of caller: whoever fills his own takes none of the others' (F11, N10). The
 * sum is what poll() watches. */
#define STRANGERS_MAX 16
#define CLIENTS_MAX (32 + 16 + 16 + 16 + STRANGERS_MAX)
static const struct {
	unsigned who;
	size_t each; /* connections of one uid */
} rooms[] = {
	{WHO_MOVER, 32}, /* 16 workers, 8 consoles, recovery, supervisor */
	{WHO_ROOT, 16},	 /* hooks, the fence, kith-warden */
	{WHO_AGENT, 16}, {WHO_OWNER, 16}, {WHO_ANYONE, 4},
};

struct client {
	int fd;
	struct ipc_peer peer;
	unsigned who;
	uint64_t id;	       /* never given twice: a restarted worker is another one (R1) */
	struct parked *parked; /* a request that has no reply yet; NULL = none */
};

/* Asked again whenever something may have changed. */
struct parked {
	struct ipc_msg msg; /* without descriptor; its body is below */
	uint8_t body[POLICYD_SMALL];
};

struct server {
	const struct policyd *policyd;
	int listen_fd;
	uid_t agent, mover;
	struct client clients[CLIENTS_MAX];
	size_t count;
	uint64_t last_id;
	uint64_t complain_at;
	uint8_t in[IPC_MAX_FRAME], out[IPC_MAX_BODY];
};

static volatile sig_atomic_t stop_requested, reload_requested;

static void on_stop(int signo _unused_)
{
	stop_requested = 1;
}

static void on_reload(int signo _unused_)
{
	reload_requested = 1;
}

/* (uid_t)-1 can never be a peer, so a missing user simply grants nothing. */
static uid_t uid_of(const char *user)
{
	uid_t uid = (uid_t)-1;

	if (!user_find(user, &uid))
		log_warning("server", "There is no local user \"%s\"; it can ask for nothing.",
			    user);
	return uid;
}

/* Looked up for each who comes: he may be named, and his account made, while this runs. */
static bool is_owner(const struct server *s, uid_t uid)
{
	uid_t owner;

	return user_find(s->policyd->core->config.owner, &owner) && uid == owner;
}

static unsigned who_is(const struct server *s, uid_t uid)
{
	unsigned who = WHO_ANYONE;

	if (is_owner(s, uid))
		who |= WHO_OWNER;
	if (uid == s->agent)
		who |= WHO_AGENT;
	if (uid == s->mover)
		who |= WHO_MOVER;
	/* root could become the owner by `su`; a refusal would only send him there. */
	if (uid == 0)
		who |= WHO_ROOT | WHO_OWNER;
	return who;
}

int server_new(const struct config *config, const struct policyd *policyd, struct server **ret,
	       struct kerr *err)
{
	struct server *s = calloc(1, sizeof(*s));
	char path[256];
	int r;

	if (!s)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	s->policyd = policyd;
	uid_of(config->owner); /* for its warning */
	s->agent = uid_of(SERVER_USER_AGENT);
	s->mover = uid_of(SERVER_USER_MOVER);
	r = config_run_path(config, POLICYD_SOCKET, path, sizeof(path));
	/* Everyone may connect; who may ask what is decided per request by uid. */
	if (r == 0)
		r = ipc_listen(path, 0666, &s->listen_fd);
	if (r < 0) {
		free(s);
		return kerr_set(err, -r, KCODE_FAILED, "Cannot listen on %s: %s.", path,
				strerror(-r));
	}
	*ret = s;
	return 0;
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->count; i++) {
		close(s->clients[i].fd);
		free(s->clients[i].parked);
	}
	close(s->listen_fd);
	explicit_bzero(s->out, sizeof(s->out));
	free(s);
	return NULL;
}

static void drop(struct server *s, size_t i)
{
	uint64_t id = s->clients[i].id;

	close(s->clients[i].fd);
	free(s->clients[i].parked);
	s->clients[i] = s->clients[--s->count];
	pairdesk_connection_gone(s->policyd->pairdesk, id);
	console_connection_gone(s->policyd->consoles, id);
}

static bool is_stranger(unsigned who)
{
	return who == WHO_ANYONE;
}

static bool has_room(const struct server *s, uid_t uid, unsigned who)
{
	size_t own = 0, strangers = 0;

	for (size_t i = 0; i < s->count; i++) {
		own += s->clients[i].peer.uid == uid;
		strangers += is_stranger(s->clients[i].who);
	}
	if (s->count == CLIENTS_MAX || (is_stranger(who) && strangers >= STRANGERS_MAX))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++)
		if (who & rooms[i].who)
			return own < rooms[i].each;
	return false;
}

/* A flood of connections is none of lines (P10). */
static void complain(struct server *s, uid_t uid)
{
	uint64_t now = clock_ms();

	if (now < s->complain_at)
		return;
	s->complain_at = now + COMPLAIN_MS;
	log_warning("server",
		    "Too many connections; one of uid %u was closed. More of this is not logged "
		    "for a minute.",
		    (unsigned)uid);
}

static void accept_one(struct server *s)
{
	struct ipc_peer peer;
	unsigned who;
	int fd;

	if (ipc_accept(s->listen_fd, &peer, &fd) < 0)
		return;
	who = who_is(s, peer.uid);
	if (!has_room(s, peer.uid, who)) {
		complain(s, peer.uid);
		close(fd);
		return;
	}
	s->clients[s->count++] = (struct client){fd, peer, who, ++s->last_id, NULL};
}

/* 0, or negative to hang up; *ret_later: it has no reply yet. */
static int answer(struct server *s, const struct client *c, struct ipc_msg *msg, bool *ret_later)
{
	struct caller caller = {.core = s->policyd->core,
				.pairdesk = s->policyd->pairdesk,
				.handoffs = s->policyd->handoffs,
				.consoles = s->policyd->consoles,
				.who = c->who,
				.uid = c->peer.uid,
				.connection = c->id};
	int r = dispatch(&caller, c->fd, msg, s->out, sizeof(s->out));

	*ret_later = caller.later;
	return r;
}

static int park(struct client *c, const struct ipc_msg *msg)
{
	struct parked *p = calloc(1, sizeof(*p));

	if (!p || msg->len > sizeof(p->body)) {
		free(p);
		return -ENOMEM;
	}
	p->msg = *msg;
	p->msg.fd = -EBADF;
	p->msg.body = p->body;
	memcpy(p->body, msg->body, msg->len);
	c->parked = p;
	return 0;
}

/* Backwards, because drop() moves the last one into the gap. */
static void answer_parked(struct server *s)
{
	for (size_t i = s->count; i-- > 0;) {
		struct client *c = &s->clients[i];
		bool later = true;

		if (!c->parked)
			continue;
		if (answer(s, c, &c->parked->msg, &later) < 0)
			drop(s, i);
		else if (!later)
			free(TAKE_PTR(c->parked));
	}
}

/* 0 to go on, negative to hang up. */
static int serve(struct server *s, struct client *c)
{
	struct ipc_msg msg = {.fd = -EBADF};
	int r = ipc_recv(c->fd, s->in, &msg);

	if (r == -EAGAIN || r == -EINTR)
		return 0;
	if (r <= 0)
		return -ECONNRESET;
	if (msg.flags || c->parked) {
		r = -EBADMSG; /* people ask, they do not answer; and they wait for what they asked
			       */
	} else {
		bool later;

		r = answer(s, c, &msg, &later);
		if (r == 0 && later)
			r = park(c, &msg);
	}
	ipc_msg_release(&msg);
	explicit_bzero(s->in, sizeof(s->in));
	return r;
}

static int setup_signals(void)
{
	struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};

	if (sigaction(SIGTERM, &stop, NULL) < 0 || sigaction(SIGINT, &stop, NULL) < 0 ||
	    sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	return 0;
}

static void serve_ready(struct server *s, const struct pollfd *fds, size_t count)
{
	/* Backwards, because drop() moves the last one into the gap. */
	for (size_t i = count; i-- > 0;)
		if (fds[i + 1].revents && serve(s, &s->clients[i]) < 0)
			drop(s, i);
	if (fds[0].revents)
		accept_one(s);
}

static int timeout(const struct server *s)
{
	const struct core *core = s->policyd->core;

	return notify_turn(core_audit_tick(s->policyd->core), policyd_state_to_string(core->state));
}

void server_catch_reload(void)
{
	const struct sigaction reload = {.sa_handler = on_reload};

	sigaction(SIGHUP, &reload, NULL);
}

/* Who is connected is who he is by the new file. */
static void reload(struct server *s)
{
	reload_requested = 0;
	config_reload(&s->policyd->core->config, CONFIG_POLICYD);
	uid_of(s->policyd->core->config.owner); /* for its warning */
	for (size_t i = 0; i < s->count; i++)
		s->clients[i].who = who_is(s, s->clients[i].peer.uid);
}

int server_run(struct server *s)
{
	int r = setup_signals();

	while (r == 0 && !stop_requested) {
		struct pollfd fds[CLIENTS_MAX + 1];
		int wait;

		if (reload_requested)
			reload(s);
		wait = timeout(s);
		answer_parked(s);
		fds[0] = (struct pollfd){.fd = s->listen_fd, .events = POLLIN};
		for (size_t i = 0; i < s->count; i++)
			fds[i + 1] = (struct pollfd){.fd = s->clients[i].fd, .events = POLLIN};
		if (poll(fds, s->count + 1, wait) < 0) {
			if (errno != EINTR)
				r = -errno;
			continue;
		}
		serve_ready(s, fds, s->count);
	}
	return r;
}
