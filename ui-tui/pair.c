/* SPDX-License-Identifier: Apache-2.0 */
/* Pairing as its two owners see it. The window and the answer go to kith-policyd directly; kithd
 * is only told whom to call. */
#include "ui-tui/pair.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "agent/client.h"
#include "base/clock.h"
#include "policyd/client.h"

#define WINDOW_S 120
#define POLL_MS 250
#define LOOK_MS 500    /* between looks for the one other device that wants to pair */
#define SIGHT_MS 1000  /* how long it has to be the only one */
#define RECALL_MS 3000 /* after a call that did not get through */
#define ID_TEXT 16     /* digits of an id that devices announce */

struct pair {
	struct cli *cli;
	struct ipc_client *policyd;
	bool asked, called, told_many;
	char self[ID_TEXT + 1], other[ID_TEXT + 1]; /* ids: ours, and whom we saw alone */
	uint64_t call_ms, look_ms;		    /* when to call it, when to look again */
};

static volatile sig_atomic_t stopped;

static void on_stop(int sig)
{
	stopped = sig;
}

/* A window nobody watches must not stay open, so Ctrl-C has to come back here. */
static void catch_stop(void)
{
	const struct sigaction action = {.sa_handler = on_stop};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int parse_args(int argc, char **argv, const char **ret_device, enum person_role *ret_role,
		      struct kerr *err)
{
	int role = PERSON_ROLE_GUEST;

	if (argc && strcmp(argv[0], "as") != 0) {
		*ret_device = argv[0];
		argc--;
		argv++;
	}
	if (argc == 2 && strcmp(argv[0], "as") == 0)
		role = person_role_from_string(argv[1]);
	else if (argc)
		role = -1;
	if (role <= PERSON_ROLE_OWNER)
		return kerr_set(
			err, EINVAL, KCODE_USAGE,
			"Use kith pair [DEVICE] [as family|guest|admin]; the role is for the "
			"owner of a device that is not yours.");
	*ret_role = (enum person_role)role;
	return 0;
}

static void print_event(struct pair *p, json_t *event)
{
	if (p->cli->json)
		cli_print_json(event);
	else
		json_decref(event);
}

static int open_window(struct pair *p, const char *device, enum person_role role, struct kerr *err)
{
	char recovery[POLICYD_RECOVERY_KEY_MAX];
	int r = policyd_client_pair_open(p->policyd, role, WINDOW_S, recovery, err);

	if (r < 0)
		return r;
	if (recovery[0] && !p->cli->json)
		printf("Recovery key of this device, shown this once. Write it down:\n\n    %s\n\n",
		       recovery);
	print_event(p, json_pack("{s:s, s:i, s:s}", "event", "open", "seconds", WINDOW_S,
				 "recovery_key", recovery));
	explicit_bzero(recovery, sizeof(recovery));
	if (p->cli->json)
		return 0;
	if (device)
		printf("Pairing with %s ...\n", device);
	else
		printf("Waiting for another device for %d s. Run `kith pair` on the other device "
		       "too.\n",
		       WINDOW_S);
	fflush(stdout);
	return 0;
}

/* Strict on purpose: pressing Enter by reflex must not pair. */
static int ask(struct pair *p, const struct policyd_pair_status *st, struct kerr *err)
{
	char answer[16] = "";
	bool same;

	p->asked = true;
	if (p->cli->json)
		cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "event", "code", "code",
					 st->code, "peer", st->peer_name, "peer_role",
					 device_role_to_string(st->peer_role), "peer_owner",
					 st->peer_owner, "peer_tier",
					 tpm_tier_to_string(st->peer_tier)));
	else
		printf("\n    %s\n\n\"%s\" (%s%s%s, TPM: %s) shows a code too.\n"
		       "If the two differ, somebody is between the devices: answer no.\n"
		       "Is it the same on both screens? Type yes or no: ",
		       st->code, st->peer_name, device_role_to_string(st->peer_role),
		       *st->peer_owner ? " of " : "", st->peer_owner,
		       tpm_tier_to_string(st->peer_tier));
	fflush(stdout);
	if (!p->cli->input || !fgets(answer, sizeof(answer), stdin))
		return kerr_set(err, EINVAL, KCODE_PAIRING,
				"The code was not compared, so the devices are not paired.");
	same = strcasecmp(answer, "yes\n") == 0;
	if (policyd_client_pair_confirm(p->policyd, same, err) < 0)
		return -EACCES;
	if (!same)
		return kerr_set(err, EACCES, KCODE_PAIRING,
				"You said that the codes differ; the devices are not paired.");
	return 0;
}

static int call_device(struct pair *p, const char *device, struct kerr *err)
{
	json_t *result;
	int r = cli_agent(p->cli, json_pack("{s:s, s:s}", "op", "pair", "device", device), &result,
			  err);

	if (r == 0)
		json_decref(result);
	return r;
}

/* -- the other side, when nobody named it -- */

/* Which id this device announces; only of two that wait for each other the smaller calls. */
static int read_self(struct pair *p, struct kerr *err)
{
	json_t *result;
	int r;

	if (p->self[0])
		return 0;
	r = cli_agent(p->cli, json_pack("{s:s}", "op", "status"), &result, err);
	if (r < 0)
		return r;
	snprintf(p->self, sizeof(p->self), "%.*s", ID_TEXT, cli_text(result, "id"));
	json_decref(result);
	return 0;
}

static bool wants(const json_t *device)
{
	return json_is_true(json_object_get(device, "pairing")) &&
	       !json_is_true(json_object_get(device, "paired")) &&
	       strlen(cli_text(device, "id")) == ID_TEXT;
}

static void tell_many(struct pair *p, json_t *devices)
{
	json_t *device;
	size_t i;

	if (p->told_many || p->cli->json)
		return;
	p->told_many = true;
	puts("Several devices want to pair:");
	json_array_foreach(devices, i, device)
	{
		if (wants(device))
			printf("    %s (%s, id %s)\n", cli_text(device, "name"),
			       cli_text(device, "role"), cli_text(device, "id"));
	}
	printf("Say which one: stop this with Ctrl-C and run `kith pair NAME`, or run `kith pair "
	       "%s` there.\n",
	       p->cli->config.name);
	fflush(stdout);
}

/* Notes who wants to pair; *ret is the only one of at least SIGHT_MS, NULL if there is none.
 * Borrowed from `devices`. */
static void choose(struct pair *p, json_t *devices, const json_t **ret)
{
	const json_t *only = NULL;
	json_t *device;
	size_t i, count = 0;

	*ret = NULL;
	json_array_foreach(devices, i, device)
	{
		if (!wants(device))
			continue;
		only = device;
		count++;
	}
	if (count > 1)
		tell_many(p, devices);
	if (count != 1) {
		p->other[0] = '\0';
		return;
	}
	if (strcmp(p->other, cli_text(only, "id")) != 0) {
		snprintf(p->other, sizeof(p->other), "%s", cli_text(only, "id"));
		p->call_ms = clock_ms() + SIGHT_MS;
	}
	if (clock_ms() >= p->call_ms && p->self[0] && strcmp(p->self, p->other) < 0)
		*ret = only;
}

/* Calls the one that waits. That it does not get through is no end: the window stays open. */
static void call_only(struct pair *p, const json_t *device)
{
	struct kerr err = {0};
	int r;

	if (!p->called && !p->cli->json) {
		printf("Pairing with %s ...\n", cli_text(device, "name"));
		fflush(stdout);
	}
	p->called = true;
	r = call_device(p, cli_text(device, "id"), &err);
	/* Then policyd tells how it goes; otherwise it is tried again. */
	p->call_ms = clock_ms() + (r < 0 ? RECALL_MS : WINDOW_S * 1000);
}

/* Both devices have a window open and nobody named the other: finds it. Failures of kithd count
 * only the first time; it may be restarted meanwhile. */
static int look_around(struct pair *p, struct kerr *err)
{
	const json_t *only;
	json_t *result;
	int r;

	if (clock_ms() < p->look_ms)
		return 0;
	r = read_self(p, err);
	if (r == 0)
		r = cli_agent(p->cli, json_pack("{s:s}", "op", "devices"), &result, err);
	if (r < 0 && p->look_ms) {
		kerr_clear(err);
		p->cli->agent = p->cli->agent ? agent_client_free(p->cli->agent) : NULL;
		r = 0;
	} else if (r == 0) {
		choose(p, json_object_get(result, "devices"), &only);
		if (only)
			call_only(p, only);
		json_decref(result);
	}
	p->look_ms = clock_ms() + LOOK_MS;
	return r;
}

/* -- waiting -- */

static int wait_for_end(struct pair *p, bool alone, struct policyd_pair_status *st,
			struct kerr *err)
{
	const struct timespec pause = {0, POLL_MS * 1000000L};

	for (;;) {
		int r = policyd_client_pair_status(p->policyd, st, err);

		if (r < 0)
			return r;
		if (st->done)
			return 0;
		if (st->error.code != KCODE_OK)
			return kerr_set(err, EACCES, st->error.code, "%s", st->error.text);
		if (!st->open)
			return kerr_set(err, ETIMEDOUT, KCODE_PAIRING,
					"Nobody paired before the window closed.");
		if (st->waiting && !p->asked) {
			r = ask(p, st, err);
		} else if (alone && !p->asked) {
			r = look_around(p, err);
		}
		if (stopped)
			return kerr_set(err, EINTR, KCODE_CANCELLED, "Pairing was stopped.");
		if (r < 0)
			return r;
		nanosleep(&pause, NULL);
	}
}

int pair_command(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	struct pair p = {.cli = cli};
	struct policyd_pair_status st;
	const char *device = NULL;
	enum person_role role = PERSON_ROLE_GUEST;
	int r = parse_args(argc, argv, &device, &role, err);

	catch_stop();
	if (r == 0)
		r = cli_policyd(cli, &p.policyd, err);
	if (r == 0)
		r = open_window(&p, device, role, err);
	if (r < 0)
		return r;
	if (device)
		r = call_device(&p, device, err);
	if (r == 0)
		r = wait_for_end(&p, !device, &st, err);
	if (r < 0) {
		/* A window nobody watches must not stay open. */
		policyd_client_pair_close(p.policyd, NULL);
		return r;
	}
	if (cli->json)
		cli_print_json(json_pack("{s:s}", "event", "paired"));
	else
		puts("Paired. `kith trust` shows what the other device proved.");
	return 0;
}
