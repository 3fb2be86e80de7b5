/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation of two kithds before a console: the same machine as for a hand-off. */
#include "tests/unit/link-fixture.h"

static void setup(struct fixture *f, gconstpointer data)
{
	enum link_role role = (enum link_role)GPOINTER_TO_INT(data);

	link_clear(&f->l);
	f->now = 1000000;
	link_init(&f->l, role, role == LINK_ROLE_VIEWER ? hid : NULL, f->now);
	link_set_known(&f->l, true);
}

static void test_viewer(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	expect_talk(f, TALK_CONSOLE, TALK_START);
	asked(f, CONVERSATION_SEND, "blob1");
	expect_send(f, LINK_CONSOLE, "blob1");
	g_assert_cmpmem(f->out.list[0].message.hid, HID_LEN, hid, HID_LEN);
	message(f, LINK_CONSOLE, "blob2");
	expect_talk(f, TALK_CONSOLE, TALK_STEP);
	asked(f, CONVERSATION_SEND, "blob3");
	message(f, LINK_CONSOLE, "blob4");
	asked(f, CONVERSATION_DONE, "");
	/* Whoever wants to see asks our mover himself. */
	g_assert_null(find(f, LINK_ACT_START_MOVER));
	g_assert_null(find_talk(f, TALK_CONSOLE, TALK_END));
	expect_over(f, KCODE_OK);
}

/* The holder says no, hangs up, or answers to something else: policyd forgets it. */
static void test_viewer_refused(struct fixture *f, gconstpointer data)
{
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	refused(f, KCODE_DOMAIN);
	expect_talk(f, TALK_CONSOLE, TALK_END);
	expect_over(f, KCODE_DOMAIN);
	setup(f, data);
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	expect_talk(f, TALK_CONSOLE, TALK_END);
	expect_over(f, KCODE_INTERRUPTED);
	setup(f, data);
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	message(f, LINK_SESSION, "blob2");
	g_assert_null(find_talk(f, TALK_CONSOLE, TALK_STEP));
	g_assert_null(find_talk(f, TALK_SESSION, TALK_STEP));
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void start_holder(struct fixture *f)
{
	feed(f, LINK_EV_OPEN);
	message(f, LINK_CONSOLE, "blob1");
	expect_talk(f, TALK_CONSOLE, TALK_STEP);
	asked(f, CONVERSATION_SEND, "blob2");
	expect_send(f, LINK_CONSOLE, "blob2");
	message(f, LINK_CONSOLE, "blob3");
	asked(f, CONVERSATION_DONE, "blob4");
	expect(f, LINK_ACT_START_MOVER);
	g_assert_null(find(f, LINK_ACT_SEND));
}

/* The peer hears that we agree when its connections are waited for. */
static void test_holder(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_holder(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	expect_send(f, LINK_CONSOLE, "blob4");
	g_assert_null(find(f, LINK_ACT_PEER_GONE));
	expect_over(f, KCODE_OK);
}

/* There is nothing to see, or the peer went meanwhile. */
static void test_holder_nothing(struct fixture *f, gconstpointer data)
{
	start_holder(f);
	feed_error(f, LINK_EV_STARTED, KCODE_NOT_RUNNING);
	expect_send(f, LINK_REFUSED, NULL);
	expect_talk(f, TALK_CONSOLE, TALK_END);
	expect_over(f, KCODE_NOT_RUNNING);
	setup(f, data);
	start_holder(f);
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	g_assert_null(find(f, LINK_ACT_SEND));
	expect(f, LINK_ACT_PEER_GONE);
	expect_over(f, KCODE_INTERRUPTED);
}

/* Strangers begin none, and no number but the first one's belongs to it. */
static void test_holder_wrong(struct fixture *f, gconstpointer data)
{
	struct link_event ev = {.kind = LINK_EV_MESSAGE};

	link_set_known(&f->l, false);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_CONSOLE, "blob1");
	g_assert_null(find(f, LINK_ACT_TALK));
	expect_over(f, KCODE_BAD_MESSAGE);
	setup(f, data);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_CONSOLE, "blob1");
	asked(f, CONVERSATION_SEND, "blob2");
	ev.message = (struct link_message){
		.kind = LINK_CONSOLE, .hid = {77}, .blob = (const uint8_t *)"x", .len = 1};
	link_feed(&f->l, &ev, f->now, &f->out);
	g_assert_null(find_talk(f, TALK_CONSOLE, TALK_STEP));
	expect_over(f, KCODE_BAD_MESSAGE);
}

#define TEST(path, role, test) \
	g_test_add(path, struct fixture, GINT_TO_POINTER(role), setup, test, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	TEST("/link-console/viewer", LINK_ROLE_VIEWER, test_viewer);
	TEST("/link-console/viewer, refused", LINK_ROLE_VIEWER, test_viewer_refused);
	TEST("/link-console/holder", LINK_ROLE_ANSWER, test_holder);
	TEST("/link-console/holder, nothing to see", LINK_ROLE_ANSWER, test_holder_nothing);
	TEST("/link-console/holder, N1 something else", LINK_ROLE_ANSWER, test_holder_wrong);
	return g_test_run();
}
