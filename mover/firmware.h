/* SPDX-License-Identifier: Apache-2.0 */
/* UEFI firmware of this host, by the descriptors that QEMU's and libvirt's packages install
 * (QEMU, docs/interop/firmware.json). libvirt chooses by the same files. */
#pragma once

#include "mover/filter/domain.h"

/* Reads one descriptor; the sizes are 0 until the files were looked at. -EBADMSG if it is none;
 * -ENOTSUP if it is one of something else than flash images in raw files for x86_64. */
int firmware_parse(const char *json, size_t len, struct domain_firmware_here *ret);

/* All firmware of this host, in libvirt's order, at most DOMAIN_FIRMWARE_MAX. */
void firmware_list(struct domain_host *ret);

/* That of a VM which boots this file. -ENOENT: no descriptor names it. */
int firmware_of(const char *code, struct domain_firmware *ret);

/* The same over other folders, for the tests: later ones override earlier ones, NULL ends. Calls
 * `fn` for each that can be used, until it returns true. */
typedef bool (*firmware_fn)(void *ctx, const struct domain_firmware_here *firmware);
void firmware_each(const char *const *folders, firmware_fn fn, void *ctx);
