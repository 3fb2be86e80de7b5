/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and replaces definitions. */
#include "mover/definition.h"

#include <string.h>

#include "base/log.h"
#include "mover/filter/roam-xml.h"
#include "mover/virt-internal.h"

void definition_done(struct definition *d)
{
	free(d->kept);
	free(d->live);
	*d = (struct definition){0};
}

/* Without SECURE a display's password would be lost by writing it back. */
static char *read_kept(virDomainPtr dom)
{
	return virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
}

int definition_read(struct virt *v, const uint8_t uuid[UUID_LEN], struct definition *ret,
		    struct kerr *err)
{
	static const char kvm[] = "<domain type='kvm'";
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	if (virDomainIsPersistent(dom) != 1)
		return kerr_set(err, EPERM, KCODE_DOMAIN,
				"libvirt keeps no definition of this VM, so it has no next start "
				"that another CPU could be for. Define it (`virsh define`).");
	*ret = (struct definition){.kept = read_kept(dom)};
	if (ret->kept && virDomainIsActive(dom) == 1)
		ret->live = virDomainGetXMLDesc(dom, 0);
	if (!ret->kept || (!ret->live && virDomainIsActive(dom) == 1)) {
		definition_done(ret);
		return virt_fail(err, "Reading the VM's definition");
	}
	ret->kvm = strncmp(ret->kept, kvm, sizeof(kvm) - 1) == 0;
	return 0;
}

bool definition_waits(const struct definition *d)
{
	return d->live && roam_xml_kept(d->kept) != roam_xml_kept(d->live);
}

int definition_replace(struct virt *v, const uint8_t uuid[UUID_LEN], const char *xml,
		       struct definition *d, struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL, defined = NULL;
	_cleanup_free_ char *now = NULL;
	int r = virt_lookup(v, uuid, &dom, err);

	if (r < 0)
		return r;
	now = read_kept(dom);
	if (!now || strcmp(now, d->kept) != 0)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"The VM's definition was changed meanwhile, so nothing is. Try "
				"again.");
	defined = virDomainDefineXMLFlags(v->conn, xml, 0);
	if (!defined)
		return virt_fail(err, "Changing the VM's definition");
	free(d->kept);
	d->kept = read_kept(defined);
	log_notice("roam", "The definition of the VM \"%s\" has another CPU, as its owner wished.",
		   virDomainGetName(defined));
	return d->kept ? 0 : virt_fail(err, "Reading the VM's definition");
}
