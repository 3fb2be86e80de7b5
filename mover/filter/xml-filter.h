/* SPDX-License-Identifier: Apache-2.0 */
/* Table-driven XML allow-list: parses hostile XML and writes a new document from typed values. */
#pragma once

#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/kerr.h"

#define FILTER_TEXT_MAX 4096u /* longest value of one attribute or text */
#define FILTER_OUT_MAX (2u << 20)

/* How a value is understood. It is parsed and printed again, never copied blindly. */
enum filter_kind {
	FILTER_DROP,   /* allowed, but the destination decides itself: not written */
	FILTER_ENUM,   /* one of `values` */
	FILTER_UINT,   /* min..max, decimal or 0x; printed as decimal */
	FILTER_HEX,    /* the same, printed as 0x.. */
	FILTER_INT,    /* signed decimal, at most `max` either way */
	FILTER_TOKEN,  /* letters, digits and "_.+-:", up to `max` bytes, no leading '-' or '.' */
	FILTER_TEXT,   /* clean UTF-8 for people, up to `max` bytes, escaped */
	FILTER_MAC,    /* unicast Ethernet address */
	FILTER_UUID,   /* canonical form on output */
	FILTER_DOTTED, /* numbers 0..255 with dots between, as USB ports have */
};

/* One allowed attribute, or the text of an element (then `name` is not used). */
struct filter_attr {
	const char *name;
	enum filter_kind kind;
	bool required;
	uint64_t min, max;
	const char *const *values; /* FILTER_ENUM: ends with NULL */
	const char *why;	   /* sentence if the value is not allowed; NULL = a general one */
};

enum filter_act {
	FILTER_KEEP,
	FILTER_SKIP,   /* allowed, dropped with all below it, unread */
	FILTER_REFUSE, /* known, and refused with `why` */
};

struct filter;

/* One allowed element. Tables end with a row whose name is NULL. */
struct filter_rule {
	const char *name;
	enum filter_act act;
	unsigned min, max; /* how often in its parent; max 0 = once */
	const struct filter_attr *attrs;
	const struct filter_rule *children;
	const struct filter_attr *text; /* the element holds this value and no children */
	const char *why;
	/* Optional. 0 = go on with the rule, 1 = done (written or left out), negative with the
	 * error set = refuse. */
	int (*enter)(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
};

/* One run. `ctx` belongs to the table's hooks. */
struct filter {
	void *ctx;
	struct kerr *err;
	char *out;
	size_t len, size;
	int error; /* sticky output failure */
	bool in_tag;
};

/* Parses bytes: UTF-8 only, no DTD, no entities but the five of XML, no CDATA, no network, no
 * depth above `depth`. A trailing NUL is ignored. `what` names the document in errors. */
int filter_parse(const void *data, size_t len, size_t max, unsigned depth, const char *what,
		 xmlDoc **ret, struct kerr *err);
void filter_doc_freep(xmlDoc **doc);
#define _cleanup_doc_ _cleanup_(filter_doc_freep)

/* Checks `node` against `rule` and writes it. -EPERM with code DOMAIN, or what a hook returned. */
int filter_element(struct filter *f, const xmlNode *node, const struct filter_rule *rule);

/* Only the attributes, or only the children, for hooks that write the tag themselves. */
int filter_attrs(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int filter_children(struct filter *f, const xmlNode *node, const struct filter_rule *rule);

/* Converts one value to its canonical text. -EBADMSG if it is not of that kind. */
int filter_value(const struct filter_attr *rule, const char *text, char *ret, size_t size);

/* Attribute value or text content; borrowed, NULL if absent or not plain text. */
const char *filter_prop(const xmlNode *node, const char *name);
const char *filter_text_of(const xmlNode *node);
const xmlNode *filter_child(const xmlNode *node, const char *name);

/* Decimal or 0x number of the whole text; -EBADMSG. */
int filter_number(const char *text, uint64_t max, uint64_t *ret);

/* -EPERM with code DOMAIN and this sentence. */
int filter_refuse(struct filter *f, const char *fmt, ...) _printf_(2, 3);

/* Writer. Names are literals of the tables; values are escaped. */
void filter_open(struct filter *f, const char *name);
void filter_put_attr(struct filter *f, const char *name, const char *value);
void filter_put_text(struct filter *f, const char *text);
void filter_close(struct filter *f, const char *name);

/* <name>text</name> */
void filter_put_element(struct filter *f, const char *name, const char *text);

/* Hands over the NUL-terminated result; -ENOMEM or -ENOBUFS if writing failed. */
int filter_take(struct filter *f, char **ret, size_t *ret_len);
void filter_done(struct filter *f);
#define _cleanup_filter_ _cleanup_(filter_done)
