/* SPDX-License-Identifier: Apache-2.0 */
/* Input: blob AK public, then evidence. No input may give a trusted verdict; what decodes has one
 * encoding. */
#include "attest/evidence.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(_unused_ int *argc, _unused_ char ***argv)
{
	setenv("TSS2_LOG", "all+NONE", 1);
	return sodium_init() < 0 ? -1 : 0;
}

static void round_trip(const struct evidence *ev, const uint8_t *data, size_t len)
{
	static uint8_t again[EVIDENCE_MAX];
	struct wbuf w = wbuf_init(again, sizeof(again));

	if (evidence_put(&w, ev) < 0 || w.len != len || memcmp(again, data, len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);
	struct evidence ev = {0};
	uint8_t qualifying[HASH_LEN], name[TPM_NAME_LEN];
	struct kerr err = {0};
	size_t ak_len;
	const uint8_t *ak = rbuf_blob(&r, TPM_PUBLIC_MAX, &ak_len), *body = r.data;
	size_t body_len = r.left;

	if (!ak)
		return 0;
	if (quote_ak_check(ak, ak_len, NULL) >= 0 && quote_ak_name(ak, ak_len, name) < 0)
		abort();
	quote_ek_check(ak, ak_len, NULL);
	if (evidence_get(&r, &ev) < 0)
		return 0;
	round_trip(&ev, body, body_len);
	/* Nobody signs for this qualifying data, so nothing but a refusal is right. */
	memset(qualifying, 0x5b, sizeof(qualifying));
	if (evidence_judge(&ev, ak, ak_len, qualifying, &ev.pcrs, NULL, &err) == VERDICT_TRUSTED ||
	    err.code == KCODE_OK || !text_is_clean(err.text))
		abort();
	return 0;
}
