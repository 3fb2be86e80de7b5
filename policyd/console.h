/* SPDX-License-Identifier: Apache-2.0 */
/* Consoles: who may see a VM's screen and type on its keyboard, from which device, until when. */
#pragma once

#include "attest/session.h"
#include "policyd/api/proto.h"

struct core;
struct consoles;

int consoles_new(struct core *core, struct consoles **ret);
struct consoles *consoles_free(struct consoles *c);

/* The owner, at this device, wants a console. Where the VM is here the policy decides now, and the
 * console can be taken for half a minute; where another device holds it the wish is remembered for
 * a minute, and that device decides. Both are in the audit log. */
int console_request(struct consoles *c, const struct policyd_console_wish *wish,
		    struct policyd_console_place *ret, struct kerr *err);

/* The conversation with the policyd of the device that holds the VM, carried by kithd. The one that
 * wants to see proves itself before anything of the guest leaves, as a destination does; its wish
 * is sealed. */
enum conversation_state console_session_start(struct consoles *c, const uint8_t hid[HID_LEN],
					      const uint8_t exporter[EXPORTER_LEN],
					      struct wbuf *out, struct kerr *err);
enum conversation_state console_session_step(struct consoles *c, const uint8_t hid[HID_LEN],
					     const uint8_t peer[DEVICE_ID_LEN],
					     const uint8_t exporter[EXPORTER_LEN],
					     const uint8_t *data, size_t len, struct wbuf *out,
					     struct kerr *err);
/* That channel is gone; another one's end is nothing to the console (M10). */
void console_session_end(struct consoles *c, const uint8_t hid[HID_LEN],
			 const uint8_t exporter[EXPORTER_LEN]);

/* Gives the mover what it needs, once; the caller wipes *ret. The console is open as long as this
 * connection is. */
int console_take(struct consoles *c, const uint8_t hid[HID_LEN], uint64_t connection,
		 struct policyd_console_grant *ret, struct kerr *err);

/* May an open one go on? The same decision by what is so now: policy, custody, the last verdict. */
int console_check(struct consoles *c, const uint8_t hid[HID_LEN], uint64_t connection,
		  struct kerr *err);

/* What this connection had open has ended: an audit record. Between requests only, as it commits.
 */
void console_connection_gone(struct consoles *c, uint64_t connection);
