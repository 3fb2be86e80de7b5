/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes that do not wait. */
#include "ui-tui/screen/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"

#define LINES_MAX (1u << 20) /* bytes that are not read as a line yet */
#define SELF "/proc/self/exe"

extern char **environ;

static int spawn(const char *const argv[], int in, int out, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return -r;
	if (in < 0)
		r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
						     0);
	else
		r = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY,
						     0);
	if (r == 0)
		r = posix_spawn(ret, SELF, &actions, NULL, (char **)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int child_start(struct child *c, const char *const argv[], bool talk)
{
	int out[2] = {-EBADF, -EBADF}, in[2] = {-EBADF, -EBADF};
	pid_t pid;
	int r = pipe2(out, O_CLOEXEC) < 0 || (talk && pipe2(in, O_CLOEXEC) < 0) ? -errno : 0;

	if (r == 0)
		r = spawn(argv, in[0], out[1], &pid);
	closep(&out[1]);
	closep(&in[0]);
	if (r < 0) {
		closep(&out[0]);
		closep(&in[1]);
		return r;
	}
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	*c = (struct child){.open = true, .pid = pid, .out = out[0], .in = in[1]};
	return 0;
}

void child_tell(const struct child *c, const char *line)
{
	/* A pipe takes a word at once; one that nobody reads any more says so by its end. */
	if (c->open && c->in >= 0 && dprintf(c->in, "%s\n", line) < 0)
		errno = 0;
}

void child_stop(const struct child *c)
{
	if (c->open && c->pid)
		kill(c->pid, SIGTERM);
}

/* All that is there. */
static void read_all(struct child *c)
{
	char piece[4096], *bigger;
	ssize_t n;

	while (c->len < LINES_MAX && (n = read(c->out, piece, sizeof(piece))) > 0) {
		bigger = realloc(c->buf, c->len + (size_t)n);
		if (!bigger)
			return;
		memcpy(bigger + c->len, piece, (size_t)n);
		c->buf = bigger;
		c->len += (size_t)n;
	}
	explicit_bzero(piece, sizeof(piece));
}

bool child_take(struct child *c, json_t **ret)
{
	char *end;

	if (!c->open)
		return false;
	read_all(c);
	while ((end = c->len ? memchr(c->buf, '\n', c->len) : NULL)) {
		size_t used = (size_t)(end - c->buf) + 1;

		*ret = json_loadb(c->buf, used, JSON_REJECT_DUPLICATES, NULL);
		/* A recovery key may have been in it. */
		memmove(c->buf, end + 1, c->len - used);
		explicit_bzero(c->buf + c->len - used, used);
		c->len -= used;
		if (json_is_object(*ret))
			return true;
		json_decref(*ret);
	}
	return false;
}

bool child_ended(struct child *c, int *ret_status)
{
	int status;

	if (!c->open || !c->pid || waitpid(c->pid, &status, WNOHANG) != c->pid)
		return false;
	c->pid = 0;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return true;
}

void child_release(struct child *c)
{
	if (!c->open)
		return;
	child_stop(c);
	while (c->pid && waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (c->buf)
		explicit_bzero(c->buf, c->len);
	free(c->buf);
	closep(&c->out);
	closep(&c->in);
	*c = (struct child){0};
}
