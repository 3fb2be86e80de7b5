/* SPDX-License-Identifier: Apache-2.0 */
/* kith-hook: libvirt asks it before a guest starts or comes in; a host without custody of the VM
 * says no (H10, R5). Called as: GUEST OPERATION SUB-OPERATION EXTRA, domain XML on stdin. */
#include <fcntl.h>
#include <libxml/parser.h>
#include <string.h>

#include "base/config.h"
#include "base/file.h"
#include "base/log.h"
#include "mover/marker.h"
#include "policyd/api/client.h"

#define XML_MAX ((size_t)4 << 20)
/* How long a VM that Kith does not know waits for a kith-policyd that hangs. */
#define PATIENCE_MS 5000

/* libvirt also calls "start" and more for every boot; "prepare" always comes before it, and the
 * question may be asked only once for an incoming guest. */
static const struct {
	const char *operation, *sub;
	enum custody_use use;
} questions[] = {
	{"prepare", "begin", CUSTODY_USE_START},
	{"migrate", "begin", CUSTODY_USE_INCOMING},
};

static int read_all(int fd, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *data = malloc(XML_MAX);
	size_t len = 0;

	while (data && len < XML_MAX) {
		ssize_t n = read(fd, data + len, XML_MAX - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (!data || len == 0 || len == XML_MAX)
		return -EBADMSG;
	*ret = TAKE_PTR(data);
	*ret_len = len;
	return 0;
}

static bool is_element(const xmlNode *n, const char *name)
{
	return n->type == XML_ELEMENT_NODE && xmlStrEqual(n->name, (const xmlChar *)name);
}

static int uuid_of(const xmlDoc *doc, uint8_t ret[UUID_LEN])
{
	const xmlNode *root = xmlDocGetRootElement(doc);

	if (!root || !is_element(root, "domain"))
		return -EBADMSG;
	for (xmlNode *n = root->children; n; n = n->next) {
		xmlChar *text;
		int r;

		if (!is_element(n, "uuid"))
			continue;
		text = xmlNodeGetContent(n);
		r = text ? custody_uuid_parse((const char *)text, ret) : -ENOMEM;
		xmlFree(text);
		return r;
	}
	return -EBADMSG;
}

static int read_uuid(uint8_t ret[UUID_LEN])
{
	_cleanup_free_ char *xml = NULL;
	xmlDocPtr doc;
	size_t len = 0;
	int r = read_all(STDIN_FILENO, &xml, &len);

	if (r < 0)
		return r;
	doc = xmlReadMemory(xml, (int)len, "domain.xml", NULL,
			    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (!doc)
		return -EBADMSG;
	r = uuid_of(doc, ret);
	xmlFreeDoc(doc);
	return r;
}

/* What is wrong with Kith itself, and says nothing about the VM. */
static bool is_trouble(enum kcode code)
{
	static const enum kcode codes[] = {KCODE_INTERRUPTED, KCODE_LOCKED, KCODE_FAILED,
					   KCODE_NOT_READY, KCODE_BUSY};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

static int ask_policyd(const struct config *config, const uint8_t uuid[UUID_LEN],
		       enum custody_use use, bool known, struct kerr *err)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	char path[160];
	int r = config_run_path(config, POLICYD_SOCKET, path, sizeof(path));

	if (r == 0)
		r = ipc_client_patient(path, known ? -1 : PATIENCE_MS, &c);
	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED, "kith-policyd cannot be reached.");
	return policyd_client_custody_check(c, uuid, use, err);
}

/* Trouble of Kith's own keeps no VM down that Kith does not know: one without a marker. Of one with
 * a marker that says what was known last, where policyd cannot say more. */
static int hook_ask(const struct config *config, const uint8_t uuid[UUID_LEN], enum custody_use use,
		    struct kerr *err)
{
	_cleanup_close_ int dir = -EBADF;
	struct marker marker;
	char path[160];
	bool known;
	int r;

	snprintf(path, sizeof(path), "%s/" CUSTODY_MARKER_DIR, config->state);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A folder that cannot be read may hold its marker. */
	known = dir < 0 ? errno != ENOENT : marker_read(dir, uuid, &marker) != -ENOENT;
	r = ask_policyd(config, uuid, use, known, err);
	if (r == 0 || !is_trouble(err->code))
		return r;
	if (!known && use == CUSTODY_USE_START) {
		kerr_clear(err);
		return 0;
	}
	if (err->code != KCODE_INTERRUPTED && err->code != KCODE_LOCKED)
		return r;
	kerr_clear(err);
	if (dir < 0 && known)
		return kerr_set(err, EACCES, KCODE_NOT_READY,
				"kith-policyd does not answer and its marks cannot be read.");
	return marker_may_start(dir, uuid, use, err);
}

int main(int argc, char *argv[])
{
	const char *path = getenv("KITH_CONFIG");
	struct config config;
	struct kerr err = {0};
	uint8_t uuid[UUID_LEN];

	log_setup("kith-hook");
	if (argc < 4)
		return 2;
	/* A fault in the configuration is Kith's trouble, not the VM's: the rest of it counts. */
	if (config_load(path ? path : CONFIG_PATH_DEFAULT, &config, &err) < 0) {
		log_error("hook", "%s", err.text);
		kerr_clear(&err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		if (strcmp(argv[2], questions[i].operation) != 0 ||
		    strcmp(argv[3], questions[i].sub) != 0)
			continue;
		if (read_uuid(uuid) < 0)
			kerr_set(&err, EBADMSG, KCODE_BAD_MESSAGE,
				 "The domain that libvirt describes cannot be read.");
		else
			hook_ask(&config, uuid, questions[i].use, &err);
		if (err.code != KCODE_OK) {
			/* libvirt shows its user what a hook writes to stderr. */
			fprintf(stderr, "Kith: %s\n", err.text);
			return 1;
		}
	}
	return 0;
}
