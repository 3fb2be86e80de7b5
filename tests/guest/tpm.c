/* SPDX-License-Identifier: Apache-2.0 */
/* TPM 2.0 commands by hand (TCG, TPM 2.0 Library, part 3): the guest has no library. */
#include "tpm.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CC_CREATE_PRIMARY 0x131
#define CC_CREATE 0x153
#define CC_LOAD 0x157
#define CC_UNSEAL 0x15e
#define CC_FLUSH_CONTEXT 0x165
#define RH_OWNER 0x40000001
#define RS_PW 0x40000009
#define HEADER 10

struct tpm {
	int fd;
	uint32_t primary;
	uint64_t key;
	uint8_t sealed[1024]; /* TPM2B_PRIVATE, TPM2B_PUBLIC */
	size_t sealed_len;
};

static const uint8_t secret[16] = "kith-tpm-secret";

struct message {
	uint8_t data[4096];
	size_t len;
};

static void put(struct message *m, uint64_t value, unsigned bytes)
{
	while (bytes--)
		m->data[m->len++] = (uint8_t)(value >> (8 * bytes));
}

static void put_bytes(struct message *m, const void *data, size_t len)
{
	memcpy(m->data + m->len, data, len);
	m->len += len;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static size_t get16(const uint8_t *p)
{
	return (size_t)p[0] << 8 | p[1];
}

/* Begins a command on `handle`, authorised by an empty password. */
static void begin(struct message *m, uint32_t command, uint32_t handle)
{
	m->len = 0;
	put(m, 0x8002, 2);
	put(m, 0, 4); /* size, see ask() */
	put(m, command, 4);
	put(m, handle, 4);
	put(m, 9, 4);
	put(m, RS_PW, 4);
	put(m, 0, 5);
}

/* Sends it and reads the answer into the same message: the response code, -1 for silence. */
static int ask(struct tpm *t, struct message *m)
{
	ssize_t n;

	for (int i = 0; i < 4; i++)
		m->data[2 + i] = (uint8_t)(m->len >> (24 - 8 * i));
	if (write(t->fd, m->data, m->len) != (ssize_t)m->len)
		return -1;
	n = read(t->fd, m->data, sizeof(m->data));
	if (n < HEADER)
		return -1;
	m->len = (size_t)n;
	return (int)get32(m->data + 6);
}

/* FNV-1a: to tell keys apart, nothing more. */
static uint64_t hash(const uint8_t *data, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 0x100000001b3;
	return h;
}

/* A storage key of ECC P-256, as the TCG's profiles have it. */
static int create_primary(struct tpm *t)
{
	static const uint8_t template[] = {
		0x00, 0x1a,			 /* size */
		0x00, 0x23, 0x00, 0x0b,		 /* ECC, SHA-256 */
		0x00, 0x03, 0x00, 0x72, 0, 0,	 /* fixed, restricted, decrypt; no policy */
		0x00, 0x06, 0x00, 0x80, 0, 0x43, /* AES-128-CFB */
		0x00, 0x10, 0x00, 0x03, 0, 0x10, /* no scheme, P-256, no KDF */
		0,    0,    0,	  0,		 /* unique */
	};
	struct message m;
	int r;

	begin(&m, CC_CREATE_PRIMARY, RH_OWNER);
	put(&m, 4, 2);
	put(&m, 0, 4);
	put_bytes(&m, template, sizeof(template));
	put(&m, 0, 6);
	r = ask(t, &m);
	if (r != 0)
		return r;
	t->primary = get32(m.data + HEADER);
	t->key = hash(m.data + HEADER + 8, get16(m.data + HEADER + 8) + 2);
	return 0;
}

static int seal(struct tpm *t)
{
	static const uint8_t template[] = {
		0x00, 0x0e,		      /* size */
		0x00, 0x08, 0x00, 0x0b,	      /* keyed hash, SHA-256 */
		0x00, 0x00, 0x04, 0x52, 0, 0, /* fixed, by password, no lock-out; no policy */
		0x00, 0x10, 0,	  0,	      /* no scheme; unique */
	};
	const uint8_t *at;
	struct message m;
	size_t len;
	int r;

	begin(&m, CC_CREATE, t->primary);
	put(&m, 4 + sizeof(secret), 2);
	put(&m, 0, 2);
	put(&m, sizeof(secret), 2);
	put_bytes(&m, secret, sizeof(secret));
	put_bytes(&m, template, sizeof(template));
	put(&m, 0, 6);
	r = ask(t, &m);
	if (r != 0)
		return r;
	at = m.data + HEADER + 4;
	len = 2 + get16(at);
	len += 2 + get16(at + len);
	if (len > sizeof(t->sealed))
		return -1;
	memcpy(t->sealed, at, len);
	t->sealed_len = len;
	return 0;
}

struct tpm *tpm_open(int *ret_code)
{
	struct tpm *t = calloc(1, sizeof(*t));

	*ret_code = 0;
	if (!t)
		return NULL;
	t->fd = open("/dev/tpm0", O_RDWR | O_CLOEXEC);
	if (t->fd < 0) {
		free(t);
		return NULL;
	}
	*ret_code = create_primary(t);
	if (*ret_code == 0)
		*ret_code = seal(t);
	return *ret_code == 0 ? t : NULL;
}

uint64_t tpm_key(const struct tpm *t)
{
	return t->key;
}

static int flush_context(struct tpm *t, uint32_t handle)
{
	struct message m = {.len = 0};

	put(&m, 0x8001, 2);
	put(&m, 0, 4);
	put(&m, CC_FLUSH_CONTEXT, 4);
	put(&m, handle, 4);
	return ask(t, &m);
}

int tpm_check(struct tpm *t)
{
	struct message m;
	uint32_t item;
	bool same;
	int r;

	begin(&m, CC_LOAD, t->primary);
	put_bytes(&m, t->sealed, t->sealed_len);
	r = ask(t, &m);
	if (r != 0)
		return r;
	item = get32(m.data + HEADER);
	begin(&m, CC_UNSEAL, item);
	r = ask(t, &m);
	if (r != 0)
		return r;
	same = get16(m.data + HEADER + 4) == sizeof(secret) &&
	       memcmp(m.data + HEADER + 6, secret, sizeof(secret)) == 0;
	r = flush_context(t, item);
	return r != 0 ? r : !same;
}
