/* SPDX-License-Identifier: Apache-2.0 */
/* This device's own evidence: a quote by its TPM and the versions of what it runs. */
#pragma once

#include <sys/stat.h>

#include "attest/evidence.h"
#include "base/code.h"

struct core;

/* Quotes the configured PCRs for `binding`. */
int measure_quote(struct core *core, const struct evidence_binding *binding, struct evidence *ret,
		  struct kerr *err);

/* "kernel=...\nkith=...\nlibvirt=...\nqemu=...": names and, for programs, the start of the SHA-256
 * of the file, so that a swapped binary shows (S1-02). At most EVIDENCE_VERSIONS_MAX bytes. */
void measure_versions(char *ret, size_t size);

/* SHA-256 of a file's content; `cache` (zeros at first) spares the reading while the file is the
 * same by device, inode, size and both times. Negative errno. */
struct measure_cache {
	bool full;
	struct stat of;
	uint8_t hash[HASH_LEN];
};
int measure_file(const char *path, struct measure_cache *cache, uint8_t ret[HASH_LEN]);

/* What must not change between a quote and its use (B6). */
struct measure_state {
	uint32_t reset_count, restart_count;
	uint8_t pcr[PCR_COUNT][HASH_LEN];
};

#define MEASURE_STATE_LEN (8 + PCR_COUNT * HASH_LEN)
DECLARE_CODEC(measure_state);

int measure_state(struct core *core, struct measure_state *ret, struct kerr *err);

/* 0 if the device is as it was at `before`; ATTEST_PCR with a sentence if not. */
int measure_unchanged(struct core *core, const struct measure_state *before, struct kerr *err);
