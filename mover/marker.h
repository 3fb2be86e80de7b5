/* SPDX-License-Identifier: Apache-2.0 */
/* Custody markers (policyd/api/proto.h) as hook, fence and warden read them. */
#pragma once

#include "policyd/api/proto.h"

struct marker {
	enum custody_marker state;
	char name[NAME_MAX_LEN + 1];
	char holder[NAME_MAX_LEN + 1];
	uint64_t epoch;
};

/* -ENOENT = no marker: the VM is unknown to Kith. -EBADMSG = damaged. */
int marker_read(int dirfd, const uint8_t uuid[UUID_LEN], struct marker *ret);

/* The hook's decision when kith-policyd does not answer: START of a VM without marker or marked
 * "here" passes, all else is refused, damaged markers and incoming VMs included. */
int marker_may_start(int dirfd, const uint8_t uuid[UUID_LEN], enum custody_use use,
		     struct kerr *err);
