/* SPDX-License-Identifier: Apache-2.0 */
/* Packing and unpacking. */
#include "mover/luggage.h"

#include <sodium.h>
#include <string.h>

static const char *const luggage_kind_names[_LUGGAGE_MAX] = {
	[LUGGAGE_NVRAM] = "nvram",
	[LUGGAGE_DEFINITION] = "definition",
};
DEFINE_NAMES(luggage_kind, enum luggage_kind, _LUGGAGE_MAX)

void luggage_clear(struct luggage *l)
{
	free(l->data);
	*l = (struct luggage){0};
}

static void hash(const uint8_t *data, size_t len, uint8_t ret[LUGGAGE_HASH_LEN])
{
	crypto_generichash(ret, LUGGAGE_HASH_LEN, data, len, NULL, 0);
}

void luggage_announce(const struct luggage *l, struct frame_packed *ret)
{
	*ret = (struct frame_packed){.len = (uint32_t)l->len};
	if (l->len)
		hash(l->data, l->len, ret->hash);
}

int luggage_take(struct luggage *l, const struct frame_packed *announced, const uint8_t *piece,
		 size_t len)
{
	uint8_t is[LUGGAGE_HASH_LEN];

	if (!len || len > announced->len - l->len)
		return -EBADMSG;
	if (!l->data)
		l->data = malloc(announced->len);
	if (!l->data)
		return -ENOMEM;
	memcpy(l->data + l->len, piece, len);
	l->len += len;
	if (l->len < announced->len)
		return 0;
	hash(l->data, l->len, is);
	return memcmp(is, announced->hash, sizeof(is)) == 0 ? 1 : -EBADMSG;
}
