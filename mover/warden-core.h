/* SPDX-License-Identifier: Apache-2.0 */
/* kith-warden without its socket: applies the rules to the VMs that Kith knows. */
#pragma once

#include "base/config.h"
#include "mover/warden-hold.h"
#include "mover/warden-rule.h"
#include "mover/warden-wire.h"
#include "policyd/api/proto.h"

struct warden {
	struct config config;
	int custody_fd; /* folder of the markers, reopened in each round */
	bool custody_lost;
	struct holds holds;
	pid_t ending; /* whose end was said last */
};

int warden_open(struct warden *w, const struct config *config);

/* What has to be done with one VM now. *ret is how its copy stands; -EAGAIN = it is on its way
 * there, ask again; another negative errno with *err filled: refused or impossible. */
int warden_apply(struct warden *w, const uint8_t uuid[UUID_LEN], enum warden_request request,
		 enum warden_word word, enum warden_copy *ret, struct kerr *err);

/* All VMs by their markers; true if one of them has to be looked for again and again, because its
 * copy may not run. */
bool warden_round(struct warden *w);
/* policyd's list, which is believed at the moment it comes and not later. */
void warden_obey(struct warden *w, const struct policyd_fence *list, size_t n);

/* The VM's name for people. */
void warden_name(const struct warden *w, const uint8_t uuid[UUID_LEN], char ret[NAME_MAX_LEN + 1]);
