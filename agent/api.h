/* SPDX-License-Identifier: Apache-2.0 */
/* JSON requests to kithd: how they look, and how the answers do. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/ids.h"
#include "base/kerr.h"

#define API_LINE_MAX 65536 /* bytes of one request, with its newline */
#define API_DEPTH_MAX 16
#define API_DEVICE_MAX 255

/* Members that a request may have besides "id" and "op". */
#define API_DEVICE 0x4u
#define API_ADDRESS 0x8u
#define API_HID 0x10u
#define API_VM 0x20u

struct call;

/* One kind of request: how it looks, who may ask for it, and what answers it. A table of them ends
 * with a row without name. */
struct api_row {
	const char *name;
	unsigned needs, may; /* members: API_DEVICE... */
	unsigned who;	     /* ASKERS_OWNER or ASKERS_ALL */
	bool logged;
	void (*handle)(struct call *c); /* answers it, at once or later, with the call_*() */
};

struct api_request {
	uint64_t id; /* the asker's, comes back with the reply */
	const struct api_row *row;
	char device[API_DEVICE_MAX + 1];  /* id, prefix, name or address */
	char address[API_DEVICE_MAX + 1]; /* "" if not given */
	uint8_t hid[HID_LEN];
	uint8_t vm[UUID_LEN];
};

/* Reads one request of those in `rows`, `len` bytes without newline. Strict: one object, no
 * duplicate, unknown or missing member, no NUL, bounded depth and size (N1). -EBADMSG or -EINVAL
 * with *err filled; ret->id is then the request's id if it could be read, else 0. */
int api_parse(const char *line, size_t len, const struct api_row *rows, struct api_request *ret,
	      struct kerr *err);

/* One line of JSON with its newline, malloced. The json_t is taken over. */
char *api_reply(uint64_t id, json_t *result);
char *api_reply_error(uint64_t id, const struct kerr *err);
char *api_event(const char *name, json_t *members);

/* {"code","text","next"}; null for code OK. */
json_t *api_error(const struct kerr *err);
/* Text for people; invalid UTF-8 (a sentence that was cut) is mended. */
json_t *api_text(const char *text);
/* Lower-case hex. */
json_t *api_hex(const uint8_t *data, size_t len);
