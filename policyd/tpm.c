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

bool tpm_rc_is(TSS2_RC rc, TPM2_RC code)
{
	if (!rc_from_tpm(rc))
		return false;
	rc &= ~TSS2_RC_LAYER_MASK;
	/* Format one carries a parameter, handle or session number in bits 6 and 8 to 11. */
	if (rc & TPM2_RC_FMT1)
		rc &= ~(TPM2_RC_P | TPM2_RC_N_MASK);
	return rc == code;
}

/* The TPM understood the command and does not like something it was given. */
static bool rc_blames_parameter(TSS2_RC rc)
{
	return rc_from_tpm(rc) && rc & TPM2_RC_FMT1 && rc & TPM2_RC_P;
}

static bool rc_wants_patience(TSS2_RC rc)
{
	static const TPM2_RC codes[] = {
		TPM2_RC_RETRY,
		TPM2_RC_YIELDED,
		TPM2_RC_TESTING,
		TPM2_RC_NV_RATE,
		TPM2_RC_NV_UNAVAILABLE,
		/* Somebody else's objects, where no resource manager sits in between. */
		TPM2_RC_OBJECT_MEMORY,
		TPM2_RC_SESSION_MEMORY,
		TPM2_RC_MEMORY,
	};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (tpm_rc_is(rc, codes[i]))
			return true;
	return false;
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

int tpm_fail(TSS2_RC rc, const char *what, struct kerr *err)
{
	const char *text = Tss2_RC_Decode(rc), *hint = "";

	if (rc == TSS2_ESYS_RC_RSP_AUTH_FAILED)
		hint = " The answer did not authenticate: it was altered on its way.";
	else if (tpm_rc_is(rc, TPM2_RC_BAD_AUTH) || tpm_rc_is(rc, TPM2_RC_AUTH_FAIL))
		hint = " The owner or endorsement hierarchy has a password; Kith needs it empty.";
	else if (tpm_rc_is(rc, TPM2_RC_LOCKOUT))
		hint = " The TPM is in dictionary-attack lockout; wait until it ends.";
	else if (tpm_rc_is(rc, TPM2_RC_FAILURE))
		hint = " The TPM is in failure mode; switch the device off and on.";
	return kerr_set(err, EIO, KCODE_TPM, "Kith could not %s: %s (0x%x).%s", what, text, rc,
			hint);
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
		rc = TPM_CALL(h->t, Esys_FlushContext(h->t->esys, h->tr));
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

static void flush_class(struct tpm *t, TPM2_HT type)
{
	/* The TSS's own macros shift a signed int into its sign. */
	TPM2_HANDLE first = (TPM2_HANDLE)type << TPM2_HR_SHIFT;
	_cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;
	TSS2_RC rc;

	rc = TPM_CALL(t, Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					    TPM2_CAP_HANDLES, first, TPM2_MAX_CAP_HANDLES, &more,
					    &data));
	if (rc != TSS2_RC_SUCCESS)
		return;
	for (UINT32 i = 0; i < data->data.handles.count; i++) {
		TPM2_HANDLE handle = data->data.handles.handle[i];
		ESYS_TR tr = ESYS_TR_NONE;

		rc = TPM_CALL(t, Esys_TR_FromTPMPublic(t->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE,
						       ESYS_TR_NONE, &tr));
		if (rc == TSS2_RC_SUCCESS)
			rc = TPM_CALL(t, Esys_FlushContext(t->esys, tr));
		log_debug("tpm", "left-over handle 0x%x: %s", handle, Tss2_RC_Decode(rc));
	}
}

/* -- Opening -- */

static void copy_ascii(uint32_t value, char *ret)
{
	for (int i = 0; i < 4; i++) {
		char c = (char)(value >> (24 - 8 * i) & 0xff);

		ret[i] = c >= ' ' && c <= '~' ? c : ' ';
	}
}

static void trim(char *s)
{
	for (size_t n = strlen(s); n && s[n - 1] == ' '; n--)
		s[n - 1] = 0;
}

static void fill_facts(const TPML_TAGGED_TPM_PROPERTY *list, struct tpm_facts *ret)
{
	struct tpm_facts f = {.tier = TPM_TIER_PINNED};

	for (UINT32 i = 0; i < MIN_OF(list->count, ARRAY_SIZE(list->tpmProperty)); i++) {
		uint32_t tag = list->tpmProperty[i].property, v = list->tpmProperty[i].value;

		if (tag == TPM2_PT_MANUFACTURER)
			copy_ascii(v, f.manufacturer);
		else if (tag >= TPM2_PT_VENDOR_STRING_1 && tag <= TPM2_PT_VENDOR_STRING_4)
			copy_ascii(v, f.vendor + 4 * (tag - TPM2_PT_VENDOR_STRING_1));
		else if (tag == TPM2_PT_FIRMWARE_VERSION_1 || tag == TPM2_PT_FIRMWARE_VERSION_2)
			f.firmware[tag - TPM2_PT_FIRMWARE_VERSION_1] = v;
	}
	trim(f.manufacturer);
	trim(f.vendor);
	for (size_t i = 0; i < ARRAY_SIZE(software_makers); i++)
		f.is_software |= strcmp(f.manufacturer, software_makers[i]) == 0;
	if (f.is_software)
		f.tier = TPM_TIER_SOFTWARE;
	*ret = f;
}

static TSS2_RC read_properties(struct tpm *t, TPMS_CAPABILITY_DATA **ret)
{
	TPMI_YES_NO more;

	return TPM_CALL(t, Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					      TPM2_CAP_TPM_PROPERTIES, TPM2_PT_MANUFACTURER, 8,
					      &more, ret));
}

static int first_contact(struct tpm *t, struct kerr *err)
{
	_cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
	TSS2_RC rc;

	rc = read_properties(t, &data);
	if (tpm_rc_is(rc, TPM2_RC_INITIALIZE)) {
		rc = TPM_CALL(t, Esys_Startup(t->esys, TPM2_SU_CLEAR));
		if (rc != TSS2_RC_SUCCESS)
			return tpm_fail(rc, "start the TPM up", err);
		rc = read_properties(t, &data);
	}
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "read the properties of the TPM", err);
	fill_facts(&data->data.tpmProperties, &t->facts);
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
		return tpm_fail(rc, what, err);
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
	TSS2_RC rc;
	int r;

	r = tpm_enter(t, err);
	if (r < 0)
		return r;
	rc = TPM_CALL(t, Esys_ReadClock(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &info));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "read the clock of the TPM", err);
	*ret = (struct tpm_clock){
		.clock_ms = info->clockInfo.clock,
		.reset_count = info->clockInfo.resetCount,
		.restart_count = info->clockInfo.restartCount,
		.safe = info->clockInfo.safe == TPM2_YES,
	};
	return 0;
}

void tpm_scrub(struct tpm *t)
{
	_cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;

	/* Any command with a long answer does; its failure changes nothing for the caller. */
	if (Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_COMMANDS,
			       TPM2_CC_FIRST, 64, &more, &data) != TSS2_RC_SUCCESS)
		log_debug("tpm", "scrubbing the response buffer failed");
	sodium_stackzero(32768);
}

/* -- Storage key and sessions -- */

TSS2_RC tpm_primary(struct tpm *t, ESYS_TR hierarchy, const TPM2B_PUBLIC *template,
		    struct tpm_handle *ret, TPM2B_PUBLIC **ret_pub)
{
	const TPM2B_SENSITIVE_CREATE sensitive = {0};
	const TPML_PCR_SELECTION no_pcr = {0};
	const TPM2B_DATA outside = {0};

	return TPM_CALL(t, Esys_CreatePrimary(t->esys, hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE,
					      ESYS_TR_NONE, &sensitive, template, &outside, &no_pcr,
					      &ret->tr, ret_pub, NULL, NULL, NULL));
}

/* TCG Provisioning Guidance: ECC P-256 storage root key. */
static const TPM2B_PUBLIC srk_template = {
	.publicArea =
		{
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
					    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
			.parameters.eccDetail =
				{
					.symmetric =
						{
							.algorithm = TPM2_ALG_AES,
							.keyBits.aes = 128,
							.mode.aes = TPM2_ALG_CFB,
						},
					.scheme.scheme = TPM2_ALG_NULL,
					.curveID = TPM2_ECC_NIST_P256,
					.kdf.scheme = TPM2_ALG_NULL,
				},
			.unique.ecc = {.x.size = 32, .y.size = 32},
		},
};

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
	TSS2_RC rc;
	int r;

	rc = tpm_primary(t, ESYS_TR_RH_OWNER, &srk_template, &h, NULL);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TR_GetName(t->esys, h.tr, &name);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "make the storage key in the TPM", err);
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
	TSS2_RC rc;

	rc = TPM_CALL(t, Esys_StartAuthSession(t->esys, salt, ESYS_TR_NONE, ESYS_TR_NONE,
					       ESYS_TR_NONE, ESYS_TR_NONE, NULL, type, &aes,
					       TPM2_ALG_SHA256, &ret->tr));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "start a session with the TPM", err);
	tpm_session_use(t, ret->tr, 0);
	return 0;
}

int tpm_session_srk(struct tpm *t, struct tpm_handle *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);
	int r;

	r = tpm_srk(t, &srk, err);
	if (r < 0)
		return r;
	return tpm_session(t, TPM2_SE_HMAC, srk.tr, ret, err);
}

/* -- Wire form -- */

int tpm_blob_put_public(const TPM2B_PUBLIC *pub, struct tpm_blob *ret)
{
	struct tpm_blob b = {0};
	size_t offset = 0;

	if (Tss2_MU_TPM2B_PUBLIC_Marshal(pub, b.data, sizeof(b.data), &offset) != TSS2_RC_SUCCESS)
		return -EBADMSG;
	b.len = (uint16_t)offset;
	*ret = b;
	return 0;
}

int tpm_blob_get_public(const struct tpm_blob *b, TPM2B_PUBLIC *ret)
{
	TPM2B_PUBLIC pub = {0};
	struct tpm_blob again;
	size_t offset = 0;

	if (b->len > sizeof(b->data) ||
	    Tss2_MU_TPM2B_PUBLIC_Unmarshal(b->data, b->len, &offset, &pub) != TSS2_RC_SUCCESS)
		return -EBADMSG;
	/* The library checks neither the outer size field nor what follows it. */
	pub.size = 0;
	if (offset != b->len || tpm_blob_put_public(&pub, &again) < 0 || again.len != b->len ||
	    memcmp(again.data, b->data, b->len) != 0)
		return -EBADMSG;
	*ret = pub;
	return 0;
}

int tpm_blob_put_private(const TPM2B_PRIVATE *priv, struct tpm_blob *ret)
{
	struct tpm_blob b = {0};
	size_t offset = 0;

	if (Tss2_MU_TPM2B_PRIVATE_Marshal(priv, b.data, sizeof(b.data), &offset) != TSS2_RC_SUCCESS)
		return -EBADMSG;
	b.len = (uint16_t)offset;
	*ret = b;
	return 0;
}

static int tpm_blob_get_private(const struct tpm_blob *b, TPM2B_PRIVATE *ret)
{
	TPM2B_PRIVATE priv = {0};
	size_t offset = 0;

	if (b->len > sizeof(b->data) ||
	    Tss2_MU_TPM2B_PRIVATE_Unmarshal(b->data, b->len, &offset, &priv) != TSS2_RC_SUCCESS ||
	    offset != b->len)
		return -EBADMSG;
	*ret = priv;
	return 0;
}

int tpm_public_name(const struct tpm_blob *pub, uint8_t ret[TPM_NAME_LEN])
{
	TPM2B_PUBLIC p;

	if (tpm_blob_get_public(pub, &p) < 0 || p.publicArea.nameAlg != TPM2_ALG_SHA256)
		return -EBADMSG;
	ret[0] = TPM2_ALG_SHA256 >> 8;
	ret[1] = TPM2_ALG_SHA256 & 0xff;
	crypto_hash_sha256(ret + 2, pub->data + 2, pub->len - 2);
	return 0;
}

int tpm_load_under(struct tpm *t, ESYS_TR srk, const struct tpm_blob *pub,
		   const struct tpm_blob *priv, struct tpm_handle *ret, struct kerr *err)
{
	TPM2B_PRIVATE in_private;
	TPM2B_PUBLIC in_public;
	TSS2_RC rc;

	if (tpm_blob_get_public(pub, &in_public) < 0 || tpm_blob_get_private(priv, &in_private) < 0)
		return kerr_set(err, EBADMSG, KCODE_LOCKED, "A stored TPM object is damaged.");
	rc = TPM_CALL(t, Esys_Load(t->esys, srk, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
				   &in_private, &in_public, &ret->tr));
	if (tpm_rc_is(rc, TPM2_RC_INTEGRITY) || tpm_rc_is(rc, TPM2_RC_SENSITIVE))
		return kerr_set(err, EXDEV, KCODE_LOCKED,
				"A stored key does not belong to this TPM: it was sealed to "
				"another TPM, or this one was cleared.");
	if (rc_blames_parameter(rc))
		return kerr_set(err, EBADMSG, KCODE_LOCKED, "A stored TPM object is damaged.");
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "load a key into the TPM", err);
	return 0;
}

int tpm_load(struct tpm *t, const struct tpm_blob *pub, const struct tpm_blob *priv,
	     struct tpm_handle *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);
	int r;

	r = tpm_srk(t, &srk, err);
	return r < 0 ? r : tpm_load_under(t, srk.tr, pub, priv, ret, err);
}

/* -- PCRs -- */

TPML_PCR_SELECTION tpm_pcr_selection(uint32_t mask)
{
	return (TPML_PCR_SELECTION){
		.count = 1,
		.pcrSelections[0] =
			{
				.hash = TPM2_ALG_SHA256,
				.sizeofSelect = 3,
				.pcrSelect = {mask & 0xff, mask >> 8 & 0xff, mask >> 16 & 0xff},
			},
	};
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

void tpm_pcr_digest(uint32_t mask, const uint8_t pcr[PCR_COUNT][HASH_LEN], uint8_t ret[HASH_LEN])
{
	crypto_hash_sha256_state h;

	crypto_hash_sha256_init(&h);
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (mask >> i & 1)
			crypto_hash_sha256_update(&h, pcr[i], HASH_LEN);
	crypto_hash_sha256_final(&h, ret);
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
	TSS2_RC rc;

	rc = TPM_CALL(t, Esys_PCR_Read(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted,
				       ret_generation, &got, &values));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "read the PCRs", err);
	got_mask = selection_mask(got);
	if (!got_mask || got_mask & ~mask)
		return kerr_set(err, EIO, KCODE_TPM,
				"The TPM's SHA-256 PCR bank is off; switch it on in the firmware.");
	for (unsigned i = 0; i < PCR_COUNT; i++) {
		if (!(got_mask >> i & 1))
			continue;
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

	if (mask & ~TPM_PCR_MASK_ALL)
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
