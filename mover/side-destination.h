/* SPDX-License-Identifier: Apache-2.0 */
/* Private to side-destination.c and side-destination-rpc.c: what the destination of a hand-off
 * knows. */
#pragma once

#include "mover/bridge.h"
#include "mover/filter/gateway.h"
#include "mover/luggage.h"
#include "mover/offers.h"
#include "mover/worker.h"

/* The filter between the source's client and the local libvirtd. Nobody but side-destination-rpc.c
 * looks inside. */
struct destination_rpc {
	struct bridge bridge; /* between libvirtd and the source's client */
	struct gateway *gateway;
	bool prepare_sent, source_gave_up;
};

struct destination {
	struct destination_rpc rpc;
	struct frame_offer offer;
	bool offered;
	uint64_t offered_ms;
	struct luggage luggage[_LUGGAGE_MAX];
	bool packed[_LUGGAGE_MAX]; /* it is whole */
	bool images_made;	   /* and nothing was said of it yet */
	struct domain_disk_map map;
	struct offers offers;		 /* as the task that made the images saw them */
	char nvram[DOMAIN_PATH_MAX + 1]; /* where UEFI's variables of this copy go */
	char *kept; /* of a VM that is off, its definition for this host; NULL = as its copy is */
	int image_fd[DOMAIN_DISKS_MAX];
	uint64_t watch_ms, vote_ms, resumed_ns;
	bool tpm;    /* the copy has a virtual one */
	bool booted; /* it was off, and was started here */
	bool watching, defined, was_here, voided;
	uint64_t lonely_ms; /* RUNNING: the control channel is gone since then */
	struct kerr task_err;
};

static inline enum destination_state destination_state(const struct worker *w)
{
	return (enum destination_state)w->machine.state;
}

void destination_rpc_init(struct worker *w);

/* What a serial port of the VM that was a file at the source is written to here. */
#define SERIAL_PATH_MAX 256
void destination_serial_path(const struct worker *w, char ret[SERIAL_PATH_MAX]);

/* Makes the filter for what was offered, and connects to libvirtd. */
int destination_rpc_open(struct worker *w, const struct offers_need *need,
			 const struct domain_disk_map *map);
void destination_rpc_watch(struct worker *w);

/* Hangs up on libvirtd. Before Finish3 this makes it destroy the half-made domain (W2). */
void destination_rpc_stop(struct worker *w);

/* The held reply to Finish3 goes to the source, which holds it in turn until the decision. */
void destination_rpc_let_through(struct worker *w);

/* FRAME_RPC came. */
void destination_rpc_frame(struct worker *w, const struct frame *f);

/* True once libvirtd was, or may have been, asked to make the domain. */
bool destination_rpc_prepared(const struct worker *w);

/* True if the source told libvirtd to give the copy up: it knows why better than we do. */
bool destination_rpc_given_up(const struct worker *w);
