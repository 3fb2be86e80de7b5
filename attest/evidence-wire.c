/* SPDX-License-Identifier: Apache-2.0 */
/* The form of evidence on the wire, and of the versions in it. */
#include "attest/evidence.h"

#include "base/code.h"

#define EVIDENCE_VERSION 1

/* -- versions -- */

/* Length of the key of a line "key=value", 0 if the line has none. */
static size_t key_length(const char *line)
{
	size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return line[len] == '=' ? len : 0;
}

static const char *line_next(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

/* The line of `text` before `end` whose key is the same, or NULL. */
static const char *line_find(const char *text, const char *end, const char *key, size_t key_len)
{
	for (const char *at = text; at < end && *at; at = line_next(at))
		if (key_length(at) == key_len && memcmp(at, key, key_len) == 0)
			return at;
	return NULL;
}

bool evidence_versions_valid(const char *text)
{
	size_t len = strnlen(text, EVIDENCE_VERSIONS_MAX + 1);

	if (len > EVIDENCE_VERSIONS_MAX || !text_is_clean(text) || strchr(text, '\t'))
		return false;
	for (const char *at = text; *at; at = line_next(at)) {
		size_t key = key_length(at);

		if (!key || line_find(text, at, at, key))
			return false;
	}
	return true;
}

/* -- codec -- */

static void evidence_code(struct coder *c, struct evidence *v)
{
	uint8_t version = EVIDENCE_VERSION;

	code_u8(c, &version);
	code_check(c, version == EVIDENCE_VERSION);
	code_array(c, v->quote, &v->quote_len, sizeof(v->quote));
	code_array(c, v->signature, &v->signature_len, sizeof(v->signature));
	code_check(c, v->quote_len && v->signature_len);
	pcr_set_code(c, &v->pcrs);
	CODE_TEXT(c, v->versions);
	code_check(c, evidence_versions_valid(v->versions));
	code_blob(c, &v->event_log, &v->event_log_len, EVIDENCE_MAX);
	code_blob(c, &v->ima_log, &v->ima_log_len, EVIDENCE_MAX);
}
DEFINE_RECORD(evidence)

int evidence_put(struct wbuf *w, const struct evidence *ev)
{
	size_t start = w->len;

	record_put(w, &evidence_record, ev);
	if (!w->error && w->len - start > EVIDENCE_MAX)
		w->error = -EMSGSIZE;
	return wbuf_error(w);
}

int evidence_get(struct rbuf *r, struct evidence *ret)
{
	struct evidence ev;

	if (r->left > EVIDENCE_MAX)
		rbuf_fail(r, -EBADMSG);
	if (record_get(r, &evidence_record, &ev) < 0 || rbuf_end(r) < 0)
		return -EBADMSG;
	*ret = ev;
	return 0;
}
