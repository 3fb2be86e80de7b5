/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt tells drives apart by their target; the rest of a drive it wants to see unchanged. */
#include "mover/filter/discs.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mover/filter/xml-filter.h"

#define XML_MAX (1u << 20)
#define XML_DEPTH_MAX 24

static bool is_drive(const xmlNode *node)
{
	const char *device = filter_prop(node, "device") ?: "";

	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, "disk") == 0 &&
	       (strcmp(device, "cdrom") == 0 || strcmp(device, "floppy") == 0);
}

/* False: it is empty. */
static bool read_drive(const xmlNode *node, struct disc_drive *ret)
{
	static const char *const names[] = {"file", "dev", "name", "volume", "dir"};
	const xmlNode *source = filter_child(node, "source");
	const xmlNode *target = filter_child(node, "target");
	const char *dev = target ? filter_prop(target, "dev") : NULL, *what = NULL;

	for (size_t i = 0; source && !what && i < ARRAY_SIZE(names); i++)
		what = filter_prop(source, names[i]);
	if (!what || !dev || strlen(dev) > DOMAIN_TARGET_MAX)
		return false;
	snprintf(ret->target, sizeof(ret->target), "%s", dev);
	snprintf(ret->what, sizeof(ret->what), "%s",
		 text_is_name(what, DOMAIN_PATH_MAX) ? what : "?");
	return true;
}

static int parse(const char *xml, xmlDoc **doc, xmlNode **ret_first)
{
	struct kerr ignored = {0};
	const xmlNode *devices;

	if (filter_parse(xml, strlen(xml), XML_MAX, XML_DEPTH_MAX, "VM", doc, &ignored) < 0)
		return -EBADMSG;
	devices = filter_child(xmlDocGetRootElement(*doc), "devices");
	*ret_first = devices ? devices->children : NULL;
	return 0;
}

int discs_read(const char *xml, struct disc_drive ret[DISCS_MAX], size_t *ret_n)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	xmlNode *first;
	size_t n = 0;
	int r = parse(xml, &doc, &first);

	if (r < 0)
		return r;
	for (const xmlNode *c = first; c && n < DISCS_MAX; c = c->next)
		n += is_drive(c) && read_drive(c, &ret[n]);
	*ret_n = n;
	return 0;
}

static bool has_disc(const xmlNode *node, const struct disc_drive *disc)
{
	struct disc_drive found;

	return is_drive(node) && read_drive(node, &found) &&
	       strcmp(found.target, disc->target) == 0 && strcmp(found.what, disc->what) == 0;
}

static void empty(xmlNode *drive)
{
	static const char *const gone[] = {"source", "backingStore"};

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		for (xmlNode *c = drive->children, *next; c; c = next) {
			next = c->next;
			if (c->type != XML_ELEMENT_NODE ||
			    strcmp((const char *)c->name, gone[i]) != 0)
				continue;
			xmlUnlinkNode(c);
			xmlFreeNode(c);
		}
}

static int print(xmlNode *node, char **ret)
{
	xmlBuffer *text = xmlBufferCreate();
	int r = text && xmlNodeDump(text, node->doc, node, 0, 0) >= 0 ? 0 : -ENOMEM;

	if (r == 0)
		*ret = strdup((const char *)xmlBufferContent(text));
	if (r == 0 && !*ret)
		r = -ENOMEM;
	xmlBufferFree(text);
	return r;
}

int discs_without(const char *xml, const struct disc_drive *disc, char **ret)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	xmlNode *first;
	int r = parse(xml, &doc, &first);

	if (r < 0)
		return r;
	for (xmlNode *c = first; c; c = c->next)
		if (has_disc(c, disc)) {
			empty(c);
			return print(c, ret);
		}
	return -ENOENT;
}
