/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon is found by its socket: who listens there is it, with or without a service manager. */
#include "ui-tui/services.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include "agent/client.h"
#include "base/buf.h"
#include "base/ipc.h"
#include "policyd/api/client.h"
#include "ui-tui/cli.h"

#define TRY_MS 50
#define TRIES 60

enum { POLICYD, KITHD, MOVER, WARDEN };

static const struct {
	const char *name, *socket;
	int type;
	enum config_service bit;
} rows[SERVICES_MAX] = {
	[POLICYD] = {"kith-policyd", POLICYD_SOCKET, SOCK_SEQPACKET, CONFIG_POLICYD},
	[KITHD] = {"kithd", AGENT_SOCKET, SOCK_STREAM, CONFIG_KITHD},
	[MOVER] = {"kith-mover", "mover/mover.sock", SOCK_SEQPACKET, CONFIG_MOVER},
	[WARDEN] = {"kith-warden", "warden/warden.sock", SOCK_SEQPACKET, CONFIG_WARDEN},
};

/* -- who listens -- */

static int knock(const struct cli *cli, int which)
{
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un sa;
	char path[256];
	int r = config_run_path(&cli->config, rows[which].socket, path, sizeof(path));

	if (r == 0)
		r = ipc_address(path, &sa);
	if (r < 0)
		return r;
	/* Without waiting: a daemon with a full queue is no reason to stand still. */
	fd = socket(AF_UNIX, rows[which].type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static enum service_run look_for(const struct cli *cli, int which)
{
	_cleanup_close_ int fd = knock(cli, which);

	if (fd >= 0)
		return SERVICE_RUNS;
	return fd == -ENOENT || fd == -ECONNREFUSED ? SERVICE_AWAY : SERVICE_UNSEEN;
}

/* A process of root with this name. */
static bool root_runs(const char *name)
{
	DIR *all = opendir("/proc");
	const struct dirent *d;
	bool found = false;

	while (all && !found && (d = readdir(all))) {
		_cleanup_close_ int fd = -EBADF;
		char path[288], comm[32] = "";
		struct stat st;

		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		found = fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 0 &&
			read(fd, comm, sizeof(comm) - 1) > 0 &&
			strncmp(comm, name, strlen(name)) == 0 && comm[strlen(name)] == '\n';
	}
	if (all)
		closedir(all);
	return found;
}

/* Two of them write a line about each connection of a user who may ask nothing there, so he finds
 * out without: of kith-mover kithd knows, kith-warden is a process of root. */
static enum service_run look_from_afar(int which, const struct services_said *said)
{
	const json_t *mover = json_object_get(said->agent, "mover");

	if (which == WARDEN)
		return root_runs(rows[which].name) ? SERVICE_RUNS : SERVICE_UNSEEN;
	if (!mover)
		return SERVICE_UNSEEN;
	return json_is_true(mover) ? SERVICE_RUNS : SERVICE_AWAY;
}

/* Whoever made the socket is a process of the daemon's user; by its number alone it could have
 * become another one since, so the process that gets the signal has to be that user's too. */
static void send_reload(const struct cli *cli, int which)
{
	_cleanup_close_ int fd = knock(cli, which), process = -EBADF;
	struct ucred who;
	socklen_t len = sizeof(who);
	struct stat st;
	char path[32];

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return;
	process = (int)syscall(SYS_pidfd_open, who.pid, 0);
	snprintf(path, sizeof(path), "/proc/%d", (int)who.pid);
	if (process >= 0 && stat(path, &st) == 0 && st.st_uid == who.uid)
		syscall(SYS_pidfd_send_signal, process, SIGHUP, NULL, 0);
}

void services_reload(struct cli *cli)
{
	for (int i = 0; i < SERVICES_MAX; i++)
		/* kith-warden takes nothing that can change. */
		if (i != WARDEN)
			send_reload(cli, i);
}

/* -- what they go by -- */

static void set_config(struct service *s, const uint8_t *mark, const uint8_t *theirs,
		       const char *later)
{
	if (memcmp(mark, theirs, CONFIG_MARK_LEN) != 0)
		s->config = SERVICE_CONFIG_UNREAD;
	else
		s->config = *later ? SERVICE_CONFIG_LATER : SERVICE_CONFIG_TAKEN;
	if (s->config == SERVICE_CONFIG_LATER)
		snprintf(s->later, sizeof(s->later), "%s", later);
}

void services_ask(struct cli *cli, struct services_said *ret)
{
	struct services_said said = {0};
	struct ipc_client *policyd;
	struct kerr ignored = {0};

	said.policyd = cli_policyd(cli, &policyd, &ignored) == 0 &&
		       policyd_client_status(policyd, &said.status, &ignored) == 0;
	if (cli_agent(cli, json_pack("{s:s}", "op", "status"), &said.agent, &ignored) < 0)
		said.agent = NULL;
	*ret = said;
}

void services_said_release(struct services_said *said)
{
	json_decref(said->agent);
	said->agent = NULL;
}

static void see_policyd(const struct services_said *said, const uint8_t *mark, struct service *s)
{
	if (said->policyd)
		set_config(s, mark, said->status.config_mark, said->status.config_later);
}

static void see_kithd(const struct services_said *said, const uint8_t *mark, struct service *s)
{
	uint8_t theirs[CONFIG_MARK_LEN];

	if (said->agent &&
	    hex_decode(model_text(said->agent, "config_mark"), theirs, sizeof(theirs)) == 0)
		set_config(s, mark, theirs, model_text(said->agent, "config_later"));
}

/* It has no request for this, but a copy of what it goes by, which changes as a whole. */
static void see_mover(const struct cli *cli, const uint8_t *mark, struct service *s)
{
	struct config theirs, now;
	struct kerr ignored = {0};
	char path[256];

	if (config_run_path(&cli->config, CONFIG_MOVER_COPY, path, sizeof(path)) < 0 ||
	    access(path, R_OK) < 0 || config_load(path, &theirs, &ignored) < 0)
		return;
	set_config(s, mark, theirs.mark, "");
	if (s->config == SERVICE_CONFIG_UNREAD && config_load(cli->path, &now, &ignored) == 0) {
		config_renew(&theirs, &now, CONFIG_MOVER);
		if (*theirs.later)
			set_config(s, mark, mark, theirs.later);
	}
}

void services_look(struct cli *cli, const uint8_t mark[CONFIG_MARK_LEN],
		   const struct services_said *said, struct service ret[SERVICES_MAX])
{
	for (int i = 0; i < SERVICES_MAX; i++) {
		bool afar = (i == MOVER || i == WARDEN) && geteuid() != 0;

		ret[i] = (struct service){.name = rows[i].name, .bit = rows[i].bit};
		ret[i].run = afar ? look_from_afar(i, said) : look_for(cli, i);
	}
	if (!mark)
		return;
	see_policyd(said, mark, &ret[POLICYD]);
	see_kithd(said, mark, &ret[KITHD]);
	if (ret[MOVER].run != SERVICE_AWAY)
		see_mover(cli, mark, &ret[MOVER]);
}

static bool all_read(const struct service list[SERVICES_MAX])
{
	for (int i = 0; i < SERVICES_MAX; i++)
		if (list[i].config == SERVICE_CONFIG_UNREAD)
			return false;
	return true;
}

void services_renew(struct cli *cli, const uint8_t mark[CONFIG_MARK_LEN],
		    struct service ret[SERVICES_MAX])
{
	const struct timespec wait = {.tv_nsec = TRY_MS * 1000000L};

	services_reload(cli);
	for (int i = 0; i < TRIES; i++) {
		struct services_said said;

		services_ask(cli, &said);
		services_look(cli, mark, &said, ret);
		services_said_release(&said);
		if (all_read(ret))
			return;
		nanosleep(&wait, NULL);
	}
}

void services_to_restart(const struct service list[SERVICES_MAX], char *ret, size_t size)
{
	bool paths = false;
	size_t len = 0;

	*ret = '\0';
	for (int i = 0; i < SERVICES_MAX; i++) {
		/* kith-warden says nothing, but uses the same folders. */
		bool also = i == WARDEN && paths && list[i].run != SERVICE_AWAY;

		if (list[i].config != SERVICE_CONFIG_LATER && !also)
			continue;
		paths = paths || strstr(list[i].later, "[paths]");
		len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? " " : "",
					list[i].name);
	}
}
