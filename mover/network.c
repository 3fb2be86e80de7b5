/* SPDX-License-Identifier: Apache-2.0 */
/* Asked before anything is copied: libvirt itself would say so only when it starts the copy. */
#include "mover/network.h"

#include <string.h>

#include "base/log.h"
#include "mover/names.h"
#include "mover/virt-internal.h"

#define NONE "none"

static void say_undefined(struct domain_network *n)
{
	kerr_set(
		&n->missing, ENOENT, KCODE_NOT_READY,
		"The VM is on libvirt's network \"%s\", which is not defined at the destination. "
		"Define it there as it is here (`virsh net-dumpxml %s`), then `virsh net-start %s` "
		"and `virsh net-autostart %s`.",
		n->name, n->name, n->name, n->name);
}

static void say_inactive(struct domain_network *n)
{
	kerr_set(
		&n->missing, ENETDOWN, KCODE_NOT_READY,
		"The VM is on libvirt's network \"%s\", which is not active at the destination. Do "
		"there `virsh net-start %s`, and `virsh net-autostart %s` so that it is active "
		"after each start of the computer.",
		n->name, n->name, n->name);
}

static void look_up(struct virt *v, struct domain_network *n)
{
	virNetworkPtr network;
	virErrorPtr e;

	if (virt_ensure(v, &n->missing) < 0)
		return;
	network = virNetworkLookupByName(v->conn, n->name);
	if (network) {
		if (virNetworkIsActive(network) != 1)
			say_inactive(n);
		virNetworkFree(network);
		return;
	}
	e = virGetLastError();
	if (e && (e->code == VIR_ERR_NO_NETWORK || e->code == VIR_ERR_NO_SUPPORT))
		say_undefined(n);
	else
		virt_fail(&n->missing, "Looking the network up");
}

static void choose_other(const char *other, struct domain_networks *ret)
{
	if (strcmp(other, NONE) == 0 || !other[0])
		return;
	for (size_t i = 0; i < ret->count; i++)
		if (strcmp(ret->list[i].name, other) == 0) {
			memcpy(ret->other, ret->list[i].name, sizeof(ret->other));
			return;
		}
	log_warning("network",
		    "\"%s\" of other_network in kith.conf is none of the networks there; it does "
		    "not count.",
		    other);
}

void network_look(struct virt *v, const char *names, const char *other, struct domain_networks *ret)
{
	char name[NAME_MAX_LEN + 1];

	*ret = (struct domain_networks){0};
	while (*names) {
		if (!names_next(&names, name))
			continue;
		if (ret->count == DOMAIN_NETWORKS_MAX) {
			log_warning("network",
				    "More than %d networks in kith.conf; \"%s\" does not "
				    "count.",
				    DOMAIN_NETWORKS_MAX, name);
			continue;
		}
		memcpy(ret->list[ret->count].name, name, sizeof(name));
		look_up(v, &ret->list[ret->count++]);
	}
	choose_other(other, ret);
}
