/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about an error, for the command that met it: nobody is told of a machine by a command
 * that knows none, and who may use Kith is said with the file, the key and the user. */
#pragma once

#include <stddef.h>

#include "base/advice.h"
#include "ui-tui/commands.h"

struct next_facts {
	const struct command *command; /* NULL: none was given */
	const char *path;	       /* the configuration */
	const char *owner;	       /* [people] owner in it */
	bool may;		       /* this user is that one, or root: he is not why */
};

/* A sentence, "" where there is none. */
void next_step(const struct next_facts *f, enum kcode code, char *ret, size_t size);
