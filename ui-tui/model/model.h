/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to show: this device, VMs, other devices, hand-offs. Read from kithd's answers
 * (kithd(8)), without any I/O; what is missing or of another type there counts as empty. */
#pragma once

#include <jansson.h>

#include "base/kerr.h"
#include "mover/proto.h"
#include "policyd/api/proto.h"

#define MODEL_ID_TEXT (2 * DEVICE_ID_LEN + 1)
#define MODEL_UUID_TEXT (2 * UUID_LEN + 1)
#define MODEL_HID_TEXT (2 * HID_LEN + 1)
#define MODEL_WORD_MAX 32 /* bytes of a word such as a verdict, with its NUL */

/* What is not a fact while a device is locked. */
enum maybe { MAYBE_UNKNOWN, MAYBE_NO, MAYBE_YES };

struct model_vm {
	char uuid[MODEL_UUID_TEXT], name[NAME_MAX_LEN + 1];
	char state[MODEL_WORD_MAX]; /* of libvirt; "" where it has no definition */
	uint64_t memory_bytes;	    /* 0 = not known */
	bool defined, managed, here, doubt;
	bool locked; /* who holds it is not known */
	char holder[MODEL_ID_TEXT], holder_name[NAME_MAX_LEN + 1];
	char hid[MODEL_HID_TEXT]; /* of an open hand-off, "" = none */
};

struct model_device {
	char id[MODEL_ID_TEXT], name[NAME_MAX_LEN + 1], person[NAME_MAX_LEN + 1];
	char role[MODEL_WORD_MAX], verdict[MODEL_WORD_MAX], tier[MODEL_WORD_MAX];
	char person_role[MODEL_WORD_MAX];
	char reason[KERR_TEXT_MAX]; /* of the verdict, "" = none */
	enum maybe paired;
	bool own, pairing;
	bool receive;	   /* VMs of another person from it are taken here */
	bool seen, nearby; /* it was announced; it still is */
	uint64_t age_ms;   /* since then */
};

struct model_job {
	char hid[MODEL_HID_TEXT], uuid[MODEL_UUID_TEXT], device[MODEL_ID_TEXT];
	char vm[NAME_MAX_LEN + 1], device_name[NAME_MAX_LEN + 1];
	enum phase phase;
	bool source, off;
	uint64_t done_bytes, total_bytes, ram_bytes, disk_bytes, rate_bytes_s;
	uint64_t elapsed_ms, left_ms; /* UINT64_MAX = not known */
	uint64_t downtime_ms;
	struct kerr error;
};

/* A text, number or truth of an object; "", 0, false. The text is borrowed. */
const char *model_text(const json_t *object, const char *key);
uint64_t model_number(const json_t *object, const char *key);
bool model_flag(const json_t *object, const char *key);
/* An error as kithd writes it; code OK if `error` is none. */
void model_error(const json_t *error, struct kerr *ret);

void model_read_vm(const json_t *vm, struct model_vm *ret);
void model_read_device(const json_t *device, struct model_device *ret);
void model_read_job(const json_t *job, struct model_job *ret);

/* -- sentences -- */

/* Who holds a VM: "held here", "on desktop", why it cannot be moved. */
void model_where(const struct model_vm *vm, char *ret, size_t size);
/* "announced", "announced 5 min ago", "not announced": that is all that discovery knows. */
void model_announced(const struct model_device *d, char *ret, size_t size);
/* The verdict with its reason, or why there is none. */
void model_standing(const struct model_device *d, char *ret, size_t size);

bool model_is_trusted(const struct model_device *d);
bool model_is_over(const struct model_job *job);

/* "3 s", "5 min", "2 h", "4 d" */
void model_age(uint64_t seconds, char *ret, size_t size);
/* "512 MiB" */
void model_bytes(uint64_t bytes, char *ret, size_t size);
