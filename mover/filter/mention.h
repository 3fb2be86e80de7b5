/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of this host a document of the local libvirt names. */
#pragma once

#include <stdbool.h>

#include "base/kerr.h"

/* Looks at one value that has a slash in it. True ends the walk. */
typedef bool (*mention_fn)(void *ctx, const char *value);

/* Every attribute and every text of the document, whatever the element: 1 if `fn` said true, 0 if
 * it never did, -EBADMSG if the document cannot be read. */
int mention_any(const char *xml, mention_fn fn, void *ctx);

/* The files of a domain's disks that may stand on another image without the document saying so:
 * those of another format than raw, without <backingStore>. As mention_any(). */
int mention_unknown_chain(const char *xml, mention_fn fn, void *ctx);
