/* SPDX-License-Identifier: Apache-2.0 */
/* Device and owner keys; they live in the sealed store. While policyd runs they are in that store's
 * image and in struct secret; all of policyd's memory is locked (secret_lock_process()). */
#include "policyd/identity.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"

#define RECORD_VALIDITY_S (10ULL * 366 * 86400)

void identity_clear(struct identity *id)
{
	secret_clear(&id->device_sk);
	*id = (struct identity){0};
}

static void set_device_key(struct identity *id)
{
	/* libsodium keeps the public key in the second half. */
	memcpy(id->sign_pk, id->device_sk.data + 32, sizeof(id->sign_pk));
	device_id_of(id->sign_pk, id->id);
	id->present = true;
}

static int save_ak(struct store *store, const struct tpm_ak *ak, struct kerr *err)
{
	int r = store_meta_set(store, STORE_AK_PUBLIC, ak->pub.data, ak->pub.len, err);

	return r < 0 ? r
		     : store_meta_set(store, STORE_AK_PRIVATE, ak->priv.data, ak->priv.len, err);
}

int identity_create(struct store *store, struct tpm *tpm, struct identity *ret, struct kerr *err)
{
	_cleanup_(identity_clear) struct identity id = {0};
	uint8_t pk[SIGN_PK_LEN];
	int r = secret_new(crypto_sign_SECRETKEYBYTES, &id.device_sk);

	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Not enough locked memory for a key.");
	crypto_sign_keypair(pk, id.device_sk.data);
	set_device_key(&id);
	r = tpm_ak_create(tpm, &id.ak, err);
	if (r == 0)
		r = tpm_ek_public(tpm, &id.ek_pub, err);
	if (r == 0)
		r = store_meta_set(store, STORE_DEVICE_SK, id.device_sk.data, id.device_sk.len,
				   err);
	if (r == 0)
		r = save_ak(store, &id.ak, err);
	if (r == 0)
		*ret = TAKE_STRUCT(id);
	return r;
}

static void set_owner(struct identity *id, const uint8_t owner_pk[SIGN_PK_LEN], const char *name)
{
	memcpy(id->owner_pk, owner_pk, SIGN_PK_LEN);
	device_id_of(owner_pk, id->owner_id);
	snprintf(id->owner_name, sizeof(id->owner_name), "%s", name);
	id->cloud = true;
}

/* Signs the record by the owner key and keeps it. */
static int save_record(struct store *store, const struct device_record *own,
		       const uint8_t owner_pk[SIGN_PK_LEN], const struct secret *owner_sk,
		       struct kerr *err)
{
	struct device_record rec = *own;
	uint8_t buf[RECORD_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	int r;

	memcpy(rec.owner_pk, owner_pk, sizeof(rec.owner_pk));
	rec.issued = clock_unix();
	rec.expires = rec.issued + RECORD_VALIDITY_S;
	r = record_sign_with_key(&rec, owner_sk->data, &w);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The device record could not be signed.");
	return store_meta_set(store, STORE_DEVICE_RECORD, buf, w.len, err);
}

int identity_found_cloud(struct store *store, struct identity *id, const struct device_record *own,
			 const char *person, struct kerr *err)
{
	_cleanup_secret_ struct secret owner_sk = SECRET_INIT;
	uint8_t owner_pk[SIGN_PK_LEN];
	int r = secret_new(crypto_sign_SECRETKEYBYTES, &owner_sk);

	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Not enough locked memory for a key.");
	crypto_sign_keypair(owner_pk, owner_sk.data);
	r = store_meta_set(store, STORE_OWNER_SK, owner_sk.data, owner_sk.len, err);
	if (r == 0)
		r = store_meta_set(store, STORE_OWNER_PK, owner_pk, sizeof(owner_pk), err);
	if (r == 0)
		r = store_meta_set(store, STORE_OWNER_NAME, person, strlen(person), err);
	if (r == 0)
		r = save_record(store, own, owner_pk, &owner_sk, err);
	if (r < 0)
		return r;
	set_owner(id, owner_pk, person);
	id->owner_here = true;
	return 0;
}

int identity_renew_ak(struct store *store, struct tpm *tpm, struct identity *id, struct kerr *err)
{
	struct tpm_ak ak;
	int r = tpm_ak_create(tpm, &ak, err);

	if (r == 0)
		r = save_ak(store, &ak, err);
	if (r == 0)
		id->ak = ak;
	return r;
}

int identity_renew_record(struct store *store, const struct identity *id,
			  const struct device_record *own, struct kerr *err)
{
	_cleanup_secret_ struct secret owner_sk = SECRET_INIT;
	int r;

	if (!id->owner_here)
		return store_meta_delete(store, STORE_DEVICE_RECORD, err);
	r = store_meta_get_secret(store, STORE_OWNER_SK, &owner_sk, err);
	return r < 0 ? r : save_record(store, own, id->owner_pk, &owner_sk, err);
}

static int load_owner(struct store *store, struct identity *id, struct kerr *err)
{
	_cleanup_secret_ struct secret owner_sk = SECRET_INIT;
	uint8_t pk[SIGN_PK_LEN];
	char name[NAME_MAX_LEN + 1];
	size_t len;
	int r = store_meta_get(store, STORE_OWNER_PK, pk, sizeof(pk), &len, NULL);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = store_meta_get_text(store, STORE_OWNER_NAME, name, sizeof(name), err);
	if (r < 0)
		return r;
	set_owner(id, pk, name);
	id->owner_here = store_meta_get_secret(store, STORE_OWNER_SK, &owner_sk, NULL) == 0;
	return 0;
}

int identity_load(struct store *store, struct tpm *tpm, struct identity *ret, struct kerr *err)
{
	_cleanup_(identity_clear) struct identity id = {0};
	struct tpm_ak *ak = &id.ak;
	int r = store_meta_get_secret(store, STORE_DEVICE_SK, &id.device_sk, err);

	if (r == 0 && id.device_sk.len != crypto_sign_SECRETKEYBYTES)
		r = kerr_set(err, EBADMSG, KCODE_LOCKED, "The stored device key is damaged.");
	if (r == 0)
		r = store_meta_get(store, STORE_AK_PUBLIC, ak->pub.data, sizeof(ak->pub.data),
				   &ak->pub.len, err);
	if (r == 0)
		r = store_meta_get(store, STORE_AK_PRIVATE, ak->priv.data, sizeof(ak->priv.data),
				   &ak->priv.len, err);
	if (r == 0 && tpm)
		r = tpm_ek_public(tpm, &id.ek_pub, err);
	if (r == 0)
		r = load_owner(store, &id, err);
	if (r < 0)
		return r;
	set_device_key(&id);
	*ret = TAKE_STRUCT(id);
	return 0;
}

int identity_sign(const struct identity *id, const uint8_t *data, size_t len,
		  uint8_t ret_sig[SIGN_LEN])
{
	if (!id->present)
		return -ENOKEY;
	return crypto_sign_detached(ret_sig, NULL, data, len, id->device_sk.data) < 0 ? -EIO : 0;
}

int identity_owner_sign(struct store *store, const uint8_t *data, size_t len,
			uint8_t ret_sig[SIGN_LEN], struct kerr *err)
{
	_cleanup_secret_ struct secret owner_sk = SECRET_INIT;

	if (store_meta_get_secret(store, STORE_OWNER_SK, &owner_sk, NULL) < 0)
		return kerr_set(err, ENOKEY, KCODE_NOT_READY,
				"The owner's key is not kept on this device; do this on the device "
				"where `kith init` was run.");
	return crypto_sign_detached(ret_sig, NULL, data, len, owner_sk.data) < 0 ? -EIO : 0;
}
