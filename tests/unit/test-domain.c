/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's domain filter: H12, H13, H17, H21, H23 and N1, each with its positive twin. */
#include "domain-output.h"

static int rebuild(const char *xml, char **ret, struct domain_facts *facts, struct kerr *err)
{
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;

	fix_map(&map);
	return domain_rebuild(xml, strlen(xml), &limits, &map, ret, facts, err);
}

/* ---- accepted ---- */

static void test_real(void)
{
	g_autofree char *xml = NULL, *again = NULL;
	g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
	struct kerr err = {0};
	static const char *const want[] = {
		"<source file='" FIX_PATH0 "'/>",
		"<source file='" FIX_PATH1 "'/>",
		"<emulator>" FIX_EMULATOR "</emulator>",
		"<source network='kithnet'/>",
		"<source path='" FIX_SERIAL "' append='on'/>",
		"<title>A &amp; B</title>",
		"<listen type='address' address='127.0.0.1'/>",
		"<alias name='ua-data'/>",
		"<address type='usb' bus='0' port='1.2'/>",
		"<target chassis='1' port='0x10'/>",
	};

	g_assert_cmpint(rebuild(fix_domain, &xml, facts, &err), ==, 0);
	g_assert_cmpint(err.code, ==, KCODE_OK);
	check_output(xml);
	for (size_t i = 0; i < G_N_ELEMENTS(want); i++)
		if (!strstr(xml, want[i]))
			g_error("output lacks %s", want[i]);
	g_assert_null(strstr(xml, "letmein"));
	g_assert_cmpstr(facts->name, ==, FIX_NAME);
	g_assert_cmpuint(facts->memory_bytes, ==, 64u << 20);
	g_assert_cmpuint(facts->vcpus, ==, 2);
	g_assert_false(facts->kvm);
	g_assert_cmpuint(facts->disk_count, ==, 2);
	g_assert_cmpstr(facts->disks[0].target, ==, "vda");
	g_assert_cmpstr(facts->disks[0].source, ==, "/home/old/a.img");
	g_assert_cmpint(facts->disks[1].format, ==, DISK_FORMAT_QCOW2);
	g_assert_cmpuint(facts->serial_count, ==, 1);
	g_assert_cmpint(facts->serials[0], ==, DOMAIN_SERIAL_FILE);
	g_assert_cmpuint(facts->interface_count, ==, 1);
	/* What was written is accepted again and comes out the same: a fixed point. */
	g_assert_cmpint(rebuild(xml, &again, NULL, &err), ==, 0);
	g_assert_cmpstr(xml, ==, again);
}

static void test_source_side(void)
{
	g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
	g_autofree char *bad = fix_replace(fix_domain, "<watchdog", "<hostdev/><watchdog");
	struct kerr err = {0};

	g_assert_cmpint(domain_disks(fix_domain, strlen(fix_domain), facts, &err), ==, 0);
	g_assert_cmpuint(facts->disk_count, ==, 2);
	g_assert_cmpstr(facts->disks[1].source, ==, "/home/old/b.qcow2");
	g_assert_cmpint(domain_disks(bad, strlen(bad), facts, &err), ==, -EPERM);
	g_assert_cmpint(err.code, ==, KCODE_DOMAIN);
	g_assert_nonnull(strstr(err.text, "<hostdev>"));
}

#define RNG_BACKEND "<backend model='random'>/dev/urandom</backend>"
#define RAW "<driver name='qemu' type='raw' cache='none' discard='unmap'/>"
#define UEFI_THERE                                                                              \
	"<os>\n<loader readonly='yes' secure='no' type='pflash'>" FIX_CODE "</loader>\n<nvram " \
	"template='" FIX_VARS "'>" FIX_NVRAM "</nvram>"
#define SOURCE "<source file='/home/old/a.img' index='2'/>"

static const struct change accepted[] = {
	{"kvm", "<domain type='qemu' id='7'>", "<domain type='kvm'>", "<domain type='kvm'>", 0},
	{"pc machine", "pc-q35-7.2", "pc-i440fx-7.2", "machine='pc-i440fx-7.2'", 0},
	{"host-model", "mode='custom' match='exact' check='full'",
	 "mode='host-model' check='partial'", "mode='host-model'", 0},
	{"memory unit", "<memory unit='KiB'>65536<", "<memory unit='MiB' dumpCore='off'>64<",
	 "<memory unit='KiB'>65536</memory>", 0},
	{"no emulator given", "<emulator>/usr/local/bin/old-qemu</emulator>", "", "<devices>", 0},
	{"user network", "<interface type='network'>", "<interface type='user'>",
	 "<interface type='user'>", 0},
	{"e1000e", "<model type='virtio'/>\n      <address",
	 "<model type='e1000e'/>\n      <address", "<model type='e1000e'/>", 0},
	{"offloads", "<model type='virtio'/>\n      <address",
	 "<model type='virtio'/><driver name='vhost' queues='2'><host "
	 "csum='off'/></driver><address",
	 "<host csum='off'/>", 0},
	{"spice", "<graphics type='vnc' port='5900'",
	 "<graphics type='spice' tlsPort='-1' port='5900'", "<graphics type='spice' port='-1'", 0},
	{"spice agent channel", "<channel type='unix'>", SPICE "<channel type='spicevmc'>",
	 "<channel type='spicevmc'>", 0},
	{"spice port", "<channel type='unix'>\n      <source mode='bind' path='/run/old.sock'/>",
	 SPICE "<channel type='spiceport'><source channel='org.spice-space.webdav.0'/>",
	 "<source channel='org.spice-space.webdav.0'/>", 0},
	{"a viewer's channel without a SPICE display", "<channel type='unix'>",
	 "<channel type='spicevmc'>", "<channel type='null'>", 0},
	{"idle USB redirection", DEV(SPICE REDIRDEV), "<redirdev type='spicevmc' bus='usb'>", 0},
	{"idle USB redirection without a SPICE display", DEV(REDIRDEV),
	 "<redirdev type='null' bus='usb'>", 0},
	{"a viewer's smart card", DEV(SPICE "<smartcard mode='passthrough' type='spicevmc'/>"),
	 "<smartcard type='spicevmc' mode='passthrough'/>", 0},
	{"sound of the desktop", "<audio id='1' type='none'/>",
	 SPICE "<audio id='1' type='pulseaudio' serverName='/run/old'><input/></audio>",
	 "<audio type='spice' id='1'/>", 0},
	{"sound of the desktop, without a SPICE display", "<audio id='1' type='none'/>",
	 "<audio id='1' type='pulseaudio'/>", "<audio type='none' id='1'/>", 0},
	{"virtual TPM", DEV(TPM("<active_pcr_banks><sha256/></active_pcr_banks>")),
	 "<backend type='emulator' version='2.0'>\n<active_pcr_banks>\n<sha256/>", 0},
	{"UEFI by its files", "<boot dev='hd'/>",
	 "<loader readonly='yes' secure='no' type='pflash'>/usr/share/old/CODE.fd</loader>"
	 "<nvram template='/usr/share/old/VARS.fd'>/var/lib/old_VARS.fd</nvram>",
	 UEFI_THERE, 0},
	{"UEFI by its features", "<os>",
	 "<os firmware='efi'><firmware><feature enabled='no' name='secure-boot'/></firmware>",
	 UEFI_THERE, 0},
	{"empty floppy drive", "<disk type='file' device='cdrom'>",
	 "<disk type='file' device='floppy'>", "device='floppy'", 0},
	{"empty drive of the host", "<disk type='file' device='cdrom'>",
	 "<disk type='block' device='cdrom'>", "device='cdrom'", 0},
	{"port group", "network='kithnet'", "network='kithnet' portgroup='dev'",
	 "<source network='kithnet' portgroup='dev'/>", 0},
	{"the host's CPU between like hosts", "mode='custom' match='exact' check='full'",
	 "mode='maximum' check='none' migratable='on'", "mode='maximum'", 0},
	{"name of the operating system", "</metadata>",
	 "<l:libosinfo xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'><l:os "
	 "id='http://debian.org/debian/11'/></l:libosinfo></metadata>",
	 "<libosinfo:os id='http://debian.org/debian/11'/>", 0},
	{"H17 chain of images, which becomes one", "<backingStore/>\n      <target dev='vda'",
	 "<backingStore type='file'><format type='raw'/><source "
	 "file='/etc/shadow'/></backingStore>\n      <target dev='vda'",
	 "<backingStore/>", 0},
	{"virtio console",
	 "<console type='file'>\n      <source path='/var/log/old-serial.log' append='on'/>\n"
	 "      <target type='serial' port='0'/>",
	 "<console type='pty' tty='/dev/pts/3'><target type='virtio' port='1'/>",
	 "<console type='pty'>", 0},
	{"pty serial",
	 "<serial type='file'>\n      <source path='/var/log/old-serial.log' append='on'/>",
	 "<serial type='pty'>\n      <source path='/dev/pts/3'/>", "<serial type='pty'>", 0},
	{"unix serial",
	 "<serial type='file'>\n      <source path='/var/log/old-serial.log' append='on'/>",
	 "<serial type='unix'>\n      <source mode='bind' path='/run/old'/>", "<serial type='pty'>",
	 0},
	{"second file serial", "<console type='file'>",
	 "<serial type='file'><source path='/old'/><target port='1'/></serial><console "
	 "type='file'>",
	 "<serial type='pty'>", 0},
	{"host random device", RNG_BACKEND, "<backend model='random'>/dev/random</backend>",
	 RNG_BACKEND, 0},
	{"builtin random", RNG_BACKEND, "<backend model='builtin'/>", "<backend model='builtin'/>",
	 0},
	{"iothread", "<resource>", "<iothreads>1</iothreads><resource>", "<iothreads>1</iothreads>",
	 0},
	{"hyperv", "<apic/>",
	 "<apic/><hyperv mode='custom'><relaxed state='on'/><spinlocks state='on' "
	 "retries='8191'/></hyperv>",
	 "<spinlocks state='on' retries='8191'/>", 0},
	{"smm", "<apic/>", "<apic/><smm state='on'/><pae/>", "<smm state='on'/>", 0},
	{"qxl", "<model type='virtio' heads='1' primary='yes'/>",
	 "<model type='qxl' ram='65536' vram='65536' vgamem='16384' heads='1' primary='yes'/>",
	 "vgamem='16384'", 0},
	{"panic", "<memballoon",
	 "<panic model='isa'><address type='isa' iobase='0x505'/></panic><memballoon",
	 "iobase='0x505'", 0},
	{"localtime", "<clock offset='utc'>",
	 "<clock offset='variable' adjustment='-3600' basis='utc'>", "adjustment='-3600'", 0},
	{"two vcpus of four", "<vcpu placement='static'>2<",
	 "<vcpu placement='static' current='2'>4<", "current='2'>4<", 0},
	{"comment", "<devices>", "<!-- hello --><devices>", "<devices>", 0},
	{"disk model", "<disk type='file' device='disk'>\n      <driver name='qemu' type='raw'",
	 "<disk type='file' device='disk' model='virtio-transitional' snapshot='external'>\n"
	 "      <driver name='qemu' type='raw'",
	 "model='virtio-transitional'", 0},
	{"uuid in capitals", "<uuid>c7a5fdbd-cdaf", "<uuid>C7A5FDBD-CDAF", "<uuid>c7a5fdbd-cdaf",
	 0},
};

static void test_accepted(gconstpointer data)
{
	const struct change *c = data;
	g_autofree char *xml = fix_replace(fix_domain, c->find, c->replace), *out = NULL;
	struct kerr err = {0};
	int r = rebuild(xml, &out, NULL, &err);

	if (r < 0)
		g_error("%s", err.text);
	check_output(out);
	if (!strstr(out, c->want))
		g_error("no %s in:\n%s", c->want, out);
}

/* ---- refused ---- */

#define NIC "<model type='virtio'/>\n      <address"
#define NIC_WITH(element) NIC, element NIC

static const struct change refused[] = {
	/* H12, H17: whatever a disk can be besides an ordinary image file */
	{"H12 block device",
	 "<disk type='file' device='disk'>\n      <driver name='qemu' type='raw'",
	 "<disk type='block' device='disk'>\n      <driver name='qemu' type='raw'", "image file",
	 KCODE_DOMAIN},
	{"H12 network disk",
	 "<disk type='file' device='disk'>\n      <driver name='qemu' type='raw'",
	 "<disk type='network' device='disk'>\n      <driver name='qemu' type='raw'",
	 "storage server", KCODE_DOMAIN},
	{"H12 volume", "<disk type='file' device='disk'>\n      <driver name='qemu' type='raw'",
	 "<disk type='volume' device='disk'>\n      <driver name='qemu' type='raw'",
	 "volume of a storage pool", KCODE_DOMAIN},
	{"H12 directory", "<disk type='file' device='disk'>\n      <driver name='qemu' type='raw'",
	 "<disk type='dir' device='disk'>\n      <driver name='qemu' type='raw'", "image file",
	 KCODE_DOMAIN},
	{"H12 vhost-user disk",
	 "<disk type='file' device='disk'>\n      <driver name='qemu' type='raw'",
	 "<disk type='vhostuser' device='disk'>\n      <driver name='qemu' type='raw'",
	 "image file", KCODE_DOMAIN},
	{"H12 passed-through LUN", "device='disk'", "device='lun'", "passed-through", KCODE_DOMAIN},
	{"H12 image in the floppy drive", "<disk type='file' device='cdrom'>",
	 "<disk type='file' device='floppy'><source "
	 "file='/etc/shadow'/>",
	 "Eject", KCODE_DOMAIN},
	{"H12 device in the CD drive", "<disk type='file' device='cdrom'>",
	 "<disk type='block' device='cdrom'><source dev='/dev/sr0'/>", "Eject", KCODE_DOMAIN},
	{"H12 relative path", SOURCE, "<source file='a.img'/>", "vda", KCODE_DOMAIN},
	{"H12 no source", SOURCE, "", "vda", KCODE_DOMAIN},
	{"H12 source of another kind", SOURCE, "<source file='/a' dev='/dev/sda'/>", "'dev'",
	 KCODE_DOMAIN},
	{"H12 unannounced disk", "<target dev='vda' bus='virtio'/>",
	 "<target dev='vdz' bus='virtio'/>", "not announced", KCODE_DOMAIN},
	{"H12 target that is a path", "<target dev='vda' bus='virtio'/>",
	 "<target dev='../vda' bus='virtio'/>", "target name", KCODE_DOMAIN},
	{"H12 same target twice", "<target dev='sda' bus='sata'/>",
	 "<target dev='vda' bus='sata'/>", "same", KCODE_DOMAIN},
	{"H12 file in the CD drive", "<target dev='sdb' bus='sata'/>",
	 "<source file='/etc/shadow'/><target dev='sdb' bus='sata'/>", "Eject", KCODE_DOMAIN},
	{"H17 format vmdk", "type='qcow2'", "type='vmdk'", "neither raw nor qcow2", KCODE_DOMAIN},
	{"H17 format other than announced", "type='qcow2'", "type='raw'", "another format",
	 KCODE_DOMAIN},
	{"H17 probed format", RAW, "<driver name='qemu'/>", "neither raw nor qcow2", KCODE_DOMAIN},
	{"H17 no driver", RAW, "", "neither raw nor qcow2", KCODE_DOMAIN},
	{"H17 metadata cache", RAW, "<driver name='qemu' type='raw'><metadata_cache/></driver>",
	 "metadata_cache", KCODE_DOMAIN},
	{"disk encryption", "<serial>abc123</serial>", "<encryption format='luks'/>", "encryption",
	 KCODE_DOMAIN},
	{"disk authentication", "<serial>abc123</serial>", "<auth username='u'/>", "storage server",
	 KCODE_DOMAIN},
	{"disk throttling", "<serial>abc123</serial>", "<iotune/>", "iotune", KCODE_DOMAIN},
	{"shared disk", "<serial>abc123</serial>", "<shareable/>", "shared", KCODE_DOMAIN},
	{"read-only disk", "<serial>abc123</serial>", "<readonly/>", "read-only", KCODE_DOMAIN},
	{"transient disk", "<serial>abc123</serial>", "<transient/>", "transient", KCODE_DOMAIN},
	{"disk mirror", "<serial>abc123</serial>", "<mirror type='file' file='/etc/x'/>", "copied",
	 KCODE_DOMAIN},
	{"slices of a disk", SOURCE, "<source file='/a'><slices/></source>", "slices",
	 KCODE_DOMAIN},
	{"persistent reservations", SOURCE, "<source file='/a'><reservations/></source>",
	 "reservations", KCODE_DOMAIN},

	/* H13: every road to host code or host files */
	{"H13 qemu command line", "</devices>",
	 "</devices><q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg "
	 "value='-h'/>"
	 "</q:commandline>",
	 "<q:commandline>", KCODE_DOMAIN},
	{"H13 qemu override", "</devices>",
	 "</devices><q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>",
	 "<q:override>", KCODE_DOMAIN},
	{"H13 kernel", "<boot dev='hd'/>", "<kernel>/etc/shadow</kernel>", "kernel", KCODE_DOMAIN},
	{"H13 initrd", "<boot dev='hd'/>", "<initrd>/etc/shadow</initrd>", "kernel", KCODE_DOMAIN},
	{"H13 cmdline", "<boot dev='hd'/>", "<cmdline>init=/bin/sh</cmdline>", "kernel",
	 KCODE_DOMAIN},
	{"H13 device tree", "<boot dev='hd'/>", "<dtb>/etc/shadow</dtb>", "kernel", KCODE_DOMAIN},
	{"H13 loader that can be written", "<boot dev='hd'/>",
	 "<loader readonly='no' type='pflash'>/etc/shadow</loader>", "<loader>", KCODE_DOMAIN},
	{"H13 loader that is no flash", "<boot dev='hd'/>",
	 "<loader type='rom'>/etc/shadow</loader>", "firmware from a file", KCODE_DOMAIN},
	{"H13 stateless loader", "<os>", "<os firmware='efi'><loader stateless='yes'/>",
	 "firmware from a file", KCODE_DOMAIN},
	{"H13 UEFI variables on a server", "<os>", "<os firmware='efi'><nvram type='network'/>",
	 "UEFI variables", KCODE_DOMAIN},
	{"H13 UEFI variables in a nest", "<os>",
	 "<os firmware='efi'><nvram><source file='/etc/shadow'/></nvram>", "<nvram>", KCODE_DOMAIN},
	{"H13 unknown firmware feature", "<os>",
	 "<os firmware='efi'><firmware><feature enabled='no' name='x'/></firmware>", "<feature>",
	 KCODE_DOMAIN},
	{"H13 other firmware", "<os>", "<os firmware='bios'>", "firmware", KCODE_DOMAIN},
	{"H13 other attribute of a UEFI machine", "<os>", "<os firmware='efi' evil='1'>", "'evil'",
	 KCODE_DOMAIN},
	{"H13 ACPI table", "<boot dev='hd'/>",
	 "<acpi><table type='slic'>/etc/shadow</table></acpi>", "ACPI", KCODE_DOMAIN},
	{"H13 host SMBIOS", "<boot dev='hd'/>", "<smbios mode='host'/>", "smbios", KCODE_DOMAIN},
	{"H13 hostdev", DEV("<hostdev mode='subsystem' type='pci'/>"), "<hostdev>", KCODE_DOMAIN},
	{"H13 filesystem", DEV("<filesystem type='mount'/>"), "<filesystem>", KCODE_DOMAIN},
	{"H13 shmem", DEV("<shmem name='x'/>"), "<shmem>", KCODE_DOMAIN},
	{"H13 tpm of the host",
	 DEV("<tpm model='tpm-tis'><backend type='passthrough'><device "
	     "path='/dev/tpm0'/></backend></tpm>"),
	 "<tpm>", KCODE_DOMAIN},
	{"H13 tpm elsewhere", DEV("<tpm model='tpm-tis'><backend type='external'/></tpm>"), "<tpm>",
	 KCODE_DOMAIN},
	{"H13 tpm without a backend", DEV("<tpm model='tpm-tis'/>"), "<tpm>", KCODE_DOMAIN},
	{"H13 tpm with a secret that is not here", DEV(TPM("<encryption secret='" FIX_UUID "'/>")),
	 "virsh secret-define", KCODE_DOMAIN},
	{"H13 tpm encrypted by name", DEV(TPM("<encryption secret='/etc/shadow'/>")), "secret",
	 KCODE_DOMAIN},
	{"H13 tpm encrypted somehow", DEV(TPM("<encryption/>")), "encryption", KCODE_DOMAIN},
	{"H13 two tpms", DEV(TPM("") TPM("")), "<tpm>", KCODE_DOMAIN},
	{"H13 redirdev", DEV("<redirdev bus='usb' type='tcp'/>"), "<redirdev>", KCODE_DOMAIN},
	{"H13 redirdev of the future", DEV("<redirdev bus='usb'/>"), "<redirdev>", KCODE_DOMAIN},
	{"H13 smartcard", DEV("<smartcard mode='host'/>"), "<smartcard>", KCODE_DOMAIN},
	{"H13 smartcard by TCP", DEV("<smartcard mode='passthrough' type='tcp'/>"), "<smartcard>",
	 KCODE_DOMAIN},
	{"H13 spice port with options",
	 "<channel type='unix'>\n      <source mode='bind' path='/run/old.sock'/>",
	 SPICE "<channel type='spiceport'><source channel='a,path=/x'/>", "channel", KCODE_DOMAIN},
	{"H13 port group with options", "network='kithnet'", "network='kithnet' portgroup='a/b'",
	 "port group", KCODE_DOMAIN},
	{"H13 vsock", DEV("<vsock model='virtio'/>"), "<vsock>", KCODE_DOMAIN},
	{"H13 memory device", DEV("<memory model='dimm'/>"), "<memory>", KCODE_DOMAIN},
	{"H13 iommu", DEV("<iommu model='intel'/>"), "<iommu>", KCODE_DOMAIN},
	{"H13 parallel port", DEV("<parallel type='dev'/>"), "<parallel>", KCODE_DOMAIN},
	{"H13 nvram device", DEV("<nvram/>"), "<nvram>", KCODE_DOMAIN},
	{"H13 lease", DEV("<lease/>"), "<lease>", KCODE_DOMAIN},
	{"H13 crypto device", DEV("<crypto model='virtio'/>"), "<crypto>", KCODE_DOMAIN},
	{"H13 device of the future", DEV("<teleporter/>"), "<teleporter>", KCODE_DOMAIN},
	{"H13 input from evdev", "<input type='mouse' bus='ps2'/>",
	 "<input type='evdev'><source dev='/dev/input/event0'/></input>", "input", KCODE_DOMAIN},
	{"H13 serial to TCP", "<serial type='file'>", "<serial type='tcp'>", "serial port",
	 KCODE_DOMAIN},
	{"H13 serial to a device", "<serial type='file'>", "<serial type='dev'>", "serial port",
	 KCODE_DOMAIN},
	{"H13 serial log", "<target type='isa-serial' port='0'>",
	 "<log file='/etc/cron.d/x'/><target type='isa-serial' port='0'>", "<log>", KCODE_DOMAIN},
	{"H13 console to a pipe", "<console type='file'>", "<console type='pipe'>", "console",
	 KCODE_DOMAIN},
	{"H13 channel log",
	 "<target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>",
	 "<log file='/x'/>", "<log>", KCODE_DOMAIN},
	{"H13 channel to TCP", "<channel type='unix'>", "<channel type='tcp'>", "channel",
	 KCODE_DOMAIN},
	{"H13 random from EGD", RNG_BACKEND, "<backend model='egd' type='tcp'/>", "random",
	 KCODE_DOMAIN},
	{"H13 random from a file", RNG_BACKEND, "<backend model='random'>/etc/shadow</backend>",
	 "random", KCODE_DOMAIN},
	{"H13 bridge", "<interface type='network'>", "<interface type='bridge'>", "other_network",
	 KCODE_DOMAIN},
	{"H13 vhost-user network", "<interface type='network'>", "<interface type='vhostuser'>",
	 "wired", KCODE_DOMAIN},
	{"H13 ethernet script", "<interface type='network'>", "<interface type='ethernet'>",
	 "wired", KCODE_DOMAIN},
	{"H13 interface script", NIC_WITH("<script path='/bin/sh'/>"), "script", KCODE_DOMAIN},
	{"H13 interface backend", NIC_WITH("<backend tap='/dev/x'/>"), "<backend>", KCODE_DOMAIN},
	{"H13 interface filter", NIC_WITH("<filterref filter='x'/>"), "<filterref>", KCODE_DOMAIN},
	{"H13 interface bandwidth", NIC_WITH("<bandwidth/>"), "<bandwidth>", KCODE_DOMAIN},
	{"H13 virtualport", NIC_WITH("<virtualport type='openvswitch'/>"), "<virtualport>",
	 KCODE_DOMAIN},
	{"H13 vlan", NIC_WITH("<vlan/>"), "VLAN", KCODE_DOMAIN},
	{"H13 option ROM", NIC_WITH("<rom file='/etc/shadow'/>"), "<rom>", KCODE_DOMAIN},
	{"H13 multicast MAC", "52:54:00:11:22:33", "53:54:00:11:22:33", "address", KCODE_DOMAIN},
	{"H13 graphics on the host", "<graphics type='vnc'", "<graphics type='sdl'", "screen",
	 KCODE_DOMAIN},
	{"H13 host GPU", "<listen type='address' address='0.0.0.0'/>", "<gl enable='yes'/>",
	 "graphics card", KCODE_DOMAIN},
	{"H13 vhost-user video", "<model type='virtio' heads='1' primary='yes'/>",
	 "<driver name='vhostuser'/><model type='virtio'/>", "vhost-user", KCODE_DOMAIN},
	{"H13 3D acceleration", "<model type='virtio' heads='1' primary='yes'/>",
	 "<model type='virtio'><acceleration accel3d='yes'/></model>", "accel3d", KCODE_DOMAIN},
	{"H13 audio to a file", "<audio id='1' type='none'/>",
	 "<audio id='1' type='file' path='/etc/x'/>", "sound", KCODE_DOMAIN},
	{"H13 watchdog dump", "action='reset'", "action='dump'", "action", KCODE_DOMAIN},
	{"H13 core dump on crash", "<on_crash>destroy", "<on_crash>coredump-destroy", "core dump",
	 KCODE_DOMAIN},
	{"H13 seclabel none", "<seclabel type='dynamic' model='dac' relabel='yes'/>",
	 "<seclabel type='none'/>", "seclabel", KCODE_DOMAIN},
	{"H13 unknown kind of CPU", "<cpu mode='custom' match='exact' check='full'>",
	 "<cpu mode='host-model2' check='none'>", "<cpu>", KCODE_DOMAIN},
	{"H13 sysinfo from a file", "<os>", "<sysinfo type='fwcfg'/><os>", "<sysinfo>",
	 KCODE_DOMAIN},
	{"H13 launchSecurity", "<os>", "<launchSecurity type='sev'/><os>", "launchSecurity",
	 KCODE_DOMAIN},
	{"H13 hugepages", "<os>", "<memoryBacking><source type='file'/></memoryBacking><os>",
	 "memoryBacking", KCODE_DOMAIN},
	{"H13 cputune", "<os>", "<cputune/><os>", "cputune", KCODE_DOMAIN},
	{"H13 memtune", "<os>", "<memtune/><os>", "memtune", KCODE_DOMAIN},
	{"H13 numatune", "<os>", "<numatune/><os>", "numatune", KCODE_DOMAIN},
	{"H13 pinned processors", "<vcpu placement='static'>",
	 "<vcpu placement='static' cpuset='0-3'>", "pinned", KCODE_DOMAIN},
	{"H13 other hypervisor", "<domain type='qemu' id='7'>", "<domain type='xen'>", "QEMU",
	 KCODE_DOMAIN},
	{"H13 other machine", "pc-q35-7.2", "microvm", "ordinary PC", KCODE_DOMAIN},
	{"machine of a newer QEMU", "pc-q35-7.2", "pc-q35-8.1", "QEMU 8.1", KCODE_DOMAIN},
	{"H13 machine with options", "pc-q35-7.2", "pc-q35-7.2,dumpdtb=/etc/x", "machine",
	 KCODE_DOMAIN},
	{"H13 CPU model with options", ">qemu64<", ">qemu64,+x<", "<model>", KCODE_DOMAIN},
	{"H13 alias with options", "name='ua-data'", "name='ua-data,x=y'", "alias", KCODE_DOMAIN},
	{"H13 channel name with options", "name='org.qemu.guest_agent.0'", "name='a,path=/x'",
	 "target", KCODE_DOMAIN},
	{"H13 text between devices", "<devices>", "<devices>text", "text", KCODE_DOMAIN},
	{"H13 namespaced attribute", "<devices>", "<devices x:a='1' xmlns:x='y'>", "'a'",
	 KCODE_DOMAIN},
	{"H13 known attribute in a namespace", "<boot dev='hd'/>",
	 "<boot dev='hd' x:dev='cdrom' xmlns:x='y'/>", "'dev'", KCODE_DOMAIN},
	{"H13 default namespace", "<devices>", "<devices xmlns='urn:x'>", "devices", KCODE_DOMAIN},
	{"H13 two names", "<uuid>", "<name>web</name><uuid>", "<name>", KCODE_DOMAIN},
	{"H13 two device lists", "<seclabel", "<devices/><seclabel", "<devices>", KCODE_DOMAIN},

	/* H21 */
	{"H21 other name", "<name>web<", "<name>webb<", "name", KCODE_IDENTITY},
	{"H21 name with a slash", "<name>web<", "<name>../web<", "name", KCODE_DOMAIN},
	{"H21 other UUID", "0123456789ab</uuid>", "0123456789ac</uuid>", "UUID", KCODE_IDENTITY},
	{"H21 no UUID", "<uuid>" FIX_UUID "</uuid>", "", "<uuid>", KCODE_DOMAIN},

	/* H23 and the other caps */
	{"H23 too much memory", "<memory unit='KiB'>65536<", "<memory unit='GiB'>2<", "memory",
	 KCODE_ROOM},
	{"H23 memory that wraps", "<memory unit='KiB'>65536<",
	 "<memory unit='GiB'>18446744073709551615<", "<memory>", KCODE_DOMAIN},
	{"H23 memory that wraps around", "<memory unit='KiB'>65536<",
	 "<memory unit='GiB'>17179869185<", "<memory>", KCODE_DOMAIN},
	{"H23 no memory", "<memory unit='KiB'>65536<", "<memory unit='KiB'>0<", "<memory>",
	 KCODE_DOMAIN},
	{"H23 current above maximum", "<memory unit='KiB'>65536<", "<memory unit='KiB'>32768<",
	 "current", KCODE_DOMAIN},
	{"H23 too many processors", "'static'>2<", "'static'>5<", "processors", KCODE_ROOM},
	{"H23 negative processors", "'static'>2<", "'static'>-2<", "processors", KCODE_DOMAIN},
	{"H23 video memory", "heads='1' primary='yes'", "heads='1' vram='99999999'", "vram",
	 KCODE_DOMAIN},

	/* N1 */
	{"N1 DTD", "<domain type='qemu' id='7'>",
	 "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/shadow'>]><domain type='qemu'>",
	 "well-formed", KCODE_BAD_MESSAGE},
	{"N1 entity", "<title>A &amp; B", "<title>&x;", "well-formed", KCODE_BAD_MESSAGE},
	{"N1 CDATA", "<title>A &amp; B", "<title><![CDATA[x]]>", "well-formed", KCODE_BAD_MESSAGE},
	{"N1 processing instruction", "<devices>", "<?xml-stylesheet href='x'?><devices>",
	 "well-formed", KCODE_BAD_MESSAGE},
	{"N1 control bytes", "<title>A", "<title>\x1b[31m", "well-formed", KCODE_BAD_MESSAGE},
	{"N1 bad UTF-8", "<title>A", "<title>\xc0\x80", "well-formed", KCODE_BAD_MESSAGE},
	{"N1 cut off", "</devices>", "", "well-formed", KCODE_BAD_MESSAGE},
	{"N1 other document", "<domain type='qemu' id='7'>", "<domain2 type='qemu'>", "well-formed",
	 KCODE_BAD_MESSAGE},
};

static void test_refused(gconstpointer data)
{
	const struct change *c = data;
	g_autofree char *xml = fix_replace(fix_domain, c->find, c->replace);
	struct kerr err = {0};
	char *out = NULL;
	int r = rebuild(xml, &out, NULL, &err);

	g_assert_cmpint(r, <, 0);
	g_assert_null(out);
	if (err.code != c->code || !strstr(err.text, c->want))
		g_error("%s: %s", kcode_to_string(err.code), err.text);
}

/* A network is joined by its name, if the destination opened it, and if it is up there. */
static void test_networks(void)
{
	struct domain_networks networks = {.count = 1, .list = {{.name = "kithnet"}}};
	struct domain_limits limits = fix_limits();
	g_autofree char *xml = NULL;
	struct domain_disk_map map;
	struct kerr err = {0};

	fix_map(&map);
	limits.networks = &networks;
	kerr_set(&networks.list[0].missing, ENOENT, KCODE_NOT_READY, "It is down.");
	g_assert_cmpint(
		domain_rebuild(fix_domain, strlen(fix_domain), &limits, &map, &xml, NULL, &err), ==,
		-ENONET);
	g_assert_cmpstr(err.text, ==, "It is down.");
	g_assert_cmpint(err.code, ==, KCODE_NOT_READY);
	kerr_clear(&networks.list[0].missing);
	kerr_clear(&err);
	g_assert_cmpint(
		domain_rebuild(fix_domain, strlen(fix_domain), &limits, &map, &xml, NULL, &err), ==,
		0);
	g_assert_nonnull(strstr(xml, "<source network='kithnet'/>"));
}

/* The owner of the destination may have chosen a network for all cards of others. */
static void test_other_network(void)
{
	static const char *const cards[] = {"<interface type='bridge'><source bridge='br0'/>",
					    "<interface type='direct'><source dev='eth0'/>",
					    "<interface type='network'><source network='old'/>"};
	struct domain_networks networks = {1, {{.name = "here"}}, "here"};
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;

	fix_map(&map);
	limits.networks = &networks;
	for (size_t i = 0; i < G_N_ELEMENTS(cards); i++) {
		g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
		g_autofree char *begun = fix_replace(
			fix_domain,
			"<source network='kithnet' portid='" FIX_UUID "' bridge='virbr7'/>", "");
		g_autofree char *xml = fix_replace(begun, "<interface type='network'>", cards[i]);
		g_autofree char *out = NULL;
		struct kerr err = {0};

		if (domain_rebuild(xml, strlen(xml), &limits, &map, &out, facts, &err) < 0)
			g_error("%s: %s", cards[i], err.text);
		g_assert_nonnull(strstr(out, "<source network='here'/>"));
		g_assert_cmpuint(facts->rewired_count, ==, 1);
		check_output(out);
	}
}

/* An unknown attribute on, or element in, each element of a real document: refused, unless the
 * element is one that is thrown away whole. */
static gboolean is_dropped(const char *at)
{
	static const char *const dropped[] = {
		"<x:foo",	   "<metadata",	   "<resource",	   "<partition",	"<listen",
		"<source network", "<source path", "<source mode", "<target dev='vnet", "<seclabel",
		"<backingStore",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(dropped); i++)
		if (g_str_has_prefix(at, dropped[i]))
			return TRUE;
	return FALSE;
}

static void test_each_element(void)
{
	unsigned tried = 0;

	for (const char *at = strchr(fix_domain, '<'); at; at = strchr(at + 1, '<')) {
		size_t name = strcspn(at + 1, " />") + 1;
		const char *end = strchr(at, '>');
		struct kerr err = {0};
		char *out = NULL;

		if (at[1] == '/' || is_dropped(at))
			continue;
		g_autofree char *attr = g_strdup_printf(
			"%.*s evil='1'%s", (int)(at + name - fix_domain), fix_domain, at + name);
		g_assert_cmpint(rebuild(attr, &out, NULL, &err), <, 0);
		g_assert_null(out);
		g_assert_cmpint(err.code, ==, KCODE_DOMAIN);
		tried++;
		if (end[-1] == '/')
			continue;
		g_autofree char *child = g_strdup_printf(
			"%.*s<evil/>%s", (int)(end + 1 - fix_domain), fix_domain, end + 1);
		kerr_clear(&err);
		g_assert_cmpint(rebuild(child, &out, NULL, &err), <, 0);
		g_assert_null(out);
		g_assert_cmpint(err.code, ==, KCODE_DOMAIN);
	}
	g_assert_cmpuint(tried, >, 80);
}

/* H12: whatever the source calls its files, the output has the destination's names only. */
static void test_paths(void)
{
	static const char *const paths[] = {
		"/etc/passwd",
		"/../../etc/passwd",
		"/proc/self/mem",
		"/dev/sda",
		"/dev/fd/3",
		FIX_PATH1,
		"/var/lib/kith/images/../x",
		"/a'b",
		"/json:{}",
		"/nbd://x",
		"/%s%n",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
		g_autofree char *value = g_markup_printf_escaped("<source file=\"%s\"/>", paths[i]);
		g_autofree char *xml = fix_replace(fix_domain, SOURCE, value), *out = NULL;
		struct kerr err = {0};

		g_assert_cmpint(rebuild(xml, &out, NULL, &err), ==, 0);
		check_output(out);
		g_assert_nonnull(strstr(out, "<source file='" FIX_PATH0 "'/>"));
	}
}

static void test_map(void)
{
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;
	struct kerr err = {0};
	char *out = NULL;

	/* A disk was announced that the VM does not have. */
	fix_map(&map);
	map.count = 3;
	map.disks[2] = map.disks[0];
	g_strlcpy(map.disks[2].target, "vdb", sizeof(map.disks[2].target));
	g_assert_cmpint(
		domain_rebuild(fix_domain, strlen(fix_domain), &limits, &map, &out, NULL, &err), ==,
		-EPERM);
	g_assert_cmpint(err.code, ==, KCODE_DOMAIN);

	/* More disks than this device takes. */
	fix_map(&map);
	limits.max_disks = 1;
	kerr_clear(&err);
	g_assert_cmpint(
		domain_rebuild(fix_domain, strlen(fix_domain), &limits, &map, &out, NULL, &err), ==,
		-ENOSPC);
	g_assert_cmpint(err.code, ==, KCODE_ROOM);

	/* No libvirt network here. */
	limits = fix_limits();
	limits.networks = NULL;
	kerr_clear(&err);
	g_assert_cmpint(
		domain_rebuild(fix_domain, strlen(fix_domain), &limits, &map, &out, NULL, &err), ==,
		-EPERM);
	g_assert_null(out);
	g_assert_nonnull(strstr(err.text, "network \"kithnet\""));

	/* No place for serial logs: a pty, and libvirt's own emulator. */
	limits = fix_limits();
	limits.serial_path = limits.emulator = NULL;
	kerr_clear(&err);
	g_assert_cmpint(
		domain_rebuild(fix_domain, strlen(fix_domain), &limits, &map, &out, NULL, &err), ==,
		0);
	g_assert_nonnull(strstr(out, "<serial type='pty'>"));
	g_assert_null(strstr(out, "emulator"));
	check_output(out);
	g_free(out);
}

/* N1: size and depth are capped before anything is built. */
static void test_caps(void)
{
	g_autofree char *big = g_malloc(DOMAIN_XML_MAX + 2), *out = NULL;
	g_autoptr(GString) deep = g_string_new("<domain type='qemu'><metadata>");
	g_autofree char *bytes = NULL;
	struct kerr err = {0};

	memset(big, ' ', DOMAIN_XML_MAX + 1);
	big[DOMAIN_XML_MAX + 1] = '\0';
	memcpy(big + DOMAIN_XML_MAX + 1 - strlen(fix_domain), fix_domain, strlen(fix_domain));
	g_assert_cmpint(rebuild(big, &out, NULL, &err), ==, -EBADMSG);
	g_assert_cmpint(err.code, ==, KCODE_BAD_MESSAGE);
	/* one byte less is accepted */
	kerr_clear(&err);
	g_assert_cmpint(rebuild(big + 1, &out, NULL, &err), ==, 0);
	for (int i = 0; i < 40; i++)
		g_string_append(deep, "<a>");
	for (int i = 0; i < 40; i++)
		g_string_append(deep, "</a>");
	g_string_append(deep, "</metadata></domain>");
	kerr_clear(&err);
	g_assert_cmpint(rebuild(deep->str, &bytes, NULL, &err), ==, -EBADMSG);
	g_assert_cmpint(err.code, ==, KCODE_BAD_MESSAGE);
	kerr_clear(&err);
	g_assert_cmpint(domain_disks("", 0, NULL, &err), ==, -EBADMSG);
	kerr_clear(&err);
	g_assert_cmpint(domain_disks(fix_domain, sizeof(fix_domain), NULL, &err), ==, 0); /* NUL */
}

static void test_uuid(void)
{
	uint8_t uuid[UUID_LEN];
	char text[DOMAIN_UUID_TEXT];

	g_assert_cmpint(domain_uuid_parse("C7A5FDBDCDAF4C0A9A570123456789AB", uuid), ==, 0);
	domain_uuid_text(uuid, text);
	g_assert_cmpstr(text, ==, FIX_UUID);
	g_assert_cmpint(domain_uuid_parse("", uuid), ==, -EBADMSG);
	g_assert_cmpint(domain_uuid_parse(FIX_UUID "0", uuid), ==, -EBADMSG);
	g_assert_cmpint(domain_uuid_parse("c7a5fdbd-cdaf-4c0a-9a57-0123456789a", uuid), ==,
			-EBADMSG);
	g_assert_cmpint(domain_uuid_parse("c7a5fdbdc-daf-4c0a-9a57-0123456789ab", uuid), ==,
			-EBADMSG);
	g_assert_cmpint(domain_uuid_parse("g7a5fdbd-cdaf-4c0a-9a57-0123456789ab", uuid), ==,
			-EBADMSG);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/domain/H13 real configuration is accepted", test_real);
	g_test_add_func("/domain/check at the source", test_source_side);
	for (size_t i = 0; i < G_N_ELEMENTS(accepted); i++) {
		g_autofree char *name = g_strdup_printf("/domain/accepted %s", accepted[i].what);

		g_test_add_data_func(name, &accepted[i], test_accepted);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autofree char *name = g_strdup_printf("/domain/refused %s", refused[i].what);

		g_test_add_data_func(name, &refused[i], test_refused);
	}
	g_test_add_func("/domain/H13 unknown part of each element", test_each_element);
	g_test_add_func("/domain/H12 source paths never appear", test_paths);
	g_test_add_func("/domain/H12 map and limits", test_map);
	g_test_add_func("/domain/H13 networks by name", test_networks);
	g_test_add_func("/domain/H13 a network for all others", test_other_network);
	g_test_add_func("/domain/N1 size and depth", test_caps);
	g_test_add_func("/domain/uuid", test_uuid);
	return g_test_run();
}
