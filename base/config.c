/* SPDX-License-Identifier: Apache-2.0 */
/* Strict reader of the small configuration file. */
#include "base/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <sodium.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"

/* Setters: `to` is the member, `bound` what it can hold. False leaves it as it was. */

static bool set_text(void *to, unsigned long bound, const char *value)
{
	if (!text_is_name(value, bound - 1))
		return false;
	/* Nothing of a longer value may stay behind it: config_renew() compares the bytes. */
	memset(to, 0, bound);
	memcpy(to, value, strlen(value));
	return true;
}

static bool set_path(void *to, unsigned long bound, const char *value)
{
	return value[0] == '/' && !strstr(value, "/../") && set_text(to, bound, value);
}

/* A number from 1 to `max`, or 0. */
static unsigned long number(const char *value, unsigned long max)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(value, &end, 10);
	return isdigit((unsigned char)*value) && !errno && !*end && v <= max ? v : 0;
}

static bool set_u16(void *to, unsigned long bound, const char *value)
{
	unsigned long v = number(value, bound);

	if (v)
		*(uint16_t *)to = (uint16_t)v;
	return v;
}

static bool set_u32(void *to, unsigned long bound, const char *value)
{
	unsigned long v = number(value, bound);

	if (v)
		*(uint32_t *)to = (uint32_t)v;
	return v;
}

static bool set_role(void *to, _unused_ unsigned long bound, const char *value)
{
	int role = device_role_from_string(value);

	if (role >= 0)
		*(enum device_role *)to = (enum device_role)role;
	return role >= 0;
}

static bool set_pcrs(void *to, _unused_ unsigned long bound, const char *value)
{
	uint32_t mask = 0;

	while (*value) {
		char *end;
		unsigned long n = strtoul(value, &end, 10);

		if (!isdigit((unsigned char)*value) || n >= PCR_COUNT || (*end && *end != ','))
			return false;
		mask |= UINT32_C(1) << n;
		value = *end ? end + 1 : end;
	}
	if (!mask || mask & PCR_MASK_RESETTABLE)
		return false;
	*(uint32_t *)to = mask;
	return true;
}

#define MEMBER(m) offsetof(struct config, m), sizeof(((struct config *)NULL)->m)
#define ARRAY(m) MEMBER(m), sizeof(((struct config *)NULL)->m)

#define NONE 0
#define ALL (CONFIG_POLICYD | CONFIG_KITHD | CONFIG_MOVER | CONFIG_WARDEN)

static const struct config_key keys[] = {
	{"device", "name", "a name of at most 63 bytes", NULL, NONE, set_text, ARRAY(name)},
	{"device", "role", "phone, laptop, desktop or server", "laptop", NONE, set_role,
	 MEMBER(role), 0},
	{"tpm", "tcti", "a TCTI such as device:/dev/tpmrm0", "device:/dev/tpmrm0", CONFIG_POLICYD,
	 set_text, ARRAY(tcti)},
	{"tpm", "pcrs", "PCR numbers such as 0,2,4,7 (not 16 or 23)", "0,2,4,7", CONFIG_POLICYD,
	 set_pcrs, MEMBER(pcrs), 0},
	{"peer", "port", "a TCP port, 1 to 65535", "4747", CONFIG_KITHD, set_u16, MEMBER(port),
	 65535},
	{"paths", "state", "an absolute path", "/var/lib/kith", ALL & ~CONFIG_KITHD, set_path,
	 ARRAY(state)},
	{"paths", "run", "an absolute path", "/run/kith", ALL, set_path, ARRAY(run)},
	{"paths", "images", "an absolute path", "/var/lib/kith/images", NONE, set_path,
	 ARRAY(images)},
	{"libvirt", "pool", "the name of a storage pool, or none", CONFIG_POOL_DEFAULT, NONE,
	 set_text, ARRAY(pool)},
	{"libvirt", "networks", "names of networks with commas between, or none", "default", NONE,
	 set_text, ARRAY(networks)},
	{"libvirt", "other_network", "the name of one of them, or none", "none", NONE, set_text,
	 ARRAY(other_network)},
	{"libvirt", "shared_pools", "names of storage pools with commas between, or none", "none",
	 NONE, set_text, ARRAY(shared_pools)},
	{"people", "owner", "a local user's name or number", "root", NONE, set_text, ARRAY(owner)},
	{"trust", "max_age", "seconds, 1 to 31622400", "86400", NONE, set_u32,
	 MEMBER(evidence_max_age_s), 366UL * 86400},
};

const struct config_key *config_key(size_t i)
{
	return i < ARRAY_SIZE(keys) ? &keys[i] : NULL;
}

static bool set_value(struct config *c, const struct config_key *k, const char *value)
{
	return k->set((char *)c + k->member, k->bound, value);
}

static void defaults(struct config *c)
{
	*c = (struct config){0};
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].fallback)
			set_value(c, &keys[i], keys[i].fallback);
	if (gethostname(c->name, sizeof(c->name) - 1) < 0 || !c->name[0])
		memcpy(c->name, "device", 7);
}

static char *trim(char *s)
{
	char *end;

	while (*s == ' ' || *s == '\t')
		s++;
	end = s + strlen(s);
	while (end > s && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		*--end = '\0';
	return s;
}

/* Where a line was read, for sentences. */
struct place {
	const char *file;
	unsigned line;
};

static int set_key(struct config *c, const char *section, char *line, const struct place *at,
		   struct kerr *err)
{
	char *eq = strchr(line, '=');
	const char *key, *value;

	if (!eq)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"Line %u of %s is neither a [section] nor \"key = value\".",
				at->line, at->file);
	*eq = '\0';
	key = trim(line);
	value = trim(eq + 1);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].section, section) != 0 || strcmp(keys[i].key, key) != 0)
			continue;
		if (!set_value(c, &keys[i], value))
			return kerr_set(err, EINVAL, KCODE_USAGE,
					"Line %u of %s: \"%s\" must be %s.", at->line, at->file,
					key, keys[i].expects);
		return 0;
	}
	return kerr_set(err, EINVAL, KCODE_USAGE,
			"Line %u of %s: there is no key \"%.40s\" in [%s].", at->line, at->file,
			key, section);
}

static int parse_line(struct config *c, char *line, const struct place *at, char *section,
		      size_t size, struct kerr *err)
{
	size_t len;

	line = trim(line);
	len = strlen(line);
	if (!len || *line == '#' || *line == ';')
		return 0;
	if (*line != '[')
		return set_key(c, section, line, at, err);
	if (line[len - 1] != ']' || len - 2 >= size)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"Line %u of %s: the [section] is not closed.", at->line, at->file);
	line[len - 1] = '\0';
	memcpy(section, line + 1, len - 1);
	return 0;
}

static int parse(const char *text, const char *file, struct config *ret, struct kerr *err)
{
	_cleanup_free_ char *copy = strdup(text);
	struct place at = {file, 0};
	char section[32] = "", *next = copy;
	struct kerr later;
	int r = 0;

	defaults(ret);
	if (!copy)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	/* The first fault is the one that is told; the right lines behind it count. */
	while (next) {
		char *line = strsep(&next, "\n");
		int n;

		at.line++;
		n = parse_line(ret, line, &at, section, sizeof(section), r < 0 ? &later : err);
		r = r < 0 ? r : n;
	}
	crypto_generichash(ret->mark, sizeof(ret->mark), (const uint8_t *)text, strlen(text), NULL,
			   0);
	return r;
}

int config_parse(const char *text, struct config *ret, struct kerr *err)
{
	return parse(text, "the configuration", ret, err);
}

int config_load(const char *path, struct config *ret, struct kerr *err)
{
	_cleanup_free_ char *text = NULL;

	return config_read(path, ret, &text, err);
}

int config_read(const char *path, struct config *ret, char **ret_text, struct kerr *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t len = 0;
	int r = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &data, &len);

	defaults(ret);
	if (r == -ENOENT) {
		data = calloc(1, 1);
		r = data ? 0 : -ENOMEM;
	}
	if (r < 0)
		return kerr_set(err, -r, KCODE_USAGE, "Cannot read the configuration %s: %s.", path,
				strerror(-r));
	if (len && memchr(data, 0, len))
		return kerr_set(err, EINVAL, KCODE_USAGE, "The configuration %s is not text.",
				path);
	r = parse((const char *)data, path, ret, err);
	if (r < 0)
		return r;
	ret->path = path;
	*ret_text = (char *)TAKE_PTR(data);
	return 0;
}

void config_renew(struct config *c, const struct config *fresh, enum config_service service)
{
	size_t len = 0;

	c->later[0] = '\0';
	memcpy(c->mark, fresh->mark, sizeof(c->mark));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		char *old = (char *)c + keys[i].member;
		const char *now = (const char *)fresh + keys[i].member;

		if (memcmp(old, now, keys[i].size) == 0)
			continue;
		if (!(keys[i].restarts & service))
			memcpy(old, now, keys[i].size);
		else
			len += (size_t)snprintf(c->later + len, sizeof(c->later) - len, "%s[%s] %s",
						len ? ", " : "", keys[i].section, keys[i].key);
	}
}

void config_reload(struct config *c, enum config_service service)
{
	struct config fresh;
	struct kerr err = {0};

	if (config_load(c->path, &fresh, &err) < 0) {
		log_error("config", "%s What was in force before stays in force.", err.text);
		return;
	}
	config_renew(c, &fresh, service);
	log_notice("config", "%s was read again.%s%s", c->path,
		   c->later[0] ? " In force only after a restart: " : "", c->later);
}

int config_run_path(const struct config *c, const char *rest, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s/%s", c->run, rest);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}
