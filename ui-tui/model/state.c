/* SPDX-License-Identifier: Apache-2.0 */
/* Lists are replaced as a whole; what is shown of them is chosen elsewhere. */
#include "ui-tui/model/state.h"

#include <string.h>

#include "base/buf.h"

#define TAKE(object, key, array) snprintf(array, sizeof(array), "%s", model_text(object, key))

void state_release(struct state *s)
{
	free(s->vms);
	free(s->devices);
	free(s->people);
	free(s->jobs);
	free(s->log);
	free(s->checks);
	sheet_clear(&s->policy);
	explicit_bzero(&s->pairing, sizeof(s->pairing));
	*s = (struct state){0};
}

void state_connected(struct state *s)
{
	s->kithd = true;
	kerr_clear(&s->silent);
}

void state_lost(struct state *s, const struct kerr *why)
{
	if (s->kithd || !s->silent_s)
		s->silent_s = s->now;
	s->kithd = false;
	s->silent = *why;
}

/* -- kithd -- */

/* What a device needs first that is not ready. */
static void say_state(const json_t *status, int state, struct state_here *h)
{
	const char *detail = model_text(status, "detail");
	bool told = strstr(detail, "`kith unlock`");

	if (state == POLICYD_STATE_NO_CLOUD)
		snprintf(h->trouble, sizeof(h->trouble),
			 "This device belongs to nobody yet. Press 7 to join the cloud of another "
			 "one, and s there to start a new one.");
	else if (state != POLICYD_STATE_READY)
		snprintf(h->trouble, sizeof(h->trouble), "It is locked (%s). %s%s", h->state,
			 detail, told ? "" : " `kith unlock` opens it with its recovery key.");
}

/* -- people: nobody tells of them but by their devices -- */

bool state_is_of(const struct model_device *d, const struct state_person *p)
{
	if (d->paired != MAYBE_YES || d->own != p->own)
		return false;
	return d->own || (strcmp(d->person, p->name) == 0 && strcmp(d->person_role, p->role) == 0);
}

static void add_person(struct state *s, const char *name, const char *role, bool own)
{
	struct state_person *p = &s->people[s->person_count++];

	*p = (struct state_person){.own = own};
	snprintf(p->key, sizeof(p->key), "%c%s", own ? '*' : *role, name);
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->role, sizeof(p->role), "%s", role);
}

static struct state_person *person_of(struct state *s, const struct model_device *d)
{
	for (size_t i = 0; i < s->person_count; i++)
		if (state_is_of(d, &s->people[i]))
			return &s->people[i];
	add_person(s, d->person, d->person_role, d->own);
	return &s->people[s->person_count - 1];
}

static void find_people(struct state *s)
{
	struct state_person *people = calloc(s->device_count + 1, sizeof(*people));

	if (!people)
		return;
	free(s->people);
	s->people = people;
	s->person_count = 0;
	if (*s->here.owner)
		add_person(s, s->here.owner, person_role_to_string(PERSON_ROLE_OWNER), true);
	for (size_t i = 0; i < s->device_count; i++)
		if (s->devices[i].paired == MAYBE_YES)
			person_of(s, &s->devices[i])->devices++;
}

/* -- what kithd says -- */

void state_take_here(struct state *s, const json_t *status)
{
	const json_t *error = json_object_get(status, "error");
	struct state_here *h = &s->here;

	*h = (struct state_here){0};
	TAKE(status, "name", h->name);
	TAKE(status, "owner", h->owner);
	TAKE(status, "role", h->role);
	TAKE(status, "tier", h->tier);
	TAKE(status, "state", h->state);
	if (json_is_object(error))
		TAKE(error, "text", h->trouble);
	else
		say_state(status, policyd_state_from_string(h->state), h);
	h->mover = model_flag(status, "mover");
	find_people(s);
}

#define DEFINE_LIST(name)                                                           \
	static size_t read_##name##s(const json_t *list, struct model_##name **ret) \
	{                                                                           \
		size_t n = MIN_OF(json_array_size(list), (size_t)STATE_ROWS_MAX);   \
		struct model_##name *rows = n ? calloc(n, sizeof(*rows)) : NULL;    \
                                                                                    \
		n = rows ? n : 0;                                                   \
		for (size_t i = 0; i < n; i++)                                      \
			model_read_##name(json_array_get(list, i), &rows[i]);       \
		free(*ret);                                                         \
		*ret = rows;                                                        \
		return n;                                                           \
	}

DEFINE_LIST(vm)
DEFINE_LIST(device)
DEFINE_LIST(job)

void state_take_vms(struct state *s, const json_t *answer)
{
	const json_t *mover = json_object_get(answer, "mover_error");
	const json_t *error = json_object_get(answer, "error");

	s->vm_count = read_vms(json_object_get(answer, "vms"), &s->vms);
	TAKE(json_is_object(error) ? error : mover, "text", s->vms_trouble);
}

void state_take_devices(struct state *s, const json_t *answer)
{
	s->device_count = read_devices(json_object_get(answer, "devices"), &s->devices);
	find_people(s);
}

void state_take_jobs(struct state *s, const json_t *answer)
{
	s->job_count = read_jobs(json_object_get(answer, "jobs"), &s->jobs);
}

bool state_take_job(struct state *s, const struct model_job *job)
{
	struct model_job *jobs;

	for (size_t i = 0; i < s->job_count; i++) {
		bool over = model_is_over(&s->jobs[i]);

		if (strcmp(s->jobs[i].hid, job->hid) != 0)
			continue;
		s->jobs[i] = *job;
		return model_is_over(job) && !over;
	}
	jobs = reallocarray(s->jobs, s->job_count + 1, sizeof(*jobs));
	if (!jobs)
		return false;
	memmove(jobs + 1, jobs, s->job_count * sizeof(*jobs));
	jobs[0] = *job;
	s->jobs = jobs;
	s->job_count++;
	return model_is_over(job);
}

/* -- policyd -- */

void state_take_doubt(struct state *s, const struct policyd_vm *vms, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char uuid[MODEL_UUID_TEXT];

		hex_encode(vms[i].uuid, UUID_LEN, uuid);
		for (size_t k = 0; k < s->vm_count; k++)
			if (strcmp(s->vms[k].uuid, uuid) == 0)
				s->vms[k].doubt = vms[i].doubt;
	}
}

void state_take_log(struct state *s, const struct policyd_audit *records, size_t count)
{
	size_t keep = MIN_OF(s->log_count, STATE_LOG_MAX - MIN_OF(count, (size_t)STATE_LOG_MAX));
	struct policyd_audit *log = reallocarray(NULL, keep + count + 1, sizeof(*log));

	if (!log)
		return;
	if (keep)
		memcpy(log, s->log + s->log_count - keep, keep * sizeof(*log));
	if (count)
		memcpy(log + keep, records, count * sizeof(*log));
	free(s->log);
	s->log = log;
	s->log_count = keep + count;
}

void state_take_trust(struct state *s, const struct policyd_trust *trust)
{
	s->trust = *trust;
	hex_encode(trust->peer.id, DEVICE_ID_LEN, s->trust_of);
	kerr_clear(&s->no_trust);
}

void state_no_trust(struct state *s, const char *id, const struct kerr *why)
{
	snprintf(s->trust_of, sizeof(s->trust_of), "%s", id);
	s->no_trust = *why;
}

void state_take_policy(struct state *s, const uint8_t uuid[UUID_LEN], uint64_t version,
		       const char *text)
{
	hex_encode(uuid, UUID_LEN, s->policy_of);
	sheet_clear(&s->policy);
	sheet_add(&s->policy, STYLE_DIM, "# version %llu", (unsigned long long)version);
	while (*text) {
		size_t len = strcspn(text, "\n");

		sheet_add(&s->policy, STYLE_PLAIN, "%.*s", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

void state_no_policy(struct state *s, const char *uuid, const struct kerr *why)
{
	snprintf(s->policy_of, sizeof(s->policy_of), "%s", uuid);
	sheet_clear(&s->policy);
	sheet_add(&s->policy, STYLE_PLAIN, "%s", why->text);
}

/* -- what other commands of `kith` say -- */

void state_take_checks(struct state *s, const json_t *document)
{
	const json_t *list = json_object_get(document, "checks");
	size_t n = MIN_OF(json_array_size(list), (size_t)STATE_ROWS_MAX);
	struct state_check *checks = calloc(n + 1, sizeof(*checks));

	if (!checks)
		return;
	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(list, i);

		TAKE(row, "name", checks[i].name);
		TAKE(row, "verdict", checks[i].verdict);
		TAKE(row, "sentence", checks[i].sentence);
		TAKE(row, "remedy", checks[i].remedy);
	}
	free(s->checks);
	s->checks = checks;
	s->check_count = n;
}

void state_take_init(struct state *s, const json_t *document)
{
	struct state_pairing *p = &s->pairing;

	TAKE(document, "recovery_key", p->recovery);
	p->paired = true;
	snprintf(p->end, sizeof(p->end),
		 "This device is the first one of %s's cloud. Next: press p here, and run `sudo "
		 "kith pair` on another device.",
		 model_text(document, "owner"));
}

static void take_code(struct state_pairing *p, const json_t *event)
{
	p->asking = true;
	TAKE(event, "code", p->code);
	TAKE(event, "peer", p->peer);
	TAKE(event, "peer_owner", p->peer_owner);
	TAKE(event, "peer_role", p->peer_role);
	TAKE(event, "peer_tier", p->peer_tier);
	TAKE(event, "past", p->past);
}

void state_take_pairing(struct state *s, const json_t *event)
{
	const json_t *error = json_object_get(event, "error");
	struct state_pairing *p = &s->pairing;
	const char *kind = model_text(event, "event");

	if (strcmp(kind, "code") == 0) {
		take_code(p, event);
	} else if (strcmp(kind, "paired") == 0) {
		p->paired = true;
		/* One that was shown before and is not replaced stays in force. */
		if (*model_text(event, "recovery_key"))
			TAKE(event, "recovery_key", p->recovery);
		snprintf(p->end, sizeof(p->end), "Paired with \"%s\" of %s.",
			 model_text(event, "peer"), model_text(event, "peer_owner"));
	} else if (json_is_object(error)) {
		snprintf(p->end, sizeof(p->end), "%s %s", model_text(error, "text"),
			 model_text(error, "next"));
	}
}

void state_pairing_begin(struct state *s)
{
	struct state_pairing *p = &s->pairing;
	struct state_pairing next = {0};

	memcpy(next.recovery, p->recovery, sizeof(next.recovery));
	*p = next;
	explicit_bzero(&next, sizeof(next));
}

void state_pairing_over(struct state *s, int status)
{
	struct state_pairing *p = &s->pairing;

	p->running = p->asking = p->answered = false;
	if (!*p->end)
		snprintf(p->end, sizeof(p->end), "Pairing ended without a word (%d).", status);
}

/* -- by their names -- */

const struct model_vm *state_vm(const struct state *s, const char *uuid)
{
	for (size_t i = 0; i < s->vm_count; i++)
		if (strcmp(s->vms[i].uuid, uuid) == 0)
			return &s->vms[i];
	return NULL;
}

const struct model_device *state_device(const struct state *s, const char *id)
{
	for (size_t i = 0; i < s->device_count; i++)
		if (strcmp(s->devices[i].id, id) == 0)
			return &s->devices[i];
	return NULL;
}

const struct policyd_audit *state_record(const struct state *s, const char *seq)
{
	unsigned long long n = strtoull(seq, NULL, 10);

	for (size_t i = 0; i < s->log_count; i++)
		if (s->log[i].seq == n)
			return &s->log[i];
	return NULL;
}

const struct state_person *state_person(const struct state *s, const char *key)
{
	for (size_t i = 0; i < s->person_count; i++)
		if (strcmp(s->people[i].key, key) == 0)
			return &s->people[i];
	return NULL;
}

const struct model_job *state_job(const struct state *s, const char *hid)
{
	for (size_t i = 0; i < s->job_count; i++)
		if (strcmp(s->jobs[i].hid, hid) == 0)
			return &s->jobs[i];
	return NULL;
}

const struct model_job *state_job_of(const struct state *s, const char *uuid)
{
	for (size_t i = 0; i < s->job_count; i++)
		if (strcmp(s->jobs[i].uuid, uuid) == 0 && !model_is_over(&s->jobs[i]))
			return &s->jobs[i];
	return NULL;
}

const struct model_device *state_origin(const struct state *s, const char *uuid)
{
	for (size_t i = 0; i < s->job_count; i++)
		if (strcmp(s->jobs[i].uuid, uuid) == 0 && !s->jobs[i].source &&
		    s->jobs[i].phase == PHASE_DONE)
			return state_device(s, s->jobs[i].device);
	return NULL;
}
