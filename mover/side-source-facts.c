/* SPDX-License-Identifier: Apache-2.0 */
/* What the source of a hand-off moves: the VM is watched, started or shut down where that is what
 * its owner chose, and read, in a thread, since libvirt and guests take their time. */
#include <string.h>

#include "base/log.h"
#include "mover/departure.h"
#include "mover/disk.h"
#include "mover/filter/fit-xml.h"
#include "mover/off.h"
#include "mover/side-source.h"
#include "mover/stores.h"

static struct source *source_self(struct worker *w)
{
	return w->ctx;
}

struct facts_task {
	struct worker *w;
	bool shut_down; /* the guest has to be, before there is more to read */
	bool start;	/* it is off, and has to be started for that */
	bool begun;	/* either is done in this round */
	struct domain_disk_map map;
	int result;
	struct kerr err;
};

static void on_cpus(void *ctx, uint64_t stopped_ns)
{
	struct source *s = ctx;

	/* Of a guest that was shut down the pause began earlier. */
	if (!stopped_ns || !atomic_load(&s->stopped_ns))
		atomic_store(&s->stopped_ns, stopped_ns);
	if (!stopped_ns)
		atomic_store(&s->resumed, true);
}

/* Of a VM that is off; else NULL. */
static const char *definition(const struct source *s)
{
	return (const char *)s->luggage[LUGGAGE_DEFINITION].data;
}

static int read_disks(struct worker *w, struct domain_disk_map *map, struct kerr *err)
{
	struct source *s = source_self(w);
	int r = departure_measure(w->place.virt, &s->facts, definition(s), &s->offer, err);

	if (r < 0)
		return r;
	s->offer.off = w->off;
	s->offer.boots = w->off && source_goes_again(w);
	map->count = s->facts.disk_count;
	for (size_t i = 0; i < s->facts.disk_count; i++) {
		const struct domain_disk *d = &s->facts.disks[i];
		struct domain_disk_target *t = &map->disks[i];

		memcpy(t->target, d->target, sizeof(t->target));
		memcpy(t->path, d->source, sizeof(t->path));
		t->format = d->format;
		t->capacity = s->offer.disks[i].capacity;
		/* Not an image of this host's that could become an old one. */
		if (d->is_shared)
			continue;
		remnant_add(&w->place.remnant, d->source,
			    disk_was_made(w->place.folder, d->source));
	}
	return 0;
}

/* The file of UEFI variables is an image as well: of Kith's making, or its owner's. */
static void read_variables(struct worker *w)
{
	const char *path = source_self(w)->facts.nvram;

	if (path[0])
		remnant_add(&w->place.remnant, path, disk_was_made(w->place.folder, path));
}

static void claim_files(struct worker *w)
{
	stores_claim(w->place.virt, w->place.config.shared_pools, &source_self(w)->facts);
}

/* What libvirt has of it goes along, and something plainer carries it. */
static int start_vehicle(struct worker *w, struct kerr *err)
{
	struct source *s = source_self(w);
	struct luggage *l = &s->luggage[LUGGAGE_DEFINITION];
	_cleanup_free_ char *vehicle = NULL;
	int r = fit_vehicle(s->xml, &vehicle, err);

	if (r < 0)
		return r;
	luggage_clear(l);
	*l = (struct luggage){(uint8_t *)strdup(s->xml), strlen(s->xml)};
	if (!l->data || l->len > LUGGAGE_LEN_MAX)
		return kerr_set(err, E2BIG, KCODE_DOMAIN,
				"The VM's definition is larger than %u KiB.",
				LUGGAGE_LEN_MAX >> 10);
	return off_start(&w->place, vehicle, err);
}

/* A VM that is off is started, paused; from then on it is one that runs, but for its end. */
static int start_off(struct worker *w, struct virt_domain *d, struct kerr *err)
{
	struct source *s = source_self(w);
	/* Watched first: nobody resumes it unseen. */
	int r = virt_watch(w->place.virt, w->place.uuid, on_cpus, s, err);

	if (r == 0)
		r = start_vehicle(w, err);
	if (r < 0)
		return r;
	w->off = true;
	free(s->xml);
	s->xml = NULL;
	r = virt_domain(w->place.virt, w->place.uuid, d, err);
	if (r < 0)
		return r;
	s->xml = d->xml;
	/* Of one that runs libvirt tells more: its firmware's files, for one. */
	r = domain_disks(d->xml, strlen(d->xml), &s->facts, err);
	if (r == 0)
		claim_files(w);
	return r;
}

static int read_domain(struct facts_task *t, struct kerr *err)
{
	struct worker *w = t->w;
	struct source *s = source_self(w);
	struct virt_domain d = {0};
	int r = virt_domain(w->place.virt, w->place.uuid, &d, err);

	if (r < 0)
		return r;
	free(s->xml);
	s->xml = d.xml;
	r = departure_check(&d, w->grant.vm, &s->facts, err);
	if (r == 0)
		claim_files(w);
	if (r == 0)
		r = departure_rung(&d, w->grant.rung, err);
	if (r == 0)
		r = departure_starts(w->place.virt, &d, err);
	if (r < 0)
		return r;
	t->shut_down = w->grant.rung == MOVE_RUNG_COLD && d.copy.state == COPY_RUNS;
	t->start = d.copy.state == COPY_GONE;
	if (t->shut_down && t->begun)
		return kerr_set(err, EBUSY, KCODE_INTERRUPTED,
				"Somebody started the VM \"%s\" while it was made ready for its "
				"hand-off. It runs on this device; hand it over again.",
				w->grant.vm);
	if (t->shut_down)
		return departure_again(w->place.virt, w->place.uuid, err);
	if (t->start)
		return t->begun ? start_off(w, &d, err) : 0;
	return virt_watch(w->place.virt, w->place.uuid, on_cpus, s, err);
}

static int pack(struct worker *w, struct kerr *err)
{
	struct source *s = source_self(w);
	int r = 0;

	if (w->off && s->facts.uefi)
		r = off_pack(&w->place, &s->offer.origin, &s->luggage[LUGGAGE_NVRAM], err);
	for (size_t i = 0; i < _LUGGAGE_MAX; i++)
		luggage_announce(&s->luggage[i], &s->offer.luggage[i]);
	return r;
}

/* What cannot be told of a VM would stop it only after its guest was shut down. */
static int check_measures(struct worker *w, struct kerr *err)
{
	struct source *s = source_self(w);

	return departure_measure(w->place.virt, &s->facts, NULL, &s->offer, err);
}

static bool takes_time(const struct facts_task *t)
{
	return !t->begun && (t->shut_down || t->start);
}

static int read_facts(struct facts_task *t, struct kerr *err)
{
	struct worker *w = t->w;
	/* Without it the copy could be woken after RELEASED (F2). */
	int r = warden_ping(&w->place.config, err);

	if (r == 0)
		r = read_domain(t, err);
	if (r == 0 && t->shut_down)
		return check_measures(w, err);
	if (r == 0 && takes_time(t))
		return 0;
	if (r == 0)
		r = read_disks(w, &t->map, err);
	if (r == 0)
		r = pack(w, err);
	if (r == 0)
		read_variables(w);
	return r;
}

/* The guest counts as gone from here on; that it boots ends the pause. */
static int shut_down(struct worker *w, struct kerr *err)
{
	int r = off_shut_down(&w->place, err);

	if (r == 0)
		atomic_store(&source_self(w)->stopped_ns, worker_now_ns());
	return r;
}

/* The guest of a VM that was off ran: what is in its memory is its owner's. */
static int keep_touched(struct worker *w)
{
	w->off = false;
	w->keep_paused = true;
	return off_forget(&w->place);
}

int source_end_off(struct worker *w, struct kerr *err)
{
	int r = atomic_load(&source_self(w)->resumed) ? 1 : off_end(&w->place, err);

	return r > 0 ? keep_touched(w) : r;
}

static void facts_work(void *arg)
{
	struct facts_task *t = arg;
	struct kerr err = {0};

	if (t->begun && t->shut_down)
		t->result = shut_down(t->w, &t->err);
	if (t->result == 0)
		t->result = read_facts(t, &t->err);
	/* Where that fails too, recovery has the note. */
	if (t->result < 0 && t->w->off && source_end_off(t->w, &err) < 0)
		log_warning("source", "%s", err.text);
}

static void facts_done(void *arg);

/* That takes as long as the guest, or a busy computer, likes: kithd has its answer meanwhile, and
 * the two workers have each other, so that nobody gives the other one up. */
static void begin(struct facts_task *t)
{
	struct worker *w = t->w;

	t->begun = true;
	if (t->shut_down)
		worker_phase(w, PHASE_SHUTTING_DOWN);
	worker_answer_start(w);
	worker_dial(w, DATA_CHANNEL_CONTROL);
	if (tasks_run(w->tasks, facts_work, facts_done, t) == 0)
		return;
	side_stop(w, ENOMEM, KCODE_FAILED, "Out of memory.");
	free(t);
}

static void facts_done(void *arg)
{
	struct facts_task *t = arg;
	struct worker *w = t->w;
	int r;

	if (t->result == 0 && takes_time(t) && source_can_stop(source_state(w))) {
		begin(t);
		return;
	}
	if (t->result < 0) {
		side_stop_err(w, &t->err);
	} else if ((r = source_rpc_open(w, &t->map)) < 0 ||
		   (r = remnant_write(w->place.folder, &w->place.remnant)) < 0) {
		side_stop(w, -r, KCODE_FAILED, "The hand-off's files cannot be made: %s.",
			  strerror(-r));
	} else {
		source_self(w)->carried = w->off;
		w->progress.off = w->off && !source_goes_again(w);
		side_post(w, TRANSFER_EVENT_GRANTED);
	}
	free(t);
}

void source_facts_read(struct worker *w)
{
	struct facts_task *t = calloc(1, sizeof(*t));

	if (!t)
		_exit(1);
	t->w = w;
	if (tasks_run(w->tasks, facts_work, facts_done, t) < 0)
		side_stop(w, ENOMEM, KCODE_FAILED, "Out of memory.");
}
