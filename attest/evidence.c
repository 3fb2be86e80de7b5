/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence: codec, what a quote is bound to, and the verdict machine. */
#include "attest/evidence.h"

#include "base/code.h"

#define EVIDENCE_VERSION 1
#define EVIDENCE_LABEL "kith-evidence-v1"

/* -- binding -- */

static void logs_digest(const struct evidence *ev, uint8_t ret[HASH_LEN])
{
	struct digest d;

	digest_begin(&d, "kith-logs-v1");
	digest_field(&d, ev->event_log, ev->event_log_len);
	digest_field(&d, ev->ima_log, ev->ima_log_len);
	digest_end(&d, ret);
}

void evidence_qualifying(const struct evidence_binding *binding, const struct evidence *ev,
			 uint8_t ret[HASH_LEN])
{
	uint8_t role = (uint8_t)binding->role, versions[HASH_LEN], logs[HASH_LEN];
	struct digest d;

	crypto_hash_sha256(versions, (const uint8_t *)ev->versions, strlen(ev->versions));
	logs_digest(ev, logs);
	digest_begin(&d, EVIDENCE_LABEL);
	digest_field(&d, &role, sizeof(role));
	digest_field(&d, binding->exporter, sizeof(binding->exporter));
	digest_field(&d, binding->source, sizeof(binding->source));
	digest_field(&d, binding->destination, sizeof(binding->destination));
	digest_field(&d, binding->nonce_source, sizeof(binding->nonce_source));
	digest_field(&d, binding->nonce_destination, sizeof(binding->nonce_destination));
	digest_field(&d, binding->eph_source, sizeof(binding->eph_source));
	digest_field(&d, binding->eph_destination, sizeof(binding->eph_destination));
	digest_field(&d, binding->hid, sizeof(binding->hid));
	digest_field(&d, versions, sizeof(versions));
	digest_field(&d, logs, sizeof(logs));
	digest_end(&d, ret);
}

/* -- versions -- */

/* Length of the key of a line "key=value", 0 if the line has none. */
static size_t key_length(const char *line)
{
	size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return line[len] == '=' ? len : 0;
}

static const char *line_next(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

/* The line of `text` before `end` whose key is the same, or NULL. */
static const char *line_find(const char *text, const char *end, const char *key, size_t key_len)
{
	for (const char *at = text; at < end && *at; at = line_next(at))
		if (key_length(at) == key_len && memcmp(at, key, key_len) == 0)
			return at;
	return NULL;
}

bool evidence_versions_valid(const char *text)
{
	size_t len = strnlen(text, EVIDENCE_VERSIONS_MAX + 1);

	if (len > EVIDENCE_VERSIONS_MAX || !text_is_clean(text) || strchr(text, '\t'))
		return false;
	for (const char *at = text; *at; at = line_next(at)) {
		size_t key = key_length(at);

		if (!key || line_find(text, at, at, key))
			return false;
	}
	return true;
}

/* -- codec -- */

static void evidence_code(struct coder *c, struct evidence *v)
{
	uint8_t version = EVIDENCE_VERSION;

	code_u8(c, &version);
	code_check(c, version == EVIDENCE_VERSION);
	code_array(c, v->quote, &v->quote_len, sizeof(v->quote));
	code_array(c, v->signature, &v->signature_len, sizeof(v->signature));
	code_check(c, v->quote_len && v->signature_len);
	pcr_set_code(c, &v->pcrs);
	CODE_TEXT(c, v->versions);
	code_check(c, evidence_versions_valid(v->versions));
	code_blob(c, &v->event_log, &v->event_log_len, EVIDENCE_MAX);
	code_blob(c, &v->ima_log, &v->ima_log_len, EVIDENCE_MAX);
}
DEFINE_RECORD(evidence)

int evidence_put(struct wbuf *w, const struct evidence *ev)
{
	size_t start = w->len;

	record_put(w, &evidence_record, ev);
	if (!w->error && w->len - start > EVIDENCE_MAX)
		w->error = -EMSGSIZE;
	return wbuf_error(w);
}

int evidence_get(struct rbuf *r, struct evidence *ret)
{
	struct evidence ev;

	if (r->left > EVIDENCE_MAX)
		rbuf_fail(r, -EBADMSG);
	if (record_get(r, &evidence_record, &ev) < 0 || rbuf_end(r) < 0)
		return -EBADMSG;
	*ret = ev;
	return 0;
}

/* -- verdict -- */

/* All bytes zero or all 0xff: nothing was measured, or the bank is off (B8, CVE-2021-42299). */
static bool pcr_degenerate(const uint8_t value[HASH_LEN])
{
	return (value[0] == 0x00 || value[0] == 0xff) &&
	       memcmp(value, value + 1, HASH_LEN - 1) == 0;
}

int evidence_covers(const struct pcr_set *pcrs, uint32_t required, struct kerr *err)
{
	for_each_pcr(i, required) {
		if (!(pcrs->mask & (1u << i)))
			return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_QUOTE,
					"That device does not report %s (PCR %u), by which it is "
					"measured here.",
					pcr_meaning(i), i);
		if (pcr_degenerate(pcrs->values[i]))
			return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_PCR,
					"Nothing was measured into %s (PCR %u) of that device: its "
					"measured boot is off.",
					pcr_meaning(i), i);
	}
	return 0;
}

int evidence_verify(const struct evidence *ev, const uint8_t *ak_public, size_t ak_public_len,
		    const uint8_t qualifying[HASH_LEN], uint32_t required,
		    struct quote_info *ret_info, struct kerr *err)
{
	const struct quote_expect expect = {
		.ak_public = ak_public,
		.ak_public_len = ak_public_len,
		.qualifying = qualifying,
		.pcrs = &ev->pcrs,
	};
	int r;

	if (!required || (required & ~PCR_MASK_ALL) || (required & PCR_MASK_RESETTABLE))
		return kerr_set(err, EINVAL, KCODE_ATTEST_ERROR,
				"No measurements that could be relied on are accepted for that "
				"device yet.");
	r = quote_verify(&expect, ev->quote, ev->quote_len, ev->signature, ev->signature_len,
			 ret_info, err);
	return r < 0 ? r : evidence_covers(&ev->pcrs, required, err);
}

static int reference_check(const struct pcr_set *pcrs, const struct pcr_set *reference,
			   struct kerr *err)
{
	uint32_t changed = pcr_set_changed(reference, pcrs->values);
	char list[KERR_TEXT_MAX - 80];

	if (!changed)
		return 0;
	pcr_words(changed, list, sizeof(list));
	return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_PCR,
			"That device does not run what its owner accepted. Changed: %s.", list);
}

/* Only what was proven to be wrong is untrusted; whatever else failed is unknown (B12). */
static enum verdict verdict_of(const struct kerr *err)
{
	if (err->code == KCODE_ATTEST_QUOTE || err->code == KCODE_ATTEST_BINDING ||
	    err->code == KCODE_ATTEST_PCR)
		return VERDICT_UNTRUSTED;
	return VERDICT_UNKNOWN;
}

enum verdict evidence_judge(const struct evidence *ev, const uint8_t *ak_public,
			    size_t ak_public_len, const uint8_t qualifying[HASH_LEN],
			    const struct pcr_set *reference, struct quote_info *ret_info,
			    struct kerr *err)
{
	struct kerr cause = {0};
	int r;

	r = evidence_verify(ev, ak_public, ak_public_len, qualifying, reference->mask, ret_info,
			    &cause);
	if (r >= 0)
		r = reference_check(&ev->pcrs, reference, &cause);
	if (r < 0) {
		kerr_set(&cause, EIO, KCODE_ATTEST_ERROR, "The evidence could not be judged.");
		kerr_set(err, EACCES, cause.code, "%s", cause.text);
		return verdict_of(&cause);
	}
	return VERDICT_TRUSTED;
}
