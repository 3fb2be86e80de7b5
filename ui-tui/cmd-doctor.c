/* SPDX-License-Identifier: Apache-2.0 */
/* `kith doctor`: a line for each check, and the command that mends what is wrong. */
#include <string.h>

#include "ui-tui/cli.h"
#include "ui-tui/doctor.h"

static const char *const words[] = {
	[FINDING_OK] = "ok",
	[FINDING_UNKNOWN] = "unknown",
	[FINDING_WARN] = "warn",
	[FINDING_BAD] = "bad",
};
static const char marks[] = {'+', '?', '-', '!'};

json_t *doctor_finding_json(const struct finding *f)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", f->name, "code", f->code, "verdict",
			 words[f->verdict], "sentence", f->sentence, "remedy", f->remedy);
}

static void print_finding(const struct finding *f)
{
	printf("%s %-14s %s%s%s%s\n", cli_glyph(marks[f->verdict]), f->name, f->sentence,
	       f->verdict > FINDING_UNKNOWN ? " (code: " : "",
	       f->verdict > FINDING_UNKNOWN ? f->code : "",
	       f->verdict > FINDING_UNKNOWN ? ")" : "");
	if (*f->remedy)
		printf("%17s%s\n", "", f->remedy);
}

static void print_sum(unsigned bad, unsigned warn, unsigned unknown)
{
	if (!bad && !warn && !unknown)
		puts("\nAll is well.");
	else
		printf("\n%u to mend (!), %u to know (-), %u not seen (?).\n", bad, warn, unknown);
}

int cmd_doctor(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err _unused_)
{
	struct services_said said;
	struct facts facts;
	struct finding f;
	unsigned count[FINDING_BAD + 1] = {0};
	json_t *list = json_array();

	services_ask(cli, &said);
	doctor_facts(cli, &said, true, &facts);
	services_said_release(&said);
	for (size_t i = 0; doctor_judge(&facts, i, &f); i++) {
		count[f.verdict]++;
		if (cli->json)
			json_array_append_new(list, doctor_finding_json(&f));
		else
			print_finding(&f);
	}
	cli->status = count[FINDING_BAD] ? 1 : 0;
	if (cli->json)
		cli_print_json(json_pack("{s:O, s:b}", "checks", list, "ok", !count[FINDING_BAD]));
	else
		print_sum(count[FINDING_BAD], count[FINDING_WARN], count[FINDING_UNKNOWN]);
	json_decref(list);
	return 0;
}
