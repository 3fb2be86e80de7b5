/* SPDX-License-Identifier: Apache-2.0 */
/* What an error means to a shell and to a person; kith-policyd links none of it. */
#include "base/advice.h"

const struct exit_status exit_statuses[] = {
	{0, "done"},
	{1, "failed"},
	{2, "the command line, configuration or policy file is wrong"},
	{3, "denied by the policy or to this local user"},
	{4, "the other device is not trusted"},
	{5, "the other device cannot be reached"},
	{6, "not possible with this machine, these devices or the room there is"},
	{75, "not now: locked, busy or not ready yet"},
	{130, "cancelled"},
	{0, NULL},
};

static const struct {
	int status;
	const char *meaning, *next;
} kcode_facts[_KCODE_MAX] = {
	[KCODE_OK] = {0, "done", ""},
	[KCODE_FAILED] = {1, "failure without a better name",
			  "See `kith log` and the daemons' journal."},
	[KCODE_USAGE] = {2, "the request itself is malformed or incomplete", "See `kith help`."},
	[KCODE_BAD_MESSAGE] = {1, "a message breaks its format",
			       "Check that both devices run the same version of Kith."},
	[KCODE_NOT_ALLOWED] = {3, "this local user may not ask this",
			       "Ask the device's owner, or run it as a user listed there."},
	[KCODE_NOT_READY] = {75, "no owner yet, no owner key here, or still starting",
			     "Run `kith status` to see what is missing."},
	[KCODE_EXISTS] = {1, "there is one already", ""},
	[KCODE_NOT_FOUND] = {1, "no such machine, device or hand-off",
			     "`kith vms` and `kith devices` list what there is."},
	[KCODE_BUSY] = {75, "another hand-off of this machine is open, or a limit",
			"Wait until what runs now has ended, or cancel it."},
	[KCODE_POLICY] = {3, "a rule of the policy, or the lack of one, denies",
			  "`kith policy show VM` shows the rules; its owner can change them."},
	[KCODE_PEER_UNKNOWN] = {4, "the device is not paired with this one",
				"Pair the two devices first: `kith pair`."},
	[KCODE_PEER_KEY] = {4, "the device showed another key than at pairing",
			    "Do not continue unless you replaced that device yourself."},
	[KCODE_PAIRING] = {1, "pairing failed: window, code or time",
			   "Start again with `kith pair` on both devices."},
	[KCODE_ATTEST_PCR] = {4, "genuine evidence of other software than accepted",
			      "If you changed that device yourself: `kith trust accept DEVICE`."},
	[KCODE_ATTEST_QUOTE] = {4, "the evidence is not genuine",
				"Do not trust that device; check its TPM with its owner."},
	[KCODE_ATTEST_BINDING] = {4, "evidence of another connection or hand-off",
				  "Somebody may sit between the devices; nothing was sent."},
	[KCODE_ATTEST_REPLAY] = {4, "something old was repeated",
				 "Try again; if it repeats, somebody replays messages."},
	[KCODE_ATTEST_ERROR] = {75, "the check itself failed; the verdict is unknown",
				"Try again; see the daemons' journal."},
	[KCODE_CUSTODY] = {6, "this device does not hold the machine",
			   "`kith vms` shows where the VM is; bring it back with `kith move`."},
	[KCODE_STALE_EPOCH] = {4, "an old hand-off or an old policy",
			       "Nothing to do: an old hand-off was refused."},
	[KCODE_IDENTITY] = {6, "name, UUID and history do not belong together",
			    "Rename the other VM, or remove the stale definition."},
	[KCODE_DOMAIN] = {6, "the machine uses what cannot be handed over safely",
			  "Remove that from the VM's configuration, then try again."},
	[KCODE_ROOM] = {6, "not enough disk or memory there",
			"Free space on the destination, then try again."},
	[KCODE_UNREACHABLE] = {5, "no connection to the device",
			       "Check that it is switched on and in the same network."},
	[KCODE_INTERRUPTED] = {75, "link, device or local service went away",
			       "See with `kith vms` where the VM runs, then try again."},
	[KCODE_CANCELLED] = {130, "the owner stopped it", ""},
	[KCODE_TPM] = {1, "the TPM failed or is missing",
		       "`kith status` says what the TPM answers."},
	[KCODE_LOCKED] = {75, "the sealed database does not open",
			  "Unlock with the recovery key: `kith unlock`."},
	[KCODE_ROLLBACK] = {1, "stored state is older than the TPM's counter says",
			    "Restore the newest state, or run `kith unlock`: then "
			    "each VM is in doubt until your devices were asked."},
	[KCODE_TIER] =
		{6, "the device's TPM is not good enough",
		 "Choose another device, or a policy that takes its level: `kith trust` shows "
		 "it."},
	[KCODE_NOT_RUNNING] = {6,
			       "paused, or off and something of it would be lost: start it first",
			       "Start it first, then try again: `virsh start VM` (a paused one: "
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

const char *kcode_meaning(enum kcode code)
{
	return (size_t)code < _KCODE_MAX ? kcode_facts[code].meaning : "";
}
