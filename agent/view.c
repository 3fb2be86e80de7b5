/* SPDX-License-Identifier: Apache-2.0 */
/* The members are those of kithd(8). */
#include "agent/view.h"

#include <string.h>

#include "agent/api.h"
#include "agent/naming.h"
#include "base/config.h"

static void set_number(json_t *o, const char *name, uint64_t n)
{
	json_object_set_new(o, name, json_integer((json_int_t)n));
}

static uint64_t time_ms(uint64_t bytes, uint64_t rate)
{
	return bytes / rate * 1000 + bytes % rate * 1000 / rate;
}

static json_t *view_time(uint64_t bytes, uint64_t rate)
{
	return rate ? json_integer((json_int_t)time_ms(bytes, rate)) : json_null();
}

/* For how long the guest would not run. QEMU is told to stay below 200 ms at the end of a live
 * hand-off; the rest is a second's work of both devices. */
static json_t *view_pause(const struct mover_plan *plan, enum move_rung rung, uint64_t rate)
{
	static const uint64_t switch_ms = 1000;

	if (rung == MOVE_RUNG_LIVE)
		return json_integer((json_int_t)switch_ms);
	if (plan->off)
		return json_integer(0);
	if (!rate)
		return json_null();
	/* Cold the disks go while it is off; how long its guest shuts down and boots nobody knows.
	 */
	return json_integer(
		(json_int_t)(switch_ms +
			     time_ms(rung == MOVE_RUNG_COLD ? plan->disk_bytes : plan->memory_bytes,
				     rate)));
}

static json_t *view_rungs(const struct mover_plan *plan, uint64_t rate)
{
	json_t *list = json_array();

	for (int i = MOVE_RUNG_LIVE; i < _MOVE_RUNG_MAX; i++) {
		bool can = plan->rungs[i].code == KCODE_OK;

		json_array_append_new(
			list,
			json_pack("{s:s, s:o, s:o}", "rung", move_rung_to_string((enum move_rung)i),
				  "reason", api_error(&plan->rungs[i]), "pause_ms",
				  can ? view_pause(plan, (enum move_rung)i, rate) : json_null()));
	}
	return list;
}

static json_t *view_release(uint32_t number)
{
	char text[16];

	if (!number)
		return json_null();
	snprintf(text, sizeof(text), "%u.%u", number / 100, number % 100);
	return json_string(text);
}

static json_t *view_fitted(const struct mover_fitted *f)
{
	return json_pack("{s:b, s:b, s:s, s:o, s:o}", "emulated", f->emulated, "other_cpu",
			 f->other_cpu, "cpu_lacks", f->cpu_lacks, "machine_from",
			 view_release(f->machine_from), "machine_to", view_release(f->machine_to));
}

json_t *view_plan(const struct mover_plan *plan, const struct kerr *reason, bool reached,
		  uint64_t rate)
{
	enum mover_rung rung = reason->code == KCODE_OK ? plan->rung : MOVER_RUNG_NONE;
	/* What cannot go while it runs can perhaps once it is shut down. */
	bool any = rung != MOVER_RUNG_NONE ||
		   (plan->there && !plan->off && plan->rungs[MOVE_RUNG_COLD].code == KCODE_OK);

	return json_pack("{s:s, s:b, s:o, s:o, s:I, s:I, s:I, s:b, s:I, s:o, s:b, s:o, s:o}",
			 "rung", mover_rung_to_string(rung), "off", plan->off, "rungs",
			 any ? view_rungs(plan, rate) : json_array(), "reason", api_error(reason),
			 "memory_bytes", (json_int_t)plan->memory_bytes, "disk_bytes",
			 (json_int_t)plan->disk_bytes, "rewired", (json_int_t)plan->rewired,
			 "roams", plan->roams, "shared", (json_int_t)plan->shared, "fitted",
			 view_fitted(&plan->fitted), "reached", reached, "least_ms",
			 view_time(plan->disk_bytes, rate), "most_ms",
			 view_time(plan->disk_bytes + plan->memory_bytes, rate));
}

json_t *view_job(const struct job *job, int64_t now)
{
	const struct mover_progress *p = &job->progress;
	json_t *o = json_pack("{s:o, s:o, s:s, s:o, s:o, s:b, s:b, s:s, s:s}", "hid",
			      api_hex(p->hid, HID_LEN), "uuid", api_hex(p->uuid, UUID_LEN), "vm",
			      p->vm, "device", api_hex(p->peer, DEVICE_ID_LEN), "device_name",
			      api_text(p->peer_name), "source", p->source, "off", p->off, "state",
			      job_state_to_string(job->state), "phase", phase_to_string(p->phase));

	set_number(o, "ram_bytes", p->ram_bytes);
	set_number(o, "ram_total", p->ram_total);
	set_number(o, "disk_bytes", p->disk_bytes);
	set_number(o, "disk_total", p->disk_total);
	set_number(o, "rate_bytes_s", p->rate_bytes_s);
	set_number(o, "elapsed_ms", p->elapsed_ms);
	if (p->left_ms == UINT64_MAX)
		json_object_set_new(o, "left_ms", json_null());
	else
		set_number(o, "left_ms", p->left_ms);
	set_number(o, "downtime_ms", p->downtime_ms);
	set_number(o, "age_ms", (uint64_t)(now - job->started));
	json_object_set_new(o, "error", api_error(&p->error));
	return o;
}

char *view_progress(const struct job *job, int64_t now)
{
	return api_event("progress", json_pack("{s:o}", "job", view_job(job, now)));
}

json_t *view_status(const struct view_device *here, const struct policyd_status *st,
		    const struct kerr *why)
{
	static const uint8_t no_id[DEVICE_ID_LEN];
	bool named = st && memcmp(st->device_id, no_id, DEVICE_ID_LEN) != 0;
	const struct config *c = here->config;

	return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:i, s:o, s:o}",
			 "id", named ? api_hex(st->device_id, DEVICE_ID_LEN) : json_null(), "name",
			 st ? st->name : c->name, "role",
			 device_role_to_string(st ? st->role : c->role), "tier",
			 st ? tpm_tier_to_string(st->tier) : "none", "owner",
			 st && st->owner[0] ? api_text(st->owner) : json_null(), "state",
			 st ? api_text(policyd_state_to_string(st->state)) : json_null(), "detail",
			 api_text(st ? st->detail : ""), "error", api_error(why), "pairing",
			 here->window_open, "mover", here->mover, "discovery", here->discovery,
			 "port", (int)here->port, "config_mark", api_hex(c->mark, sizeof(c->mark)),
			 "config_later", api_text(c->later));
}

static void add_sighting(json_t *o, const struct sighting *s, int64_t now)
{
	int64_t age = 0;
	struct endpoint e;
	bool live = s && sighting_live(s, now, &age);
	bool placed = s && sighting_endpoints(s, &e, 1) == 1;

	json_object_set_new(o, "nearby", json_boolean(live));
	json_object_set_new(o, "pairing", json_boolean(live && s->name[0]));
	json_object_set_new(o, "age_ms", s ? json_integer(age) : json_null());
	json_object_set_new(o, "address", placed ? api_text(e.address) : json_null());
	json_object_set_new(o, "port", placed ? json_integer(e.port) : json_null());
}

json_t *view_paired(const struct policyd_peer *p, const struct sighting *s, int64_t now)
{
	json_t *o = json_pack(
		"{s:o, s:o, s:s, s:b, s:b, s:o, s:s, s:s, s:s, s:o, s:o}", "id",
		api_hex(p->id, DEVICE_ID_LEN), "name", api_text(p->name), "role",
		device_role_to_string(p->role), "paired", 1, "own", p->own, "person",
		api_text(p->person), "person_role", person_role_to_string(p->person_role), "tier",
		tpm_tier_to_string(p->tier), "verdict", verdict_to_string(p->verdict), "reason",
		api_error(&p->reason), "evidence_time",
		p->evidence_time ? json_integer((json_int_t)p->evidence_time) : json_null());

	json_object_set_new(o, "receive", json_boolean(p->receive));
	add_sighting(o, s, now);
	return o;
}

json_t *view_stranger(const struct sighting *s, bool known, int64_t now)
{
	char label[NAME_MAX_LEN + 1];
	json_t *o;

	naming_label(NULL, s, s->id, label, sizeof(label));
	o = json_pack("{s:o, s:o, s:s, s:o, s:o, s:n, s:n, s:n, s:n, s:n, s:n}", "id",
		      api_hex(s->id, ADVERT_ID_LEN), "name", api_text(label), "role",
		      device_role_to_string(s->role), "paired", known ? json_false() : json_null(),
		      "own", known ? json_false() : json_null(), "person", "person_role", "tier",
		      "verdict", "reason", "evidence_time");

	json_object_set_new(o, "receive", json_null());
	add_sighting(o, s, now);
	return o;
}

static void add_custody(json_t *o, const struct policyd_vm *v)
{
	set_number(o, "epoch", v->epoch);
	set_number(o, "policy_version", v->policy_version);
	json_object_set_new(o, "here", json_boolean(v->here));
	json_object_set_new(o, "holder", api_hex(v->holder, DEVICE_ID_LEN));
	json_object_set_new(o, "holder_name", api_text(v->holder_name));
	json_object_set_new(o, "hid", v->open ? api_hex(v->hid, HID_LEN) : json_null());
}

static void add_domain(json_t *o, const struct mover_vm *m)
{
	json_object_set_new(o, "state", json_string(mover_vm_state_to_string(m->state)));
	set_number(o, "memory_bytes", m->memory_bytes);
	set_number(o, "disk_bytes", m->disk_bytes);
	set_number(o, "vcpus", m->vcpus);
}

json_t *view_vm(const struct policyd_vm *v, const struct mover_vm *m, bool locked)
{
	json_t *o =
		json_pack("{s:o, s:o, s:o, s:b}", "uuid", api_hex(v ? v->uuid : m->uuid, UUID_LEN),
			  "name", api_text(v ? v->name : m->name), "known",
			  locked ? json_null() : json_boolean(v != NULL), "defined", m != NULL);

	/* What policyd has never heard of is only where libvirt has it. */
	if (v)
		add_custody(o, v);
	else
		json_object_set_new(o, "here", locked ? json_null() : json_true());
	if (m)
		add_domain(o, m);
	return o;
}
