/* SPDX-License-Identifier: Apache-2.0 */
/* The skeleton of an exchange of messages between two devices: stages, framing, a deadline, one
 * failure. A machine (session, pairing) adds its messages and decides. */
#pragma once

#include "attest/evidence.h"

struct exchange_stage {
	const char *name; /* for logs */
	enum conversation_state state;
};

struct exchange_message {
	uint8_t type;
	unsigned stages; /* EXCHANGE_IN() of those in which it may arrive */
	/* Answers by exchange_message_begin(); negative ends the exchange. */
	int (*handle)(void *self, struct rbuf *body);
};

#define EXCHANGE_IN(stage) (1u << (stage))
#define EXCHANGE_IN_ANY UINT32_MAX

/* What is the same for every exchange of a kind. */
struct exchange_kind {
	const char *name;
	uint8_t version;  /* stands in each message; the two ends must have the same */
	bool framed;	  /* messages have a length, so that a blob may carry several */
	enum kcode code;  /* of a peer that breaks the rules */
	unsigned refused; /* the stage that nothing leads out of */
	const struct exchange_stage *stages;
	const struct exchange_message *messages;
	size_t message_count;
	/* Sentences about what the peer sent, */
	const char *malformed, *other_version, *out_of_order, *bad_size;
	/* and about this device: its message does not fit, something in it failed. */
	const char *no_room, *failed;

	int (*late)(void *self);    /* the deadline is over: sets x->error, negative */
	int (*refusal)(void *self); /* writes x->error as a message for the peer */
	void (*wipe)(void *self);   /* secrets go */
};

struct exchange {
	const struct exchange_kind *kind;
	void *self; /* the machine */
	unsigned stage;
	uint64_t now, deadline; /* of the last input that told the time; ms */
	struct kerr error;	/* why it ends, if it does; for the machine to set */
	bool peer_refused;	/* so it need not be told */
	struct wbuf *out;	/* while there is an input */
	size_t out_start, body; /* in *out: of this input, of the message begun last */
};

void exchange_init(struct exchange *x, const struct exchange_kind *kind, void *self, unsigned stage,
		   uint64_t deadline_ms);

void exchange_stage_set(struct exchange *x, unsigned stage);

/* Sets the error with the code of the kind; -EBADMSG. */
int exchange_fail(struct exchange *x, const char *sentence);

/* An input: begin, any of the two in the middle as long as none is negative, end with the last
 * result. What is to be sent is appended to *out. A refused exchange stays refused: begin is
 * negative then, and end gives the first reason again. One failure ends it: nothing half-made is
 * sent but a refusal, the machine is wiped. */
int exchange_begin(struct exchange *x, struct wbuf *out);
int exchange_in_time(struct exchange *x, uint64_t now_ms);
int exchange_take(struct exchange *x, const uint8_t *data, size_t len, uint64_t now_ms);
enum conversation_state exchange_end(struct exchange *x, int r, struct kerr *err);

/* A message for the peer: begin, write its body to x->out, end. */
void exchange_message_begin(struct exchange *x, uint8_t type);
int exchange_message_end(struct exchange *x);
int exchange_no_room(struct exchange *x);

/* Room for the length (u32) of what comes next, and the length, once that is there. */
size_t exchange_length_begin(struct exchange *x);
void exchange_length_end(struct exchange *x, size_t start);

/* Appends what `quote` (pairing_ops, session_ops) gives for this binding. */
int exchange_evidence_put(struct exchange *x,
			  int (*quote)(void *ctx, const struct evidence_binding *binding,
				       struct evidence *ret, struct kerr *err),
			  void *ctx, const struct evidence_binding *binding);

/* The body of a peer's refusal: it need not be told in return. As refusal_get(). */
int exchange_refused(struct exchange *x, struct rbuf *r);
