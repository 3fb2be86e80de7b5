/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about this device, the others, and the trust between them. */
#include <poll.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "policyd/api/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/doctor.h"
#include "ui-tui/live.h"
#include "ui-tui/model/says.h"
#include "ui-tui/pair.h"
#include "ui-tui/setup.h"

#define WAIT_MS 500	   /* between looks for a device that becomes ready */
#define STRANGERS_SHOWN 32 /* devices that are not paired, unless all are wanted */

static void print_recovery(const char *key, const char *what)
{
	printf("\nRecovery key of %s, shown this once. Write it down and keep it away from the "
	       "device:\n\n    %s\n\n"
	       "It opens this device's secrets if its TPM or its measurements change.\n",
	       what, key);
}

/* Whoever is refused on a device where nobody was named yet has to be root once. */
static int first_as_root(struct cli *cli, const char *command, int r, struct kerr *err)
{
	if (err->code != KCODE_NOT_ALLOWED || geteuid() == 0 ||
	    strcmp(cli->config.owner, "root") != 0)
		return r;
	kerr_clear(err);
	return kerr_set(
		err, EACCES, KCODE_NOT_ALLOWED,
		"Nobody but root may use Kith here yet. Run it as `sudo kith %s` once: from "
		"then on you may, without sudo.",
		command);
}

static int make_cloud(struct cli *cli, const char *person, bool software,
		      char recovery[POLICYD_RECOVERY_KEY_MAX], struct kerr *err)
{
	struct ipc_client *policyd;
	int r = setup_device(cli, person, software, err);

	if (r == 0)
		r = cli_policyd(cli, &policyd, err);
	if (r == 0)
		r = policyd_client_init(policyd, person, recovery, err);
	return r < 0 ? first_as_root(cli, "init", r, err) : 0;
}

int cmd_init(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	bool software = cli->given[OPT_SOFTWARE_TPM];
	const char *person = argc ? argv[0] : getenv("SUDO_USER");
	char recovery[POLICYD_RECOVERY_KEY_MAX];
	int r;

	if (!person || !*person)
		person = getenv("USER");
	if (!person || !*person)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"Say whose cloud this is: kith init NAME");
	r = make_cloud(cli, person, software, recovery, err);
	if (r < 0)
		return r;
	if (cli->json) {
		cli_print_json(json_pack("{s:s, s:s}", "owner", person, "recovery_key", recovery));
	} else {
		printf("This device is the first one of %s's cloud.\n", person);
		print_recovery(recovery, "this device");
		puts("Next: run `kith pair` here and `sudo kith pair` on another device.");
		fflush(stdout);
	}
	explicit_bzero(recovery, sizeof(recovery));
	/* A key that pairing showed earlier opens it until now. */
	r = policyd_client_recovery_shown(cli->policyd, err);
	setup_warn(cli);
	return r;
}

int cmd_pair(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	int r = setup_device(cli, NULL, cli->given[OPT_SOFTWARE_TPM], err);

	if (r < 0)
		return r;
	/* What would keep the two from finding each other is better known before. */
	setup_warn(cli);
	r = pair_command(cli, argc, argv, err);
	return r < 0 ? first_as_root(cli, "pair", r, err) : 0;
}

/* What an accepted roll-back, another TPM or none means for the VMs (H2). */
static void print_doubt(struct ipc_client *policyd)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	struct kerr err = {0};
	size_t n = 0, doubt = 0;

	if (policyd_client_vms(policyd, &vms, &n, &err) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		doubt += vms[i].doubt;
	if (doubt)
		printf("! Its state may be an older one. Whether it holds its %zu VM%s is in doubt "
		       "until your other devices were asked; see `kith vms`.\n",
		       doubt, doubt == 1 ? "" : "s");
}

static void print_unlocked(struct cli *cli, struct ipc_client *policyd, bool new_ak)
{
	struct policyd_status st = {0};
	struct kerr err = {0};

	if (policyd_client_status(policyd, &st, &err) == 0 && st.tier == TPM_TIER_NONE)
		printf("Unlocked, until kith-policyd starts again. %s\n", st.detail);
	else
		puts("Unlocked, and sealed to what this device runs now.");
	if (new_ak)
		printf("! Its TPM is another one than before, so your other devices do not take "
		       "its word any more. Pair again with each of them, first with the one where "
		       "you ran `kith init`: `kith pair NAME` here and `kith pair %s replace` "
		       "there.\n",
		       cli->config.name);
	print_doubt(policyd);
}

int cmd_unlock(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	char recovery[POLICYD_RECOVERY_KEY_MAX] = "";
	struct ipc_client *policyd;
	bool new_ak = false;
	int r = cli_policyd(cli, &policyd, err);

	(void)argc;
	(void)argv;
	/* Never as an argument: other users could read it in the process list. */
	if (r == 0 &&
	    (!cli->input || cli_read_secret(recovery, sizeof(recovery), "Recovery key: ") < 0))
		r = kerr_set(err, EINVAL, KCODE_USAGE, "Give the recovery key on standard input.");
	if (r == 0)
		r = policyd_client_unlock(policyd, recovery, &new_ak, err);
	explicit_bzero(recovery, sizeof(recovery));
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(json_pack("{s:b, s:b}", "unlocked", 1, "new_tpm", new_ak));
	else
		print_unlocked(cli, policyd, new_ak);
	return 0;
}

int cmd_recovery(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	char recovery[POLICYD_RECOVERY_KEY_MAX];
	struct ipc_client *policyd;
	int r = cli_policyd(cli, &policyd, err);

	(void)argc;
	(void)argv;
	if (r == 0)
		r = cli_confirm(
			cli,
			"Make a new recovery key? The one that you wrote down opens nothing "
			"any more then. [y/N] ",
			err);
	if (r == 0)
		r = policyd_client_recovery_renew(policyd, recovery, err);
	if (r < 0)
		return r;
	if (cli->json) {
		cli_print_json(json_pack("{s:s}", "recovery_key", recovery));
	} else {
		print_recovery(recovery, "this device");
		puts("It replaces the earlier one.");
		fflush(stdout);
	}
	explicit_bzero(recovery, sizeof(recovery));
	return policyd_client_recovery_shown(policyd, err);
}

static json_t *alarm_json(const struct policyd_status *st)
{
	if (!st->alarm[0])
		return json_null();
	return json_pack("{s:s, s:I}", "text", st->alarm, "time", (json_int_t)st->alarm_time);
}

/* A locked device does not know its own id. */
static bool has_id(const struct policyd_status *st)
{
	static const uint8_t none[DEVICE_ID_LEN];

	return memcmp(st->device_id, none, DEVICE_ID_LEN) != 0;
}

static bool is_locked(const struct policyd_status *st)
{
	return st->state != POLICYD_STATE_READY && st->state != POLICYD_STATE_NO_CLOUD;
}

static json_t *status_json(const struct policyd_status *st, json_t *agent,
			   const struct finding *worst, const struct facts *f)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o*}", "state",
			 policyd_state_to_string(st->state), "name", st->name, "role",
			 device_role_to_string(st->role), "id",
			 has_id(st) ? cli_hex(st->device_id, DEVICE_ID_LEN) : json_null(), "tier",
			 tpm_tier_to_string(st->tier), "owner", st->owner, "detail", st->detail,
			 "ready", st->state == POLICYD_STATE_READY, "alarm", alarm_json(st),
			 "finding", worst->name ? doctor_finding_json(worst) : json_null(), "jobs",
			 f->jobs_known ? json_integer(f->jobs) : json_null(), "agent", agent);
}

static void print_alarm(const struct policyd_status *st)
{
	char when[32];

	if (!st->alarm[0])
		return;
	says_time(st->alarm_time, when, sizeof(when));
	printf("! Alarm of %s: %s\n", when, st->alarm);
}

static void print_status(const struct policyd_status *st, const struct kerr *agent)
{
	char id[17] = "";

	if (has_id(st))
		hex_encode(st->device_id, 8, id);
	printf("%s %s (%s)%s%s, TPM: %s\n", cli_mark(st->state == POLICYD_STATE_READY), st->name,
	       device_role_to_string(st->role), *id ? ", id " : "", id,
	       tpm_tier_to_string(st->tier));
	if (st->tier == TPM_TIER_SOFTWARE)
		puts("  The TPM is emulated in software: it protects against mistakes, not against "
		     "somebody who controls this device.");
	if (st->state == POLICYD_STATE_NO_CLOUD)
		puts("  It belongs to nobody yet. `kith init` makes a new cloud; `kith pair` joins "
		     "one.");
	else if (st->state == POLICYD_STATE_READY)
		printf("  It belongs to %s.%s%s\n", st->owner, *st->detail ? " " : "", st->detail);
	else
		printf("  It is locked (%s). %s\n", policyd_state_to_string(st->state), st->detail);
	if (is_locked(st) && !strstr(st->detail, "`kith unlock`"))
		puts("  `kith unlock` opens it with its recovery key.");
	print_alarm(st);
	if (agent->code == KCODE_BUSY)
		printf("! kithd runs, but has no room for this command: %s\n", agent->text);
	else if (agent->code != KCODE_OK)
		puts("! kithd does not answer: other devices cannot be seen. Start it with "
		     "`systemctl start kithd`.");
}

static int show_status(struct cli *cli, struct kerr *err)
{
	struct services_said said = {.policyd = true};
	struct policyd_status *st = &said.status;
	struct kerr agent_err = {0};
	struct finding worst = {0};
	struct ipc_client *policyd;
	struct facts facts;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = policyd_client_status(policyd, st, err);
	if (r < 0)
		return r;
	/* status always answers what it can. */
	if (cli_agent(cli, json_pack("{s:s}", "op", "status"), &said.agent, &agent_err) < 0)
		said.agent = NULL;
	doctor_facts(cli, &said, false, &facts);
	doctor_worst(&facts, &worst);
	cli->status = is_locked(st) ? kcode_exit_status(KCODE_LOCKED) : 0;
	if (cli->json) {
		cli_print_json(status_json(st, json_incref(said.agent), &worst, &facts));
	} else {
		print_status(st, &agent_err);
		if (facts.jobs)
			printf("%s %u hand-off%s under way; see `kith jobs`.\n", cli_glyph('~'),
			       facts.jobs, facts.jobs == 1 ? " is" : "s are");
		if (worst.name)
			printf("! %s `kith doctor` tells more.\n", worst.sentence);
	}
	services_said_release(&said);
	return 0;
}

/* Ready is who belongs to somebody and is open. */
static int wait_ready(struct cli *cli, struct kerr *err)
{
	while (cli_left(cli, 0)) {
		struct policyd_status st;
		struct ipc_client *policyd;
		struct kerr away = {0};

		if (cli_policyd(cli, &policyd, &away) == 0 &&
		    policyd_client_status(policyd, &st, &away) == 0 &&
		    st.state == POLICYD_STATE_READY)
			return 0;
		/* It may come back. */
		if (away.code != KCODE_OK) {
			ipc_client_free(cli->policyd);
			cli->policyd = NULL;
		}
		poll(NULL, 0, WAIT_MS);
	}
	return kerr_set(err, EAGAIN, KCODE_NOT_READY,
			"The device did not become ready before --timeout.");
}

int cmd_status(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err)
{
	int r = cli->given[OPT_WAIT] ? wait_ready(cli, err) : 0;

	if (r < 0)
		return r;
	return cli->given[OPT_WATCH] ? live_run(cli, show_status, 0, err) : show_status(cli, err);
}

static void print_device(const json_t *row)
{
	struct model_device d;
	char seen[48], standing[KERR_TEXT_MAX + 96];

	model_read_device(row, &d);
	model_announced(&d, seen, sizeof(seen));
	model_standing(&d, standing, sizeof(standing));
	if (d.paired == MAYBE_YES)
		printf("%s %-16s %-8s %-10s %-22s %s\n", cli_mark(model_is_trusted(&d)), d.name,
		       d.role, d.person, seen, standing);
	else
		printf("%s %-16s %-8s %-10s %-22s %s\n", cli_glyph('?'), d.name, "", "", seen,
		       standing);
}

/* Paired ones, then strangers that want to pair, then the others. */
static int group_of(const json_t *d)
{
	if (json_is_true(json_object_get(d, "paired")))
		return 0;
	return json_is_true(json_object_get(d, "pairing")) ? 1 : 2;
}

static void print_devices(const json_t *list, bool all)
{
	size_t i, strangers = 0;
	json_t *d;

	for (int group = 0; group <= 2; group++) {
		json_array_foreach(list, i, d)
		{
			if (group_of(d) != group)
				continue;
			strangers += group > 0;
			if (all || strangers <= STRANGERS_SHOWN)
				print_device(d);
		}
	}
	if (!all && strangers > STRANGERS_SHOWN)
		printf("and %zu more that are not paired; `kith devices all` shows them\n",
		       strangers - STRANGERS_SHOWN);
}

static int show_devices(struct cli *cli, struct kerr *err)
{
	json_t *result;
	int r;

	r = cli_agent(cli, json_pack("{s:s}", "op", "devices"), &result, err);
	if (r < 0)
		return r;
	cli_print_locked(cli, json_object_get(result, "error"));
	if (cli->json) {
		cli_print_json(result);
		return 0;
	}
	if (!json_array_size(json_object_get(result, "devices")))
		puts("No other device is paired or in sight. Start kithd on another one in the "
		     "same network.");
	print_devices(json_object_get(result, "devices"), cli->given[OPT_ALL]);
	json_decref(result);
	return 0;
}

int cmd_devices(struct cli *cli, int argc, char **argv _unused_, struct kerr *err)
{
	/* The word is older than the option. */
	if (argc)
		cli->given[OPT_ALL] = "";
	return cli->given[OPT_WATCH] ? live_run(cli, show_devices, 0, err) : show_devices(cli, err);
}

static void print_trust(const struct policyd_trust *t)
{
	struct sheet sheet = {0};

	says_trust(t, clock_unix(), &sheet);
	sheet_print(&sheet, stdout);
	sheet_clear(&sheet);
}

static json_t *trust_json(const struct policyd_trust *t)
{
	const struct policyd_peer *p = &t->peer;
	json_t *pcrs = json_object();

	for (unsigned i = 0; i < PCR_COUNT; i++) {
		char key[4];

		if (!(t->pcrs & UINT32_C(1) << i))
			continue;
		snprintf(key, sizeof(key), "%u", i);
		json_object_set_new(pcrs, key,
				    json_pack("{s:o, s:o}", "now", cli_hex(t->now[i], HASH_LEN),
					      "accepted", cli_hex(t->want[i], HASH_LEN)));
	}
	return json_pack("{s:o, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:o, s:I, s:b, s:o, s:s}", "id",
			 cli_hex(p->id, DEVICE_ID_LEN), "name", p->name, "role",
			 device_role_to_string(p->role), "person", p->person, "own", p->own,
			 "person_role", person_role_to_string(p->person_role), "tier",
			 tpm_tier_to_string(p->tier), "verdict", verdict_to_string(p->verdict),
			 "reason", cli_kerr_json(&p->reason), "evidence_time",
			 (json_int_t)p->evidence_time, "receive", p->receive, "pcrs", pcrs,
			 "versions", t->versions);
}

static int trust_show(struct cli *cli, const char *word, struct kerr *err)
{
	uint8_t id[DEVICE_ID_LEN];
	char name[NAME_MAX_LEN + 1];
	struct policyd_trust trust;
	int r = cli_find_device(cli, word, id, name, err);

	if (r == 0)
		r = policyd_client_trust_show(cli->policyd, id, &trust, err);
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(trust_json(&trust));
	else
		print_trust(&trust);
	return 0;
}

static int trust_all(struct cli *cli, struct kerr *err)
{
	_cleanup_free_ struct policyd_peer *peers = NULL;
	struct ipc_client *policyd;
	json_t *list = json_array();
	size_t n = 0;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = policyd_client_peers(policyd, &peers, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct policyd_trust trust;

		r = policyd_client_trust_show(policyd, peers[i].id, &trust, err);
		if (r == 0 && cli->json)
			json_array_append_new(list, trust_json(&trust));
		else if (r == 0)
			print_trust(&trust);
	}
	if (r == 0 && cli->json)
		cli_print_json(json_pack("{s:O}", "devices", list));
	else if (r == 0 && !n)
		puts("No device is paired with this one. Run `kith pair` on both.");
	json_decref(list);
	return r;
}

/* The names of the VMs that a device holds (new reference). */
static int vms_held_by(struct cli *cli, const uint8_t id[DEVICE_ID_LEN], json_t **ret,
		       struct kerr *err)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	size_t n = 0;
	int r = policyd_client_vms(cli->policyd, &vms, &n, err);

	if (r < 0)
		return r;
	*ret = json_array();
	for (size_t i = 0; i < n; i++)
		if (!vms[i].here && memcmp(vms[i].holder, id, DEVICE_ID_LEN) == 0)
			json_array_append_new(*ret, json_string(vms[i].name));
	return 0;
}

/* A8: what is on a device that is forgotten cannot come home from it. */
static int ask_forget(struct cli *cli, const char *name, const json_t *held, struct kerr *err)
{
	char question[256], list[640] = "";
	size_t i, len = 0;
	json_t *vm;

	json_array_foreach(held, i, vm)
	{
		if (len + NAME_MAX_LEN + 8 < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s\"%s\"",
						i ? ", " : "", json_string_value(vm));
	}
	/* Who says --yes still learns what it costs. */
	if (i && !cli->json)
		printf("\"%s\" holds %zu of your VMs: %s. What is there cannot come back from it "
		       "until the two are paired again; move it here first.\n",
		       name, i, list);
	snprintf(question, sizeof(question),
		 "Forget \"%s\"%s? It has to be paired again to come back. [y/N] ", name,
		 i ? " all the same" : "");
	return cli_confirm(cli, question, err);
}

int cmd_trust_forget(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	json_t *held = NULL;
	uint8_t id[DEVICE_ID_LEN];
	char name[NAME_MAX_LEN + 1];
	int r = cli_find_device(cli, argv[0], id, name, err);

	if (r == 0)
		r = vms_held_by(cli, id, &held, err);
	if (r == 0)
		r = ask_forget(cli, name, held, err);
	if (r == 0)
		r = policyd_client_peer_forget(cli->policyd, id, err);
	if (r < 0) {
		json_decref(held);
		return r;
	}
	if (cli->json) {
		cli_print_json(json_pack("{s:s, s:s, s:o}", "device", name, "action", "forgotten",
					 "held", held));
		return 0;
	}
	printf("\"%s\" is forgotten.\n", name);
	json_decref(held);
	return 0;
}

/* What would be accepted, old and new. */
static void print_changes(const struct policyd_trust *t)
{
	struct sheet sheet = {0};

	says_changes(t, clock_unix(), &sheet);
	sheet_print(&sheet, stdout);
	sheet_clear(&sheet);
}

/* Asked for once more, as it cannot be undone by a key; the yes counts for what was shown (H1). */
int cmd_trust_accept(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	uint8_t id[DEVICE_ID_LEN];
	char name[NAME_MAX_LEN + 1], question[256];
	struct policyd_trust shown;
	int r = cli_find_device(cli, argv[0], id, name, err);

	if (r == 0)
		r = policyd_client_trust_show(cli->policyd, id, &shown, err);
	if (r < 0)
		return r;
	if (!cli->json)
		print_changes(&shown);
	snprintf(question, sizeof(question),
		 "Accept \"%s\" as it runs now? Only if you changed it yourself. [y/N] ", name);
	r = cli_confirm(cli, question, err);
	if (r == 0)
		r = policyd_client_trust_accept(cli->policyd, id, shown.hash, err);
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:s}", "device", name, "action", "accepted"));
	else
		printf("\"%s\" is accepted as it ran at its last evidence.\n", name);
	return 0;
}

/* Whether VMs of another person may come from a device of theirs. */
int cmd_trust_receive(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	bool on = strcmp(argv[1], "on") == 0;
	uint8_t id[DEVICE_ID_LEN];
	char name[NAME_MAX_LEN + 1];
	int r = cli_find_device(cli, argv[0], id, name, err);

	if (r == 0)
		r = policyd_client_peer_receive(cli->policyd, id, on, err);
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:s}", "device", name, "action",
					 on ? "receive-on" : "receive-off"));
	else
		printf(on ? "This device takes VMs of its owner from \"%s\" now.\n"
			  : "This device takes no VMs of its owner from \"%s\" any more.\n",
		       name);
	return 0;
}

int cmd_trust(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	return argc ? trust_show(cli, argv[0], err) : trust_all(cli, err);
}
