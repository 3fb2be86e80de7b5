/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU of a VM: what it is, and one that all the owner's devices can give. */
#include <string.h>

#include "mover/proto.h"
#include "mover/roam-client.h"
#include "policyd/api/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/model/model.h"

#define DEVICES_MAX 32

/* One device that the VM shall be able to go to. */
struct stop {
	char name[NAME_MAX_LEN + 1], id[2 * DEVICE_ID_LEN + 1];
	char vendor[ROAM_WORD_MAX + 1];
	struct kerr why; /* it could not be asked; OK = it was */
};

struct tour {
	struct ipc_client *mover;
	uint8_t uuid[UUID_LEN];
	char vm[NAME_MAX_LEN + 1];
	struct stop stops[DEVICES_MAX];
	size_t count;
	char here[ROAM_WORD_MAX + 1]; /* who made this device's processor */
	uint8_t cpus[ROAM_DATA_MAX];
	size_t len;
};

static void tour_done(struct tour *t)
{
	ipc_client_free(t->mover);
}

static int tour_open(struct cli *cli, const char *vm, struct tour *t, struct kerr *err)
{
	char path[256];
	int r = cli_find_vm(cli, vm, t->uuid, t->vm, err);

	if (r < 0)
		return r;
	r = config_run_path(&cli->config, MOVER_SOCKET, path, sizeof(path));
	if (r == 0)
		r = ipc_client_new(path, &t->mover);
	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED,
				"kith-mover does not answer (%s): %s. Start it with `systemctl "
				"start kith-mover`.",
				path, strerror(-r));
	return 0;
}

static int ask(struct tour *t, struct roam_wish *wish, struct roam_answer *ret, struct kerr *err)
{
	int r;

	memcpy(wish->uuid, t->uuid, UUID_LEN);
	r = roam_client_ask(t->mover, wish, ret, err);
	if (r < 0 && err->code == KCODE_INTERRUPTED) {
		kerr_clear(err);
		kerr_set(err, EPERM, KCODE_NOT_ALLOWED,
			 "kith-mover hung up: only this device's owner and root may ask it about "
			 "CPUs, and not with many programs at the same time.");
	}
	return r;
}

/* -- which devices -- */

static int add_stop(struct tour *t, const char *name, const uint8_t id[DEVICE_ID_LEN],
		    struct kerr *err)
{
	struct stop *s = &t->stops[t->count];

	if (t->count == DEVICES_MAX)
		return kerr_set(err, E2BIG, KCODE_USAGE,
				"That are more than %d devices; name fewer with --devices.",
				DEVICES_MAX);
	snprintf(s->name, sizeof(s->name), "%s", name);
	hex_encode(id, DEVICE_ID_LEN, s->id);
	t->count++;
	return 0;
}

static int all_stops(struct cli *cli, struct tour *t, struct kerr *err)
{
	_cleanup_free_ struct policyd_peer *peers = NULL;
	struct ipc_client *policyd;
	size_t n = 0;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = policyd_client_peers(policyd, &peers, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (peers[i].own)
			r = add_stop(t, peers[i].name, peers[i].id, err);
	return r;
}

/* A,B,...: names of paired devices; this one is always among them. */
static int named_stops(struct cli *cli, struct tour *t, const char *list, struct kerr *err)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *word;
	int r = copy ? 0 : -ENOMEM;

	while (r == 0 && (word = strsep(&rest, ","))) {
		uint8_t id[DEVICE_ID_LEN];
		char name[NAME_MAX_LEN + 1];

		if (strcmp(word, cli->config.name) == 0)
			continue;
		r = cli_find_device(cli, word, id, name, err);
		if (r == 0)
			r = add_stop(t, name, id, err);
	}
	return r;
}

/* -- their CPUs -- */

/* One more CPU, of what a device offers or of this one. */
static int add_cpu(struct tour *t, const uint8_t *offers, size_t len, char *ret_vendor,
		   struct kerr *err)
{
	struct roam_wish wish = {.step = ROAM_STEP_READ, .data = offers, .len = len};
	struct roam_answer answer;
	int r = ask(t, &wish, &answer, err);

	if (r < 0)
		return r;
	if (answer.len > sizeof(t->cpus) - t->len)
		return kerr_set(err, E2BIG, KCODE_USAGE,
				"That are too many devices at once; name fewer with --devices.");
	memcpy(t->cpus + t->len, answer.data, answer.len);
	t->len += answer.len;
	snprintf(ret_vendor, ROAM_WORD_MAX + 1, "%s", answer.vendor);
	return 0;
}

static int visit(struct cli *cli, struct tour *t, struct stop *s, struct kerr *err)
{
	static uint8_t offers[MOVER_OFFERS_MAX];
	const char *text;
	json_t *answer;
	size_t len;
	int r = cli_agent(cli, json_pack("{s:s, s:s}", "op", "offers", "device", s->id), &answer,
			  err);

	if (r < 0)
		return r;
	text = model_text(answer, "offers");
	len = strlen(text) / 2;
	r = len && len <= sizeof(offers) ? hex_decode(text, offers, len) : -EBADMSG;
	if (r < 0)
		kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "kithd's answer is unreadable.");
	json_decref(answer);
	return r < 0 ? r : add_cpu(t, offers, len, s->vendor, err);
}

/* Who is named has to be there; of all, one at least. */
static int visit_all(struct cli *cli, struct tour *t, bool named, struct kerr *err)
{
	const struct stop *missing = NULL;
	size_t reached = 0;
	int r = add_cpu(t, NULL, 0, t->here, err);

	for (size_t i = 0; r == 0 && i < t->count; i++) {
		if (visit(cli, t, &t->stops[i], &t->stops[i].why) == 0)
			reached++;
		else
			missing = &t->stops[i];
	}
	if (r == 0 && missing && (named || !reached))
		return kerr_set(err, EREMOTEIO, missing->why.code, "\"%s\" tells no CPU: %.300s",
				missing->name, missing->why.text);
	return r;
}

/* libvirt would say no as well, but not of which devices. */
static int check_vendors(const struct tour *t, struct kerr *err)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct stop *s = &t->stops[i];

		if (s->why.code == KCODE_OK && s->vendor[0] && t->here[0] &&
		    strcmp(s->vendor, t->here) != 0)
			return kerr_set(err, ENOTSUP, KCODE_DOMAIN,
					"This device's processor is one of %s, that of \"%s\" one "
					"of %s; no CPU of a VM is the same on both. Leave \"%s\" "
					"out with --devices.",
					t->here, s->name, s->vendor, s->name);
	}
	return 0;
}

/* -- what is said -- */

static json_t *names_json(const struct tour *t, bool reached)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->count; i++)
		if ((t->stops[i].why.code == KCODE_OK) == reached)
			json_array_append_new(list, json_string(t->stops[i].name));
	return list;
}

static json_t *state_json(const struct tour *t, const struct roam_answer *a)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:b, s:b}", "vm", t->vm, "cpu", a->now, "next_cpu",
			 a->next, "running", a->running, "waits", a->waits, "undo", a->kept);
}

static void print_stops(const struct tour *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct stop *s = &t->stops[i];

		if (s->why.code == KCODE_OK)
			printf("+ \"%s\" can give it\n", s->name);
		else
			printf("! \"%s\" was not asked: %s\n", s->name, s->why.text);
	}
}

static void print_offer(const struct tour *t, const struct roam_answer *a)
{
	print_stops(t);
	printf("CPU of \"%s\": %s now, %s from its next start on.\n", t->vm, a->now, a->next);
	if (a->lost_count)
		printf("It loses %s: programs in it that need these run no more.\n", a->lost);
	else
		puts("It loses nothing that has a name.");
}

static void print_set(const struct tour *t, const struct roam_answer *a)
{
	printf("\"%s\" has the CPU %s %s. `kith vm roam %s --undo` brings back the one before.\n",
	       t->vm, a->next,
	       a->running ? "from its next start on; shut it down and start it (a reboot inside of "
			    "the guest is not enough)"
			  : "now",
	       t->vm);
}

/* -- commands -- */

static int roam_set(struct cli *cli, struct tour *t, struct kerr *err)
{
	struct roam_wish wish = {.step = ROAM_STEP_SHOW, .data = t->cpus, .len = t->len};
	struct roam_answer a;
	char question[NAME_MAX_LEN + 64];
	int r = ask(t, &wish, &a, err);

	if (r < 0)
		return r;
	if (!cli->json)
		print_offer(t, &a);
	snprintf(question, sizeof(question), "Give \"%s\" this CPU? [y/N] ", t->vm);
	r = cli_confirm(cli, question, err);
	if (r < 0)
		return r;
	wish.step = ROAM_STEP_SET;
	memcpy(wish.hash, a.hash, sizeof(wish.hash));
	r = ask(t, &wish, &a, err);
	if (r < 0)
		return r;
	if (cli->json) {
		json_t *o = state_json(t, &a);

		json_object_set_new(o, "devices", names_json(t, true));
		json_object_set_new(o, "not_asked", names_json(t, false));
		json_object_set_new(o, "loses", json_string(a.lost));
		json_object_set_new(o, "loses_count", json_integer(a.lost_count));
		cli_print_json(o);
	} else {
		print_set(t, &a);
	}
	return 0;
}

static int vm_roam(struct cli *cli, const char *vm, const char *devices, struct kerr *err)
{
	_cleanup_(tour_done) struct tour t = {0};
	int r = tour_open(cli, vm, &t, err);

	if (r == 0)
		r = devices ? named_stops(cli, &t, devices, err) : all_stops(cli, &t, err);
	if (r == 0 && !t.count)
		return kerr_set(err, ENOENT, KCODE_PEER_UNKNOWN,
				"There is no other device of yours to make the VM's CPU fit for; "
				"pair one, or name one that is paired.");
	if (r == 0)
		r = visit_all(cli, &t, devices != NULL, err);
	if (r == 0)
		r = check_vendors(&t, err);
	return r < 0 ? r : roam_set(cli, &t, err);
}

static int vm_undo(struct cli *cli, const char *vm, struct kerr *err)
{
	_cleanup_(tour_done) struct tour t = {0};
	struct roam_wish wish = {.step = ROAM_STEP_UNDO};
	struct roam_answer a;
	int r = tour_open(cli, vm, &t, err);

	if (r == 0)
		r = ask(&t, &wish, &a, err);
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(state_json(&t, &a));
	else
		printf("\"%s\" has its CPU of before again (%s)%s.\n", t.vm, a.next,
		       a.running ? ", from its next start on" : "");
	return 0;
}

static int vm_show(struct cli *cli, const char *vm, struct kerr *err)
{
	_cleanup_(tour_done) struct tour t = {0};
	struct roam_wish wish = {.step = ROAM_STEP_STATE};
	struct roam_answer a;
	int r = tour_open(cli, vm, &t, err);

	if (r == 0)
		r = ask(&t, &wish, &a, err);
	if (r < 0)
		return r;
	if (cli->json) {
		cli_print_json(state_json(&t, &a));
		return 0;
	}
	printf("CPU of \"%s\": %s%s\n", t.vm, a.now, a.running ? "" : " (it is off)");
	if (a.waits || strcmp(a.now, a.next) != 0)
		printf("  from its next start on: %s\n", a.next);
	if (a.kept)
		printf("  given by `kith vm roam`; `kith vm roam %s --undo` brings back the one "
		       "before\n",
		       t.vm);
	return 0;
}

int cmd_vm_show(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	return vm_show(cli, argv[0], err);
}

int cmd_vm_roam(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	const char *devices = cli->given[OPT_DEVICES];

	if (!cli->given[OPT_UNDO])
		return vm_roam(cli, argv[0], devices, err);
	return devices ? kerr_set(err, EINVAL, KCODE_USAGE,
				  "--undo brings back the CPU of before, whatever the devices: "
				  "leave --devices out.")
		       : vm_undo(cli, argv[0], err);
}
