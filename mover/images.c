/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing is forgotten: what is not removed is noted before the hand-off's own note goes. */
#include "mover/images.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "mover/disk.h"
#include "mover/stale.h"

static int note_stale(struct workplace *p, const struct remnant_image *image)
{
	const struct remnant *note = &p->remnant;
	struct stale s = {.time = clock_unix(), .made = image->made};

	memcpy(s.uuid, note->uuid, UUID_LEN);
	memcpy(s.peer, note->peer, DEVICE_ID_LEN);
	memcpy(s.vm, note->vm, sizeof(s.vm));
	memcpy(s.peer_name, note->peer_name, sizeof(s.peer_name));
	memcpy(s.path, image->path, sizeof(s.path));
	return stale_write(p->folder, &s);
}

static int keep_stale(struct workplace *p, const struct remnant_image *image, struct kerr *err)
{
	int r = note_stale(p, image);

	if (r < 0)
		return kerr_set(err, EAGAIN, KCODE_FAILED,
				"Cannot note that the image %.300s stays: %s.", image->path,
				strerror(-r));
	log_notice("images", "The VM \"%s\" is elsewhere; the image %s stays (see `kith disks`).",
		   p->remnant.vm, image->path);
	return 0;
}

static int drop_one(struct workplace *p, const struct remnant_image *image, struct kerr *err)
{
	struct kerr why = {0};
	int r;

	if (!image->made)
		return keep_stale(p, image, err);
	r = disk_remove(p->virt, p->folder, image->path, &why);
	if (r == 0 || r == -ENOENT)
		return 0;
	if (why.code == KCODE_INTERRUPTED) { /* libvirtd will be back */
		*err = why;
		return -EAGAIN;
	}
	log_warning("images", "%s", why.text);
	if (r == -EPERM) /* somebody else's, against all odds */
		return 0;
	return keep_stale(p, image, err);
}

/* What libvirt made beside the images, for a copy that never became this device's VM. */
static int drop_state(struct workplace *p, struct kerr *err)
{
	struct kerr why = {0};

	if (p->remnant.source || !p->remnant.xml ||
	    virt_discard(p->virt, p->remnant.xml, &why) == 0)
		return 0;
	if (why.code == KCODE_INTERRUPTED) { /* libvirtd will be back */
		*err = why;
		return -EAGAIN;
	}
	log_warning("images", "%s", why.text);
	return 0;
}

int images_drop(struct workplace *p, struct kerr *err)
{
	int state = drop_state(p, err);

	if (state < 0)
		return state;
	for (size_t i = 0; i < p->remnant.count; i++) {
		int r = drop_one(p, &p->remnant.images[i], err);

		if (r < 0)
			return r;
	}
	remnant_remove(p->folder, p->hid);
	return 0;
}
