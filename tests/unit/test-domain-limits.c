/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of the rows that make ordinary machines movable (H13, H23): the last value that is
 * taken, and beside it one that is not. A row is one attack and its positive twin. */
#include "domain-output.h"

/* `form` takes the place of `find`, with the value written for its "%s". */
struct border {
	const char *what, *find, *form;
	const char *good, *bad;
	const char *want; /* in the sentence of the refusal */
};

#define DRIVER "<driver name='qemu' type='raw' cache='none' discard='unmap'/>"
#define DISK_DRIVER(attr) DRIVER, "<driver name='qemu' type='raw' " attr "='%s'/>"
#define DISK_ITEM(n) "<serial>abc123</serial>", "<" n ">%s</" n ">"
#define NIC "<model type='virtio'/>\n      <address"
#define NIC_DRIVER(attr) NIC, "<model type='virtio'/><driver " attr "='%s'/><address"
#define HOST_OFFLOAD(attr) \
	NIC, "<model type='virtio'/><driver><host " attr "='%s'/></driver><address"
#define HYPERV(item) "<apic/>", "<apic/><hyperv>" item "</hyperv>"
#define FEATURE(item) "<apic/>", "<apic/>" item
#define TIMER "<timer name='hpet' present='no'/>"
#define VIDEO "<model type='virtio' heads='1' primary='yes'/>"
#define USB_PORTS "model='qemu-xhci' ports='15'"
#define DISK_PCI "bus='0x06' slot='0x00' function='0x0'"
#define DISK_TARGET "<target dev='vda' bus='virtio'/>"
#define CHANNEL_NAME "name='org.qemu.guest_agent.0'"
#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16
#define A256 A64 A64 A64 A64

static const struct border borders[] = {
	/* what a guest sees of its host */
	{"title", "<title>A &amp; B<", "<title>%s<", A256, A256 "a", "title"},
	{"processors", "'static'>2<", "'static' current='2'>%s<", "4", "4,x", "processors"},
	{"machine name", "pc-q35-7.2", "%s", "pc-q35-7.2", "pc-q35-7.2 ", "machine"},
	{"arch", "arch='x86_64'", "arch='%s'", "i686", "aarch64", "arch"},
	{"boot device", "<boot dev='hd'/>", "<boot dev='%s'/>", "cdrom", "usb", "dev"},
	{"boot menu's time", "<bootmenu enable='no'/>", "<bootmenu enable='yes' timeout='%s'/>",
	 "65535", "65536", "timeout"},
	{"BIOS reboot time", "<bootmenu enable='no'/>", "<bios rebootTimeout='%s'/>", "65535",
	 "65536", "rebootTimeout"},
	{"SMBIOS", "<bootmenu enable='no'/>", "<smbios mode='%s'/>", "emulate", "sysinfo",
	 "smbios"},
	{"CPU model", ">qemu64<", ">%s<", "Skylake-Client-IBRS", "Skylake Client", "model"},
	{"CPU model's length", ">qemu64<", ">%s<", A64, A64 "a", "model"},
	{"CPU vendor", ">qemu64</model>", ">qemu64</model><vendor>%s</vendor>", "AMD", "A,MD",
	 "vendor"},
	{"CPU sockets", "sockets='1'", "sockets='%s'", "1", "513", "sockets"},
	{"CPU cores", "cores='2'", "cores='%s'", "2", "-2", "cores"},
	{"CPU cache", "<feature policy=", "<cache level='%s' mode='emulate'/><feature policy=", "3",
	 "4", "level"},
	{"CPU address bits", "<feature policy=",
	 "<maxphysaddr mode='emulate' bits='%s'/><feature policy=", "64", "65", "bits"},
	{"CPU feature's policy", "policy='require'", "policy='%s'", "disable", "maybe", "policy"},
	{"CPU feature's name", "name='hypervisor'", "name='%s'", "vmx-ins-outs", "a,b", "name"},
	{"clock", "<clock offset='utc'>", "<clock offset='%s'>", "localtime", "timezone", "offset"},
	{"clock's adjustment", "<clock offset='utc'>",
	 "<clock offset='variable' adjustment='%s' basis='utc'>", "-3600", "99999999999",
	 "adjustment"},
	{"timer", TIMER, "<timer name='%s' present='no'/>", "tsc", "armvtimer", "name"},
	{"timer's frequency", TIMER, "<timer name='tsc' frequency='%s'/>", "3000000000", "0",
	 "frequency"},
	{"timer's catch-up", TIMER, "<timer name='pit'><catchup threshold='%s'/></timer>", "123",
	 "4294967296", "threshold"},
	{"end of the guest", "<on_reboot>restart", "<on_reboot>%s", "destroy", "coredump-restart",
	 "core dump"},
	{"suspend", "<suspend-to-mem enabled='no'/>", "<suspend-to-mem enabled='%s'/>", "yes",
	 "maybe", "enabled"},

	/* features */
	{"hyper-v mode", "<apic/>", "<apic/><hyperv mode='%s'/>", "custom", "passthrough", "mode"},
	{"hyper-v spinlocks", HYPERV("<spinlocks state='on' retries='%s'/>"), "4294967295",
	 "4294967296", "retries"},
	{"hyper-v vendor", HYPERV("<vendor_id state='on' value='%s'/>"), "GenuineIntel",
	 "abcdefghijklm", "value"},
	{"hyper-v timer", HYPERV("<stimer state='on'><direct state='%s'/></stimer>"), "on", "1",
	 "state"},
	{"hyper-v state", HYPERV("<evmcs state='%s'/>"), "off", "", "state"},
	{"kvm hint", FEATURE("<kvm><hidden state='%s'/></kvm>"), "on", "yes", "state"},
	{"ioapic", FEATURE("<ioapic driver='%s'/>"), "qemu", "host", "driver"},
	{"vmcoreinfo", FEATURE("<vmcoreinfo state='%s'/>"), "on", "/etc/x", "state"},

	/* disks */
	{"disk cache", DISK_DRIVER("cache"), "writeback", "none,file=/x", "cache"},
	{"disk io", DISK_DRIVER("io"), "io_uring", "aio", "io"},
	{"disk discard", DISK_DRIVER("discard"), "ignore", "on", "discard"},
	{"disk zeroes", DISK_DRIVER("detect_zeroes"), "unmap", "yes", "detect_zeroes"},
	{"disk errors", DISK_DRIVER("error_policy"), "enospace", "retry", "error_policy"},
	{"disk queues", DISK_DRIVER("queues"), "512", "513", "queues"},
	{"disk queue's size", DISK_DRIVER("queue_size"), "1024", "1025", "queue_size"},
	{"disk thread", DISK_DRIVER("iothread"), "1", "65", "iothread"},
	{"disk packed ring", DISK_DRIVER("packed"), "on", "1", "packed"},
	{"disk bus", DISK_TARGET, "<target dev='vda' bus='%s'/>", "scsi", "xen", "bus"},
	{"disk target's length", DISK_TARGET, "<target dev='%s' bus='virtio'/>", "vda",
	 "vdaaaaaaaaaaaaaaaaaaa", "target"},
	{"disk rotation", DISK_TARGET, "<target dev='vda' bus='virtio' rotation_rate='%s'/>",
	 "65534", "65535", "rotation_rate"},
	{"disk serial", DISK_ITEM("serial"), A64, A64 "a", "serial"},
	{"disk vendor", DISK_ITEM("vendor"), "QEMU-abc", "QEMU-abcd", "vendor"},
	{"disk product", DISK_ITEM("product"), A16, A16 "a", "product"},
	{"disk wwn", DISK_ITEM("wwn"), "5000c50015ea71ac", "5000c50015ea71ac0", "wwn"},
	{"disk block size", "<serial>abc123</serial>", "<blockio logical_block_size='%s'/>", "4096",
	 "65537", "logical_block_size"},
	{"disk order", "<serial>abc123</serial>", "<boot order='%s'/>", "64", "65", "order"},
	{"disk kind", "<disk type='file' device='cdrom'>", "<disk type='file' device='%s'>",
	 "floppy", "tape", "passed-through"},

	/* buses */
	{"PCI domain", "domain='0x0000' " DISK_PCI, "domain='%s' " DISK_PCI, "0x0000", "0x0001",
	 "domain"},
	{"PCI bus", DISK_PCI, "bus='%s' slot='0x00' function='0x0'", "0xff", "0x100", "bus"},
	{"PCI slot", DISK_PCI, "bus='0x06' slot='%s' function='0x0'", "0x1f", "0x20", "slot"},
	{"PCI function", DISK_PCI, "bus='0x06' slot='0x00' function='%s'", "0x7", "0x8",
	 "function"},
	{"drive unit", "target='0' unit='0'", "target='0' unit='%s'", "16383", "16384", "unit"},
	{"drive controller", "type='drive' controller='0' bus='0' target='0' unit='0'",
	 "type='drive' controller='%s' bus='0' target='0' unit='0'", "255", "256", "controller"},
	{"USB port", "port='1.2'", "port='%s'", "1.2.3", "1.2/x", "port"},
	{"USB ports", USB_PORTS, "model='qemu-xhci' ports='%s'", "31", "32", "ports"},
	{"controller's model", USB_PORTS, "model='%s' ports='15'", "ich9-ehci1", "xenbus", "model"},
	{"controller", "<controller type='sata' index='0'>", "<controller type='%s' index='0'>",
	 "scsi", "xenbus", "type"},
	{"controller's number", "<controller type='sata' index='0'>",
	 "<controller type='sata' index='%s'>", "255", "256", "index"},
	{"port's number", "port='0x10'", "port='%s'", "0xff", "0x100", "port"},
	{"chassis", "chassis='1'", "chassis='%s'", "255", "256", "chassis"},
	{"ACPI index", "<alias name='virtio-disk0'/>", "<acpi index='%s'/>", "16383", "16384",
	 "index"},
	{"alias's length", "<alias name='virtio-disk0'/>", "<alias name='%s'/>", A64, A64 "a",
	 "alias"},

	/* network cards */
	{"MAC", "52:54:00:11:22:33", "%s", "52:54:00:aa:BB:cc", "52:54:00:11:22", "address"},
	{"card's model", NIC, "<model type='%s'/><address", "e1000", "vmxnet3", "type"},
	{"card's queues", NIC_DRIVER("queues"), "64", "65", "queues"},
	{"card's ring", NIC_DRIVER("rx_queue_size"), "1024", "1025", "rx_queue_size"},
	{"card's driver", NIC_DRIVER("name"), "vhost", "vfio", "name"},
	{"card's offload", HOST_OFFLOAD("tso4"), "off", "no", "tso4"},
	{"card's MTU", NIC, "<mtu size='%s'/><model type='virtio'/><address", "65535", "65536",
	 "size"},
	{"card's link", NIC, "<link state='%s'/><model type='virtio'/><address", "down", "flap",
	 "state"},

	/* ports, screen, sound and the rest */
	{"serial port's number", "<target type='isa-serial' port='0'>",
	 "<target type='isa-serial' port='%s'>", "255", "256", "port"},
	{"serial port's kind", "<target type='isa-serial' port='0'>", "<target type='%s' port='0'>",
	 "pci-serial", "sclp-serial", "type"},
	{"channel's name", CHANNEL_NAME, "name='%s'", A64, A64 "a", "name"},
	{"input's bus", "<input type='mouse' bus='ps2'/>", "<input type='mouse' bus='%s'/>", "usb",
	 "xen", "bus"},
	{"screen's memory", VIDEO, "<model type='qxl' ram='%s'/>", "1048576", "1048577", "ram"},
	{"screens", VIDEO, "<model type='virtio' heads='%s'/>", "16", "17", "heads"},
	{"screen's width", VIDEO, "<model type='virtio'><resolution x='%s' y='768'/></model>",
	 "16384", "16385", "x"},
	{"screen's kind", VIDEO, "<model type='%s'/>", "bochs", "gop", "type"},
	{"sound card", "<sound model='ich9'>", "<sound model='%s'>", "ac97", "sb16", "model"},
	{"sound's number", "<audio id='1' type='none'/>", "<audio id='%s' type='none'/>", "64",
	 "65", "id"},
	{"watchdog", "model='i6300esb'", "model='%s'", "ib700", "diag288", "model"},
	{"balloon", "<memballoon model='virtio'>", "<memballoon model='%s'>", "virtio-transitional",
	 "xen", "model"},
	{"balloon's statistics", "<memballoon model='virtio'>",
	 "<memballoon model='virtio'><stats period='%s'/>", "86400", "86401", "period"},
	{"random device", "<rng model='virtio'>", "<rng model='%s'>", "virtio-transitional",
	 "spapr", "model"},
	{"random device's rate", "<rng model='virtio'>",
	 "<rng model='virtio'><rate bytes='%s' period='1000'/>", "4294967295", "4294967296",
	 "bytes"},
	{"TPM's model", DEV("<tpm model='%s'><backend type='emulator'/></tpm>"), "tpm-tis",
	 "tpm-spapr", "model"},
	{"TPM's version", DEV("<tpm model='tpm-tis'><backend type='emulator' version='%s'/></tpm>"),
	 "2.0", "3.0", "version"},
	{"panic device", DEV("<panic model='%s'/>"), "isa", "s390", "model"},
};

static int rebuild(const struct border *b, const char *value, char **ret, struct kerr *err)
{
	g_auto(GStrv) around = g_strsplit(b->form, "%s", 2);
	g_autofree char *with = g_strconcat(around[0], value, around[1], NULL);
	g_autofree char *xml = fix_replace(fix_domain, b->find, with);
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;

	fix_map(&map);
	return domain_rebuild(xml, strlen(xml), &limits, &map, ret, NULL, err);
}

static void test_border(gconstpointer data)
{
	const struct border *b = data;
	g_autofree char *out = NULL;
	struct kerr err = {0};
	char *none = NULL;

	if (rebuild(b, b->good, &out, &err) < 0)
		g_error("%s: %s", b->good, err.text);
	check_output(out);

	kerr_clear(&err);
	g_assert_cmpint(rebuild(b, b->bad, &none, &err), <, 0);
	g_assert_null(none);
	if (err.code != KCODE_DOMAIN || !strstr(err.text, b->want))
		g_error("%s: %s: %s", b->bad, kcode_to_string(err.code), err.text);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	for (size_t i = 0; i < G_N_ELEMENTS(borders); i++) {
		g_autofree char *name = g_strdup_printf("/domain-limits/H13 %s", borders[i].what);

		g_test_add_data_func(name, &borders[i], test_border);
	}
	return g_test_run();
}
