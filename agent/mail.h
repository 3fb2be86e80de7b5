/* SPDX-License-Identifier: Apache-2.0 */
/* Carries custody statements that a peer has to hear, again until it answers (W7, W11). */
#pragma once

#include "agent/jobs.h"
#include "agent/whereabouts.h"

struct mail;

struct mail_parts {
	struct asks *asks;
	struct peers *peers;
	const struct jobs *jobs;
	const struct whereabouts *whereabouts;
};

/* Looks into policyd's outbox every few seconds from now on. The parts have to outlive it. */
struct mail *mail_new(const struct mail_parts *parts);
struct mail *mail_free(struct mail *m);
DEFINE_CLEANUP(struct mail *, mail_free)

/* Looks at once: there may be something to say. */
void mail_look(struct mail *m);

/* A device came into sight or to us; `id` may be a prefix of `len` bytes. */
void mail_sight(struct mail *m, const uint8_t *id, size_t len);

/* The end of a talk of peers_mail(): code OK = the peer heard the statement. */
void mail_said(struct mail *m, const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err);
