/* SPDX-License-Identifier: Apache-2.0 */
/* Sets what the file leaves open, and nothing that somebody decided already. */
#include "ui-tui/setup.h"

#include <string.h>
#include <time.h>

#include "policyd/api/client.h"
#include "ui-tui/change.h"
#include "ui-tui/cli.h"
#include "ui-tui/config-edit.h"
#include "ui-tui/config-file.h"
#include "ui-tui/tool.h"

#define SOFTWARE "--software-tpm"
#define CHASSIS "/sys/class/dmi/id/chassis_type"
#define COME_BACK_TRIES 50
#define COME_BACK_MS 200

/* -- what the file leaves open -- */

static bool is_set(const char *text, const char *section, const char *key)
{
	_cleanup_free_ char *value = NULL;
	unsigned line;

	return config_edit_find(text, section, key, &value, &line) == 0;
}

static int set(struct cli *cli, const char *key, const char *value, const char *meaning,
	       struct kerr *err)
{
	struct change c;
	int r = change_config(cli, key, value, &c, err);

	if (r == 0 && !cli->json)
		printf("%s = %s: %s.\n", key, c.value, meaning);
	return r;
}

/* Who sits here: whoever called sudo, else the person who is named, if he is a user. */
static const char *local_owner(const char *person)
{
	const char *caller = getenv("SUDO_USER");
	char word[NAME_MAX_LEN + 1];

	if (caller && *caller && strcmp(caller, "root") != 0 &&
	    owner_look(caller, word, sizeof(word)) != OWNER_MISSING)
		return caller;
	/* A number is no name of a person. */
	if (person && strspn(person, "0123456789") < strlen(person) &&
	    strcmp(person, "root") != 0 && owner_look(person, word, sizeof(word)) != OWNER_MISSING)
		return person;
	return NULL;
}

const char *setup_role_of(unsigned chassis)
{
	static const char *const roles[] = {
		[3] = "desktop",  [4] = "desktop", [5] = "desktop",  [6] = "desktop",
		[7] = "desktop",  [8] = "laptop",  [9] = "laptop",   [10] = "laptop",
		[13] = "desktop", [14] = "laptop", [15] = "desktop", [16] = "desktop",
		[17] = "server",  [23] = "server", [28] = "server",  [30] = "laptop",
		[31] = "laptop",  [32] = "laptop", [35] = "desktop", [36] = "desktop"};

	return chassis < ARRAY_SIZE(roles) ? roles[chassis] : NULL;
}

static const char *local_role(void)
{
	FILE *f = fopen(CHASSIS, "re");
	unsigned chassis = 0;

	if (f && fscanf(f, "%3u", &chassis) != 1)
		chassis = 0;
	if (f)
		fclose(f);
	return setup_role_of(chassis);
}

static int fill_in(struct cli *cli, const char *person, struct kerr *err)
{
	_cleanup_(config_file_release) struct config_file f = {0};
	const char *owner = local_owner(person), *role = local_role();
	int r = config_file_read(cli->path, &f, err);

	if (r == 0 && owner && !is_set(f.text, "people", "owner"))
		r = set(cli, "people.owner", owner, "this user may use Kith here, without sudo",
			err);
	/* The default needs no line. */
	if (r == 0 && role && strcmp(role, "laptop") != 0 && !is_set(f.text, "device", "role"))
		r = set(cli, "device.role", role, "by the kind of its case", err);
	return r;
}

/* -- an emulated TPM -- */

/* A device that has keys has them in the TPM that it was made with. */
static int check_fresh(const struct cli *cli, struct kerr *err)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/policyd/store.db", cli->config.state);
	if (access(path, F_OK) == 0)
		return kerr_set(err, EEXIST, KCODE_EXISTS,
				"This device has its keys already, and they open with the TPM that "
				"it was made with. Another one cannot take its place.");
	if (!tool_there("swtpm"))
		return kerr_set(err, ENOENT, KCODE_NOT_READY,
				"swtpm, which emulates a TPM, is not installed: sudo apt install "
				"swtpm");
	if (access("/dev/tpmrm0", F_OK) == 0)
		return cli_confirm(cli,
				   "This computer has a real TPM. Use an emulated one all the "
				   "same? It protects against mistakes only. [y/N] ",
				   err);
	return 0;
}

static int start_software(struct cli *cli, struct kerr *err)
{
	if (access("/run/systemd/system", F_OK) < 0)
		return kerr_set(
			err, EAGAIN, KCODE_NOT_READY,
			"kith.conf names the emulated TPM now. systemd does not run here: "
			"start what kith-swtpm.service starts, start kith-policyd anew, and "
			"repeat the command without " SOFTWARE ".");
	if (tool_run((const char *const[]){"systemctl", "enable", "--now", "kith-swtpm.service",
					   NULL},
		     NULL, 0) != 0 ||
	    tool_run((const char *const[]){"systemctl", "restart", "kith-policyd.service", NULL},
		     NULL, 0) != 0)
		return kerr_set(
			err, EIO, KCODE_FAILED,
			"The emulated TPM could not be started: see `journalctl -u kith-swtpm "
			"-u kith-policyd`.");
	/* What was connected to the old one. */
	cli->policyd = ipc_client_free(cli->policyd);
	return 0;
}

static int take_software(struct cli *cli, struct kerr *err)
{
	char tcti[256];
	int r = check_fresh(cli, err);

	snprintf(tcti, sizeof(tcti), "swtpm:path=%s/swtpm/sock", cli->config.run);
	if (r == 0)
		r = set(cli, "tpm.tcti", tcti,
			"an emulated TPM, which protects against mistakes, not against somebody "
			"who controls this device",
			err);
	return r < 0 ? r : start_software(cli, err);
}

/* -- is there one? -- */

/* kith-policyd may just be starting. */
static int policyd_status(struct cli *cli, struct policyd_status *ret, struct kerr *err)
{
	const struct timespec wait = {.tv_nsec = COME_BACK_MS * 1000000L};
	int r = -EAGAIN;

	for (int i = 0; r < 0 && i < COME_BACK_TRIES; i++) {
		struct ipc_client *policyd;

		if (i)
			nanosleep(&wait, NULL);
		kerr_clear(err);
		r = cli_policyd(cli, &policyd, err);
		if (r == 0)
			r = policyd_client_status(policyd, ret, err);
		if (r < 0)
			cli->policyd = ipc_client_free(cli->policyd);
	}
	return r;
}

static int check_tpm(struct cli *cli, bool restarted, struct kerr *err)
{
	struct services_said said = {.policyd = true};
	struct ipc_client *policyd;
	struct facts facts;
	struct finding f;
	int r = restarted ? policyd_status(cli, &said.status, err)
			  : cli_policyd(cli, &policyd, err);

	if (r == 0 && !restarted)
		r = policyd_client_status(policyd, &said.status, err);
	if (r < 0 || said.status.tier != TPM_TIER_NONE)
		return r;
	doctor_facts(cli, &said, false, &facts);
	for (size_t i = 0; doctor_judge(&facts, i, &f); i++)
		if (strcmp(f.name, "tpm") == 0)
			break;
	return kerr_set(
		err, ENODEV, KCODE_TPM,
		"%s What to do: %s. (An emulated TPM protects against mistakes, not against "
		"somebody who controls this device; every device will see it as "
		"\"software\".)",
		f.sentence, f.remedy);
}

int setup_device(struct cli *cli, const char *person, bool software, struct kerr *err)
{
	int r = 0;

	if (geteuid() == 0)
		r = fill_in(cli, person, err);
	if (r == 0 && software)
		r = take_software(cli, err);
	/* What follows goes by what the file says now. */
	if (r == 0)
		r = config_load(cli->path, &cli->config, err);
	return r < 0 ? r : check_tpm(cli, software, err);
}

void setup_warn(struct cli *cli)
{
	struct services_said said;
	struct facts facts;
	struct finding f;

	if (cli->json)
		return;
	fflush(stdout);
	services_ask(cli, &said);
	doctor_facts(cli, &said, true, &facts);
	services_said_release(&said);
	for (size_t i = 0; doctor_judge(&facts, i, &f); i++)
		if (f.verdict == FINDING_BAD ||
		    (f.verdict == FINDING_WARN && strcmp(f.name, "network") == 0))
			fprintf(stderr, "! %s\n  %s\n", f.sentence, f.remedy);
}
