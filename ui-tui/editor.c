/* SPDX-License-Identifier: Apache-2.0 */
/* Drafts, and the editor that shows them. */
#include "ui-tui/editor.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"

extern char **environ;

int editor_draft(const char *text, char ret_path[EDITOR_PATH_MAX])
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	snprintf(ret_path, EDITOR_PATH_MAX, "/tmp/kith-policy-XXXXXX");
	fd = mkostemp(ret_path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, text, strlen(text));
	if (r < 0)
		unlink(ret_path);
	return r;
}

int editor_start(const char *path, pid_t *ret)
{
	/* With the words that he gave it. */
	static const char script[] = "eval \"${VISUAL:-${EDITOR:-editor}} \\\"\\$1\\\"\"";
	const char *const argv[] = {"sh", "-c", script, "kith", path, NULL};

	return -posix_spawn(ret, "/bin/sh", NULL, NULL, (char **)(uintptr_t)argv, environ);
}
