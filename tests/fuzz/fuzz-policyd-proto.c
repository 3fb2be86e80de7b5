/* SPDX-License-Identifier: Apache-2.0 */
/* The record engine (base/code.h) under every record of policyd, custody statements and chains: the
 * first byte picks which; what decodes must encode to the very bytes it came from. */
#include <string.h>

#include "policyd/custody-chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Seeds name the first ten by number; the others follow as policyd/api/requests.h has them. */
#define STATEMENT 10
#define CHAIN 11
#define ROW(op, number, name, who, needs, max, request, reply, list, handler) \
	&policyd_##request##_record, &policyd_##reply##_record,
static const struct record *const records[] = {&policyd_status_record,
					       &policyd_pair_status_record,
					       &policyd_peer_record,
					       &policyd_trust_record,
					       &policyd_plan_record,
					       &policyd_audit_record,
					       &policyd_vm_record,
					       &policyd_grant_record,
					       &policyd_open_record,
					       &policyd_conversation_record,
					       NULL,
					       NULL,
					       POLICYD_REQUESTS(ROW)};

/* Signing writes the fields again; the signature itself cannot be the same. */
static void statement(const uint8_t *data, size_t size)
{
	static const uint8_t pk[SIGN_PK_LEN];
	uint8_t again[CUSTODY_STATEMENT_LEN], sk[64] = {0};
	struct custody_statement s;

	if (custody_statement_parse(data, size, &s) < 0)
		return;
	if (custody_statement_verify(data, size, pk, &s, NULL) == 0)
		abort();
	custody_statement_sign(&s, sk, again);
	if (memcmp(again, data, sizeof(again) - SIGN_LEN) != 0)
		abort();
}

static bool nobody(void *ctx _unused_, const uint8_t id[DEVICE_ID_LEN] _unused_)
{
	return false;
}

/* Nobody has the owner's key, so nothing verifies. */
static void chain(const uint8_t *data, size_t size)
{
	static const uint8_t zero[SIGN_PK_LEN];
	struct custody_chain_rules rules = {.uuid = zero, .owner_pk = zero, .is_own = nobody};
	struct custody_chain_end end;

	if (custody_chain_verify(data, size, &rules, &end, NULL) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[65536];
	static _Alignas(max_align_t) uint8_t v[RECORD_SIZE_MAX];
	struct wbuf w = wbuf_init(out, sizeof(out));
	struct rbuf r;
	size_t used;

	if (size == 0 || data[0] >= ARRAY_SIZE(records))
		return 0;
	if (data[0] == STATEMENT)
		statement(data + 1, size - 1);
	if (data[0] == CHAIN)
		chain(data + 1, size - 1);
	if (!records[data[0]])
		return 0;
	r = rbuf_init(data + 1, size - 1);
	if (record_get(&r, records[data[0]], v) < 0)
		return 0;
	record_put(&w, records[data[0]], v);
	used = size - 1 - r.left;
	if (wbuf_error(&w) < 0 || w.len != used || memcmp(out, data + 1, used) != 0)
		abort();
	return 0;
}
