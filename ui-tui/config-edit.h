/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of single lines in the text of kith.conf; all else stays as its owner wrote it. Pure. */
#pragma once

#include <stddef.h>

#include "base/kerr.h"

/* The value that counts for this key, malloced, and its line (from 1); -ENOENT if it is not set. */
int config_edit_find(const char *text, const char *section, const char *key, char **ret,
		     unsigned *ret_line);

/* The text with this key set: in its line if it has one, else behind its commented default, else at
 * the end of its section, else in a new section at the end. Malloced. The value has to be one line
 * without blanks around it (-EINVAL). */
int config_edit_set(const char *text, const char *section, const char *key, const char *value,
		    char **ret);

/* The text without the lines of this key, malloced; -ENOENT if there is none. */
int config_edit_unset(const char *text, const char *section, const char *key, char **ret);

/* The row "SECTION.KEY" of the table of keys; -ENOENT with a sentence that names the nearest. */
struct config_key;
int config_edit_key(const char *word, const struct config_key **ret, struct kerr *err);
