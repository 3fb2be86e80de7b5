/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation under test: what it is fed, and what it wants done. */
#pragma once

#include <glib.h>
#include <string.h>

#include "agent/link.h"

static const uint8_t hid[HID_LEN] = {9};

struct fixture {
	struct link l;
	struct link_actions out;
	int64_t now;
};

static inline void teardown(struct fixture *f, gconstpointer data)
{
	(void)data;
	link_clear(&f->l);
}

static inline void feed(struct fixture *f, enum link_event_kind kind)
{
	struct link_event ev = {.kind = kind};

	link_feed(&f->l, &ev, f->now, &f->out);
}

static inline void feed_error(struct fixture *f, enum link_event_kind kind, enum kcode code)
{
	struct link_event ev = {.kind = kind};

	if (code != KCODE_OK)
		kerr_set(&ev.error, 1, code, "Because.");
	link_feed(&f->l, &ev, f->now, &f->out);
}

static inline void message(struct fixture *f, enum link_kind kind, const char *blob)
{
	struct link_event ev = {.kind = LINK_EV_MESSAGE};

	ev.message = (struct link_message){
		.kind = kind, .blob = (const uint8_t *)blob, .len = strlen(blob)};
	if (kind == LINK_SESSION || kind == LINK_CONSOLE)
		memcpy(ev.message.hid, hid, HID_LEN);
	link_feed(&f->l, &ev, f->now, &f->out);
}

static inline void refused(struct fixture *f, enum kcode code)
{
	uint8_t blob[600];
	struct wbuf w = wbuf_init(blob, sizeof(blob));
	struct link_event ev = {.kind = LINK_EV_MESSAGE};
	struct kerr err = {0};

	kerr_set(&err, 1, code, "The other side says no.");
	kerr_put(&w, &err);
	ev.message = (struct link_message){.kind = LINK_REFUSED, .blob = blob, .len = w.len};
	link_feed(&f->l, &ev, f->now, &f->out);
}

static inline void asked(struct fixture *f, enum conversation_state state, const char *blob)
{
	struct link_event ev = {.kind = LINK_EV_ASKED, .state = state};

	if (state == CONVERSATION_REFUSED)
		kerr_set(&ev.error, 1, KCODE_POLICY, "A rule denies.");
	ev.message.blob = (const uint8_t *)blob;
	ev.message.len = strlen(blob);
	link_feed(&f->l, &ev, f->now, &f->out);
}

static inline const struct link_action *find(struct fixture *f, enum link_act act)
{
	for (size_t i = 0; i < f->out.count; i++)
		if (f->out.list[i].act == act)
			return &f->out.list[i];
	return NULL;
}

static inline const struct link_action *find_talk(struct fixture *f, enum talk_kind talk,
						  enum talk_verb verb)
{
	for (size_t i = 0; i < f->out.count; i++) {
		const struct link_action *a = &f->out.list[i];

		if (a->act == (verb == TALK_END ? LINK_ACT_TALK_END : LINK_ACT_TALK) &&
		    a->talk == talk && a->verb == verb)
			return a;
	}
	return NULL;
}

static inline void expect_talk(struct fixture *f, enum talk_kind talk, enum talk_verb verb)
{
	g_assert_nonnull(find_talk(f, talk, verb));
}

static inline void expect(struct fixture *f, enum link_act act)
{
	g_assert_nonnull(find(f, act));
}

static inline void expect_send(struct fixture *f, enum link_kind kind, const char *blob)
{
	const struct link_action *a = find(f, LINK_ACT_SEND);

	g_assert_nonnull(a);
	if (!a)
		return;
	g_assert_cmpint(a->message.kind, ==, kind);
	if (blob)
		g_assert_cmpmem(a->message.blob, (int)a->message.len, blob, (int)strlen(blob));
}

static inline void expect_over(struct fixture *f, enum kcode code)
{
	const struct link_action *a = find(f, LINK_ACT_RESULT);

	g_assert_nonnull(a);
	if (a)
		g_assert_cmpint(a->error.code, ==, code);
	expect(f, LINK_ACT_FINISH);
	g_assert_cmpint(f->l.step, ==, LINK_OVER);
	/* Over is over. */
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	g_assert_cmpuint(f->out.count, ==, 0);
}
