/* SPDX-License-Identifier: Apache-2.0 */
/* One NV counter: the memory that a copied state directory cannot bring back (D4, D5). It has a
 * password of the vault's, so that others who may speak to the TPM cannot raise it (M9). */
#include <sodium.h>

#include "policyd/tpm-internal.h"

#define COUNTER_ATTRIBUTES                                                                   \
	((TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_AUTHWRITE | TPMA_NV_AUTHREAD | \
	 TPMA_NV_NO_DA)

static int check_index(uint32_t index, struct kerr *err)
{
	if (index >= TPM_COUNTER_FIRST && index <= TPM_COUNTER_LAST)
		return 0;
	return kerr_set(err, EINVAL, KCODE_USAGE,
			"NV index 0x%x is outside the owner's range 0x%x-0x%x.", index,
			TPM_COUNTER_FIRST, TPM_COUNTER_LAST);
}

/* *ret_written says whether the counter has its first value. */
static int counter_find(struct tpm *t, uint32_t index, struct tpm_handle *ret, bool *ret_written,
			struct kerr *err)
{
	_cleanup_esys_ TPM2B_NV_PUBLIC *pub = NULL;
	TSS2_RC rc;
	int r;

	r = check_index(index, err);
	if (r == 0)
		r = tpm_enter(t, err);
	if (r < 0)
		return r;
	rc = TPM_CALL(t, TR_FromTPMPublic, index, NO_SESSION, &ret->tr);
	if (tpm_rc_is(rc, TPM2_RC_HANDLE))
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"The TPM has no counter 0x%x: it was cleared or replaced.", index);
	if (rc == TSS2_RC_SUCCESS) {
		ret->is_nv = true;
		rc = TPM_CALL(t, NV_ReadPublic, ret->tr, NO_SESSION, &pub, NULL);
	}
	if (rc != TSS2_RC_SUCCESS)
		return tpm_result(rc, "look the counter up", err);
	if ((pub->nvPublic.attributes & ~TPMA_NV_WRITTEN) != COUNTER_ATTRIBUTES ||
	    pub->nvPublic.dataSize != 8)
		return kerr_set(err, EEXIST, KCODE_EXISTS,
				"NV index 0x%x of the TPM belongs to another program.", index);
	*ret_written = pub->nvPublic.attributes & TPMA_NV_WRITTEN;
	return 0;
}

static TPM2B_AUTH auth_of(const uint8_t auth[TPM_COUNTER_AUTH_LEN])
{
	TPM2B_AUTH a = {.size = TPM_COUNTER_AUTH_LEN};

	memcpy(a.buffer, auth, TPM_COUNTER_AUTH_LEN);
	return a;
}

/* What the library needs to prove in each command that it knows the password. */
static int counter_auth(struct tpm *t, ESYS_TR nv, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
			struct kerr *err)
{
	TPM2B_AUTH value = auth_of(auth);
	TSS2_RC rc = Esys_TR_SetAuth(t->esys, nv, &value);

	sodium_memzero(&value, sizeof(value));
	return tpm_result(rc, "use the counter", err);
}

/* The index has no protection of its own against guesses (noDA): 256 random bits need none. */
static int counter_result(TSS2_RC rc, const char *what, struct kerr *err)
{
	if (tpm_rc_is(rc, TPM2_RC_BAD_AUTH, TPM2_RC_AUTH_FAIL))
		return kerr_set(err, EACCES, KCODE_LOCKED,
				"The TPM's counter is not the one that this device made: another "
				"program put one of its own in its place.");
	return tpm_result(rc, what, err);
}

/* The password goes in encrypted by `session` (D12). */
static int counter_define(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
			  ESYS_TR session, struct tpm_handle *ret, struct kerr *err)
{
	const TPM2B_NV_PUBLIC pub = {.nvPublic.nvIndex = index,
				     .nvPublic.nameAlg = TPM2_ALG_SHA256,
				     .nvPublic.attributes = COUNTER_ATTRIBUTES,
				     .nvPublic.dataSize = 8};
	TPM2B_AUTH value = auth_of(auth);
	TSS2_RC rc;

	tpm_session_use(t, session, TPMA_SESSION_DECRYPT);
	rc = TPM_CALL(t, NV_DefineSpace, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, session, ESYS_TR_NONE,
		      &value, &pub, &ret->tr);
	tpm_session_use(t, session, 0);
	sodium_memzero(&value, sizeof(value));
	if (tpm_rc_is(rc, TPM2_RC_NV_SPACE))
		return kerr_set(err, ENOSPC, KCODE_TPM,
				"The TPM has no room for a counter: free an NV index.");
	if (rc != TSS2_RC_SUCCESS)
		return tpm_result(rc, "define a counter in the TPM", err);
	ret->is_nv = true;
	return counter_auth(t, ret->tr, auth, err);
}

static int counter_undefine(struct tpm *t, struct tpm_handle *nv, struct kerr *err)
{
	int r = TPM_DO(t, err, "remove the counter", NV_UndefineSpace, ESYS_TR_RH_OWNER, nv->tr,
		       SESSION(ESYS_TR_PASSWORD));

	if (r == 0)
		nv->tr = ESYS_TR_NONE;
	return r;
}

static int nv_increment(struct tpm *t, ESYS_TR nv, ESYS_TR session, struct kerr *err)
{
	return counter_result(TPM_CALL(t, NV_Increment, nv, nv, SESSION(session)),
			      "increment the counter", err);
}

static int nv_read(struct tpm *t, ESYS_TR nv, ESYS_TR session, uint64_t *ret, struct kerr *err)
{
	_cleanup_esys_ TPM2B_MAX_NV_BUFFER *data = NULL;
	uint64_t value = 0;
	int r = counter_result(TPM_CALL(t, NV_Read, nv, nv, SESSION(session), 8, 0, &data),
			       "read the counter", err);

	if (r < 0)
		return r;
	if (data->size != 8)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's counter has a strange size.");
	for (int i = 0; i < 8; i++)
		value = value << 8 | data->buffer[i];
	*ret = value;
	return 0;
}

/* 0 if the counter is there, has a value, and takes our password; -EACCES if it does not. */
static int counter_revive(struct tpm *t, ESYS_TR nv, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
			  ESYS_TR session, bool written, struct kerr *err)
{
	uint64_t value;
	int r = counter_auth(t, nv, auth, err);

	if (r < 0)
		return r;
	return written ? nv_read(t, nv, session, &value, err) : nv_increment(t, nv, session, err);
}

int tpm_counter_create(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
		       uint64_t *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle nv = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	struct kerr why = {0};
	bool written = false;
	int r, found;

	found = counter_find(t, index, &nv, &written, &why);
	if (found < 0 && found != -ENOENT)
		return kerr_set(err, -found, why.code, "%s", why.text);
	r = tpm_session_srk(t, &session, err);
	if (r < 0)
		return r;
	if (found == 0) {
		kerr_clear(&why);
		found = counter_revive(t, nv.tr, auth, session.tr, written, &why);
		/* Another device's life on this TPM, or somebody's: a new one is above it. */
		if (found == -EACCES && counter_undefine(t, &nv, err) == 0)
			found = -ENOENT;
		else if (found < 0)
			return kerr_set(err, -found, why.code, "%s", why.text);
	}
	if (found == -ENOENT) {
		r = counter_define(t, index, auth, session.tr, &nv, err);
		if (r == 0)
			r = nv_increment(t, nv.tr, session.tr, err);
	}
	return r < 0 ? r : nv_read(t, nv.tr, session.tr, ret, err);
}

/* Finds a counter that has a value, and an authenticated session to use it with. */
static int counter_use(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
		       struct tpm_handle *ret_nv, struct tpm_handle *ret_session, struct kerr *err)
{
	bool written = false;
	int r;

	r = counter_find(t, index, ret_nv, &written, err);
	if (r < 0)
		return r;
	if (!written)
		return kerr_set(err, ENODATA, KCODE_NOT_FOUND,
				"The TPM's counter 0x%x has no value yet.", index);
	r = counter_auth(t, ret_nv->tr, auth, err);
	return r < 0 ? r : tpm_session_srk(t, ret_session, err);
}

int tpm_counter_read(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
		     uint64_t *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle nv = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	int r;

	r = counter_use(t, index, auth, &nv, &session, err);
	return r < 0 ? r : nv_read(t, nv.tr, session.tr, ret, err);
}

int tpm_counter_increment(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
			  uint64_t *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle nv = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	int r;

	r = counter_use(t, index, auth, &nv, &session, err);
	if (r == 0)
		r = nv_increment(t, nv.tr, session.tr, err);
	return r < 0 ? r : nv_read(t, nv.tr, session.tr, ret, err);
}
