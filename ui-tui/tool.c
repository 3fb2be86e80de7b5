/* SPDX-License-Identifier: Apache-2.0 */
/* No shell, no PATH of the caller's. */
#include "ui-tui/tool.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"

static bool place(const char *name, char *ret, size_t size)
{
	static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(ret, size, "%s/%s", folders[i], name);
		if (access(ret, X_OK) == 0)
			return true;
	}
	return false;
}

bool tool_there(const char *name)
{
	char path[64];

	return place(name, path, sizeof(path));
}

static int start(const char *path, const char *const argv[], int out, pid_t *ret)
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	int r;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	r = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0 && out >= 0)
		r = -posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (r == 0 && out >= 0)
		r = -posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
						      O_WRONLY, 0);
	if (r == 0)
		r = -posix_spawn(ret, path, &actions, NULL, (char **)(uintptr_t)argv,
				 (char **)(uintptr_t)env);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* Up to its end, or -ETIMEDOUT. What does not fit is read and dropped, so that it can end. */
static int drain(int fd, char *ret, size_t size)
{
	uint64_t end = clock_ms() + TOOL_WAIT_MS;
	size_t len = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = clock_ms();
		char piece[4096];
		ssize_t n;

		if (now >= end || poll(&p, 1, (int)(end - now)) == 0)
			return -ETIMEDOUT;
		n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		n = (ssize_t)MIN_OF((size_t)n, size - 1 - len);
		memcpy(ret + len, piece, (size_t)n);
		len += (size_t)n;
	}
	ret[len] = '\0';
	return 0;
}

static int finish(pid_t pid, int r)
{
	int status;

	if (r < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (r < 0)
		return r;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

int tool_run(const char *const argv[], char *ret, size_t size)
{
	_cleanup_close_ int in = -EBADF;
	int fds[2], r;
	char path[64];
	pid_t pid;

	if (ret)
		*ret = '\0';
	if (!place(argv[0], path, sizeof(path)))
		return -ENOENT;
	if (!ret) {
		r = start(path, argv, -1, &pid);
		return r < 0 ? r : finish(pid, 0);
	}
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	in = fds[0];
	r = start(path, argv, fds[1], &pid);
	close(fds[1]);
	return r < 0 ? r : finish(pid, drain(in, ret, size));
}
