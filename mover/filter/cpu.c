/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, coding and comparing what CPUs can do: sorted lists of names, walked side by side. */
#include "mover/filter/cpu.h"

#include <stdlib.h>
#include <string.h>

#include "mover/filter/xml-filter.h"

#define FEATURES_MAX 1024 /* names, before anything is sorted */

/* One name of a list; it ends at a blank. */
struct name {
	const char *at;
	size_t len;
};

/* The next name behind *at; false at the end. */
static bool next_name(const char **at, struct name *ret)
{
	*at += strspn(*at, " ");
	*ret = (struct name){*at, strcspn(*at, " ")};
	*at += ret->len;
	return ret->len > 0;
}

static int compare(const struct name *a, const struct name *b)
{
	int r = memcmp(a->at, b->at, MIN_OF(a->len, b->len));

	return r ? r : (a->len > b->len) - (a->len < b->len);
}

static int compare_any(const void *a, const void *b)
{
	return compare(a, b);
}

static bool is_word(const char *text, size_t len, size_t max)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";

	return len && len <= max && text[0] != '-' && text[0] != '.' &&
	       strspn(text, allowed) >= len;
}

/* -- the record -- */

static bool list_ok(const char *list)
{
	struct name last = {"", 0}, n;
	const char *at = list;
	size_t len = 0;

	while (next_name(&at, &n)) {
		if (!is_word(n.at, n.len, CPU_NAME_MAX) || (last.len && compare(&last, &n) >= 0))
			return false;
		len += n.len + (last.len ? 1 : 0);
		last = n;
	}
	/* No other blanks than those between. */
	return len == strlen(list);
}

static bool may_be_empty(const char *text, size_t max)
{
	return !text[0] || is_word(text, strlen(text), max);
}

void cpu_code(struct coder *c, struct cpu *v)
{
	CODE_TEXT(c, v->model);
	CODE_TEXT(c, v->vendor);
	code_u32(c, &v->qemu);
	CODE_TEXT(c, v->features);
	code_check(c, code_good(c) && may_be_empty(v->model, CPU_MODEL_MAX) &&
			      may_be_empty(v->vendor, CPU_VENDOR_MAX) && list_ok(v->features));
	code_check(c, v->model[0] || !v->features[0]);
}

/* -- libvirt's element -- */

static const char *text_of(const xmlNode *node, const char *name)
{
	const xmlNode *child = filter_child(node, name);
	const char *text = child ? filter_text_of(child) : NULL;

	return text ? text : "";
}

/* A feature that it shall have; hosts' own lists name no policy. */
static bool is_given(const xmlNode *node)
{
	const char *policy = filter_prop(node, "policy");

	return !policy || strcmp(policy, "require") == 0 || strcmp(policy, "force") == 0;
}

static int collect(const xmlNode *cpu, struct name names[FEATURES_MAX], size_t *ret_n)
{
	size_t n = 0;

	for (const xmlNode *c = cpu->children; c; c = c->next) {
		const char *name;

		if (c->type != XML_ELEMENT_NODE || strcmp((const char *)c->name, "feature") != 0 ||
		    !is_given(c))
			continue;
		name = filter_prop(c, "name");
		if (!name || n == FEATURES_MAX || !is_word(name, strlen(name), CPU_NAME_MAX))
			return -EBADMSG;
		names[n++] = (struct name){name, strlen(name)};
	}
	*ret_n = n;
	return 0;
}

static int write_list(const struct name *names, size_t n, char ret[CPU_FEATURES_MAX])
{
	struct wbuf w = wbuf_init(ret, CPU_FEATURES_MAX - 1);

	for (size_t i = 0; i < n; i++) {
		if (i)
			wbuf_u8(&w, ' ');
		wbuf_bytes(&w, names[i].at, names[i].len);
	}
	ret[wbuf_error(&w) < 0 ? 0 : w.len] = '\0';
	return wbuf_error(&w);
}

int cpu_read(const xmlNode *node, struct cpu *ret)
{
	_cleanup_free_ struct name *names = calloc(FEATURES_MAX, sizeof(*names));
	_cleanup_free_ struct cpu *cpu = calloc(1, sizeof(*cpu));
	const char *model = text_of(node, "model"), *vendor = text_of(node, "vendor");
	size_t n;

	if (!names || !cpu)
		return -ENOMEM;
	if (!is_word(model, strlen(model), CPU_MODEL_MAX) ||
	    !may_be_empty(vendor, CPU_VENDOR_MAX) || collect(node, names, &n) < 0)
		return -EBADMSG;
	qsort(names, n, sizeof(*names), compare_any);
	if (write_list(names, n, cpu->features) < 0 || !list_ok(cpu->features))
		return -EBADMSG;
	snprintf(cpu->model, sizeof(cpu->model), "%s", model);
	snprintf(cpu->vendor, sizeof(cpu->vendor), "%s", vendor);
	*ret = *cpu;
	return 0;
}

/* -- comparing -- */

bool cpu_is_known(const struct cpu *c)
{
	return c->model[0];
}

/* Is `n` in the list that *at walks through? Both are sorted, and names are asked in order. */
static bool walk_to(const char **at, const struct name *n)
{
	const char *next = *at;
	struct name here;

	while (next_name(&next, &here)) {
		int r = compare(&here, n);

		if (r > 0)
			return false;
		*at = next;
		if (r == 0)
			return true;
	}
	return false;
}

bool cpu_is_same(const struct cpu *a, const struct cpu *b)
{
	return cpu_is_known(a) && strcmp(a->model, b->model) == 0 &&
	       strcmp(a->vendor, b->vendor) == 0 && a->qemu == b->qemu &&
	       strcmp(a->features, b->features) == 0;
}

static void sieve(struct cpu *c, const struct cpu *of, bool there_stays)
{
	const char *at = c->features, *there = of->features;
	size_t len = 0;
	struct name n;

	while (next_name(&at, &n)) {
		if (walk_to(&there, &n) != there_stays)
			continue;
		if (len)
			c->features[len++] = ' ';
		memmove(c->features + len, n.at, n.len);
		len += n.len;
	}
	c->features[len] = '\0';
}

void cpu_keep(struct cpu *c, const struct cpu *of)
{
	sieve(c, of, true);
}

void cpu_drop(struct cpu *c, const struct cpu *of)
{
	sieve(c, of, false);
}

bool cpu_other_vendor(const struct cpu *a, const struct cpu *b)
{
	return a->vendor[0] && b->vendor[0] && strcmp(a->vendor, b->vendor) != 0;
}

size_t cpu_lacks(const struct cpu *have, const struct cpu *want, char ret[CPU_WORDS_MAX])
{
	const char *at = want->features, *there = have->features;
	size_t count = 0, len = 0;
	struct name n;

	ret[0] = '\0';
	while (next_name(&at, &n)) {
		if (walk_to(&there, &n))
			continue;
		if (count++ < CPU_NAMED)
			len += (size_t)snprintf(ret + len, CPU_WORDS_MAX - len, "%s%.*s",
						len ? ", " : "", (int)n.len, n.at);
	}
	if (count > CPU_NAMED)
		snprintf(ret + len, CPU_WORDS_MAX - len, " and %zu more", count - CPU_NAMED);
	return count;
}
