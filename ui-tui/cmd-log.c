/* SPDX-License-Identifier: Apache-2.0 */
/* `kith log`: what was done and refused, all of it or a part, and what comes. */
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "ui-tui/audit.h"
#include "ui-tui/model/says.h"
#include "ui-tui/when.h"

#define LINES_MAX 100000
#define FOLLOW_MS 1000 /* kith-policyd tells nobody of a new record */

struct reading {
	uint64_t next; /* number of the first record that was not read */
	uint64_t since;
	uint64_t skip; /* records that match and are not shown: older than the newest N */
	const char *vm, *device;
	bool refused;
	uint64_t matched;
	json_t *list; /* NULL: it is printed as text, or only counted */
	bool count;
};

static json_t *audit_json(const struct policyd_audit *a)
{
	return json_pack("{s:I, s:I, s:b, s:s, s:s, s:s, s:s, s:o, s:o}", "seq", (json_int_t)a->seq,
			 "time", (json_int_t)a->time, "allowed", a->allowed, "person", a->person,
			 "device", a->device, "vm", a->vm, "action", a->action, "reason",
			 cli_kerr_json(&a->reason), "hash", cli_hex(a->hash, HASH_LEN));
}

static void print_audit(const struct policyd_audit *a)
{
	char when[32], record[320];

	says_time(a->time, when, sizeof(when));
	says_record(a, record, sizeof(record));
	printf("%s %s %s\n", when, cli_mark(a->allowed), record);
	if (!a->allowed)
		printf("%22s%s (%s)\n", "", a->reason.text, kcode_to_string(a->reason.code));
}

static bool is_wanted(const struct reading *g, const struct policyd_audit *a)
{
	return a->time >= g->since && (!g->vm || strcmp(a->vm, g->vm) == 0) &&
	       (!g->device || strcmp(a->device, g->device) == 0) && !(g->refused && a->allowed);
}

static void take(void *ctx, const struct policyd_audit *a)
{
	struct reading *g = ctx;

	if (!is_wanted(g, a))
		return;
	g->matched++;
	if (g->count || g->matched <= g->skip)
		return;
	if (g->list)
		json_array_append_new(g->list, audit_json(a));
	else
		print_audit(a);
}

static int read_lines(const char *text, uint64_t *ret, struct kerr *err)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n > LINES_MAX)
		return kerr_set(err, EINVAL, KCODE_USAGE, "--lines takes a number, at most %d.",
				LINES_MAX);
	*ret = n;
	return 0;
}

/* The last N are known only when all are counted. */
static int skip_older(struct cli *cli, struct reading *g, struct kerr *err)
{
	struct reading counted = *g;
	uint64_t lines = 0;
	int r = read_lines(cli->given[OPT_LINES], &lines, err);

	counted.count = true;
	if (r == 0)
		r = audit_each(cli, &counted.next, take, &counted, err);
	if (r == 0)
		g->skip = counted.matched - MIN_OF(counted.matched, lines);
	return r;
}

/* One document, or with --follow one each time that there is something new. */
static int show(struct cli *cli, struct reading *g, bool always, struct kerr *err)
{
	int r;

	g->list = cli->json ? json_array() : NULL;
	r = audit_each(cli, &g->next, take, g, err);
	if (r == 0 && cli->json && (always || json_array_size(g->list)))
		cli_print_json(json_pack("{s:O}", "records", g->list));
	json_decref(g->list);
	fflush(stdout);
	return r;
}

int cmd_log(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err)
{
	struct reading g = {.vm = cli->given[OPT_VM],
			    .device = cli->given[OPT_DEVICE],
			    .refused = cli->given[OPT_REFUSED]};
	const char *since = cli->given[OPT_SINCE];
	int r = 0;

	if (since && !when_read(since, clock_unix(), &g.since))
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"\"%.40s\" is no time. Say 10m, 2h, 3d, 12:00, 2026-11-28, "
				"\"2026-11-28 12:00\", today or yesterday.",
				since);
	if (cli->given[OPT_LINES])
		r = skip_older(cli, &g, err);
	if (r == 0)
		r = show(cli, &g, true, err);
	while (r == 0 && cli->given[OPT_FOLLOW] && cli_left(cli, FOLLOW_MS)) {
		poll(NULL, 0, FOLLOW_MS);
		r = show(cli, &g, false, err);
	}
	return r;
}
