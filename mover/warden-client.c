/* SPDX-License-Identifier: Apache-2.0 */
/* One connection for each call: calls are rare, and a restarted kith-warden is no special case. */
#include "mover/warden-client.h"

#include <string.h>

#include "base/ipc-client.h"

#define TIMEOUT_MS 6000 /* longer than kith-warden's own limits */

static int not_ready(struct kerr *err)
{
	return kerr_set(err, EAGAIN, KCODE_NOT_READY,
			"kith-warden does not answer, and without it no VM may be handed over. "
			"Start kith-warden, then try again.");
}

/* `uuid` NULL: nothing is said, and nothing answered. */
static int warden_ask(const struct config *config, uint16_t op, const uint8_t *uuid,
		      struct warden_answer *ret, struct kerr *err)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	struct warden_vm vm;
	uint8_t body[sizeof(vm)];
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct rbuf r;
	char path[256];
	int e = config_run_path(config, WARDEN_SOCKET, path, sizeof(path));

	if (e == 0)
		e = ipc_client_new(path, &c);
	if (e < 0)
		return not_ready(err);
	if (uuid) {
		memcpy(vm.uuid, uuid, UUID_LEN);
		record_put(&w, &warden_vm_record, &vm);
	}
	e = ipc_call(c, op, &w, TIMEOUT_MS, &r, err);
	if (e < 0)
		return err->code == KCODE_INTERRUPTED ? not_ready(err) : e;
	if ((uuid && record_get(&r, &warden_answer_record, ret) < 0) || rbuf_end(&r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"kith-warden sent an unreadable answer.");
	return 0;
}

static int ask_copy(const struct config *config, uint16_t op, const uint8_t uuid[UUID_LEN],
		    enum warden_copy *ret, struct kerr *err)
{
	struct warden_answer answer;
	int r = warden_ask(config, op, uuid, &answer, err);

	if (r == 0)
		*ret = answer.copy;
	return r;
}

int warden_ping(const struct config *config, struct kerr *err)
{
	return warden_ask(config, WARDEN_OP_PING, NULL, NULL, err);
}

int warden_freeze(const struct config *config, const uint8_t uuid[UUID_LEN], enum warden_copy *ret,
		  struct kerr *err)
{
	return ask_copy(config, WARDEN_OP_FREEZE, uuid, ret, err);
}

int warden_settle(const struct config *config, const uint8_t uuid[UUID_LEN], enum warden_copy *ret,
		  struct kerr *err)
{
	return ask_copy(config, WARDEN_OP_SETTLE, uuid, ret, err);
}
