/* SPDX-License-Identifier: Apache-2.0 */
/* A text in the person's own editor. */
#pragma once

#include <sys/types.h>

#define EDITOR_PATH_MAX 32

/* Writes `text` to a new file that only this user reads; the caller removes it. Negative errno, and
 * then there is none. */
int editor_draft(const char *text, char ret_path[EDITOR_PATH_MAX]);

/* Starts $VISUAL, $EDITOR or Debian's `editor` on it, in this terminal. Negative errno. */
int editor_start(const char *path, pid_t *ret);
