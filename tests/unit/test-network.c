/* SPDX-License-Identifier: Apache-2.0 */
/* Networks that a VM may join, on libvirt's own test driver, which has an active one: "default". */
#include <glib.h>
#include <string.h>

#include "mover/network.h"
#include "mover/virt-internal.h"

static void silent(void *ctx, virErrorPtr e)
{
	(void)ctx;
	(void)e;
}

static struct virt *connect_test(void)
{
	struct virt *v = virt_new();

	virSetErrorFunc(NULL, silent);
	v->conn = virConnectOpen("test:///default");
	g_assert_nonnull(v->conn);
	return v;
}

static void test_states(void)
{
	static struct domain_networks n;
	struct virt *v = connect_test();
	virNetworkPtr down = virNetworkDefineXML(v->conn, "<network><name>lab</name></network>");

	g_assert_nonnull(down);
	network_look(v, "default, lab,other", "none", &n);
	g_assert_cmpuint(n.count, ==, 3);
	g_assert_cmpstr(n.list[0].name, ==, "default");
	g_assert_cmpint(n.list[0].missing.code, ==, KCODE_OK);
	g_assert_cmpstr(n.list[1].name, ==, "lab");
	g_assert_cmpint(n.list[1].missing.code, ==, KCODE_NOT_READY);
	g_assert_nonnull(strstr(n.list[1].missing.text, "`virsh net-start lab`"));
	g_assert_nonnull(strstr(n.list[1].missing.text, "`virsh net-autostart lab`"));
	g_assert_nonnull(strstr(n.list[2].missing.text, "not defined"));
	g_assert_nonnull(strstr(n.list[2].missing.text, "\"other\""));
	/* The twins: each repaired. */
	g_assert_cmpint(virNetworkCreate(down), ==, 0);
	virNetworkFree(down);
	down = virNetworkCreateXML(v->conn,
				   "<network><name>other</name><bridge name='b'/></network>");
	g_assert_nonnull(down);
	virNetworkFree(down);
	network_look(v, "default,lab,other", "none", &n);
	for (size_t i = 0; i < 3; i++)
		g_assert_cmpint(n.list[i].missing.code, ==, KCODE_OK);
	virt_free(v);
}

static void test_names(void)
{
	static const struct {
		const char *names;
		size_t count;
		const char *last;
	} rows[] = {{"default", 1, "default"},
		    {"none", 0, NULL},
		    {" , ,default ,, ", 1, "default"},
		    {"my net", 1, "my net"},
		    {"a,b,c,d,e,f,g,h,i,j", DOMAIN_NETWORKS_MAX, "h"}};
	static struct domain_networks n;
	struct virt *v = connect_test();

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		network_look(v, rows[i].names, "none", &n);
		g_assert_cmpuint(n.count, ==, rows[i].count);
		if (n.count)
			g_assert_cmpstr(n.list[n.count - 1].name, ==, rows[i].last);
	}
	virt_free(v);
}

/* The longest names leave room for the whole advice. */
static void test_long_name(void)
{
	static struct domain_networks n;
	struct virt *v = connect_test();
	g_autofree char *name = g_strnfill(NAME_MAX_LEN, 'n');
	g_autofree char *end = g_strconcat("net-autostart ", name, "`.", NULL);

	network_look(v, name, "none", &n);
	g_assert_cmpuint(n.count, ==, 1);
	g_assert_true(g_str_has_suffix(n.list[0].missing.text, end));
	virt_free(v);
}

/* The one for all other networks is one of them, or none. */
static void test_other(void)
{
	static struct domain_networks n;
	struct virt *v = connect_test();

	network_look(v, "default,lab", "lab", &n);
	g_assert_cmpstr(n.other, ==, "lab");
	network_look(v, "default,lab", "elsewhere", &n);
	g_assert_cmpstr(n.other, ==, "");
	network_look(v, "default,lab", "none", &n);
	g_assert_cmpstr(n.other, ==, "");
	virt_free(v);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/network/missing, down and up", test_states);
	g_test_add_func("/network/names", test_names);
	g_test_add_func("/network/long names", test_long_name);
	g_test_add_func("/network/for all others", test_other);
	return g_test_run();
}
