/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU in a VM's definition. */
#include "mover/filter/roam-xml.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mover/filter/edit-xml.h"

static int unreadable(struct kerr *err)
{
	kerr_clear(err);
	return kerr_set(err, EBADMSG, KCODE_DOMAIN,
			"The VM's definition has more in it than Kith can read, so its CPU is not "
			"changed; `virsh edit` can.");
}

static xmlNode *kept_in(const xmlNode *domain)
{
	return edit_note(domain, ROAM_XML_NS, "roam");
}

/* -- keeping -- */

/* The element is there even if there was no <cpu>: then none comes back. */
static int keep(xmlNode *domain, const xmlNode *cpu)
{
	xmlNode *roam = edit_note_add(domain, ROAM_XML_NS, "roam");

	return roam && (!cpu || edit_copy(roam, cpu)) ? 0 : -ENOMEM;
}

/* -- the new CPU -- */

static xmlNode *feature_of(const xmlNode *cpu, const char *name)
{
	for (xmlNode *c = cpu->children; c; c = c->next)
		if (edit_is(c, "feature") && strcmp(filter_prop(c, "name") ?: "", name) == 0)
			return c;
	return NULL;
}

/* What its owner took away stays away. */
static int switch_off(xmlNode *cpu, const xmlNode *feature)
{
	const char *name = filter_prop(feature, "name");
	xmlNode *there = name ? feature_of(cpu, name) : NULL;

	if (there) {
		xmlSetProp(there, BAD_CAST "policy", BAD_CAST filter_prop(feature, "policy"));
		return 0;
	}
	return edit_copy(cpu, feature) ? 0 : -ENOMEM;
}

static bool is_off(const xmlNode *feature)
{
	const char *policy = filter_prop(feature, "policy") ?: "";

	return edit_is(feature, "feature") &&
	       (strcmp(policy, "disable") == 0 || strcmp(policy, "forbid") == 0);
}

/* A cache that is passed through is the processor's. */
static bool stays(const xmlNode *node)
{
	return edit_is(node, "topology") || edit_is(node, "numa") ||
	       (edit_is(node, "cache") &&
		strcmp(filter_prop(node, "mode") ?: "", "passthrough") != 0);
}

static int take_over(xmlNode *cpu, const xmlNode *old)
{
	int r = 0;

	for (xmlNode *c = old->children; r == 0 && c; c = c->next) {
		if (is_off(c))
			r = switch_off(cpu, c);
		else if (stays(c))
			r = edit_copy(cpu, c) ? 0 : -ENOMEM;
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

static int parse(const char *xml, xmlDoc **ret, xmlNode **ret_root, struct kerr *err)
{
	int r = edit_parse(xml, ret, ret_root, err);

	return r < 0 && r != -ENOMEM ? unreadable(err) : r;
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
	if (!edit_is(domain, "domain") || !edit_is(from, "cpu"))
		return unreadable(err);
	old = edit_child(domain, "cpu");
	if (make_cpu(domain, from, old, &cpu) < 0)
		return edit_no_memory(err);
	if (!kept_in(domain) && keep(domain, old) < 0) {
		xmlFreeNode(cpu);
		return edit_no_memory(err);
	}
	return edit_replace(domain, old, cpu) < 0 ? edit_no_memory(err)
						  : edit_text(domain, ret, err);
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
	cpu = edit_child(kept, "cpu");
	if (cpu)
		xmlUnlinkNode(cpu);
	if (edit_replace(domain, edit_child(domain, "cpu"), cpu) < 0)
		return edit_no_memory(err);
	edit_note_drop(kept);
	return edit_text(domain, ret, err);
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
	cpu = r == 0 ? edit_child(domain, "cpu") : NULL;
	if (!cpu)
		return r;
	snprintf(ret_word, ROAM_XML_WORD_MAX + 1, "%s", word_of(cpu));
	return edit_text(cpu, ret_text, &err);
}
