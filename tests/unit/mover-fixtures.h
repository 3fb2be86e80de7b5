/* SPDX-License-Identifier: Apache-2.0 */
/* What libvirt 9.0.0 really sends in a managed migration of a plain q35 guest, as templates. */
#pragma once

#include <glib.h>
#include <string.h>

#include "mover/filter/domain.h"

#define FIX_NAME "web"
#define FIX_UUID "c7a5fdbd-cdaf-4c0a-9a57-0123456789ab"
#define FIX_PATH0 "/var/lib/kith/images/h1-vda.img"
#define FIX_PATH1 "/var/lib/kith/images/h1-sda.qcow2"
#define FIX_ON_NFS "/mnt/vms/a.img"
#define FIX_SERIAL "/var/log/kith/serial-web.log"
#define FIX_NVRAM "/var/lib/libvirt/qemu/nvram/web-00112233445566778899aabbccddeeff_VARS.fd"
#define FIX_CODE "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define FIX_VARS "/usr/share/OVMF/OVMF_VARS_4M.fd"
#define FIX_EMULATOR "/usr/bin/qemu-system-x86_64"
#define FIX_CAPACITY0 8388608u
#define FIX_CAPACITY1 16777216u

static const char fix_domain[] =
	"<domain type='qemu' id='7'>\n"
	"  <name>" FIX_NAME "</name>\n"
	"  <uuid>" FIX_UUID "</uuid>\n"
	"  <title>A &amp; B</title>\n"
	"  <metadata><x:foo xmlns:x='http://example.org/x' "
	"path='/etc/shadow'>bar</x:foo></metadata>\n"
	"  <memory unit='KiB'>65536</memory>\n"
	"  <currentMemory unit='KiB'>65536</currentMemory>\n"
	"  <vcpu placement='static'>2</vcpu>\n"
	"  <resource><partition>/machine</partition></resource>\n"
	"  <os>\n"
	"    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n"
	"    <boot dev='hd'/>\n"
	"    <bootmenu enable='no'/>\n"
	"  </os>\n"
	"  <features><acpi/><apic/><vmport state='off'/></features>\n"
	"  <cpu mode='custom' match='exact' check='full'>\n"
	"    <model fallback='forbid'>qemu64</model>\n"
	"    <topology sockets='1' dies='1' cores='2' threads='1'/>\n"
	"    <feature policy='require' name='hypervisor'/>\n"
	"  </cpu>\n"
	"  <clock offset='utc'>\n"
	"    <timer name='rtc' tickpolicy='catchup'/>\n"
	"    <timer name='hpet' present='no'/>\n"
	"  </clock>\n"
	"  <on_poweroff>destroy</on_poweroff>\n"
	"  <on_reboot>restart</on_reboot>\n"
	"  <on_crash>destroy</on_crash>\n"
	"  <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>\n"
	"  <devices>\n"
	"    <emulator>/usr/local/bin/old-qemu</emulator>\n"
	"    <disk type='file' device='disk'>\n"
	"      <driver name='qemu' type='raw' cache='none' discard='unmap'/>\n"
	"      <source file='/home/old/a.img' index='2'/>\n"
	"      <backingStore/>\n"
	"      <target dev='vda' bus='virtio'/>\n"
	"      <serial>abc123</serial>\n"
	"      <alias name='virtio-disk0'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0'/>\n"
	"    </disk>\n"
	"    <disk type='file' device='disk'>\n"
	"      <driver name='qemu' type='qcow2' cache='none'/>\n"
	"      <source file='/home/old/b.qcow2'/>\n"
	"      <backingStore/>\n"
	"      <target dev='sda' bus='sata'/>\n"
	"      <alias name='ua-data'/>\n"
	"      <address type='drive' controller='0' bus='0' target='0' unit='0'/>\n"
	"    </disk>\n"
	"    <disk type='file' device='cdrom'>\n"
	"      <driver name='qemu' type='raw'/>\n"
	"      <target dev='sdb' bus='sata'/>\n"
	"      <readonly/>\n"
	"      <address type='drive' controller='0' bus='0' target='0' unit='1'/>\n"
	"    </disk>\n"
	"    <controller type='usb' index='0' model='qemu-xhci' ports='15'>\n"
	"      <address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>\n"
	"    </controller>\n"
	"    <controller type='sata' index='0'>\n"
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x1f' function='0x2'/>\n"
	"    </controller>\n"
	"    <controller type='pci' index='0' model='pcie-root'/>\n"
	"    <controller type='pci' index='1' model='pcie-root-port'>\n"
	"      <model name='pcie-root-port'/>\n"
	"      <target chassis='1' port='0x10'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/>\n"
	"    </controller>\n"
	"    <controller type='virtio-serial' index='0'>\n"
	"      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>\n"
	"    </controller>\n"
	"    <interface type='network'>\n"
	"      <mac address='52:54:00:11:22:33'/>\n"
	"      <source network='kithnet' portid='" FIX_UUID "' bridge='virbr7'/>\n"
	"      <target dev='vnet3'/>\n"
	"      <model type='virtio'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>\n"
	"    </interface>\n"
	"    <serial type='file'>\n"
	"      <source path='/var/log/old-serial.log' append='on'/>\n"
	"      <target type='isa-serial' port='0'>\n"
	"        <model name='isa-serial'/>\n"
	"      </target>\n"
	"    </serial>\n"
	"    <console type='file'>\n"
	"      <source path='/var/log/old-serial.log' append='on'/>\n"
	"      <target type='serial' port='0'/>\n"
	"    </console>\n"
	"    <channel type='unix'>\n"
	"      <source mode='bind' path='/run/old.sock'/>\n"
	"      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>\n"
	"      <address type='virtio-serial' controller='0' bus='0' port='1'/>\n"
	"    </channel>\n"
	"    <input type='tablet' bus='usb'><address type='usb' bus='0' port='1.2'/></input>\n"
	"    <input type='mouse' bus='ps2'/>\n"
	"    <graphics type='vnc' port='5900' autoport='no' listen='0.0.0.0' passwd='letmein'>\n"
	"      <listen type='address' address='0.0.0.0'/>\n"
	"    </graphics>\n"
	"    <sound model='ich9'><address type='pci' domain='0x0000' bus='0x00' slot='0x1b' "
	"function='0x0'/>\n"
	"</sound>\n"
	"    <audio id='1' type='none'/>\n"
	"    <video>\n"
	"      <model type='virtio' heads='1' primary='yes'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x0'/>\n"
	"    </video>\n"
	"    <watchdog model='i6300esb' action='reset'/>\n"
	"    <memballoon model='virtio'><address type='pci' domain='0x0000' bus='0x07' slot='0x00' "
	"function='0x0'/>\n"
	"</memballoon>\n"
	"    <rng model='virtio'>\n"
	"      <backend model='random'>/dev/urandom</backend>\n"
	"      <address type='pci' domain='0x0000' bus='0x08' slot='0x00' function='0x0'/>\n"
	"    </rng>\n"
	"  </devices>\n"
	"  <seclabel type='dynamic' model='dac' relabel='yes'/>\n"
	"</domain>\n";

#define FIX_COOKIE_HEAD                 \
	"<qemu-migration>\n"            \
	"  <name>" FIX_NAME "</name>\n" \
	"  <uuid>" FIX_UUID "</uuid>\n" \
	"  <hostname>old</hostname>\n"  \
	"  <hostuuid>11111111-2222-4333-8444-555555555501</hostuuid>\n"
#define FIX_COOKIE_NBD                                   \
	"  <nbd>\n"                                      \
	"    <disk target='vda' capacity='8388608'/>\n"  \
	"    <disk target='sda' capacity='16777216'/>\n" \
	"  </nbd>\n"
#define FIX_COOKIE_CPU                                                 \
	"  <cpu mode='custom' match='exact' check='full'>\n"           \
	"    <model fallback='forbid'>qemu64</model>\n"                \
	"    <topology sockets='1' dies='1' cores='2' threads='1'/>\n" \
	"    <feature policy='require' name='lahf_lm'/>\n"             \
	"  </cpu>\n"
#define FIX_COOKIE_CAPS                                          \
	"  <capabilities>\n"                                     \
	"    <cap name='xbzrle' auto='no'/>\n"                   \
	"    <cap name='pause-before-switchover' auto='yes'/>\n" \
	"    <cap name='return-path' auto='no'/>\n"              \
	"  </capabilities>\n"
#define FIX_COOKIE_STATS                                           \
	"  <statistics>\n"                                         \
	"    <started>1795254224559</started>\n"                   \
	"    <delta>-2</delta>\n"                                  \
	"    <downtime>36</downtime>\n"                            \
	"    <memory_total>76357632</memory_total>\n"              \
	"    <auto_converge_throttle>0</auto_converge_throttle>\n" \
	"  </statistics>\n"
#define FIX_COOKIE_TAIL "</qemu-migration>\n"

/* By enum cookie_step. */
static const char *const fix_cookies[] = {
	FIX_COOKIE_HEAD "  <feature name='lockstate'/>\n" FIX_COOKIE_NBD FIX_COOKIE_CPU
		FIX_COOKIE_CAPS FIX_COOKIE_TAIL,
	FIX_COOKIE_HEAD FIX_COOKIE_NBD FIX_COOKIE_STATS FIX_COOKIE_TAIL,
	FIX_COOKIE_HEAD FIX_COOKIE_NBD FIX_COOKIE_CAPS FIX_COOKIE_TAIL,
	FIX_COOKIE_HEAD FIX_COOKIE_STATS FIX_COOKIE_TAIL,
};

/* A host with all that Debian has; the source boots the first of its firmware. */
static const struct domain_host fix_host = {
	.kvm = 1,
	.spice = 1,
	.tpm = 1,
	.machine = 702,
	.cpu = {{"qemu64", "AMD", 7002, "fpu hypervisor lahf_lm sse4.1"},
		{"EPYC", "AMD", 0, "avx2 fpu hypervisor lahf_lm sse4.1"}},
	.firmware_count = 2,
	.firmware = {{.does = {.code_size = 3653632, .vars_size = 540672},
		      .q35 = 1,
		      .i440fx = 1,
		      .code = FIX_CODE,
		      .vars = FIX_VARS},
		     {.does = {1, 1, 3653632, 540672}, .q35 = 1, .code = FIX_CODE ".sb"}},
};
static const struct domain_origin fix_origin = {
	.uefi = 1,
	.firmware = {.code_size = 3653632, .vars_size = 540672},
	.cpu = {"qemu64", "AMD", 7002, "fpu hypervisor lahf_lm sse4.1"},
};

static inline struct domain_limits fix_limits(void)
{
	static const struct domain_networks networks = {
		.count = 2, .list = {{.name = "default"}, {.name = "kithnet"}}};
	struct domain_limits l = {
		.expect_name = FIX_NAME,
		.max_memory_bytes = 1ull << 30,
		.max_vcpus = 4,
		.max_disks = 4,
		.emulator = FIX_EMULATOR,
		.networks = &networks,
		.serial_path = FIX_SERIAL,
		.host = &fix_host,
		.origin = &fix_origin,
		.nvram_path = FIX_NVRAM,
	};

	g_assert_cmpint(domain_uuid_parse(FIX_UUID, l.expect_uuid), ==, 0);
	return l;
}

static inline void fix_map(struct domain_disk_map *map)
{
	*map = (struct domain_disk_map){.count = 2};
	g_strlcpy(map->disks[0].target, "vda", sizeof(map->disks[0].target));
	g_strlcpy(map->disks[0].path, FIX_PATH0, sizeof(map->disks[0].path));
	map->disks[0].format = DISK_FORMAT_RAW;
	map->disks[0].capacity = FIX_CAPACITY0;
	g_strlcpy(map->disks[1].target, "sda", sizeof(map->disks[1].target));
	g_strlcpy(map->disks[1].path, FIX_PATH1, sizeof(map->disks[1].path));
	map->disks[1].format = DISK_FORMAT_QCOW2;
	map->disks[1].capacity = FIX_CAPACITY1;
}

/* `text` with the one occurrence of `find` replaced; it must be there. */
static inline char *fix_replace(const char *text, const char *find, const char *replace)
{
	const char *at = strstr(text, find);

	if (!at)
		g_error("fixture lacks '%s'", find);
	return g_strdup_printf("%.*s%s%s", (int)(at - text), text, replace, at + strlen(find));
}
