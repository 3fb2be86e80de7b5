/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about virtual machines, and what was done with them. */
#include <string.h>

#include "policyd/api/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/live.h"

/* What libvirt does by itself nobody tells; the full screen looks as often. */
#define LOOK_MS 20000

/* kithd tells of each VM; whether custody of it is in doubt is policyd's to say. */
static void mark_doubt(struct cli *cli, json_t *list)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	struct ipc_client *policyd;
	struct kerr err = {0};
	json_t *vm;
	size_t i, n = 0;

	if (cli_policyd(cli, &policyd, &err) < 0 || policyd_client_vms(policyd, &vms, &n, &err) < 0)
		return;
	json_array_foreach(list, i, vm)
	{
		for (size_t k = 0; k < n; k++) {
			char uuid[2 * UUID_LEN + 1];

			hex_encode(vms[k].uuid, UUID_LEN, uuid);
			if (strcmp(uuid, model_text(vm, "uuid")) == 0)
				json_object_set_new(vm, "doubt", json_boolean(vms[k].doubt));
		}
	}
}

static void print_vm(const json_t *row)
{
	struct model_vm vm;
	char size[32] = "", where[384];

	model_read_vm(row, &vm);
	if (vm.memory_bytes)
		model_bytes(vm.memory_bytes, size, sizeof(size));
	model_where(&vm, where, sizeof(where));
	printf("%s %-16s %-9s %-9s %s\n",
	       vm.locked ? cli_glyph('?') : cli_mark((vm.here && !vm.doubt) || !vm.managed),
	       vm.name, *vm.state ? vm.state : "-", size, where);
}

static int show_vms(struct cli *cli, struct kerr *err)
{
	json_t *result, *vm;
	size_t i;
	int r = cli_agent(cli, json_pack("{s:s}", "op", "vms"), &result, err);

	if (r < 0)
		return r;
	mark_doubt(cli, json_object_get(result, "vms"));
	cli_print_locked(cli, json_object_get(result, "error"));
	if (cli->json) {
		cli_print_json(result);
		return 0;
	}
	if (!json_array_size(json_object_get(result, "vms")))
		puts("No VM is known here. Make one with virt-install or virt-manager.");
	json_array_foreach(json_object_get(result, "vms"), i, vm)
	{
		print_vm(vm);
	}
	json_decref(result);
	return 0;
}

int cmd_vms(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err)
{
	return cli->given[OPT_WATCH] ? live_run(cli, show_vms, LOOK_MS, err) : show_vms(cli, err);
}

int cmd_claim(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	char name[NAME_MAX_LEN + 1], question[384];
	struct ipc_client *policyd;
	uint8_t uuid[UUID_LEN];
	uint64_t epoch;
	int r = cli_policyd(cli, &policyd, err);

	(void)argc;
	if (r == 0)
		r = cli_find_vm(cli, argv[0], uuid, name, err);
	if (r < 0)
		return r;
	snprintf(question, sizeof(question),
		 "Say that \"%s\" is on this device? If another device still has it, both can run "
		 "it, and its disk goes two ways. [y/N] ",
		 name);
	r = cli_confirm(cli, question, err);
	if (r == 0)
		r = policyd_client_claim(policyd, uuid, &epoch, err);
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:I}", "vm", name, "epoch", (json_int_t)epoch));
	else
		printf("\"%s\" is held here, by your word.\n", name);
	return 0;
}
