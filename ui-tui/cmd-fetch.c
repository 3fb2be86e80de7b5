/* SPDX-License-Identifier: Apache-2.0 */
/* `kith fetch`: a VM comes to where its owner is. */
#include <poll.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "policyd/api/client.h"
#include "ui-tui/follow.h"

#define LOOK_MS 200    /* at the other device's answer, for a minute at most */
#define BEGIN_MS 60000 /* in which a device that agreed has to begin */

/* Until the device that has it answered: 0 and the hand-off that brings it. */
static int wait_answer(struct cli *cli, const uint8_t wish[HID_LEN], uint8_t ret_hid[HID_LEN],
		       struct kerr *err)
{
	struct policyd_fetched now = {.state = FETCH_ASKING};

	while (now.state == FETCH_ASKING) {
		int r;

		if (!cli_left(cli, LOOK_MS))
			return kerr_set(err, EAGAIN, KCODE_BUSY,
					"--timeout ends the wait; if the other device is heard "
					"within a minute, the VM still comes.");
		poll(NULL, 0, LOOK_MS);
		r = policyd_client_fetch_status(cli->policyd, wish, &now, err);
		if (r < 0)
			return r;
	}
	if (now.state == FETCH_STAYS)
		return kerr_set(err, EREMOTEIO, now.reason.code, "%s", now.reason.text);
	memcpy(ret_hid, now.hid, HID_LEN);
	return 0;
}

static int follow_arrival(struct cli *cli, struct moving *m, struct kerr *err)
{
	_cleanup_(followed_release) struct followed seen = FOLLOWED_NONE;
	uint64_t until = clock_ms() + BEGIN_MS;
	int r = 0;

	follow_begin(cli, m);
	while (r == 0 && m->step != MOVING_OVER) {
		r = follow_step(cli, m, &seen, err);
		if (r == 0 && !seen.last && clock_ms() > until)
			r = kerr_set(err, EHOSTUNREACH, KCODE_UNREACHABLE,
				     "The other device agreed, and did not begin. Is `kithd` there "
				     "well (`kith doctor`)?");
	}
	return r < 0 ? r : follow_end(cli, m, err);
}

int cmd_fetch(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	const char *rung = cli->given[OPT_RUNG];
	struct moving m = {.step = MOVING_FOLLOW, .target = {.rung = MOVE_RUNG_ANY}};
	uint8_t wish[HID_LEN], hid[HID_LEN];
	struct ipc_client *policyd;
	int r = cli_policyd(cli, &policyd, err);

	if (rung)
		m.target.rung = (enum move_rung)move_rung_from_string(rung);
	if (r == 0)
		r = cli_find_vm(cli, argv[0], m.target.uuid, m.target.vm, err);
	/* Listen first, as it may come at once. */
	if (r == 0)
		r = cli_watch(cli, err);
	if (r < 0)
		return r;
	r = policyd_client_fetch(policyd, m.target.uuid, m.target.rung, wish, err);
	if (r == 0 && !cli->json)
		printf("Asking for \"%s\" ...\n", m.target.vm);
	fflush(stdout);
	if (r == 0)
		r = wait_answer(cli, wish, hid, err);
	if (r < 0)
		return r;
	hex_encode(hid, HID_LEN, m.hid);
	return follow_arrival(cli, &m, err);
}
