/* SPDX-License-Identifier: Apache-2.0 */
/* Has libvirt say in full what a CPU is. */
#include "mover/cpus.h"

#include <string.h>

#include "base/log.h"
#include "mover/filter/edit-xml.h"
#include "mover/virt-internal.h"

#define XML_MAX (1u << 20)
#define XML_DEPTH_MAX DOMAIN_DEPTH_MAX

static void free_buffer(xmlBuffer **b)
{
	xmlBufferFree(*b);
}

static void free_text(char **text)
{
	free(*text);
}

/* A <cpu> of what libvirt needs to know it by: its model, its vendor, and its features. */
static int write_cpu(const xmlNode *from, xmlBuffer *out)
{
	xmlBufferCCat(out, "<cpu mode='custom' match='exact'>");
	for (xmlNode *c = from->children; c; c = c->next)
		if (edit_is(c, "model") || edit_is(c, "vendor") || edit_is(c, "feature"))
			if (xmlNodeDump(out, c->doc, c, 0, 0) < 0)
				return -ENOMEM;
	return xmlBufferCCat(out, "</cpu>") == 0 ? 0 : -ENOMEM;
}

static int read_cpu(const char *xml, struct cpu *ret)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct kerr err = {0};
	int r = filter_parse(xml, strlen(xml), XML_MAX, XML_DEPTH_MAX, "CPU", &doc, &err);

	return r < 0 ? r : cpu_read(xmlDocGetRootElement(doc), ret);
}

/* With one CPU to find a baseline of, that is itself: all its features named, but those that this
 * host cannot give. */
static int expand_text(struct virt *v, const char *one, bool kvm, struct cpu *ret)
{
	_cleanup_(free_text) char *all = NULL;

	all = virConnectBaselineHypervisorCPU(v->conn, NULL, "x86_64", NULL, kvm ? "kvm" : "qemu",
					      &one, 1, VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES);
	return all ? read_cpu(all, ret) : -EIO;
}

static int expand(struct virt *v, const xmlNode *cpu, bool kvm, struct cpu *ret)
{
	_cleanup_(free_buffer) xmlBuffer *text = xmlBufferCreate();

	if (!text || write_cpu(cpu, text) < 0)
		return -ENOMEM;
	return expand_text(v, (const char *)xmlBufferContent(text), kvm, ret);
}

static const xmlNode *host_model(const xmlNode *capabilities)
{
	for (const xmlNode *c = capabilities ? capabilities->children : NULL; c; c = c->next)
		if (edit_is(c, "mode") && strcmp(filter_prop(c, "name") ?: "", "host-model") == 0 &&
		    strcmp(filter_prop(c, "supported") ?: "", "yes") == 0)
			return c;
	return NULL;
}

void cpus_of_host(struct virt *v, const xmlNode *capabilities, bool kvm, struct cpu *ret)
{
	const xmlNode *model = host_model(capabilities);
	unsigned long version = 0;

	*ret = (struct cpu){0};
	if (!model || expand(v, model, kvm, ret) < 0) {
		log_info("cpus", "libvirt does not tell the CPU of its guests (%s).",
			 kvm ? "kvm" : "qemu");
		return;
	}
	/* What QEMU's emulation can do besides has no name: its release stands for that. */
	if (!kvm && virConnectGetVersion(v->conn, &version) == 0)
		ret->qemu = (uint32_t)(version / 1000); /* without the last number */
}

static void read_guest(struct virt *v, const xmlNode *domain, const struct cpu *host,
		       struct cpu *ret)
{
	const xmlNode *cpu = filter_child(domain, "cpu");
	const char *mode = cpu ? filter_prop(cpu, "mode") : NULL;
	bool kvm = strcmp(filter_prop(domain, "type") ?: "", "kvm") == 0;

	if (mode && strcmp(mode, "custom") != 0) {
		*ret = *host;
		return;
	}
	if (!cpu || expand(v, cpu, kvm, ret) < 0) {
		*ret = (struct cpu){0};
		return;
	}
	cpu_keep(ret, host);
}

void cpus_of_definition(struct virt *v, const char *xml, const struct cpu *host, struct cpu *ret)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct kerr err = {0};

	*ret = (struct cpu){0};
	if (virt_ensure(v, &err) == 0 &&
	    filter_parse(xml, strlen(xml), DOMAIN_XML_MAX, XML_DEPTH_MAX, "VM configuration", &doc,
			 &err) == 0)
		read_guest(v, xmlDocGetRootElement(doc), host, ret);
}

void cpus_of_guest(struct virt *v, const uint8_t uuid[UUID_LEN], const struct cpu *host,
		   struct cpu *ret)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	_cleanup_(free_text) char *xml = NULL;
	struct kerr err = {0};

	*ret = (struct cpu){0};
	if (virt_lookup(v, uuid, &dom, &err) < 0)
		return;
	xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_UPDATE_CPU);
	if (xml)
		cpus_of_definition(v, xml, host, ret);
}

/* -- what several hosts can give -- */

struct texts {
	char *list[CPUS_HOSTS_MAX];
};

static void free_texts(struct texts *t)
{
	for (size_t i = 0; i < CPUS_HOSTS_MAX; i++)
		free(t->list[i]);
}

static void put_features(xmlBuffer *out, const char *policy, const char *names)
{
	while (*names) {
		size_t len = strcspn(names, " ");

		xmlBufferCCat(out, "<feature policy='");
		xmlBufferCCat(out, policy);
		xmlBufferCCat(out, "' name='");
		xmlBufferAdd(out, (const xmlChar *)names, (int)len);
		xmlBufferCCat(out, "'/>");
		names += len;
		names += *names == ' ';
	}
}

static char *write_host(const struct cpu *host, const char *without)
{
	_cleanup_(free_buffer) xmlBuffer *out = xmlBufferCreate();

	if (!out)
		return NULL;
	xmlBufferCCat(out, "<cpu mode='custom' match='exact'><model fallback='forbid'>");
	xmlBufferCCat(out, host->model);
	xmlBufferCCat(out, "</model>");
	if (host->vendor[0]) {
		xmlBufferCCat(out, "<vendor>");
		xmlBufferCCat(out, host->vendor);
		xmlBufferCCat(out, "</vendor>");
	}
	put_features(out, "require", host->features);
	put_features(out, "disable", without);
	xmlBufferCCat(out, "</cpu>");
	return strdup((const char *)xmlBufferContent(out));
}

/* What the model's name means here and the host does not have is named as missing. What even this
 * host does not have the baseline leaves out anyway. */
static int describe(struct virt *v, const struct cpu *host, bool kvm, char **ret)
{
	_cleanup_free_ struct cpu *model = calloc(1, sizeof(*model));
	_cleanup_free_ struct cpu *bare = calloc(1, sizeof(*bare));
	_cleanup_(free_text) char *text = NULL;
	int r;

	if (!model || !bare)
		return -ENOMEM;
	memcpy(bare->model, host->model, sizeof(bare->model));
	text = write_host(bare, "");
	if (!text)
		return -ENOMEM;
	r = expand_text(v, text, kvm, model);
	if (r < 0)
		return r;
	cpu_drop(model, host);
	*ret = write_host(host, model->features);
	return *ret ? 0 : -ENOMEM;
}

static int no_baseline(struct kerr *err)
{
	virErrorPtr e = virGetLastError();

	return kerr_set(err, ENOTSUP, KCODE_DOMAIN,
			"libvirt here finds no CPU that all these devices can give; it says: "
			"%.200s. Leave one out with --devices.",
			e && e->message ? e->message : "no reason given");
}

int cpus_baseline(struct virt *v, const struct cpu *hosts, size_t n, bool kvm, char **ret,
		  struct kerr *err)
{
	_cleanup_(free_texts) struct texts t = {0};
	int r = n <= CPUS_HOSTS_MAX ? virt_ensure(v, err) : -E2BIG;

	for (size_t i = 0; r == 0 && i < n; i++)
		if (describe(v, &hosts[i], kvm, &t.list[i]) < 0)
			return no_baseline(err);
	if (r < 0)
		return r;
	*ret = virConnectBaselineHypervisorCPU(v->conn, NULL, "x86_64", NULL, kvm ? "kvm" : "qemu",
					       (const char **)t.list, (unsigned)n,
					       VIR_CONNECT_BASELINE_CPU_MIGRATABLE);
	return *ret ? 0 : no_baseline(err);
}
