/* SPDX-License-Identifier: Apache-2.0 */
/* The store's table of peers: limits, verdicts, what an owner accepts, what is forgotten. */
#include "tests/unit/store-fixture.h"

static void make_peer(struct store_peer *p, const char *name, uint8_t id)
{
	memset(p, 0, sizeof(*p));
	p->id[0] = id;
	memset(p->sign_pk, id, sizeof(p->sign_pk));
	g_strlcpy(p->name, name, sizeof(p->name));
	g_strlcpy(p->person, "tom", sizeof(p->person));
	p->role = DEVICE_ROLE_DESKTOP;
	p->tier = TPM_TIER_SOFTWARE;
	p->own = true;
	p->ak_public_len = 3;
	memcpy(p->ak_public, "ak!", 3);
	p->record_len = 700;
	memset(p->record, 0x3c, 700);
	p->ek_hash[5] = 9;
	p->owner_pk[4] = 8;
}

static void test_peers(struct fixture *f, const void *data _unused_)
{
	struct store_peer p, q, *list;
	struct kerr err = {0};
	size_t n;

	make_peer(&p, "desktop", 1);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	make_peer(&q, "attic", 2);
	g_assert_cmpint(store_peer_put(f->s, &q, NULL), ==, 0);
	/* Two devices of one name could be confused. */
	make_peer(&q, "desktop", 3);
	g_assert_cmpint(store_peer_put(f->s, &q, &err), ==, -EEXIST);
	g_assert_cmpint((int)err.code, ==, KCODE_EXISTS);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_peer_get(f->s, p.id, &q, NULL), ==, 0);
	g_assert_cmpmem(&q, sizeof(q), &p, sizeof(p));
	g_assert_cmpint(store_peer_by_name(f->s, "attic", &q, NULL), ==, 0);
	g_assert_cmpint(q.id[0], ==, 2);
	kerr_clear(&err);
	g_assert_cmpint(store_peer_by_name(f->s, "cellar", &q, &err), ==, -ENOENT);
	g_assert_cmpint((int)err.code, ==, KCODE_PEER_UNKNOWN);
	g_assert_cmpint(store_peer_list(f->s, &list, &n, NULL), ==, 0);
	g_assert_cmpuint(n, ==, 2);
	g_assert_cmpstr(list[0].name, ==, "attic");
	g_assert_cmpstr(list[1].name, ==, "desktop");
	free(list);
	g_strlcpy(p.name, "bad\nname", sizeof(p.name));
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, -EINVAL);
	make_peer(&p, "x", 9);
	p.role = _DEVICE_ROLE_MAX;
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, -EINVAL);
}

static void test_peer_limit(struct fixture *f, const void *data _unused_)
{
	struct store_peer p;
	struct kerr err = {0};

	for (unsigned i = 0; i < STORE_PEERS_MAX; i++) {
		char name[16];

		g_snprintf(name, sizeof(name), "device%u", i);
		make_peer(&p, name, (uint8_t)i);
		g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	}
	make_peer(&p, "more", 200);
	g_assert_cmpint(store_peer_put(f->s, &p, &err), ==, -EBUSY);
	make_peer(&p, "renamed", 3);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	make_peer(&p, "device5", 5);
	g_assert_cmpint(store_peer_revoke(f->s, p.id, NULL), ==, 0);
	make_peer(&p, "more", 200);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
}

static int set_evidence(struct fixture *f, const struct store_peer *p, uint64_t time,
			const struct pcr_set *pcrs, const char *versions, enum verdict verdict,
			const struct kerr *why)
{
	struct quote_info quote = {.clock = time, .reset_count = 1, .safe = 1, .signer = {5}};
	struct store_evidence e = {time, pcrs, versions, &quote};

	return store_peer_set_verdict(f->s, p->id, verdict, why, &e, NULL);
}

/* What the owner is shown at this moment, and his yes to it. */
static int accept_shown(struct fixture *f, const struct store_peer *peer, uint32_t required,
			struct kerr *err)
{
	struct policyd_trust shown;
	struct store_peer p;

	g_assert_cmpint(store_peer_get(f->s, peer->id, &p, NULL), ==, 0);
	store_peer_to_trust(&p, &shown);
	return store_peer_accept(f->s, p.id, required, shown.hash, err);
}

/* H1: neither less than before, nor less than is asked for, nor what can be reset, nor something
 * else than was shown. */
static void test_accept(struct fixture *f, const void *data _unused_)
{
	struct kerr why = {KCODE_ATTEST_PCR, "PCR 7 differs."}, err = {0};
	struct pcr_set pcrs = {.mask = 1u << 0 | 1u << 7 | 1u << 16};
	struct policyd_trust shown;
	struct store_peer p;

	make_peer(&p, "desktop", 1);
	p.reference_mask = 1u << 7;
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	for (unsigned i = 0; i < PCR_COUNT; i++)
		memset(pcrs.values[i], 0x20 + (int)i, HASH_LEN / 2);
	g_assert_cmpint(set_evidence(f, &p, 1000, &pcrs, "qemu", VERDICT_UNTRUSTED, &why), ==, 0);
	g_assert_cmpint(accept_shown(f, &p, 1u << 4, &err), <, 0);
	g_assert_cmpint((int)err.code, ==, KCODE_ATTEST_QUOTE);
	kerr_clear(&err);
	g_assert_cmpint(store_peer_get(f->s, p.id, &p, NULL), ==, 0);
	store_peer_to_trust(&p, &shown);
	pcrs.values[0][9] ^= 1;
	g_assert_cmpint(set_evidence(f, &p, 1000, &pcrs, "qemu", VERDICT_UNTRUSTED, &why), ==, 0);
	g_assert_cmpint(store_peer_accept(f->s, p.id, 1u << 0, shown.hash, &err), ==, -ESTALE);
	g_assert_nonnull(strstr(err.text, "Look again"));
	kerr_clear(&err);
	memset(pcrs.values[7], 0, HASH_LEN);
	g_assert_cmpint(set_evidence(f, &p, 1001, &pcrs, "qemu", VERDICT_UNTRUSTED, &why), ==, 0);
	g_assert_cmpint(accept_shown(f, &p, 1u << 0, &err), <, 0);
	g_assert_cmpint((int)err.code, ==, KCODE_ATTEST_PCR);
	kerr_clear(&err);
	pcrs.values[7][0] = 7;
	g_assert_cmpint(set_evidence(f, &p, 1002, &pcrs, "qemu", VERDICT_UNTRUSTED, &why), ==, 0);
	/* The twin. What it was measured by before stays, 16 is not taken. */
	g_assert_cmpint(accept_shown(f, &p, 1u << 0, &err), ==, 0);
	g_assert_cmpint(store_peer_get(f->s, p.id, &p, NULL), ==, 0);
	g_assert_cmpuint(p.reference_mask, ==, 1u << 0 | 1u << 7);
	g_assert_cmpint(p.reference[7][0], ==, 7);
	g_assert_cmpint(p.reference[16][0], ==, 0);
	g_assert_true(p.quoted);
	g_assert_cmpuint(p.quote.clock, ==, 1002);
	g_assert_cmpint(p.quote.signer[0], ==, 5);
}

static void test_trust(struct fixture *f, const void *data _unused_)
{
	struct kerr none = {0}, why = {KCODE_ATTEST_PCR, "PCR 7 differs."}, err = {0};
	struct pcr_set seen = {.mask = 1u << 7, .values = {{1}}};
	uint8_t nothing[HASH_LEN] = {0};
	struct policyd_trust t;
	struct policyd_peer w;
	struct store_peer p;

	make_peer(&p, "desktop", 1);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(store_peer_accept(f->s, p.id, 1u << 7, nothing, &err), ==, -EAGAIN);
	g_assert_cmpint((int)err.code, ==, KCODE_NOT_READY);
	seen.values[7][3] = 0x77;
	g_assert_cmpint(set_evidence(f, &p, 1000, &seen, "qemu 7.2", VERDICT_UNTRUSTED, &why), ==,
			0);
	/* Sticky: neither time nor a failing verifier makes it better. */
	g_assert_cmpint(store_peer_set_verdict(f->s, p.id, VERDICT_STALE, &none, NULL, NULL), ==,
			0);
	g_assert_cmpint(store_peer_set_verdict(f->s, p.id, VERDICT_UNKNOWN, &none, NULL, NULL), ==,
			0);
	g_assert_cmpint(store_peer_get(f->s, p.id, &p, NULL), ==, 0);
	g_assert_cmpint((int)p.verdict, ==, VERDICT_UNTRUSTED);
	g_assert_cmpstr(p.reason.text, ==, "PCR 7 differs.");
	g_assert_cmpint(accept_shown(f, &p, 1u << 7, NULL), ==, 0);
	g_assert_cmpint(store_peer_get(f->s, p.id, &p, NULL), ==, 0);
	g_assert_cmpint((int)p.verdict, ==, VERDICT_TRUSTED);
	g_assert_cmpint((int)p.reason.code, ==, KCODE_OK);
	g_assert_cmpuint(p.reference_mask, ==, 1u << 7);
	g_assert_cmpint(p.reference[7][3], ==, 0x77);
	/* From trusted it may go anywhere. */
	g_assert_cmpint(store_peer_set_verdict(f->s, p.id, VERDICT_STALE, &none, NULL, NULL), ==,
			0);
	g_assert_cmpint(store_peer_get(f->s, p.id, &p, NULL), ==, 0);
	g_assert_cmpint((int)p.verdict, ==, VERDICT_STALE);

	seen.values[7][3] = 0x78;
	seen.mask |= 1;
	g_assert_cmpint(set_evidence(f, &p, 1001, &seen, "qemu 8", VERDICT_TRUSTED, &none), ==, 0);
	g_assert_cmpint(store_peer_get(f->s, p.id, &p, NULL), ==, 0);
	store_peer_to_trust(&p, &t);
	g_assert_cmpuint(t.pcrs, ==, 1u << 7 | 1);
	g_assert_cmpint(t.now[7][3], ==, 0x78);
	g_assert_cmpint(t.want[7][3], ==, 0x77);
	g_assert_cmpint(t.now[0][0], ==, 1);
	g_assert_cmpint(t.want[0][0], ==, 0);
	g_assert_cmpstr(t.versions, ==, "qemu 8");
	store_peer_to_wire(&p, &w);
	g_assert_cmpstr(w.name, ==, "desktop");
	g_assert_cmpuint(w.evidence_time, ==, 1001);
}

/* The longest text of versions, whose last character has two bytes, is kept and shown whole. */
static void test_versions(struct fixture *f, const void *data _unused_)
{
	static const struct pcr_set seen = {.mask = 1u << 7};
	static const struct kerr none;
	char versions[EVIDENCE_VERSIONS_MAX + 1];
	struct policyd_trust shown, back;
	struct store_peer p;
	uint8_t buf[4096];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	memset(versions, 'x', sizeof(versions));
	memcpy(versions, "qemu=", 5);
	memcpy(versions + EVIDENCE_VERSIONS_MAX - 2, "\xc3\xa9", 3);
	g_assert_true(evidence_versions_valid(versions));
	make_peer(&p, "desktop", 1);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(set_evidence(f, &p, 1000, &seen, versions, VERDICT_TRUSTED, &none), ==, 0);
	g_assert_cmpint(store_peer_get(f->s, p.id, &p, NULL), ==, 0);
	store_peer_to_trust(&p, &shown);
	g_assert_cmpint(policyd_trust_put(&w, &shown), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(policyd_trust_get(&r, &back), ==, 0);
	g_assert_cmpstr(back.versions, ==, versions);
}

/* A device that was forgotten stays unknown, also after an older copy is put back. */
static void test_revoked(struct fixture *f, const void *data _unused_)
{
	_cleanup_free_ uint8_t *before = NULL;
	struct store_peer p, q;
	struct kerr err = {0};
	size_t len;

	make_peer(&p, "bobs", 1);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(store_commit(f->s, COMMIT_GUARDED, NULL), ==, 0);
	g_assert_cmpint(file_read(f->dir, STORE_FILE, STORE_FILE_MAX, &before, &len), ==, 0);
	g_assert_cmpint(store_peer_is_revoked(f->s, p.id), ==, 0);
	g_assert_cmpint(store_peer_revoke(f->s, p.id, NULL), ==, 0);
	g_assert_cmpint(store_commit(f->s, COMMIT_GUARDED, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_peer_is_revoked(f->s, p.id), ==, 1);
	g_assert_cmpint(store_peer_get(f->s, p.id, &q, &err), ==, -ENOENT);
	g_assert_cmpint((int)err.code, ==, KCODE_PEER_UNKNOWN);
	g_assert_cmpint(store_peer_by_name(f->s, "bobs", &q, NULL), ==, -ENOENT);
	g_assert_cmpint(store_peer_set_verdict(f->s, p.id, VERDICT_TRUSTED, &err, NULL, NULL), ==,
			-ENOENT);
	g_assert_cmpint(store_peer_accept(f->s, p.id, 1u << 7, p.id, NULL), ==, -ENOENT);
	/* Its name is free, and a new pairing brings it back. */
	make_peer(&q, "bobs", 2);
	g_assert_cmpint(store_peer_put(f->s, &q, NULL), ==, 0);
	store_rollback(f->s);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(store_peer_get(f->s, p.id, &q, NULL), ==, 0);
	store_rollback(f->s);

	g_assert_cmpint(file_write_atomic(f->dir, STORE_FILE, before, len, 0600), ==, 0);
	g_assert_cmpint(reopen(f, &err), ==, -ESTALE);
}

/* What is not as it was written is not read, and what would not be read is not written. */
static void test_bad_rows(struct fixture *f, const void *data _unused_)
{
	static const char *const edits[] = {
		"UPDATE peers SET role=99",
		"UPDATE peers SET own=2",
		"UPDATE peers SET evidence_time=-1",
		"UPDATE peers SET reference_mask=1<<24",
		"UPDATE peers SET quote_resets=1<<32",
		"UPDATE peers SET sign_pk=zeroblob(31)",
		"UPDATE peers SET sign_pk=zeroblob(33)",
		"UPDATE peers SET record=zeroblob(4097)",
		"UPDATE peers SET name=cast(x'610062' AS TEXT)",
		"UPDATE peers SET person=printf('%064d', 0)",
	};
	struct store_peer p, *list;
	struct kerr err = {0};
	size_t n;

	make_peer(&p, "desktop", 1);
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, NULL), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(edits); i++) {
		kerr_clear(&err);
		g_assert_cmpint(sql_change(f->s, NULL, edits[i]), ==, 0);
		g_assert_cmpint(store_peer_get(f->s, p.id, &p, &err), ==, -EBADMSG);
		g_assert_nonnull(strstr(err.text, "not as it should be"));
		g_assert_cmpint(store_peer_list(f->s, &list, &n, NULL), ==, -EBADMSG);
		store_rollback(f->s);
	}
	g_assert_cmpint(store_peer_get(f->s, p.id, &p, NULL), ==, 0);
	p.record_len = sizeof(p.record) + 1;
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, -EINVAL);
	make_peer(&p, "desktop", 1);
	p.evidence_time = UINT64_MAX;
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, -ERANGE);
	p.evidence_time = INT64_MAX;
	p.quote.clock = UINT64_MAX;
	g_assert_cmpint(store_peer_put(f->s, &p, NULL), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
#define ADD(name, data, fn) g_test_add(name, struct fixture, data, setup, fn, teardown)
	ADD("/peers/put and found", NULL, test_peers);
	ADD("/peers/they are limited", NULL, test_peer_limit);
	ADD("/peers/verdicts and references", NULL, test_trust);
	ADD("/peers/the longest versions are kept whole", NULL, test_versions);
	ADD("/peers/H1 what an owner accepts", NULL, test_accept);
	ADD("/peers/a row that cannot be", NULL, test_bad_rows);
	ADD("/peers/P9 a forgotten device stays unknown", NULL, test_revoked);
	return g_test_run();
}
