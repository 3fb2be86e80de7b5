/* SPDX-License-Identifier: Apache-2.0 */
/* Codec of the TXT record. */
#include "discovery/advert.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/cleanup.h"

static void put_string(struct wbuf *w, const char *text)
{
	wbuf_u8(w, (uint8_t)strlen(text));
	wbuf_bytes(w, text, strlen(text));
}

int advert_build(const struct advert *a, uint8_t *txt, size_t size)
{
	struct wbuf w = wbuf_init(txt, MIN_OF(size, ADVERT_TXT_MAX));
	char id[2 * ADVERT_ID_LEN + 1], text[NAME_MAX_LEN + 16];

	if (a->name[0] && !text_is_name(a->name, NAME_MAX_LEN))
		return -EINVAL;
	hex_encode(a->id, sizeof(a->id), id);
	put_string(&w, "txtvers=1");
	snprintf(text, sizeof(text), "v=%d", ADVERT_VERSION);
	put_string(&w, text);
	snprintf(text, sizeof(text), "id=%s", id);
	put_string(&w, text);
	snprintf(text, sizeof(text), "role=%s", device_role_to_string(a->role));
	put_string(&w, text);
	snprintf(text, sizeof(text), "name=%s", a->name);
	if (a->name[0])
		put_string(&w, text);
	return wbuf_error(&w) < 0 ? -ENOBUFS : (int)w.len;
}

/* What was read so far; a key that was seen does not count again. */
struct reading {
	struct advert advert;
	bool txtvers, version, id, role, name;
};

static int read_id(struct reading *s, const char *value)
{
	/* Only the lower-case form exists, so that one device has one spelling. */
	for (const char *p = value; *p; p++)
		if (*p >= 'A' && *p <= 'F')
			return -EBADMSG;
	s->id = true;
	return hex_decode(value, s->advert.id, ADVERT_ID_LEN);
}

static int read_role(struct reading *s, const char *value)
{
	int role = device_role_from_string(value);

	if (role < 0)
		return -EBADMSG;
	s->advert.role = (enum device_role)role;
	s->role = true;
	return 0;
}

static int read_version(struct reading *s, const char *value)
{
	s->version = true;
	if (strcmp(value, "1") == 0)
		return 0;
	return *value >= '1' && *value <= '9' ? -EPROTONOSUPPORT : -EBADMSG;
}

static int read_txtvers(struct reading *s, const char *value)
{
	s->txtvers = true;
	return strcmp(value, "1") == 0 ? 0 : -EPROTONOSUPPORT;
}

static int read_name(struct reading *s, const char *value)
{
	if (!text_is_name(value, NAME_MAX_LEN))
		return -EBADMSG;
	memcpy(s->advert.name, value, strlen(value) + 1);
	s->name = true;
	return 0;
}

static int read_pair(struct reading *s, char *text)
{
	char *value = strchr(text, '=');

	if (!value)
		return 0; /* an attribute without value: none of ours */
	*value++ = '\0';
	if (strcasecmp(text, "txtvers") == 0)
		return s->txtvers ? 0 : read_txtvers(s, value);
	if (strcasecmp(text, "v") == 0)
		return s->version ? 0 : read_version(s, value);
	if (strcasecmp(text, "id") == 0)
		return s->id ? 0 : read_id(s, value);
	if (strcasecmp(text, "role") == 0)
		return s->role ? 0 : read_role(s, value);
	if (strcasecmp(text, "name") == 0)
		return s->name ? 0 : read_name(s, value);
	return 0;
}

int advert_parse(const uint8_t *txt, size_t len, struct advert *ret)
{
	struct rbuf r = rbuf_init(txt, len);
	struct reading s = {0};

	if (len > ADVERT_TXT_MAX)
		return -EBADMSG;
	while (r.left > 0) {
		char text[256];
		uint8_t n = rbuf_u8(&r);
		int e;

		rbuf_bytes(&r, text, n);
		text[n] = '\0';
		if (rbuf_error(&r) < 0 || memchr(text, 0, n))
			return -EBADMSG;
		e = read_pair(&s, text);
		if (e < 0)
			return e;
	}
	if (!s.txtvers || !s.version || !s.id || !s.role)
		return -EBADMSG;
	*ret = s.advert;
	return 0;
}
