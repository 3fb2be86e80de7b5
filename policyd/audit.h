/* SPDX-License-Identifier: Apache-2.0 */
/* The hash chain over audit records: editing, removing or reordering one is found (S2-05). */
#pragma once

#include "policyd/proto.h"

/* h_i = SHA-256("kith-audit-v1" || h_{i-1} || canonical encoding of record i without its hash).
 * `prev` is all zeros for the first record ever. Fails (-EINVAL) only for a record that does not
 * encode. */
int audit_hash(const uint8_t prev[HASH_LEN], const struct policyd_audit *record,
	       uint8_t ret[HASH_LEN]);

/* Checks `n` consecutive records of one chain, of which the first follows `prev`. 0 if all hold,
 * else -EBADMSG with the index of the first broken link in *ret_index: its sequence number goes
 * back (another chain may have used numbers between), or its hash does not follow. */
int audit_verify(const uint8_t prev[HASH_LEN], const struct policyd_audit *records, size_t n,
		 size_t *ret_index);
