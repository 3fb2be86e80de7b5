/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU in a VM's definition. */
#include "mover/filter/roam-xml.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mover/filter/domain.h"
#include "mover/filter/xml-filter.h"

static void free_buffer(xmlBuffer **b)
{
	xmlBufferFree(*b);
}

static int no_memory(struct kerr *err)
{
	return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
}

static int unreadable(struct kerr *err)
{
	kerr_clear(err);
	return kerr_set(err, EBADMSG, KCODE_DOMAIN,
			"The VM's definition has more in it than Kith can read, so its CPU is not "
			"changed; `virsh edit` can.");
}

static bool is_named(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static xmlNode *child_of(const xmlNode *node, const char *name)
{
	for (xmlNode *c = node->children; c; c = c->next)
		if (!c->ns && is_named(c, name))
			return c;
	return NULL;
}

/* Kith's own element in <metadata>. */
static xmlNode *kept_in(const xmlNode *domain)
{
	const xmlNode *metadata = child_of(domain, "metadata");

	for (xmlNode *c = metadata ? metadata->children : NULL; c; c = c->next)
		if (is_named(c, "roam") && c->ns && c->ns->href &&
		    strcmp((const char *)c->ns->href, ROAM_XML_NS) == 0)
			return c;
	return NULL;
}

static void drop(xmlNode *node)
{
	xmlUnlinkNode(node);
	xmlFreeNode(node);
}

/* -- keeping -- */

static xmlNode *metadata_of(xmlNode *domain)
{
	xmlNode *metadata = child_of(domain, "metadata");

	return metadata ? metadata : xmlNewChild(domain, NULL, BAD_CAST "metadata", NULL);
}

/* The element is there even if there was no <cpu>: then none comes back. */
static int keep(xmlNode *domain, const xmlNode *cpu)
{
	xmlNode *metadata = metadata_of(domain);
	xmlNode *roam = metadata ? xmlNewChild(metadata, NULL, BAD_CAST "roam", NULL) : NULL;
	xmlNs *ns = roam ? xmlNewNs(roam, BAD_CAST ROAM_XML_NS, BAD_CAST "kith") : NULL;
	xmlNode *copy;

	if (!ns)
		return -ENOMEM;
	xmlSetNs(roam, ns);
	if (!cpu)
		return 0;
	copy = xmlDocCopyNode((xmlNode *)(uintptr_t)cpu, domain->doc, 1);
	return copy && xmlAddChild(roam, copy) ? 0 : -ENOMEM;
}

/* <metadata> that held nothing else was ours, too. */
static void forget(xmlNode *kept)
{
	xmlNode *metadata = kept->parent;

	drop(kept);
	if (!xmlFirstElementChild(metadata))
		drop(metadata);
}

/* -- the new CPU -- */

static xmlNode *feature_of(const xmlNode *cpu, const char *name)
{
	for (xmlNode *c = cpu->children; c; c = c->next)
		if (is_named(c, "feature") && strcmp(filter_prop(c, "name") ?: "", name) == 0)
			return c;
	return NULL;
}

/* What its owner took away stays away. */
static int switch_off(xmlNode *cpu, const xmlNode *feature)
{
	const char *name = filter_prop(feature, "name");
	xmlNode *there = name ? feature_of(cpu, name) : NULL;
	xmlNode *copy;

	if (there) {
		xmlSetProp(there, BAD_CAST "policy", BAD_CAST filter_prop(feature, "policy"));
		return 0;
	}
	copy = xmlDocCopyNode((xmlNode *)(uintptr_t)feature, cpu->doc, 1);
	return copy && xmlAddChild(cpu, copy) ? 0 : -ENOMEM;
}

static bool is_off(const xmlNode *feature)
{
	const char *policy = filter_prop(feature, "policy") ?: "";

	return is_named(feature, "feature") &&
	       (strcmp(policy, "disable") == 0 || strcmp(policy, "forbid") == 0);
}

/* A cache that is passed through is the processor's. */
static bool stays(const xmlNode *node)
{
	return is_named(node, "topology") || is_named(node, "numa") ||
	       (is_named(node, "cache") &&
		strcmp(filter_prop(node, "mode") ?: "", "passthrough") != 0);
}

static int take_over(xmlNode *cpu, const xmlNode *old)
{
	int r = 0;

	for (xmlNode *c = old->children; r == 0 && c; c = c->next) {
		if (is_off(c)) {
			r = switch_off(cpu, c);
		} else if (stays(c)) {
			xmlNode *copy = xmlDocCopyNode(c, cpu->doc, 1);

			r = copy && xmlAddChild(cpu, copy) ? 0 : -ENOMEM;
		}
	}
	return r;
}

/* A copy that belongs to the definition's document. */
static int make_cpu(xmlNode *domain, const xmlNode *from, const xmlNode *old, xmlNode **ret)
{
	xmlNode *cpu = xmlDocCopyNode((xmlNode *)(uintptr_t)from, domain->doc, 1);

	if (!cpu)
		return -ENOMEM;
	xmlSetProp(cpu, BAD_CAST "check", BAD_CAST "partial");
	if (old && take_over(cpu, old) < 0) {
		xmlFreeNode(cpu);
		return -ENOMEM;
	}
	*ret = cpu;
	return 0;
}

static int replace(xmlNode *domain, xmlNode *old, xmlNode *cpu)
{
	if (!old)
		return !cpu || xmlAddChild(domain, cpu) ? 0 : -ENOMEM;
	if (cpu)
		xmlAddNextSibling(old, cpu);
	drop(old);
	return 0;
}

static int put_out(xmlNode *domain, char **ret, struct kerr *err)
{
	_cleanup_(free_buffer) xmlBuffer *text = xmlBufferCreate();

	if (!text || xmlNodeDump(text, domain->doc, domain, 0, 0) < 0)
		return no_memory(err);
	*ret = strdup((const char *)xmlBufferContent(text));
	return *ret ? 0 : no_memory(err);
}

static int parse(const char *xml, xmlDoc **ret, xmlNode **ret_root, struct kerr *err)
{
	int r = filter_parse(xml, strlen(xml), DOMAIN_XML_MAX, DOMAIN_DEPTH_MAX, "definition", ret,
			     err);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return unreadable(err);
	*ret_root = xmlDocGetRootElement(*ret);
	return 0;
}

int roam_xml_set(const char *definition, const char *text, char **ret, struct kerr *err)
{
	_cleanup_doc_ xmlDoc *doc = NULL, *cpu_doc = NULL;
	xmlNode *domain, *from, *old, *cpu = NULL;
	int r = parse(definition, &doc, &domain, err);

	if (r == 0)
		r = parse(text, &cpu_doc, &from, err);
	if (r < 0)
		return r;
	if (!is_named(domain, "domain") || !is_named(from, "cpu"))
		return unreadable(err);
	old = child_of(domain, "cpu");
	if (make_cpu(domain, from, old, &cpu) < 0)
		return no_memory(err);
	if (!kept_in(domain) && keep(domain, old) < 0) {
		xmlFreeNode(cpu);
		return no_memory(err);
	}
	return replace(domain, old, cpu) < 0 ? no_memory(err) : put_out(domain, ret, err);
}

int roam_xml_undo(const char *definition, char **ret, struct kerr *err)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	xmlNode *domain, *kept, *cpu;
	int r = parse(definition, &doc, &domain, err);

	if (r < 0)
		return r;
	kept = kept_in(domain);
	if (!kept)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"Kith has given this VM no CPU, so there is none to go back to.");
	cpu = child_of(kept, "cpu");
	if (cpu)
		xmlUnlinkNode(cpu);
	if (replace(domain, child_of(domain, "cpu"), cpu) < 0)
		return no_memory(err);
	forget(kept);
	return put_out(domain, ret, err);
}

bool roam_xml_kept(const char *definition)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct kerr ignored = {0};
	xmlNode *domain;

	return parse(definition, &doc, &domain, &ignored) == 0 && kept_in(domain);
}

static const char *word_of(const xmlNode *cpu)
{
	const char *mode = filter_prop(cpu, "mode");
	const xmlNode *model = filter_child(cpu, "model");
	const char *word = model ? filter_text_of(model) : NULL;

	if (mode && strcmp(mode, "custom") != 0)
		return mode;
	return word && text_is_name(word, ROAM_XML_WORD_MAX) ? word : "";
}

int roam_xml_cpu(const char *definition, char ret_word[ROAM_XML_WORD_MAX + 1], char **ret_text)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct kerr err = {0};
	xmlNode *domain, *cpu;
	int r = parse(definition, &doc, &domain, &err);

	ret_word[0] = '\0';
	*ret_text = NULL;
	cpu = r == 0 ? child_of(domain, "cpu") : NULL;
	if (!cpu)
		return r;
	snprintf(ret_word, ROAM_XML_WORD_MAX + 1, "%s", word_of(cpu));
	return put_out(cpu, ret_text, &err);
}
