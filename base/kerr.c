/* SPDX-License-Identifier: Apache-2.0 */
/* Table of stable error codes and the helpers that carry them. */
#include "base/kerr.h"

#include <stdarg.h>
#include <string.h>

#include "base/buf.h"

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

/* Exit statuses follow the conventions table: 3 denied, 4 not trusted, 5 unreachable, 6 not
 * possible, 75 try again. */
static const struct {
	int status;
	const char *next;
} kcode_facts[_KCODE_MAX] = {
	[KCODE_OK] = {0, ""},
	[KCODE_FAILED] = {1, "See `kith log` and the daemons' journal."},
	[KCODE_USAGE] = {2, "See `kith help`."},
	[KCODE_BAD_MESSAGE] = {1, "Check that both devices run the same version of Kith."},
	[KCODE_NOT_ALLOWED] = {3, "Ask the device's owner, or run it as a user listed there."},
	[KCODE_NOT_READY] = {75, "Run `kith status` to see what is missing."},
	[KCODE_EXISTS] = {1, ""},
	[KCODE_NOT_FOUND] = {1, "`kith vms` and `kith devices` list what there is."},
	[KCODE_BUSY] = {75, "Wait until what runs now has ended, or cancel it."},
	[KCODE_POLICY] = {3, "`kith policy show VM` shows the rules; its owner can change them."},
	[KCODE_PEER_UNKNOWN] = {4, "Pair the two devices first: `kith pair`."},
	[KCODE_PEER_KEY] = {4, "Do not continue unless you replaced that device yourself."},
	[KCODE_PAIRING] = {1, "Start again with `kith pair` on both devices."},
	[KCODE_ATTEST_PCR] = {4,
			      "If you changed that device yourself: `kith trust accept DEVICE`."},
	[KCODE_ATTEST_QUOTE] = {4, "Do not trust that device; check its TPM with its owner."},
	[KCODE_ATTEST_BINDING] = {4, "Somebody may sit between the devices; nothing was sent."},
	[KCODE_ATTEST_REPLAY] = {4, "Try again; if it repeats, somebody replays messages."},
	[KCODE_ATTEST_ERROR] = {75, "Try again; see the daemons' journal."},
	[KCODE_CUSTODY] = {6, "`kith vms` shows where the VM is; bring it back with `kith move`."},
	[KCODE_STALE_EPOCH] = {4, "Nothing to do: an old hand-off was refused."},
	[KCODE_IDENTITY] = {6, "Rename the other VM, or remove the stale definition."},
	[KCODE_DOMAIN] = {6, "Remove that from the VM's configuration, then try again."},
	[KCODE_ROOM] = {6, "Free space on the destination, then try again."},
	[KCODE_UNREACHABLE] = {5, "Check that it is switched on and in the same network."},
	[KCODE_INTERRUPTED] = {75, "The VM runs where it was; try again."},
	[KCODE_CANCELLED] = {130, ""},
	[KCODE_TPM] = {1, "`kith status` says what the TPM answers."},
	[KCODE_LOCKED] = {75, "Unlock with the recovery key: `kith unlock`."},
	[KCODE_ROLLBACK] = {1, "Restore the newest state, or run `kith unlock`: then "
			       "each VM is in doubt until your devices were asked."},
	[KCODE_TIER] =
		{6, "Choose another device, or a policy that takes its level: `kith trust` shows "
		    "it."},
	[KCODE_NOT_RUNNING] = {6, "Start it first, then try again: `virsh start VM` (a paused one: "
				  "`virsh resume VM`)."},
};

/* A text that did not fit must not end inside a character: the peer's decoder refuses that. */
static void mend_end(char *text)
{
	size_t len = strlen(text), start = len;

	while (start && len - start < 4 && ((uint8_t)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start && !text_is_clean(text + start - 1))
		text[start - 1] = '\0';
}

int kerr_set(struct kerr *err, int num, enum kcode code, const char *fmt, ...)
{
	int n;

	va_list ap;

	if (err && err->code == KCODE_OK) {
		err->code = code;
		va_start(ap, fmt);
		n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		if (n >= (int)sizeof(err->text))
			mend_end(err->text);
	}
	return -num;
}

void kerr_clear(struct kerr *err)
{
	err->code = KCODE_OK;
	err->text[0] = '\0';
}

int kcode_exit_status(enum kcode code)
{
	return (size_t)code < _KCODE_MAX ? kcode_facts[code].status : 1;
}

const char *kcode_next_step(enum kcode code)
{
	return (size_t)code < _KCODE_MAX ? kcode_facts[code].next : "";
}

int kerr_put(struct wbuf *w, const struct kerr *err)
{
	wbuf_u16(w, (uint16_t)err->code);
	wbuf_string(w, err->text);
	return wbuf_error(w);
}

int kerr_get(struct rbuf *r, struct kerr *ret_err)
{
	struct kerr err = {0};
	uint16_t code = rbuf_u16(r);

	rbuf_string(r, err.text, sizeof(err.text));
	if (rbuf_error(r) < 0 || code >= _KCODE_MAX)
		return -EBADMSG;
	err.code = (enum kcode)code;
	*ret_err = err;
	return 0;
}
