/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and ends the process of a VM that is handed over while it is switched off. */
#include "mover/off.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "mover/worker.h"

#define SHUTDOWN_MS 180000 /* what a guest may take to shut down */
#define SHUTDOWN_AGAIN_MS 20000
#define SHUTDOWN_LOOK_US 300000
#define FLASH_TOP (1ull << 32) /* below this address QEMU maps the flash of a PC */

int off_pack(struct workplace *p, const struct domain_origin *origin, struct luggage *ret,
	     struct kerr *err)
{
	const struct domain_firmware *fw = &origin->firmware;

	if (fw->vars_size > LUGGAGE_LEN_MAX || fw->code_size > FLASH_TOP / 2)
		return kerr_set(
			err, E2BIG, KCODE_DOMAIN,
			"The VM's UEFI variables are larger than %u KiB; start the VM, then "
			"hand it over.",
			LUGGAGE_LEN_MAX >> 10);
	ret->len = fw->vars_size;
	ret->data = malloc(ret->len);
	if (!ret->data)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	return virt_peek(p->virt, p->uuid, FLASH_TOP - fw->code_size - fw->vars_size, ret->len,
			 ret->data, err);
}

int off_start(struct workplace *p, const char *vehicle, struct kerr *err)
{
	int r;

	p->remnant.off = true;
	r = remnant_write(p->folder, &p->remnant);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Cannot note that the VM is started: %s.",
				strerror(-r));
	/* After a failure the note stays: recovery looks whether something was started. */
	return virt_start_as(p->virt, vehicle, err);
}

/* Asked again and again: a guest that boots does not listen yet. 0 once it is off. */
static int ask_until_off(struct workplace *p, struct kerr *err)
{
	uint64_t end = worker_now_ms() + SHUTDOWN_MS, next = 0;
	struct virt_copy copy = {.state = COPY_RUNS};
	int r = 0;

	while (copy.state != COPY_GONE && worker_now_ms() < end && r == 0) {
		if (copy.state == COPY_RUNS && worker_now_ms() >= next) {
			r = virt_shutdown(p->virt, p->uuid, err);
			next = worker_now_ms() + SHUTDOWN_AGAIN_MS;
		}
		usleep(SHUTDOWN_LOOK_US);
		virt_copy_get(p->virt, p->uuid, &copy);
	}
	if (copy.state == COPY_GONE) {
		kerr_clear(err);
		return 0;
	}
	return r < 0 ? r : -ETIMEDOUT;
}

int off_shut_down(struct workplace *p, struct kerr *err)
{
	int r;

	p->remnant.again_until = (uint64_t)time(NULL) + SHUTDOWN_MS / 1000;
	r = remnant_write(p->folder, &p->remnant);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Cannot note that the VM shuts down: %s.",
				strerror(-r));
	r = ask_until_off(p, err);
	if (r != -ETIMEDOUT)
		return r;
	return kerr_set(err, ETIMEDOUT, KCODE_NOT_RUNNING,
			"The guest of \"%s\" did not shut down within %d minutes, so nothing has "
			"changed. Shut it down by itself and move the VM then, or move it live or "
			"warm.",
			p->remnant.vm, SHUTDOWN_MS / 60000);
}

/* Paused and never run is what the hand-off started of it; one that ran was paused by its owner. */
static int go_on(struct workplace *p, struct kerr *err)
{
	int r = virt_untouched(p->virt, p->uuid, err);

	return r > 0 ? virt_resume(p->virt, p->uuid, err) : r;
}

int off_again(struct workplace *p, struct kerr *err)
{
	struct virt_copy copy;

	virt_copy_get(p->virt, p->uuid, &copy);
	switch (copy.state) {
	case COPY_GONE:
		return copy.defined ? virt_start(p->virt, p->uuid, err) : 0;
	case COPY_PAUSED:
		return go_on(p, err);
	case COPY_RUNS:
		return (uint64_t)time(NULL) < p->remnant.again_until;
	case COPY_HALTED:
		return 0;
	case COPY_UNKNOWN:
	case _COPY_STATE_MAX:
		break;
	}
	return kerr_set(err, EAGAIN, KCODE_INTERRUPTED, "libvirt cannot be asked now.");
}

/* Only a guest that stands still and has done nothing may be ended. */
static int may_end(struct workplace *p, enum copy_state state, struct kerr *err)
{
	switch (state) {
	case COPY_GONE:
		return 1;
	case COPY_PAUSED:
		return virt_untouched(p->virt, p->uuid, err);
	case COPY_RUNS:
	case COPY_HALTED:
		return 0;
	case COPY_UNKNOWN:
	case _COPY_STATE_MAX:
		break;
	}
	return kerr_set(err, EAGAIN, KCODE_INTERRUPTED, "libvirt cannot be asked now.");
}

int off_end(struct workplace *p, struct kerr *err)
{
	struct virt_copy copy;
	int r;

	virt_copy_get(p->virt, p->uuid, &copy);
	r = may_end(p, copy.state, err);
	if (r < 0)
		return r;
	if (r > 0)
		return virt_end(p->virt, p->uuid, err);
	log_notice("off", "The VM \"%s\" ran while it was handed over; it is left as it is.",
		   p->remnant.vm);
	return 1;
}

int off_forget(struct workplace *p)
{
	p->remnant.off = false;
	p->remnant.paused = true;
	return remnant_write(p->folder, &p->remnant);
}
