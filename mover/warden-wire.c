/* SPDX-License-Identifier: Apache-2.0 */
/* Codec of what is said to kith-warden. */
#include "mover/warden-wire.h"

static void warden_vm_code(struct coder *c, struct warden_vm *v)
{
	CODE_BYTES(c, v->uuid);
}
DEFINE_RECORD(warden_vm)

static void warden_answer_code(struct coder *c, struct warden_answer *v)
{
	CODE_ENUM(c, v->copy, _WARDEN_COPY_MAX);
}
DEFINE_RECORD(warden_answer)
