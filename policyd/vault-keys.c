/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in a row and back; nothing about where they lie. */
#include "policyd/vault-keys.h"

#include <sodium.h>

#include "base/code.h"

#define FORMAT_VERSION 1

void vault_keys_clear(struct vault_keys *k)
{
	secret_clear(&k->db);
	secret_clear(&k->authority);
	*k = (struct vault_keys){0};
}

void vault_counter_auth(const struct vault_keys *k, uint8_t ret[TPM_COUNTER_AUTH_LEN])
{
	static const char context[] = "kith-counter-auth-v1";

	crypto_generichash(ret, TPM_COUNTER_AUTH_LEN, (const uint8_t *)context, sizeof(context) - 1,
			   k->db.data, k->db.len);
}

void vault_pack(const struct vault_keys *k, uint8_t ret[VAULT_SECRETS_LEN])
{
	memcpy(ret, k->db.data, VAULT_KEY_LEN);
	memcpy(ret + VAULT_KEY_LEN, k->authority.data, VAULT_KEY_LEN);
}

int vault_unpack(const uint8_t secrets[VAULT_SECRETS_LEN], const struct p256_public *pub,
		 struct vault_keys *ret)
{
	_cleanup_vault_keys_ struct vault_keys k = {.authority_pub = *pub};
	int r = secret_from(secrets, VAULT_KEY_LEN, &k.db);

	if (r == 0)
		r = secret_from(secrets + VAULT_KEY_LEN, VAULT_KEY_LEN, &k.authority);
	if (r < 0)
		return r;
	*ret = TAKE_STRUCT(k);
	return 0;
}

void vault_mark(struct coder *c, uint32_t magic)
{
	uint32_t m = magic;
	uint8_t version = FORMAT_VERSION;

	code_u32(c, &m);
	code_u8(c, &version);
	code_check(c, m == magic && version == FORMAT_VERSION);
}
