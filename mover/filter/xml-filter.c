/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a parsed document along a table of allowed elements and writes a fresh one. */
#include "mover/filter/xml-filter.h"

#include <inttypes.h>
#include <libxml/parser.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"

#define NODES_MAX 20000u /* elements in one document; a real domain has about 300 */

int filter_refuse(struct filter *f, const char *fmt, ...)
{
	char text[KERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return kerr_set(f->err, EPERM, KCODE_DOMAIN, "%s", text);
}

/* Names come from the peer: only plain ones are repeated to people. */
static const char *plain_name(const xmlChar *name, char *buf, size_t size)
{
	size_t len = 0;

	for (; name && name[len] && len + 1 < size; len++) {
		char c = (char)name[len];

		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", c))
			return "?";
		buf[len] = c;
	}
	buf[len] = '\0';
	return len ? buf : "?";
}

/* ---- writer ---- */

static void put_raw(struct filter *f, const char *data, size_t len)
{
	if (f->error)
		return;
	if (len > FILTER_OUT_MAX - f->len) {
		f->error = -ENOBUFS;
		return;
	}
	if (f->len + len + 1 > f->size) {
		size_t size = f->size ? f->size * 2 : 8192;
		char *grown;

		while (size < f->len + len + 1)
			size *= 2;
		grown = realloc(f->out, size);
		if (!grown) {
			f->error = -ENOMEM;
			return;
		}
		f->out = grown;
		f->size = size;
	}
	memcpy(f->out + f->len, data, len);
	f->len += len;
	f->out[f->len] = '\0';
}

static void put_string(struct filter *f, const char *s)
{
	put_raw(f, s, strlen(s));
}

static const char *escape_of(char c)
{
	static const struct {
		char c;
		const char *text;
	} escapes[] = {
		{'&', "&amp;"},	  {'<', "&lt;"},   {'>', "&gt;"},  {'"', "&quot;"},
		{'\'', "&apos;"}, {'\n', "&#10;"}, {'\t', "&#9;"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++)
		if (escapes[i].c == c)
			return escapes[i].text;
	return NULL;
}

static void put_escaped(struct filter *f, const char *s)
{
	for (; *s; s++) {
		const char *escape = escape_of(*s);

		if (escape)
			put_string(f, escape);
		else
			put_raw(f, s, 1);
	}
}

void filter_open(struct filter *f, const char *name)
{
	if (f->in_tag)
		put_string(f, ">\n");
	put_string(f, "<");
	put_string(f, name);
	f->in_tag = true;
}

void filter_put_attr(struct filter *f, const char *name, const char *value)
{
	put_string(f, " ");
	put_string(f, name);
	put_string(f, "='");
	put_escaped(f, value);
	put_string(f, "'");
}

void filter_put_text(struct filter *f, const char *text)
{
	if (f->in_tag)
		put_string(f, ">");
	f->in_tag = false;
	put_escaped(f, text);
}

void filter_close(struct filter *f, const char *name)
{
	if (f->in_tag) {
		put_string(f, "/>\n");
	} else {
		put_string(f, "</");
		put_string(f, name);
		put_string(f, ">\n");
	}
	f->in_tag = false;
}

void filter_put_element(struct filter *f, const char *name, const char *text)
{
	filter_open(f, name);
	filter_put_text(f, text);
	filter_close(f, name);
}

int filter_take(struct filter *f, char **ret, size_t *ret_len)
{
	if (f->error)
		return f->error;
	if (!f->out)
		return -ENOMEM;
	*ret = TAKE_PTR(f->out);
	if (ret_len)
		*ret_len = f->len;
	f->len = f->size = 0;
	return 0;
}

void filter_done(struct filter *f)
{
	free(f->out);
	f->out = NULL;
	f->len = f->size = 0;
}

/* ---- reading ---- */

static const char *only_text(const xmlNode *first)
{
	if (!first)
		return "";
	if (first->type != XML_TEXT_NODE || first->next || !first->content)
		return NULL;
	return (const char *)first->content;
}

const char *filter_prop(const xmlNode *node, const char *name)
{
	for (const xmlAttr *a = node->properties; a; a = a->next)
		if (!a->ns && strcmp((const char *)a->name, name) == 0)
			return only_text(a->children);
	return NULL;
}

const char *filter_text_of(const xmlNode *node)
{
	return only_text(node->children);
}

const xmlNode *filter_child(const xmlNode *node, const char *name)
{
	for (const xmlNode *c = node->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && !c->ns &&
		    strcmp((const char *)c->name, name) == 0)
			return c;
	return NULL;
}

int filter_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t base = 10, v = 0;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	if (!*text)
		return -EBADMSG;
	for (; *text; text++) {
		static const char digits[] = "0123456789abcdef";
		char c = *text >= 'A' && *text <= 'F' ? (char)(*text - 'A' + 'a') : *text;
		const char *at = strchr(digits, c);
		uint64_t d = at ? (uint64_t)(at - digits) : 16;

		if (d >= base || v > (UINT64_MAX - d) / base)
			return -EBADMSG;
		v = v * base + d;
	}
	if (v > max)
		return -EBADMSG;
	*ret = v;
	return 0;
}

static int value_enum(const struct filter_attr *rule, const char *text, char *ret, size_t size)
{
	for (const char *const *v = rule->values; *v; v++)
		if (strcmp(*v, text) == 0)
			return snprintf(ret, size, "%s", *v) < (int)size ? 0 : -EBADMSG;
	return -EBADMSG;
}

static int value_number(const struct filter_attr *rule, const char *text, char *ret, size_t size)
{
	bool negative = rule->kind == FILTER_INT && text[0] == '-';
	uint64_t v;

	if (filter_number(text + negative, rule->max, &v) < 0)
		return -EBADMSG;
	if (rule->kind != FILTER_INT && v < rule->min)
		return -EBADMSG;
	if (rule->kind == FILTER_HEX)
		snprintf(ret, size, "0x%02" PRIx64, v);
	else
		snprintf(ret, size, "%s%" PRIu64, negative && v ? "-" : "", v);
	return 0;
}

static int value_token(const struct filter_attr *rule, const char *text, char *ret, size_t size)
{
	size_t len = strlen(text);
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.+-:";

	if (len == 0 || len > rule->max || len >= size || strspn(text, allowed) != len)
		return -EBADMSG;
	if (text[0] == '-' || text[0] == '.')
		return -EBADMSG;
	memcpy(ret, text, len + 1);
	return 0;
}

static int value_text(const struct filter_attr *rule, const char *text, char *ret, size_t size)
{
	size_t len = strlen(text);

	if (len > rule->max || len >= size || !text_is_clean(text))
		return -EBADMSG;
	memcpy(ret, text, len + 1);
	return 0;
}

static int value_mac(const char *text, char *ret, size_t size)
{
	uint8_t mac[6];
	char pair[3] = "";

	if (strlen(text) != 17)
		return -EBADMSG;
	for (size_t i = 0; i < 6; i++) {
		pair[0] = text[3 * i];
		pair[1] = text[3 * i + 1];
		if (hex_decode(pair, &mac[i], 1) < 0 || (i < 5 && text[3 * i + 2] != ':'))
			return -EBADMSG;
	}
	if (mac[0] & 1)
		return -EBADMSG;
	snprintf(ret, size, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
	return 0;
}

static int value_uuid(const char *text, char *ret, size_t size)
{
	static const size_t hyphens[] = {8, 13, 18, 23};
	char hex[33] = "";
	uint8_t raw[16];
	size_t n = 0, h = 0;

	for (size_t i = 0; text[i]; i++) {
		if (text[i] == '-' && h < ARRAY_SIZE(hyphens) && i == hyphens[h]) {
			h++;
			continue;
		}
		if (n >= 32)
			return -EBADMSG;
		hex[n++] = text[i];
	}
	if ((h != 0 && h != 4) || n != 32 || hex_decode(hex, raw, 16) < 0 || size < 37)
		return -EBADMSG;
	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*ret++ = '-';
		hex_encode(&raw[i], 1, ret);
		ret += 2;
	}
	return 0;
}

static int value_dotted(const char *text, char *ret, size_t size)
{
	size_t used = 0;

	for (unsigned parts = 0; parts < 5; parts++) {
		size_t len = strcspn(text, ".");
		char part[4];
		uint64_t v;

		if (len == 0 || len >= sizeof(part))
			return -EBADMSG;
		memcpy(part, text, len);
		part[len] = '\0';
		if (filter_number(part, 255, &v) < 0 || used + 5 > size)
			return -EBADMSG;
		used += (size_t)snprintf(ret + used, size - used, "%s%" PRIu64, parts ? "." : "",
					 v);
		text += len;
		if (!*text)
			return 0;
		text++;
	}
	return -EBADMSG;
}

int filter_value(const struct filter_attr *rule, const char *text, char *ret, size_t size)
{
	ret[0] = '\0';
	switch (rule->kind) {
	case FILTER_DROP:
		return 0;
	case FILTER_ENUM:
		return value_enum(rule, text, ret, size);
	case FILTER_UINT:
	case FILTER_HEX:
	case FILTER_INT:
		return value_number(rule, text, ret, size);
	case FILTER_TOKEN:
		return value_token(rule, text, ret, size);
	case FILTER_TEXT:
		return value_text(rule, text, ret, size);
	case FILTER_MAC:
		return value_mac(text, ret, size);
	case FILTER_UUID:
		return value_uuid(text, ret, size);
	case FILTER_DOTTED:
		return value_dotted(text, ret, size);
	}
	return -EBADMSG;
}

/* ---- walking ---- */

static const struct filter_attr *find_attr(const struct filter_attr *attrs, const xmlAttr *a)
{
	for (; attrs && attrs->name; attrs++)
		if (!a->ns && strcmp(attrs->name, (const char *)a->name) == 0)
			return attrs;
	return NULL;
}

static int one_attr(struct filter *f, const xmlNode *node, const struct filter_rule *rule,
		    const xmlAttr *a)
{
	const struct filter_attr *attr = find_attr(rule->attrs, a);
	char value[FILTER_TEXT_MAX + 1], plain[40];
	const char *text = only_text(a->children);

	if (!attr)
		return filter_refuse(f,
				     "The VM sets '%s' of <%s>, which this version of Kith "
				     "cannot hand over.",
				     plain_name(a->name, plain, sizeof(plain)), rule->name);
	if (!text || filter_value(attr, text, value, sizeof(value)) < 0) {
		if (attr->why)
			return filter_refuse(f, "%s", attr->why);
		return filter_refuse(f,
				     "The VM's <%s> has a value of '%s' that cannot be handed "
				     "over.",
				     (const char *)node->name, attr->name);
	}
	if (attr->kind != FILTER_DROP)
		filter_put_attr(f, attr->name, value);
	return 0;
}

int filter_attrs(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	for (const xmlAttr *a = node->properties; a; a = a->next) {
		int r = one_attr(f, node, rule, a);

		if (r < 0)
			return r;
	}
	for (const struct filter_attr *attr = rule->attrs; attr && attr->name; attr++)
		if (attr->required && !filter_prop(node, attr->name))
			return filter_refuse(f,
					     "The VM's <%s> lacks its '%s'; it cannot be handed "
					     "over.",
					     rule->name, attr->name);
	return 0;
}

static bool is_blank(const xmlNode *node)
{
	return node->content && strspn((const char *)node->content, " \t\r\n") ==
					strlen((const char *)node->content);
}

static const struct filter_rule *find_child(const struct filter_rule *children, const xmlNode *node)
{
	for (; children && children->name; children++)
		if (!node->ns && strcmp(children->name, (const char *)node->name) == 0)
			return children;
	return NULL;
}

static int refuse_unknown(struct filter *f, const xmlNode *node, const struct filter_rule *parent)
{
	char plain[40], prefix[24];

	if (node->ns && node->ns->prefix)
		return filter_refuse(f,
				     "The VM uses <%s:%s>, a private extension that bypasses "
				     "libvirt's checks; it cannot be handed over.",
				     plain_name(node->ns->prefix, prefix, sizeof(prefix)),
				     plain_name(node->name, plain, sizeof(plain)));
	return filter_refuse(f,
			     "The VM uses <%s> in <%s>, which this version of Kith cannot hand "
			     "over.",
			     plain_name(node->name, plain, sizeof(plain)), parent->name);
}

/* Each child as often as its row says; the parser's node limit bounds the work. */
static int check_counts(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	for (const struct filter_rule *c = rule->children; c && c->name; c++) {
		unsigned n = 0;

		for (const xmlNode *k = node->children; k; k = k->next)
			n += k->type == XML_ELEMENT_NODE && !k->ns &&
			     strcmp((const char *)k->name, c->name) == 0;
		if (n > (c->max ? c->max : 1))
			return filter_refuse(f,
					     "The VM has %u <%s> in <%s>, more than can be "
					     "handed over.",
					     n, c->name, rule->name);
		if (n < c->min)
			return filter_refuse(f,
					     "The VM's <%s> lacks its <%s>; it cannot be handed "
					     "over.",
					     rule->name, c->name);
	}
	return 0;
}

int filter_children(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	int r;

	for (const xmlNode *c = node->children; c; c = c->next) {
		const struct filter_rule *child;

		if (c->type == XML_COMMENT_NODE || (c->type == XML_TEXT_NODE && is_blank(c)))
			continue;
		if (c->type != XML_ELEMENT_NODE)
			return filter_refuse(f,
					     "The VM's <%s> contains text where none belongs; it "
					     "cannot be handed over.",
					     rule->name);
		child = find_child(rule->children, c);
		if (!child)
			return refuse_unknown(f, c, rule);
		r = filter_element(f, c, child);
		if (r < 0)
			return r;
	}
	return check_counts(f, node, rule);
}

static int put_text_value(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const char *text = filter_text_of(node);
	char value[FILTER_TEXT_MAX + 1];

	if (!text || filter_value(rule->text, text, value, sizeof(value)) < 0) {
		if (rule->text->why)
			return filter_refuse(f, "%s", rule->text->why);
		return filter_refuse(f, "The VM's <%s> has a value that cannot be handed over.",
				     rule->name);
	}
	if (value[0])
		filter_put_text(f, value);
	return 0;
}

int filter_element(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	int r;

	if (rule->act == FILTER_SKIP)
		return 0;
	if (rule->act == FILTER_REFUSE)
		return filter_refuse(f, "%s", rule->why);
	r = rule->enter ? rule->enter(f, node, rule) : 0;
	if (r != 0)
		return r < 0 ? r : 0;
	filter_open(f, rule->name);
	r = filter_attrs(f, node, rule);
	if (r < 0)
		return r;
	r = rule->text ? put_text_value(f, node, rule) : filter_children(f, node, rule);
	if (r < 0)
		return r;
	filter_close(f, rule->name);
	return 0;
}

/* ---- parsing ---- */

void filter_doc_freep(xmlDoc **doc)
{
	if (*doc)
		xmlFreeDoc(*doc);
}

/* Declarations are refused before the parser sees them: no DTD, so no entities and no
 * amplification. Comments are the only "<!" that may stay. */
static bool has_declaration(const char *text)
{
	for (const char *p = strstr(text, "<!"); p; p = strstr(p + 2, "<!"))
		if (strncmp(p, "<!--", 4) != 0)
			return true;
	return false;
}

static bool shape_ok(const xmlNode *node, unsigned depth, unsigned *nodes)
{
	for (const xmlNode *c = node; c; c = c->next) {
		if (++*nodes > NODES_MAX || depth == 0)
			return false;
		if (c->type == XML_ELEMENT_NODE && !shape_ok(c->children, depth - 1, nodes))
			return false;
		if (c->type != XML_ELEMENT_NODE && c->type != XML_TEXT_NODE &&
		    c->type != XML_COMMENT_NODE)
			return false;
	}
	return true;
}

static int bad_xml(struct kerr *err, const char *what)
{
	return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
			"The %s that the other device sent is not well-formed; nothing was changed "
			"here.",
			what);
}

int filter_parse(const void *data, size_t len, size_t max, unsigned depth, const char *what,
		 xmlDoc **ret, struct kerr *err)
{
	_cleanup_free_ char *copy = NULL;
	_cleanup_doc_ xmlDoc *doc = NULL;
	unsigned nodes = 0;

	if (len && ((const char *)data)[len - 1] == '\0')
		len--;
	if (len == 0 || len > max || memchr(data, 0, len))
		return bad_xml(err, what);
	copy = strndup(data, len);
	if (!copy)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "There is not enough memory.");
	if (!text_is_clean(copy) || has_declaration(copy))
		return bad_xml(err, what);
	doc = xmlReadMemory(copy, (int)len, NULL, "UTF-8",
			    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (!doc || doc->intSubset || doc->extSubset || !xmlDocGetRootElement(doc) ||
	    !shape_ok(doc->children, depth, &nodes))
		return bad_xml(err, what);
	*ret = TAKE_PTR(doc);
	return 0;
}
