/* SPDX-License-Identifier: Apache-2.0 */
/* `kith log`: what was done and refused, all of it or a part, and what comes. */
#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "policyd/api/client.h"
#include "ui-tui/audit.h"
#include "ui-tui/model/says.h"
#include "ui-tui/when.h"

#define LINES_MAX 100000

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

/* Prints what comes until --timeout ends it. The first change is none: it says from where on there
 * are some. */
static int log_follow(struct cli *cli, struct reading *g, struct kerr *err)
{
	struct policyd_mark seen = {{0}};
	struct ipc_client *policyd;
	int r = cli_policyd(cli, &policyd, err);

	while (r == 0) {
		r = policyd_client_changes_ask(policyd, &seen, err);
		if (r == 0)
			r = policyd_client_changes_wait(policyd, cli_wait_ms(cli, INT_MAX), &seen,
							err);
		if (r == 0)
			r = show(cli, g, false, err);
	}
	if (r != -ETIMEDOUT)
		return r;
	kerr_clear(err);
	return 0;
}

/* -- the chains -- */

static json_t *chain_json(const struct policyd_audit_log *log)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:o}", "of", log->peers ? "others" : "owner", "kept",
			 (json_int_t)log->kept, "first", (json_int_t)log->first, "last",
			 (json_int_t)log->last, "head", cli_hex(log->head, HASH_LEN));
}

static void print_chain(const struct policyd_audit_log *log)
{
	char head[2 * HASH_LEN + 1];

	hex_encode(log->head, HASH_LEN, head);
	printf("%s %s: ", cli_mark(true),
	       log->peers ? "what other devices and users asked for" : "what was done here");
	if (log->kept)
		printf("%llu record%s, %llu to %llu, hash %s\n", (unsigned long long)log->kept,
		       log->kept == 1 ? "" : "s", (unsigned long long)log->first,
		       (unsigned long long)log->last, head);
	else
		puts("no record");
}

static int log_verify(struct cli *cli, struct kerr *err)
{
	_cleanup_free_ struct policyd_audit_log *logs = NULL;
	json_t *list = cli->json ? json_array() : NULL;
	struct ipc_client *policyd;
	size_t n = 0;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = policyd_client_audit_verify(policyd, &logs, &n, err);
	for (size_t i = 0; i < n; i++) {
		if (list)
			json_array_append_new(list, chain_json(&logs[i]));
		else
			print_chain(&logs[i]);
	}
	if (r == 0 && list)
		cli_print_json(json_pack("{s:O}", "chains", list));
	json_decref(list);
	return r;
}

static int verify_alone(const struct cli *cli, struct kerr *err)
{
	for (int opt = OPT_LINES; opt < OPT_VERIFY; opt++)
		if (cli->given[opt])
			return kerr_set(err, EINVAL, KCODE_USAGE,
					"--verify checks all records: leave the other options of "
					"`kith log` out.");
	return 0;
}

int cmd_log(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err)
{
	struct reading g = {.vm = cli->given[OPT_VM],
			    .device = cli->given[OPT_DEVICE],
			    .refused = cli->given[OPT_REFUSED]};
	const char *since = cli->given[OPT_SINCE];
	int r = 0;

	if (cli->given[OPT_VERIFY])
		return verify_alone(cli, err) < 0 ? -EINVAL : log_verify(cli, err);
	if (since && !when_read(since, clock_unix(), &g.since))
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"\"%.40s\" is no time. Say 10m, 2h, 3d, 12:00, 2026-11-28, "
				"\"2026-11-28 12:00\", today or yesterday.",
				since);
	if (cli->given[OPT_LINES])
		r = skip_older(cli, &g, err);
	if (r == 0)
		r = show(cli, &g, true, err);
	return r == 0 && cli->given[OPT_FOLLOW] ? log_follow(cli, &g, err) : r;
}
