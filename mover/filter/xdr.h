/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded XDR (RFC 4506) as libvirt's RPC uses it: big-endian, everything padded to 4 bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define XDR_STRING_MAX 4194304u /* REMOTE_STRING_MAX, also the cookie's limit */
#define XDR_PARAMS_MAX 64u	/* REMOTE_DOMAIN_MIGRATE_PARAM_LIST_MAX */
#define XDR_FIELD_MAX 79u	/* VIR_TYPED_PARAM_FIELD_LENGTH without the NUL */

/* Reading cursor over borrowed bytes; the first failure sticks and later reads give zeros. */
struct xdr_in {
	const uint8_t *data;
	size_t left;
	int error;
};

/* Growing output, never above `cap` bytes. A failure (-ENOBUFS, -ENOMEM) sticks. */
struct xdr_out {
	uint8_t *data;
	size_t len, size, cap;
	int error;
};

struct xdr_in xdr_in_init(const void *data, size_t len);
uint32_t xdr_get_u32(struct xdr_in *in);
uint64_t xdr_get_hyper(struct xdr_in *in);

/* XDR bool: only 0 and 1 are accepted. */
bool xdr_get_bool(struct xdr_in *in);

/* Fixed-length opaque; zeros into `ret` on failure. */
void xdr_get_fixed(struct xdr_in *in, void *ret, size_t len);

/* opaque<max>: borrows the bytes. NULL and *ret_len 0 on failure; padding must be zero. */
const uint8_t *xdr_get_opaque(struct xdr_in *in, size_t max, size_t *ret_len);

/* string<max>: as xdr_get_opaque(), and an embedded NUL is a failure. Not terminated. */
const char *xdr_get_string(struct xdr_in *in, size_t max, size_t *ret_len);

/* remote_string: a string that may be absent (then NULL without failure). */
const char *xdr_get_optional(struct xdr_in *in, size_t max, size_t *ret_len);

/* 0 if all was read without failure and nothing is left over, else a negative errno. */
int xdr_in_end(const struct xdr_in *in);

struct xdr_out xdr_out_init(size_t cap);
void xdr_out_done(struct xdr_out *out);
#define _cleanup_xdr_out_ _cleanup_(xdr_out_done)
void xdr_put_u32(struct xdr_out *out, uint32_t v);
void xdr_put_hyper(struct xdr_out *out, uint64_t v);
void xdr_put_fixed(struct xdr_out *out, const void *data, size_t len);
void xdr_put_opaque(struct xdr_out *out, const void *data, size_t len);
void xdr_put_string(struct xdr_out *out, const char *text, size_t len);
/* NULL = absent. */
void xdr_put_optional(struct xdr_out *out, const char *text);
/* Overwrites the 4 bytes at `at`, which must be written already. */
void xdr_patch_u32(struct xdr_out *out, size_t at, uint32_t v);

/* VIR_TYPED_PARAM_* of <libvirt/libvirt-common.h>, the discriminant on the wire. */
enum xdr_param_type {
	XDR_PARAM_INT = 1,
	XDR_PARAM_UINT = 2,
	XDR_PARAM_LLONG = 3,
	XDR_PARAM_ULLONG = 4,
	XDR_PARAM_DOUBLE = 5,
	XDR_PARAM_BOOLEAN = 6,
	XDR_PARAM_STRING = 7,
};

/* One remote_typed_param. Numbers of every width sit in `number` as their bits (INT and LLONG
 * sign-extended, DOUBLE as IEEE 754). `text` borrows from the frame and is not terminated. */
struct xdr_param {
	char field[XDR_FIELD_MAX + 1];
	enum xdr_param_type type;
	uint64_t number;
	const char *text;
	size_t text_len;
};

struct xdr_params {
	size_t count;
	struct xdr_param items[XDR_PARAMS_MAX];
};

/* remote_typed_param<64>; count, types and field names are checked before anything is stored. */
void xdr_get_params(struct xdr_in *in, struct xdr_params *ret);
void xdr_put_params(struct xdr_out *out, const struct xdr_params *params);

/* Appends; -ENOBUFS when full or the field name is too long. `text` is borrowed. */
int xdr_params_add_string(struct xdr_params *p, const char *field, const char *text, size_t len);
