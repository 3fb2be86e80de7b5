/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a definition in place: what roam-xml.c and fit-xml.c do alike. Memory is libxml's. */
#pragma once

#include "mover/filter/xml-filter.h"

int edit_no_memory(struct kerr *err);

/* A definition of at most DOMAIN_XML_MAX bytes; *ret_root is borrowed from *ret. Of what is no such
 * thing filter_parse() has its reason in *err. */
int edit_parse(const char *xml, xmlDoc **ret, xmlNode **ret_root, struct kerr *err);

/* `node` as text, malloced. -ENOMEM. */
int edit_text(xmlNode *node, char **ret, struct kerr *err);

bool edit_is(const xmlNode *node, const char *name);

/* Its child of that name outside of any namespace; NULL. */
xmlNode *edit_child(const xmlNode *node, const char *name);

/* Unlinks and frees. */
void edit_drop(xmlNode *node);

/* A copy of `node` for the document of `into`, which it becomes the last child of. NULL = -ENOMEM.
 */
xmlNode *edit_copy(xmlNode *into, const xmlNode *node);

/* Puts `now` in the place of `old`; either may be NULL. */
int edit_replace(xmlNode *domain, xmlNode *old, xmlNode *now);

/* Kith's own element in <metadata>: looked up (NULL), made, and removed together with a <metadata>
 * that held nothing else. */
xmlNode *edit_note(const xmlNode *domain, const char *ns, const char *name);
xmlNode *edit_note_add(xmlNode *domain, const char *ns, const char *name);
void edit_note_drop(xmlNode *note);
