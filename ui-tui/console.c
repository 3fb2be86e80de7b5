/* SPDX-License-Identifier: Apache-2.0 */
/* Where a console is opened, and where it goes on when the VM moved. */
#include "ui-tui/console.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "policyd/api/client.h"

#define FOLLOW_STEP_MS 200
#define FOLLOW_MS 120000 /* for a hand-off to end */

volatile sig_atomic_t console_stop;

/* The device that has the VM is asked by its own policyd's rules. */
static int ask_holder(struct console *c, struct kerr *err)
{
	char hid[2 * HID_LEN + 1], device[2 * DEVICE_ID_LEN + 1];
	json_t *result;
	int r;

	hex_encode(c->place.hid, HID_LEN, hid);
	hex_encode(c->place.device, DEVICE_ID_LEN, device);
	r = cli_agent(c->cli,
		      json_pack("{s:s, s:s, s:s}", "op", "console", "hid", hid, "device", device),
		      &result, err);
	if (r == 0)
		json_decref(result);
	return r;
}

int console_open(struct console *c, struct kerr *err)
{
	struct ipc_client *policyd;
	int r = cli_policyd(c->cli, &policyd, err);

	if (r == 0)
		r = policyd_client_console_request(policyd, &c->wish, &c->place, err);
	if (r == 0 && !c->place.here)
		r = ask_holder(c, err);
	return r < 0 ? r
		     : console_client_open(&c->cli->config, c->place.hid, &c->display, &c->life,
					   err);
}

void console_close(struct console *c)
{
	closep(&c->life);
	c->life = -EBADF;
}

/* What policyd knows of the VM now. */
static int where(struct console *c, struct policyd_vm *ret, struct kerr *err)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	struct ipc_client *policyd;
	size_t n = 0;
	int r = cli_policyd(c->cli, &policyd, err);

	if (r == 0)
		r = policyd_client_vms(policyd, &vms, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (memcmp(vms[i].uuid, c->wish.uuid, UUID_LEN) == 0) {
			*ret = vms[i];
			return 0;
		}
	return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "\"%s\" is not in Kith's care any more.",
			c->vm);
}

static bool is_elsewhere(const struct console *c, const struct policyd_vm *vm)
{
	return vm->here != c->place.here ||
	       (!vm->here && memcmp(vm->holder, c->place.device, DEVICE_ID_LEN) != 0);
}

int console_follow(struct console *c, bool (*leave)(void *ctx, int timeout_ms), void *ctx,
		   struct kerr *err)
{
	uint64_t end = clock_ms() + FOLLOW_MS;
	struct policyd_vm vm = {0};
	int r;

	console_close(c);
	while ((r = where(c, &vm, err)) == 0 && vm.open && clock_ms() < end)
		if (leave(ctx, FOLLOW_STEP_MS))
			return kerr_set(err, ECANCELED, KCODE_CANCELLED, "The console was left.");
	if (r < 0)
		return r;
	if (!is_elsewhere(c, &vm))
		return kerr_set(err, EREMOTEIO, c->end.code, "%s", c->end.text);
	c->wish.force = 0;
	return console_open(c, err);
}
