/* SPDX-License-Identifier: Apache-2.0 */
/* kith-warden's talk with kith-policyd, in a thread of its own: the watch must not wait for a
 * policyd that is slow or stuck. */
#pragma once

#include "base/config.h"
#include "policyd/api/client.h"

struct warden_talk;
int warden_talk_new(const struct config *config, struct warden_talk **ret);

/* Readable when an answer has come. */
int warden_talk_fd(const struct warden_talk *w);

/* Asks for the list (WARD). The ticket is over once warden_talk_done() reached it. */
uint64_t warden_talk_ask(struct warden_talk *w);

/* Takes the newest list, malloced (NULL where policyd did not answer); returns the ticket up to
 * which all questions are answered. */
uint64_t warden_talk_take(struct warden_talk *w, struct policyd_fence **ret, size_t *ret_n);

/* Tells policyd that a copy was woken up; repeated until it was heard. */
void warden_talk_alarm(struct warden_talk *w, const uint8_t uuid[UUID_LEN], const char *text);
