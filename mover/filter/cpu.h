/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU by the names that libvirt has for what it can do: what a host can give to its guests, or
 * what a guest has. Comparing them is pure, so that plan and hand-off say the same. */
#pragma once

#include "base/code.h"

struct _xmlNode; /* of libxml, which not everybody who has a CPU in a struct includes */

#define CPU_MODEL_MAX 64 /* bytes, as the two that follow, without the NUL */
#define CPU_VENDOR_MAX 16
#define CPU_NAME_MAX 48
#define CPU_FEATURES_MAX 8192 /* with the NUL; a server of 2026 needs 3500 */

/* Each feature that it has is named, those of its model too: two hosts need not agree on what a
 * model means. */
struct cpu {
	char model[CPU_MODEL_MAX + 1]; /* the nearest one that has a name; "" = nothing is known */
	char vendor[CPU_VENDOR_MAX + 1]; /* "" = not said, or any */
	uint32_t qemu; /* release of the QEMU that emulates it; 0 = a real one (KVM) */
	char features[CPU_FEATURES_MAX]; /* names in strict order, each but the last with a blank */
};

/* Field of a record. N1: names of letters, digits and "_.-" only, sorted, none twice. */
void cpu_code(struct coder *c, struct cpu *v);

/* Reads libvirt's <cpu> (or the like of it in its capabilities), of which each feature is named.
 * -EBADMSG for what is no such element, or more than fits; *ret is untouched then. */
int cpu_read(const struct _xmlNode *node, struct cpu *ret);

bool cpu_is_known(const struct cpu *c);

/* The same CPU in all that is known of it. Nothing unknown is the same as anything. */
bool cpu_is_same(const struct cpu *a, const struct cpu *b);

/* Drops the features that `of` does not have, or that it has. */
void cpu_keep(struct cpu *c, const struct cpu *of);
void cpu_drop(struct cpu *c, const struct cpu *of);

/* Of what maker something is, said by both, and not the same? */
bool cpu_other_vendor(const struct cpu *a, const struct cpu *b);

/* How many features of `want` are not in `have`. Up to CPU_NAMED of them are written to `ret` for
 * people: "avx2, bmi1 and 3 more". */
#define CPU_NAMED 5
#define CPU_WORDS_MAX (CPU_NAMED * (CPU_NAME_MAX + 2) + 24)
size_t cpu_lacks(const struct cpu *have, const struct cpu *want, char ret[CPU_WORDS_MAX]);
