/* SPDX-License-Identifier: Apache-2.0 */
/* Text and use of the recovery key; no file. */
#include "policyd/recovery-key.h"

#include <sodium.h>
#include <string.h>

#include "base/box.h"

#define KEY_SYMBOLS 32
#define SYMBOLS (KEY_SYMBOLS + 3) /* five bits each; the checksum comes last */
#define GROUP 5

/* No I, L, O, U: nothing that reads like another character or as a word. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The checksum has fifteen bits: one mistyped key in 32,768 passes, and then fails to decrypt. */
static void to_symbols(const uint8_t key[RECOVERY_KEY_LEN], uint8_t ret[SYMBOLS])
{
	static const char context[] = "kith-recovery-checksum-v1";
	uint8_t h[crypto_generichash_BYTES_MIN];

	memset(ret, 0, SYMBOLS);
	for (size_t bit = 0; bit < RECOVERY_KEY_LEN * 8; bit++)
		if (key[bit / 8] >> (7 - bit % 8) & 1)
			ret[bit / 5] |= (uint8_t)(16 >> bit % 5);
	crypto_generichash(h, sizeof(h), key, RECOVERY_KEY_LEN, (const uint8_t *)context,
			   sizeof(context) - 1);
	for (size_t i = 0; KEY_SYMBOLS + i < SYMBOLS; i++)
		ret[KEY_SYMBOLS + i] = h[i] & 31;
	sodium_memzero(h, sizeof(h));
}

void recovery_key_format(const uint8_t key[RECOVERY_KEY_LEN], char ret[VAULT_RECOVERY_TEXT])
{
	uint8_t symbols[SYMBOLS];
	size_t n = 0;

	to_symbols(key, symbols);
	for (size_t i = 0; i < SYMBOLS; i++) {
		if (i && i % GROUP == 0)
			ret[n++] = '-';
		ret[n++] = alphabet[symbols[i]];
	}
	ret[n] = '\0';
	sodium_memzero(symbols, sizeof(symbols));
}

static int symbol_of(char c)
{
	const char *p;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	p = strchr(alphabet, c);
	return p ? (int)(p - alphabet) : -1;
}

static int read_symbols(const char *text, uint8_t ret[SYMBOLS])
{
	size_t n = 0;

	for (; *text; text++) {
		int v;

		if (strchr("- \t\r\n", *text))
			continue;
		v = symbol_of(*text);
		if (v < 0 || n == SYMBOLS)
			return -EINVAL;
		ret[n++] = (uint8_t)v;
	}
	return n == SYMBOLS ? 0 : -EINVAL;
}

int recovery_key_parse(const char *text, uint8_t ret[RECOVERY_KEY_LEN])
{
	uint8_t symbols[SYMBOLS], want[SYMBOLS], key[RECOVERY_KEY_LEN] = {0};
	int r = read_symbols(text, symbols);

	for (size_t bit = 0; r == 0 && bit < RECOVERY_KEY_LEN * 8; bit++)
		if (symbols[bit / 5] & 16 >> bit % 5)
			key[bit / 8] |= (uint8_t)(128 >> bit % 8);
	to_symbols(key, want);
	if (r == 0 && sodium_memcmp(symbols, want, SYMBOLS) != 0)
		r = -EINVAL;
	if (r == 0)
		memcpy(ret, key, sizeof(key));
	sodium_memzero(symbols, sizeof(symbols));
	sodium_memzero(want, sizeof(want));
	sodium_memzero(key, sizeof(key));
	return r;
}

/* No slow hash: the key has 160 random bits. The context separates it from other uses. */
int recovery_key_derive(const uint8_t key[RECOVERY_KEY_LEN], struct secret *ret)
{
	static const char context[] = "kith-recovery-v1";
	int r = secret_new(BOX_KEY_LEN, ret);

	if (r == 0)
		crypto_generichash(ret->data, ret->len, (const uint8_t *)context,
				   sizeof(context) - 1, key, RECOVERY_KEY_LEN);
	return r;
}
