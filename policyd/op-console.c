/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about consoles: the owner's wish, and what the mover opens. */
#include "policyd/console.h"
#include "policyd/dispatch.h"

OP_HANDLER(op_console_request)
{
	return console_request(caller->consoles, request, reply, err);
}

OP_HANDLER(op_console_take)
{
	const struct policyd_hid *q = request;

	return console_take(caller->consoles, q->hid, caller->connection, reply, err);
}

OP_HANDLER(op_console_check)
{
	const struct policyd_hid *q = request;

	return console_check(caller->consoles, q->hid, caller->connection, err);
}
