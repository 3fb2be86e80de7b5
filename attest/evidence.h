/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence of what a device runs, what it is bound to, and the verdict on it. */
#pragma once

#include "attest/quote.h"
#include "attest/wire.h"

#define EVIDENCE_MAX 40960 /* encoded; leaves room for an offer in one blob (B13) */
#define EVIDENCE_VERSIONS_MAX 512

/* Made by evidence_get() or filled by a quoter; the logs are borrowed from what was read, or are
 * the quoter's. */
struct evidence {
	uint8_t quote[QUOTE_MAX];
	size_t quote_len;
	uint8_t signature[QUOTE_SIGNATURE_MAX];
	size_t signature_len;
	struct pcr_set pcrs;
	char versions[EVIDENCE_VERSIONS_MAX + 1]; /* "kernel=6.1.0\nqemu=7.2.22", no duplicates */
	const uint8_t *event_log, *ima_log;
	size_t event_log_len, ima_log_len;
};

/* In which part the quoting device speaks: a quote for one part is worth nothing in another. */
enum evidence_role {
	EVIDENCE_ROLE_SOURCE,
	EVIDENCE_ROLE_DESTINATION,
	EVIDENCE_ROLE_PAIRING_INITIATOR,
	EVIDENCE_ROLE_PAIRING_RESPONDER,
	_EVIDENCE_ROLE_MAX,
};

/* Everything a quote is bound to (B1). In pairing: source = initiator, destination = responder,
 * eph_source = transcript hash, eph_destination and hid zeros. */
struct evidence_binding {
	enum evidence_role role;
	uint8_t exporter[EXPORTER_LEN];
	uint8_t source[DEVICE_ID_LEN], destination[DEVICE_ID_LEN];
	uint8_t nonce_source[ATTEST_NONCE_LEN], nonce_destination[ATTEST_NONCE_LEN];
	uint8_t eph_source[32], eph_destination[32];
	uint8_t hid[HID_LEN];
};

/* Qualifying data of the quote: SHA-256 over the binding, the versions and the logs of `ev`. A
 * quoter fills versions and logs first, then calls this, then quotes. */
void evidence_qualifying(const struct evidence_binding *binding, const struct evidence *ev,
			 uint8_t ret[HASH_LEN]);

/* True if `text` is what `versions` may hold: lines "key=value", keys of [a-z0-9-], none twice. */
bool evidence_versions_valid(const char *text);

/* Codec. evidence_put() fails the cursor with -EMSGSIZE above EVIDENCE_MAX; evidence_get() takes
 * the whole rest of `r` and leaves *ret untouched on failure. -EBADMSG. */
int evidence_put(struct wbuf *w, const struct evidence *ev);
int evidence_get(struct rbuf *r, struct evidence *ret);

/* Is the quote genuine and bound to `qualifying`, and does it cover every PCR of `required` with a
 * value that something was really measured into (B4, B8)? For pairing, where no reference exists
 * yet. 0, or negative with *err (ATTEST_QUOTE, _BINDING, _PCR, _ERROR). `ret_info` may be NULL; it
 * is filled as soon as the quote is genuine. */
int evidence_verify(const struct evidence *ev, const uint8_t *ak_public, size_t ak_public_len,
		    const uint8_t qualifying[HASH_LEN], uint32_t required,
		    struct quote_info *ret_info, struct kerr *err);

/* The verdict machine. TRUSTED only if evidence_verify() passes for the PCRs of `reference` and
 * every one of them has the accepted value; UNTRUSTED with *err ATTEST_QUOTE, ATTEST_BINDING or
 * ATTEST_PCR, in words; UNKNOWN with ATTEST_ERROR for anything that failed here, an empty or
 * resettable reference included (B9, B12). `ret_info` as for evidence_verify(): with TRUSTED and
 * ATTEST_PCR it is filled. */
enum verdict evidence_judge(const struct evidence *ev, const uint8_t *ak_public,
			    size_t ak_public_len, const uint8_t qualifying[HASH_LEN],
			    const struct pcr_set *reference, struct quote_info *ret_info,
			    struct kerr *err);

/* Does a set hold every PCR of `required`, each with a value that something was measured into (B8)?
 * 0, or negative with *err: ATTEST_QUOTE for one that is missing, because a device that leaves out
 * what it is measured by lies about it (H1); ATTEST_PCR for one that is empty. */
int evidence_covers(const struct pcr_set *pcrs, uint32_t required, struct kerr *err);
