/* SPDX-License-Identifier: Apache-2.0 */
/* What policyd knows, at length: what a device proved, and what was done. */
#pragma once

#include "ui-tui/model/model.h"
#include "ui-tui/model/sheet.h"

/* "2026-11-26 12:00:00", in local time. */
void says_time(uint64_t unix_s, char *ret, size_t size);

/* All that a device proved last. `now`: Unix seconds. */
void says_trust(const struct policyd_trust *t, uint64_t now, struct sheet *ret);
/* What would be accepted, old and new. */
void says_changes(const struct policyd_trust *t, uint64_t now, struct sheet *ret);

/* A record of the log without its time, and for a refusal the reason below it. */
void says_record(const struct policyd_audit *a, char *ret, size_t size);

/* All of a record, line by line. */
void says_audit(const struct policyd_audit *a, struct sheet *ret);

/* What the owner should know of a device that wants to pair and is not new here; "" if it is. */
const char *says_past(enum pair_past past);
