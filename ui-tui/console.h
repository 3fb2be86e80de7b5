/* SPDX-License-Identifier: Apache-2.0 */
/* An open console, as the terminal and the viewer have it. */
#pragma once

#include <signal.h>

#include "mover/console-client.h"
#include "ui-tui/cli.h"

struct console {
	struct cli *cli;
	struct policyd_console_wish wish;
	char vm[NAME_MAX_LEN + 1];
	/* Where it is seen now. */
	struct policyd_console_place place;
	enum mover_display display;
	int life; /* readable when it ended; -EBADF: not open */
	struct kerr end;
};

/* Opens it where the VM is now. */
int console_open(struct console *c, struct kerr *err);
void console_close(struct console *c);

/* It ended by itself: `c->end` says why. Waits, while a hand-off of the VM goes on, and opens it
 * where the VM then is: 0. Negative with *err if the VM went nowhere, or somebody wants to leave:
 * `leave` is asked now and then, and may take its time. */
int console_follow(struct console *c, bool (*leave)(void *ctx, int timeout_ms), void *ctx,
		   struct kerr *err);

/* A signal asks this program to end. */
extern volatile sig_atomic_t console_stop;

/* Until it is left or ends. */
int console_terminal(struct console *c, struct kerr *err);
int console_viewer(struct console *c, bool print, struct kerr *err);
