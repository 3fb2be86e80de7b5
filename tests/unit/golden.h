/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that must not change: tests/golden/ holds each wire form as it was first written. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes in hex, words apart; NxXX is the byte XX, N times. Returns the length. */
size_t golden_parse(const char *text, uint8_t *ret, size_t size);

/* The same of the entry `name` of tests/golden/FILE: a line is a name, a colon and its bytes; '#'
 * begins a comment. Ends the test if there is no such file or entry. */
size_t golden_read(const char *file, const char *name, uint8_t *ret, size_t size);

/* The bytes are those of the entry, none more. */
void golden_same(const char *file, const char *name, const void *data, size_t len);
