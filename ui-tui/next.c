/* SPDX-License-Identifier: Apache-2.0 */
/* The usual step of a code (base/advice.c) is meant for hand-offs; here are those of other
 * commands.
 */
#include "ui-tui/next.h"

#include <stdio.h>
#include <string.h>

/* What a command is about. */
enum about { ABOUT_VM = 1u << 0, ABOUT_DEVICE = 1u << 1, ABOUT_JOB = 1u << 2 };

static unsigned about_of(enum fills fills)
{
	static const unsigned table[] = {
		[FILLS_VM] = ABOUT_VM,	       [FILLS_JOB] = ABOUT_VM | ABOUT_JOB,
		[FILLS_DEVICE] = ABOUT_DEVICE, [FILLS_NEAR] = ABOUT_DEVICE,
		[FILLS_COMMAND] = 0,
	};

	return (size_t)fills < ARRAY_SIZE(table) ? table[fills] : 0;
}

static unsigned about(const struct command *c)
{
	unsigned bits = 0;

	for (size_t i = 0; c && i < COMMAND_WORDS_MAX && c->words[i].name; i++)
		bits |= about_of(c->words[i].fills);
	return bits;
}

/* The first row that fits; one that is about a VM needs a command that is. */
static const struct {
	enum kcode code;
	unsigned with, without;
	const char *text;
} steps[] = {
	{KCODE_INTERRUPTED, 0, ABOUT_VM, "`kith doctor` says what does not run; then try again."},
	{KCODE_NOT_FOUND, ABOUT_JOB, 0, "`kith jobs --all` shows the last hand-offs."},
	{KCODE_NOT_FOUND, ABOUT_VM, ABOUT_DEVICE, "`kith vms` lists the machines."},
	{KCODE_NOT_FOUND, ABOUT_DEVICE, ABOUT_VM, "`kith devices` lists the devices."},
	{KCODE_NOT_FOUND, 0, ABOUT_VM | ABOUT_DEVICE, ""},
	{KCODE_POLICY, 0, ABOUT_VM, "See `kith log`."},
	{KCODE_CUSTODY, 0, ABOUT_VM, "See `kith log`."},
	{KCODE_IDENTITY, 0, ABOUT_VM, "See `kith log`."},
	{KCODE_DOMAIN, 0, ABOUT_VM, "See `kith log`."},
	{KCODE_NOT_RUNNING, 0, ABOUT_VM, "See `kith log`."},
	{KCODE_ROOM, 0, ABOUT_VM, "Free space, then try again."},
	{KCODE_TIER, 0, ABOUT_VM, "`kith trust` shows each device's level."},
	{KCODE_ROLLBACK, 0, ABOUT_VM, "Restore the newest state, or run `kith unlock`."},
};

void next_step(const struct next_facts *f, enum kcode code, char *ret, size_t size)
{
	unsigned bits = about(f->command);

	if (code == KCODE_NOT_ALLOWED && f->may) {
		snprintf(ret, size, "See `kith log`.");
		return;
	}
	if (code == KCODE_NOT_ALLOWED) {
		snprintf(ret, size, "[people] owner in %s says who may: %s. Run it as that user%s.",
			 f->path, f->owner, strcmp(f->owner, "root") == 0 ? "" : " or as root");
		return;
	}
	if (code == KCODE_USAGE && f->command) {
		snprintf(ret, size, "See `kith help %s`.", f->command->name);
		return;
	}
	snprintf(ret, size, "%s", kcode_next_step(code));
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].code == code && (steps[i].with & bits) == steps[i].with &&
		    !(steps[i].without & bits)) {
			snprintf(ret, size, "%s", steps[i].text);
			return;
		}
}
