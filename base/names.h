/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that name the values of an enum: one place for logs, JSON and stored text. */
#pragma once

#include <stddef.h>
#include <string.h>

/* Defines `prefix##_to_string` (never NULL) and `prefix##_from_string` (-1 if unknown) over a
 * table `prefix##_names[]` that has one entry per value. */
#define DEFINE_NAMES(prefix, type, max)                                                        \
	const char *prefix##_to_string(type value)                                             \
	{                                                                                      \
		size_t i = (size_t)value;                                                      \
                                                                                               \
		return i < (size_t)(max) && prefix##_names[i] ? prefix##_names[i] : "invalid"; \
	}                                                                                      \
	int prefix##_from_string(const char *name)                                             \
	{                                                                                      \
		for (size_t i = 0; name && i < (size_t)(max); i++)                             \
			if (prefix##_names[i] && strcmp(prefix##_names[i], name) == 0)         \
				return (int)i;                                                 \
		return -1;                                                                     \
	}

#define DECLARE_NAMES(prefix, type)                 \
	const char *prefix##_to_string(type value); \
	int prefix##_from_string(const char *name)
