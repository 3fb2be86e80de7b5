/* SPDX-License-Identifier: Apache-2.0 */
/* Wire forms of policyd, custody statements and chains: the first byte picks the decoder; what
 * decodes must encode to the very bytes it came from. */
#include <string.h>

#include "policyd/custody-chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEFINE_AGAIN(type)                                      \
	static int again_##type(struct rbuf *r, struct wbuf *w) \
	{                                                       \
		static struct policyd_##type v;                 \
                                                                \
		if (policyd_##type##_get(r, &v) < 0)            \
			return -EBADMSG;                        \
		policyd_##type##_put(w, &v);                    \
		return 0;                                       \
	}

DEFINE_AGAIN(status)
DEFINE_AGAIN(pair_status)
DEFINE_AGAIN(peer)
DEFINE_AGAIN(trust)
DEFINE_AGAIN(plan)
DEFINE_AGAIN(audit)
DEFINE_AGAIN(vm)
DEFINE_AGAIN(grant)
DEFINE_AGAIN(open)
DEFINE_AGAIN(conversation)

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
	static int (*const again[])(struct rbuf * r, struct wbuf * w) = {
		again_status, again_pair_status, again_peer,  again_trust, again_plan,
		again_audit,  again_vm,		 again_grant, again_open,  again_conversation,
	};
	static uint8_t out[65536];
	struct wbuf w = wbuf_init(out, sizeof(out));
	struct rbuf r;
	size_t used;

	if (size == 0)
		return 0;
	if (data[0] == ARRAY_SIZE(again)) {
		statement(data + 1, size - 1);
		return 0;
	}
	if (data[0] == ARRAY_SIZE(again) + 1)
		chain(data + 1, size - 1);
	if (data[0] > ARRAY_SIZE(again))
		return 0;
	r = rbuf_init(data + 1, size - 1);
	if (again[data[0]](&r, &w) < 0)
		return 0;
	used = size - 1 - r.left;
	if (wbuf_error(&w) < 0 || w.len != used || memcmp(out, data + 1, used) != 0)
		abort();
	return 0;
}
