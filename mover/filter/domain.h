/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuilds a peer's domain XML from a typed allow-list (H12, H13, H21). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/kerr.h"
#include "mover/filter/cpu.h"

#define DOMAIN_XML_MAX (1u << 20)
#define DOMAIN_DEPTH_MAX 24
#define DOMAIN_DISKS_MAX 16
#define DOMAIN_SERIALS_MAX 4
#define DOMAIN_TARGET_MAX 15 /* bytes of a disk target such as "vda", without the NUL */
#define DOMAIN_PATH_MAX 1023
#define DOMAIN_UUID_TEXT 37 /* 36 characters and the NUL */

enum disk_format {
	DISK_FORMAT_RAW,
	DISK_FORMAT_QCOW2,
	_DISK_FORMAT_MAX,
};
DECLARE_NAMES(disk_format, enum disk_format);

/* The networks of the destination's libvirt that VMs which arrive may join, each by its name. */
#define DOMAIN_NETWORKS_MAX 8
struct domain_networks {
	size_t count;
	struct domain_network {
		char name[NAME_MAX_LEN + 1];
		struct kerr missing; /* why it cannot be joined now; OK = it can */
	} list[DOMAIN_NETWORKS_MAX];
	/* Name of the one that cards of any other network, and of bridges, join; "" = none does. */
	char other[NAME_MAX_LEN + 1];
};

/* A UEFI firmware by what it can do, as libvirt's firmware descriptors tell it: never by a path of
 * another host. Its two flash images are RAM blocks of the VM, so their sizes must be equal too. */
#define DOMAIN_FIRMWARE_MAX 8
struct domain_firmware {
	uint8_t secure_boot, enrolled_keys;
	uint64_t code_size, vars_size; /* bytes */
};

/* One that a host has. */
#define DOMAIN_FIRMWARE_PATH_MAX 255
struct domain_firmware_here {
	struct domain_firmware does;
	uint8_t i440fx, q35; /* machines that it is for */
	/* Files of this host, never another's; "" where it is another host's. */
	char code[DOMAIN_FIRMWARE_PATH_MAX + 1], vars[DOMAIN_FIRMWARE_PATH_MAX + 1];
};

/* What a libvirt host has for VMs, besides room. */
#define DOMAIN_SECRETS_MAX 16
struct domain_host {
	uint8_t kvm;	   /* hardware virtualisation */
	uint8_t spice;	   /* SPICE in its QEMU, and with it QXL and the viewers' channels */
	uint8_t tpm;	   /* virtual TPMs by swtpm */
	uint32_t machine;  /* newest machine type of its QEMU: 100 * major + minor; 0 = not known */
	struct cpu cpu[2]; /* the most that it can give to a guest, by `kvm` */
	size_t secret_count;
	uint8_t secrets[DOMAIN_SECRETS_MAX][UUID_LEN]; /* of virtual TPMs, that libvirt has */
	size_t firmware_count;
	struct domain_firmware_here firmware[DOMAIN_FIRMWARE_MAX]; /* in libvirt's order */
};

/* A disk on storage that several hosts reach over the network, by what it is, in one spelling
 * (mover/filter/storage.h); never by how a host reaches it. */
#define DOMAIN_STORE_MAX 383
#define DOMAIN_VOLUME_MAX 127
struct domain_shared {
	/* "iscsi://HOST:PORT/TARGET", "rbd://HOST:PORT,.../POOL", "nfs://HOST:PORT/FOLDER",
	 * "gluster://HOST:PORT/VOLUME" */
	char store[DOMAIN_STORE_MAX + 1];
	/* In it: a LUN, an image, a file. Both "" = an image file of one host. */
	char volume[DOMAIN_VOLUME_MAX + 1];
	/* Of a file: its number on that file system, which is the same on every host; else 0. */
	uint64_t file;
};

enum storage_protocol {
	STORAGE_ISCSI,
	STORAGE_RBD,
	STORAGE_NFS, /* from here on files of a file system that libvirt mounts */
	STORAGE_GLUSTER,
	_STORAGE_PROTOCOL_MAX,
};

/* Such storage as this host reaches it, by a storage pool of its libvirt. */
#define DOMAIN_HOST_MAX 63
#define DOMAIN_STORE_HOSTS_MAX 4
#define DOMAIN_TARGET_NAME_MAX 223
struct domain_store {
	char pool[NAME_MAX_LEN + 1];
	char store[DOMAIN_STORE_MAX + 1];
	struct kerr missing; /* why VMs cannot use it now; OK = they can */
	/* Of this host, told to nobody. */
	enum storage_protocol protocol;
	size_t host_count;
	struct domain_store_host {
		char name[DOMAIN_HOST_MAX + 1];
		uint16_t port; /* 0 = the usual one */
	} hosts[DOMAIN_STORE_HOSTS_MAX];
	char name[DOMAIN_TARGET_NAME_MAX + 1];	    /* of target or pool, at the server */
	char initiator[DOMAIN_TARGET_NAME_MAX + 1]; /* "" = QEMU's own */
	char user[64];				    /* "" = the server asks for none */
	char folder[DOMAIN_PATH_MAX + 1];	    /* where it is mounted, of a file system */
	char secret[128]; /* by which libvirt's secret is found: its usage name, or its UUID */
	bool by_uuid;
};

/* What the source says of its host, where the VM's own configuration does not. */
struct domain_origin {
	uint8_t uefi; /* then `firmware` is what it boots with */
	struct domain_firmware firmware;
	struct cpu cpu; /* that the guest has; its host's own, if it sees that */
};

/* What the destination grants. Strings are borrowed; NULL where said. */
struct domain_limits {
	const char *expect_name;       /* the VM's name in the grant */
	uint8_t expect_uuid[UUID_LEN]; /* and its UUID; another one is KCODE_IDENTITY */
	uint64_t max_memory_bytes;     /* 0 = no limit */
	uint32_t max_vcpus;	       /* 0 = no limit */
	uint32_t max_disks;	       /* at most DOMAIN_DISKS_MAX; 0 = DOMAIN_DISKS_MAX */
	const char *emulator;	       /* the destination's QEMU; NULL = libvirt's default */
	const struct domain_networks *networks; /* what a network card may be on; NULL = nothing */
	const char *serial_path;	    /* file for a serial port that was a file at the source;
					     * NULL = it becomes a pty */
	const struct domain_host *host;	    /* NULL = nothing special */
	const struct domain_origin *origin; /* NULL = neither UEFI nor a CPU to compare */
	const char *nvram_path; /* new file for UEFI's variables; NULL = libvirt's default */
	bool permanent; /* written to be kept: libvirt chooses the firmware at each start. A copy
			 * that arrives names the files: libvirtd 9.0 chooses none for that, and
			 * then dies of it. */
	bool fits; /* of a VM that is off: machine type, accelerator and CPU are fitted to the host
		    * afterwards (fit-xml.h), or are those of what carries it */
};

/* Destination's answer to each disk of the VM, by target. Made by the destination alone (H12). */
struct domain_disk_map {
	size_t count;
	struct domain_disk_target {
		char target[DOMAIN_TARGET_MAX + 1];
		char path[DOMAIN_PATH_MAX + 1]; /* absolute, in the destination's own pool; "" if
						 * the disk is shared */
		enum disk_format format;	/* must be what the XML says (H17) */
		uint64_t capacity;		/* virtual size in bytes, as granted (H23) */
		/* A shared disk: what the destination reaches it by, borrowed. Nothing of it is
		 * copied, made or removed. NULL = an image. */
		const struct domain_store *store;
		char volume[DOMAIN_VOLUME_MAX + 1];
	} disks[DOMAIN_DISKS_MAX];
};

struct domain_disk {
	char target[DOMAIN_TARGET_MAX + 1];
	enum disk_format format;
	/* At the source, never used at the destination: the path; of a shared disk that is a volume
	 * of a pool, the pool's name. */
	char source[DOMAIN_PATH_MAX + 1];
	bool is_shared;
	bool unflushed; /* what its guest wrote may be in this host's memory only */
	/* Of a volume the store is "", and the volume is as libvirt calls it in that pool. */
	struct domain_shared shared;
};

enum domain_serial {
	DOMAIN_SERIAL_PTY,
	DOMAIN_SERIAL_FILE,
	DOMAIN_SERIAL_UNIX,
	_DOMAIN_SERIAL_MAX,
};
DECLARE_NAMES(domain_serial, enum domain_serial);

/* What was read out of the XML. */
struct domain_facts {
	char name[NAME_MAX_LEN + 1];
	uint8_t uuid[UUID_LEN];
	bool kvm;	       /* type='kvm'; else TCG */
	uint64_t memory_bytes; /* maximum memory */
	uint32_t vcpus;	       /* maximum number */
	size_t disk_count;     /* disks with contents; empty CD drives are not counted */
	size_t shared_count;   /* of them on shared storage: not copied */
	struct domain_disk disks[DOMAIN_DISKS_MAX];
	size_t serial_count;
	enum domain_serial serials[DOMAIN_SERIALS_MAX];
	size_t interface_count;
	size_t rewired_count; /* of them on another network than at the source */
	bool uefi;	      /* boots from flash images */
	bool q35;	      /* else i440fx */
	/* Of firmware that libvirt shall choose at the next start: "yes", "no", or "" for either.
	 */
	char secure_boot[4], enrolled_keys[4];
	char loader[DOMAIN_PATH_MAX + 1]; /* of the source; "" if libvirt shall choose */
	char nvram[DOMAIN_PATH_MAX + 1];  /* likewise */
	bool tpm;			  /* has a virtual TPM */
};

/* Disks whose contents have to be copied. */
static inline size_t domain_facts_copied(const struct domain_facts *facts)
{
	return facts->disk_count - facts->shared_count;
}

/* Reads `xml` (`len` bytes, need not be terminated, a trailing NUL is ignored), checks every
 * element and attribute against the table of domain.c, and writes a new document in which each
 * value was validated by type and every path is the destination's. Nothing is copied as text.
 * The result serves both as "destination_xml" of Prepare3 and for virDomainDefineXML().
 *
 * *ret_xml is malloced. ret_facts may be NULL. Errors: -EBADMSG (BAD_MESSAGE: not XML, too big,
 * too deep, a DTD), -EPERM (DOMAIN: names the element that cannot be handed over), -EACCES
 * (IDENTITY), -ENOSPC (ROOM: a cap is exceeded), -ENONET (as the network says), -ENOMEM. */
int domain_rebuild(const char *xml, size_t len, const struct domain_limits *limits,
		   const struct domain_disk_map *map, char **ret_xml,
		   struct domain_facts *ret_facts, struct kerr *err);

/* The same check at the source, over its own XML: would a destination with enough room accept
 * it, and which disks are there? Identity and caps are not looked at. */
int domain_disks(const char *xml, size_t len, struct domain_facts *ret_facts, struct kerr *err);

/* The host's firmware that does what `want` does, for a machine of this family; or NULL. */
const struct domain_firmware_here *domain_firmware_find(const struct domain_host *host,
							const struct domain_firmware *want,
							bool q35);

/* 702 of "pc-q35-7.2"; 0 for one without a number. */
uint32_t domain_machine_number(const char *machine);

/* "xxxxxxxx-xxxx-..." in lower case. */
void domain_uuid_text(const uint8_t uuid[UUID_LEN], char ret[DOMAIN_UUID_TEXT]);

/* With or without hyphens, as libvirt reads it. -EBADMSG. */
int domain_uuid_parse(const char *text, uint8_t ret[UUID_LEN]);

/* How many of the disks are images, whose contents are copied. */
size_t domain_disk_map_copied(const struct domain_disk_map *map);

/* Entry of a target, NULL if the map has none. */
const struct domain_disk_target *domain_disk_map_find(const struct domain_disk_map *map,
						      const char *target);
