/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of an exchange and a network between them that does what bytes say: deliver, change,
 * repeat, mix. */
#pragma once

#include "tests/unit/softtpm.h"

struct end {
	struct softtpm tpm; /* first: softtpm_op_quote() */
	struct end *peer;
	enum conversation_state state;
	bool tainted; /* read something the peer did not send */
	uint8_t out[ATTEST_BLOB_MAX], sent[ATTEST_BLOB_MAX];
	size_t len, sent_len;
};

/* One input of a machine: bytes, or none for a word of the owner or the begin. */
typedef enum conversation_state end_input(struct end *e, const uint8_t *data, size_t len,
					  struct wbuf *out, struct kerr *err);

/* Gives `input` these bytes, and keeps what it says. Aborts if it is refused without a clean
 * sentence, or done after it read what the peer did not send. */
void end_feed(struct end *e, end_input *input, const uint8_t *data, size_t len);

/* Does what `r` says, 24 times at most. `yes` and `no` are the owners', NULL without any. */
void ends_run(struct end *a, struct end *b, struct rbuf *r, end_input *step, end_input *yes,
	      end_input *no);
