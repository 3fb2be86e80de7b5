/* SPDX-License-Identifier: Apache-2.0 */
/* Strict reader of the small configuration file. */
#include "base/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"

/* Setters: `to` is the member, `bound` what it can hold. False leaves it as it was. */

static bool set_text(void *to, unsigned long bound, const char *value)
{
	if (!text_is_name(value, bound - 1))
		return false;
	memcpy(to, value, strlen(value) + 1);
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

#define MEMBER(m) offsetof(struct config, m)
#define ARRAY(m) MEMBER(m), sizeof(((struct config *)NULL)->m)

static const struct {
	const char *section, *key, *expects;
	bool (*set)(void *to, unsigned long bound, const char *value);
	size_t member;
	unsigned long bound;
} keys[] = {
	{"device", "name", "a name of at most 63 bytes", set_text, ARRAY(name)},
	{"device", "role", "phone, laptop, desktop or server", set_role, MEMBER(role), 0},
	{"tpm", "tcti", "a TCTI such as device:/dev/tpmrm0", set_text, ARRAY(tcti)},
	{"tpm", "pcrs", "PCR numbers such as 0,2,4,7 (not 16 or 23)", set_pcrs, MEMBER(pcrs), 0},
	{"peer", "port", "a TCP port, 1 to 65535", set_u16, MEMBER(port), 65535},
	{"paths", "state", "an absolute path", set_path, ARRAY(state)},
	{"paths", "run", "an absolute path", set_path, ARRAY(run)},
	{"paths", "images", "an absolute path", set_path, ARRAY(images)},
	{"libvirt", "pool", "the name of a storage pool, or none", set_text, ARRAY(pool)},
	{"libvirt", "networks", "names of networks with commas between, or none", set_text,
	 ARRAY(networks)},
	{"people", "owner", "a local user name", set_text, ARRAY(owner)},
	{"trust", "max_age", "seconds, 1 to 31622400", set_u32, MEMBER(evidence_max_age_s),
	 366UL * 86400},
};

static void defaults(struct config *c)
{
	*c = (struct config){
		.role = DEVICE_ROLE_LAPTOP,
		.tcti = "device:/dev/tpmrm0",
		.pcrs = 1u << 0 | 1u << 2 | 1u << 4 | 1u << 7,
		.port = 4747,
		.state = "/var/lib/kith",
		.run = "/run/kith",
		.images = "/var/lib/kith/images",
		.pool = CONFIG_POOL_DEFAULT,
		.networks = "default",
		.owner = "root",
		.evidence_max_age_s = 86400,
	};
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

static int set_key(struct config *c, const char *section, char *line, unsigned number,
		   struct kerr *err)
{
	char *eq = strchr(line, '=');
	const char *key, *value;

	if (!eq)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"Line %u of the configuration is neither a [section] nor "
				"\"key = value\".",
				number);
	*eq = '\0';
	key = trim(line);
	value = trim(eq + 1);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].section, section) != 0 || strcmp(keys[i].key, key) != 0)
			continue;
		if (!keys[i].set((char *)c + keys[i].member, keys[i].bound, value))
			return kerr_set(err, EINVAL, KCODE_USAGE,
					"Line %u of the configuration: \"%s\" must be %s.", number,
					key, keys[i].expects);
		return 0;
	}
	return kerr_set(err, EINVAL, KCODE_USAGE,
			"Line %u of the configuration: there is no key \"%.40s\" in [%s].", number,
			key, section);
}

static int parse_line(struct config *c, char *line, unsigned number, char *section, size_t size,
		      struct kerr *err)
{
	size_t len;

	line = trim(line);
	len = strlen(line);
	if (!len || *line == '#' || *line == ';')
		return 0;
	if (*line != '[')
		return set_key(c, section, line, number, err);
	if (line[len - 1] != ']' || len - 2 >= size)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"Line %u of the configuration: the [section] is not closed.",
				number);
	line[len - 1] = '\0';
	memcpy(section, line + 1, len - 1);
	return 0;
}

int config_parse(const char *text, struct config *ret, struct kerr *err)
{
	_cleanup_free_ char *copy = strdup(text);
	char section[32] = "", *next = copy;
	struct kerr later;
	unsigned number = 0;
	int r = 0;

	defaults(ret);
	if (!copy)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	/* The first fault is the one that is told; the right lines behind it count. */
	while (next) {
		char *line = strsep(&next, "\n");
		int n = parse_line(ret, line, ++number, section, sizeof(section),
				   r < 0 ? &later : err);

		r = r < 0 ? r : n;
	}
	return r;
}

int config_load(const char *path, struct config *ret, struct kerr *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t len;
	int r = file_read(AT_FDCWD, path, 65536, &data, &len);

	defaults(ret);
	if (r == -ENOENT)
		return config_parse("", ret, err);
	if (r < 0)
		return kerr_set(err, -r, KCODE_USAGE, "Cannot read the configuration %s: %s.", path,
				strerror(-r));
	if (memchr(data, 0, len))
		return kerr_set(err, EINVAL, KCODE_USAGE, "The configuration %s is not text.",
				path);
	return config_parse((const char *)data, ret, err);
}

int config_run_path(const struct config *c, const char *rest, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s/%s", c->run, rest);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}
