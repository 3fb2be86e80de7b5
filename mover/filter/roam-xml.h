/* SPDX-License-Identifier: Apache-2.0 */
/* Changes the CPU, and nothing else, in a definition of this host's own libvirt, and remembers the
 * one before in an element of its <metadata>, which goes with the VM. */
#pragma once

#include <stdbool.h>

#include "base/kerr.h"

#define ROAM_XML_NS "urn:kith:roam:1"

/* Puts `cpu`, a <cpu> as virConnectBaselineHypervisorCPU() gives it, in the place of the
 * definition's own. What does not depend on the processor stays: topology, NUMA cells, emulated
 * caches, and each feature that the owner switched off. The CPU before is kept, unless an earlier
 * one already is. *ret is malloced. -EBADMSG (DOMAIN), -ENOMEM. */
int roam_xml_set(const char *definition, const char *cpu, char **ret, struct kerr *err);

/* Puts the kept CPU back and forgets it; -ENOENT (NOT_FOUND) if there is none. */
int roam_xml_undo(const char *definition, char **ret, struct kerr *err);

/* Has it a CPU that was put there, and keeps the one before? */
bool roam_xml_kept(const char *definition);

/* The CPU in a word: its model, or its mode where that is not "custom"; "" without one. The second
 * is its <cpu> as text, NULL without one, malloced. */
#define ROAM_XML_WORD_MAX 64
int roam_xml_cpu(const char *definition, char ret_word[ROAM_XML_WORD_MAX + 1], char **ret_text);
