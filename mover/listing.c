/* SPDX-License-Identifier: Apache-2.0 */
/* Asks libvirt which domains there are, answers, and goes. */
#include "mover/listing.h"

#include "base/ipc.h"
#include "base/log.h"
#include "mover/virt.h"
#include "mover/worker.h"

#define SERIAL 1

static uint32_t fill(struct wbuf *w)
{
	_cleanup_(virt_freep) struct virt *v = virt_new();
	_cleanup_free_ struct mover_vm *vms = NULL;
	struct kerr err = {0};
	size_t n = 0, fits = 0;

	if (!v || virt_setup() < 0)
		kerr_set(&err, ENOMEM, KCODE_FAILED, "Out of memory.");
	if (err.code != KCODE_OK || virt_list(v, &vms, &n, &err) < 0) {
		kerr_put(w, &err);
		return IPC_FLAG_ERROR;
	}
	/* One frame holds some 400 VMs: enough for a personal device, and said if not. */
	wbuf_u16(w, 0);
	for (; fits < n; fits++) {
		size_t before = w->len;

		if (mover_vm_put(w, &vms[fits]) < 0) {
			log_warning("mover", "Only %zu of %zu VMs are listed.", fits, n);
			w->len = before;
			w->error = 0;
			break;
		}
	}
	w->data[0] = (uint8_t)fits;
	w->data[1] = (uint8_t)(fits >> 8);
	return 0;
}

int listing_main(void)
{
	static uint8_t body[IPC_MAX_BODY];
	struct wbuf w = wbuf_init(body, sizeof(body));
	uint32_t flags;

	log_setup("kith-mover");
	flags = fill(&w);
	return ipc_send(WORKER_FD, MOVER_OP_VMS, IPC_FLAG_REPLY | flags, SERIAL, body, w.len,
			-EBADF) < 0;
}
