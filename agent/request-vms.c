/* SPDX-License-Identifier: Apache-2.0 */
/* VMs: what policyd knows of them beside what libvirt has. */
#include <string.h>

#include "agent/call.h"
#include "agent/view.h"

/* policyd's half, while the mover is asked: the state of the call. */
struct custody {
	struct policyd_vm *vms;
	size_t count;
	struct kerr locked; /* why policyd cannot tell of them */
};

static void custody_free(gpointer data)
{
	struct custody *k = data;

	free(k->vms);
	g_free(k);
}

static void reply_vms(struct call *c, const struct mover_vm *domains, size_t count,
		      const struct kerr *mover_error)
{
	const struct custody *k = c->state;
	bool locked = k->locked.code != KCODE_OK;
	json_t *list = json_array();

	for (size_t i = 0; i < k->count; i++) {
		const struct mover_vm *m = NULL;

		for (size_t j = 0; j < count && !m; j++)
			if (memcmp(domains[j].uuid, k->vms[i].uuid, UUID_LEN) == 0)
				m = &domains[j];
		json_array_append_new(list, view_vm(&k->vms[i], m, locked));
	}
	for (size_t j = 0; j < count; j++) {
		bool listed = false;

		for (size_t i = 0; i < k->count && !listed; i++)
			listed = memcmp(domains[j].uuid, k->vms[i].uuid, UUID_LEN) == 0;
		if (!listed)
			json_array_append_new(list, view_vm(NULL, &domains[j], locked));
	}
	call_reply(c, json_pack("{s:o, s:o, s:o}", "vms", list, "error", api_error(&k->locked),
				"mover_error", api_error(mover_error)));
}

static void on_domains(void *arg, int r, const struct kerr *err, const struct mover_vm *domains,
		       size_t count)
{
	static const struct kerr none;

	reply_vms(arg, domains, count, r < 0 ? err : &none);
}

static void on_vms(struct ask *ask, void *user)
{
	struct call *c = user;
	struct mover_client *mover = courier_client(c->parts->courier);
	struct custody *k;
	struct kerr err = {0};

	/* A device without a cloud has VMs too. */
	if (ask->r < 0 && ask->err.code == KCODE_INTERRUPTED) {
		call_fail(c, &ask->err);
		return;
	}
	k = g_new0(struct custody, 1);
	k->vms = TAKE_PTR(ask->vms);
	k->count = ask->vm_count;
	overview_is_open(&ask->status, &k->locked);
	c->state = k;
	c->state_free = custody_free;
	if (mover && mover_client_vms(mover, on_domains, c) == 0)
		return;
	kerr_set(&err, EAGAIN, KCODE_NOT_READY, "The local service kith-mover does not answer.");
	reply_vms(c, NULL, 0, &err);
}

void request_vms(struct call *c)
{
	asks_submit(c->parts->asks, ask_new(ask_vms, on_vms, c));
}
