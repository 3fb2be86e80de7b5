/* SPDX-License-Identifier: Apache-2.0 */
/* A look at <devices>; nothing of it goes anywhere else. */
#include "mover/filter/display.h"

#include <string.h>

#include "mover/filter/xml-filter.h"

#define DISPLAY_XML_MAX (4u << 20)
#define DISPLAY_DEPTH_MAX 64

static bool is_called(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static enum display_graphics graphics_of(const xmlNode *node)
{
	const char *type = filter_prop(node, "type");

	if (type && strcmp(type, "vnc") == 0)
		return DISPLAY_VNC;
	return type && strcmp(type, "spice") == 0 ? DISPLAY_SPICE : DISPLAY_OTHER;
}

/* libvirt opens what QEMU has as a terminal or as a socket that it listens on; a <console> beside
 * the port that it is says the same again. */
static void take_serial(const xmlNode *node, struct display *ret)
{
	const char *type = filter_prop(node, "type");
	const xmlNode *alias = filter_child(node, "alias");
	const char *name = alias ? filter_prop(alias, "name") : NULL;

	if (ret->serial[0] || !type || strcmp(type, "pty") != 0 || !name ||
	    strlen(name) > DISPLAY_ALIAS_MAX)
		return;
	memcpy(ret->serial, name, strlen(name) + 1);
}

int display_read(const char *xml, struct display *ret)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct display d = {0};
	struct kerr ignored = {0};
	const xmlNode *devices;

	if (filter_parse(xml, strlen(xml), DISPLAY_XML_MAX, DISPLAY_DEPTH_MAX, "domain", &doc,
			 &ignored) < 0)
		return -EBADMSG;
	devices = filter_child(xmlDocGetRootElement(doc), "devices");
	for (const xmlNode *n = devices ? devices->children : NULL; n; n = n->next) {
		if (is_called(n, "graphics") && d.graphics == DISPLAY_NONE)
			d.graphics = graphics_of(n);
		else if (is_called(n, "serial") || is_called(n, "console"))
			take_serial(n, &d);
	}
	*ret = d;
	return 0;
}
