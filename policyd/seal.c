/* SPDX-License-Identifier: Apache-2.0 */
/* The vault files, the recovery key, and the AEAD box for files under the database key. */
#include "policyd/seal.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"

#define SEALED_MAGIC 0x4c53564bu   /* "KVSL" */
#define RECOVERY_MAGIC 0x4352564bu /* "KVRC" */
#define BOX_MAGIC 0x584f424bu	   /* "KBOX" */
#define FORMAT_VERSION 1
#define VAULT_FILE_MAX 8192

#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES

/* PCRs that software may reset at any time (TCG PC Client: 16 debug, 23 application). */
#define PCR_RESETTABLE (1u << 16 | 1u << 23)

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

static void keys_move(struct vault_keys *from, struct vault_keys *ret)
{
	*ret = *from;
	*from = (struct vault_keys){0};
}

/* -- Recovery key: 160 random bits and a checksum, as text -- */

#define RECOVERY_BYTES 20
#define RECOVERY_DATA_CHARS 32
#define RECOVERY_CHARS 35
#define RECOVERY_GROUP 5

/* No I, L, O, U: nothing that reads like another character or as a word. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Fifteen bits: one mistyped key in 32,768 passes, and then fails to decrypt. */
static void recovery_checksum(const uint8_t key[RECOVERY_BYTES], uint8_t ret[3])
{
	static const char context[] = "kith-recovery-checksum-v1";
	uint8_t h[crypto_generichash_BYTES_MIN];

	crypto_generichash(h, sizeof(h), key, RECOVERY_BYTES, (const uint8_t *)context,
			   sizeof(context) - 1);
	for (int i = 0; i < 3; i++)
		ret[i] = h[i] & 31;
	sodium_memzero(h, sizeof(h));
}

static void recovery_format(const uint8_t key[RECOVERY_BYTES], char ret[VAULT_RECOVERY_TEXT])
{
	uint8_t symbols[RECOVERY_CHARS] = {0};
	size_t n = 0;

	for (size_t bit = 0; bit < RECOVERY_BYTES * 8; bit++)
		if (key[bit / 8] >> (7 - bit % 8) & 1)
			symbols[bit / 5] |= (uint8_t)(16 >> bit % 5);
	recovery_checksum(key, symbols + RECOVERY_DATA_CHARS);
	for (size_t i = 0; i < RECOVERY_CHARS; i++) {
		if (i && i % RECOVERY_GROUP == 0)
			ret[n++] = '-';
		ret[n++] = alphabet[symbols[i]];
	}
	ret[n] = 0;
	sodium_memzero(symbols, sizeof(symbols));
}

static int recovery_symbol(char c)
{
	const char *p;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	p = c ? strchr(alphabet, c) : NULL;
	return p ? (int)(p - alphabet) : -1;
}

static int recovery_parse(const char *text, uint8_t ret[RECOVERY_BYTES])
{
	uint8_t symbols[RECOVERY_CHARS], sum[3], key[RECOVERY_BYTES] = {0};
	size_t n = 0;
	int v, r = -EINVAL;

	for (; *text; text++) {
		if (strchr("- \t\r\n", *text))
			continue;
		v = recovery_symbol(*text);
		if (v < 0 || n == RECOVERY_CHARS)
			goto out;
		symbols[n++] = (uint8_t)v;
	}
	if (n != RECOVERY_CHARS)
		goto out;
	for (size_t bit = 0; bit < RECOVERY_BYTES * 8; bit++)
		if (symbols[bit / 5] & 16 >> bit % 5)
			key[bit / 8] |= (uint8_t)(128 >> bit % 8);
	recovery_checksum(key, sum);
	if (sodium_memcmp(sum, symbols + RECOVERY_DATA_CHARS, sizeof(sum)) == 0) {
		memcpy(ret, key, sizeof(key));
		r = 0;
	}
out:
	sodium_memzero(symbols, sizeof(symbols));
	sodium_memzero(key, sizeof(key));
	return r;
}

/* No slow hash: the key has 160 random bits. The context separates it from other uses. */
static int recovery_derive(const uint8_t key[RECOVERY_BYTES], struct secret *ret)
{
	static const char context[] = "kith-recovery-v1";
	int r;

	r = secret_new(crypto_aead_xchacha20poly1305_ietf_KEYBYTES, ret);
	if (r < 0)
		return r;
	crypto_generichash(ret->data, ret->len, (const uint8_t *)context, sizeof(context) - 1, key,
			   RECOVERY_BYTES);
	return 0;
}

/* -- AEAD box: u32 magic, u8 version, u64 counter, nonce, ciphertext with tag -- */

#define BOX_HEADER 13
#define BOX_OVERHEAD (BOX_HEADER + NONCE_LEN + TAG_LEN)

/* Associated data: the clear header and the label. */
static int box_aad(const uint8_t header[BOX_HEADER], const char *label,
		   uint8_t ret[BOX_HEADER + VAULT_LABEL_MAX], size_t *ret_len)
{
	size_t n = strlen(label);

	if (!n || n > VAULT_LABEL_MAX)
		return -EINVAL;
	memcpy(ret, header, BOX_HEADER);
	memcpy(ret + BOX_HEADER, label, n);
	*ret_len = BOX_HEADER + n;
	return 0;
}

int vault_seal_blob(const struct secret *key, const char *label, uint64_t counter,
		    const void *plain, size_t len, uint8_t **ret, size_t *ret_len)
{
	uint8_t aad[BOX_HEADER + VAULT_LABEL_MAX];
	_cleanup_free_ uint8_t *box = NULL;
	unsigned long long clen;
	size_t aad_len;
	struct wbuf w;
	int r;

	if (key->len != VAULT_KEY_LEN || len > SIZE_MAX - BOX_OVERHEAD)
		return -EINVAL;
	box = malloc(BOX_OVERHEAD + len);
	if (!box)
		return -ENOMEM;
	w = wbuf_init(box, BOX_HEADER);
	wbuf_u32(&w, BOX_MAGIC);
	wbuf_u8(&w, FORMAT_VERSION);
	wbuf_u64(&w, counter);
	r = box_aad(box, label, aad, &aad_len);
	if (r < 0)
		return r;
	randombytes_buf(box + BOX_HEADER, NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(box + BOX_HEADER + NONCE_LEN, &clen, plain, len,
						   aad, aad_len, NULL, box + BOX_HEADER, key->data);
	*ret_len = BOX_HEADER + NONCE_LEN + clen;
	*ret = TAKE_PTR(box);
	return 0;
}

int vault_open_blob(const struct secret *key, const char *label, const void *data, size_t len,
		    void *ret_plain, size_t size, size_t *ret_len, uint64_t *ret_counter)
{
	uint8_t aad[BOX_HEADER + VAULT_LABEL_MAX];
	struct rbuf rb = rbuf_init(data, len);
	const uint8_t *box = data;
	unsigned long long plen;
	uint64_t counter;
	size_t aad_len;
	int r;

	if (key->len != VAULT_KEY_LEN)
		return -EINVAL;
	if (len < BOX_OVERHEAD || rbuf_u32(&rb) != BOX_MAGIC || rbuf_u8(&rb) != FORMAT_VERSION)
		return -EBADMSG;
	counter = rbuf_u64(&rb);
	if (size < len - BOX_OVERHEAD)
		return -ENOBUFS;
	r = box_aad(box, label, aad, &aad_len);
	if (r < 0)
		return r;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    ret_plain, &plen, NULL, box + BOX_HEADER + NONCE_LEN,
		    len - BOX_HEADER - NONCE_LEN, aad, aad_len, box + BOX_HEADER, key->data) < 0) {
		sodium_memzero(ret_plain, size);
		return -EBADMSG;
	}
	*ret_len = (size_t)plen;
	*ret_counter = counter;
	return 0;
}

/* -- vault.recovery: u32 magic, u8 version, boxes over both keys, the newest recovery key's last.
 * There is one, and for the moment of a renewal two: each opens until the new one was shown. -- */

/* DB key, authority scalar, authority public key. */
#define KEYS_LEN (2 * VAULT_KEY_LEN + 64)
#define RECOVERY_LABEL "vault-recovery"

static void pack_keys(const struct vault_keys *k, uint8_t ret[KEYS_LEN])
{
	memcpy(ret, k->db.data, VAULT_KEY_LEN);
	memcpy(ret + 32, k->authority.data, VAULT_KEY_LEN);
	memcpy(ret + 64, k->authority_pub.x, 32);
	memcpy(ret + 96, k->authority_pub.y, 32);
}

static int unpack_keys(const uint8_t data[KEYS_LEN], struct vault_keys *ret)
{
	_cleanup_vault_keys_ struct vault_keys k = {0};
	int r;

	r = secret_from(data, VAULT_KEY_LEN, &k.db);
	if (r == 0)
		r = secret_from(data + 32, VAULT_KEY_LEN, &k.authority);
	if (r < 0)
		return r;
	memcpy(k.authority_pub.x, data + 64, 32);
	memcpy(k.authority_pub.y, data + 96, 32);
	keys_move(&k, ret);
	return 0;
}

#define RECOVERY_BOX_LEN (BOX_OVERHEAD + KEYS_LEN)
#define RECOVERY_BOXES_MAX 4 /* more than two only after renewals that were broken off */

struct recovery_boxes {
	size_t n;
	uint8_t list[RECOVERY_BOXES_MAX][RECOVERY_BOX_LEN];
};

static int read_boxes(int dirfd, struct recovery_boxes *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct recovery_boxes b = {0};
	const uint8_t *box;
	size_t len, box_len;
	struct rbuf rb;
	int r = file_read(dirfd, VAULT_RECOVERY_FILE, VAULT_FILE_MAX, &data, &len);

	if (r < 0)
		return r;
	rb = rbuf_init(data, len);
	if (rbuf_u32(&rb) != RECOVERY_MAGIC || rbuf_u8(&rb) != FORMAT_VERSION)
		return -EBADMSG;
	do {
		box = rbuf_blob(&rb, RECOVERY_BOX_LEN, &box_len);
		if (!box || box_len != RECOVERY_BOX_LEN || b.n == RECOVERY_BOXES_MAX)
			return -EBADMSG;
		memcpy(b.list[b.n++], box, box_len);
	} while (rb.left);
	*ret = b;
	return 0;
}

static int write_boxes(int dirfd, const struct recovery_boxes *b)
{
	uint8_t file[16 + RECOVERY_BOXES_MAX * (RECOVERY_BOX_LEN + 4)];
	struct wbuf w = wbuf_init(file, sizeof(file));

	wbuf_u32(&w, RECOVERY_MAGIC);
	wbuf_u8(&w, FORMAT_VERSION);
	for (size_t i = 0; i < b->n; i++)
		wbuf_blob(&w, b->list[i], RECOVERY_BOX_LEN);
	if (wbuf_error(&w) < 0)
		return wbuf_error(&w);
	return file_write_atomic(dirfd, VAULT_RECOVERY_FILE, file, w.len, 0600);
}

static void drop_box(struct recovery_boxes *b, size_t at)
{
	b->n--;
	memmove(b->list[at], b->list[at + 1], (b->n - at) * RECOVERY_BOX_LEN);
}

static int append_box(struct recovery_boxes *b, const struct secret *wrap,
		      const struct vault_keys *keys)
{
	_cleanup_secret_ struct secret plain = SECRET_INIT;
	_cleanup_free_ uint8_t *box = NULL;
	size_t len = 0;
	int r;

	r = secret_new(KEYS_LEN, &plain);
	if (r < 0)
		return r;
	pack_keys(keys, plain.data);
	r = vault_seal_blob(wrap, RECOVERY_LABEL, 0, plain.data, plain.len, &box, &len);
	if (r < 0)
		return r;
	/* The first is the last one that was settled: it goes only by settling. */
	if (b->n == RECOVERY_BOXES_MAX)
		drop_box(b, 1);
	memcpy(b->list[b->n++], box, RECOVERY_BOX_LEN);
	return 0;
}

/* A new key beside those in `b`, written. */
static int add_recovery(int dirfd, struct recovery_boxes *b, const struct vault_keys *keys,
			char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err)
{
	_cleanup_secret_ struct secret key = SECRET_INIT, wrap = SECRET_INIT;
	int r;

	r = secret_random(RECOVERY_BYTES, &key);
	if (r == 0)
		r = recovery_derive(key.data, &wrap);
	if (r == 0)
		r = append_box(b, &wrap, keys);
	if (r == 0)
		r = write_boxes(dirfd, b);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED,
				"The recovery file cannot be written: %s. The earlier key, if any, "
				"stays valid.",
				strerror(-r));
	recovery_format(key.data, ret_recovery);
	return 0;
}

int vault_recovery_add(int dirfd, const struct vault_keys *keys,
		       char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err)
{
	struct recovery_boxes b = {0};
	int r = read_boxes(dirfd, &b);

	/* A damaged file opens nothing any more; this mends it. */
	if (r < 0 && r != -ENOENT && r != -EBADMSG && r != -EFBIG)
		return kerr_set(err, -r, KCODE_FAILED, "The recovery file cannot be read: %s.",
				strerror(-r));
	return add_recovery(dirfd, &b, keys, ret_recovery, err);
}

int vault_recovery_settle(int dirfd, bool newest)
{
	struct recovery_boxes b;
	int r = read_boxes(dirfd, &b);

	if (r < 0)
		return r;
	if (b.n == 1)
		return 0;
	if (newest)
		memmove(b.list[0], b.list[b.n - 1], RECOVERY_BOX_LEN);
	b.n = newest ? 1 : b.n - 1;
	return write_boxes(dirfd, &b);
}

static int open_boxes(const struct recovery_boxes *b, const struct secret *wrap,
		      struct vault_keys *ret)
{
	_cleanup_secret_ struct secret plain = SECRET_INIT;
	uint64_t counter;
	size_t n;
	int r = secret_new(KEYS_LEN, &plain);

	if (r < 0)
		return r;
	r = -EBADMSG;
	for (size_t i = b->n; r == -EBADMSG && i-- > 0;)
		r = vault_open_blob(wrap, RECOVERY_LABEL, b->list[i], RECOVERY_BOX_LEN, plain.data,
				    plain.len, &n, &counter);
	if (r < 0)
		return r == -EBADMSG ? -EKEYREJECTED : r;
	return unpack_keys(plain.data, ret);
}

int vault_recover(int dirfd, const char *recovery, struct vault_keys *ret, struct kerr *err)
{
	_cleanup_secret_ struct secret key = SECRET_INIT, wrap = SECRET_INIT;
	struct recovery_boxes boxes;
	int r;

	r = secret_new(RECOVERY_BYTES, &key);
	if (r == 0 && recovery_parse(recovery, key.data) < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"That is not a recovery key as it was shown: a character is wrong "
				"or missing. Type all 35 again.");
	if (r == 0)
		r = recovery_derive(key.data, &wrap);
	if (r == 0)
		r = read_boxes(dirfd, &boxes);
	if (r == -ENOENT)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no recovery file here, so no key can open anything.");
	if (r == 0)
		r = open_boxes(&boxes, &wrap, ret);
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

/* -- vault.sealed: u32 magic, u8 version, public blob, private blob, storage key name,
 * authority x and y, u8 count, count x (u32 mask, values lowest first, r, s) -- */

static void put_approval(struct wbuf *w, const struct vault_approval *a)
{
	wbuf_u32(w, a->tpm.pcr_mask);
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (a->tpm.pcr_mask >> i & 1)
			wbuf_bytes(w, a->pcr[i], HASH_LEN);
	wbuf_bytes(w, a->tpm.r, sizeof(a->tpm.r));
	wbuf_bytes(w, a->tpm.s, sizeof(a->tpm.s));
}

static void get_approval(struct rbuf *r, struct vault_approval *ret)
{
	ret->tpm.pcr_mask = rbuf_u32(r);
	if (!ret->tpm.pcr_mask || ret->tpm.pcr_mask & ~TPM_PCR_MASK_ALL)
		rbuf_fail(r, -EBADMSG);
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (ret->tpm.pcr_mask >> i & 1)
			rbuf_bytes(r, ret->pcr[i], HASH_LEN);
	rbuf_bytes(r, ret->tpm.r, sizeof(ret->tpm.r));
	rbuf_bytes(r, ret->tpm.s, sizeof(ret->tpm.s));
	tpm_policy_digest(ret->tpm.pcr_mask, ret->pcr, ret->tpm.policy);
}

static void get_tpm_blob(struct rbuf *r, struct tpm_blob *ret)
{
	const uint8_t *data;
	size_t len;

	data = rbuf_blob(r, sizeof(ret->data), &len);
	if (!data || !len) {
		rbuf_fail(r, -EBADMSG);
		return;
	}
	memcpy(ret->data, data, len);
	ret->len = (uint16_t)len;
}

int vault_parse(const void *data, size_t len, struct vault_file *ret)
{
	struct rbuf r = rbuf_init(data, len);
	struct vault_file f = {0};

	if (rbuf_u32(&r) != SEALED_MAGIC || rbuf_u8(&r) != FORMAT_VERSION)
		return -EBADMSG;
	get_tpm_blob(&r, &f.sealed.pub);
	get_tpm_blob(&r, &f.sealed.priv);
	rbuf_bytes(&r, f.sealed.srk_name, TPM_NAME_LEN);
	rbuf_bytes(&r, f.authority.x, 32);
	rbuf_bytes(&r, f.authority.y, 32);
	f.n_approvals = rbuf_u8(&r);
	if (!f.n_approvals || f.n_approvals > VAULT_APPROVALS_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < f.n_approvals; i++)
		get_approval(&r, &f.approvals[i]);
	if (rbuf_end(&r) < 0)
		return -EBADMSG;
	*ret = f;
	return 0;
}

static int write_file(int dirfd, const struct vault_file *f, struct kerr *err)
{
	uint8_t data[VAULT_FILE_MAX];
	struct wbuf w = wbuf_init(data, sizeof(data));
	int r;

	wbuf_u32(&w, SEALED_MAGIC);
	wbuf_u8(&w, FORMAT_VERSION);
	wbuf_blob(&w, f->sealed.pub.data, f->sealed.pub.len);
	wbuf_blob(&w, f->sealed.priv.data, f->sealed.priv.len);
	wbuf_bytes(&w, f->sealed.srk_name, TPM_NAME_LEN);
	wbuf_bytes(&w, f->authority.x, 32);
	wbuf_bytes(&w, f->authority.y, 32);
	wbuf_u8(&w, (uint8_t)f->n_approvals);
	for (unsigned i = 0; i < f->n_approvals; i++)
		put_approval(&w, &f->approvals[i]);
	r = wbuf_error(&w);
	if (r == 0)
		r = file_write_atomic(dirfd, VAULT_SEALED_FILE, data, w.len, 0600);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED,
				"The sealed vault cannot be written: %s. The old one, if any, is "
				"unchanged.",
				strerror(-r));
	return 0;
}

static int read_file(int dirfd, struct vault_file *ret, struct kerr *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t len;
	int r;

	r = file_read(dirfd, VAULT_SEALED_FILE, VAULT_FILE_MAX, &data, &len);
	if (r == -ENOENT)
		return kerr_set(err, ENOENT, KCODE_NOT_READY, "There is no vault yet.");
	if (r == 0)
		r = vault_parse(data, len, ret);
	if (r == -EBADMSG || r == -EFBIG)
		return kerr_set(err, EBADMSG, KCODE_LOCKED,
				"The sealed vault is damaged. Use the recovery key.");
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The sealed vault cannot be read: %s.",
				strerror(-r));
	return 0;
}

int vault_exists(int dirfd)
{
	struct stat st;

	if (fstatat(dirfd, VAULT_SEALED_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

/* -- Creating, opening, approving -- */

static int check_mask(uint32_t mask, struct kerr *err)
{
	if (mask && !(mask & ~TPM_PCR_MASK_ALL) && !(mask & PCR_RESETTABLE))
		return 0;
	return kerr_set(
		err, EINVAL, KCODE_USAGE,
		"The vault needs PCRs between 0 and 22, without 16, which anyone may reset.");
}

static int sign_approval(uint32_t mask, const uint8_t pcr[PCR_COUNT][HASH_LEN],
			 const struct vault_keys *keys, const struct vault_signer *signer,
			 struct vault_approval *ret, struct kerr *err)
{
	struct vault_approval a = {.tpm.pcr_mask = mask};
	uint8_t hash[HASH_LEN];
	int r;

	r = check_mask(mask, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (mask >> i & 1)
			memcpy(a.pcr[i], pcr[i], HASH_LEN);
	tpm_policy_digest(mask, a.pcr, a.tpm.policy);
	tpm_approval_hash(a.tpm.policy, hash);
	r = signer->sign(signer->ctx, keys->authority.data, hash, a.tpm.r, a.tpm.s);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The authority key cannot sign: %s.",
				strerror(-r));
	*ret = a;
	return 0;
}

static int approve_present(struct tpm *t, uint32_t mask, const struct vault_keys *keys,
			   const struct vault_signer *signer, struct vault_approval *ret,
			   struct kerr *err)
{
	uint8_t pcr[PCR_COUNT][HASH_LEN];
	int r;

	r = check_mask(mask, err);
	if (r == 0)
		r = tpm_pcr_read(t, mask, pcr, err);
	return r < 0 ? r : sign_approval(mask, pcr, keys, signer, ret, err);
}

static int seal_keys(struct tpm *t, const struct vault_keys *keys, struct vault_file *f,
		     struct kerr *err)
{
	_cleanup_secret_ struct secret both = SECRET_INIT;
	int r;

	r = secret_new(2 * VAULT_KEY_LEN, &both);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "No locked memory for a secret.");
	memcpy(both.data, keys->db.data, VAULT_KEY_LEN);
	memcpy(both.data + VAULT_KEY_LEN, keys->authority.data, VAULT_KEY_LEN);
	f->authority = keys->authority_pub;
	return tpm_seal(t, &f->authority, &both, &f->sealed, err);
}

static int new_keys(const struct vault_signer *signer, struct vault_keys *ret, struct kerr *err)
{
	_cleanup_vault_keys_ struct vault_keys k = {0};
	int r;

	r = secret_random(VAULT_KEY_LEN, &k.db);
	if (r == 0)
		r = secret_new(VAULT_KEY_LEN, &k.authority);
	if (r == 0)
		r = signer->generate(signer->ctx, k.authority.data, &k.authority_pub);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "No keys for the vault: %s.", strerror(-r));
	keys_move(&k, ret);
	return 0;
}

int vault_create(struct tpm *t, int dirfd, uint32_t pcr_mask, const struct vault_signer *signer,
		 char ret_recovery[VAULT_RECOVERY_TEXT], struct vault_keys *ret, struct kerr *err)
{
	_cleanup_vault_keys_ struct vault_keys keys = {0};
	struct vault_file f = {.n_approvals = 1};
	struct recovery_boxes none = {0};
	int r;

	r = vault_exists(dirfd);
	if (r > 0)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "There is a vault already.");
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The vault's directory cannot be read: %s.",
				strerror(-r));
	r = new_keys(signer, &keys, err);
	if (r == 0)
		r = approve_present(t, pcr_mask, &keys, signer, &f.approvals[0], err);
	if (r == 0)
		r = seal_keys(t, &keys, &f, err);
	/* The sealed file last: it alone says that there is a vault. */
	if (r == 0)
		r = add_recovery(dirfd, &none, &keys, ret_recovery, err);
	if (r == 0)
		r = write_file(dirfd, &f, err);
	if (r < 0) {
		sodium_memzero(ret_recovery, VAULT_RECOVERY_TEXT);
		return r;
	}
	keys_move(&keys, ret);
	return 0;
}

static uint32_t changed_pcrs(const struct vault_approval *a, const uint8_t pcr[PCR_COUNT][HASH_LEN])
{
	uint32_t changed = 0;

	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (a->tpm.pcr_mask >> i & 1 && memcmp(a->pcr[i], pcr[i], HASH_LEN) != 0)
			changed |= 1u << i;
	return changed;
}

/* The approval that fits the present state, or comes closest to it. */
static int choose_approval(struct tpm *t, const struct vault_file *f,
			   const struct vault_approval **ret, uint32_t *ret_changed,
			   struct kerr *err)
{
	uint32_t mask = 0, changed, best = UINT32_MAX;
	uint8_t pcr[PCR_COUNT][HASH_LEN];
	int r;

	for (unsigned i = 0; i < f->n_approvals; i++)
		mask |= f->approvals[i].tpm.pcr_mask;
	r = tpm_pcr_read(t, mask, pcr, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < f->n_approvals; i++) {
		changed = changed_pcrs(&f->approvals[i], pcr);
		if (__builtin_popcount(changed) < __builtin_popcount(best)) {
			best = changed;
			*ret = &f->approvals[i];
		}
	}
	*ret_changed = best;
	return 0;
}

static int split_keys(const struct secret *both, const struct tpm_p256 *authority,
		      struct vault_keys *ret, struct kerr *err)
{
	_cleanup_vault_keys_ struct vault_keys k = {.authority_pub = *authority};
	int r;

	if (both->len != 2 * VAULT_KEY_LEN)
		return kerr_set(err, EBADMSG, KCODE_LOCKED,
				"The sealed vault is damaged. Use the recovery key.");
	r = secret_from(both->data, VAULT_KEY_LEN, &k.db);
	if (r == 0)
		r = secret_from(both->data + VAULT_KEY_LEN, VAULT_KEY_LEN, &k.authority);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "No locked memory for a secret.");
	keys_move(&k, ret);
	return 0;
}

int vault_open(struct tpm *t, int dirfd, struct vault_keys *ret, uint32_t *ret_changed,
	       struct kerr *err)
{
	_cleanup_secret_ struct secret both = SECRET_INIT;
	const struct vault_approval *approval = NULL;
	uint32_t changed = 0;
	struct vault_file f;
	int r;

	r = read_file(dirfd, &f, err);
	if (r == 0)
		r = choose_approval(t, &f, &approval, &changed, err);
	if (r == 0)
		r = tpm_unseal(t, &f.sealed, &f.authority, &approval->tpm, &both, err);
	if (r == -EPERM && ret_changed)
		*ret_changed = changed;
	return r < 0 ? r : split_keys(&both, &f.authority, ret, err);
}

/* True if the sealed object can stay: it opens here with `approval` and holds these very keys. */
static bool still_ours(struct tpm *t, const struct vault_file *f, const struct vault_keys *keys,
		       const struct vault_approval *approval)
{
	_cleanup_secret_ struct secret both = SECRET_INIT;

	return memcmp(&f->authority, &keys->authority_pub, sizeof(f->authority)) == 0 &&
	       tpm_unseal(t, &f->sealed, &f->authority, &approval->tpm, &both, NULL) == 0 &&
	       both.len == 2 * VAULT_KEY_LEN &&
	       sodium_memcmp(both.data, keys->db.data, VAULT_KEY_LEN) == 0 &&
	       sodium_memcmp(both.data + VAULT_KEY_LEN, keys->authority.data, VAULT_KEY_LEN) == 0;
}

int vault_reseal(struct tpm *t, int dirfd, uint32_t pcr_mask, const struct vault_keys *keys,
		 const struct vault_signer *signer, struct kerr *err)
{
	struct vault_approval approval;
	struct vault_file f = {0};
	int r;

	r = approve_present(t, pcr_mask, keys, signer, &approval, err);
	if (r < 0)
		return r;
	r = read_file(dirfd, &f, NULL);
	if (r < 0 || !still_ours(t, &f, keys, &approval))
		r = seal_keys(t, keys, &f, err);
	if (r < 0)
		return r;
	f.n_approvals = 1;
	f.approvals[0] = approval;
	return write_file(dirfd, &f, err);
}

int vault_approve(int dirfd, uint32_t pcr_mask, const uint8_t pcr[PCR_COUNT][HASH_LEN],
		  const struct vault_keys *keys, const struct vault_signer *signer,
		  struct kerr *err)
{
	struct vault_approval approval;
	struct vault_file f;
	int r;

	r = sign_approval(pcr_mask, pcr, keys, signer, &approval, err);
	if (r == 0)
		r = read_file(dirfd, &f, err);
	if (r < 0)
		return r;
	if (memcmp(&f.authority, &keys->authority_pub, sizeof(f.authority)) != 0)
		return kerr_set(err, EKEYREJECTED, KCODE_LOCKED,
				"The sealed vault belongs to another authority key; seal it anew.");
	if (f.n_approvals == VAULT_APPROVALS_MAX)
		memmove(&f.approvals[0], &f.approvals[1], --f.n_approvals * sizeof(f.approvals[0]));
	f.approvals[f.n_approvals++] = approval;
	return write_file(dirfd, &f, err);
}
