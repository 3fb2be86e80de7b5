/* SPDX-License-Identifier: Apache-2.0 */
/* The policy file people write (kith-policy(7)) compiled to the binary form policyd decodes. */
#pragma once

#include "base/kerr.h"
#include "policyd/api/policy.h"
#include "ui-tui/model/sheet.h"

/* Longest policy file. */
#define POLICYTEXT_MAX 16384

/* What `kith policy set VM` uses when no file is given. */
extern const char policytext_default[];

/* Compiles `text`. The error names line and word, and what is expected there; nothing is guessed:
 * an unknown word is an error, because it could be a restriction. */
int policytext_compile(const char *text, struct policy *ret, struct kerr *err);

/* Each line of `text` that is wrong, with its number, and why below it; nothing where no line is.
 */
void policytext_explain(const char *text, struct sheet *ret);

/* The binary form of a compiled policy. 0 or negative errno (-ENOBUFS). */
int policytext_encode(struct policy *policy, void *buf, size_t size, size_t *ret_len);
