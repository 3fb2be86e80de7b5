/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the system that `kith` asks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define TOOL_WAIT_MS 5000 /* then it is killed */

/* Whether this program is in one of the system's folders. */
bool tool_there(const char *name);

/* Runs it from one of the system's folders, whatever PATH says, with a bare environment, and reads
 * what it writes to standard output, cut to `size`. Its exit status; -ENOENT if it is not
 * installed, -ETIMEDOUT, or another negative errno. `ret` NULL: it writes to ours. */
int tool_run(const char *const argv[], char *ret, size_t size);
