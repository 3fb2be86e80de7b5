/* SPDX-License-Identifier: Apache-2.0 */
/* `kith policy`: the rules of virtual machines. */
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "base/file.h"
#include "policyd/api/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/editor.h"
#include "ui-tui/model/says.h"
#include "ui-tui/policytext.h"

int cmd_policy_show(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	struct policyd_policy policy;
	struct ipc_client *policyd;
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1];
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = cli_find_vm(cli, argv[0], uuid, name, err);
	if (r == 0)
		r = policyd_client_policy_get(policyd, uuid, &policy, err);
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:I, s:s}", "vm", name, "version",
					 (json_int_t)policy.version, "text", policy.text));
	else
		printf("# Policy of \"%s\", version %llu\n%s", name,
		       (unsigned long long)policy.version, policy.text);
	policyd_policy_clear(&policy);
	return 0;
}

/* The policy to set: a file, "-" for standard input, or the usual one. */
static int policy_read(const char *path, char **ret, struct kerr *err)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int r = 0;

	if (!path) {
		*ret = strdup(policytext_default);
		return *ret ? 0 : -ENOMEM;
	}
	if (strcmp(path, "-") == 0) {
		data = calloc(1, POLICYTEXT_MAX + 2);
		if (!data)
			return -ENOMEM;
		len = fread(data, 1, POLICYTEXT_MAX + 1, stdin);
	} else {
		r = file_read(AT_FDCWD, path, POLICYTEXT_MAX, &data, &len);
	}
	if (r < 0)
		return kerr_set(err, -r, KCODE_USAGE, "Cannot read the policy %.200s: %s.", path,
				strerror(-r));
	if (memchr(data, 0, len)) {
		free(data);
		return kerr_set(err, EINVAL, KCODE_USAGE, "The policy is not text.");
	}
	*ret = (char *)data;
	return 0;
}

static int policy_compile(const char *text, uint8_t *buf, size_t size, size_t *ret_len,
			  struct kerr *err)
{
	_cleanup_free_ struct policy *policy = calloc(1, sizeof(*policy));
	int r;

	if (!policy)
		return -ENOMEM;
	r = policytext_compile(text, policy, err);
	if (r == 0)
		r = policytext_encode(policy, buf, size, ret_len);
	return r;
}

/* Why the VM could go nowhere as it is made, whatever a policy allows; code OK = nothing is known
 * of that. What passes by itself, as that it is off, is no reason. */
static void cannot_leave(struct cli *cli, const uint8_t uuid[UUID_LEN], struct kerr *ret)
{
	char hex[2 * UUID_LEN + 1];
	struct kerr ignored = {0};
	const json_t *reason;
	json_t *answer;

	hex_encode(uuid, UUID_LEN, hex);
	if (cli_agent(cli, json_pack("{s:s, s:s}", "op", "plan", "vm", hex), &answer, &ignored) < 0)
		return;
	reason = json_object_get(answer, "reason");
	if (strcmp(model_text(reason, "code"), kcode_to_string(KCODE_DOMAIN)) == 0)
		kerr_set(ret, EPERM, KCODE_DOMAIN, "%s", model_text(reason, "text"));
	json_decref(answer);
}

static void print_policy_set(struct cli *cli, const char *vm, uint64_t version,
			     const struct kerr *warning)
{
	if (cli->json) {
		cli_print_json(json_pack("{s:s, s:I, s:o}", "vm", vm, "version",
					 (json_int_t)version, "warning", cli_kerr_json(warning)));
		return;
	}
	printf("Policy version %llu of \"%s\" is signed and sealed on this device.\n",
	       (unsigned long long)version, vm);
	if (warning->code != KCODE_OK)
		printf("As it is, it cannot be moved yet: %s\n", warning->text);
}

static int sign_text(struct cli *cli, const char *word, const char *text, struct kerr *err)
{
	static uint8_t compiled[POLICYD_POLICY_MAX];
	struct ipc_client *policyd;
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1];
	struct kerr warning = {0};
	uint64_t version;
	size_t len;
	int r = policy_compile(text, compiled, sizeof(compiled), &len, err);

	if (r == 0)
		r = cli_policyd(cli, &policyd, err);
	if (r == 0)
		r = cli_find_vm(cli, word, uuid, name, err);
	if (r == 0)
		r = policyd_client_policy_set(policyd, uuid, name, text, compiled, len, &version,
					      err);
	if (r < 0)
		return r;
	cannot_leave(cli, uuid, &warning);
	print_policy_set(cli, name, version, &warning);
	return 0;
}

int cmd_policy_set(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	_cleanup_free_ char *text = NULL;
	int r = policy_read(argv[1], &text, err);

	return r < 0 ? r : sign_text(cli, argv[0], text, err);
}

/* Deleted, its number would begin anew, and devices that knew the old one refuse the new. */
int cmd_policy_withdraw(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	return sign_text(cli, argv[0], "# Withdrawn: it stays where it is.\ndeny anyone all\n",
			 err);
}

/* -- check: nothing is asked of anybody -- */

int cmd_policy_check(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	_cleanup_free_ struct policy *policy = calloc(1, sizeof(*policy));
	_cleanup_free_ char *text = NULL;
	int r = policy ? policy_read(argv[0], &text, err) : -ENOMEM;

	if (r == 0)
		r = policytext_compile(text, policy, err);
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(json_pack("{s:I}", "rules", (json_int_t)policy->count));
	else
		printf("+ This is a policy, of %zu rules.\n", policy->count);
	return 0;
}

/* -- list -- */

static void print_held(const struct policyd_vm *vm)
{
	if (vm->policy_version)
		printf("%s %-16s version %llu, on %s\n", cli_mark(true), vm->name,
		       (unsigned long long)vm->policy_version,
		       vm->here ? "this device" : vm->holder_name);
	else
		printf("%s %-16s no policy: it is refused everything\n", cli_mark(false), vm->name);
}

int cmd_policy_list(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	struct ipc_client *policyd;
	json_t *list = json_array();
	size_t n = 0;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = policyd_client_vms(policyd, &vms, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (cli->json)
			json_array_append_new(list, json_pack("{s:s, s:I, s:b}", "vm", vms[i].name,
							      "version",
							      (json_int_t)vms[i].policy_version,
							      "here", vms[i].here));
		else
			print_held(&vms[i]);
	}
	if (r == 0 && cli->json)
		cli_print_json(json_pack("{s:O}", "policies", list));
	else if (r == 0 && !n)
		printf("No VM is in Kith's care. `kith policy set VM` takes one in.\n");
	json_decref(list);
	return r;
}

/* -- diff -- */

/* The rules of one that the other has not, whatever their order: it does not matter. */
static void list_missing(const struct policy *from, const struct policy *in, const char *mark,
			 json_t *ret)
{
	for (size_t i = 0; i < from->count; i++) {
		bool found = false;

		for (size_t k = 0; k < in->count && !found; k++)
			found = strcmp(from->rules[i].line, in->rules[k].line) == 0;
		if (!found)
			json_array_append_new(ret, json_pack("{s:s, s:s}", "change", mark, "rule",
							     from->rules[i].line));
	}
}

static void print_diff(struct cli *cli, const char *vm, json_t *changes)
{
	const json_t *row;
	size_t i;

	cli->status = json_array_size(changes) ? kcode_exit_status(KCODE_POLICY) : 0;
	if (cli->json) {
		cli_print_json(json_pack("{s:s, s:O}", "vm", vm, "changes", changes));
		return;
	}
	json_array_foreach(changes, i, row)
	{
		printf("%s %s\n", strcmp(model_text(row, "change"), "added") == 0 ? "+" : "-",
		       model_text(row, "rule"));
	}
	if (!json_array_size(changes))
		printf("The rules are the same.\n");
}

static int read_both(struct cli *cli, char **argv, struct policy both[2],
		     char name[NAME_MAX_LEN + 1], struct kerr *err)
{
	struct policyd_policy held = {0};
	_cleanup_free_ char *text = NULL;
	struct ipc_client *policyd;
	uint8_t uuid[UUID_LEN];
	int r = policy_read(argv[1], &text, err);

	if (r == 0)
		r = policytext_compile(text, &both[1], err);
	if (r == 0)
		r = cli_policyd(cli, &policyd, err);
	if (r == 0)
		r = cli_find_vm(cli, argv[0], uuid, name, err);
	if (r == 0)
		r = policyd_client_policy_get(policyd, uuid, &held, err);
	if (r == 0)
		r = policytext_compile(held.text, &both[0], err);
	policyd_policy_clear(&held);
	return r;
}

int cmd_policy_diff(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	_cleanup_free_ struct policy *both = calloc(2, sizeof(*both));
	char name[NAME_MAX_LEN + 1];
	json_t *changes = json_array();
	int r = both ? read_both(cli, argv, both, name, err) : -ENOMEM;

	if (r == 0) {
		list_missing(&both[0], &both[1], "removed", changes);
		list_missing(&both[1], &both[0], "added", changes);
		print_diff(cli, name, changes);
	}
	json_decref(changes);
	return r;
}

/* -- edit -- */

static int run_editor(const char *path, struct kerr *err)
{
	int status, r;
	pid_t pid;

	r = editor_start(path, &pid);
	while (r == 0 && waitpid(pid, &status, 0) < 0)
		r = errno == EINTR ? 0 : -errno;
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The editor cannot be started: %s.",
				strerror(-r));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return kerr_set(err, EIO, KCODE_FAILED,
			"The editor failed, and nothing was changed. Set VISUAL or EDITOR.");
}

/* What nobody would want to type again stays. */
static int keep_draft(const char *path, int r, struct kerr *err)
{
	struct kerr why = *err;

	kerr_clear(err);
	return kerr_set(err, -r, why.code, "%s Nothing was changed; what you wrote is in %s.",
			why.text, path);
}

static int sign_draft(struct cli *cli, const char *vm, const char *path, const char *before,
		      struct kerr *err)
{
	_cleanup_free_ char *text = NULL;
	int r = policy_read(path, &text, err);

	if (r == 0 && strcmp(text, before) == 0) {
		unlink(path);
		return kerr_set(err, ECANCELED, KCODE_CANCELLED,
				"The policy was not edited; nothing was changed.");
	}
	if (r == 0)
		r = sign_text(cli, vm, text, err);
	if (r < 0)
		return keep_draft(path, r, err);
	unlink(path);
	return 0;
}

/* The text that is edited: of the VM's policy, or of the usual one if it has none. */
static int text_to_edit(struct cli *cli, const char *vm, char **ret, struct kerr *err)
{
	struct policyd_policy held = {0};
	struct ipc_client *policyd;
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1];
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = cli_find_vm(cli, vm, uuid, name, err);
	if (r == 0)
		r = policyd_client_policy_get(policyd, uuid, &held, err);
	if (r < 0 && err->code != KCODE_NOT_FOUND)
		return r;
	kerr_clear(err);
	*ret = held.text ? TAKE_PTR(held.text) : strdup(policytext_default);
	policyd_policy_clear(&held);
	return *ret ? 0 : -ENOMEM;
}

int cmd_policy_edit(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	_cleanup_free_ char *before = NULL;
	char path[EDITOR_PATH_MAX];
	int r = text_to_edit(cli, argv[0], &before, err);

	if (r < 0)
		return r;
	r = editor_draft(before, path);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "A draft cannot be written: %s.",
				strerror(-r));
	r = run_editor(path, err);
	if (r < 0) {
		unlink(path);
		return r;
	}
	return sign_draft(cli, argv[0], path, before, err);
}

/* -- why -- */

struct question {
	char vm[NAME_MAX_LEN + 1], device[NAME_MAX_LEN + 1];
	struct policyd_question q;
};

/* An answer "no" is no failure, but a script sees it by the status. */
static void print_why(struct cli *cli, const struct question *w, const struct policyd_plan *plan)
{
	const char *action = policy_action_to_string(w->q.action);
	const char *person = person_role_to_string(w->q.person);

	cli->status = kcode_exit_status(plan->reason.code);
	if (cli->json) {
		cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:o}", "vm", w->vm,
					 "action", action, "device", w->device, "as", person,
					 "allowed", plan->allowed, "rule", plan->rule, "verdict",
					 verdict_to_string(plan->verdict), "reason",
					 cli_kerr_json(&plan->reason)));
		return;
	}
	if (plan->allowed)
		printf("%s %s may %s \"%s\" towards \"%s\", by the rule\n  %s\n", cli_mark(true),
		       person, action, w->vm, w->device, plan->rule);
	else
		printf("%s %s may not. %s\n", cli_mark(false), person, plan->reason.text);
}

static int read_word(int (*from_string)(const char *word), const char *word, const char *what,
		     struct kerr *err)
{
	int v = from_string(word);

	return v >= 0 ? v : kerr_set(err, EINVAL, KCODE_USAGE, "\"%.40s\" is not %s.", word, what);
}

/* This device has no row among those it is paired with. */
static int find_device(struct cli *cli, const char *word, struct question *w, struct kerr *err)
{
	struct policyd_status status;
	int r = policyd_client_status(cli->policyd, &status, err);

	if (r < 0)
		return r;
	if (strcmp(word, status.name) != 0)
		return cli_find_device(cli, word, w->q.device, w->device, err);
	memcpy(w->q.device, status.device_id, DEVICE_ID_LEN);
	snprintf(w->device, sizeof(w->device), "%s", status.name);
	return 0;
}

int cmd_policy_why(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	struct question w = {.q.person = PERSON_ROLE_OWNER};
	struct policyd_plan plan;
	struct ipc_client *policyd;
	int action = read_word(policy_action_from_string, argv[1],
			       "an action (move-out, move-in, request, suspend, stop, abort or "
			       "view)",
			       err);
	int person = action < 0 ? action
		     : argv[3]	? read_word(person_role_from_string, argv[3],
					    "a role of people (owner, family, guest or admin)", err)
				: PERSON_ROLE_OWNER;
	int r = person < 0 ? person : cli_policyd(cli, &policyd, err);

	if (r < 0)
		return r;
	w.q.action = (enum policy_action)action;
	w.q.person = (enum person_role)person;
	r = cli_find_vm(cli, argv[0], w.q.uuid, w.vm, err);
	if (r == 0)
		r = find_device(cli, argv[2], &w, err);
	if (r == 0)
		r = policyd_client_why(policyd, &w.q, &plan, err);
	if (r == 0)
		print_why(cli, &w, &plan);
	return r;
}
