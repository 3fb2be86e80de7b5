/* SPDX-License-Identifier: Apache-2.0 */
/* The table of requests: what may be asked of kithd, by whom, and what answers it. */
#pragma once

#include "agent/control.h"
#include "agent/jobs.h"
#include "agent/viewings.h"
#include "agent/whereabouts.h"

struct requests;

/* What requests are answered from. */
struct requests_parts {
	const struct config *config;
	uint16_t port; /* where this device listens */
	struct asks *asks;
	struct courier *courier;
	struct overview *overview;
	struct peers *peers;
	struct jobs *jobs;
	struct viewings *viewings;
	const struct discovery *discovery;
	const struct whereabouts *whereabouts;
	struct control *control; /* for those who watch */
};

/* The parts have to outlive it. */
struct requests *requests_new(const struct requests_parts *parts);
struct requests *requests_free(struct requests *q);
DEFINE_CLEANUP(struct requests *, requests_free)

extern const struct api_row requests_rows[];

/* Answers a request that api_parse() read by requests_rows[], from whichever door. */
void requests_handle(struct requests *q, const struct asker *asker, const struct api_request *r);
