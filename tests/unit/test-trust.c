/* SPDX-License-Identifier: Apache-2.0 */
/* What a paired device may prove, and what its word is worth: on whole cores with a TPM each. */
#include "tests/unit/policyd-fixture.h"

static enum verdict verdict_on(struct device *d, const struct device *peer, struct store_peer *ret)
{
	g_assert_cmpint(store_peer_get(d->core->store, peer->core->id.id, ret, NULL), ==, 0);
	return ret->verdict;
}

/* A session in which the desktop is judged. */
static bool proves(struct world *w)
{
	bool ok = attest(&w->run, exporter, exporter);

	idle(w->laptop);
	idle(w->desktop);
	return ok;
}

/* A device that somebody took over quotes less than it is measured by, in the hope that its owner
 * will accept that. */
static void test_h1_shrunk(void)
{
	struct world *w = world_new();
	uint32_t usual = w->desktop->core->config.pcrs;
	struct store_peer p;
	struct kerr err = {0};

	w->desktop->core->config.pcrs = 1u << 0;
	g_assert_false(proves(w));
	g_assert_cmpint(w->run.err.code, ==, KCODE_ATTEST_QUOTE);
	g_assert_cmpint(verdict_on(w->laptop, w->desktop, &p), ==, VERDICT_UNTRUSTED);
	g_assert_cmphex(p.evidence_mask, ==, usual);
	/* Whatever the owner says to it: the set stays. */
	g_assert_cmpint(accept_evidence(w->laptop, w->desktop, &err), ==, -EACCES);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_QUOTE);
	g_assert_cmpint(verdict_on(w->laptop, w->desktop, &p), ==, VERDICT_UNTRUSTED);
	g_assert_cmphex(p.reference_mask, ==, usual);
	g_assert_false(proves(w));

	/* More than is asked for does no harm, even what a program can reset, and is not kept. */
	w->desktop->core->config.pcrs = usual | 1u << 8 | 1u << 16 | 1u << 23;
	g_assert_true(proves(w));
	g_assert_cmpint(verdict_on(w->laptop, w->desktop, &p), ==, VERDICT_TRUSTED);
	g_assert_cmphex(p.evidence_mask, ==, usual);
	kerr_clear(&err);
	g_assert_cmpint(accept_evidence(w->laptop, w->desktop, &err), ==, 0);
	verdict_on(w->laptop, w->desktop, &p);
	g_assert_cmphex(p.reference_mask, ==, usual);
	g_assert_true(proves(w));
	/* Nor does a reference of another version of Kith that has such a one. */
	rewrite(w->laptop, "UPDATE peers SET reference_mask = reference_mask | (1 << 16)");
	g_assert_true(proves(w));

	/* The twin: changed, shown, accepted, trusted, and changed once more it is not. */
	w->desktop->core->config.pcrs = usual;
	extend_running(w->desktop, 4);
	g_assert_false(proves(w));
	g_assert_cmpint(w->run.err.code, ==, KCODE_ATTEST_PCR);
	kerr_clear(&err);
	g_assert_cmpint(accept_evidence(w->laptop, w->desktop, &err), ==, 0);
	g_assert_true(proves(w));
	extend_running(w->desktop, 7);
	g_assert_false(proves(w));
	world_free(w);
}

static void restart_tpm(struct device *d)
{
	d->core->tpm = tpm_free(d->core->tpm);
	swtpm_halt(&d->tpm);
	swtpm_run(&d->tpm, "not-need-init,startup-clear");
	g_assert_cmpint(tpm_open(d->config.tcti, &d->core->tpm, NULL), ==, 0);
}

/* A device into which nothing was measured proves nothing that could be kept, or accepted. */
static void test_h1_empty(void)
{
	static const uint8_t zeros[HASH_LEN];
	struct world *w = world_new();
	struct store_peer before, p;
	struct kerr err = {0};

	verdict_on(w->laptop, w->desktop, &before);
	restart_tpm(w->desktop);
	g_assert_false(proves(w));
	g_assert_cmpint(w->run.err.code, ==, KCODE_ATTEST_PCR);
	g_assert_cmpint(verdict_on(w->laptop, w->desktop, &p), ==, VERDICT_UNTRUSTED);
	g_assert_cmpmem(p.evidence, sizeof(p.evidence), before.evidence, sizeof(before.evidence));
	accept_evidence(w->laptop, w->desktop, &err);
	verdict_on(w->laptop, w->desktop, &p);
	g_assert_cmpint(memcmp(p.reference[4], zeros, HASH_LEN), !=, 0);
	g_assert_false(proves(w));
	/* The twin: booted as it was. */
	w->desktop->core->tpm = tpm_free(w->desktop->core->tpm);
	boot(&w->desktop->tpm);
	g_assert_cmpint(tpm_open(w->desktop->config.tcti, &w->desktop->core->tpm, NULL), ==, 0);
	g_assert_true(proves(w));
	world_free(w);
}

/* The owner looks; the device proves something else; he says yes to what he saw. */
static void test_h1_shown(void)
{
	struct world *w = world_new();
	struct policyd_trust shown;
	struct store_peer p;
	struct kerr err = {0};

	extend_running(w->desktop, 4);
	g_assert_false(proves(w));
	verdict_on(w->laptop, w->desktop, &p);
	store_peer_to_trust(&p, &shown);
	extend_running(w->desktop, 7);
	g_assert_false(proves(w));
	g_assert_cmpint(store_peer_accept(w->laptop->core->store, p.id, 0, shown.hash, &err), ==,
			-ESTALE);
	g_assert_false(proves(w));
	kerr_clear(&err);
	g_assert_cmpint(accept_evidence(w->laptop, w->desktop, &err), ==, 0);
	g_assert_true(proves(w));
	world_free(w);
}

/* Counters of a TPM never go back; an older copy of an emulated one has older ones. */
static void test_m3_history(void)
{
	struct world *w = world_new();
	struct store_peer p;

	g_assert_true(proves(w));
	verdict_on(w->laptop, w->desktop, &p);
	g_assert_true(p.quoted);
	g_assert_cmpuint(p.quote.clock, >, 0);
	rewrite(w->laptop, "UPDATE peers SET quote_resets = quote_resets + 1 WHERE name='desktop'");
	g_assert_false(proves(w));
	g_assert_cmpint(w->run.err.code, ==, KCODE_ATTEST_REPLAY);
	g_assert_nonnull(strstr(w->run.err.text, "went back"));
	g_assert_cmpint(verdict_on(w->laptop, w->desktop, &p), ==, VERDICT_UNTRUSTED);
	rewrite(w->laptop, "UPDATE peers SET quote_resets = quote_resets - 1 WHERE name='desktop'");
	g_assert_true(proves(w));
	rewrite(w->laptop, "UPDATE peers SET quote_clock = quote_clock + 90000000 WHERE"
			   " name='desktop'");
	g_assert_false(proves(w));
	rewrite(w->laptop, "UPDATE peers SET quote_clock = quote_clock - 90000000 WHERE"
			   " name='desktop'");
	/* The twin: a reboot is normal. */
	close_core(w->desktop);
	swtpm_halt(&w->desktop->tpm);
	swtpm_run(&w->desktop->tpm, "not-need-init,startup-clear");
	boot(&w->desktop->tpm);
	open_core(w->desktop);
	g_assert_true(proves(w));
	world_free(w);
}

/* Makes the store refuse rows of `table` for which `when` is true. */
static void refuse_rows(struct device *d, const char *table, const char *when, uint64_t than)
{
	g_autofree char *sql =
		g_strdup_printf("CREATE INDEX full ON %s(abs(CASE WHEN %s > %llu THEN"
				" -9223372036854775808 ELSE 0 END))",
				table, when, (unsigned long long)than);

	rewrite(d, sql);
}

/* A verdict that cannot be written down lets no guest leave, and none come in. */
static void test_unrecorded(void)
{
	struct world *w = world_new();

	for (int i = 0; i < 4; i++) {
		struct device *judge = i % 2 ? w->desktop : w->laptop;
		struct device *judged = i % 2 ? w->laptop : w->desktop;
		struct store_peer before, p;
		uint64_t seq;

		verdict_on(judge, judged, &before);
		g_assert_cmpint(sql_number(judge->core->store, NULL, &seq,
					   "SELECT max(seq) FROM (SELECT seq FROM audit"
					   " UNION SELECT seq FROM peer_audit)"),
				==, 0);
		if (i < 2)
			refuse_rows(judge, "peers",
				    i ? "quote_clock" : "name='desktop' AND quote_clock",
				    before.quote.clock);
		else
			refuse_rows(judge, i % 2 ? "peer_audit" : "audit",
				    "action='attest' AND seq", seq);
		g_assert_false(proves(w));
		g_assert_cmpint(w->run.err.code, ==, KCODE_ATTEST_ERROR);
		g_assert_nonnull(strstr(w->run.err.text, "could not be recorded"));
		rewrite(judge, "DROP INDEX full");
		verdict_on(judge, judged, &p);
		g_assert_cmpuint(p.quote.clock, ==, before.quote.clock);
		/* The twin: with room for it. */
		g_assert_true(proves(w));
		verdict_on(judge, judged, &p);
		g_assert_cmpuint(p.quote.clock, >, before.quote.clock);
	}
	world_free(w);
}

/* Asks for a move, up to the desktop's evidence. */
static void fetch(struct world *w, uint8_t ret_hid[HID_LEN], struct wire *ret)
{
	static struct wire hello;
	struct kerr err = {0};

	wire_clear(&hello);
	wire_clear(ret);
	g_assert_cmpint(ask_to_move(w->laptop, w->desktop, ret_hid, &err), ==, 0);
	g_assert_cmpint(
		handoff_session_start(w->laptop->handoffs, ret_hid, exporter, &hello.buf, &err), ==,
		CONVERSATION_SEND);
	g_assert_cmpint(handoff_session_step(w->desktop->handoffs, ret_hid, w->laptop->core->id.id,
					     exporter, hello.room, hello.buf.len, &ret->buf, &err),
			==, CONVERSATION_SEND);
}

static enum conversation_state bring(struct world *w, const uint8_t *hid, const struct wire *said)
{
	static struct wire out;
	struct kerr err = {0};

	wire_clear(&out);
	return handoff_session_step(w->laptop->handoffs, hid, w->desktop->core->id.id, exporter,
				    said->room, said->buf.len, &out.buf, &err);
}

/* Two sessions at once: what was quoted first may come last, and is no older copy. */
static void test_m3_overtaken(void)
{
	static struct wire first, second;
	uint8_t one[HID_LEN], two[HID_LEN];
	struct world *w = world_new();
	struct store_peer p, q;

	fetch(w, one, &first);
	g_usleep(5000);
	fetch(w, two, &second);
	g_assert_cmpint(bring(w, two, &second), ==, CONVERSATION_SEND);
	verdict_on(w->laptop, w->desktop, &p);
	g_assert_cmpint(bring(w, one, &first), ==, CONVERSATION_SEND);
	g_assert_cmpint(verdict_on(w->laptop, w->desktop, &q), ==, VERDICT_TRUSTED);
	/* What is compared with later is the newest. */
	g_assert_cmpuint(q.quote.clock, ==, p.quote.clock);
	idle(w->laptop);
	idle(w->desktop);
	/* The twin: a session that began afterwards. */
	fetch(w, one, &first);
	memset(&w->laptop->handoffs->list[0].before.clock, 0x7f, 8);
	g_assert_cmpint(bring(w, one, &first), ==, CONVERSATION_REFUSED);
	world_free(w);
}

/* B6 after a restart of policyd between the quote and the vote. */
static void test_m3_restart(void)
{
	for (int changed = 0; changed < 2; changed++) {
		struct world *w = world_new();
		struct kerr err = {0};
		int r;

		g_assert_true(attest(&w->run, exporter, exporter));
		take_grants(&w->run);
		g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_PREP, NULL, NULL, &err), ==, 0);
		r = journal(w->desktop, &w->run, CUSTODY_RECV, NULL, NULL, &err);
		g_assert_cmpint(r, ==, 0);
		restart(w->desktop);
		if (changed)
			extend_running(w->desktop, 2);
		r = journal(w->desktop, &w->run, CUSTODY_PREPARED, NULL, &w->vote, &err);
		g_assert_cmpint(r == 0, ==, !changed);
		g_assert_cmpint(err.code, ==, changed ? KCODE_ATTEST_PCR : KCODE_OK);
		/* A source whose copy is gone can always let the other one go on. */
		restart(w->laptop);
		if (!changed)
			g_assert_cmpint(release_forward(w, &err), ==, 0);
		world_free(w);
	}
}

static enum conversation_state start(struct world *w, const uint8_t *hid)
{
	struct kerr err = {0};
	static struct wire out;

	wire_clear(&out);
	return handoff_session_start(w->laptop->handoffs, hid, exporter, &out.buf, &err);
}

/* A wish of the owner lives a minute of a clock that nobody sets, and not over a restart. */
static void test_m11_request(void)
{
	struct world *w = world_new();
	uint8_t hid[HID_LEN];
	struct kerr err = {0};

	for (int way = 0; way < 4; way++) {
		g_assert_cmpint(ask_to_move(w->laptop, w->desktop, hid, &err), ==, 0);
		if (way == 0)
			rewrite(w->laptop, "UPDATE requests SET time = time - 61000");
		else if (way == 1)
			restart(w->laptop);
		else if (way == 2) /* of a boot that lasted longer */
			rewrite(w->laptop, "UPDATE requests SET time = time + 9999999");
		g_assert_cmpint(start(w, hid), ==,
				way == 3 ? CONVERSATION_SEND : CONVERSATION_REFUSED);
	}
	world_free(w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_assert_cmpint(sodium_init(), >=, 0);
	g_test_add_func("/trust/H1 a peer cannot shrink what it is measured by", test_h1_shrunk);
	g_test_add_func("/trust/H1 a device without measured boot is not kept", test_h1_empty);
	g_test_add_func("/trust/H1 a yes counts for what was shown", test_h1_shown);
	g_test_add_func("/trust/S1-11 a verdict that cannot be recorded is none", test_unrecorded);
	g_test_add_func("/trust/M3 clock and counters of a peer's TPM", test_m3_history);
	g_test_add_func("/trust/M3 a quote that another one overtook", test_m3_overtaken);
	g_test_add_func("/trust/M3 a restart does not forget what was measured", test_m3_restart);
	g_test_add_func("/trust/M11 a request lives by the clock that never goes back",
			test_m11_request);
	return g_test_run();
}
