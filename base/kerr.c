/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the stable error codes, and the helpers that carry errors. */
#include "base/kerr.h"

#include <stdarg.h>
#include <string.h>

#include "base/code.h"

static const char *const kcode_names[_KCODE_MAX] = {
	[KCODE_OK] = "ok",
	[KCODE_FAILED] = "failed",
	[KCODE_USAGE] = "usage",
	[KCODE_BAD_MESSAGE] = "bad-message",
	[KCODE_NOT_ALLOWED] = "not-allowed",
	[KCODE_NOT_READY] = "not-ready",
	[KCODE_EXISTS] = "exists",
	[KCODE_NOT_FOUND] = "not-found",
	[KCODE_BUSY] = "busy",
	[KCODE_POLICY] = "policy",
	[KCODE_PEER_UNKNOWN] = "peer-unknown",
	[KCODE_PEER_KEY] = "peer-key",
	[KCODE_PAIRING] = "pairing",
	[KCODE_ATTEST_PCR] = "attest-pcr",
	[KCODE_ATTEST_QUOTE] = "attest-quote",
	[KCODE_ATTEST_BINDING] = "attest-binding",
	[KCODE_ATTEST_REPLAY] = "attest-replay",
	[KCODE_ATTEST_ERROR] = "attest-error",
	[KCODE_CUSTODY] = "custody",
	[KCODE_STALE_EPOCH] = "stale-epoch",
	[KCODE_IDENTITY] = "identity",
	[KCODE_DOMAIN] = "domain",
	[KCODE_ROOM] = "room",
	[KCODE_UNREACHABLE] = "unreachable",
	[KCODE_INTERRUPTED] = "interrupted",
	[KCODE_CANCELLED] = "cancelled",
	[KCODE_TPM] = "tpm",
	[KCODE_LOCKED] = "locked",
	[KCODE_ROLLBACK] = "rollback",
	[KCODE_TIER] = "tier",
	[KCODE_NOT_RUNNING] = "not-running",
};

DEFINE_NAMES(kcode, enum kcode, _KCODE_MAX)

int kerr_set(struct kerr *err, int num, enum kcode code, const char *fmt, ...)
{
	va_list ap;

	if (err && err->code == KCODE_OK) {
		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		text_mend(err->text);
	}
	return -num;
}

void kerr_clear(struct kerr *err)
{
	err->code = KCODE_OK;
	err->text[0] = '\0';
}

static void kerr_code(struct coder *c, struct kerr *v)
{
	code_kerr(c, v);
}
DEFINE_CODEC(kerr)
