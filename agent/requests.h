/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers behind the request table of api.c. */
#pragma once

#include "agent/control.h"
#include "agent/jobs.h"
#include "agent/listener.h"
#include "agent/whereabouts.h"

struct requests;

/* What requests are answered from. */
struct requests_parts {
	const struct config *config;
	struct asks *asks;
	struct courier *courier;
	struct overview *overview;
	struct peers *peers;
	struct jobs *jobs;
	const struct discovery *discovery;
	const struct whereabouts *whereabouts;
	const struct listener *listener;
	struct control *control;
	/* A job was entered. */
	void (*job_changed)(void *ctx, const struct job *job);
	void *ctx;
};

/* The parts have to outlive it. */
struct requests *requests_new(const struct requests_parts *parts);
struct requests *requests_free(struct requests *q);
DEFINE_CLEANUP(struct requests *, requests_free)

/* A control_request_fn. */
void requests_handle(void *ctx, const struct control_peer *peer, const struct api_request *r);
