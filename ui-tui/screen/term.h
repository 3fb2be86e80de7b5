/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal: the only user of ncurses. Whatever ends this program gives it back as it was. */
#pragma once

#include "base/kerr.h"
#include "ui-tui/model/canvas.h"

/* What signals told since the last look, a bit each. */
#define TERM_RESIZED 1u
#define TERM_STOP 2u  /* Ctrl-Z */
#define TERM_END 4u   /* Ctrl-C, SIGTERM, the terminal is gone */
#define TERM_CHILD 8u /* a child process ended */

/* Whether TERM names a terminal on which a cursor can be moved. */
bool term_can(void);

/* Takes over the screen. NOT_READY with a sentence if it cannot. */
int term_open(struct kerr *err);
/* Gives it back; if a signal other than Ctrl-C ended this, that signal does so now. */
void term_close(void);

/* To let another program have it, and to take it back. Meanwhile the keys that end or stop are that
 * program's. */
void term_leave(void);
void term_return(void);
/* Gives it back and stops, as Ctrl-Z wants it; takes it back when the shell lets it go on. */
void term_stop(void);

/* Becomes readable when a signal came. */
int term_signal_fd(void);
unsigned term_signals(void);

/* After TERM_RESIZED. */
void term_size(unsigned *ret_lines, unsigned *ret_columns);

void term_draw(const struct canvas *c, bool anew);
/* Clicks and the wheel come as keys, and the terminal's own selection needs Shift; or not. */
void term_mouse(bool on);
/* Where the last PRESS_CLICK was. */
void term_clicked(unsigned *ret_line, unsigned *ret_column);

/* A character, an enum press, 0 for keys that mean nothing here, or -1: none now. */
int term_key(void);
