/* SPDX-License-Identifier: Apache-2.0 */
/* What policyd last said: its state, the paired devices, whether a pairing window is open. */
#pragma once

#include "agent/asks.h"

struct overview;

/* `prepare` may add to the question (see ask_overview()); `changed` is called with every answer,
 * good or bad, before those who wait for it. */
struct overview_hooks {
	void (*prepare)(void *ctx, struct ask *a);
	void (*changed)(void *ctx, struct ask *a);
};

/* `hooks` has to be static. */
struct overview *overview_new(struct asks *asks, const struct overview_hooks *hooks, void *ctx);
struct overview *overview_free(struct overview *o);
DEFINE_CLEANUP(struct overview *, overview_free)

/* Calls `fn` from the main loop when an answer is there that was asked for *after* this call, so
 * that a window opened or a device forgotten before it counts. Askers are bundled and at most ten
 * questions a second go out. */
void overview_refresh(struct overview *o, void (*fn)(void *user), void *user);
/* The same for the device's owner, who waits at most 20 ms behind the last question: what strangers
 * make kithd ask does not slow him down (A3). */
void overview_refresh_for_person(struct overview *o, void (*fn)(void *user), void *user);
/* True if the last answer was good and was asked for within so many milliseconds. */
bool overview_is_fresh(const struct overview *o, int64_t age_ms);
/* `fn`s with this user will not be called. */
void overview_forget(struct overview *o, const void *user);

/* 0 and *ret_status, or negative and *err when policyd does not answer. */
int overview_status(const struct overview *o, struct policyd_status *ret, struct kerr *err);
/* Can policyd tell who is paired and what is held here? If not, *why says so: code `locked`, or
 * that of its failure. */
bool overview_tells(const struct overview *o, struct kerr *why);
/* The same of a status that was just read. */
bool overview_is_open(const struct policyd_status *st, struct kerr *why);
bool overview_window_open(const struct overview *o);
/* Borrowed until the next answer. With policyd away nobody is known. */
const struct policyd_peer *overview_peers(const struct overview *o, size_t *ret_count);
const struct policyd_peer *overview_peer(const struct overview *o, const uint8_t id[DEVICE_ID_LEN]);
