/* SPDX-License-Identifier: Apache-2.0 */
/* Private to side-source.c and side-source-rpc.c: what the source of a hand-off knows. */
#pragma once

#include <stdatomic.h>

#include "mover/rpc.h"
#include "mover/worker.h"

struct source {
	char *xml;
	struct domain_facts facts;
	struct control_offer offer;
	struct domain_limits limits; /* for what the destination's libvirt answers */
	struct domain_disk_map map;

	int rpc_listen, ram_listen, nbd_listen, rpc;
	struct rpc_stream *from_client, *from_peer;
	struct xdr_out to_client;
	size_t to_client_at;
	struct rpc_header call; /* under way at the destination */
	bool calling, finish_called;
	struct xdr_out held; /* Finish3's reply until the decision */

	bool migrating; /* virDomainMigrate3() is running */
	struct kerr migrate_err;
	int migrate_result;
	uint16_t next_disk;		/* channel of the next NBD connection */
	int waiting[WORKER_RELAYS_MAX]; /* accepted from QEMU, relay not there yet */
	uint16_t waiting_for[WORKER_RELAYS_MAX];
	size_t waiting_count;

	uint64_t quoted_ms; /* own measurements were as agreed then */
	uint64_t resend_ms, stats_ms, abort_ms;
	bool stats_busy, reclaimed;
	struct virt_job job;
	atomic_uint_fast64_t stopped_ns; /* CPUs stopped, by libvirt's event; 0 = they run */
	uint64_t downtime_us, ack_late_us;
};

static inline enum source_state source_state(const struct worker *w)
{
	return (enum source_state)w->machine.state;
}

/* The sockets that libvirt and QEMU connect to, and the streams behind rpc.sock. */
int source_open_sockets(struct worker *w);
void source_watch_sockets(struct worker *w);

/* Closes what libvirt and QEMU hold: every call and every stream fails from now on. Refused once
 * the hand-off is committed. */
void source_give_up(struct worker *w);

/* Bytes for libvirt's client. */
void source_to_client(struct source *s, const void *data, size_t len);

/* CONTROL_RPC came. */
void source_on_peer_rpc(struct worker *w, const struct control_frame *f);

/* B6, ahead of time: runs while the destination finishes, instead of after it. */
void source_quote(struct worker *w);

/* Joins QEMU's connections with relays that became ready. */
void source_attach(struct worker *w);
