/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in, structs out; structs in, sentences out. */
#include "ui-tui/model/model.h"

#include <string.h>

const char *model_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t model_number(const json_t *object, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(object, key));

	return v < 0 ? 0 : (uint64_t)v;
}

bool model_flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

void model_error(const json_t *error, struct kerr *ret)
{
	int code = kcode_from_string(model_text(error, "code"));

	kerr_clear(ret);
	if (json_is_object(error))
		kerr_set(ret, EREMOTEIO, code > 0 ? (enum kcode)code : KCODE_FAILED, "%s",
			 *model_text(error, "text") ? model_text(error, "text")
						    : "It failed without a reason.");
}

/* An array of the struct, cut where it does not fit. */
#define TAKE(object, key, array) snprintf(array, sizeof(array), "%s", model_text(object, key))

void model_read_vm(const json_t *vm, struct model_vm *ret)
{
	*ret = (struct model_vm){0};
	TAKE(vm, "uuid", ret->uuid);
	TAKE(vm, "name", ret->name);
	TAKE(vm, "state", ret->state);
	TAKE(vm, "holder", ret->holder);
	TAKE(vm, "holder_name", ret->holder_name);
	TAKE(vm, "hid", ret->hid);
	ret->memory_bytes = model_number(vm, "memory_bytes");
	ret->defined = model_flag(vm, "defined");
	ret->managed = model_number(vm, "policy_version") > 0;
	ret->here = model_flag(vm, "here");
	ret->doubt = model_flag(vm, "doubt");
	ret->locked = json_is_null(json_object_get(vm, "known"));
}

static enum maybe maybe(const json_t *v)
{
	if (json_is_true(v))
		return MAYBE_YES;
	return json_is_null(v) ? MAYBE_UNKNOWN : MAYBE_NO;
}

void model_read_device(const json_t *device, struct model_device *ret)
{
	*ret = (struct model_device){0};
	TAKE(device, "id", ret->id);
	TAKE(device, "name", ret->name);
	TAKE(device, "person", ret->person);
	TAKE(device, "person_role", ret->person_role);
	TAKE(device, "role", ret->role);
	TAKE(device, "verdict", ret->verdict);
	TAKE(device, "tier", ret->tier);
	TAKE(json_object_get(device, "reason"), "text", ret->reason);
	ret->paired = maybe(json_object_get(device, "paired"));
	ret->own = model_flag(device, "own");
	ret->pairing = model_flag(device, "pairing");
	ret->receive = model_flag(device, "receive");
	ret->nearby = model_flag(device, "nearby");
	ret->seen = json_is_integer(json_object_get(device, "age_ms"));
	ret->age_ms = model_number(device, "age_ms");
}

void model_read_job(const json_t *job, struct model_job *ret)
{
	int phase = phase_from_string(model_text(job, "phase"));

	*ret = (struct model_job){0};
	TAKE(job, "hid", ret->hid);
	TAKE(job, "uuid", ret->uuid);
	TAKE(job, "device", ret->device);
	TAKE(job, "vm", ret->vm);
	TAKE(job, "device_name", ret->device_name);
	ret->phase = phase < 0 ? PHASE_CHECKING : (enum phase)phase;
	ret->source = model_flag(job, "source");
	ret->off = model_flag(job, "off");
	ret->ram_bytes = model_number(job, "ram_bytes");
	ret->disk_bytes = model_number(job, "disk_bytes");
	ret->done_bytes = ret->ram_bytes + ret->disk_bytes;
	ret->total_bytes = model_number(job, "ram_total") + model_number(job, "disk_total");
	ret->rate_bytes_s = model_number(job, "rate_bytes_s");
	ret->elapsed_ms = model_number(job, "elapsed_ms");
	ret->left_ms = json_is_integer(json_object_get(job, "left_ms"))
			       ? model_number(job, "left_ms")
			       : UINT64_MAX;
	ret->downtime_ms = model_number(job, "downtime_ms");
	model_error(json_object_get(job, "error"), &ret->error);
}

/* -- sentences -- */

void model_where(const struct model_vm *vm, char *ret, size_t size)
{
	const char *open = *vm->hid ? ", a hand-off is open" : "";

	if (vm->locked)
		snprintf(ret, size, "who holds it is not known while this device is locked%s",
			 open);
	else if (!vm->managed)
		snprintf(ret, size, "no policy yet: it cannot be moved%s", open);
	else if (vm->doubt)
		snprintf(ret, size,
			 "in doubt: its state was rolled back. Bring your other devices into "
			 "sight, or decide with `kith claim %s`%s",
			 vm->name, open);
	else if (vm->here)
		snprintf(ret, size, "held here%s", open);
	else
		snprintf(ret, size, "on %s%s",
			 *vm->holder_name ? vm->holder_name : "another device", open);
}

void model_announced(const struct model_device *d, char *ret, size_t size)
{
	char ago[32];

	if (!d->seen) {
		snprintf(ret, size, "not announced");
	} else if (d->nearby) {
		snprintf(ret, size, "announced");
	} else {
		model_age(d->age_ms / 1000, ago, sizeof(ago));
		snprintf(ret, size, "announced %s ago", ago);
	}
}

void model_standing(const struct model_device *d, char *ret, size_t size)
{
	if (d->paired == MAYBE_YES)
		snprintf(ret, size, "%s, TPM: %s%s%s", d->verdict, d->tier, *d->reason ? "; " : "",
			 d->reason);
	else if (d->pairing)
		snprintf(ret, size, "wants to pair");
	else
		snprintf(ret, size, "%s",
			 d->paired == MAYBE_UNKNOWN ? "not known while this device is locked"
						    : "not paired");
}

bool model_is_trusted(const struct model_device *d)
{
	return strcmp(d->verdict, verdict_to_string(VERDICT_TRUSTED)) == 0;
}

bool model_is_over(const struct model_job *job)
{
	return job->phase == PHASE_DONE || job->phase == PHASE_FAILED;
}

void model_age(uint64_t s, char *ret, size_t size)
{
	if (s < 120)
		snprintf(ret, size, "%llu s", (unsigned long long)s);
	else if (s < 7200)
		snprintf(ret, size, "%llu min", (unsigned long long)s / 60);
	else if (s < 172800)
		snprintf(ret, size, "%llu h", (unsigned long long)s / 3600);
	else
		snprintf(ret, size, "%llu d", (unsigned long long)s / 86400);
}

void model_bytes(uint64_t bytes, char *ret, size_t size)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	snprintf(ret, size, v < 10 && u ? "%.1f %s" : "%.0f %s", v, units[u]);
}
