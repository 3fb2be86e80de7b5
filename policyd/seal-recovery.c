/* SPDX-License-Identifier: Apache-2.0 */
/* The file vault.recovery: both keys in a box of each valid recovery key. */
#include "policyd/seal-recovery.h"

#include "base/box.h"
#include "base/code.h"
#include "base/file.h"

#define RECOVERY_MAGIC 0x4352564bu /* "KVRC" */

/* What stands before a box: magic, version, and a number that is always zero. Each box stands for
 * that and for the words behind it. */
#define HEADER_LEN 13
static const char context[] = "KBOX\1\0\0\0\0\0\0\0\0vault-recovery";
#define CONTEXT_LEN (sizeof(context) - 1)

#define KEYS_LEN (VAULT_SECRETS_LEN + sizeof(struct p256_public))
#define ENTRY_LEN (HEADER_LEN + BOX_OVERHEAD + KEYS_LEN)
#define ENTRIES_MAX 4 /* more than two only after renewals that were broken off */

/* u32 magic, u8 version, entries, the newest recovery key's last. There is one, and for the moment
 * of a renewal two: each opens until the new one was shown. */
struct entries {
	size_t n;
	uint8_t list[ENTRIES_MAX][ENTRY_LEN];
};

static void entries_code(struct coder *c, struct entries *v)
{
	size_t len = ENTRY_LEN;

	vault_mark(c, RECOVERY_MAGIC);
	if (c->r)
		v->n = c->r->left / (4 + ENTRY_LEN);
	code_check(c, v->n && v->n <= ENTRIES_MAX);
	for (size_t i = 0; code_good(c) && i < v->n; i++) {
		code_array(c, v->list[i], &len, ENTRY_LEN);
		code_check(c, len == ENTRY_LEN);
	}
}

static int read_entries(int dirfd, struct entries *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct entries e = {0};
	struct rbuf rb;
	size_t len;
	int r = file_read(dirfd, VAULT_RECOVERY_FILE, VAULT_FILE_MAX, &data, &len);

	if (r < 0)
		return r;
	rb = rbuf_init(data, len);
	entries_code(&(struct coder){.r = &rb}, &e);
	if (rbuf_end(&rb) < 0)
		return -EBADMSG;
	*ret = e;
	return 0;
}

static int write_entries(int dirfd, struct entries *e)
{
	uint8_t file[16 + sizeof(*e)];
	struct wbuf w = wbuf_init(file, sizeof(file));

	entries_code(&(struct coder){.w = &w}, e);
	if (wbuf_error(&w) < 0)
		return wbuf_error(&w);
	return file_write_atomic(dirfd, VAULT_RECOVERY_FILE, file, w.len, 0600);
}

static int append(struct entries *e, const struct secret *wrap, const struct vault_keys *keys)
{
	_cleanup_secret_ struct secret plain = SECRET_INIT;
	int r = secret_new(KEYS_LEN, &plain);

	if (r < 0)
		return r;
	vault_pack(keys, plain.data);
	memcpy(plain.data + VAULT_SECRETS_LEN, keys->authority_pub.x, P256_LEN);
	memcpy(plain.data + VAULT_SECRETS_LEN + P256_LEN, keys->authority_pub.y, P256_LEN);
	/* The first is the last one that was settled: it goes only by settling. */
	if (e->n == ENTRIES_MAX)
		memmove(e->list[1], e->list[2], (--e->n - 1) * ENTRY_LEN);
	memcpy(e->list[e->n], context, HEADER_LEN);
	box_seal(wrap->data, context, CONTEXT_LEN, plain.data, KEYS_LEN,
		 e->list[e->n] + HEADER_LEN);
	e->n++;
	return 0;
}

/* A new key beside those in `e`, written. */
static int add(int dirfd, struct entries *e, const struct vault_keys *keys,
	       char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err)
{
	_cleanup_secret_ struct secret key = SECRET_INIT, wrap = SECRET_INIT;
	int r;

	r = secret_random(RECOVERY_KEY_LEN, &key);
	if (r == 0)
		r = recovery_key_derive(key.data, &wrap);
	if (r == 0)
		r = append(e, &wrap, keys);
	if (r == 0)
		r = write_entries(dirfd, e);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED,
				"The recovery file cannot be written: %s. The earlier key, if any, "
				"stays valid.",
				strerror(-r));
	recovery_key_format(key.data, ret_recovery);
	return 0;
}

int vault_recovery_first(int dirfd, const struct vault_keys *keys,
			 char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err)
{
	return add(dirfd, &(struct entries){0}, keys, ret_recovery, err);
}

int vault_recovery_add(int dirfd, const struct vault_keys *keys,
		       char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err)
{
	struct entries e = {0};
	int r = read_entries(dirfd, &e);

	/* A damaged file opens nothing any more; this mends it. */
	if (r < 0 && r != -ENOENT && r != -EBADMSG && r != -EFBIG)
		return kerr_set(err, -r, KCODE_FAILED, "The recovery file cannot be read: %s.",
				strerror(-r));
	return add(dirfd, &e, keys, ret_recovery, err);
}

int vault_recovery_settle(int dirfd, bool newest)
{
	struct entries e;
	int r = read_entries(dirfd, &e);

	if (r < 0)
		return r;
	if (e.n == 1)
		return 0;
	if (newest)
		memmove(e.list[0], e.list[e.n - 1], ENTRY_LEN);
	e.n = newest ? 1 : e.n - 1;
	return write_entries(dirfd, &e);
}

static int open_entries(const struct entries *e, const struct secret *wrap, struct vault_keys *ret)
{
	_cleanup_secret_ struct secret plain = SECRET_INIT;
	struct p256_public pub;
	int r = secret_new(KEYS_LEN, &plain), opened = -EBADMSG;

	if (r < 0)
		return r;
	for (size_t i = e->n; opened < 0 && i-- > 0;)
		if (memcmp(e->list[i], context, HEADER_LEN) == 0)
			opened = box_open(wrap->data, context, CONTEXT_LEN, e->list[i] + HEADER_LEN,
					  ENTRY_LEN - HEADER_LEN, plain.data);
	if (opened < 0)
		return -EKEYREJECTED;
	memcpy(pub.x, plain.data + VAULT_SECRETS_LEN, P256_LEN);
	memcpy(pub.y, plain.data + VAULT_SECRETS_LEN + P256_LEN, P256_LEN);
	return vault_unpack(plain.data, &pub, ret);
}

int vault_recover(int dirfd, const char *recovery, struct vault_keys *ret, struct kerr *err)
{
	_cleanup_secret_ struct secret key = SECRET_INIT, wrap = SECRET_INIT;
	struct entries entries;
	int r;

	r = secret_new(RECOVERY_KEY_LEN, &key);
	if (r == 0 && recovery_key_parse(recovery, key.data) < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"That is not a recovery key as it was shown: a character is wrong "
				"or missing. Type all 35 again.");
	if (r == 0)
		r = recovery_key_derive(key.data, &wrap);
	if (r == 0)
		r = read_entries(dirfd, &entries);
	if (r == -ENOENT)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no recovery file here, so no key can open anything.");
	if (r == 0)
		r = open_entries(&entries, &wrap, ret);
	if (r == -EKEYREJECTED)
		return kerr_set(
			err, EKEYREJECTED, KCODE_LOCKED,
			"This recovery key does not open this device's vault: it is another "
			"device's, or was replaced.");
	if (r == -EBADMSG || r == -EFBIG)
		return kerr_set(err, EBADMSG, KCODE_LOCKED, "The recovery file is damaged.");
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Recovery failed: %s.", strerror(-r));
	return 0;
}
