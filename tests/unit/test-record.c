/* SPDX-License-Identifier: Apache-2.0 */
/* Device records: the owner's word about a device, byte for byte. */
#include <glib.h>

#include "attest/record.h"
#include "tests/unit/softtpm.h"

static uint8_t owner_pk[SIGN_PK_LEN], owner_sk[64], other_pk[SIGN_PK_LEN], other_sk[64];
static struct device_record sample;

static size_t sign(const struct device_record *rec, const uint8_t *sk, uint8_t *ret)
{
	struct wbuf w = wbuf_init(ret, RECORD_MAX);

	return record_sign_with_key(rec, sk, &w) < 0 ? 0 : w.len;
}

static void test_round_trip(void)
{
	uint8_t bytes[RECORD_MAX], id[DEVICE_ID_LEN];
	struct device_record back = {0};
	struct kerr err = {0};
	size_t len = sign(&sample, owner_sk, bytes);

	g_assert_cmpuint(len, >, 0);
	g_assert_cmpint(record_verify(bytes, len, owner_pk, 1500, &back, &err), ==, 0);
	g_assert_cmpstr(back.name, ==, sample.name);
	g_assert_cmpint(back.role, ==, DEVICE_ROLE_LAPTOP);
	g_assert_cmpint(back.tier, ==, TPM_TIER_PINNED);
	g_assert_cmpmem(back.ak_public, (int)back.ak_public_len, sample.ak_public,
			(int)sample.ak_public_len);
	g_assert_cmpmem(back.ek_hash, HASH_LEN, sample.ek_hash, HASH_LEN);
	g_assert_cmpuint(back.issued, ==, 1000);
	g_assert_cmpuint(back.expires, ==, 2000);
	device_id_of(back.sign_pk, id);
	crypto_hash_sha256(bytes, sample.sign_pk, SIGN_PK_LEN);
	g_assert_cmpmem(id, sizeof(id), bytes, sizeof(id));
}

static void test_signature(void)
{
	uint8_t bytes[RECORD_MAX];
	struct device_record back = {.issued = 5};
	struct kerr err = {0};
	size_t len = sign(&sample, owner_sk, bytes);

	g_assert_cmpint(record_verify(bytes, len, other_pk, 1500, &back, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_PEER_KEY);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (record_verify(bytes, len, owner_pk, 1500, &back, NULL) == 0) {
			g_test_message("bit %zu may be flipped", bit);
			g_test_fail();
		}
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++)
		g_assert_cmpint(record_verify(bytes, cut, owner_pk, 1500, &back, NULL), <, 0);
	g_assert_cmpuint(back.issued, ==, 5);
}

/* Another owner's genuine signature over a record that names the expected owner. */
static void test_other_owner(void)
{
	struct device_record back, rec = sample;
	uint8_t bytes[RECORD_MAX];
	struct kerr err = {0};
	size_t len;

	g_assert_cmpuint(sign(&sample, other_sk, bytes), ==, 0); /* does not sign nonsense */
	memcpy(rec.owner_pk, other_pk, sizeof(other_pk));
	len = sign(&rec, other_sk, bytes);
	g_assert_cmpint(record_verify(bytes, len, owner_pk, 1500, &back, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_PEER_KEY);
	g_assert_nonnull(strstr(err.text, "another owner"));
	g_assert_cmpint(record_verify(bytes, len, other_pk, 1500, &back, NULL), ==, 0);
}

static void test_expiry(void)
{
	uint8_t bytes[RECORD_MAX];
	struct device_record back;
	struct kerr err = {0};
	size_t len = sign(&sample, owner_sk, bytes);

	g_assert_cmpint(record_verify(bytes, len, owner_pk, 1999, &back, &err), ==, 0);
	g_assert_cmpint(record_verify(bytes, len, owner_pk, 2000, &back, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_REPLAY);
}

static void test_not_signed(void)
{
	uint8_t bytes[RECORD_MAX];
	struct device_record rec = sample;

	rec.name[0] = '\0';
	g_assert_cmpuint(sign(&rec, owner_sk, bytes), ==, 0);
	rec = sample;
	rec.name[1] = '\n';
	g_assert_cmpuint(sign(&rec, owner_sk, bytes), ==, 0);
	rec = sample;
	rec.version = 2;
	g_assert_cmpuint(sign(&rec, owner_sk, bytes), ==, 0);
	rec = sample;
	rec.role = _DEVICE_ROLE_MAX;
	g_assert_cmpuint(sign(&rec, owner_sk, bytes), ==, 0);
	rec = sample;
	rec.expires = rec.issued;
	g_assert_cmpuint(sign(&rec, owner_sk, bytes), ==, 0);
	rec = sample;
	rec.ak_public_len = 0;
	g_assert_cmpuint(sign(&rec, owner_sk, bytes), ==, 0);
	rec.tier = TPM_TIER_NONE; /* a controller has no attestation key */
	g_assert_cmpuint(sign(&rec, owner_sk, bytes), >, 0);
	rec = sample;
	memset(rec.name, 'n', NAME_MAX_LEN);
	rec.ak_public_len = TPM_PUBLIC_MAX; /* the largest fits */
	g_assert_cmpuint(sign(&rec, owner_sk, bytes), >, 0);
}

int main(int argc, char **argv)
{
	struct softtpm tpm;

	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	softtpm_init(&tpm, 1);
	crypto_sign_keypair(owner_pk, owner_sk);
	crypto_sign_keypair(other_pk, other_sk);
	sample = (struct device_record){
		.version = RECORD_VERSION,
		.name = "Tom's laptop",
		.role = DEVICE_ROLE_LAPTOP,
		.tier = TPM_TIER_PINNED,
		.ak_public_len = tpm.ak_public_len,
		.issued = 1000,
		.expires = 2000,
	};
	memcpy(sample.ak_public, tpm.ak_public, tpm.ak_public_len);
	memcpy(sample.owner_pk, owner_pk, sizeof(owner_pk));
	randombytes_buf(sample.sign_pk, sizeof(sample.sign_pk));
	randombytes_buf(sample.ek_hash, sizeof(sample.ek_hash));
	g_test_add_func("/record/round trip", test_round_trip);
	g_test_add_func("/record/every bit is signed", test_signature);
	g_test_add_func("/record/another owner", test_other_owner);
	g_test_add_func("/record/expiry", test_expiry);
	g_test_add_func("/record/what is not signed", test_not_signed);
	return g_test_run();
}
