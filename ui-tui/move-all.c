/* SPDX-License-Identifier: Apache-2.0 */
/* kith move --all: what is here goes, VM by VM, and at the end it is said what did not. */
#include "ui-tui/move.h"

#include <string.h>

#include "base/buf.h"

struct moving {
	struct cli *cli;
	move_fn one;
	struct target target;
	json_t *moved, *refused, *left; /* names; with the reason; of those without a policy */
	enum kcode first;		/* of the refusals; OK = none */
};

static void refuse(struct moving *m, const struct kerr *why)
{
	if (m->first == KCODE_OK)
		m->first = why->code;
	json_array_append_new(m->refused, json_pack("{s:s, s:o}", "vm", m->target.vm, "error",
						    cli_kerr_json(why)));
	if (!m->cli->json)
		printf("%s \"%s\" stays: %s (code: %s)\n", cli_mark(false), m->target.vm, why->text,
		       kcode_to_string(why->code));
}

static void try_one(struct moving *m)
{
	struct kerr err = {0};
	int r = m->one(m->cli, &m->target, &err);

	if (r < 0 && err.code == KCODE_OK)
		kerr_set(&err, -r, KCODE_FAILED, "The move failed: %s.", strerror(-r));
	if (r < 0)
		refuse(m, &err);
	else
		json_array_append_new(m->moved, json_string(m->target.vm));
	fflush(stdout);
}

/* A row of `kith vms`. */
static void consider(struct moving *m, const json_t *vm)
{
	struct target *t = &m->target;

	/* What libvirt has no definition of is no machine any more. */
	if (!json_is_true(json_object_get(vm, "here")) ||
	    !json_is_true(json_object_get(vm, "defined")))
		return;
	if (json_integer_value(json_object_get(vm, "policy_version")) <= 0) {
		json_array_append_new(m->left, json_string(model_text(vm, "name")));
		return;
	}
	if (hex_decode(model_text(vm, "uuid"), t->uuid, UUID_LEN) < 0)
		return;
	snprintf(t->vm, sizeof(t->vm), "%s", model_text(vm, "name"));
	try_one(m);
}

static void print_left(const struct moving *m)
{
	json_t *name;
	size_t i;

	json_array_foreach(m->left, i, name)
	{
		printf("%s\"%s\"",
		       i ? ", " : "Without a policy, and so not moved: ", json_string_value(name));
	}
	if (json_array_size(m->left))
		puts(".");
}

static void sum_up(struct moving *m)
{
	size_t moved = json_array_size(m->moved), refused = json_array_size(m->refused);

	m->cli->status = kcode_exit_status(m->first);
	if (m->cli->json) {
		cli_print_json(json_pack("{s:s, s:s, s:O, s:O, s:O}", "event", "summary", "device",
					 m->target.name, "moved", m->moved, "refused", m->refused,
					 "left", m->left));
		return;
	}
	if (!moved && !refused)
		puts("No VM here is in Kith's care, so nothing was moved.");
	else
		printf("%zu of %zu moved to \"%s\".\n", moved, moved + refused, m->target.name);
	print_left(m);
}

/* The list is whole only if both kith-policyd and libvirt could be asked. */
static int check_list(const json_t *result, struct kerr *err)
{
	static const char *const errors[] = {"error", "mover_error"};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		const json_t *error = json_object_get(result, errors[i]);
		int code = kcode_from_string(model_text(error, "code"));

		if (json_is_object(error))
			return kerr_set(err, EAGAIN, code > 0 ? (enum kcode)code : KCODE_NOT_READY,
					"%s", model_text(error, "text"));
	}
	return 0;
}

static int each(struct moving *m, struct kerr *err)
{
	json_t *result, *vm;
	size_t i;
	int r = cli_agent(m->cli, json_pack("{s:s}", "op", "vms"), &result, err);

	if (r < 0)
		return r;
	r = check_list(result, err);
	json_array_foreach(json_object_get(result, "vms"), i, vm)
	{
		if (r == 0)
			consider(m, vm);
	}
	json_decref(result);
	return r;
}

int move_all(struct cli *cli, const char *device, enum move_rung rung, move_fn one,
	     struct kerr *err)
{
	struct moving m = {.one = one,
			   .target.rung = rung,
			   .cli = cli,
			   .moved = json_array(),
			   .refused = json_array(),
			   .left = json_array()};
	struct ipc_client *policyd;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = cli_find_device(cli, device, m.target.device, m.target.name, err);
	if (r == 0)
		r = each(&m, err);
	if (r == 0)
		sum_up(&m);
	json_decref(m.moved);
	json_decref(m.refused);
	json_decref(m.left);
	return r;
}
