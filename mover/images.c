/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-off's note goes last, so that a crash forgets no image. */
#include "mover/images.h"

#include <string.h>

#include "base/log.h"
#include "mover/disk.h"

static int drop_one(struct workplace *p, const struct remnant_image *image, struct kerr *err)
{
	struct kerr why = {0};
	int r;

	if (!image->made) {
		log_notice("images", "The VM moved away; its old image %s is not Kith's and stays.",
			   image->path);
		return 0;
	}
	r = disk_remove(p->virt, p->folder, image->path, &why);
	if (r == 0 || r == -ENOENT)
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
	for (size_t i = 0; i < p->remnant.count; i++) {
		int r = drop_one(p, &p->remnant.images[i], err);

		if (r < 0)
			return r;
	}
	remnant_remove(p->folder, p->hid);
	return 0;
}
