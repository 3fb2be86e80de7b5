/* SPDX-License-Identifier: Apache-2.0 */
/* A walk through the whole tree: an element that is not known here may name a file too. */
#include "mover/filter/mention.h"

#include <string.h>

#include "mover/filter/xml-filter.h"

#define MENTION_XML_MAX (4u << 20)
#define MENTION_DEPTH_MAX 200 /* a chain of images is told as deep as it is */

static int read_document(const char *xml, xmlDoc **ret)
{
	struct kerr ignored = {0};

	return filter_parse(xml, strlen(xml), MENTION_XML_MAX, MENTION_DEPTH_MAX, "document", ret,
			    &ignored) < 0
		       ? -EBADMSG
		       : 0;
}

static bool is_named(const char *text, mention_fn fn, void *ctx)
{
	return text && strchr(text, '/') && fn(ctx, text);
}

/* The next node in document order. */
static const xmlNode *next_node(const xmlNode *node)
{
	if (node->type == XML_ELEMENT_NODE && node->children)
		return node->children;
	while (node && !node->next)
		node = node->parent && node->parent->type == XML_ELEMENT_NODE ? node->parent : NULL;
	return node ? node->next : NULL;
}

static bool names_one(const xmlNode *node, mention_fn fn, void *ctx)
{
	if (node->type != XML_ELEMENT_NODE)
		return false;
	for (const xmlAttr *a = node->properties; a; a = a->next)
		if (is_named(filter_prop(node, (const char *)a->name), fn, ctx))
			return true;
	return is_named(filter_text_of(node), fn, ctx);
}

int mention_any(const char *xml, mention_fn fn, void *ctx)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	int r = read_document(xml, &doc);

	if (r < 0)
		return r;
	for (const xmlNode *n = xmlDocGetRootElement(doc); n; n = next_node(n))
		if (names_one(n, fn, ctx))
			return 1;
	return 0;
}

static bool is_called(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static bool chain_unknown(const xmlNode *disk)
{
	const xmlNode *driver = filter_child(disk, "driver");
	const char *type = driver ? filter_prop(driver, "type") : NULL;

	return !(type && strcmp(type, "raw") == 0) && !filter_child(disk, "backingStore");
}

int mention_unknown_chain(const char *xml, mention_fn fn, void *ctx)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	int r = read_document(xml, &doc);

	if (r < 0)
		return r;
	for (const xmlNode *n = xmlDocGetRootElement(doc); n; n = next_node(n)) {
		const xmlNode *source = is_called(n, "disk") ? filter_child(n, "source") : NULL;

		if (source && chain_unknown(n) && is_named(filter_prop(source, "file"), fn, ctx))
			return 1;
	}
	return 0;
}
