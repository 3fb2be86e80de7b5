/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of names in the configuration. */
#pragma once

#include <stdbool.h>

#include "base/ids.h"

/* The next name of a list with commas, without the blanks around it; its end moves *names on.
 * False: there was none, one too long, or "none". Until **names is the end. */
bool names_next(const char **names, char ret[NAME_MAX_LEN + 1]);
