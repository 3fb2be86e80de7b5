/* SPDX-License-Identifier: Apache-2.0 */
/* Private to policyd/core-audit.c and its tests: refusals that repeat. */
#pragma once

#include "policyd/core.h"

#define AUDIT_RUNS_MAX 32

struct audit_run {
	struct policyd_audit first;   /* as it was recorded */
	uint64_t started_ms, repeats; /* all zeros = free */
};

struct audit_runs {
	struct audit_run list[AUDIT_RUNS_MAX];
};
