/* SPDX-License-Identifier: Apache-2.0 */
/* The recovery key as its owner writes it down: 160 random bits and a checksum, as text. */
#pragma once

#include "base/secret.h"

#define RECOVERY_KEY_LEN 20
#define VAULT_RECOVERY_TEXT 42 /* "XXXXX-" seven times, the last dash is the NUL */

void recovery_key_format(const uint8_t key[RECOVERY_KEY_LEN], char ret[VAULT_RECOVERY_TEXT]);

/* Reads tolerantly: case, spaces and dashes do not matter, O is 0, I and L are 1. -EINVAL. */
int recovery_key_parse(const char *text, uint8_t ret[RECOVERY_KEY_LEN]);

/* The key of the box that it opens. */
int recovery_key_derive(const uint8_t key[RECOVERY_KEY_LEN], struct secret *ret);
