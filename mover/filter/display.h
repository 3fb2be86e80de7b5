/* SPDX-License-Identifier: Apache-2.0 */
/* What of a running VM can be seen: the display and the serial console of its document. */
#pragma once

#include "base/kerr.h"

#define DISPLAY_ALIAS_MAX 63

enum display_graphics {
	DISPLAY_NONE,
	DISPLAY_VNC,
	DISPLAY_SPICE,
	DISPLAY_OTHER, /* libvirt hands no connection to it out */
};

struct display {
	enum display_graphics graphics;	    /* of the first <graphics> */
	char serial[DISPLAY_ALIAS_MAX + 1]; /* alias of the first port with a terminal; "" = none */
};

/* Of the live document of the local libvirt. -EBADMSG if it cannot be read. */
int display_read(const char *xml, struct display *ret);
