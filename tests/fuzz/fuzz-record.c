/* SPDX-License-Identifier: Apache-2.0 */
/* Device records: what decodes is within its bounds, and nothing is signed by this owner. */
#include "attest/record.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(_unused_ int *argc, _unused_ char ***argv)
{
	return sodium_init() < 0 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[32] = {0x77};
	uint8_t pk[SIGN_PK_LEN], sk[64];
	struct device_record rec;
	struct kerr err = {0};

	if (record_decode(data, size, &rec) < 0)
		return 0;
	if (!text_is_name(rec.name, NAME_MAX_LEN) || rec.ak_public_len > TPM_PUBLIC_MAX ||
	    (unsigned)rec.role >= _DEVICE_ROLE_MAX || (unsigned)rec.tier >= _TPM_TIER_MAX)
		abort();
	crypto_sign_seed_keypair(pk, sk, seed);
	if (record_verify(data, size, pk, 0, &rec, &err) >= 0 || err.code == KCODE_OK)
		abort();
	/* Its own owner may have signed it: the path behind the owner check. */
	record_verify(data, size, rec.owner_pk, 0, &rec, NULL);
	return 0;
}
