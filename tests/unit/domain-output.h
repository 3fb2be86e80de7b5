/* SPDX-License-Identifier: Apache-2.0 */
/* What may be in a rebuilt domain, written down a second time on purpose; and changes to try. */
#pragma once

#include <libxml/parser.h>

#include "mover-fixtures.h"

static const char *const safe_elements[] = {
	"acceleration",
	"acpi",
	"active_pcr_banks",
	"address",
	"alias",
	"apic",
	"audio",
	"auth",
	"backend",
	"backingStore",
	"bios",
	"blockio",
	"boot",
	"bootmenu",
	"cache",
	"catchup",
	"channel",
	"clock",
	"codec",
	"console",
	"controller",
	"cpu",
	"currentMemory",
	"description",
	"devices",
	"direct",
	"disk",
	"domain",
	"driver",
	"emulator",
	"encryption",
	"evmcs",
	"feature",
	"features",
	"firmware",
	"graphics",
	"guest",
	"hap",
	"hidden",
	"host",
	"hub",
	"hyperv",
	"input",
	"initiator",
	"interface",
	"ioapic",
	"iothread",
	"iothreadids",
	"iothreads",
	"iqn",
	"kvm",
	"libosinfo",
	"link",
	"listen",
	"loader",
	"mac",
	"master",
	"maxphysaddr",
	"memballoon",
	"memory",
	"metadata",
	"model",
	"mtu",
	"name",
	"nvram",
	"on_crash",
	"on_poweroff",
	"on_reboot",
	"os",
	"pae",
	"panic",
	"pm",
	"pmu",
	"product",
	"pvspinlock",
	"rate",
	"readonly",
	"redirdev",
	"relaxed",
	"resolution",
	"rng",
	"secret",
	"serial",
	"sha256",
	"smartcard",
	"smbios",
	"smm",
	"sound",
	"source",
	"spinlocks",
	"stats",
	"stimer",
	"suspend-to-disk",
	"suspend-to-mem",
	"target",
	"timer",
	"title",
	"topology",
	"tpm",
	"type",
	"uuid",
	"vapic",
	"vcpu",
	"vcpus",
	"vendor",
	"vendor_id",
	"video",
	"vmcoreinfo",
	"vmport",
	"watchdog",
	"wwn",
};

static const char *const safe_paths[] = {
	FIX_PATH0, FIX_PATH1, FIX_SERIAL,     FIX_EMULATOR, FIX_NVRAM,
	FIX_CODE,  FIX_VARS,  "/dev/urandom", FIX_ON_NFS,
};

static gboolean in_list(const char *const *list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], text) == 0)
			return TRUE;
	return FALSE;
}

static void check_value(const char *text)
{
	if (text[0] == '/')
		g_assert_true(in_list(safe_paths, G_N_ELEMENTS(safe_paths), text));
	g_assert_null(strstr(text, "old"));
	g_assert_null(strstr(text, "0.0.0.0"));
	g_assert_null(strstr(text, ".."));
}

static void check_node(const xmlNode *node)
{
	for (; node; node = node->next) {
		if (node->type == XML_TEXT_NODE) {
			check_value((const char *)node->content);
			continue;
		}
		g_assert_cmpint(node->type, ==, XML_ELEMENT_NODE);
		if (node->ns)
			g_assert_cmpstr((const char *)node->ns->href, ==,
					"http://libosinfo.org/xmlns/libvirt/domain/1.0");
		if (!in_list(safe_elements, G_N_ELEMENTS(safe_elements), (const char *)node->name))
			g_error("output has <%s>", node->name);
		for (const xmlAttr *a = node->properties; a; a = a->next)
			if (a->children)
				check_value((const char *)a->children->content);
		check_node(node->children);
	}
}

static inline void check_output(const char *xml)
{
	xmlDoc *doc = xmlReadMemory(xml, (int)strlen(xml), NULL, "UTF-8", XML_PARSE_NONET);

	g_assert_nonnull(doc);
	check_node(xmlDocGetRootElement(doc));
	xmlFreeDoc(doc);
}

/* One change to fix_domain, and what comes of it. */
struct change {
	const char *what, *find, *replace;
	const char *want; /* accepted: in the output; refused: in the sentence */
	enum kcode code;  /* refused with */
};

#define DEV(element) "<watchdog", element "<watchdog"
#define SPICE "<graphics type='spice'/>"
#define REDIRDEV \
	"<redirdev bus='usb' type='spicevmc'><address type='usb' bus='0' port='2'/></redirdev>"
#define TPM(in)                                                                                  \
	"<tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'>" in \
	"</backend></tpm>"
