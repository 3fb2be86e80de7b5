/* SPDX-License-Identifier: Apache-2.0 */
/* How far a hand-off is, in a line of any width. */
#pragma once

#include "ui-tui/model/model.h"
#include "ui-tui/model/sheet.h"

/* Percent of all that has to be sent; 100 only when it is done. -1: nothing is known yet. */
int progress_percent(const struct model_job *job);

/* "8-12 s left", "estimating": from what is left and the smoothed rate, as a range. "" when there
 * is nothing to wait for. */
void progress_left(const struct model_job *job, char *ret, size_t size);

/* "copying disk    [#####.....] 44 %  210 MiB  21 MiB/s  8-12 s left", as much of it as goes into
 * `columns`; the bar goes first. */
void progress_line(const struct model_job *job, unsigned columns, char *ret, size_t size);

/* What else is known of one: lines that stand below the others. */
void progress_say(const struct model_job *job, struct sheet *ret);

/* How it ended, a sentence. */
void progress_end(const struct model_job *job, char *ret, size_t size);
