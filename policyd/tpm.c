/* SPDX-License-Identifier: Apache-2.0 */
/* Connection to the TPM, response codes, storage key, sessions, PCRs. */
#include "policyd/tpm-internal.h"

#include <sodium.h>
#include <time.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "base/log.h"

#define RETRIES_MAX 9 /* 10 ms doubling: 5.1 s in all */
#define SNAPSHOT_TRIES 8

/* Manufacturers of emulated TPMs (TCG vendor ID registry): their state lies on a disk. */
static const char *const software_makers[] = {"IBM", "SW", "VMW", "MSFT", "GOOG", "AMZN"};

/* -- Response codes -- */

static bool rc_from_tpm(TSS2_RC rc)
{
	TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER;
}

bool tpm_rc_in(TSS2_RC rc, const TPM2_RC *codes, size_t n)
{
	if (!rc_from_tpm(rc))
		return false;
	rc &= ~TSS2_RC_LAYER_MASK;
	/* Format one carries a parameter, handle or session number in bits 6 and 8 to 11. */
	if (rc & TPM2_RC_FMT1)
		rc &= ~(TPM2_RC_P | TPM2_RC_N_MASK);
	for (size_t i = 0; i < n; i++)
		if (rc == codes[i])
			return true;
	return false;
}

/* The TPM understood the command and does not like something it was given. */
static bool rc_blames_parameter(TSS2_RC rc)
{
	return rc_from_tpm(rc) && rc & TPM2_RC_FMT1 && rc & TPM2_RC_P;
}

static bool rc_wants_patience(TSS2_RC rc)
{
	return tpm_rc_is(rc, TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING, TPM2_RC_NV_RATE,
			 TPM2_RC_NV_UNAVAILABLE) ||
	       /* Somebody else's objects, where no resource manager sits in between. */
	       tpm_rc_is(rc, TPM2_RC_OBJECT_MEMORY, TPM2_RC_SESSION_MEMORY, TPM2_RC_MEMORY);
}

static void set_broken(struct tpm *t, bool broken)
{
	if (t->broken == broken)
		return;
	log_debug("tpm", "connection broken: %d -> %d", t->broken, broken);
	t->broken = broken;
}

bool tpm_again(struct tpm *t, TSS2_RC rc, unsigned *tries)
{
	long ms = 10L << *tries;
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

	/* After anything but an answer of the TPM the library's context is out of step. */
	if (rc != TSS2_RC_SUCCESS && !rc_from_tpm(rc))
		set_broken(t, true);
	if (!rc_wants_patience(rc) || *tries >= RETRIES_MAX)
		return false;
	log_debug("tpm", "response code 0x%x, waiting %ld ms", rc, ms);
	(*tries)++;
	while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
		;
	return true;
}

int tpm_result(TSS2_RC rc, const char *what, struct kerr *err)
{
	const char *hint = "";

	if (rc == TSS2_RC_SUCCESS)
		return 0;
	if (rc == TSS2_ESYS_RC_RSP_AUTH_FAILED)
		hint = " The answer did not authenticate: it was altered on its way.";
	else if (tpm_rc_is(rc, TPM2_RC_BAD_AUTH, TPM2_RC_AUTH_FAIL))
		hint = " The owner or endorsement hierarchy has a password; Kith needs it empty.";
	else if (tpm_rc_is(rc, TPM2_RC_LOCKOUT))
		hint = " The TPM is in dictionary-attack lockout; wait until it ends.";
	else if (tpm_rc_is(rc, TPM2_RC_FAILURE))
		hint = " The TPM is in failure mode; switch the device off and on.";
	return kerr_set(err, EIO, KCODE_TPM, "Kith could not %s: %s (0x%x).%s", what,
			Tss2_RC_Decode(rc), rc, hint);
}

/* -- Handles -- */

void tpm_handle_release(struct tpm_handle *h)
{
	TPM2B_AUTH zeros = {.size = 32};
	TSS2_RC rc;

	if (h->tr == ESYS_TR_NONE)
		return;
	/* The library forgets a password without overwriting it (D14). */
	if (h->is_nv)
		Esys_TR_SetAuth(h->t->esys, h->tr, &zeros);
	if (h->is_nv || h->t->broken)
		rc = Esys_TR_Close(h->t->esys, &h->tr);
	else
		rc = TPM_CALL(h->t, FlushContext, h->tr);
	h->tr = ESYS_TR_NONE;
	if (rc == TSS2_RC_SUCCESS)
		return;
	/* It may still be loaded. Connecting again frees the slot. */
	log_debug("tpm", "releasing a handle: %s", Tss2_RC_Decode(rc));
	set_broken(h->t, true);
}

/* Only where nobody else manages the slots: an emulator's socket or a raw device. */
static bool tcti_is_raw(const char *tcti)
{
	if (strncmp(tcti, "device:/dev/tpm", 15) == 0)
		return strncmp(tcti + 15, "rm", 2) != 0;
	return strncmp(tcti, "swtpm", 5) == 0 || strncmp(tcti, "mssim", 5) == 0;
}

static TSS2_RC capability(struct tpm *t, TPM2_CAP what, UINT32 first, UINT32 count,
			  TPMS_CAPABILITY_DATA **ret)
{
	TPMI_YES_NO more;

	return TPM_CALL(t, GetCapability, NO_SESSION, what, first, count, &more, ret);
}

static void flush_class(struct tpm *t, TPM2_HT type)
{
	/* The TSS's own macros shift a signed int into its sign. */
	TPM2_HANDLE first = (TPM2_HANDLE)type << TPM2_HR_SHIFT;
	_cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
	TSS2_RC rc = capability(t, TPM2_CAP_HANDLES, first, TPM2_MAX_CAP_HANDLES, &data);

	if (rc != TSS2_RC_SUCCESS)
		return;
	for (UINT32 i = 0; i < data->data.handles.count; i++) {
		TPM2_HANDLE handle = data->data.handles.handle[i];
		ESYS_TR tr = ESYS_TR_NONE;

		rc = TPM_CALL(t, TR_FromTPMPublic, handle, NO_SESSION, &tr);
		if (rc == TSS2_RC_SUCCESS)
			rc = TPM_CALL(t, FlushContext, tr);
		log_debug("tpm", "left-over handle 0x%x: %s", handle, Tss2_RC_Decode(rc));
	}
}

/* -- Opening -- */

/* `maker` is four characters. */
static void fill_facts(uint32_t maker, struct tpm_facts *ret)
{
	struct tpm_facts f = {.tier = TPM_TIER_PINNED};

	for (int i = 0; i < 4; i++) {
		char c = (char)(maker >> (24 - 8 * i) & 0xff);

		f.manufacturer[i] = c >= ' ' && c <= '~' ? c : ' ';
	}
	for (size_t n = 4; n && f.manufacturer[n - 1] == ' '; n--)
		f.manufacturer[n - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(software_makers); i++)
		if (strcmp(f.manufacturer, software_makers[i]) == 0)
			f.tier = TPM_TIER_SOFTWARE;
	*ret = f;
}

static TSS2_RC read_maker(struct tpm *t)
{
	_cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
	TSS2_RC rc = capability(t, TPM2_CAP_TPM_PROPERTIES, TPM2_PT_MANUFACTURER, 1, &data);

	if (rc == TSS2_RC_SUCCESS)
		fill_facts(data->data.tpmProperties.count
				   ? data->data.tpmProperties.tpmProperty[0].value
				   : 0,
			   &t->facts);
	return rc;
}

static int first_contact(struct tpm *t, struct kerr *err)
{
	TSS2_RC rc = read_maker(t);

	if (tpm_rc_is(rc, TPM2_RC_INITIALIZE)) {
		rc = TPM_CALL(t, Startup, TPM2_SU_CLEAR);
		if (rc != TSS2_RC_SUCCESS)
			return tpm_result(rc, "start the TPM up", err);
		rc = read_maker(t);
	}
	if (rc != TSS2_RC_SUCCESS)
		return tpm_result(rc, "read the properties of the TPM", err);
	if (tcti_is_raw(t->conf)) {
		flush_class(t, TPM2_HT_TRANSIENT);
		flush_class(t, TPM2_HT_LOADED_SESSION);
		flush_class(t, TPM2_HT_SAVED_SESSION);
	}
	return 0;
}

static void disconnect(struct tpm *t)
{
	if (t->esys)
		Esys_Finalize(&t->esys);
	if (t->tcti)
		Tss2_TctiLdr_Finalize(&t->tcti);
	set_broken(t, true);
}

static int reconnect(struct tpm *t, struct kerr *err)
{
	char what[300];
	TSS2_RC rc;
	int r;

	disconnect(t);
	snprintf(what, sizeof(what), "reach the TPM at \"%s\"", t->conf);
	rc = Tss2_TctiLdr_Initialize(t->conf, &t->tcti);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_Initialize(&t->esys, t->tcti, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_result(rc, what, err);
	set_broken(t, false);
	r = first_contact(t, err);
	if (r < 0)
		disconnect(t);
	return r;
}

int tpm_enter(struct tpm *t, struct kerr *err)
{
	return t->broken ? reconnect(t, err) : 0;
}

int tpm_open(const char *tcti, struct tpm **ret, struct kerr *err)
{
	_cleanup_(tpm_freep) struct tpm *t = NULL;
	int r;

	if (!tcti || !*tcti)
		return kerr_set(err, EINVAL, KCODE_USAGE, "No TPM is configured ([tpm] tcti).");
	/* The library prints every refusal to stderr, also the expected ones. */
	if (setenv("TSS2_LOG", "all+NONE", 0) < 0)
		return kerr_set(err, errno, KCODE_FAILED, "The environment is full.");
	t = calloc(1, sizeof(*t));
	if (t)
		t->conf = strdup(tcti);
	if (!t || !t->conf)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	t->ek_type = TPM2_ALG_ECC;
	r = reconnect(t, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(t);
	return 0;
}

struct tpm *tpm_free(struct tpm *t)
{
	if (!t)
		return NULL;
	disconnect(t);
	free(t->conf);
	free(t);
	return NULL;
}

const struct tpm_facts *tpm_facts(const struct tpm *t)
{
	return &t->facts;
}

int tpm_clock(struct tpm *t, struct tpm_clock *ret, struct kerr *err)
{
	_cleanup_esys_ TPMS_TIME_INFO *info = NULL;
	int r = tpm_enter(t, err);

	if (r == 0)
		r = TPM_DO(t, err, "read the clock of the TPM", ReadClock, NO_SESSION, &info);
	if (r < 0)
		return r;
	*ret = (struct tpm_clock){
		.clock_ms = info->clockInfo.clock,
		.reset_count = info->clockInfo.resetCount,
		.restart_count = info->clockInfo.restartCount,
	};
	return 0;
}

void tpm_scrub(struct tpm *t)
{
	_cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;

	/* Any command with a long answer does; its failure changes nothing for the caller. */
	if (Esys_GetCapability(t->esys, NO_SESSION, TPM2_CAP_COMMANDS, TPM2_CC_FIRST, 64, &more,
			       &data) != TSS2_RC_SUCCESS)
		log_debug("tpm", "scrubbing the response buffer failed");
	sodium_stackzero(32768);
}

/* -- Storage key and sessions -- */

TPM2B_PUBLIC tpm_ecc_template(TPMA_OBJECT attributes)
{
	TPM2B_PUBLIC p = {0};
	TPMT_PUBLIC *area = &p.publicArea;
	TPMS_ECC_PARMS *ecc = &area->parameters.eccDetail;

	area->type = TPM2_ALG_ECC;
	area->nameAlg = TPM2_ALG_SHA256;
	area->objectAttributes = attributes;
	ecc->curveID = TPM2_ECC_NIST_P256;
	ecc->kdf.scheme = TPM2_ALG_NULL;
	if (attributes & TPMA_OBJECT_DECRYPT) {
		ecc->symmetric.algorithm = TPM2_ALG_AES;
		ecc->symmetric.keyBits.aes = 128;
		ecc->symmetric.mode.aes = TPM2_ALG_CFB;
		ecc->scheme.scheme = TPM2_ALG_NULL;
		/* A primary key is derived from this too: zeros of the full size. */
		area->unique.ecc.x.size = area->unique.ecc.y.size = P256_LEN;
	} else {
		ecc->symmetric.algorithm = TPM2_ALG_NULL;
		ecc->scheme.scheme = TPM2_ALG_ECDSA;
		ecc->scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
	}
	return p;
}

TSS2_RC tpm_primary(struct tpm *t, ESYS_TR hierarchy, const TPM2B_PUBLIC *template,
		    struct tpm_handle *ret, TPM2B_PUBLIC **ret_pub)
{
	const TPM2B_SENSITIVE_CREATE sensitive = {0};
	const TPML_PCR_SELECTION no_pcr = {0};
	const TPM2B_DATA outside = {0};

	return TPM_CALL(t, CreatePrimary, hierarchy, SESSION(ESYS_TR_PASSWORD), &sensitive,
			template, &outside, &no_pcr, &ret->tr, ret_pub, NULL, NULL, NULL);
}

/* TCG Provisioning Guidance: ECC P-256 storage root key. */
static TPM2B_PUBLIC srk_template(void)
{
	return tpm_ecc_template(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
				TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
				TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
}

/* Sessions are salted with this key: if another one could slip in, so could a listener (D12). */
static int srk_check(struct tpm *t, const TPM2B_NAME *name, struct kerr *err)
{
	if (name->size != TPM_NAME_LEN)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's storage key has a strange name.");
	if (!t->srk_known) {
		memcpy(t->srk_name, name->name, TPM_NAME_LEN);
		t->srk_known = true;
		return 0;
	}
	if (memcmp(t->srk_name, name->name, TPM_NAME_LEN) == 0)
		return 0;
	set_broken(t, true);
	return kerr_set(
		err, EIO, KCODE_TPM,
		"The TPM shows another storage key than before: it was cleared or replaced, "
		"or something sits between. Restart the device.");
}

int tpm_srk(struct tpm *t, struct tpm_handle *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle h = TPM_HANDLE_INIT(t);
	_cleanup_esys_ TPM2B_NAME *name = NULL;
	const TPM2B_PUBLIC template = srk_template();
	TSS2_RC rc = tpm_primary(t, ESYS_TR_RH_OWNER, &template, &h, NULL);
	int r;

	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TR_GetName(t->esys, h.tr, &name);
	r = tpm_result(rc, "make the storage key in the TPM", err);
	if (r == 0)
		r = srk_check(t, name, err);
	if (r < 0)
		return r;
	ret->tr = h.tr;
	h.tr = ESYS_TR_NONE;
	return 0;
}

void tpm_session_use(struct tpm *t, ESYS_TR session, TPMA_SESSION flags)
{
	/* Cannot fail for a session that exists. */
	Esys_TRSess_SetAttributes(t->esys, session, flags | TPMA_SESSION_CONTINUESESSION, 0xff);
}

int tpm_session(struct tpm *t, TPM2_SE type, ESYS_TR salt, struct tpm_handle *ret, struct kerr *err)
{
	const TPMT_SYM_DEF aes = {
		.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
	int r = TPM_DO(t, err, "start a session with the TPM", StartAuthSession, salt, ESYS_TR_NONE,
		       NO_SESSION, NULL, type, &aes, TPM2_ALG_SHA256, &ret->tr);

	if (r == 0)
		tpm_session_use(t, ret->tr, 0);
	return r;
}

int tpm_session_srk(struct tpm *t, struct tpm_handle *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);
	int r = tpm_srk(t, &srk, err);

	return r < 0 ? r : tpm_session(t, TPM2_SE_HMAC, srk.tr, ret, err);
}

int tpm_begin(struct tpm *t, TPM2_SE type, struct tpm_handle *ret_srk,
	      struct tpm_handle *ret_session, struct kerr *err)
{
	int r = tpm_enter(t, err);

	if (r == 0)
		r = tpm_srk(t, ret_srk, err);
	return r < 0 ? r : tpm_session(t, type, ret_srk->tr, ret_session, err);
}

/* -- Children of the storage key -- */

int tpm_blob_get_public(const struct tpm_blob *b, TPM2B_PUBLIC *ret)
{
	TPM2B_PUBLIC pub = {0};
	struct tpm_blob again;

	if (TPM_BLOB_GET(TPM2B_PUBLIC, b, &pub) < 0)
		return -EBADMSG;
	/* The library does not check the outer size field. */
	pub.size = 0;
	if (TPM_BLOB_PUT(TPM2B_PUBLIC, &pub, &again) < 0 || again.len != b->len ||
	    memcmp(again.data, b->data, b->len) != 0)
		return -EBADMSG;
	*ret = pub;
	return 0;
}

int tpm_create(struct tpm *t, ESYS_TR srk, ESYS_TR session, const TPM2B_SENSITIVE_CREATE *secret,
	       const TPM2B_PUBLIC *template, const char *what, struct tpm_blob *ret_pub,
	       struct tpm_blob *ret_priv, struct kerr *err)
{
	_cleanup_esys_ TPM2B_PRIVATE *priv = NULL;
	_cleanup_esys_ TPM2B_PUBLIC *pub = NULL;
	const TPML_PCR_SELECTION no_pcr = {0};
	const TPM2B_DATA outside = {0};
	int r = TPM_DO(t, err, what, Create, srk, SESSION(session), secret, template, &outside,
		       &no_pcr, &priv, &pub, NULL, NULL, NULL);

	if (r < 0)
		return r;
	pub->size = 0;
	if (TPM_BLOB_PUT(TPM2B_PUBLIC, pub, ret_pub) < 0 ||
	    TPM_BLOB_PUT(TPM2B_PRIVATE, priv, ret_priv) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The object that the TPM made is malformed.");
	return 0;
}

int tpm_load_under(struct tpm *t, ESYS_TR srk, const struct tpm_blob *pub,
		   const struct tpm_blob *priv, struct tpm_handle *ret, struct kerr *err)
{
	TPM2B_PRIVATE in_private = {0};
	TPM2B_PUBLIC in_public;
	TSS2_RC rc;

	if (tpm_blob_get_public(pub, &in_public) < 0 ||
	    TPM_BLOB_GET(TPM2B_PRIVATE, priv, &in_private) < 0)
		return kerr_set(err, EBADMSG, KCODE_LOCKED, "A stored TPM object is damaged.");
	rc = TPM_CALL(t, Load, srk, SESSION(ESYS_TR_PASSWORD), &in_private, &in_public, &ret->tr);
	if (tpm_rc_is(rc, TPM2_RC_INTEGRITY, TPM2_RC_SENSITIVE))
		return kerr_set(err, EXDEV, KCODE_LOCKED,
				"A stored key does not belong to this TPM: it was sealed to "
				"another TPM, or this one was cleared.");
	if (rc_blames_parameter(rc))
		return kerr_set(err, EBADMSG, KCODE_LOCKED, "A stored TPM object is damaged.");
	return tpm_result(rc, "load a key into the TPM", err);
}

int tpm_load(struct tpm *t, const struct tpm_blob *pub, const struct tpm_blob *priv,
	     struct tpm_handle *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);
	int r = tpm_srk(t, &srk, err);

	return r < 0 ? r : tpm_load_under(t, srk.tr, pub, priv, ret, err);
}

/* -- PCRs -- */

TPML_PCR_SELECTION tpm_pcr_selection(uint32_t mask)
{
	TPML_PCR_SELECTION list = {.count = 1};
	TPMS_PCR_SELECTION *one = &list.pcrSelections[0];

	one->hash = TPM2_ALG_SHA256;
	one->sizeofSelect = 3;
	for (unsigned i = 0; i < 3; i++)
		one->pcrSelect[i] = (BYTE)(mask >> (8 * i));
	return list;
}

static uint32_t selection_mask(const TPML_PCR_SELECTION *s)
{
	uint32_t mask = 0;

	if (s->count != 1 || s->pcrSelections[0].hash != TPM2_ALG_SHA256)
		return 0;
	for (unsigned i = 0; i < 3 && i < s->pcrSelections[0].sizeofSelect; i++)
		mask |= (uint32_t)s->pcrSelections[0].pcrSelect[i] << (8 * i);
	return mask;
}

/* One TPM2_PCR_Read: the TPM answers as many as it likes. *ret_got = those PCRs. */
static int pcr_read_some(struct tpm *t, uint32_t mask, uint8_t ret[PCR_COUNT][HASH_LEN],
			 uint32_t *ret_got, UINT32 *ret_generation, struct kerr *err)
{
	TPML_PCR_SELECTION wanted = tpm_pcr_selection(mask);
	_cleanup_esys_ TPML_PCR_SELECTION *got = NULL;
	_cleanup_esys_ TPML_DIGEST *values = NULL;
	uint32_t got_mask;
	UINT32 n = 0;
	int r = TPM_DO(t, err, "read the PCRs", PCR_Read, NO_SESSION, &wanted, ret_generation, &got,
		       &values);

	if (r < 0)
		return r;
	got_mask = selection_mask(got);
	if (!got_mask || got_mask & ~mask)
		return kerr_set(err, EIO, KCODE_TPM,
				"The TPM's SHA-256 PCR bank is off; switch it on in the firmware.");
	for_each_pcr(i, got_mask) {
		if (n >= values->count || values->digests[n].size != HASH_LEN)
			return kerr_set(err, EIO, KCODE_TPM, "The TPM answered too few PCRs.");
		memcpy(ret[i], values->digests[n++].buffer, HASH_LEN);
	}
	*ret_got = got_mask;
	return 0;
}

int tpm_pcr_snapshot(struct tpm *t, uint32_t mask, uint8_t ret[PCR_COUNT][HASH_LEN],
		     struct kerr *err)
{
	uint8_t pcr[PCR_COUNT][HASH_LEN] = {0};
	UINT32 first = 0, now = 0;
	uint32_t left = mask, got = 0;
	int r;

	if (mask & ~PCR_MASK_ALL)
		return kerr_set(err, EINVAL, KCODE_USAGE, "PCR numbers end at 23.");
	for (unsigned tries = 0; left;) {
		r = pcr_read_some(t, left, pcr, &got, &now, err);
		if (r < 0)
			return r;
		if (left != mask && now != first) {
			if (++tries >= SNAPSHOT_TRIES)
				return kerr_set(err, EAGAIN, KCODE_TPM,
						"The PCRs change all the time.");
			left = mask;
			continue;
		}
		first = now;
		left &= ~got;
	}
	memcpy(ret, pcr, sizeof(pcr));
	return 0;
}

int tpm_pcr_read(struct tpm *t, uint32_t mask, uint8_t ret[PCR_COUNT][HASH_LEN], struct kerr *err)
{
	int r = tpm_enter(t, err);

	return r < 0 ? r : tpm_pcr_snapshot(t, mask, ret, err);
}
