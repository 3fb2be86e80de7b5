/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of the screen: facts in, rows out, in the order in which people look for them. */
#pragma once

#include "ui-tui/model/state.h"

enum list_kind {
	LIST_VMS,
	LIST_TARGETS, /* devices as places to move to */
	LIST_DEVICES,
	LIST_JOBS,
	LIST_LOG,
	LIST_POLICIES, /* VMs */
	LIST_CHECKS,
	LIST_PEOPLE,
	LIST_STRANGERS, /* devices that are not paired */
	_LIST_MAX,
};

struct row {
	char key[MODEL_ID_TEXT]; /* what stays the same when the list changes */
	char mark;		 /* says in a glyph what the style says in a colour */
	enum style style;
	char name[NAME_MAX_LEN + 1];
	char text[2 * KERR_TEXT_MAX];
};

struct rows {
	struct row *row;
	size_t count;
	size_t hidden; /* left out by the filter */
};

/* The rows in which `filter` is, whatever its case; "" = all. */
void rows_make(const struct state *s, enum list_kind kind, const char *filter, struct rows *ret);
void rows_release(struct rows *r);

/* What to say where a list is empty. */
const char *rows_none(enum list_kind kind);
