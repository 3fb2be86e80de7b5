/* SPDX-License-Identifier: Apache-2.0 */
/* One NV counter: the memory that a copied state directory cannot bring back (D4, D5). */
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
	rc = TPM_CALL(t, Esys_TR_FromTPMPublic(t->esys, index, ESYS_TR_NONE, ESYS_TR_NONE,
					       ESYS_TR_NONE, &ret->tr));
	if (tpm_rc_is(rc, TPM2_RC_HANDLE))
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"The TPM has no counter 0x%x: it was cleared or replaced.", index);
	if (rc == TSS2_RC_SUCCESS) {
		ret->is_nv = true;
		rc = TPM_CALL(t, Esys_NV_ReadPublic(t->esys, ret->tr, ESYS_TR_NONE, ESYS_TR_NONE,
						    ESYS_TR_NONE, &pub, NULL));
	}
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "look the counter up", err);
	if ((pub->nvPublic.attributes & ~TPMA_NV_WRITTEN) != COUNTER_ATTRIBUTES ||
	    pub->nvPublic.dataSize != 8)
		return kerr_set(err, EEXIST, KCODE_EXISTS,
				"NV index 0x%x of the TPM belongs to another program.", index);
	*ret_written = pub->nvPublic.attributes & TPMA_NV_WRITTEN;
	return 0;
}

static int counter_define(struct tpm *t, uint32_t index, struct tpm_handle *ret, struct kerr *err)
{
	const TPM2B_NV_PUBLIC pub = {
		.nvPublic =
			{
				.nvIndex = index,
				.nameAlg = TPM2_ALG_SHA256,
				.attributes = COUNTER_ATTRIBUTES,
				.dataSize = 8,
			},
	};
	const TPM2B_AUTH no_auth = {0};
	TSS2_RC rc;

	rc = TPM_CALL(t, Esys_NV_DefineSpace(t->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD,
					     ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &pub, &ret->tr));
	if (tpm_rc_is(rc, TPM2_RC_NV_SPACE))
		return kerr_set(err, ENOSPC, KCODE_TPM,
				"The TPM has no room for a counter: free an NV index.");
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "define a counter in the TPM", err);
	ret->is_nv = true;
	return 0;
}

static int nv_increment(struct tpm *t, ESYS_TR nv, ESYS_TR session, struct kerr *err)
{
	TSS2_RC rc;

	rc = TPM_CALL(t, Esys_NV_Increment(t->esys, nv, nv, session, ESYS_TR_NONE, ESYS_TR_NONE));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "increment the counter", err);
	return 0;
}

static int nv_read(struct tpm *t, ESYS_TR nv, ESYS_TR session, uint64_t *ret, struct kerr *err)
{
	_cleanup_esys_ TPM2B_MAX_NV_BUFFER *data = NULL;
	uint64_t value = 0;
	TSS2_RC rc;

	rc = TPM_CALL(
		t, Esys_NV_Read(t->esys, nv, nv, session, ESYS_TR_NONE, ESYS_TR_NONE, 8, 0, &data));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "read the counter", err);
	if (data->size != 8)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's counter has a strange size.");
	for (int i = 0; i < 8; i++)
		value = value << 8 | data->buffer[i];
	*ret = value;
	return 0;
}

int tpm_counter_create(struct tpm *t, uint32_t index, uint64_t *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle nv = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	struct kerr missing = {0};
	bool written = false;
	int r;

	r = counter_find(t, index, &nv, &written, &missing);
	if (r == -ENOENT) {
		r = counter_define(t, index, &nv, err);
	} else if (r < 0) {
		return kerr_set(err, -r, missing.code, "%s", missing.text);
	}
	if (r == 0)
		r = tpm_session_srk(t, &session, err);
	if (r == 0 && !written)
		r = nv_increment(t, nv.tr, session.tr, err);
	if (r == 0)
		r = nv_read(t, nv.tr, session.tr, ret, err);
	return r;
}

/* Finds a counter that has a value, and an authenticated session to use it with. */
static int counter_use(struct tpm *t, uint32_t index, struct tpm_handle *ret_nv,
		       struct tpm_handle *ret_session, struct kerr *err)
{
	bool written = false;
	int r;

	r = counter_find(t, index, ret_nv, &written, err);
	if (r < 0)
		return r;
	if (!written)
		return kerr_set(err, ENODATA, KCODE_NOT_FOUND,
				"The TPM's counter 0x%x has no value yet.", index);
	return tpm_session_srk(t, ret_session, err);
}

int tpm_counter_read(struct tpm *t, uint32_t index, uint64_t *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle nv = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	int r;

	r = counter_use(t, index, &nv, &session, err);
	return r < 0 ? r : nv_read(t, nv.tr, session.tr, ret, err);
}

int tpm_counter_increment(struct tpm *t, uint32_t index, uint64_t *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle nv = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	int r;

	r = counter_use(t, index, &nv, &session, err);
	if (r == 0)
		r = nv_increment(t, nv.tr, session.tr, err);
	return r < 0 ? r : nv_read(t, nv.tr, session.tr, ret, err);
}

int tpm_counter_delete(struct tpm *t, uint32_t index, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle nv = TPM_HANDLE_INIT(t);
	bool written;
	TSS2_RC rc;
	int r;

	r = counter_find(t, index, &nv, &written, err);
	if (r < 0)
		return r;
	rc = TPM_CALL(t, Esys_NV_UndefineSpace(t->esys, ESYS_TR_RH_OWNER, nv.tr, ESYS_TR_PASSWORD,
					       ESYS_TR_NONE, ESYS_TR_NONE));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "remove the counter", err);
	nv.tr = ESYS_TR_NONE;
	return 0;
}
