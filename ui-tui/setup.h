/* SPDX-License-Identifier: Apache-2.0 */
/* The first minutes of a device: what `kith init` and `kith pair` do before and after, so that
 * nobody has to open an editor. */
#pragma once

#include "ui-tui/doctor.h"

/* As root: who acts for the owner is the user who called sudo, else the local user `person` (may be
 * NULL), if kith.conf does not say; what kind of device this is, if it does not say that. With
 * `software` an emulated TPM from now on. Then there has to be a TPM that answers: else the refusal
 * says what is missing, and what an emulated one would mean. */
int setup_device(struct cli *cli, const char *person, bool software, struct kerr *err);

/* What else is wrong here, on standard error, each with its remedy; says nothing to programs. */
void setup_warn(struct cli *cli);

/* What the chassis is, by the number of the SMBIOS specification (7.4.1); NULL = nothing certain.
 */
const char *setup_role_of(unsigned chassis);
