/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation machine: the good course of each role, and every message out of its turn. */
#include "agent/jobs.h"
#include "tests/unit/link-fixture.h"

static void setup(struct fixture *f, gconstpointer data)
{
	f->now = 1000;
	link_init(&f->l, (enum link_role)GPOINTER_TO_INT(data),
		  GPOINTER_TO_INT(data) == LINK_ROLE_SOURCE ? hid : NULL, f->now);
	link_set_known(&f->l, true);
	if (GPOINTER_TO_INT(data) == LINK_ROLE_MAIL)
		g_assert_cmpint(link_set_statement(&f->l, (const uint8_t *)"release", 7), ==, 0);
}

static void test_source(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	expect_talk(f, TALK_SESSION, TALK_START);
	asked(f, CONVERSATION_SEND, "blob1");
	expect_send(f, LINK_SESSION, "blob1");
	g_assert_cmpmem(f->out.list[0].message.hid, HID_LEN, hid, HID_LEN);
	message(f, LINK_SESSION, "blob2");
	g_assert_cmpmem(find_talk(f, TALK_SESSION, TALK_STEP)->message.blob, 5, "blob2", 5);
	asked(f, CONVERSATION_SEND, "blob3");
	expect_send(f, LINK_SESSION, "blob3");
	message(f, LINK_SESSION, "blob4");
	asked(f, CONVERSATION_DONE, "");
	g_assert_true(find(f, LINK_ACT_START_MOVER)->flag);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	/* Until the workers have a channel of their own, this one tells if one of them dies. */
	g_assert_cmpuint(f->out.count, ==, 0);
	feed(f, LINK_EV_STANDS);
	expect_send(f, LINK_BYE, NULL);
	g_assert_null(find_talk(f, TALK_SESSION, TALK_END));
	g_assert_null(find(f, LINK_ACT_PEER_GONE));
	expect_over(f, KCODE_OK);
}

static void start_source(struct fixture *f)
{
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	message(f, LINK_SESSION, "blob2");
	asked(f, CONVERSATION_DONE, "");
	expect(f, LINK_ACT_START_MOVER);
}

/* A2: the VM is off, say. Whoever asked hears of it when the destination has closed its side. */
static void test_source_refuses(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_source(f);
	feed_error(f, LINK_EV_STARTED, KCODE_NOT_RUNNING);
	expect_send(f, LINK_REFUSED, NULL);
	expect_talk(f, TALK_SESSION, TALK_END);
	g_assert_null(find(f, LINK_ACT_RESULT));
	g_assert_null(find(f, LINK_ACT_PEER_GONE));
	feed_error(f, LINK_EV_ENDED, KCODE_NOT_RUNNING); /* said twice */
	g_assert_cmpuint(f->out.count, ==, 0);
	message(f, LINK_BYE, "");
	g_assert_null(find_talk(f, TALK_SESSION, TALK_END));
	expect_over(f, KCODE_NOT_RUNNING);
}

/* The mover's last word may come before its answer. */
static void test_source_ends_early(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_source(f);
	feed_error(f, LINK_EV_ENDED, KCODE_NOT_RUNNING);
	expect_send(f, LINK_REFUSED, NULL);
	feed_error(f, LINK_EV_STARTED, KCODE_NOT_RUNNING);
	g_assert_cmpuint(f->out.count, ==, 0);
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	expect_over(f, KCODE_NOT_RUNNING);
}

static void test_source_refuses_to_nobody(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_source(f);
	feed_error(f, LINK_EV_STARTED, KCODE_NOT_RUNNING);
	f->now += LINK_ENDING_MS - 1;
	feed(f, LINK_EV_TICK);
	g_assert_cmpuint(f->out.count, ==, 0);
	f->now += 1;
	feed(f, LINK_EV_TICK);
	expect_over(f, KCODE_NOT_RUNNING);
}

/* Its worker died, or could not connect, after it was ready. */
static void test_source_dies(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_source(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	feed_error(f, LINK_EV_ENDED, KCODE_INTERRUPTED);
	expect_send(f, LINK_REFUSED, NULL);
	g_assert_null(find_talk(f, TALK_SESSION, TALK_END)); /* the worker has journalled its end */
	g_assert_null(find(f, LINK_ACT_RESULT));
	message(f, LINK_BYE, "");
	expect_over(f, KCODE_INTERRUPTED);
}

/* The destination gives up, or the channel breaks: what the mover says counts. */
static void test_source_loses_peer(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_source(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	refused(f, KCODE_ROOM);
	g_assert_cmpint(find(f, LINK_ACT_PEER_GONE)->error.code, ==, KCODE_ROOM);
	expect_over(f, KCODE_OK);
}

static void test_source_loses_channel(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_source(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	g_assert_cmpint(find(f, LINK_ACT_PEER_GONE)->error.code, ==, KCODE_INTERRUPTED);
	expect_over(f, KCODE_OK);
}

static void start_destination(struct fixture *f)
{
	feed(f, LINK_EV_OPEN);
	g_assert_cmpuint(f->out.count, ==, 0);
	message(f, LINK_SESSION, "blob1");
	expect_talk(f, TALK_SESSION, TALK_STEP);
	asked(f, CONVERSATION_SEND, "blob2");
	expect_send(f, LINK_SESSION, "blob2");
	message(f, LINK_SESSION, "blob3");
	asked(f, CONVERSATION_DONE, "blob4");
	g_assert_false(find(f, LINK_ACT_START_MOVER)->flag);
	/* The peer must not hear yes before the worker waits for its data. */
	g_assert_null(find(f, LINK_ACT_SEND));
}

static void test_destination(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	expect_send(f, LINK_SESSION, "blob4");
	g_assert_null(find(f, LINK_ACT_RESULT));
	message(f, LINK_BYE, "");
	expect_over(f, KCODE_OK);
}

static void test_destination_no_mover(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	feed_error(f, LINK_EV_STARTED, KCODE_ROOM);
	expect_send(f, LINK_REFUSED, NULL);
	expect_talk(f, TALK_SESSION, TALK_END);
	expect_over(f, KCODE_ROOM);
}

static void test_destination_called_off(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	refused(f, KCODE_NOT_RUNNING);
	g_assert_cmpint(find(f, LINK_ACT_PEER_GONE)->error.code, ==, KCODE_NOT_RUNNING);
	g_assert_null(find(f, LINK_ACT_RESULT));
	/* The source is answered when nothing of it is left here. */
	feed_error(f, LINK_EV_ENDED, KCODE_NOT_RUNNING);
	expect_send(f, LINK_BYE, NULL);
	g_assert_null(find(f, LINK_ACT_PEER_GONE));
	expect_over(f, KCODE_NOT_RUNNING);
}

static void test_destination_called_off_early(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	refused(f, KCODE_NOT_RUNNING);
	g_assert_cmpuint(f->out.count, ==, 0); /* the mover is about to answer */
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	expect(f, LINK_ACT_PEER_GONE);
	expect_over(f, KCODE_NOT_RUNNING);
}

/* The source is gone without a word; and one that talks nonsense is as good as gone. */
static void test_destination_left_alone(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	g_assert_cmpint(find(f, LINK_ACT_PEER_GONE)->error.code, ==, KCODE_INTERRUPTED);
	expect_over(f, KCODE_OK);
}

static void test_destination_hears_nonsense(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	message(f, LINK_SESSION, "blob5");
	expect(f, LINK_ACT_PEER_GONE);
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_destination_dies(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	feed_error(f, LINK_EV_ENDED, KCODE_INTERRUPTED);
	expect_send(f, LINK_REFUSED, NULL);
	g_assert_null(find(f, LINK_ACT_PEER_GONE));
	expect_over(f, KCODE_INTERRUPTED);
}

/* A source that is slow to connect is not dead: the mover's own deadline counts. */
static void test_destination_waits(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	f->now += LINK_FINISH_MS - 1;
	feed(f, LINK_EV_TICK);
	g_assert_cmpuint(f->out.count, ==, 0);
	f->now += 1;
	feed(f, LINK_EV_TICK);
	g_assert_null(find(f, LINK_ACT_PEER_GONE));
	expect_over(f, KCODE_OK);
}

static void test_destination_lost(struct fixture *f, gconstpointer data)
{
	(void)data;
	start_destination(f);
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	g_assert_cmpuint(f->out.count, ==, 0); /* the mover is about to answer */
	feed_error(f, LINK_EV_STARTED, KCODE_OK);
	expect(f, LINK_ACT_PEER_GONE);
	expect_over(f, KCODE_INTERRUPTED);
}

static void test_peer_refuses(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	refused(f, KCODE_TIER);
	g_assert_null(find(f, LINK_ACT_SEND));
	expect_talk(f, TALK_SESSION, TALK_END);
	g_assert_cmpstr(find(f, LINK_ACT_RESULT)->error.text, ==, "The other side says no.");
	expect_over(f, KCODE_TIER);
}

static void test_policyd_refuses(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	message(f, LINK_SESSION, "blob2");
	asked(f, CONVERSATION_REFUSED, "sealed");
	expect_send(f, LINK_SESSION, "sealed");
	g_assert_null(find_talk(f, TALK_SESSION, TALK_END)); /* it ended it itself */
	expect_over(f, KCODE_POLICY);
}

static void test_policyd_fails(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	feed_error(f, LINK_EV_ASKED, KCODE_INTERRUPTED);
	expect_send(f, LINK_REFUSED, NULL);
	expect_talk(f, TALK_SESSION, TALK_END);
	expect_over(f, KCODE_INTERRUPTED);
}

static void test_never_open(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed_error(f, LINK_EV_CLOSED, KCODE_UNREACHABLE);
	expect_talk(f, TALK_SESSION, TALK_END);
	expect_over(f, KCODE_UNREACHABLE);
}

static void test_order(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	message(f, LINK_SESSION, "too early");
	expect_send(f, LINK_REFUSED, NULL);
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_wrong_hid(struct fixture *f, gconstpointer data)
{
	struct link_event ev = {.kind = LINK_EV_MESSAGE, .message = {.kind = LINK_SESSION}};

	(void)data;
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	ev.message.hid[0] = 8;
	link_feed(&f->l, &ev, f->now, &f->out);
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_wrong_kind(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	message(f, LINK_PAIR, "x");
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_silence(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	asked(f, CONVERSATION_SEND, "blob1");
	f->now += LINK_STEP_MS - 1;
	feed(f, LINK_EV_TICK);
	g_assert_cmpuint(f->out.count, ==, 0);
	f->now += 1;
	feed(f, LINK_EV_TICK);
	expect_over(f, KCODE_INTERRUPTED);
}

static void test_endless(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	for (int i = 0; i < 1000 && f->l.step != LINK_OVER; i++) {
		asked(f, CONVERSATION_SEND, "x");
		f->now += 1000;
		feed(f, LINK_EV_TICK);
		if (f->l.step != LINK_OVER)
			message(f, LINK_SESSION, "x");
	}
	g_assert_cmpint(f->now, <=, 1000 + LINK_TOTAL_MS + 1000);
	g_assert_cmpint(f->l.step, ==, LINK_OVER);
}

static void test_cancel(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	feed_error(f, LINK_EV_CANCEL, KCODE_CANCELLED);
	expect_send(f, LINK_REFUSED, NULL);
	expect_talk(f, TALK_SESSION, TALK_END);
	expect_over(f, KCODE_CANCELLED);
}

static void test_stranger(struct fixture *f, gconstpointer data)
{
	(void)data;
	link_set_known(&f->l, false);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_SESSION, "blob1");
	g_assert_null(find_talk(f, TALK_SESSION, TALK_STEP));
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_stranger_custody(struct fixture *f, gconstpointer data)
{
	(void)data;
	link_set_known(&f->l, false);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_CUSTODY, "statement");
	g_assert_null(find(f, LINK_ACT_ASK_CUSTODY));
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_second_thoughts(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	refused(f, KCODE_POLICY);
	g_assert_null(find(f, LINK_ACT_SEND));
	expect_over(f, KCODE_OK);
}

static void test_pair_in(struct fixture *f, gconstpointer data)
{
	(void)data;
	link_set_known(&f->l, false);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_PAIR, "commit");
	g_assert_false(find_talk(f, TALK_PAIRING, TALK_START)->flag);
	asked(f, CONVERSATION_SEND, "");
	g_assert_cmpmem(find_talk(f, TALK_PAIRING, TALK_STEP)->message.blob, 6, "commit", 6);
	asked(f, CONVERSATION_SEND, "answer");
	expect_send(f, LINK_PAIR, "answer");
	message(f, LINK_PAIR, "reveal");
	asked(f, CONVERSATION_WAIT_OWNER, "");
	g_assert_cmpint(f->l.step, ==, LINK_OWNER);
	feed(f, LINK_EV_TICK);
	g_assert_null(find_talk(f, TALK_PAIRING, TALK_POLL));
	f->now += LINK_POLL_MS;
	feed(f, LINK_EV_TICK);
	expect_talk(f, TALK_PAIRING, TALK_POLL);
	f->now += LINK_POLL_MS;
	feed(f, LINK_EV_TICK);
	g_assert_null(find_talk(f, TALK_PAIRING, TALK_POLL)); /* one at a time */
	asked(f, CONVERSATION_DONE, "proof");
	expect_send(f, LINK_PAIR, "proof");
	g_assert_null(find_talk(f, TALK_PAIRING, TALK_END));
	expect_over(f, KCODE_OK);
}

static void to_owner(struct fixture *f)
{
	feed(f, LINK_EV_OPEN);
	g_assert_true(find_talk(f, TALK_PAIRING, TALK_START)->flag);
	asked(f, CONVERSATION_SEND, "commit");
	message(f, LINK_PAIR, "answer");
	asked(f, CONVERSATION_WAIT_OWNER, "reveal");
	expect_send(f, LINK_PAIR, "reveal");
}

static void test_pair_early(struct fixture *f, gconstpointer data)
{
	(void)data;
	to_owner(f);
	/* The other owner was faster: what ours has made goes out first. */
	message(f, LINK_PAIR, "confirm");
	expect_talk(f, TALK_PAIRING, TALK_POLL);
	asked(f, CONVERSATION_SEND, "our confirm");
	expect_send(f, LINK_PAIR, "our confirm");
	g_assert_cmpmem(find_talk(f, TALK_PAIRING, TALK_STEP)->message.blob, 7, "confirm", 7);
	/* A second one while policyd works is kept, a third is too many. */
	message(f, LINK_PAIR, "proof");
	g_assert_cmpuint(f->out.count, ==, 0);
	message(f, LINK_PAIR, "more");
	expect_talk(f, TALK_PAIRING, TALK_END);
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_pair_hang_up(struct fixture *f, gconstpointer data)
{
	(void)data;
	to_owner(f);
	message(f, LINK_PAIR, "result");
	/* The peer is done and goes; what it sent still counts. */
	message(f, LINK_BYE, "");
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	g_assert_cmpuint(f->out.count, ==, 0);
	asked(f, CONVERSATION_WAIT_OWNER, "");
	expect_talk(f, TALK_PAIRING, TALK_STEP);
	asked(f, CONVERSATION_DONE, "");
	expect_over(f, KCODE_OK);
}

static void test_pair_lost(struct fixture *f, gconstpointer data)
{
	(void)data;
	to_owner(f);
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	expect_talk(f, TALK_PAIRING, TALK_END);
	expect_over(f, KCODE_INTERRUPTED);
}

static void test_pair_nobody_confirms(struct fixture *f, gconstpointer data)
{
	(void)data;
	to_owner(f);
	for (int64_t end = f->now + LINK_OWNER_MS; f->now < end && f->l.step != LINK_OVER;) {
		f->now += LINK_POLL_MS;
		feed(f, LINK_EV_TICK);
		if (find_talk(f, TALK_PAIRING, TALK_POLL))
			asked(f, CONVERSATION_WAIT_OWNER, "");
	}
	f->now += LINK_TOTAL_MS;
	feed(f, LINK_EV_TICK);
	expect_talk(f, TALK_PAIRING, TALK_END);
	expect_over(f, KCODE_INTERRUPTED);
}

static void test_custody(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	message(f, LINK_CUSTODY, "vote");
	expect(f, LINK_ACT_ASK_CUSTODY);
	asked(f, CONVERSATION_SEND, "release");
	expect_send(f, LINK_CUSTODY, "release");
	message(f, LINK_CUSTODY, "ack");
	asked(f, CONVERSATION_SEND, "");
	expect_send(f, LINK_BYE, NULL);
	expect_over(f, KCODE_OK);
}

static void test_custody_heard(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	message(f, LINK_CUSTODY, "vote");
	asked(f, CONVERSATION_SEND, "release");
	message(f, LINK_BYE, "");
	g_assert_null(find(f, LINK_ACT_SEND));
	expect_over(f, KCODE_OK);
}

static void test_custody_gone(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	message(f, LINK_CUSTODY, "vote");
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	g_assert_cmpuint(f->out.count, ==, 0); /* policyd has to hear it all the same */
	asked(f, CONVERSATION_SEND, "release");
	g_assert_null(find(f, LINK_ACT_SEND));
	expect_over(f, KCODE_OK);
}

static void say(struct fixture *f)
{
	feed(f, LINK_EV_OPEN);
	expect_send(f, LINK_CUSTODY, "release");
	g_assert_cmpint(f->l.step, ==, LINK_WAITING);
}

static void test_mail(struct fixture *f, gconstpointer data)
{
	(void)data;
	say(f);
	message(f, LINK_CUSTODY, "ack");
	g_assert_cmpmem(find(f, LINK_ACT_ASK_CUSTODY)->message.blob, 3, "ack", 3);
	g_assert_null(find(f, LINK_ACT_RESULT));
	/* One answer is enough, whatever policyd would say to it. */
	asked(f, CONVERSATION_SEND, "release");
	expect_send(f, LINK_BYE, NULL);
	expect_over(f, KCODE_OK);
}

static void test_mail_hang_up(struct fixture *f, gconstpointer data)
{
	(void)data;
	say(f);
	message(f, LINK_CUSTODY, "ack");
	message(f, LINK_BYE, "");
	feed_error(f, LINK_EV_CLOSED, KCODE_INTERRUPTED);
	g_assert_cmpuint(f->out.count, ==, 0);
	asked(f, CONVERSATION_SEND, "");
	expect_over(f, KCODE_OK);
}

static void test_mail_nothing(struct fixture *f, gconstpointer data)
{
	(void)data;
	say(f);
	message(f, LINK_BYE, "");
	g_assert_null(find(f, LINK_ACT_ASK_CUSTODY));
	expect_over(f, KCODE_OK);
}

static void test_mail_silence(struct fixture *f, gconstpointer data)
{
	(void)data;
	say(f);
	f->now += LINK_STEP_MS;
	feed(f, LINK_EV_TICK);
	g_assert_null(find(f, LINK_ACT_ASK_CUSTODY));
	expect_over(f, KCODE_INTERRUPTED);
}

static void test_mail_refused(struct fixture *f, gconstpointer data)
{
	(void)data;
	say(f);
	refused(f, KCODE_LOCKED);
	g_assert_null(find(f, LINK_ACT_SEND));
	g_assert_null(find(f, LINK_ACT_ASK_CUSTODY));
	expect_over(f, KCODE_LOCKED);
}

static void test_mail_wrong(struct fixture *f, gconstpointer data)
{
	(void)data;
	say(f);
	message(f, LINK_SESSION, "blob");
	g_assert_null(find_talk(f, TALK_SESSION, TALK_STEP));
	expect_send(f, LINK_REFUSED, NULL);
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_mail_twice(struct fixture *f, gconstpointer data)
{
	(void)data;
	say(f);
	message(f, LINK_CUSTODY, "ack");
	message(f, LINK_CUSTODY, "nack");
	g_assert_null(find(f, LINK_ACT_ASK_CUSTODY));
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_mail_not_ours(struct fixture *f, gconstpointer data)
{
	(void)data;
	say(f);
	message(f, LINK_CUSTODY, "forged");
	feed_error(f, LINK_EV_ASKED, KCODE_BAD_MESSAGE);
	expect_send(f, LINK_REFUSED, NULL);
	expect_over(f, KCODE_BAD_MESSAGE);
}

static void test_mail_unreachable(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed_error(f, LINK_EV_CLOSED, KCODE_UNREACHABLE);
	g_assert_null(find(f, LINK_ACT_SEND));
	expect_over(f, KCODE_UNREACHABLE);
}

static void offered(struct fixture *f, const char *blob)
{
	struct link_event ev = {.kind = LINK_EV_OFFERS};

	ev.message.blob = (const uint8_t *)blob;
	ev.message.len = strlen(blob);
	link_feed(&f->l, &ev, f->now, &f->out);
}

static void test_ask(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	expect_send(f, LINK_OFFERS, "");
	message(f, LINK_OFFERS, "record");
	g_assert_cmpmem(find(f, LINK_ACT_TOLD)->message.blob, 6, "record", 6);
	g_assert_false(f->l.refused);
	expect_over(f, KCODE_OK);
}

/* Nothing but one answer, and in time. */
static void test_ask_wrong(struct fixture *f, gconstpointer data)
{
	static const struct {
		enum link_kind kind;
		const char *blob;
	} rows[] = {{LINK_OFFERS, ""}, {LINK_SESSION, "blob"}, {LINK_CUSTODY, "vote"}};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		setup(f, data);
		feed(f, LINK_EV_OPEN);
		message(f, rows[i].kind, rows[i].blob);
		g_assert_null(find(f, LINK_ACT_TOLD));
		g_assert_null(find(f, LINK_ACT_TALK));
		g_assert_null(find(f, LINK_ACT_ASK_CUSTODY));
		expect_over(f, KCODE_BAD_MESSAGE);
	}
}

static void test_ask_silence(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	f->now += LINK_ASK_MS - 1;
	feed(f, LINK_EV_TICK);
	g_assert_cmpuint(f->out.count, ==, 0);
	f->now++;
	feed(f, LINK_EV_TICK);
	expect_over(f, KCODE_UNREACHABLE);
}

static void test_ask_refused(struct fixture *f, gconstpointer data)
{
	(void)data;
	feed(f, LINK_EV_OPEN);
	refused(f, KCODE_NOT_READY);
	g_assert_null(find(f, LINK_ACT_TOLD));
	g_assert_true(f->l.refused);
	expect_over(f, KCODE_NOT_READY);
}

static void test_tell(struct fixture *f, gconstpointer data)
{
	(void)data;
	link_set_own(&f->l, true);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_OFFERS, "");
	expect(f, LINK_ACT_LOOK);
	offered(f, "record");
	expect_send(f, LINK_OFFERS, "record");
	expect_over(f, KCODE_OK);
}

static void test_tell_not_now(struct fixture *f, gconstpointer data)
{
	(void)data;
	link_set_own(&f->l, true);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_OFFERS, "");
	feed_error(f, LINK_EV_OFFERS, KCODE_NOT_READY);
	expect_send(f, LINK_REFUSED, NULL);
	expect_over(f, KCODE_NOT_READY);
}

/* H25: what we offer is for our owner's devices; strangers and other people's hear nothing. */
static void test_tell_others(struct fixture *f, gconstpointer data)
{
	for (int paired = 0; paired < 2; paired++) {
		setup(f, data);
		link_set_known(&f->l, paired);
		feed(f, LINK_EV_OPEN);
		message(f, LINK_OFFERS, "");
		g_assert_null(find(f, LINK_ACT_LOOK));
		expect_send(f, LINK_REFUSED, NULL);
		expect_over(f, paired ? KCODE_NOT_ALLOWED : KCODE_BAD_MESSAGE);
	}
}

static void test_tell_wrong(struct fixture *f, gconstpointer data)
{
	link_set_own(&f->l, true);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_OFFERS, "an answer to no question");
	g_assert_null(find(f, LINK_ACT_LOOK));
	expect_over(f, KCODE_BAD_MESSAGE);
	setup(f, data);
	link_set_own(&f->l, true);
	feed(f, LINK_EV_OPEN);
	message(f, LINK_OFFERS, "");
	message(f, LINK_OFFERS, ""); /* twice: one look */
	g_assert_null(find(f, LINK_ACT_LOOK));
	expect_over(f, KCODE_BAD_MESSAGE);
	offered(f, "record");
	g_assert_cmpuint(f->out.count, ==, 0);
}

static void test_retry(void)
{
	static const int64_t pauses[] = {5000, 10000, 20000, 40000, 60000, 60000};
	struct link_retry r = {0};
	int64_t now = 1000000;

	g_assert_true(link_retry_due(&r, now));
	for (size_t i = 0; i < G_N_ELEMENTS(pauses); i++) {
		link_retry_ended(&r, false, now);
		g_assert_false(link_retry_due(&r, now + pauses[i] - 1));
		now += pauses[i];
		g_assert_true(link_retry_due(&r, now));
	}
	/* P2: in sight again, and again, makes it sooner, not more often. */
	link_retry_ended(&r, false, now);
	for (int i = 0; i < 100; i++)
		link_retry_sight(&r);
	g_assert_false(link_retry_due(&r, now + LINK_RETRY_MS - 1));
	now += LINK_RETRY_MS;
	g_assert_true(link_retry_due(&r, now));
	link_retry_ended(&r, false, now);
	link_retry_ended(&r, false, now);
	link_retry_ended(&r, true, now);
	g_assert_true(link_retry_due(&r, now + LINK_RETRY_MS));
}

static void test_switching(void)
{
	struct mover_progress p = {.phase = PHASE_SWITCHING, .peer = {7}, .hid = {1}};
	const uint8_t peer[DEVICE_ID_LEN] = {7}, other[DEVICE_ID_LEN] = {8};
	struct jobs *jobs = jobs_new();

	g_assert_false(jobs_switching(jobs, peer, 0));
	jobs_progress(jobs, &p, 1000);
	g_assert_true(jobs_switching(jobs, peer, 1000 + JOBS_QUIET_MS - 1));
	g_assert_false(jobs_switching(jobs, other, 1000));
	/* A worker that says nothing does not carry anything. */
	g_assert_false(jobs_switching(jobs, peer, 1000 + JOBS_QUIET_MS));
	jobs_progress(jobs, &p, 9000);
	g_assert_true(jobs_switching(jobs, peer, 9000));
	p.phase = PHASE_FAILED;
	jobs_progress(jobs, &p, 9001);
	g_assert_false(jobs_switching(jobs, peer, 9001));
	/* Another VM that is only copied does not keep a stuck one from being settled. */
	p = (struct mover_progress){.phase = PHASE_COPYING_MEMORY, .peer = {7}, .hid = {2}};
	jobs_progress(jobs, &p, 9002);
	g_assert_false(jobs_switching(jobs, peer, 9002));
	jobs_free(jobs);
}

#define TEST(name, role, fn) \
	g_test_add(name, struct fixture, GINT_TO_POINTER(role), setup, fn, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	TEST("/link/source", LINK_ROLE_SOURCE, test_source);
	TEST("/link/A2 source, refused at once", LINK_ROLE_SOURCE, test_source_refuses);
	TEST("/link/A2 source, ended at once", LINK_ROLE_SOURCE, test_source_ends_early);
	TEST("/link/A2 source, no answer", LINK_ROLE_SOURCE, test_source_refuses_to_nobody);
	TEST("/link/A2 source, dead after it was ready", LINK_ROLE_SOURCE, test_source_dies);
	TEST("/link/A2 source, the destination gives up", LINK_ROLE_SOURCE, test_source_loses_peer);
	TEST("/link/A2 source, channel lost", LINK_ROLE_SOURCE, test_source_loses_channel);
	TEST("/link/destination", LINK_ROLE_ANSWER, test_destination);
	TEST("/link/destination without a mover", LINK_ROLE_ANSWER, test_destination_no_mover);
	TEST("/link/A2 destination called off", LINK_ROLE_ANSWER, test_destination_called_off);
	TEST("/link/A2 destination called off before it is ready", LINK_ROLE_ANSWER,
	     test_destination_called_off_early);
	TEST("/link/A2 destination left alone", LINK_ROLE_ANSWER, test_destination_left_alone);
	TEST("/link/N1 destination hears nonsense", LINK_ROLE_ANSWER,
	     test_destination_hears_nonsense);
	TEST("/link/destination dies", LINK_ROLE_ANSWER, test_destination_dies);
	TEST("/link/destination waits", LINK_ROLE_ANSWER, test_destination_waits);
	TEST("/link/destination loses the channel", LINK_ROLE_ANSWER, test_destination_lost);
	TEST("/link/the peer refuses", LINK_ROLE_SOURCE, test_peer_refuses);
	TEST("/link/policyd refuses", LINK_ROLE_SOURCE, test_policyd_refuses);
	TEST("/link/policyd fails", LINK_ROLE_SOURCE, test_policyd_fails);
	TEST("/link/never connected", LINK_ROLE_SOURCE, test_never_open);
	TEST("/link/N1 a message before its turn", LINK_ROLE_SOURCE, test_order);
	TEST("/link/N1 of another hand-off", LINK_ROLE_SOURCE, test_wrong_hid);
	TEST("/link/N1 of another kind", LINK_ROLE_SOURCE, test_wrong_kind);
	TEST("/link/a silent peer", LINK_ROLE_SOURCE, test_silence);
	TEST("/link/N3 an endless talk", LINK_ROLE_SOURCE, test_endless);
	TEST("/link/cancel", LINK_ROLE_SOURCE, test_cancel);
	TEST("/link/P7 a stranger's session", LINK_ROLE_ANSWER, test_stranger);
	TEST("/link/P7 a stranger's statement", LINK_ROLE_ANSWER, test_stranger_custody);
	TEST("/link/nothing after all", LINK_ROLE_ANSWER, test_second_thoughts);
	TEST("/link/pairing, answering", LINK_ROLE_ANSWER, test_pair_in);
	TEST("/link/pairing, the other owner is faster", LINK_ROLE_PAIR_OUT, test_pair_early);
	TEST("/link/pairing, the peer is done first", LINK_ROLE_PAIR_OUT, test_pair_hang_up);
	TEST("/link/pairing, channel lost", LINK_ROLE_PAIR_OUT, test_pair_lost);
	TEST("/link/pairing, nobody confirms", LINK_ROLE_PAIR_OUT, test_pair_nobody_confirms);
	TEST("/link/custody", LINK_ROLE_ANSWER, test_custody);
	TEST("/link/custody, the peer has heard enough", LINK_ROLE_ANSWER, test_custody_heard);
	TEST("/link/custody, the peer is gone", LINK_ROLE_ANSWER, test_custody_gone);
	TEST("/link/mail, an answer", LINK_ROLE_MAIL, test_mail);
	TEST("/link/mail, an answer and gone", LINK_ROLE_MAIL, test_mail_hang_up);
	TEST("/link/mail, nothing to say", LINK_ROLE_MAIL, test_mail_nothing);
	TEST("/link/mail, no answer", LINK_ROLE_MAIL, test_mail_silence);
	TEST("/link/mail, refused", LINK_ROLE_MAIL, test_mail_refused);
	TEST("/link/mail, N1 of another kind", LINK_ROLE_MAIL, test_mail_wrong);
	TEST("/link/mail, N1 two answers", LINK_ROLE_MAIL, test_mail_twice);
	TEST("/link/mail, policyd does not believe it", LINK_ROLE_MAIL, test_mail_not_ours);
	TEST("/link/mail, unreachable", LINK_ROLE_MAIL, test_mail_unreachable);
	TEST("/link/ask", LINK_ROLE_ASK, test_ask);
	TEST("/link/ask, N1 something else", LINK_ROLE_ASK, test_ask_wrong);
	TEST("/link/ask, no answer", LINK_ROLE_ASK, test_ask_silence);
	TEST("/link/ask, refused", LINK_ROLE_ASK, test_ask_refused);
	TEST("/link/tell", LINK_ROLE_ANSWER, test_tell);
	TEST("/link/tell, not now", LINK_ROLE_ANSWER, test_tell_not_now);
	TEST("/link/tell, H25 nobody else", LINK_ROLE_ANSWER, test_tell_others);
	TEST("/link/tell, N1 something else", LINK_ROLE_ANSWER, test_tell_wrong);
	g_test_add_func("/link/mail, again and again, but not all the time", test_retry);
	g_test_add_func("/link/mail, while the mover does it", test_switching);
	return g_test_run();
}
