/* SPDX-License-Identifier: Apache-2.0 */
/* A person at the screen, without a terminal: facts and keys in, characters and wishes out. */
#pragma once

#include "ui-tui/model/draw.h"

#define DESK_TIME 1800000000 /* what the clock of every desk says, Unix seconds */
#define DESK_WORK "00112233445566778899aabbccddeeff"
#define DESK_DESKTOP "aa112233445566778899aabbccddeeffaa112233445566778899aabbccddeeff"
#define DESK_LONG "a-name-that-is-as-long-as-a-name-may-be-and-so-fits-nowhere"

struct desk {
	struct state state;
	struct ui ui;
	struct canvas canvas;
};

/* Laptop of Tom: "work" is here, "mail" is on "desktop", a third VM is not known; a stranger is in
 * sight. */
void desk_begin(struct desk *d, bool read_only);
void desk_end(struct desk *d);

/* Hands the JSON to one of the state_take_*(). */
void desk_take(struct desk *d, void (*fn)(struct state *s, const json_t *v), const char *text);

/* Types; '\n' is Enter, '\t' is Tab, '\033' is Esc. */
void desk_press(struct desk *d, const char *keys);
/* The next wish of that kind; those before it are dropped. False if there is none. */
bool desk_wished(struct desk *d, enum wish_kind kind, struct wish *ret);

/* Answers the plan that is asked for: it is allowed. Warm is not possible if that says why. */
void desk_plan(struct desk *d);
void desk_plan_of(struct desk *d, bool off, const char *why_not_warm);

void desk_draw(struct desk *d, unsigned columns, unsigned lines);
/* What was drawn in a line, malloced by GLib. */
char *desk_line(const struct desk *d, unsigned line);
/* Whether it stands in one line of what was drawn. */
bool desk_shows(const struct desk *d, const char *what);
