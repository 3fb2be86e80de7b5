/* SPDX-License-Identifier: Apache-2.0 */
/* iSCSI by libiscsi in QEMU, Ceph's RBD, and files on NFS and GlusterFS. Names are libvirt 9.0.0's
 * (docs/formatdomain, docs/formatstorage). What is in a name is judged here, since a peer says it,
 * too. */
#include "mover/filter/storage.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define XML_MAX (1u << 20)
#define XML_DEPTH_MAX 24
#define LUN_MAX 16383u
#define IQN_MAX 223u /* RFC 3720, 3.2.6.1 */
#define LUN_NAME "unit:0:0:"
#define HOST_TEXT_MAX (DOMAIN_HOST_MAX + 9)

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* Folders on a server: what an export may be called. */
#define FOLDER_CHARS LETTERS "_.-+/"

/* -- names -- */

static bool made_of(const char *text, const char *chars, size_t max)
{
	size_t len = strlen(text);

	return len && len <= max && strspn(text, chars) == len && !strchr("-.:", text[0]);
}

static bool is_target(const char *iqn)
{
	return made_of(iqn, LETTERS ".-:", IQN_MAX) &&
	       (strncmp(iqn, "iqn.", 4) == 0 || strncmp(iqn, "eui.", 4) == 0 ||
		strncmp(iqn, "naa.", 4) == 0);
}

static bool is_lun(const char *text)
{
	uint64_t n;

	return made_of(text, "0123456789", 5) && (text[0] != '0' || !text[1]) &&
	       filter_number(text, LUN_MAX, &n) == 0;
}

/* Of a pool, or an image in it: no '@' of snapshots, no '/' of namespaces. */
static bool is_rbd_name(const char *text)
{
	return made_of(text, LETTERS "_.-", DOMAIN_VOLUME_MAX);
}

/* Without the slash that it begins with; none of its folders is "." or "..". */
static bool is_folder(const char *text)
{
	return made_of(text, FOLDER_CHARS, DOMAIN_TARGET_NAME_MAX) && text[0] != '/' &&
	       !strstr(text, "/.") && !strstr(text, "//") && text[strlen(text) - 1] != '/';
}

/* In the folder itself, as libvirt lists them; not hidden. */
static bool is_file_name(const char *text)
{
	return made_of(text, LETTERS "_.-+@", DOMAIN_VOLUME_MAX);
}

static const struct {
	const char *name, *scheme, *pool;
	const char *format; /* of a pool that is a file system */
	const char *secret;
	uint16_t port;
	unsigned hosts;			    /* at most */
	bool (*store_ok)(const char *name); /* may a target, pool or folder be called so? */
	bool (*volume_ok)(const char *name);
} protocols[_STORAGE_PROTOCOL_MAX] = {
	[STORAGE_ISCSI] = {"iscsi", "iscsi://", "iscsi-direct", NULL, "iscsi", 3260, 1, is_target,
			   is_lun},
	[STORAGE_RBD] = {"rbd", "rbd://", "rbd", NULL, "ceph", 6789, DOMAIN_STORE_HOSTS_MAX,
			 is_rbd_name, is_rbd_name},
	[STORAGE_NFS] = {"nfs", "nfs://", "netfs", "nfs", NULL, 2049, 1, is_folder, is_file_name},
	[STORAGE_GLUSTER] = {"gluster", "gluster://", "netfs", "glusterfs", NULL, 24007, 1,
			     is_rbd_name, is_file_name},
};

static bool is_files(enum storage_protocol p)
{
	return protocols[p].format != NULL;
}

/* By the first word of a store's name; _STORAGE_PROTOCOL_MAX if it is none of these. */
static enum storage_protocol protocol_of_store(const char *store)
{
	enum storage_protocol p = 0;

	while (p < _STORAGE_PROTOCOL_MAX &&
	       strncmp(store, protocols[p].scheme, strlen(protocols[p].scheme)) != 0)
		p++;
	return p;
}

bool storage_is_files(const char *store)
{
	enum storage_protocol p = protocol_of_store(store);

	return p < _STORAGE_PROTOCOL_MAX && is_files(p);
}

bool storage_name_ok(const struct domain_shared *s)
{
	enum storage_protocol p = protocol_of_store(s->store);
	const char *name;

	if (!s->store[0] || !s->volume[0])
		return !s->store[0] && !s->volume[0] && !s->file;
	if (p == _STORAGE_PROTOCOL_MAX || strspn(s->store, FOLDER_CHARS ":,[]") != strlen(s->store))
		return false;
	name = strchr(s->store + strlen(protocols[p].scheme), '/');
	return name && protocols[p].store_ok(name + 1) && protocols[p].volume_ok(s->volume) &&
	       (is_files(p) == (s->file != 0));
}

/* -- how a store is reached -- */

static int read_host(const xmlNode *node, struct domain_store_host *ret)
{
	const char *name = filter_prop(node, "name"), *port = filter_prop(node, "port");
	const char *transport = filter_prop(node, "transport");
	uint64_t n = 0;

	if (!name || !made_of(name, LETTERS ".-:", DOMAIN_HOST_MAX) ||
	    (transport && strcmp(transport, "tcp") != 0) ||
	    (port && (filter_number(port, UINT16_MAX, &n) < 0 || n == 0)))
		return -EBADMSG;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->port = (uint16_t)n;
	return 0;
}

static int read_hosts(const xmlNode *source, struct domain_store *ret)
{
	for (const xmlNode *c = source->children; c; c = c->next) {
		if (c->type != XML_ELEMENT_NODE || strcmp((const char *)c->name, "host") != 0)
			continue;
		if (ret->host_count == protocols[ret->protocol].hosts ||
		    read_host(c, &ret->hosts[ret->host_count++]) < 0)
			return -EBADMSG;
	}
	return ret->host_count ? 0 : -EBADMSG;
}

static int compare_hosts(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The order in which monitors are listed, and a port that is the usual one, change nothing. */
static int spell_store(struct domain_store *s)
{
	char hosts[DOMAIN_STORE_HOSTS_MAX][HOST_TEXT_MAX];
	struct wbuf w = wbuf_init(s->store, sizeof(s->store));

	for (size_t i = 0; i < s->host_count; i++) {
		const struct domain_store_host *h = &s->hosts[i];
		bool six = strchr(h->name, ':');

		snprintf(hosts[i], sizeof(hosts[i]), "%s%s%s:%u", six ? "[" : "", h->name,
			 six ? "]" : "", h->port ? h->port : protocols[s->protocol].port);
	}
	qsort(hosts, s->host_count, sizeof(hosts[0]), compare_hosts);
	wbuf_bytes(&w, protocols[s->protocol].scheme, strlen(protocols[s->protocol].scheme));
	for (size_t i = 0; i < s->host_count; i++) {
		wbuf_bytes(&w, hosts[i], strlen(hosts[i]));
		wbuf_bytes(&w, i + 1 < s->host_count ? "," : "/", 1);
	}
	wbuf_bytes(&w, s->name, strlen(s->name) + 1);
	return wbuf_error(&w) < 0 ? -EBADMSG : 0;
}

static int protocol_of(const char *name)
{
	for (int i = 0; name && i < _STORAGE_PROTOCOL_MAX; i++)
		if (strcmp(protocols[i].name, name) == 0 && !is_files((enum storage_protocol)i))
			return i;
	return -ENOTSUP;
}

/* "TARGET/LUN" or "POOL/IMAGE"; QEMU takes LUN 0 where none is named. */
static int split_name(const char *name, struct domain_store *s, char *ret, size_t size)
{
	const char *slash = name ? strrchr(name, '/') : NULL;
	int len = slash ? (int)(slash - name) : name ? (int)strlen(name) : 0;

	if (!name || len > DOMAIN_TARGET_NAME_MAX)
		return -EBADMSG;
	snprintf(s->name, sizeof(s->name), "%.*s", len, name);
	if (!slash && s->protocol != STORAGE_ISCSI)
		return -EBADMSG;
	if (slash && strlen(slash + 1) > DOMAIN_VOLUME_MAX)
		return -EBADMSG;
	snprintf(ret, size, "%s", slash ? slash + 1 : "0");
	return protocols[s->protocol].store_ok(s->name) && protocols[s->protocol].volume_ok(ret)
		       ? 0
		       : -EBADMSG;
}

int storage_read_source(const xmlNode *source, struct domain_shared *ret, const char **ret_why)
{
	struct domain_store s = {0};
	struct domain_shared shared = {0};
	int protocol = source ? protocol_of(filter_prop(source, "protocol")) : -ENOTSUP;

	*ret_why = "is on a storage server; of those only iSCSI targets and Ceph's RBD can stay "
		   "where they are, and others cannot be handed over";
	if (protocol < 0)
		return -ENOTSUP;
	s.protocol = (enum storage_protocol)protocol;
	*ret_why = "is on a storage server, by a name that cannot be handed over: it needs the "
		   "target and LUN (iSCSI) or the pool and image (RBD), without a snapshot";
	if (split_name(filter_prop(source, "name"), &s, shared.volume, sizeof(shared.volume)) < 0)
		return -ENOTSUP;
	*ret_why = "is on a storage server that is not named with its address in <host>, so no "
		   "other device can tell whether it reaches the same";
	if (read_hosts(source, &s) < 0 || spell_store(&s) < 0)
		return -ENOTSUP;
	memcpy(shared.store, s.store, sizeof(shared.store));
	*ret = shared;
	return 0;
}

/* -- pools -- */

static int read_auth(const xmlNode *source, struct domain_store *s)
{
	const xmlNode *auth = filter_child(source, "auth");
	const xmlNode *secret = auth ? filter_child(auth, "secret") : NULL;
	const char *user = auth ? filter_prop(auth, "username") : NULL;
	const char *usage = secret ? filter_prop(secret, "usage") : NULL;
	const char *uuid = secret ? filter_prop(secret, "uuid") : NULL;
	const char *word = usage ? usage : uuid;

	if (!auth)
		return 0;
	if (!user || !word || strlen(user) >= sizeof(s->user) || strlen(word) >= sizeof(s->secret))
		return -EBADMSG;
	snprintf(s->user, sizeof(s->user), "%s", user);
	snprintf(s->secret, sizeof(s->secret), "%s", word);
	s->by_uuid = !usage;
	return 0;
}

static int read_initiator(const xmlNode *source, struct domain_store *s)
{
	const xmlNode *initiator = filter_child(source, "initiator");
	const xmlNode *iqn = initiator ? filter_child(initiator, "iqn") : NULL;
	const char *name = iqn ? filter_prop(iqn, "name") : NULL;

	if (!name)
		return 0;
	if (!is_target(name))
		return -EBADMSG;
	snprintf(s->initiator, sizeof(s->initiator), "%s", name);
	return 0;
}

static const char *child_prop(const xmlNode *node, const char *child, const char *prop)
{
	const xmlNode *c = filter_child(node, child);

	return c ? filter_prop(c, prop) : NULL;
}

/* A folder is named without the slash that it begins with. */
static const char *pool_target(const xmlNode *source, enum storage_protocol p)
{
	const xmlNode *name = filter_child(source, "name");
	const char *path;

	if (p == STORAGE_ISCSI)
		return child_prop(source, "device", "path");
	if (!is_files(p))
		return name ? filter_text_of(name) : NULL;
	path = child_prop(source, "dir", "path");
	return path && path[0] == '/' ? path + 1 : path;
}

/* "auto" is what `mount` makes of SERVER:FOLDER: NFS. */
static bool is_pool_of(enum storage_protocol p, const char *type, const xmlNode *source)
{
	const char *format = source ? child_prop(source, "format", "type") : NULL;

	if (!type || strcmp(protocols[p].pool, type) != 0)
		return false;
	if (!format || strcmp(format, "auto") == 0)
		format = "nfs";
	return !is_files(p) || strcmp(protocols[p].format, format) == 0;
}

static int read_folder(const xmlNode *root, struct domain_store *s)
{
	const xmlNode *target = filter_child(root, "target");
	const xmlNode *node = target ? filter_child(target, "path") : NULL;
	const char *path = node ? filter_text_of(node) : NULL;

	if (!path || path[0] != '/' || strlen(path) > DOMAIN_PATH_MAX)
		return -EBADMSG;
	snprintf(s->folder, sizeof(s->folder), "%s", path);
	return 0;
}

static int read_rest(const xmlNode *root, const xmlNode *source, struct domain_store *s)
{
	if (read_hosts(source, s) < 0 || spell_store(s) < 0)
		return -EBADMSG;
	if (is_files(s->protocol))
		return read_folder(root, s);
	return read_auth(source, s) < 0 ||
			       (s->protocol == STORAGE_ISCSI && read_initiator(source, s) < 0)
		       ? -EBADMSG
		       : 0;
}

static int read_pool(const xmlNode *root, struct domain_store *ret)
{
	const xmlNode *source = filter_child(root, "source");
	const char *type = filter_prop(root, "type"), *target;
	struct domain_store s = {0};

	while (s.protocol < _STORAGE_PROTOCOL_MAX && !is_pool_of(s.protocol, type, source))
		s.protocol++;
	if (s.protocol == _STORAGE_PROTOCOL_MAX)
		return -ENOTSUP;
	target = source ? pool_target(source, s.protocol) : NULL;
	if (!target || strlen(target) > DOMAIN_TARGET_NAME_MAX ||
	    !protocols[s.protocol].store_ok(target))
		return -EBADMSG;
	snprintf(s.name, sizeof(s.name), "%s", target);
	if (read_rest(root, source, &s) < 0)
		return -EBADMSG;
	*ret = s;
	return 0;
}

int storage_read_pool(const char *xml, struct domain_store *ret)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct kerr ignored = {0};

	if (filter_parse(xml, strlen(xml), XML_MAX, XML_DEPTH_MAX, "pool", &doc, &ignored) < 0)
		return -EBADMSG;
	return read_pool(xmlDocGetRootElement(doc), ret);
}

int storage_read_volume(const struct domain_store *store, const char *name,
			char ret[DOMAIN_VOLUME_MAX + 1])
{
	bool iscsi = store->protocol == STORAGE_ISCSI;

	if (iscsi && strncmp(name, LUN_NAME, strlen(LUN_NAME)) != 0)
		return -ENOTSUP;
	name += iscsi ? strlen(LUN_NAME) : 0;
	if (!protocols[store->protocol].volume_ok(name))
		return -ENOTSUP;
	snprintf(ret, DOMAIN_VOLUME_MAX + 1, "%s", name);
	return 0;
}

int storage_read_file(const struct domain_store *store, const char *path,
		      char ret[DOMAIN_VOLUME_MAX + 1])
{
	size_t len = strlen(store->folder);

	if (!is_files(store->protocol) || !len || strncmp(path, store->folder, len) != 0 ||
	    path[len] != '/')
		return -ENOTSUP;
	return storage_read_volume(store, path + len + 1, ret);
}

int storage_path(const struct domain_store *store, const char *volume,
		 char ret[DOMAIN_PATH_MAX + 1])
{
	int n = snprintf(ret, DOMAIN_PATH_MAX + 1, "%s/%s", store->folder, volume);

	return n < 0 || n > DOMAIN_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* -- who uses what -- */

static void read_disk(const xmlNode *disk, storage_disk_fn fn, void *ctx)
{
	const char *type = filter_prop(disk, "type") ?: "", *why;
	const xmlNode *source = filter_child(disk, "source");
	struct storage_disk d = {0};

	if (!source)
		return;
	if (strcmp(type, "volume") == 0) {
		d.pool = filter_prop(source, "pool");
		d.volume = filter_prop(source, "volume");
	} else if (strcmp(type, "file") == 0) {
		d.file = filter_prop(source, "file");
	}
	if (d.file || (d.pool && d.volume) ||
	    (strcmp(type, "network") == 0 && storage_read_source(source, &d.shared, &why) == 0))
		fn(ctx, &d);
}

int storage_each_disk(const char *xml, storage_disk_fn fn, void *ctx)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct kerr ignored = {0};
	const xmlNode *devices;

	if (filter_parse(xml, strlen(xml), XML_MAX, XML_DEPTH_MAX, "VM", &doc, &ignored) < 0)
		return -EBADMSG;
	devices = filter_child(xmlDocGetRootElement(doc), "devices");
	for (const xmlNode *c = devices ? devices->children : NULL; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && strcmp((const char *)c->name, "disk") == 0)
			read_disk(c, fn, ctx);
	return 0;
}

/* -- writing -- */

static void put_auth(struct filter *f, const struct domain_store *s)
{
	filter_open(f, "auth");
	filter_put_attr(f, "username", s->user);
	filter_open(f, "secret");
	filter_put_attr(f, "type", protocols[s->protocol].secret);
	filter_put_attr(f, s->by_uuid ? "uuid" : "usage", s->secret);
	filter_close(f, "secret");
	filter_close(f, "auth");
}

static void put_host(struct filter *f, const struct domain_store_host *h)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", h->port);
	filter_open(f, "host");
	filter_put_attr(f, "name", h->name);
	if (h->port)
		filter_put_attr(f, "port", port);
	filter_close(f, "host");
}

static void put_network(struct filter *f, const struct domain_store *s, const char *volume)
{
	char name[DOMAIN_TARGET_NAME_MAX + DOMAIN_VOLUME_MAX + 2];

	snprintf(name, sizeof(name), "%s/%s", s->name, volume);
	filter_open(f, "source");
	filter_put_attr(f, "protocol", protocols[s->protocol].name);
	filter_put_attr(f, "name", name);
	for (size_t i = 0; i < s->host_count; i++)
		put_host(f, &s->hosts[i]);
	if (s->user[0])
		put_auth(f, s);
	if (s->initiator[0]) {
		filter_open(f, "initiator");
		filter_open(f, "iqn");
		filter_put_attr(f, "name", s->initiator);
		filter_close(f, "iqn");
		filter_close(f, "initiator");
	}
	filter_close(f, "source");
}

int storage_put_source(struct filter *f, const struct domain_store *s, const char *volume)
{
	char path[DOMAIN_PATH_MAX + 1];

	if (!storage_is_files(s->store)) {
		put_network(f, s, volume);
		return 0;
	}
	if (storage_path(s, volume, path) < 0)
		return filter_refuse(f, "A file's path on the shared storage is too long.");
	filter_open(f, "source");
	filter_put_attr(f, "file", path);
	filter_close(f, "source");
	return 0;
}
