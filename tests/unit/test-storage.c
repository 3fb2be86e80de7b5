/* SPDX-License-Identifier: Apache-2.0 */
/* Disks on storage that both hosts reach: what they are called, and that a peer gets none opened,
 * copied over or lost that was not announced and agreed (H12). */
#include <libxml/parser.h>

#include "domain-output.h"
#include "gateway-fixtures.h"
#include "mover/filter/storage.h"

#define IQN "iqn.2004-10.com.example:nas"
#define HOST "<host name='10.0.0.9' port='3260'/>"
#define ISCSI(name, more) "<source protocol='iscsi' name='" name "'>" more "</source>"
#define RBD(name, more) "<source protocol='rbd' name='" name "'>" more "</source>"
#define ISCSI_STORE "iscsi://10.0.0.9:3260/" IQN

/* -- names -- */

static int read_source(const char *xml, struct domain_shared *ret)
{
	xmlDoc *doc = xmlReadMemory(xml, (int)strlen(xml), NULL, "UTF-8", XML_PARSE_NONET);
	const char *why = NULL;
	int r;

	g_assert_nonnull(doc);
	r = storage_read_source(xmlDocGetRootElement(doc), ret, &why);
	g_assert_nonnull(why);
	xmlFreeDoc(doc);
	return r;
}

static void test_source(void)
{
	static const struct {
		const char *xml, *store, *volume;
	} rows[] = {
		{ISCSI(IQN "/1", HOST), ISCSI_STORE, "1"},
		{ISCSI(IQN "/1", "<host name='10.0.0.9'/>"), ISCSI_STORE, "1"},
		{ISCSI(IQN, HOST), ISCSI_STORE, "0"},
		{ISCSI(IQN "/16383", "<host name='fd00::9' port='3261'/>"),
		 "iscsi://[fd00::9]:3261/" IQN, "16383"},
		{RBD("vms/web.img", "<host name='b' port='3300'/><host name='a'/>"),
		 "rbd://a:6789,b:3300/vms", "web.img"},
		{RBD("vms/web.img", "<host name='a' port='6789'/><host name='b' port='3300'/>"),
		 "rbd://a:6789,b:3300/vms", "web.img"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct domain_shared s = {0};

		g_assert_cmpint(read_source(rows[i].xml, &s), ==, 0);
		g_assert_cmpstr(s.store, ==, rows[i].store);
		g_assert_cmpstr(s.volume, ==, rows[i].volume);
		g_assert_true(storage_name_ok(&s));
	}
}

static void test_bad_source(void)
{
	static const char *const rows[] = {
		"<source protocol='nbd' name='x'>" HOST "</source>",
		"<source protocol='nfs' name='x/1'>" HOST "</source>",
		"<source name='" IQN "/1'>" HOST "</source>",
		"<source protocol='iscsi'>" HOST "</source>",
		ISCSI(IQN "/1", ""),
		ISCSI(IQN "/1", HOST HOST),
		ISCSI(IQN "/1", "<host name='10.0.0.9' port='0'/>"),
		ISCSI(IQN "/1", "<host name='10.0.0.9' port='65536'/>"),
		ISCSI(IQN "/1", "<host name='10.0.0.9' transport='rdma'/>"),
		ISCSI(IQN "/1", "<host transport='unix' socket='/run/x'/>"),
		ISCSI(IQN "/1", "<host name='-x'/>"),
		ISCSI(IQN "/1", "<host name='a,b'/>"),
		ISCSI(IQN "/01", HOST),
		ISCSI(IQN "/16384", HOST),
		ISCSI(IQN "/-1", HOST),
		ISCSI(IQN "/1/2", HOST),
		ISCSI(IQN "/../1", HOST),
		ISCSI("/dev/sda/1", HOST),
		ISCSI("nas/1", HOST),
		ISCSI(IQN "%20/1", HOST),
		RBD("vms", HOST),
		RBD("vms/", HOST),
		RBD("/web", HOST),
		RBD("vms/space/web", HOST),
		RBD("vms/web@monday", HOST),
		RBD("vms/web:conf=/etc/ceph/other.conf", HOST),
		RBD("vms/.web", HOST),
		RBD("vms/web", ""),
		RBD("vms/web", HOST HOST HOST HOST HOST),
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct domain_shared s = {.volume = "7"};

		if (read_source(rows[i], &s) != -ENOTSUP)
			g_error("%s passes", rows[i]);
		g_assert_cmpstr(s.volume, ==, "7");
	}
}

/* As they come from another device. */
static void test_names(void)
{
	static const struct {
		struct domain_shared s;
		bool ok;
	} rows[] = {
		{{"", "", 0}, true},
		{{ISCSI_STORE, "1", 0}, true},
		{{"rbd://a:6789/vms", "web", 0}, true},
		{{ISCSI_STORE, "", 0}, false},
		{{"", "1", 0}, false},
		{{ISCSI_STORE, "x", 0}, false},
		{{ISCSI_STORE, "../1", 0}, false},
		{{"iscsi://10.0.0.9:3260/nas", "1", 0}, false},
		{{"iscsi://", "1", 0}, false},
		{{"iscsi", "1", 0}, false},
		{{"rbd://a:6789/vms", "web@x", 0}, false},
		{{"rbd://a:6789/vms ", "web", 0}, false},
		{{"rbd://a'><x/>/vms", "web", 0}, false},
		{{"file:///etc/shadow", "1", 0}, false},
		{{"/etc/shadow", "1", 0}, false},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (storage_name_ok(&rows[i].s) != rows[i].ok)
			g_error("%s and %s", rows[i].s.store, rows[i].s.volume);
}

/* -- pools -- */

#define POOL(type, source)                                                           \
	"<pool type='" type "'><name>store</name><uuid>" FIX_UUID "</uuid><capacity" \
	" unit='bytes'>1</capacity><source>" source "</source></pool>"
#define DIRECT(more) POOL("iscsi-direct", HOST "<device path='" IQN "'/>" more)
#define CHAP "<auth type='chap' username='tom'><secret usage='nas'/></auth>"
#define INITIATOR "<initiator><iqn name='iqn.2026-01.lab:me'/></initiator>"

static void test_pool(void)
{
	struct domain_store s;

	g_assert_cmpint(storage_read_pool(DIRECT(CHAP INITIATOR), &s), ==, 0);
	g_assert_cmpstr(s.store, ==, ISCSI_STORE);
	g_assert_cmpstr(s.name, ==, IQN);
	g_assert_cmpstr(s.user, ==, "tom");
	g_assert_cmpstr(s.secret, ==, "nas");
	g_assert_cmpstr(s.initiator, ==, "iqn.2026-01.lab:me");
	g_assert_false(s.by_uuid);
	g_assert_cmpint(
		storage_read_pool(POOL("rbd", "<host name='b'/><host name='a'/>"
					      "<name>vms</name><auth type='ceph' "
					      "username='u'><secret uuid='" FIX_UUID "'/></auth>"),
				  &s),
		==, 0);
	g_assert_cmpstr(s.store, ==, "rbd://a:6789,b:6789/vms");
	g_assert_true(s.by_uuid);
	g_assert_cmpstr(s.initiator, ==, "");
}

static void test_bad_pool(void)
{
	static const struct {
		const char *xml;
		int r;
	} rows[] = {
		{POOL("dir", HOST), -ENOTSUP},
		/* Its volumes are device files, and no two hosts have the same. */
		{POOL("iscsi", HOST "<device path='" IQN "'/>"), -ENOTSUP},
		{POOL("iscsi-direct", HOST), -EBADMSG},
		{POOL("iscsi-direct", "<device path='" IQN "'/>"), -EBADMSG},
		{POOL("iscsi-direct", HOST "<device path='/dev/sda'/>"), -EBADMSG},
		{DIRECT("<auth type='chap' username='tom'/>"), -EBADMSG},
		{DIRECT("<initiator><iqn name='me'/></initiator>"), -EBADMSG},
		{POOL("rbd", "<name>vms</name>"), -EBADMSG},
		{POOL("rbd", HOST "<name>vms/space</name>"), -EBADMSG},
		{"<pool type='iscsi-direct'/>", -EBADMSG},
		{"<pool", -EBADMSG},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct domain_store s = {.name = "kept"};

		g_assert_cmpint(storage_read_pool(rows[i].xml, &s), ==, rows[i].r);
		g_assert_cmpstr(s.name, ==, "kept");
	}
}

static void test_volumes(void)
{
	struct domain_store iscsi = {.protocol = STORAGE_ISCSI}, rbd = {.protocol = STORAGE_RBD};
	char name[DOMAIN_VOLUME_MAX + 1];

	g_assert_cmpint(storage_read_volume(&iscsi, "unit:0:0:12", name), ==, 0);
	g_assert_cmpstr(name, ==, "12");
	g_assert_cmpint(storage_read_volume(&iscsi, "12", name), ==, -ENOTSUP);
	g_assert_cmpint(storage_read_volume(&iscsi, "unit:0:0:1x", name), ==, -ENOTSUP);
	g_assert_cmpint(storage_read_volume(&rbd, "web", name), ==, 0);
	g_assert_cmpstr(name, ==, "web");
	g_assert_cmpint(storage_read_volume(&rbd, "web@x", name), ==, -ENOTSUP);
}

static void note_disk(void *ctx, const struct storage_disk *d)
{
	g_string_append_printf(ctx, "%s %s %s %s %s\n", d->file ?: "-", d->pool ?: "-",
			       d->volume ?: "-", d->shared.store, d->shared.volume);
}

static void test_users(void)
{
	g_autoptr(GString) found = g_string_new(NULL);

	g_assert_cmpint(
		storage_each_disk(
			"<domain><devices>"
			"<disk type='file'><source file='/a'/></disk>"
			"<disk type='network'>" ISCSI(
				IQN "/3",
				HOST) "</disk>"
				      "<disk type='network'/><disk type='volume'/>"
				      "<disk type='volume'><source pool='p' volume='v'/></disk>"
				      "</devices></domain>",
			note_disk, found),
		==, 0);
	g_assert_cmpstr(found->str, ==, "/a - -  \n- - - " ISCSI_STORE " 3\n- p v  \n");
	g_assert_cmpint(storage_each_disk("<domain", note_disk, found), ==, -EBADMSG);
	g_assert_cmpint(storage_each_disk("<domain/>", note_disk, found), ==, 0);
}

/* -- the VM's configuration -- */

#define FILE_DISK "<disk type='file' device='disk'>"
#define FILE_DRIVER "<driver name='qemu' type='raw' cache='none' discard='unmap'/>"
#define FILE_SOURCE "<source file='/home/old/a.img' index='2'/>"

/* What this host knows of the storage: its own address for it, user and secret. */
static const struct domain_store here = {
	.pool = "store",
	.store = ISCSI_STORE,
	.host_count = 1,
	.hosts = {{"10.0.0.9", 0}},
	.name = IQN,
	.initiator = "iqn.2026-01.lab:me",
	.user = "tom",
	.secret = "nas",
};

static char *vm_with(const char *type, const char *source)
{
	g_autofree char *disk = g_strdup_printf("<disk type='%s' device='disk'>", type);
	g_autofree char *begun = fix_replace(fix_domain, FILE_DISK, disk);

	return fix_replace(begun, FILE_SOURCE, source);
}

/* vda is agreed to be LUN 1; sda is copied. */
static void shared_map(struct domain_disk_map *map)
{
	fix_map(map);
	map->disks[0].path[0] = '\0';
	map->disks[0].store = &here;
	g_strlcpy(map->disks[0].volume, "1", sizeof(map->disks[0].volume));
}

static int rebuild(const char *xml, const struct domain_disk_map *map, char **ret,
		   struct domain_facts *facts, struct kerr *err)
{
	struct domain_limits limits = fix_limits();

	return domain_rebuild(xml, strlen(xml), &limits, map, ret, facts, err);
}

static const char *const accepted[][2] = {
	{"network", ISCSI(IQN "/1", HOST)},
	/* Whose secret it is there, does not matter here; nor how that host calls itself. */
	{"network", ISCSI(IQN "/1", HOST "<auth username='bob'><secret type='iscsi' "
					 "usage='old'/></auth><initiator><iqn "
					 "name='iqn.old'/></initiator>")},
	{"network", "<source protocol='iscsi' name='" IQN "/1' index='3' tls='no'>" HOST
		    "</source><auth username='bob'/>"},
	{"volume", "<source pool='old' volume='unit:0:0:1' mode='direct'/>"},
};

static void test_accepted(void)
{
	static const char source[] =
		"<source protocol='iscsi' name='" IQN "/1'>\n<host name='10.0.0.9'/>\n"
		"<auth username='tom'>\n<secret type='iscsi' usage='nas'/>\n</auth>\n"
		"<initiator>\n<iqn name='iqn.2026-01.lab:me'/>\n</initiator>\n</source>";

	for (size_t i = 0; i < G_N_ELEMENTS(accepted); i++) {
		g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
		g_autofree struct domain_disk_map *map = g_new0(struct domain_disk_map, 1);
		g_autofree char *xml = vm_with(accepted[i][0], accepted[i][1]), *out = NULL;
		struct kerr err = {0};

		shared_map(map);
		if (rebuild(xml, map, &out, facts, &err) < 0)
			g_error("%s: %s", accepted[i][1], err.text);
		check_output(out);
		if (!strstr(out, source))
			g_error("%s becomes %s", accepted[i][1], out);
		g_assert_nonnull(strstr(out, "<disk type='network' device='disk'>"));
		g_assert_nonnull(strstr(out, FIX_PATH1));
		g_assert_cmpuint(facts->disk_count, ==, 2);
		g_assert_cmpuint(facts->shared_count, ==, 1);
		g_assert_cmpuint(domain_facts_copied(facts), ==, 1);
		g_assert_true(facts->disks[0].is_shared && !facts->disks[1].is_shared);
	}
}

static const struct {
	const char *type, *source, *words;
} hostile[] = {
	{"network", ISCSI(IQN "/2", HOST), "other storage"}, /* another LUN of the target */
	{"network", ISCSI(IQN "/10", HOST), "other storage"},
	{"network", ISCSI(IQN, HOST), "other storage"},
	{"network", ISCSI(IQN "2/1", HOST), "other storage"}, /* another target of the server */
	{"network", ISCSI("iqn.2004-10.com.Example:nas/1", HOST), "other storage"},
	{"network", ISCSI(IQN "/1", "<host name='10.0.0.90'/>"), "other storage"},
	{"network", ISCSI(IQN "/1", "<host name='10.0.0.9' port='3261'/>"), "other storage"},
	{"network", RBD("vms/1", HOST), "other storage"},
	{"network", ISCSI(IQN "/../1", HOST), "name that cannot"},
	{"network", "<source protocol='nbd' name='x'>" HOST "</source>", "only iSCSI"},
	{"network", "<source protocol='http' name='x'>" HOST "</source>", "only iSCSI"},
	{"network", ISCSI(IQN "/1", ""), "not named with its address"},
	{"network", ISCSI(IQN "/1", HOST "<snapshot name='x'/>"), "snapshot"},
	{"network", ISCSI(IQN "/1", HOST "<config file='/etc/shadow'/>"), "options"},
	{"network", ISCSI(IQN "/1", HOST "<reservations managed='yes'/>"), "reservations"},
	{"network", ISCSI(IQN "/1", HOST "<encryption format='luks'/>"), "encrypted"},
	{"network", ISCSI(IQN "/1", HOST "<teleporter/>"), "<teleporter>"},
	{"network", "<source protocol='iscsi' name='" IQN "/1' tls='yes'>" HOST "</source>",
	 "options"},
	{"network",
	 "<source protocol='iscsi' name='" IQN "/1' file='/etc/shadow'>" HOST "</source>",
	 "'file'"},
	{"network", "", "only iSCSI"},
	{"network", FILE_SOURCE, "only iSCSI"},
	{"volume", "<source pool='old'/>", "name that cannot"},
	{"volume", "<source pool='old' volume='../x'/>", "name that cannot"},
	{"volume", "<source pool='old' volume='unit:0:0:1' mode='host'/>", "options"},
	/* Announced as one that stays where it is: it would be lost. */
	{"file", FILE_SOURCE, "other storage"},
};

static void test_hostile(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(hostile); i++) {
		g_autofree struct domain_disk_map *map = g_new0(struct domain_disk_map, 1);
		g_autofree char *xml = vm_with(hostile[i].type, hostile[i].source), *out = NULL;
		struct kerr err = {0};

		shared_map(map);
		g_assert_cmpint(rebuild(xml, map, &out, NULL, &err), ==, -EPERM);
		g_assert_cmpint(err.code, ==, KCODE_DOMAIN);
		if (!strstr(err.text, hostile[i].words))
			g_error("%s: %s", hostile[i].source, err.text);
		g_assert_null(out);
	}
}

/* What was announced as an image to be copied is none that other hosts write to. */
static void test_not_announced(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(accepted); i++) {
		g_autofree struct domain_disk_map *map = g_new0(struct domain_disk_map, 1);
		g_autofree char *xml = vm_with(accepted[i][0], accepted[i][1]), *out = NULL;
		struct kerr err = {0};

		fix_map(map);
		g_assert_cmpint(rebuild(xml, map, &out, NULL, &err), ==, -EPERM);
		g_assert_nonnull(strstr(err.text, "other storage"));
	}
}

/* Caches that keep to themselves what the guest was told is written. */
static void test_caches(void)
{
	static const struct {
		const char *driver, *words; /* NULL = passes */
	} rows[] = {
		{"<driver name='qemu' type='raw' cache='none'/>", NULL},
		{"<driver name='qemu' type='raw' cache='writeback'/>", NULL},
		{"<driver name='qemu' type='raw'/>", NULL},
		{"<driver name='qemu' type='raw' cache='unsafe'/>", "cache='none'"},
		{"<driver name='qemu' type='qcow2'/>", "is not raw"},
		{"<driver name='qemu' type='vmdk'/>", "neither raw nor qcow2"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
		g_autofree char *with = vm_with(accepted[0][0], accepted[0][1]);
		g_autofree char *xml = fix_replace(with, FILE_DRIVER, rows[i].driver);
		struct kerr err = {0};
		int r = domain_disks(xml, strlen(xml), facts, &err);

		g_assert_cmpint(r, ==, rows[i].words ? -EPERM : 0);
		if (rows[i].words)
			g_assert_nonnull(strstr(err.text, rows[i].words));
		else
			g_assert_cmpstr(facts->disks[0].shared.store, ==, ISCSI_STORE);
	}
}

/* -- libvirt's migration call -- */

static struct gateway *open_gateway(size_t shared)
{
	g_autofree struct gateway_config *c = g_new0(struct gateway_config, 1);
	struct rpc_header h = rpc_call_header(RPC_PROC_OPEN, 2);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct gateway *g = NULL;

	fix_config(c);
	shared_map(&c->map);
	if (shared == 2) {
		c->map.disks[1] = c->map.disks[0];
		g_strlcpy(c->map.disks[1].target, "sda", sizeof(c->map.disks[1].target));
		g_strlcpy(c->map.disks[1].volume, "2", sizeof(c->map.disks[1].volume));
		c->map.disks[1].capacity = FIX_CAPACITY1;
		c->disks_uri = NULL;
	}
	g_assert_cmpint(gateway_new(c, &g), ==, 0);
	start_frame();
	rpc_put_open(&frame, &h, "qemu:///system", 0);
	feed(g, true, &a);
	empty_reply(g, RPC_PROC_OPEN, 2, &a);
	return g;
}

/* Two disks: the first, or both, on shared storage. The list that libvirt here gets is ours. */
static void test_prepare(void)
{
	static const struct {
		size_t shared;
		const char *disks[3];
		bool ok;
	} rows[] = {
		{1, {NULL}, true},	    {1, {"sda"}, true}, {1, {"vda"}, false},
		{1, {"sda", "vda"}, false}, {2, {NULL}, true},	{2, {"sda"}, false},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		_cleanup_(gateway_freep) struct gateway *g = open_gateway(rows[i].shared);
		_cleanup_gateway_action_ struct gateway_action a = {0};
		g_autofree struct rpc_prepare_args *p = prepare_args(),
						   *out = g_memdup2(p, sizeof(*p));
		g_autofree char *xml = vm_with("network", ISCSI(IQN "/1", HOST)), *both = NULL;
		struct rpc_msg m;

		both = fix_replace(xml,
				   "<disk type='file' device='disk'>\n      <driver "
				   "name='qemu' type='qcow2' cache='none'/>\n      <source "
				   "file='/home/old/b.qcow2'/>",
				   "<disk type='network' device='disk'><driver name='qemu' "
				   "type='raw'/>" ISCSI(IQN "/2", HOST));
		fill_params(&p->params, rows[i].shared == 2 ? both : xml);
		for (size_t k = 0; k < 3 && rows[i].disks[k]; k++)
			xdr_params_add_string(&p->params, VIR_MIGRATE_PARAM_MIGRATE_DISKS,
					      rows[i].disks[k], strlen(rows[i].disks[k]));
		send_prepare(g, p, &a);
		if (!rows[i].ok) {
			assert_refused(g, &a, KCODE_BAD_MESSAGE);
			continue;
		}
		g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
		g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
		g_assert_cmpint(rpc_get_prepare(&m, out), ==, 0);
		/* Nothing to copy is no copying: else libvirt would copy all. */
		g_assert_cmpuint(out->flags, ==,
				 rows[i].shared == 1
					 ? (unsigned)FLAGS
					 : (unsigned)(FLAGS & ~VIR_MIGRATE_NON_SHARED_DISK));
		if (rows[i].shared == 1)
			assert_param(&out->params, VIR_MIGRATE_PARAM_MIGRATE_DISKS, 0, "sda");
		g_assert_null(find_param(&out->params, VIR_MIGRATE_PARAM_MIGRATE_DISKS,
					 rows[i].shared == 1));
	}
}

/* The local disk of a mixed VM does not get lost by a source that copies nothing. */
static void test_nothing_copied(void)
{
	_cleanup_(gateway_freep) struct gateway *g = open_gateway(1);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	g_autofree struct rpc_prepare_args *p = prepare_args();
	g_autofree char *xml = vm_with("network", ISCSI(IQN "/1", HOST));

	fill_params(&p->params, xml);
	p->flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PAUSED;
	send_prepare(g, p, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/storage/one spelling", test_source);
	g_test_add_func("/storage/H12 sources that are none", test_bad_source);
	g_test_add_func("/storage/H12 names from another device", test_names);
	g_test_add_func("/storage/pools", test_pool);
	g_test_add_func("/storage/pools that are none", test_bad_pool);
	g_test_add_func("/storage/volumes of pools", test_volumes);
	g_test_add_func("/storage/who uses what", test_users);
	g_test_add_func("/storage/stays where it is", test_accepted);
	g_test_add_func("/storage/H12 other than announced", test_hostile);
	g_test_add_func("/storage/H12 announced as an image", test_not_announced);
	g_test_add_func("/storage/caches", test_caches);
	g_test_add_func("/storage/H12 H15 only images are copied", test_prepare);
	g_test_add_func("/storage/H12 H15 images are copied", test_nothing_copied);
	return g_test_run();
}
