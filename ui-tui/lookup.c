/* SPDX-License-Identifier: Apache-2.0 */
/* What people call things: devices and VMs by name, id or the start of it; ages and sizes. */
#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "policyd/api/client.h"
#include "ui-tui/cli.h"

void cli_print_locked(struct cli *cli, const json_t *error)
{
	int code = kcode_from_string(model_text(error, "code"));

	if (!json_is_object(error))
		return;
	if (code == KCODE_LOCKED)
		cli->status = kcode_exit_status(KCODE_LOCKED);
	if (!cli->json)
		printf("! %s\n  %s\n", model_text(error, "text"), model_text(error, "next"));
}

json_t *cli_hex(const uint8_t *data, size_t len)
{
	char text[2 * DEVICE_ID_LEN + 1];

	hex_encode(data, MIN_OF(len, (size_t)DEVICE_ID_LEN), text);
	return json_string(text);
}

static int parse_uuid(const char *text, uint8_t ret[UUID_LEN])
{
	char hex[2 * UUID_LEN + 1];
	size_t n = 0;

	for (; *text && n < sizeof(hex) - 1; text++)
		if (*text != '-')
			hex[n++] = *text;
	hex[n] = '\0';
	return *text ? -EBADMSG : hex_decode(hex, ret, UUID_LEN);
}

static bool colours;

void cli_colours(bool on)
{
	colours = on;
}

const char *cli_glyph(char glyph)
{
	static const struct {
		const char *plain, *coloured;
	} rows[] = {
		{"+", "\033[32m+\033[0m"}, {"!", "\033[31m!\033[0m"}, {"-", "\033[33m-\033[0m"},
		{"?", "\033[33m?\033[0m"}, {"~", "\033[36m~\033[0m"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].plain[0] == glyph)
			return colours ? rows[i].coloured : rows[i].plain;
	return " ";
}

const char *cli_mark(bool good)
{
	return cli_glyph(good ? '+' : '!');
}

/* True if `word` is at least 8 hex digits that `id` begins with. */
static bool id_begins(const uint8_t *id, const char *word)
{
	char hex[2 * DEVICE_ID_LEN + 1];
	size_t n = strlen(word);

	hex_encode(id, DEVICE_ID_LEN, hex);
	return n >= 8 && n <= 2 * DEVICE_ID_LEN && strncasecmp(hex, word, n) == 0;
}

/* A device that was only seen: its TXT record carries the first half of the id. */
static int find_sighting(struct cli *cli, const char *word, uint8_t ret_id[DEVICE_ID_LEN],
			 char ret_name[NAME_MAX_LEN + 1])
{
	struct kerr ignored = {0};
	json_t *result, *device;
	size_t i;
	int r = cli_agent(cli, json_pack("{s:s}", "op", "devices"), &result, &ignored);

	if (r < 0)
		return -ENOENT;
	r = -ENOENT;
	json_array_foreach(json_object_get(result, "devices"), i, device)
	{
		const char *name = json_string_value(json_object_get(device, "name"));
		const char *id = json_string_value(json_object_get(device, "id"));
		const char *address = json_string_value(json_object_get(device, "address"));

		if (!name || !id ||
		    (strcmp(name, word) != 0 && strcmp(id, word) != 0 &&
		     (!address || strcmp(address, word) != 0)))
			continue;
		memset(ret_id, 0, DEVICE_ID_LEN);
		if (strlen(id) % 2 == 0 && strlen(id) <= 2 * DEVICE_ID_LEN &&
		    hex_decode(id, ret_id, strlen(id) / 2) == 0) {
			snprintf(ret_name, NAME_MAX_LEN + 1, "%s", name);
			r = 0;
		}
	}
	json_decref(result);
	return r;
}

int cli_find_device(struct cli *cli, const char *word, uint8_t ret_id[DEVICE_ID_LEN],
		    char ret_name[NAME_MAX_LEN + 1], struct kerr *err)
{
	_cleanup_free_ struct policyd_peer *peers = NULL;
	const struct policyd_peer *found = NULL;
	struct ipc_client *policyd;
	size_t n;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = policyd_client_peers(policyd, &peers, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(peers[i].name, word) != 0 && !id_begins(peers[i].id, word))
			continue;
		if (found)
			return kerr_set(err, EINVAL, KCODE_USAGE,
					"\"%.63s\" fits more than one device; give more digits.",
					word);
		found = &peers[i];
	}
	if (!found && find_sighting(cli, word, ret_id, ret_name) == 0)
		return 0;
	if (!found && strcmp(word, cli->config.name) == 0)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"\"%.63s\" is this device itself; name another one. To bring a VM "
				"here, `kith fetch VM`.",
				word);
	if (!found)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"No device called \"%.63s\" is paired or in sight.", word);
	memcpy(ret_id, found->id, DEVICE_ID_LEN);
	memcpy(ret_name, found->name, NAME_MAX_LEN + 1);
	return 0;
}

static int find_in_custody(struct cli *cli, const char *word, uint8_t ret_uuid[UUID_LEN],
			   char ret_name[NAME_MAX_LEN + 1], struct kerr *err)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	struct ipc_client *policyd;
	uint8_t uuid[UUID_LEN];
	bool by_uuid = parse_uuid(word, uuid) == 0;
	size_t n;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = policyd_client_vms(policyd, &vms, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(vms[i].name, word) != 0 &&
		    !(by_uuid && memcmp(vms[i].uuid, uuid, UUID_LEN) == 0))
			continue;
		memcpy(ret_uuid, vms[i].uuid, UUID_LEN);
		memcpy(ret_name, vms[i].name, NAME_MAX_LEN + 1);
		return 0;
	}
	return -ENOENT;
}

int cli_find_vm(struct cli *cli, const char *word, uint8_t ret_uuid[UUID_LEN],
		char ret_name[NAME_MAX_LEN + 1], struct kerr *err)
{
	json_t *result, *vm;
	size_t i;
	int r = find_in_custody(cli, word, ret_uuid, ret_name, err);

	if (r != -ENOENT || err->code != KCODE_OK)
		return r;
	r = cli_agent(cli, json_pack("{s:s}", "op", "vms"), &result, err);
	if (r < 0)
		return r;
	r = -ENOENT;
	json_array_foreach(json_object_get(result, "vms"), i, vm)
	{
		const char *name = json_string_value(json_object_get(vm, "name"));
		const char *uuid = json_string_value(json_object_get(vm, "uuid"));

		if (!name || !uuid || (strcmp(name, word) != 0 && strcmp(uuid, word) != 0))
			continue;
		snprintf(ret_name, NAME_MAX_LEN + 1, "%s", name);
		r = parse_uuid(uuid, ret_uuid);
	}
	json_decref(result);
	if (r < 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"No VM called \"%.63s\" is known on this device.", word);
	return 0;
}
