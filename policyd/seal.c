/* SPDX-License-Identifier: Apache-2.0 */
/* Making, opening and approving, and the file vault.sealed. */
#include "policyd/seal.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "attest/pk.h"
#include "base/code.h"
#include "base/file.h"

#define SEALED_MAGIC 0x4c53564bu /* "KVSL" */

static int no_memory(int r, struct kerr *err)
{
	return kerr_set(err, -r, KCODE_FAILED, "No locked memory for a secret.");
}

/* -- vault.sealed: u32 magic, u8 version, public blob, private blob, storage key name,
 * authority x and y, u8 count, count x (u32 mask, values lowest first, r, s) -- */

static void tpm_blob_code(struct coder *c, struct tpm_blob *v)
{
	code_array(c, v->data, &v->len, sizeof(v->data));
	code_check(c, v->len);
}

static void vault_file_code(struct coder *c, struct vault_file *v)
{
	vault_mark(c, SEALED_MAGIC);
	tpm_blob_code(c, &v->sealed.pub);
	tpm_blob_code(c, &v->sealed.priv);
	CODE_BYTES(c, v->sealed.srk_name);
	CODE_BYTES(c, v->authority.x);
	CODE_BYTES(c, v->authority.y);
	code_u8(c, &v->n_approvals);
	code_check(c, v->n_approvals && v->n_approvals <= VAULT_APPROVALS_MAX);
	for (unsigned i = 0; code_good(c) && i < v->n_approvals; i++) {
		pcr_set_code(c, &v->approvals[i].pcrs);
		CODE_BYTES(c, v->approvals[i].sig.r);
		CODE_BYTES(c, v->approvals[i].sig.s);
	}
}

int vault_parse(const void *data, size_t len, struct vault_file *ret)
{
	struct rbuf r = rbuf_init(data, len);
	struct coder c = {.r = &r};
	struct vault_file f = {0};

	vault_file_code(&c, &f);
	if (rbuf_end(&r) < 0)
		return -EBADMSG;
	*ret = f;
	return 0;
}

static int write_file(int dirfd, struct vault_file *f, struct kerr *err)
{
	uint8_t data[VAULT_FILE_MAX];
	struct wbuf w = wbuf_init(data, sizeof(data));
	struct coder c = {.w = &w};
	int r;

	vault_file_code(&c, f);
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

static int damaged(struct kerr *err)
{
	return kerr_set(err, EBADMSG, KCODE_LOCKED,
			"The sealed vault is damaged. Use the recovery key.");
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
		return damaged(err);
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
	if (mask && !(mask & ~PCR_MASK_ALL) && !(mask & PCR_MASK_RESETTABLE))
		return 0;
	return kerr_set(
		err, EINVAL, KCODE_USAGE,
		"The vault needs PCRs between 0 and 22, without 16, which anyone may reset.");
}

static int sign_approval(const struct pcr_set *state, const struct vault_keys *keys,
			 struct tpm_approval *ret, struct kerr *err)
{
	struct tpm_approval a = {.pcrs = *state};
	uint8_t hash[HASH_LEN];
	int r = check_mask(state->mask, err);

	if (r < 0)
		return r;
	tpm_approval_hash(state, hash);
	r = pk_p256_sign(keys->authority.data, &keys->authority_pub, hash, &a.sig);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The authority key cannot sign: %s.",
				strerror(-r));
	*ret = a;
	return 0;
}

static int approve_present(struct tpm *t, uint32_t mask, const struct vault_keys *keys,
			   struct tpm_approval *ret, struct kerr *err)
{
	struct pcr_set now = {.mask = mask};
	int r = check_mask(mask, err);

	if (r == 0)
		r = tpm_pcr_read(t, mask, now.values, err);
	return r < 0 ? r : sign_approval(&now, keys, ret, err);
}

static int seal_keys(struct tpm *t, const struct vault_keys *keys, struct vault_file *f,
		     struct kerr *err)
{
	_cleanup_secret_ struct secret both = SECRET_INIT;
	int r = secret_new(VAULT_SECRETS_LEN, &both);

	if (r < 0)
		return no_memory(r, err);
	vault_pack(keys, both.data);
	f->authority = keys->authority_pub;
	return tpm_seal(t, &f->authority, &both, &f->sealed, err);
}

static int new_keys(struct vault_keys *ret, struct kerr *err)
{
	int r = secret_random(VAULT_KEY_LEN, &ret->db);

	if (r == 0)
		r = secret_new(VAULT_KEY_LEN, &ret->authority);
	if (r == 0)
		r = pk_p256_generate(ret->authority.data, &ret->authority_pub);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "No keys for the vault: %s.", strerror(-r));
	return 0;
}

int vault_create(struct tpm *t, int dirfd, uint32_t pcr_mask,
		 char ret_recovery[VAULT_RECOVERY_TEXT], struct vault_keys *ret, struct kerr *err)
{
	_cleanup_vault_keys_ struct vault_keys keys = {0};
	struct vault_file f = {.n_approvals = 1};
	int r = vault_exists(dirfd);

	if (r > 0)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "There is a vault already.");
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The vault's directory cannot be read: %s.",
				strerror(-r));
	r = new_keys(&keys, err);
	if (r == 0)
		r = approve_present(t, pcr_mask, &keys, &f.approvals[0], err);
	if (r == 0)
		r = seal_keys(t, &keys, &f, err);
	/* The sealed file last: it alone says that there is a vault. */
	if (r == 0)
		r = vault_recovery_first(dirfd, &keys, ret_recovery, err);
	if (r == 0)
		r = write_file(dirfd, &f, err);
	if (r < 0) {
		sodium_memzero(ret_recovery, VAULT_RECOVERY_TEXT);
		return r;
	}
	*ret = TAKE_STRUCT(keys);
	return 0;
}

/* The approval that fits the present state, or comes closest to it. */
static int choose_approval(struct tpm *t, const struct vault_file *f,
			   const struct tpm_approval **ret, uint32_t *ret_changed, struct kerr *err)
{
	uint32_t mask = 0, changed, best = UINT32_MAX;
	uint8_t now[PCR_COUNT][HASH_LEN];
	int r;

	for (unsigned i = 0; i < f->n_approvals; i++)
		mask |= f->approvals[i].pcrs.mask;
	r = tpm_pcr_read(t, mask, now, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < f->n_approvals; i++) {
		changed = pcr_set_changed(&f->approvals[i].pcrs, now);
		if (__builtin_popcount(changed) < __builtin_popcount(best)) {
			best = changed;
			*ret = &f->approvals[i];
		}
	}
	*ret_changed = best;
	return 0;
}

int vault_open(struct tpm *t, int dirfd, struct vault_keys *ret, uint32_t *ret_changed,
	       struct kerr *err)
{
	_cleanup_secret_ struct secret both = SECRET_INIT;
	const struct tpm_approval *approval = NULL;
	uint32_t changed = 0;
	struct vault_file f;
	int r;

	r = read_file(dirfd, &f, err);
	if (r == 0)
		r = choose_approval(t, &f, &approval, &changed, err);
	if (r == 0)
		r = tpm_unseal(t, &f.sealed, &f.authority, approval, &both, err);
	if (r == -EPERM && ret_changed)
		*ret_changed = changed;
	if (r < 0)
		return r;
	if (both.len != VAULT_SECRETS_LEN)
		return damaged(err);
	r = vault_unpack(both.data, &f.authority, ret);
	return r < 0 ? no_memory(r, err) : 0;
}

/* True if the sealed object can stay: it opens here with `approval` and holds these very keys. */
static bool still_ours(struct tpm *t, const struct vault_file *f, const struct vault_keys *keys,
		       const struct tpm_approval *approval)
{
	_cleanup_secret_ struct secret both = SECRET_INIT;

	return memcmp(&f->authority, &keys->authority_pub, sizeof(f->authority)) == 0 &&
	       tpm_unseal(t, &f->sealed, &f->authority, approval, &both, NULL) == 0 &&
	       both.len == VAULT_SECRETS_LEN &&
	       sodium_memcmp(both.data, keys->db.data, VAULT_KEY_LEN) == 0 &&
	       sodium_memcmp(both.data + VAULT_KEY_LEN, keys->authority.data, VAULT_KEY_LEN) == 0;
}

int vault_reseal(struct tpm *t, int dirfd, uint32_t pcr_mask, const struct vault_keys *keys,
		 struct kerr *err)
{
	struct tpm_approval approval;
	struct vault_file f = {0};
	int r;

	r = approve_present(t, pcr_mask, keys, &approval, err);
	if (r < 0)
		return r;
	if (read_file(dirfd, &f, NULL) < 0 || !still_ours(t, &f, keys, &approval))
		r = seal_keys(t, keys, &f, err);
	if (r < 0)
		return r;
	f.n_approvals = 1;
	f.approvals[0] = approval;
	return write_file(dirfd, &f, err);
}

int vault_approve(int dirfd, const struct pcr_set *state, const struct vault_keys *keys,
		  struct kerr *err)
{
	struct tpm_approval approval;
	struct vault_file f;
	int r;

	r = sign_approval(state, keys, &approval, err);
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
