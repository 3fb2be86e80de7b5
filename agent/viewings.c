/* SPDX-License-Identifier: Apache-2.0 */
/* Two rings, so that what peers ask for pushes out nothing that the owner asked for. */
#include "agent/viewings.h"

#include <stdlib.h>
#include <string.h>

struct viewings {
	struct {
		struct viewing list[VIEWINGS_MAX];
		size_t next;
	} kinds[2]; /* by `viewer` */
};

struct viewings *viewings_new(void)
{
	return calloc(1, sizeof(struct viewings));
}

struct viewings *viewings_free(struct viewings *c)
{
	free(c);
	return NULL;
}

struct viewing *viewings_find(struct viewings *c, const uint8_t hid[HID_LEN], bool viewer)
{
	static const uint8_t none[HID_LEN];

	for (size_t i = 0; memcmp(hid, none, HID_LEN) != 0 && i < VIEWINGS_MAX; i++)
		if (memcmp(c->kinds[viewer].list[i].hid, hid, HID_LEN) == 0)
			return &c->kinds[viewer].list[i];
	return NULL;
}

struct viewing *viewings_add(struct viewings *c, const uint8_t hid[HID_LEN], bool viewer,
			     const uint8_t peer[DEVICE_ID_LEN])
{
	struct viewing *e = viewings_find(c, hid, viewer);

	if (!e)
		e = &c->kinds[viewer].list[c->kinds[viewer].next++ % VIEWINGS_MAX];
	*e = (struct viewing){.viewer = viewer};
	memcpy(e->hid, hid, HID_LEN);
	memcpy(e->peer, peer, DEVICE_ID_LEN);
	return e;
}
