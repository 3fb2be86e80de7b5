/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's RPC frames: reassembly, and codecs of the six procedures that a hand-off needs. */
#pragma once

#include "base/ids.h"
#include "base/kerr.h"
#include "mover/filter/xdr.h"

/* Where this host's libvirtd is. */
#define RPC_LIBVIRTD_URI "qemu:///system"
#define RPC_LIBVIRTD_SOCKET "/run/libvirt/libvirt-sock"

#define RPC_PROGRAM_REMOTE 0x20008086u
#define RPC_PROGRAM_KEEPALIVE 0x6b656570u
#define RPC_VERSION 1u
#define RPC_HEADER_LEN 28u	      /* length word and six header words */
#define RPC_FRAME_MAX (16u << 20)     /* ours; libvirt 9.0.0 itself would take 32 MiB */
#define RPC_COOKIE_MAX XDR_STRING_MAX /* REMOTE_MIGRATE_COOKIE_MAX */
#define RPC_DOMAIN_NAME_MAX 255u

enum rpc_type {
	RPC_TYPE_CALL = 0,
	RPC_TYPE_REPLY = 1,
	RPC_TYPE_MESSAGE = 2,
	RPC_TYPE_STREAM = 3,
	RPC_TYPE_CALL_WITH_FDS = 4,
	RPC_TYPE_REPLY_WITH_FDS = 5,
	RPC_TYPE_STREAM_HOLE = 6,
};

enum rpc_status {
	RPC_STATUS_OK = 0,
	RPC_STATUS_ERROR = 1,
	RPC_STATUS_CONTINUE = 2,
};

/* remote_protocol.x of libvirt 9.0.0; the numbers are ABI and never change. */
enum rpc_procedure {
	RPC_PROC_OPEN = 1,
	RPC_PROC_CLOSE = 2,
	RPC_PROC_SUPPORTS_FEATURE = 60,
	RPC_PROC_AUTH_LIST = 66,
	RPC_PROC_AUTH_POLKIT = 70, /* only from the gateway itself to its local libvirtd */
	RPC_PROC_PREPARE3_PARAMS = 303,
	RPC_PROC_FINISH3_PARAMS = 306,
};

enum rpc_keepalive {
	RPC_KEEPALIVE_PING = 1,
	RPC_KEEPALIVE_PONG = 2,
};

/* Header words as they came; not yet judged, hence plain integers. */
struct rpc_header {
	uint32_t program, version, procedure, type, serial, status;
};

/* One whole frame; both pointers borrow. */
struct rpc_msg {
	struct rpc_header h;
	const uint8_t *body;
	size_t len;
	const uint8_t *frame;
	size_t frame_len;
};

/* Reassembles frames from a byte stream. Memory grows with the bytes that came, never with the
 * length a peer declares (N1). */
struct rpc_stream;
int rpc_stream_new(size_t max_frame, struct rpc_stream **ret);
struct rpc_stream *rpc_stream_free(struct rpc_stream *s);
DEFINE_CLEANUP(struct rpc_stream *, rpc_stream_free)

/* Takes bytes. -EBADMSG as soon as a length word is below the header's size or above the limit;
 * the stream is then dead. -ENOMEM. */
int rpc_stream_push(struct rpc_stream *s, const void *data, size_t len);

/* 1 = *ret holds the next frame, valid until the next push, next or free; 0 = more bytes are
 * needed; -EBADMSG = dead. */
int rpc_stream_next(struct rpc_stream *s, struct rpc_msg *ret);

/* Parses one whole frame in memory. -EBADMSG if the length word disagrees with `len`. */
int rpc_parse(const void *frame, size_t len, struct rpc_msg *ret);

struct rpc_open_args {
	const char *name; /* NULL if absent; not terminated */
	size_t name_len;
	uint32_t flags;
};

struct rpc_prepare_args {
	struct xdr_params params;
	const uint8_t *cookie;
	size_t cookie_len;
	uint32_t flags;
};

struct rpc_prepare_ret {
	const uint8_t *cookie;
	size_t cookie_len;
	const char *uri; /* NULL if absent; not terminated */
	size_t uri_len;
};

struct rpc_finish_args {
	struct xdr_params params;
	const uint8_t *cookie;
	size_t cookie_len;
	uint32_t flags;
	int32_t cancelled;
};

struct rpc_finish_ret {
	const char *name; /* not terminated */
	size_t name_len;
	uint8_t uuid[UUID_LEN];
	int32_t id;
	const uint8_t *cookie;
	size_t cookie_len;
};

/* Decoders of bodies: 0, or -EBADMSG. Everything borrows from the frame. */
int rpc_get_open(const struct rpc_msg *msg, struct rpc_open_args *ret);
int rpc_get_feature(const struct rpc_msg *msg, int32_t *ret_feature);
int rpc_get_prepare(const struct rpc_msg *msg, struct rpc_prepare_args *ret);
int rpc_get_prepare_ret(const struct rpc_msg *msg, struct rpc_prepare_ret *ret);
int rpc_get_finish(const struct rpc_msg *msg, struct rpc_finish_args *ret);
int rpc_get_finish_ret(const struct rpc_msg *msg, struct rpc_finish_ret *ret);
int rpc_get_int_ret(const struct rpc_msg *msg, int32_t *ret_value);

/* auth_list's reply: is the list exactly {none}; does it offer polkit? */
int rpc_get_auth_list_ret(const struct rpc_msg *msg, bool *ret_none, bool *ret_polkit);

/* virNetMessageError: code, domain and the message (borrowed, not terminated, NULL if absent). */
struct rpc_error {
	int32_t code, domain;
	const char *message;
	size_t message_len;
};
int rpc_get_error(const struct rpc_msg *msg, struct rpc_error *ret);

/* A header for a call, and the one that answers `call`. */
struct rpc_header rpc_call_header(uint32_t procedure, uint32_t serial);
struct rpc_header rpc_reply_header(const struct rpc_header *call, enum rpc_status status);

/* Encoders append one whole frame to `out`, length word included. 0 or out->error. */
int rpc_put_empty(struct xdr_out *out, const struct rpc_header *h);
int rpc_put_int(struct xdr_out *out, const struct rpc_header *h, int32_t value);
int rpc_put_open(struct xdr_out *out, const struct rpc_header *h, const char *name, uint32_t flags);
int rpc_put_auth_list_none(struct xdr_out *out, const struct rpc_header *h);
int rpc_put_prepare(struct xdr_out *out, const struct rpc_header *h,
		    const struct rpc_prepare_args *args);
int rpc_put_prepare_ret(struct xdr_out *out, const struct rpc_header *h, const void *cookie,
			size_t cookie_len, const char *uri);
int rpc_put_finish(struct xdr_out *out, const struct rpc_header *h,
		   const struct rpc_finish_args *args);
int rpc_put_finish_ret(struct xdr_out *out, const struct rpc_header *h,
		       const struct rpc_finish_ret *ret);

/* An error reply that libvirt's client turns into a virError with this message. */
int rpc_put_error(struct xdr_out *out, const struct rpc_header *call, const char *message);
int rpc_put_pong(struct xdr_out *out);
