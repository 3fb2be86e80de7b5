/* SPDX-License-Identifier: Apache-2.0 */
/* What goes on beside the services: the port, the paired devices, hand-offs, refusals. Who may not
 * ask is not told, and then they are unknown. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/user.h"
#include "policyd/api/client.h"
#include "ui-tui/audit.h"
#include "ui-tui/cli.h"
#include "ui-tui/doctor.h"
#include "ui-tui/model/says.h"

#define DAY_S 86400

static void add_name(char *list, size_t size, const char *name)
{
	size_t len = strlen(list);

	if (len + strlen(name) + 5 < size)
		snprintf(list + len, size - len, "%s\"%s\"", len ? ", " : "", name);
}

/* Whether somebody has the port that kithd would take. */
static bool is_taken(uint16_t port)
{
	const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return false;
	/* What its own old connections left is no other program. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 && errno == EADDRINUSE;
}

static void see_port(const struct services_said *said, struct facts *f)
{
	f->port = (uint16_t)model_number(said->agent, "port");
	if (f->services[1].run == SERVICE_AWAY)
		f->port_taken = is_taken(f->config.port);
}

static void see_peers(struct cli *cli, struct facts *f)
{
	_cleanup_free_ struct policyd_peer *peers = NULL;
	struct kerr ignored = {0};
	struct ipc_client *policyd;
	size_t n = 0;

	if (cli_policyd(cli, &policyd, &ignored) < 0 ||
	    policyd_client_peers(policyd, &peers, &n, &ignored) < 0)
		return;
	f->peers_known = true;
	f->peers = (unsigned)n;
	for (size_t i = 0; i < n; i++)
		if (peers[i].verdict == VERDICT_UNTRUSTED) {
			f->peers_bad++;
			add_name(f->peers_named, sizeof(f->peers_named), peers[i].name);
		}
}

/* kithd takes its time for that. */
static void see_near(struct cli *cli, struct facts *f)
{
	struct kerr ignored = {0};
	struct model_device d;
	json_t *answer, *row;
	size_t i;

	if (cli_agent(cli, json_pack("{s:s}", "op", "devices"), &answer, &ignored) < 0)
		return;
	json_array_foreach(json_object_get(answer, "devices"), i, row)
	{
		model_read_device(row, &d);
		f->peers_near += d.paired == MAYBE_YES && d.nearby;
	}
	json_decref(answer);
}

/* How many go on; with an id, of those with it. */
static unsigned open_jobs(const json_t *jobs, const char *hid)
{
	struct model_job job;
	unsigned n = 0;
	json_t *row;
	size_t i;

	json_array_foreach(jobs, i, row)
	{
		model_read_job(row, &job);
		n += !model_is_over(&job) && (!hid || strcmp(job.hid, hid) == 0);
	}
	return n;
}

/* What policyd has open and kithd does not know of is not worked on. */
static void see_handoffs(struct cli *cli, struct facts *f)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	struct kerr ignored = {0};
	struct ipc_client *policyd;
	json_t *answer;
	size_t n = 0;

	if (cli_agent(cli, json_pack("{s:s}", "op", "jobs"), &answer, &ignored) < 0)
		return;
	if (cli_policyd(cli, &policyd, &ignored) == 0 &&
	    policyd_client_vms(policyd, &vms, &n, &ignored) == 0) {
		const json_t *jobs = json_object_get(answer, "jobs");

		f->jobs_known = true;
		f->jobs += open_jobs(jobs, NULL);
		for (size_t i = 0; i < n; i++) {
			char hid[MODEL_HID_TEXT];

			hex_encode(vms[i].hid, HID_LEN, hid);
			f->doubt += vms[i].doubt;
			if (!vms[i].open || open_jobs(jobs, hid))
				continue;
			f->stuck++;
			add_name(f->stuck_named, sizeof(f->stuck_named), vms[i].name);
		}
	}
	json_decref(answer);
}

struct refusals {
	struct facts *facts;
	uint64_t since;
};

static void take_refusal(void *ctx, const struct policyd_audit *a)
{
	const struct refusals *g = ctx;
	char when[32], record[320];

	if (a->allowed || a->time < g->since)
		return;
	says_time(a->time, when, sizeof(when));
	says_record(a, record, sizeof(record));
	/* A column of the log has no place in a sentence. */
	for (char *at = record; (at = strstr(at, "  "));)
		memmove(at, at + 1, strlen(at));
	snprintf(g->facts->refused, sizeof(g->facts->refused), "%s, %.120s: %.200s", when, record,
		 a->reason.text);
}

static void see_refusals(struct cli *cli, struct facts *f)
{
	struct refusals g = {f, clock_unix() - DAY_S};
	struct kerr ignored = {0};
	uint64_t from = 0;

	f->log_known = audit_each(cli, &from, take_refusal, &g, &ignored) == 0;
}

/* Whose questions are not refused, which would be in the journal. */
static bool may_ask(const struct config *c)
{
	uid_t owner;

	return geteuid() == 0 || (user_find(c->owner, &owner) && owner == geteuid());
}

void doctor_life(struct cli *cli, const struct services_said *said, bool all, struct facts *ret)
{
	see_port(said, ret);
	if (!said->policyd || !may_ask(&cli->config) || said->status.state != POLICYD_STATE_READY)
		return;
	see_peers(cli, ret);
	see_handoffs(cli, ret);
	if (!all)
		return;
	see_near(cli, ret);
	see_refusals(cli, ret);
}
