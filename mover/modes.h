/* SPDX-License-Identifier: Apache-2.0 */
/* What kith-mover's children do: the supervisor starts its own program again, with a word. */
#pragma once

#include "base/config.h"

/* Runs the child that argv[0] names, with what else is there. Returns its exit status, or a
 * negative number if it names none; most of them do not return. */
int modes_run(const struct config *config, int argc, char *argv[]);
