/* SPDX-License-Identifier: Apache-2.0 */
/* A child that the supervisor starts for one question: it answers, and is gone. */
#pragma once

#include "base/code.h"

/* Reads the question, a record and nothing behind it. -ECONNRESET without a reason if none came,
 * BAD_MESSAGE. */
int oneshot_question(const struct record *record, void *ret, struct kerr *err);

/* Answers with what is in *w, or with *err if r < 0 or *w does not fit; `sorry` where that gives no
 * reason. */
_Noreturn void oneshot_answer(uint16_t op, int r, struct wbuf *w, struct kerr *err,
			      const char *sorry);
