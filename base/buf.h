/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded cursors: every byte that crosses a trust line is read and written through these. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Reading cursor over borrowed bytes. The first failure sticks: later reads return zeros, so a
 * decoder reads all its fields and asks rbuf_end() once. */
struct rbuf {
	const uint8_t *data;
	size_t left;
	int error;
};

/* Writing cursor over a caller's array. Running out of room sticks as -ENOBUFS. */
struct wbuf {
	uint8_t *data;
	size_t size, len;
	int error;
};

struct rbuf rbuf_init(const void *data, size_t len);
uint8_t rbuf_u8(struct rbuf *r);
uint16_t rbuf_u16(struct rbuf *r); /* little-endian, like all that follow */
uint32_t rbuf_u32(struct rbuf *r);
uint64_t rbuf_u64(struct rbuf *r);

/* Copies exactly `len` bytes into `ret`; zeros on failure. */
void rbuf_bytes(struct rbuf *r, void *ret, size_t len);

/* Borrows the next `len` bytes; NULL on failure. */
const uint8_t *rbuf_view(struct rbuf *r, size_t len);

/* Length-prefixed (u32) bytes of at most `max`: borrows them. NULL and *ret_len 0 on failure. */
const uint8_t *rbuf_blob(struct rbuf *r, size_t max, size_t *ret_len);

/* Length-prefixed (u16) text: valid UTF-8, no control bytes but tab and newline, no NUL, nothing
 * that turns lines around (U+202E and its kin); always terminated. Fails with -EBADMSG if it does
 * not fit `size` - 1. */
void rbuf_string(struct rbuf *r, char *ret, size_t size);

/* Marks the cursor as failed (negative errno), for checks a decoder makes itself. */
void rbuf_fail(struct rbuf *r, int error);
int rbuf_error(const struct rbuf *r);

/* 0 if everything was read without failure and nothing is left over, else -EBADMSG. */
int rbuf_end(const struct rbuf *r);

struct wbuf wbuf_init(void *data, size_t size);
void wbuf_u8(struct wbuf *w, uint8_t v);
void wbuf_u16(struct wbuf *w, uint16_t v);
void wbuf_u32(struct wbuf *w, uint32_t v);
void wbuf_u64(struct wbuf *w, uint64_t v);
void wbuf_bytes(struct wbuf *w, const void *data, size_t len);
void wbuf_blob(struct wbuf *w, const void *data, size_t len);
void wbuf_string(struct wbuf *w, const char *text);
int wbuf_error(const struct wbuf *w);

/* Lower-case hex; `ret` needs 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *ret);
/* Exactly 2 * len hex digits, either case; -EBADMSG otherwise. */
int hex_decode(const char *text, void *ret, size_t len);
