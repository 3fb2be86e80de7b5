/* SPDX-License-Identifier: Apache-2.0 */
/* Who a user of this computer is, without asking anybody. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* The uid of a user in /etc/passwd, or of a number. False if there is none. No NSS module is asked:
 * foreign code with a network behind it has no place in a process that holds keys, and none of it
 * works behind its system-call filter. Whoever is known to a directory service only is named by
 * his number. */
bool user_find(const char *name, uid_t *ret);
