/* SPDX-License-Identifier: Apache-2.0 */
/* Records on the wire: one function per record says its fields in order, and serves both
 * directions, so that what is written and what is read cannot drift apart (as in Sun's XDR). The
 * writer refuses what the reader refuses. Integers are little-endian. */
#pragma once

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/ids.h"
#include "base/kerr.h"

/* A cursor in one direction: exactly one of the two is set. The first failure sticks in it:
 * -EBADMSG where read, -EINVAL or -ENOBUFS where written. */
struct coder {
	struct rbuf *r;
	struct wbuf *w;
};

/* What is needed to code a struct without knowing it. */
struct record {
	size_t size; /* of the struct, at most RECORD_SIZE_MAX */
	void (*code)(struct coder *c, void *v);
};

#define RECORD_SIZE_MAX 4096

/* Fields. Reading sets *v; bytes borrowed by code_blob() live as long as what is read. */
void code_u8(struct coder *c, uint8_t *v);
void code_u16(struct coder *c, uint16_t *v);
void code_u32(struct coder *c, uint32_t *v);
void code_u64(struct coder *c, uint64_t *v);
void code_bytes(struct coder *c, void *v, size_t len);

/* u16 length and clean text (rbuf_string()); `size` is that of the array, with its NUL. */
void code_text(struct coder *c, char *v, size_t size);

/* A text that is empty or a name (text_is_name()). */
void code_name(struct coder *c, char v[NAME_MAX_LEN + 1]);

/* u16 code, text. A sentence that somebody cut inside a character is mended, not refused. */
void code_kerr(struct coder *c, struct kerr *v);

/* u32 length and at most `max` bytes. */
void code_blob(struct coder *c, const uint8_t **v, size_t *len, size_t max);

/* The same bytes in an array of the struct, *len of at most `max` of them. */
void code_array(struct coder *c, uint8_t *v, size_t *len, size_t max);

/* A byte below `max`: returns it, or 0 when that fails. */
unsigned code_enum(struct coder *c, unsigned v, unsigned max);

/* A u16 of at most `max` that says how many follow: returns it, or 0 when that fails. */
size_t code_count(struct coder *c, size_t n, size_t max);

/* A rule that both sides check; false fails the cursor. */
void code_check(struct coder *c, bool good);

/* True while everything went well so far; the fields read are valid only then. */
bool code_good(const struct coder *c);

#define CODE_BYTES(c, array) code_bytes(c, array, sizeof(array))
#define CODE_ARRAY(c, array, len) code_array(c, array, len, sizeof(array))
#define CODE_TEXT(c, array) code_text(c, array, sizeof(array))
#define CODE_ENUM(c, field, max) \
	((field) = (__typeof__(field))code_enum(c, (unsigned)(field), (unsigned)(max)))
#define CODE_FLAG(c, field) CODE_ENUM(c, field, 2)
#define CODE_COUNT(c, field, array) \
	((field) = (__typeof__(field))code_count(c, field, ARRAY_SIZE(array)))

/* Appends *v; returns wbuf_error(), which keeps the failure. */
int record_put(struct wbuf *w, const struct record *record, const void *v);

/* Reads into *ret, which stays as it was on -EBADMSG. Bytes may follow: ask rbuf_end(). */
int record_get(struct rbuf *r, const struct record *record, void *ret);

/* A list is a u16 count and so many records; begun, its elements added, ended. */
struct record_list {
	struct wbuf *w;
	const struct record *record;
	size_t at, count;
};

void record_list_begin(struct record_list *list, struct wbuf *w, const struct record *record);
void record_list_add(struct record_list *list, const void *v);
void record_list_end(struct record_list *list);

/* Reads a whole list, and nothing may follow: *ret is an array of structs, malloced, NULL where
 * empty. -EBADMSG, -ENOMEM. */
int record_list_get(struct rbuf *r, const struct record *record, void **ret, size_t *ret_n);

/* Declares the record of a struct that is only coded by way of a table. */
#define DECLARE_RECORD(type) extern const struct record type##_record

/* Defines `type##_record` over the function type##_code(struct coder *, struct type *), and the
 * typed pair that DECLARE_CODEC() declares. */
#define DEFINE_RECORD(type)                                                          \
	_Static_assert(sizeof(struct type) <= RECORD_SIZE_MAX, "room for a record"); \
	static void type##_code_any(struct coder *c, void *v)                        \
	{                                                                            \
		type##_code(c, v);                                                   \
	}                                                                            \
	const struct record type##_record = {sizeof(struct type), type##_code_any};
#define DEFINE_CODEC(type)                                   \
	DEFINE_RECORD(type)                                  \
	int type##_put(struct wbuf *w, const struct type *v) \
	{                                                    \
		return record_put(w, &type##_record, v);     \
	}                                                    \
	int type##_get(struct rbuf *r, struct type *ret)     \
	{                                                    \
		return record_get(r, &type##_record, ret);   \
	}
#define DECLARE_CODEC(type)                                   \
	extern const struct record type##_record;             \
	int type##_put(struct wbuf *w, const struct type *v); \
	int type##_get(struct rbuf *r, struct type *ret)

/* Its functions are in base/kerr.h. */
DECLARE_RECORD(kerr);
