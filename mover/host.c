/* SPDX-License-Identifier: Apache-2.0 */
/* Asks libvirt for its domain capabilities, with and without KVM. */
#include "mover/host.h"

#include <string.h>

#include "base/log.h"
#include "mover/cpus.h"
#include "mover/filter/fit-xml.h"
#include "mover/filter/xml-filter.h"
#include "mover/firmware.h"
#include "mover/virt-internal.h"

#define XML_MAX (1u << 20)
#define XML_DEPTH_MAX 24

/* <parent><name>, through as many as are named. */
static const xmlNode *descend(const xmlNode *node, const char *const *names)
{
	for (; node && *names; names++)
		node = filter_child(node, *names);
	return node;
}

/* <enum name='NAME'><value>VALUE</value></enum> */
static bool has_value(const xmlNode *node, const char *name, const char *value)
{
	for (const xmlNode *e = node ? node->children : NULL; e; e = e->next) {
		if (e->type != XML_ELEMENT_NODE || strcmp(filter_prop(e, "name") ?: "", name) != 0)
			continue;
		for (const xmlNode *v = e->children; v; v = v->next)
			if (v->type == XML_ELEMENT_NODE &&
			    strcmp(filter_text_of(v) ?: "", value) == 0)
				return true;
	}
	return false;
}

static bool supported(const xmlNode *node)
{
	return node && strcmp(filter_prop(node, "supported") ?: "", "yes") == 0;
}

static void read_machine(const xmlNode *root, struct domain_host *ret)
{
	const xmlNode *machine = filter_child(root, "machine");
	const char *text = machine ? filter_text_of(machine) : NULL;
	unsigned major, minor;

	if (text && sscanf(text, "pc-q35-%2u.%2u", &major, &minor) == 2)
		ret->machine = 100 * major + minor;
}

static void read_capabilities(struct virt *v, const xmlNode *root, bool kvm,
			      struct domain_host *ret)
{
	const xmlNode *devices = filter_child(root, "devices");
	const xmlNode *tpm = descend(devices, (const char *const[]){"tpm", NULL});

	read_machine(root, ret);
	ret->kvm |= kvm;
	ret->spice |= has_value(descend(devices, (const char *const[]){"graphics", NULL}), "type",
				"spice");
	ret->tpm |= supported(tpm) && has_value(tpm, "backendModel", "emulator");
	cpus_of_host(v, filter_child(root, "cpu"), kvm, &ret->cpu[kvm]);
}

static void look(struct virt *v, bool kvm, struct domain_host *ret)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct kerr err = {0};
	char *xml = virConnectGetDomainCapabilities(v->conn, NULL, "x86_64", "q35",
						    kvm ? "kvm" : "qemu", 0);

	if (!xml)
		return;
	if (filter_parse(xml, strlen(xml), XML_MAX, XML_DEPTH_MAX, "capabilities", &doc, &err) == 0)
		read_capabilities(v, xmlDocGetRootElement(doc), kvm, ret);
	else
		log_warning("host", "libvirt's capabilities cannot be read.");
	free(xml);
}

/* Whether they have values libvirt does not tell. */
static void list_secrets(struct virt *v, struct domain_host *ret)
{
	virSecretPtr *list = NULL;
	int n = virConnectListAllSecrets(v->conn, &list, 0);

	for (int i = 0; i < n; i++) {
		if (ret->secret_count < DOMAIN_SECRETS_MAX &&
		    virSecretGetUsageType(list[i]) == VIR_SECRET_USAGE_TYPE_VTPM &&
		    virSecretGetUUID(list[i], ret->secrets[ret->secret_count]) == 0)
			ret->secret_count++;
		virSecretFree(list[i]);
	}
	free(list);
}

void host_look(struct virt *v, struct domain_host *ret)
{
	struct kerr err = {0};

	*ret = (struct domain_host){0};
	if (virt_ensure(v, &err) < 0)
		return;
	look(v, false, ret);
	look(v, true, ret);
	list_secrets(v, ret);
	firmware_list(ret);
}

void host_cpu(struct virt *v, bool kvm, struct cpu *ret)
{
	_cleanup_free_ struct domain_host *host = calloc(1, sizeof(*host));
	struct kerr err = {0};

	*ret = (struct cpu){0};
	if (!host || virt_ensure(v, &err) < 0)
		return;
	look(v, kvm, host);
	*ret = host->cpu[kvm];
}

static bool asked(const char *want, bool has)
{
	return !want[0] || (strcmp(want, "yes") == 0) == has;
}

/* The firmware that it boots; of a VM that is off, the one that libvirt would choose: the first
 * that has what is asked for. */
static int read_firmware(const struct domain_facts *facts, struct domain_firmware *ret)
{
	struct domain_host host = {0};

	if (facts->loader[0])
		return firmware_of(facts->loader, ret);
	firmware_list(&host);
	for (size_t i = 0; i < host.firmware_count; i++) {
		const struct domain_firmware_here *f = &host.firmware[i];

		if ((facts->q35 ? f->q35 : f->i440fx) &&
		    asked(facts->secure_boot, f->does.secure_boot) &&
		    asked(facts->enrolled_keys, f->does.enrolled_keys)) {
			*ret = f->does;
			return 0;
		}
	}
	return -ENOENT;
}

/* Of a VM that runs what it has; of one that is off what its owner gave it. */
static int read_cpu(struct virt *v, const struct domain_facts *facts, const char *definition,
		    struct cpu *ret, struct kerr *err)
{
	_cleanup_free_ struct cpu *host = calloc(1, sizeof(*host));
	_cleanup_free_ char *wish = NULL;
	bool kvm = facts->kvm;
	int r = host ? 0 : -ENOMEM;

	if (r == 0 && definition)
		r = fit_wish(definition, &wish, &kvm, err);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The VM's CPU cannot be read.");
	host_cpu(v, kvm, host);
	if (wish)
		cpus_of_definition(v, wish, host, ret);
	else
		cpus_of_guest(v, facts->uuid, host, ret);
	return 0;
}

int host_origin(struct virt *v, const struct domain_facts *facts, const char *definition,
		struct domain_origin *ret, struct kerr *err)
{
	*ret = (struct domain_origin){.uefi = facts->uefi};
	if (facts->uefi && read_firmware(facts, &ret->firmware) < 0)
		return kerr_set(err, ENOENT, KCODE_DOMAIN,
				"The VM boots UEFI firmware%s%.300s that none of libvirt's "
				"firmware descriptors names, so no other device can find the same. "
				"Let libvirt choose it (`<os firmware='efi'>`).",
				facts->loader[0] ? " from " : "", facts->loader);
	return read_cpu(v, facts, definition, &ret->cpu, err);
}
