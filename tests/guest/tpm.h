/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's use of its TPM, if it has one. */
#pragma once

#include <stdint.h>

struct tpm;

/* Seals a secret under a primary key that stays loaded in the TPM. NULL: no TPM, or it refused;
 * *ret_code is then the TPM's response code, 0 without a TPM, -1 if it could not be talked to. */
struct tpm *tpm_open(int *ret_code);

/* A hash of the primary key's public part: the same for as long as the TPM is the same. */
uint64_t tpm_key(const struct tpm *t);

/* Loads the sealed secret and opens it: needs the primary seed, the loaded key and its proof. 0 if
 * it is the one that was sealed; else as above, or 1 if it is another. */
int tpm_check(struct tpm *t);
