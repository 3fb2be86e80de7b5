/* SPDX-License-Identifier: Apache-2.0 */
/* The allow-list of domain XML: every element and attribute that a hand-off may carry (H13).
 * Names are libvirt 9.0.0's (docs/formatdomain). What is not in this file is refused. */
#include "mover/filter/domain-rules.h"

#define ENUM(n, v)                                              \
	{                                                       \
		.name = (n), .kind = FILTER_ENUM, .values = (v) \
	}
#define NEED(n, v)                                                                \
	{                                                                         \
		.name = (n), .kind = FILTER_ENUM, .values = (v), .required = true \
	}
#define UINT(n, lo, hi)                                                    \
	{                                                                  \
		.name = (n), .kind = FILTER_UINT, .min = (lo), .max = (hi) \
	}
#define HEX(n, hi)                                           \
	{                                                    \
		.name = (n), .kind = FILTER_HEX, .max = (hi) \
	}
#define INT(n, hi)                                           \
	{                                                    \
		.name = (n), .kind = FILTER_INT, .max = (hi) \
	}
#define TOKEN(n, hi)                                           \
	{                                                      \
		.name = (n), .kind = FILTER_TOKEN, .max = (hi) \
	}
#define TEXT(n, hi)                                           \
	{                                                     \
		.name = (n), .kind = FILTER_TEXT, .max = (hi) \
	}
#define DROP(n)                                  \
	{                                        \
		.name = (n), .kind = FILTER_DROP \
	}
#define END                  \
	{                    \
		.name = NULL \
	}

#define REFUSE(n, sentence)                                          \
	{                                                            \
		.name = (n), .act = FILTER_REFUSE, .why = (sentence) \
	}
#define SKIP(n, most)                                          \
	{                                                      \
		.name = (n), .act = FILTER_SKIP, .max = (most) \
	}
#define ATTRS(...)                   \
	(const struct filter_attr[]) \
	{                            \
		__VA_ARGS__, END     \
	}
#define ROWS(...)                    \
	(const struct filter_rule[]) \
	{                            \
		__VA_ARGS__, END     \
	}
#define VALUES(...)               \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}
#define EMPTY(n)            \
	{                   \
		.name = (n) \
	}
#define WITH(n, ...)                                     \
	{                                                \
		.name = (n), .attrs = ATTRS(__VA_ARGS__) \
	}
#define MANY(n, most, ...)                                              \
	{                                                               \
		.name = (n), .max = (most), .attrs = ATTRS(__VA_ARGS__) \
	}

#define NOTHING               \
	(const char *const[]) \
	{                     \
		NULL          \
	}
#define ON_OFF VALUES("on", "off")
#define YES_NO VALUES("yes", "no")
#define VIRTIO VALUES("virtio", "virtio-transitional", "virtio-non-transitional")
#define STATE(n) WITH(n, ENUM("state", ON_OFF))

/* What every device may carry. */
#define ALIAS WITH("alias", {.name = "name", .kind = FILTER_TOKEN, .max = 64, .required = true})
#define ACPI WITH("acpi", UINT("index", 1, 16383))
#define BOOT WITH("boot", UINT("order", 1, 64))
#define ADDRESS                                           \
	{                                                 \
		.name = "address", .attrs = address_attrs \
	}
#define DEVICE ALIAS, ADDRESS, ACPI
#define VIRTIO_OPTIONS                                                      \
	ENUM("iommu", ON_OFF), ENUM("ats", ON_OFF), ENUM("packed", ON_OFF), \
		ENUM("page_per_vq", ON_OFF)

static const struct filter_attr address_attrs[] = {
	NEED("type", VALUES("pci", "drive", "usb", "virtio-serial", "isa", "ccid")),
	/* Decimal: libvirt reads drive and USB numbers in base 10, PCI ones in any base. */
	UINT("domain", 0, 0),
	UINT("bus", 0, 255),
	UINT("slot", 0, 31),
	UINT("function", 0, 7),
	ENUM("multifunction", ON_OFF),
	UINT("controller", 0, 255),
	UINT("target", 0, 255),
	UINT("unit", 0, 16383),
	{.name = "port", .kind = FILTER_DOTTED},
	HEX("iobase", 65535),
	HEX("irq", 15),
	END,
};

/* ---- general ---- */

static const struct filter_attr title_text = TEXT("", 256);
static const struct filter_attr description_text = TEXT("", 4096);
static const struct filter_attr vcpu_text = UINT("", 1, 512);
static const struct filter_attr iothreads_text = UINT("", 0, 64);
static const struct filter_attr action_text = {
	.kind = FILTER_ENUM,
	.values = (const char *const[]){"destroy", "restart", "preserve", "rename-restart", NULL},
	.why = "The VM is set to write a core dump to the host when it ends; that cannot be handed "
	       "over.",
};
static const struct filter_attr hvm_text = ENUM("", VALUES("hvm"));
static const struct filter_attr model_text = TOKEN("", 64);

#define FIRMWARE                                                                                 \
	"The VM boots firmware from a file of its own; only UEFI firmware that libvirt chooses " \
	"by its descriptors, and the usual BIOS, can be handed over."
#define KERNEL                                                                                  \
	"The VM boots a kernel kept in a file of the old host, which would be missing after a " \
	"hand-over."

/* Judged only: the destination names its own files. */
static const struct filter_rule firmware_rows[] = {
	MANY("feature", 8, NEED("enabled", YES_NO),
	     NEED("name", VALUES("enrolled-keys", "secure-boot"))),
	END,
};

static const struct filter_attr path_text = TEXT("", DOMAIN_PATH_MAX);

static const struct filter_rule os_rows[] = {
	{.name = "type",
	 .min = 1,
	 .attrs = ATTRS(ENUM("arch", VALUES("x86_64", "i686")), TOKEN("machine", 48)),
	 .text = &hvm_text,
	 .enter = domain_enter_os_type},
	MANY("boot", 4, NEED("dev", VALUES("hd", "network", "cdrom", "fd"))),
	WITH("bootmenu", ENUM("enable", YES_NO), UINT("timeout", 0, 65535)),
	WITH("bios", ENUM("useserial", YES_NO), INT("rebootTimeout", 65535)),
	{.name = "smbios",
	 .attrs = ATTRS({.name = "mode",
			 .kind = FILTER_ENUM,
			 .values = VALUES("emulate"),
			 .why = "The VM shows its guest the old host's hardware names (<smbios>), "
				"which cannot be handed over."})},
	{.name = "loader",
	 .attrs = ATTRS(
		 ENUM("readonly", VALUES("yes")), ENUM("secure", YES_NO),
		 {.name = "type", .kind = FILTER_ENUM, .values = VALUES("pflash"), .why = FIRMWARE},
		 {.name = "stateless",
		  .kind = FILTER_ENUM,
		  .values = VALUES("no"),
		  .why = FIRMWARE}),
	 .text = &path_text,
	 .enter = domain_judge_only},
	{.name = "nvram",
	 .attrs =
		 ATTRS(DROP("template"), {.name = "type",
					  .kind = FILTER_ENUM,
					  .values = VALUES("file"),
					  .why = "The VM's UEFI variables are not in a file of the "
						 "old host, so they cannot be handed over."}),
	 .text = &path_text,
	 .enter = domain_judge_only},
	{.name = "firmware", .children = firmware_rows, .enter = domain_judge_only},
	REFUSE("kernel", KERNEL),
	REFUSE("initrd", KERNEL),
	REFUSE("cmdline", KERNEL),
	REFUSE("dtb", KERNEL),
	REFUSE("acpi", "The VM uses an ACPI table from a file of the old host, which cannot be "
		       "handed over."),
	END,
};

static const struct filter_rule hyperv_rows[] = {
	STATE("relaxed"),
	STATE("vapic"),
	WITH("spinlocks", ENUM("state", ON_OFF), UINT("retries", 0, UINT32_MAX)),
	STATE("vpindex"),
	STATE("runtime"),
	STATE("synic"),
	{.name = "stimer",
	 .attrs = ATTRS(ENUM("state", ON_OFF)),
	 .children = ROWS(STATE("direct"))},
	STATE("reset"),
	WITH("vendor_id", ENUM("state", ON_OFF), TOKEN("value", 12)),
	STATE("frequencies"),
	STATE("reenlightenment"),
	STATE("tlbflush"),
	STATE("ipi"),
	STATE("evmcs"),
	STATE("avic"),
	END,
};

static const struct filter_rule feature_rows[] = {
	EMPTY("acpi"),
	WITH("apic", ENUM("eoi", ON_OFF)),
	EMPTY("pae"),
	EMPTY("viridian"),
	EMPTY("privnet"),
	STATE("hap"),
	STATE("pvspinlock"),
	STATE("pmu"),
	STATE("vmport"),
	{.name = "smm", .attrs = ATTRS(ENUM("state", ON_OFF))},
	WITH("ioapic", ENUM("driver", VALUES("kvm", "qemu"))),
	STATE("vmcoreinfo"),
	{.name = "kvm",
	 .children = ROWS(STATE("hidden"), STATE("hint-dedicated"), STATE("poll-control"),
			  STATE("pv-ipi"))},
	{.name = "hyperv", .attrs = ATTRS(ENUM("mode", VALUES("custom"))), .children = hyperv_rows},
	END,
};

static const struct filter_rule cpu_rows[] = {
	{.name = "model",
	 .attrs = ATTRS(ENUM("fallback", VALUES("allow", "forbid")), TOKEN("vendor_id", 12)),
	 .text = &model_text},
	{.name = "vendor", .text = &model_text},
	WITH("topology", UINT("sockets", 1, 512), UINT("dies", 1, 512), UINT("cores", 1, 512),
	     UINT("threads", 1, 512)),
	WITH("cache", UINT("level", 1, 3), ENUM("mode", VALUES("emulate", "disable"))),
	WITH("maxphysaddr", ENUM("mode", VALUES("emulate")), UINT("bits", 32, 64)),
	MANY("feature", 1024,
	     NEED("policy", VALUES("force", "require", "optional", "disable", "forbid")),
	     {.name = "name", .kind = FILTER_TOKEN, .max = 64, .required = true}),
	REFUSE("numa", "The VM has NUMA cells (<numa>), which this version of Kith cannot hand "
		       "over."),
	END,
};

#define CPU_ATTRS(...)                                             \
	ATTRS(ENUM("mode", VALUES(__VA_ARGS__)),                   \
	      ENUM("match", VALUES("minimum", "exact", "strict")), \
	      ENUM("check", VALUES("none", "partial", "full")), ENUM("migratable", ON_OFF))

/* Of cookies: libvirt sends one only for a CPU that it knows by name. */
const struct filter_rule domain_cpu_rule = {
	.name = "cpu",
	.attrs = CPU_ATTRS("custom", "host-model"),
	.children = cpu_rows,
};

/* The one before that `kith vm roam` keeps: it may come back, and is judged when the VM has it. */
const struct filter_rule domain_kept_cpu_rule = {
	.name = "cpu",
	.attrs = CPU_ATTRS("custom", "host-model", "host-passthrough", "maximum"),
	.children = cpu_rows,
};

static const struct filter_rule timer_rows[] = {
	WITH("catchup", UINT("threshold", 0, UINT32_MAX), UINT("slew", 0, UINT32_MAX),
	     UINT("limit", 0, UINT32_MAX)),
	END,
};

static const struct filter_rule clock_rows[] = {
	{.name = "timer",
	 .max = 16,
	 .attrs = ATTRS(NEED("name", VALUES("platform", "pit", "rtc", "hpet", "tsc", "kvmclock",
					    "hypervclock")),
			ENUM("tickpolicy", VALUES("delay", "catchup", "merge", "discard")),
			ENUM("track", VALUES("boot", "guest", "wall", "realtime")),
			ENUM("present", YES_NO), UINT("frequency", 1, UINT64_MAX),
			ENUM("mode", VALUES("auto", "native", "emulate", "paravirt", "smpsafe"))),
	 .children = timer_rows},
	END,
};

/* ---- devices ---- */

#define DISK_DRIVER                                                                           \
	ENUM("io", VALUES("native", "threads", "io_uring")),                                  \
		ENUM("discard", VALUES("unmap", "ignore")),                                   \
		ENUM("detect_zeroes", VALUES("off", "on", "unmap")),                          \
		ENUM("error_policy", VALUES("stop", "report", "ignore", "enospace")),         \
		ENUM("rerror_policy", VALUES("stop", "report", "ignore")),                    \
		ENUM("ioeventfd", ON_OFF), ENUM("event_idx", ON_OFF), UINT("queues", 1, 512), \
		UINT("queue_size", 1, 1024), UINT("iothread", 1, 64), VIRTIO_OPTIONS

/* What the guest sees of a disk, and what none may have. */
#define DISK_REST                                                                                  \
	{.name = "backingStore", .enter = domain_enter_backing},                                   \
		WITH("target",                                                                     \
		     {.name = "dev",                                                               \
		      .kind = FILTER_TOKEN,                                                        \
		      .max = DOMAIN_TARGET_MAX,                                                    \
		      .required = true},                                                           \
		     NEED("bus", VALUES("virtio", "sata", "scsi", "ide", "usb", "fdc")),           \
		     ENUM("tray", VALUES("open", "closed")), ENUM("removable", ON_OFF),            \
		     UINT("rotation_rate", 1, 65534)),                                             \
		{.name = "serial", .text = &(const struct filter_attr)TEXT("", 64)},               \
		{.name = "vendor", .text = &(const struct filter_attr)TEXT("", 8)},                \
		{.name = "product", .text = &(const struct filter_attr)TEXT("", 16)},              \
		{.name = "wwn", .text = &(const struct filter_attr)TOKEN("", 16)},                 \
		WITH("blockio", UINT("logical_block_size", 512, 65536),                            \
		     UINT("physical_block_size", 512, 65536)),                                     \
		EMPTY("readonly"), BOOT, DEVICE,                                                   \
		REFUSE("shareable",                                                                \
		       "A disk of the VM is shared with other VMs; it cannot be handed over."),    \
		REFUSE("transient",                                                                \
		       "A disk of the VM is transient (its changes are thrown away); it cannot "   \
		       "be handed over."),                                                         \
		REFUSE("mirror",                                                                   \
		       "A disk of the VM is being copied right now; wait for that to end."),       \
		REFUSE("encryption", "A disk of the VM is encrypted by the old host "              \
				     "(<encryption>); this version of Kith cannot hand it over."), \
		REFUSE("iotune", "A disk of the VM has speed limits of the old host (<iotune>), "  \
				 "which cannot be handed over.")

static const struct filter_rule disk_rows[] = {
	WITH("driver", NEED("name", VALUES("qemu")), NEED("type", VALUES("raw", "qcow2")),
	     ENUM("cache",
		  VALUES("none", "writethrough", "writeback", "directsync", "unsafe", "default")),
	     DISK_DRIVER),
	{.name = "source",
	 .attrs = ATTRS(DROP("file"), DROP("index"), DROP("startupPolicy")),
	 .children = ROWS(SKIP("seclabel", 4)),
	 .enter = domain_enter_disk_source},
	DISK_REST,
	REFUSE("auth", "A disk of the VM is on a storage server; only disks in image files can be "
		       "handed over."),
	END,
};

#define SERVER_ONLY                                                                             \
	"A disk of the VM is on a storage server, with options that only the old host has; it " \
	"cannot be handed over."

/* Judged only: how the destination reaches the storage, it knows by its own pool. */
static const struct filter_rule shared_source_rows[] = {
	MANY("host", DOMAIN_STORE_HOSTS_MAX, DROP("name"), UINT("port", 1, 65535),
	     {.name = "transport",
	      .kind = FILTER_ENUM,
	      .values = VALUES("tcp"),
	      .why = SERVER_ONLY}),
	SKIP("auth", 1), /* whose secret the destination has, or has not */
	SKIP("initiator", 1),
	SKIP("seclabel", 4),
	REFUSE("snapshot", "A disk of the VM is a snapshot on a storage server; it cannot be "
			   "handed over."),
	REFUSE("config", SERVER_ONLY),
	REFUSE("slices", SERVER_ONLY),
	REFUSE("ssl", SERVER_ONLY),
	REFUSE("cookies", SERVER_ONLY),
	REFUSE("reservations",
	       "A disk of the VM uses persistent reservations (<reservations>), which are the old "
	       "host's; it cannot be handed over."),
	REFUSE("encryption", "A disk of the VM is encrypted by the old host (<encryption>); this "
			     "version of Kith cannot hand it over."),
	END,
};

/* The cache: what a host keeps for itself must be written, or the other host does not see it. */
static const struct filter_rule shared_disk_rows[] = {
	WITH("driver", NEED("name", VALUES("qemu")),
	     {.name = "type",
	      .kind = FILTER_ENUM,
	      .values = VALUES("raw"),
	      .required = true,
	      .why = "A disk of the VM on a storage server is not raw; only raw ones can stay "
		     "there while the VM is handed over."},
	     {.name = "cache",
	      .kind = FILTER_ENUM,
	      .values = VALUES("none", "writethrough", "writeback", "directsync", "default"),
	      .why = "A disk of the VM is on shared storage with cache='unsafe': what the guest "
		     "wrote may be on this device only. Set cache='none' for it (`virsh edit`), "
		     "shut the VM down and start it, then hand it over."},
	     DISK_DRIVER),
	{.name = "source",
	 .attrs = ATTRS(
		 DROP("protocol"), DROP("name"), DROP("pool"), DROP("volume"), DROP("index"),
		 DROP("startupPolicy"),
		 {.name = "mode",
		  .kind = FILTER_ENUM,
		  .values = VALUES("direct"),
		  .why = SERVER_ONLY},
		 {.name = "tls", .kind = FILTER_ENUM, .values = VALUES("no"), .why = SERVER_ONLY}),
	 .children = shared_source_rows,
	 .enter = domain_enter_disk_source},
	DISK_REST,
	SKIP("auth", 1),
	END,
};

const struct filter_rule domain_shared_disk_rule = {
	.name = "disk",
	.attrs = ATTRS(DROP("type"), ENUM("device", VALUES("disk")), ENUM("model", VIRTIO),
		       DROP("snapshot")),
	.children = shared_disk_rows,
};

static const struct filter_rule controller_rows[] = {
	WITH("driver", UINT("queues", 1, 512), UINT("cmd_per_lun", 1, 65535),
	     UINT("max_sectors", 1, UINT32_MAX), ENUM("ioeventfd", ON_OFF), UINT("iothread", 1, 64),
	     VIRTIO_OPTIONS),
	WITH("master", UINT("startport", 0, 15)),
	WITH("model", NEED("name", VALUES("pci-bridge", "i82801b11-bridge", "ioh3420",
					  "x3130-upstream", "xio3130-downstream", "pxb", "pxb-pcie",
					  "pcie-root-port", "pcie-pci-bridge"))),
	WITH("target", UINT("chassisNr", 0, 255), UINT("chassis", 0, 255), HEX("port", 255),
	     UINT("busNr", 0, 254), UINT("index", 0, 255), ENUM("hotplug", ON_OFF)),
	{.name = "pcihole64",
	 .attrs = ATTRS(ENUM("unit", VALUES("KiB"))),
	 .text = &(const struct filter_attr)UINT("", 0, 1ull << 40)},
	DEVICE,
	END,
};

#define OFFLOADS                                                                               \
	ENUM("csum", ON_OFF), ENUM("gso", ON_OFF), ENUM("tso4", ON_OFF), ENUM("tso6", ON_OFF), \
		ENUM("ecn", ON_OFF), ENUM("ufo", ON_OFF), ENUM("mrg_rxbuf", ON_OFF)

static const struct filter_rule interface_rows[] = {
	{.name = "mac",
	 .min = 1,
	 .attrs = ATTRS({.name = "address", .kind = FILTER_MAC, .required = true}, DROP("type"),
			DROP("check"))},
	SKIP("source", 1), /* the hook read its name, and wrote the destination's own */
	SKIP("target", 1), /* a tap device of the old host */
	WITH("model",
	     NEED("type", VALUES("virtio", "virtio-transitional", "virtio-non-transitional",
				 "e1000", "e1000e", "rtl8139", "i82559er", "ne2k_pci", "pcnet"))),
	{.name = "driver",
	 .attrs = ATTRS(ENUM("name", VALUES("qemu", "vhost")),
			ENUM("txmode", VALUES("iothread", "timer")), ENUM("ioeventfd", ON_OFF),
			ENUM("event_idx", ON_OFF), UINT("queues", 1, 64),
			UINT("rx_queue_size", 1, 1024), UINT("tx_queue_size", 1, 1024),
			ENUM("rss", ON_OFF), ENUM("rss_hash_report", ON_OFF), VIRTIO_OPTIONS),
	 .children = ROWS(WITH("host", OFFLOADS), WITH("guest", OFFLOADS))},
	WITH("link", NEED("state", VALUES("up", "down"))),
	WITH("mtu", UINT("size", 68, 65535)),
	BOOT,
	DEVICE,
	REFUSE("script", "A network card of the VM runs a script of the old host, which cannot be "
			 "handed over."),
	REFUSE("backend", "A network card of the VM uses device files of the old host (<backend>), "
			  "which cannot be handed over."),
	REFUSE("filterref", "A network card of the VM has firewall rules of the old host "
			    "(<filterref>), which cannot be handed over."),
	REFUSE("bandwidth", "A network card of the VM has speed limits of the old host "
			    "(<bandwidth>), which cannot be handed over."),
	REFUSE("virtualport", "A network card of the VM is attached to a switch of the old host "
			      "(<virtualport>), which cannot be handed over."),
	REFUSE("vlan", "A network card of the VM uses a VLAN of the old host's network, which "
		       "cannot be handed over."),
	END,
};

static const struct filter_rule serial_rows[] = {
	SKIP("source", 1), /* the hook read its name, and wrote the destination's own */
	{.name = "target",
	 .attrs = ATTRS(ENUM("type", VALUES("isa-serial", "usb-serial", "pci-serial")),
			UINT("port", 0, 255)),
	 .children = ROWS(
		 WITH("model", NEED("name", VALUES("isa-serial", "usb-serial", "pci-serial"))))},
	DEVICE,
	REFUSE("log", "A serial port of the VM is logged to a file of the old host (<log>), which "
		      "cannot be handed over."),
	END,
};

static const struct filter_rule console_rows[] = {
	SKIP("source", 1),
	WITH("target", ENUM("type", VALUES("serial", "virtio")), UINT("port", 0, 255)),
	DEVICE,
	REFUSE("log", "A console of the VM is logged to a file of the old host (<log>), which "
		      "cannot be handed over."),
	END,
};

static const struct filter_rule channel_rows[] = {
	SKIP("source", 1),
	WITH("target", NEED("type", VALUES("virtio")), TOKEN("name", 64), DROP("state")),
	DEVICE,
	REFUSE("log", "A channel of the VM is logged to a file of the old host (<log>), which "
		      "cannot be handed over."),
	END,
};

/* Only judged, never written: the destination serves its own display on its loopback. */
static const struct filter_rule graphics_rows[] = {
	SKIP("listen", 4),
	SKIP("channel", 16),
	SKIP("image", 1),
	SKIP("jpeg", 1),
	SKIP("zlib", 1),
	SKIP("playback", 1),
	SKIP("streaming", 1),
	SKIP("mouse", 1),
	SKIP("filetransfer", 1),
	SKIP("clipboard", 1),
	{.name = "gl",
	 .attrs = ATTRS(
		 {.name = "enable",
		  .kind = FILTER_ENUM,
		  .values = VALUES("no"),
		  .why = "The VM draws with the old host's graphics card (<gl>), which cannot "
			 "be handed over."})},
	END,
};

static const struct filter_rule sound_rows[] = {
	MANY("codec", 4, NEED("type", VALUES("duplex", "micro", "output"))),
	WITH("audio", UINT("id", 1, 64)),
	DEVICE,
	END,
};

static const struct filter_rule video_model_rows[] = {
	{.name = "acceleration",
	 .attrs = ATTRS({.name = "accel3d",
			 .kind = FILTER_ENUM,
			 .values = VALUES("no"),
			 .why = "The VM draws with the old host's graphics card (accel3d), which "
				"cannot be handed over."},
			ENUM("accel2d", YES_NO))},
	WITH("resolution", UINT("x", 1, 16384), UINT("y", 1, 16384)),
	END,
};

#define VIDEO_KIB (1u << 20)
static const struct filter_rule video_rows[] = {
	{.name = "model",
	 .min = 1,
	 .enter = domain_enter_video_model,
	 .attrs = ATTRS(
		 NEED("type", VALUES("vga", "cirrus", "virtio", "qxl", "bochs", "ramfb", "none")),
		 UINT("ram", 0, VIDEO_KIB), UINT("vram", 0, VIDEO_KIB),
		 UINT("vram64", 0, VIDEO_KIB), UINT("vgamem", 0, VIDEO_KIB), UINT("heads", 1, 16),
		 ENUM("primary", YES_NO), ENUM("blob", VALUES("off"))),
	 .children = video_model_rows},
	{.name = "driver",
	 .attrs = ATTRS({.name = "name",
			 .kind = FILTER_ENUM,
			 .values = VALUES("qemu"),
			 .why = "The VM's graphics run in a process of the old host (vhost-user), "
				"which cannot be handed over."},
			ENUM("vgaconf", VALUES("io", "on", "off")), VIRTIO_OPTIONS)},
	DEVICE,
	END,
};

static const struct filter_rule rng_rows[] = {
	WITH("rate", UINT("bytes", 1, UINT32_MAX), UINT("period", 1, UINT32_MAX)),
	{.name = "backend", .min = 1, .enter = domain_enter_rng_backend},
	WITH("driver", VIRTIO_OPTIONS),
	DEVICE,
	END,
};

/* Its state travels in QEMU's stream; where it is kept is libvirt's matter, and that it goes with
 * the VM is ours. */
static const struct filter_rule tpm_rows[] = {
	{.name = "backend",
	 .min = 1,
	 .attrs = ATTRS({.name = "type",
			 .kind = FILTER_ENUM,
			 .values = VALUES("emulator"),
			 .required = true,
			 .why = "The VM uses a TPM of the old host (<tpm>), which cannot be handed "
				"over."},
			ENUM("version", VALUES("1.2", "2.0")), DROP("persistent_state")),
	 .children =
		 ROWS({.name = "active_pcr_banks",
		       .children = ROWS(EMPTY("sha1"), EMPTY("sha256"), EMPTY("sha384"),
					EMPTY("sha512"))},
		      {.name = "encryption",
		       .attrs = ATTRS({.name = "secret", .kind = FILTER_UUID, .required = true}),
		       .enter = domain_enter_tpm_secret})},
	DEVICE,
	END,
};

static const struct filter_rule redirdev_rows[] = {
	SKIP("source", 1), SKIP("protocol", 1), BOOT, DEVICE, END,
};

#define OF_HOST(what, n) "The VM uses <" n "> (" what "), which cannot be handed over."

static const struct filter_rule device_rows[] = {
	{.name = "emulator", .enter = domain_enter_emulator},
	{.name = "disk",
	 .max = DOMAIN_DISKS_MAX * 2,
	 .attrs = ATTRS(
		 {.name = "type",
		  .kind = FILTER_ENUM,
		  .values = VALUES("file", "block"), /* of a block device only an empty drive */
		  .required = true,
		  .why = DOMAIN_NOT_A_FILE},
		 {.name = "device",
		  .kind = FILTER_ENUM,
		  .values = VALUES("disk", "cdrom", "floppy"),
		  .why = "The VM has a passed-through disk of the old host, which cannot be "
			 "handed over."},
		 ENUM("model", VIRTIO), DROP("snapshot")),
	 .children = disk_rows,
	 .enter = domain_enter_disk},
	{.name = "controller",
	 .max = 64,
	 .attrs = ATTRS(
		 NEED("type",
		      VALUES("ide", "scsi", "sata", "usb", "pci", "virtio-serial", "fdc", "ccid")),
		 UINT("index", 0, 255),
		 ENUM("model", VALUES("piix3", "piix4", "ich6", "virtio-scsi", "virtio",
				      "virtio-transitional", "virtio-non-transitional", "lsilogic",
				      "lsisas1068", "lsisas1078", "piix3-uhci", "piix4-uhci",
				      "ehci", "ich9-ehci1", "ich9-uhci1", "ich9-uhci2",
				      "ich9-uhci3", "vt82c686b-uhci", "pci-ohci", "nec-xhci",
				      "qemu-xhci", "none", "pci-root", "pcie-root", "pci-bridge",
				      "dmi-to-pci-bridge", "pcie-to-pci-bridge", "pcie-root-port",
				      "pcie-switch-upstream-port", "pcie-switch-downstream-port")),
		 UINT("ports", 1, 31), UINT("vectors", 0, 128)),
	 .children = controller_rows},
	{.name = "interface",
	 .max = 16,
	 .attrs = ATTRS(DROP("type"), DROP("managed")),
	 .children = interface_rows,
	 .enter = domain_enter_interface},
	{.name = "serial",
	 .max = DOMAIN_SERIALS_MAX,
	 .attrs = ATTRS(DROP("type"), DROP("tty")),
	 .children = serial_rows,
	 .enter = domain_enter_serial},
	{.name = "console",
	 .max = 8,
	 .attrs = ATTRS(DROP("type"), DROP("tty")),
	 .children = console_rows,
	 .enter = domain_enter_console},
	{.name = "channel",
	 .max = 16,
	 .attrs = ATTRS(DROP("type"), DROP("tty")),
	 .children = channel_rows,
	 .enter = domain_enter_channel},
	{.name = "input",
	 .max = 8,
	 .attrs = ATTRS(
		 {.name = "type",
		  .kind = FILTER_ENUM,
		  .values = VALUES("tablet", "mouse", "keyboard"),
		  .required = true,
		  .why = "The VM uses an input device of the old host, which cannot be handed "
			 "over."},
		 NEED("bus", VALUES("ps2", "usb", "virtio")), ENUM("model", VIRTIO)),
	 .children = ROWS(WITH("driver", VIRTIO_OPTIONS), DEVICE)},
	{.name = "graphics",
	 .max = 4,
	 .attrs = ATTRS(DROP("type"), DROP("port"), DROP("autoport"), DROP("tlsPort"),
			DROP("websocket"), DROP("listen"), DROP("passwd"), DROP("passwdValidTo"),
			DROP("connected"), DROP("keymap"), DROP("defaultMode"), DROP("socket"),
			DROP("sharePolicy"), DROP("powerControl")),
	 .children = graphics_rows,
	 .enter = domain_enter_graphics},
	{.name = "sound",
	 .max = 4,
	 .attrs = ATTRS(NEED("model", VALUES("ich6", "ich7", "ich9", "ac97", "es1370", "usb"))),
	 .children = sound_rows},
	{.name = "audio",
	 .max = 4,
	 .attrs = ATTRS(UINT("id", 1, 64), DROP("type"), DROP("timerPeriod"), DROP("serverName"),
			DROP("runtimeDir"), DROP("tryMMap"), DROP("exclusive"), DROP("dspPolicy"),
			DROP("driver")),
	 .children = ROWS(SKIP("input", 1), SKIP("output", 1)),
	 .enter = domain_enter_audio},
	{.name = "video", .max = 4, .children = video_rows},
	{.name = "hub",
	 .max = 8,
	 .attrs = ATTRS(NEED("type", VALUES("usb"))),
	 .children = ROWS(DEVICE)},
	{.name = "watchdog",
	 .max = 2,
	 .attrs = ATTRS(NEED("model", VALUES("i6300esb", "ib700")),
			ENUM("action", VALUES("reset", "shutdown", "poweroff", "pause", "none",
					      "inject-nmi"))),
	 .children = ROWS(DEVICE)},
	{.name = "memballoon",
	 .attrs = ATTRS(NEED("model", VALUES("virtio", "virtio-transitional",
					     "virtio-non-transitional", "none")),
			ENUM("autodeflate", ON_OFF), ENUM("freePageReporting", ON_OFF)),
	 .children = ROWS(WITH("stats", UINT("period", 0, 86400)), WITH("driver", VIRTIO_OPTIONS),
			  DEVICE)},
	{.name = "rng", .max = 4, .attrs = ATTRS(NEED("model", VIRTIO)), .children = rng_rows},
	{.name = "panic",
	 .max = 2,
	 .attrs = ATTRS(ENUM("model", VALUES("isa", "pvpanic", "hyperv"))),
	 .children = ROWS(DEVICE)},
	REFUSE("hostdev", OF_HOST("a device of the old host", "hostdev")),
	REFUSE("filesystem", OF_HOST("a folder of the old host", "filesystem")),
	REFUSE("shmem", OF_HOST("memory shared with the old host", "shmem")),
	{.name = "tpm",
	 .attrs = ATTRS(NEED("model", VALUES("tpm-tis", "tpm-crb"))),
	 .children = tpm_rows,
	 .enter = domain_enter_tpm},
	{.name = "redirdev",
	 .max = 8,
	 .attrs = ATTRS(NEED("bus", VALUES("usb")), DROP("type")),
	 .children = redirdev_rows,
	 .enter = domain_enter_redirdev},
	REFUSE("redirfilter", OF_HOST("USB redirection", "redirfilter")),
	{.name = "smartcard",
	 .attrs = ATTRS(NEED("mode", VALUES("passthrough")), DROP("type")),
	 .children = ROWS(SKIP("source", 1), DEVICE),
	 .enter = domain_enter_smartcard},
	REFUSE("vsock", OF_HOST("a direct socket to the old host", "vsock")),
	REFUSE("memory", OF_HOST("a pluggable memory device", "memory")),
	REFUSE("iommu", OF_HOST("a virtual IOMMU", "iommu")),
	REFUSE("parallel", OF_HOST("a parallel port", "parallel")),
	REFUSE("nvram", OF_HOST("firmware variables in a file of the old host", "nvram")),
	REFUSE("lease", OF_HOST("a lock of the old host's lock manager", "lease")),
	REFUSE("crypto", OF_HOST("a crypto device of the old host", "crypto")),
	END,
};

/* ---- domain ---- */

#define TUNED(n)                                                                                  \
	REFUSE(n, "The VM is tuned to the old host (<" n ">), which this version of Kith cannot " \
		  "hand over.")

static const struct filter_rule domain_rows[] = {
	{.name = "name", .min = 1, .enter = domain_enter_name},
	{.name = "uuid", .min = 1, .enter = domain_enter_uuid},
	{.name = "title", .text = &title_text},
	{.name = "description", .text = &description_text},
	{.name = "metadata", .enter = domain_enter_metadata},
	{.name = "memory", .min = 1, .enter = domain_enter_memory},
	{.name = "currentMemory", .enter = domain_enter_memory},
	{.name = "vcpu",
	 .attrs =
		 ATTRS({.name = "placement",
			.kind = FILTER_ENUM,
			.values = VALUES("static"),
			.why = "The VM's processors are placed by the old host's NUMA daemon; that "
			       "cannot be handed over."},
		       {.name = "cpuset",
			.kind = FILTER_ENUM,
			.values = NOTHING,
			.why = "The VM's processors are pinned to those of the old host (cpuset); "
			       "that cannot be handed over."},
		       UINT("current", 1, 512)),
	 .text = &vcpu_text,
	 .enter = domain_enter_vcpu},
	{.name = "vcpus",
	 .children = ROWS(MANY("vcpu", 512, UINT("id", 0, 511), ENUM("enabled", YES_NO),
			       ENUM("hotpluggable", YES_NO), UINT("order", 1, 512)))},
	{.name = "iothreads", .text = &iothreads_text},
	{.name = "iothreadids", .children = ROWS(MANY("iothread", 64, UINT("id", 1, 64)))},
	SKIP("resource", 1), /* cgroup of the old host */
	{.name = "os",
	 .min = 1,
	 .attrs = ATTRS({.name = "firmware",
			 .kind = FILTER_ENUM,
			 .values = NOTHING,
			 .why = FIRMWARE}), /* but for "efi", see the hook */
	 .children = os_rows,
	 .enter = domain_enter_os},
	{.name = "features", .children = feature_rows},
	{.name = "cpu",
	 .attrs = CPU_ATTRS("custom", "host-model", "host-passthrough", "maximum"),
	 .children = cpu_rows,
	 .enter = domain_enter_cpu},
	{.name = "clock",
	 .attrs = ATTRS(NEED("offset", VALUES("utc", "localtime", "variable")),
			INT("adjustment", 1u << 31), ENUM("basis", VALUES("utc", "localtime"))),
	 .children = clock_rows},
	{.name = "on_poweroff", .text = &action_text},
	{.name = "on_reboot", .text = &action_text},
	{.name = "on_crash", .text = &action_text},
	{.name = "pm",
	 .children = ROWS(WITH("suspend-to-mem", ENUM("enabled", YES_NO)),
			  WITH("suspend-to-disk", ENUM("enabled", YES_NO)))},
	{.name = "devices", .min = 1, .children = device_rows, .enter = domain_enter_devices},
	{.name = "seclabel", .max = 4, .enter = domain_enter_seclabel},
	TUNED("memoryBacking"),
	TUNED("cputune"),
	TUNED("memtune"),
	TUNED("numatune"),
	TUNED("blkiotune"),
	REFUSE("maxMemory", "The VM has slots for more memory (<maxMemory>), which this version of "
			    "Kith cannot hand over."),
	REFUSE("sysinfo", "The VM shows its guest made-up or host hardware data (<sysinfo>), which "
			  "cannot be handed over."),
	REFUSE("launchSecurity", "The VM's memory is encrypted by the old host's CPU "
				 "(<launchSecurity>), so it cannot leave that host."),
	REFUSE("bootloader", KERNEL),
	END,
};

const struct filter_rule domain_rule = {
	.name = "domain",
	.attrs = ATTRS({.name = "type",
			.kind = FILTER_ENUM,
			.values = VALUES("qemu", "kvm"),
			.required = true,
			.why = "The VM does not run under QEMU; only QEMU and KVM machines can be "
			       "handed over."},
		       DROP("id")),
	.children = domain_rows,
	.enter = domain_enter_domain,
};
