/* SPDX-License-Identifier: Apache-2.0 */
/* Small steps in libxml's tree. */
#include "mover/filter/edit-xml.h"

#include <stdlib.h>
#include <string.h>

#include "mover/filter/domain.h"

static void free_buffer(xmlBuffer **b)
{
	xmlBufferFree(*b);
}

int edit_no_memory(struct kerr *err)
{
	return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
}

int edit_parse(const char *xml, xmlDoc **ret, xmlNode **ret_root, struct kerr *err)
{
	int r = filter_parse(xml, strlen(xml), DOMAIN_XML_MAX, DOMAIN_DEPTH_MAX, "definition", ret,
			     err);

	if (r == 0)
		*ret_root = xmlDocGetRootElement(*ret);
	return r;
}

int edit_text(xmlNode *node, char **ret, struct kerr *err)
{
	_cleanup_(free_buffer) xmlBuffer *text = xmlBufferCreate();

	if (!text || xmlNodeDump(text, node->doc, node, 0, 0) < 0)
		return edit_no_memory(err);
	*ret = strdup((const char *)xmlBufferContent(text));
	return *ret ? 0 : edit_no_memory(err);
}

bool edit_is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

xmlNode *edit_child(const xmlNode *node, const char *name)
{
	for (xmlNode *c = node ? node->children : NULL; c; c = c->next)
		if (!c->ns && edit_is(c, name))
			return c;
	return NULL;
}

void edit_drop(xmlNode *node)
{
	xmlUnlinkNode(node);
	xmlFreeNode(node);
}

xmlNode *edit_copy(xmlNode *into, const xmlNode *node)
{
	xmlNode *copy = xmlDocCopyNode((xmlNode *)(uintptr_t)node, into->doc, 1);

	return copy ? xmlAddChild(into, copy) : NULL;
}

int edit_replace(xmlNode *domain, xmlNode *old, xmlNode *now)
{
	if (!old)
		return !now || xmlAddChild(domain, now) ? 0 : -ENOMEM;
	if (now)
		xmlAddNextSibling(old, now);
	edit_drop(old);
	return 0;
}

xmlNode *edit_note(const xmlNode *domain, const char *ns, const char *name)
{
	const xmlNode *metadata = edit_child(domain, "metadata");

	for (xmlNode *c = metadata ? metadata->children : NULL; c; c = c->next)
		if (edit_is(c, name) && c->ns && c->ns->href &&
		    strcmp((const char *)c->ns->href, ns) == 0)
			return c;
	return NULL;
}

xmlNode *edit_note_add(xmlNode *domain, const char *ns, const char *name)
{
	xmlNode *metadata = edit_child(domain, "metadata");
	xmlNode *note;
	xmlNs *space;

	if (!metadata)
		metadata = xmlNewChild(domain, NULL, BAD_CAST "metadata", NULL);
	note = metadata ? xmlNewChild(metadata, NULL, BAD_CAST name, NULL) : NULL;
	space = note ? xmlNewNs(note, BAD_CAST ns, BAD_CAST "kith") : NULL;
	if (!space)
		return NULL;
	xmlSetNs(note, space);
	return note;
}

void edit_note_drop(xmlNode *note)
{
	xmlNode *metadata = note->parent;

	edit_drop(note);
	if (!xmlFirstElementChild(metadata))
		edit_drop(metadata);
}
