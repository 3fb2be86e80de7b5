/* SPDX-License-Identifier: Apache-2.0 */
/* Private to side-source.c, side-source-facts.c and side-source-rpc.c: what the source of a
 * hand-off knows. */
#pragma once

#include <stdatomic.h>

#include "mover/bridge.h"
#include "mover/luggage.h"
#include "mover/worker.h"

/* The sockets that libvirt and QEMU connect to, and what passes there. Nobody but side-source-rpc.c
 * looks inside. */
struct source_rpc {
	struct domain_limits limits; /* for what the destination's libvirt answers */
	struct domain_disk_map map;
	struct bridge bridge; /* between libvirt's client and the destination's filter */
	int rpc_listen, ram_listen, nbd_listen;
	struct rpc_header call; /* under way at the destination */
	bool calling, finish_called;
	void (*finishing)(struct worker *w);
	struct xdr_out held; /* Finish3's reply until the decision */
	uint16_t next_disk;  /* channel of the next NBD connection */
	uint64_t memory_ns;  /* QEMU began to send memory then; 0 = not yet */
	uint16_t copied;     /* disks, each with such a connection */
	struct {
		int fd;
		uint16_t channel;
	} waiting[WORKER_RELAYS_MAX]; /* accepted from QEMU, relay not there yet */
	size_t waiting_count;
};

struct source {
	struct source_rpc rpc;
	char *xml;
	struct domain_facts facts;
	struct frame_offer offer;
	struct luggage luggage[_LUGGAGE_MAX];
	bool carried;	/* the VM is off, and what carries it is started and known */
	bool again;	/* it was shut down for this, and is on again */
	bool migrating; /* virDomainMigrate3() is running */
	struct kerr migrate_err;
	int migrate_result;

	uint64_t quoted_ms; /* own measurements were as agreed then */
	uint64_t resend_ms, stats_ms, abort_ms;
	bool stats_busy, reclaimed;
	struct virt_job job;
	atomic_uint_fast64_t stopped_ns; /* CPUs stopped, by libvirt's event; 0 = they run */
	atomic_bool resumed;		 /* they ran again, seen by the same */
	uint64_t downtime_us;
};

static inline enum source_state source_state(const struct worker *w)
{
	return (enum source_state)w->machine.state;
}

/* Was it shut down for this hand-off? Then it boots wherever it is. */
static inline bool source_goes_again(const struct worker *w)
{
	return w->place.remnant.again_until != 0;
}

/* Reads in a thread what is moved; GRANTED follows once that is known, STOP if it cannot be. A VM
 * that is off is started for that, paused; one that is to go cold is shut down before. */
void source_facts_read(struct worker *w);

/* Ends what was started of a VM that was off. If its guest ran meanwhile, what is in its memory is
 * its owner's: it stays as it is, and is noted as a VM that runs. libvirt's or an I/O error. */
int source_end_off(struct worker *w, struct kerr *err);

/* `finishing` is called when libvirt's client asked for the end of the copy (Finish3), after the
 * destination was told. */
void source_rpc_init(struct worker *w, void (*finishing)(struct worker *w));

/* Makes the sockets. `map`: the VM's disks, as its owner's images are. */
int source_rpc_open(struct worker *w, const struct domain_disk_map *map);
void source_rpc_watch(struct worker *w);

/* Closes what libvirt and QEMU hold: every call and every stream fails from now on. Refused once
 * the hand-off is committed. */
void source_rpc_give_up(struct worker *w);

/* True once libvirt's client asked for the end of the copy. */
bool source_rpc_finishing(const struct worker *w);

/* When memory's turn came (worker_now_ns()), after the disks; 0 = not yet. */
uint64_t source_rpc_memory_ns(const struct worker *w);

/* Gives the client the reply to Finish3 that was held until the decision. */
void source_rpc_let_through(struct worker *w);

/* FRAME_RPC came. */
void source_rpc_frame(struct worker *w, const struct frame *f);

/* Joins QEMU's connections with relays that became ready. */
void source_rpc_attach(struct worker *w);
