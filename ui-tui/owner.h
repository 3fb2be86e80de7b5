/* SPDX-License-Identifier: Apache-2.0 */
/* The local user who acts for the owner, as the services will find him. */
#pragma once

#include <stddef.h>

enum owner_kind {
	OWNER_LOCAL,	 /* in /etc/passwd, or a number */
	OWNER_DIRECTORY, /* known to a directory service only: the services do not ask it */
	OWNER_MISSING,	 /* there is no such user, yet */
};

/* Where `name` is known. `ret` is what [people] owner has to be for him: his name, or the number of
 * one from a directory service. */
enum owner_kind owner_look(const char *name, char *ret, size_t size);
