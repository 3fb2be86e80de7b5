/* SPDX-License-Identifier: Apache-2.0 */
/* What an error means to a shell and to a person; kith-policyd links none of it. */
#include "base/advice.h"

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
	[KCODE_INTERRUPTED] = {75, "See with `kith vms` where the VM runs, then try again."},
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

int kcode_exit_status(enum kcode code)
{
	return (size_t)code < _KCODE_MAX ? kcode_facts[code].status : 1;
}

const char *kcode_next_step(enum kcode code)
{
	return (size_t)code < _KCODE_MAX ? kcode_facts[code].next : "";
}
