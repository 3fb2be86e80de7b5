/* SPDX-License-Identifier: Apache-2.0 */
/* Lines about evidence and records. */
#include "ui-tui/model/says.h"

#include <string.h>
#include <time.h>

#include "base/buf.h"

void says_time(uint64_t unix_s, char *ret, size_t size)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(ret, size, "%F %T", &tm))
		snprintf(ret, size, "?");
}

static void say_pcrs(const struct policyd_trust *t, struct sheet *ret)
{
	for_each_pcr(i, t->pcrs) {
		bool same = memcmp(t->now[i], t->want[i], HASH_LEN) == 0;
		char now[2 * HASH_LEN + 1];

		hex_encode(t->now[i], HASH_LEN, now);
		sheet_add(ret, same ? STYLE_PLAIN : STYLE_BAD, "  PCR %-2u %.32s... %s", i, now,
			  same ? "as accepted" : "DIFFERS from accepted");
	}
}

static void say_versions(const struct policyd_trust *t, struct sheet *ret)
{
	for (const char *line = t->versions; *line;) {
		size_t len = strcspn(line, "\n");

		sheet_add(ret, STYLE_PLAIN, "  %.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static uint64_t age_of(const struct policyd_trust *t, uint64_t now)
{
	return now > t->peer.evidence_time ? now - t->peer.evidence_time : 0;
}

void says_trust(const struct policyd_trust *t, uint64_t now, struct sheet *ret)
{
	const struct policyd_peer *p = &t->peer;
	bool trusted = p->verdict == VERDICT_TRUSTED;
	char age[32];

	sheet_add(ret, trusted ? STYLE_GOOD : STYLE_BAD, "%s %s (%s of %s), TPM: %s, verdict: %s",
		  trusted ? "+" : "!", p->name, device_role_to_string(p->role), p->person,
		  tpm_tier_to_string(p->tier), verdict_to_string(p->verdict));
	if (p->reason.code != KCODE_OK)
		sheet_add(ret, STYLE_BAD, "  %s (code: %s)", p->reason.text,
			  kcode_to_string(p->reason.code));
	if (!p->own)
		sheet_add(ret, STYLE_PLAIN, "  VMs of %s from it: %s", p->person,
			  p->receive ? "allowed here" : "not taken here");
	if (!p->evidence_time) {
		sheet_add(ret, STYLE_PLAIN, "  It never showed evidence.");
		return;
	}
	model_age(age_of(t, now), age, sizeof(age));
	sheet_add(ret, STYLE_PLAIN, "  Evidence of %s ago:", age);
	say_pcrs(t, ret);
	say_versions(t, ret);
}

void says_changes(const struct policyd_trust *t, uint64_t now, struct sheet *ret)
{
	const struct policyd_peer *p = &t->peer;
	unsigned changed = 0;
	char age[32];

	if (p->reason.code != KCODE_OK)
		sheet_add(ret, STYLE_BAD, "%s", p->reason.text);
	if (!p->evidence_time)
		return;
	model_age(age_of(t, now), age, sizeof(age));
	sheet_add(ret, STYLE_PLAIN, "What \"%s\" proved %s ago, beside what is accepted:", p->name,
		  age);
	for_each_pcr(i, t->pcrs) {
		char want[2 * HASH_LEN + 1], now_hex[2 * HASH_LEN + 1];

		if (memcmp(t->now[i], t->want[i], HASH_LEN) == 0)
			continue;
		hex_encode(t->want[i], HASH_LEN, want);
		hex_encode(t->now[i], HASH_LEN, now_hex);
		sheet_add(ret, STYLE_WARN, "  %s (PCR %u): %.16s... -> %.16s...", pcr_meaning(i), i,
			  want, now_hex);
		changed++;
	}
	if (!changed)
		sheet_add(ret, STYLE_PLAIN, "  No measurement differs.");
	say_versions(t, ret);
}

void says_record(const struct policyd_audit *a, char *ret, size_t size)
{
	snprintf(ret, size, "%-18s %s%s%s%s%s%s", a->action, a->vm, *a->vm ? " " : "",
		 *a->device ? "with " : "", a->device, *a->person ? " by " : "", a->person);
}

void says_audit(const struct policyd_audit *a, struct sheet *ret)
{
	char record[320], when[32], hash[2 * HASH_LEN + 1];

	says_record(a, record, sizeof(record));
	says_time(a->time, when, sizeof(when));
	hex_encode(a->hash, HASH_LEN, hash);
	sheet_add(ret, a->allowed ? STYLE_PLAIN : STYLE_WARN, "%c %s %s", a->allowed ? '+' : '!',
		  when, record);
	if (!a->allowed)
		sheet_add(ret, STYLE_PLAIN, "  %s (code: %s)", a->reason.text,
			  kcode_to_string(a->reason.code));
	sheet_add(ret, STYLE_DIM, "  record %llu, hash %.32s...", (unsigned long long)a->seq, hash);
}

const char *says_past(enum pair_past past)
{
	static const char *const sentences[_PAIR_PAST_MAX] = {
		[PAIR_PAST_NONE] = "",
		[PAIR_PAST_PAIRED] = "It is paired with this device already; yes pairs it anew.",
		[PAIR_PAST_FORGOTTEN] =
			"This device was made to forget it, on purpose (`kith trust forget`). Say "
			"yes only if you want it back.",
		[PAIR_PAST_REPLACED] =
			"This device knows it with another TPM or attestation key. Say yes only if "
			"you replaced its mainboard or cleared its TPM.",
	};

	return sentences[past];
}
