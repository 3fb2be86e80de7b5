/* SPDX-License-Identifier: Apache-2.0 */
/* Pairing as its two owners see it. The window and the answer go to kith-policyd directly; kithd
 * is only told whom to call. */
#include "ui-tui/pair.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#include "agent/client.h"
#include "base/clock.h"
#include "base/secret.h"
#include "policyd/api/client.h"
#include "ui-tui/model/says.h"

#define WINDOW_S 120
#define POLL_MS 250
#define LOOK_MS 500    /* between looks for the one other device that wants to pair */
#define SIGHT_MS 1000  /* how long it has to be the only one */
#define RECALL_MS 2000 /* after a call that did not get through */
#define ID_TEXT 16     /* digits of an id that devices announce */

struct pair {
	struct cli *cli;
	struct ipc_client *policyd;
	const char *device; /* NULL: whoever waits */
	enum person_role role;
	bool replace;
	struct secret
		recovery; /* of this device, shown when it is paired; empty if there is none */
	bool renewed;	  /* it had one before */
	bool asked, answered, called, told_many, told_paired, told_away;
	struct policyd_pair_status shown; /* with the code that the person compares */
	char line[64];			  /* what the person types */
	size_t line_len;
	bool line_long;
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

static int bad_args(struct kerr *err)
{
	return kerr_set(err, EINVAL, KCODE_USAGE,
			"Use kith pair [DEVICE [replace]] [as family|guest|admin]; the role is for "
			"the owner of a device that is not yours.");
}

static bool is_keyword(const char *word)
{
	return strcmp(word, "as") == 0 || strcmp(word, "replace") == 0;
}

static int parse_args(struct pair *p, int argc, char **argv, struct kerr *err)
{
	int role = PERSON_ROLE_GUEST;

	if (argc && !is_keyword(argv[0])) {
		p->device = argv[0];
		argc--;
		argv++;
	}
	if (argc && p->device && strcmp(argv[0], "replace") == 0) {
		p->replace = true;
		argc--;
		argv++;
	}
	if (argc == 2 && strcmp(argv[0], "as") == 0)
		role = person_role_from_string(argv[1]);
	else if (argc)
		return bad_args(err);
	if (role <= PERSON_ROLE_OWNER)
		return bad_args(err);
	p->role = (enum person_role)role;
	return 0;
}

static void print_event(struct pair *p, json_t *event)
{
	if (p->cli->json)
		cli_print_json(event);
	else
		json_decref(event);
}

/* Opens it, and keeps the recovery key until it counts. */
static int request_window(struct pair *p, struct kerr *err)
{
	static const uint8_t no_id[DEVICE_ID_LEN];
	char recovery[POLICYD_RECOVERY_KEY_MAX] = "";
	struct policyd_status st;
	int r = policyd_client_status(p->policyd, &st, err);

	if (r == 0)
		r = policyd_client_pair_open(p->policyd, p->role, WINDOW_S, p->replace, recovery,
					     err);
	if (r < 0)
		return r;
	p->renewed = memcmp(st.device_id, no_id, sizeof(no_id)) != 0;
	if (recovery[0] && (secret_process_setup() < 0 ||
			    secret_from(recovery, sizeof(recovery), &p->recovery) < 0))
		r = kerr_set(err, ENOMEM, KCODE_FAILED,
			     "There is not enough locked memory for the recovery key.");
	explicit_bzero(recovery, sizeof(recovery));
	return r;
}

static int open_window(struct pair *p, struct kerr *err)
{
	int r = request_window(p, err);

	if (r < 0)
		return r;
	print_event(p, json_pack("{s:s, s:i}", "event", "open", "seconds", WINDOW_S));
	if (p->cli->json)
		return 0;
	if (p->device)
		printf("Pairing with %s ...\n", p->device);
	else
		printf("Waiting for another device for %d s. Run `kith pair` on the other device "
		       "too.\n",
		       WINDOW_S);
	fflush(stdout);
	return 0;
}

/* -- the question -- */

static void prompt(const struct pair *p, const char *question)
{
	if (p->cli->json)
		return;
	fputs(question, stdout);
	fflush(stdout);
}

static int not_compared(struct kerr *err)
{
	return kerr_set(err, EINVAL, KCODE_PAIRING,
			"The code was not compared, so the devices are not paired.");
}

static int ask(struct pair *p, const struct policyd_pair_status *st, struct kerr *err)
{
	p->asked = true;
	p->shown = *st;
	if (p->cli->json)
		cli_print_json(json_pack(
			"{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "event", "code", "code", st->code,
			"peer", st->peer_name, "peer_role", device_role_to_string(st->peer_role),
			"peer_owner", st->peer_owner, "peer_tier",
			tpm_tier_to_string(st->peer_tier), "past", pair_past_to_string(st->past)));
	else
		printf("\n    %s\n\n\"%s\" (%s%s%s, TPM: %s) shows a code too.\n%s%s"
		       "If the two differ, somebody is between the devices: answer no.\n",
		       st->code, st->peer_name, device_role_to_string(st->peer_role),
		       *st->peer_owner ? " of " : "", st->peer_owner,
		       tpm_tier_to_string(st->peer_tier), says_past(st->past),
		       *says_past(st->past) ? "\n" : "");
	/* What was typed before the question was there is no answer to it. */
	tcflush(STDIN_FILENO, TCIFLUSH);
	prompt(p, "Is it the same on both screens? Type yes or no: ");
	return p->cli->input ? 0 : not_compared(err);
}

/* Strict on purpose: pressing Enter by reflex must not pair, and only a no is a no. */
static int take_answer(struct pair *p, char *line, struct kerr *err)
{
	bool yes, no;

	line[strcspn(line, "\r\n")] = '\0';
	yes = strcasecmp(line, "yes") == 0;
	no = strcasecmp(line, "no") == 0;
	if (p->line_long || (!yes && !no)) {
		print_event(p, json_pack("{s:s}", "event", "again"));
		prompt(p, "Type the whole word, yes or no: ");
		return 0;
	}
	p->answered = true;
	if (policyd_client_pair_confirm(p->policyd, p->shown.hash, yes, err) < 0)
		return -EACCES;
	if (no)
		return kerr_set(err, EACCES, KCODE_PAIRING,
				"You said that the codes differ; the devices are not paired.");
	prompt(p, "Waiting for the answer at the other one ...\n");
	return 0;
}

/* Reads what is there, which may be a part of a line, or several. */
static int read_answer(struct pair *p, struct kerr *err)
{
	ssize_t n = read(STDIN_FILENO, p->line + p->line_len, sizeof(p->line) - 1 - p->line_len);
	int r = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return not_compared(err);
	p->line_len += (size_t)n;
	while (r == 0 && !p->answered && p->line_len) {
		char *end = memchr(p->line, '\n', p->line_len);
		size_t used;

		if (!end)
			break;
		*end = '\0';
		used = (size_t)(end - p->line) + 1;
		r = take_answer(p, p->line, err);
		p->line_len -= used;
		memmove(p->line, p->line + used, p->line_len);
		p->line_long = false;
	}
	if (p->line_len == sizeof(p->line) - 1) {
		p->line_long = true;
		p->line_len = 0;
	}
	return r;
}

/* Waits a moment; for the person too while the answer is open. */
static int wait_a_moment(struct pair *p, struct kerr *err)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	bool listening = p->asked && !p->answered;

	if (poll(&in, listening ? 1 : 0, POLL_MS) <= 0 || !in.revents)
		return 0;
	return read_answer(p, err);
}

/* -- calls -- */

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
	snprintf(p->self, sizeof(p->self), "%.*s", ID_TEXT, model_text(result, "id"));
	json_decref(result);
	return 0;
}

/* One that is paired here counts too: it may have forgotten this device, and then both would wait
 * for each other for ever (A8). */
static bool wants(const json_t *device)
{
	return json_is_true(json_object_get(device, "pairing")) &&
	       strlen(model_text(device, "id")) >= ID_TEXT;
}

static bool is_paired(const json_t *device)
{
	return json_is_true(json_object_get(device, "paired"));
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
			printf("    %s (%s, id %.*s%s)\n", model_text(device, "name"),
			       model_text(device, "role"), ID_TEXT, model_text(device, "id"),
			       is_paired(device) ? ", paired already" : "");
	}
	printf("Say which one: stop this with Ctrl-C and run `kith pair NAME`, or run `kith pair "
	       "%s` there.\n",
	       p->cli->config.name);
	fflush(stdout);
}

static void tell_paired(struct pair *p, const json_t *device)
{
	if (p->told_paired || p->cli->json || !is_paired(device))
		return;
	p->told_paired = true;
	printf("\"%s\" is paired with this device already, and wants to pair again.\n",
	       model_text(device, "name"));
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
	if (strncmp(p->other, model_text(only, "id"), ID_TEXT) != 0) {
		snprintf(p->other, sizeof(p->other), "%.*s", ID_TEXT, model_text(only, "id"));
		tell_paired(p, only);
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
		printf("Pairing with %s ...\n", model_text(device, "name"));
		fflush(stdout);
	}
	p->called = true;
	r = call_device(p, p->other, &err);
	/* Then policyd tells how it goes; otherwise it is tried again. */
	p->call_ms = clock_ms() + (r < 0 ? RECALL_MS + SIGHT_MS : WINDOW_S * 1000);
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

/* -- the other side, by its name -- */

static bool is_named(const json_t *device, const char *word)
{
	size_t len;

	if (strcmp(model_text(device, "name"), word) == 0)
		return true;
	if (strncmp(word, "device-", strlen("device-")) == 0)
		word += strlen("device-");
	len = strlen(word);
	return len >= 4 && len <= strlen(model_text(device, "id")) &&
	       strncasecmp(model_text(device, "id"), word, len) == 0;
}

/* True if the named device is paired here, as kithd knows it. */
static bool named_is_paired(struct pair *p)
{
	bool paired = false;
	json_t *result, *device;
	size_t i;

	if (cli_agent(p->cli, json_pack("{s:s}", "op", "devices"), &result, NULL) < 0)
		return false;
	json_array_foreach(json_object_get(result, "devices"), i, device)
	{
		if (is_named(device, p->device))
			paired = paired || is_paired(device);
	}
	json_decref(result);
	return paired;
}

/* The other one has no window open: what that means depends on who knows whom. */
static int explain_refusal(struct pair *p, const struct kerr *cause, struct kerr *err)
{
	bool paired = named_is_paired(p);

	if (cause->code == KCODE_PAIRING && paired)
		return kerr_set(err, EEXIST, KCODE_EXISTS,
				"\"%s\" is paired with this device already, and does not want to "
				"pair again. To pair the two anew, run `kith pair` there first; to "
				"end it here: `kith trust forget %s`.",
				p->device, p->device);
	if (cause->code == KCODE_PAIRING)
		return kerr_set(err, ECONNREFUSED, KCODE_PAIRING,
				"The other one still knows you: \"%s\" is paired with this "
				"device, which does not know it. Run `kith pair` there first; then "
				"both know each other again.",
				p->device);
	if (cause->code == KCODE_PEER_UNKNOWN && paired)
		return kerr_set(err, ECONNREFUSED, KCODE_PEER_UNKNOWN,
				"\"%s\" is paired with this device already, but does not know it "
				"any more. Run `kith pair` there first.",
				p->device);
	return kerr_set(err, ECONNREFUSED, cause->code, "%s", cause->text);
}

static bool may_come_yet(enum kcode code)
{
	return code == KCODE_NOT_FOUND || code == KCODE_UNREACHABLE || code == KCODE_BUSY ||
	       code == KCODE_INTERRUPTED || code == KCODE_NOT_READY;
}

static void tell_away(struct pair *p)
{
	if (p->told_away || p->cli->json)
		return;
	p->told_away = true;
	printf("%s is not there yet; trying for %d s. Run `kith pair` on it too.\n", p->device,
	       WINDOW_S);
	fflush(stdout);
}

/* It is called until it answers: it may not be in sight yet, or be busy. */
static int call_named(struct pair *p, struct kerr *err)
{
	struct policyd_pair_status st;
	struct kerr cause = {0};
	int r;

	if (p->called || clock_ms() < p->call_ms)
		return 0;
	r = call_device(p, p->device, &cause);
	p->called = r == 0;
	if (r == 0)
		return 0;
	if (may_come_yet(cause.code)) {
		tell_away(p);
		p->call_ms = clock_ms() + RECALL_MS;
		/* kithd may be restarted meanwhile. */
		p->cli->agent = p->cli->agent ? agent_client_free(p->cli->agent) : NULL;
		return 0;
	}
	/* Where policyd knows how it ended, it says so better. */
	r = policyd_client_pair_status(p->policyd, &st, err);
	if (r < 0 || st.error.code != KCODE_OK || st.waiting)
		return r;
	return explain_refusal(p, &cause, err);
}

/* -- waiting -- */

static int nobody(const struct pair *p, struct kerr *err)
{
	if (p->device)
		return kerr_set(err, ETIMEDOUT, KCODE_PAIRING,
				"\"%s\" did not pair before the window closed.", p->device);
	return kerr_set(err, ETIMEDOUT, KCODE_PAIRING, "Nobody paired before the window closed.");
}

static int wait_for_end(struct pair *p, struct policyd_pair_status *st, struct kerr *err)
{
	for (;;) {
		int r = policyd_client_pair_status(p->policyd, st, err);

		if (r < 0)
			return r;
		if (st->error.code != KCODE_OK)
			return kerr_set(err, EACCES, st->error.code, "%s", st->error.text);
		if (st->done)
			return 0;
		if (!st->open)
			return nobody(p, err);
		if (st->waiting && !p->asked)
			r = ask(p, st, err);
		else if (!p->asked)
			r = p->device ? call_named(p, err) : look_around(p, err);
		if (stopped)
			return kerr_set(err, EINTR, KCODE_CANCELLED, "Pairing was stopped.");
		if (r == 0)
			r = wait_a_moment(p, err);
		if (r < 0)
			return r;
	}
}

static void print_paired(const struct pair *p, const struct policyd_pair_status *st)
{
	const char *key = p->recovery.data ? (const char *)p->recovery.data : "";

	if (p->cli->json) {
		cli_print_json(json_pack("{s:s, s:s, s:s, s:b, s:s, s:b}", "event", "paired",
					 "peer", st->peer_name, "peer_owner", st->peer_owner,
					 "known_there", st->known_there, "recovery_key", key,
					 "recovery_replaced", *key && p->renewed));
		return;
	}
	printf("Paired with \"%s\" of %s.\n", st->peer_name, st->peer_owner);
	if (st->known_there && st->past != PAIR_PAST_PAIRED)
		puts("The other one still knows you from before; now both know each other again.");
	puts("`kith trust` shows what the other device proved.");
	if (*key)
		printf("\nRecovery key of this device. Write it down and keep it away from the "
		       "device; it is shown only this once.%s\n\n    %s\n\n",
		       p->renewed ? " It replaces the earlier one, if you were shown any." : "",
		       key);
}

int pair_command(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	struct pair p = {.cli = cli};
	struct policyd_pair_status st;
	int r = parse_args(&p, argc, argv, err);

	catch_stop();
	if (r == 0)
		r = cli_policyd(cli, &p.policyd, err);
	if (r == 0)
		r = open_window(&p, err);
	if (r == 0)
		r = wait_for_end(&p, &st, err);
	if (r == 0) {
		print_paired(&p, &st);
		/* Until it was shown an earlier one opens this device too. */
		if (p.recovery.data)
			r = policyd_client_recovery_shown(p.policyd, err);
	} else {
		/* The question is still open on the screen. */
		if (p.asked && !p.answered)
			prompt(&p, "\n");
		/* A window nobody watches must not stay open. */
		if (p.policyd)
			policyd_client_pair_close(p.policyd, NULL);
	}
	secret_clear(&p.recovery);
	return r;
}
