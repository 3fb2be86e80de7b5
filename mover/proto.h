/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between kithd and kith-mover (and between the mover's supervisor and its workers).
 * Wire forms as base/code.h has them. Append only. */
#pragma once

#include <stdint.h>

#include "base/code.h"
#include "policyd/api/proto.h"

#define MOVER_SOCKET "mover/mover.sock" /* below the run directory */

/* First bytes of a data connection, in clear, before its TLS 1.3-PSK handshake: kithd peeks at
 * them on the peer port and passes the descriptor on, preface unread. */
#define DATA_PREFACE_MAGIC "KITHDATA" /* 8 bytes, no NUL */
#define DATA_PREFACE_LEN 28	      /* magic, u16 version = 1, u16 channel, hid16 */
#define DATA_PREFACE_VERSION 1

/* Channels of one hand-off. 0 and 1 are opened once, disks in order of need. */
enum data_channel {
	DATA_CHANNEL_CONTROL = 0, /* libvirt RPC and the commit messages */
	DATA_CHANNEL_RAM = 1,
	DATA_CHANNEL_DISK = 2, /* 2 + n for the n-th NBD connection */
	DATA_CHANNEL_MAX = 34,
};

enum mover_op {
	/* kithd -> mover */
	MOVER_OP_START = 1, /* mover_start -> () : the worker is there, ready for data */
	MOVER_OP_CONN,	    /* mover_conn + fd -> () : preface still unread on the fd */
	MOVER_OP_CANCEL,    /* mover_handoff -> () */
	MOVER_OP_JOBS,	    /* () -> u16 n, n x mover_progress : open and the last 16 ended ones */
	MOVER_OP_VMS,	    /* () -> u16 n, n x mover_vm : domains that libvirt has here */
	MOVER_OP_GONE,	    /* mover_gone -> () : the other side gave up before the workers had
			     * a channel of their own; one that has it goes by that instead */

	/* the owner and root -> mover */
	MOVER_OP_DISKS,	      /* () -> disks_place, u16 n, n x disks_stale */
	MOVER_OP_DISK_REMOVE, /* disks_wish -> disks_answer */
	MOVER_OP_DISCS,	      /* disks_disc -> u16 n, n x disks_disc : in the drives of a VM */
	MOVER_OP_EJECT,	      /* disks_disc -> () */
	MOVER_OP_ROAM,	      /* roam_wish -> roam_answer */

	/* kithd -> mover: what would become of a hand-off */
	MOVER_OP_OFFERS, /* () -> a record of mover/offers.h : for a device of the same owner */
	MOVER_OP_PLAN,	 /* mover_plan_ask -> mover_plan */

	/* kithd -> mover: a console that a peer was granted; then MOVER_OP_CONN */
	MOVER_OP_SHOW, /* mover_handoff -> () : the VM can be seen, and the peer's data may come */

	/* the owner and root -> mover: a console that policyd granted here */
	MOVER_OP_CONSOLE, /* mover_handoff + fd -> mover_console : as long as the fd's other end is
			   * open; MOVER_EVENT_CONSOLE_END comes on it */
	MOVER_OP_ATTACH, /* mover_handoff + fd -> () : connects it with the VM; many for graphics */

	/* mover -> kithd, IPC_FLAG_EVENT */
	MOVER_EVENT_DIAL = 64, /* mover_conn : connect to the peer, pass it by OP_CONN */
	MOVER_EVENT_PROGRESS,  /* mover_progress : at most 4 per second, and on phase changes */

	/* mover -> whoever has a console open */
	MOVER_EVENT_CONSOLE_END, /* kerr : why it ended; it is the last */
};

/* Where a hand-off stands, for people. */
enum phase {
	PHASE_CHECKING,
	PHASE_ATTESTING,
	PHASE_PREPARING,
	PHASE_COPYING_DISK,
	PHASE_COPYING_MEMORY,
	PHASE_SWITCHING,
	PHASE_DONE,
	PHASE_FAILED,
	PHASE_SHUTTING_DOWN, /* the guest, before anything is copied */
	_PHASE_MAX,
};
DECLARE_NAMES(phase, enum phase);

struct mover_progress {
	uint8_t hid[HID_LEN], uuid[UUID_LEN], peer[DEVICE_ID_LEN];
	char vm[NAME_MAX_LEN + 1], peer_name[NAME_MAX_LEN + 1];
	uint8_t source;
	uint8_t off; /* the VM is switched off, and stays so */
	enum phase phase;
	uint64_t ram_bytes, ram_total, disk_bytes, disk_total; /* on the wire, before TLS */
	uint64_t rate_bytes_s, elapsed_ms, left_ms;	       /* left_ms UINT64_MAX: unknown */
	uint64_t downtime_ms;				       /* measured, when done; else 0 */
	struct kerr error;				       /* when failed */
};

enum mover_vm_state {
	MOVER_VM_RUNNING,
	MOVER_VM_PAUSED,
	MOVER_VM_OFF,
	MOVER_VM_OTHER,
	_MOVER_VM_STATE_MAX,
};
DECLARE_NAMES(mover_vm_state, enum mover_vm_state);

struct mover_vm {
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1];
	enum mover_vm_state state;
	uint64_t memory_bytes, disk_bytes;
	uint32_t vcpus;
};

/* In which way a VM would move. */
enum mover_rung {
	MOVER_RUNG_NONE, /* it would not */
	MOVER_RUNG_LIVE,
	MOVER_RUNG_LIVE_DISK, /* while it runs, with its disks */
	MOVER_RUNG_COLD,      /* it is off, and stays so */
	_MOVER_RUNG_MAX,
};
DECLARE_NAMES(mover_rung, enum mover_rung);

#define MOVER_OFFERS_MAX 49152 /* bytes of what a host offers */
#define MOVER_LACKS_MAX 274    /* CPU_WORDS_MAX of mover/filter/cpu.h */

struct mover_plan_ask {
	uint8_t uuid[UUID_LEN];
	const uint8_t *offers; /* of the destination, borrowed; it is not for kithd to read */
	size_t len;	       /* 0 = it did not say: then only this host is looked at */
};
#define MOVER_PLAN_ASK_MAX (UUID_LEN + 4 + MOVER_OFFERS_MAX)

struct mover_plan {
	enum mover_rung rung;
	struct kerr reason; /* why it would not; else OK */
	uint8_t there;	    /* 1: the reason lies at the destination */
	uint8_t off;	    /* the VM is switched off */
	/* Where it would move: why not in this way, if that was asked for; ANY has none. */
	struct kerr rungs[_MOVE_RUNG_MAX];
	uint64_t memory_bytes, disk_bytes; /* to be sent; 0 = not known */
	uint32_t rewired; /* network cards that would be on another network there */
	uint8_t roams;	  /* 1: another CPU waits for its next start (`kith vm roam`) */
	uint32_t shared;  /* disks on shared storage, which are not sent */
	/* One that is off would be otherwise there (mover/filter/fit-xml.h): without KVM; with the
	 * machine type of another QEMU, 100 * major + minor, 0 = as it is; with another CPU, and
	 * what the host's lacks of its own, for people. */
	struct mover_fitted {
		uint8_t emulated, other_cpu;
		uint32_t machine_from, machine_to;
		char cpu_lacks[MOVER_LACKS_MAX];
	} fitted;
};

/* What speaks on the connections of a console. */
enum mover_display {
	MOVER_DISPLAY_SERIAL,
	MOVER_DISPLAY_VNC,
	MOVER_DISPLAY_SPICE,
	_MOVER_DISPLAY_MAX,
};
DECLARE_NAMES(mover_display, enum mover_display);

struct mover_console {
	enum mover_display display;
};

/* What the requests that are about one hand-off begin with, and CANCEL is. */
struct mover_handoff {
	uint8_t hid[HID_LEN];
};

struct mover_start {
	uint8_t hid[HID_LEN];
	uint8_t source;
};

struct mover_conn {
	uint8_t hid[HID_LEN];
	uint16_t channel; /* below DATA_CHANNEL_MAX */
};

struct mover_gone {
	uint8_t hid[HID_LEN];
	struct kerr why; /* never OK */
};
#define MOVER_GONE_MAX (HID_LEN + 2 + 2 + KERR_TEXT_MAX)

/* Of a data connection: names a hand-off and a channel and proves nothing; the PSK does. */
struct data_preface {
	uint8_t hid[HID_LEN];
	uint16_t channel; /* below DATA_CHANNEL_MAX */
};

DECLARE_CODEC(mover_progress);
DECLARE_CODEC(mover_vm);
DECLARE_CODEC(data_preface);
DECLARE_RECORD(mover_handoff);
DECLARE_RECORD(mover_console);
DECLARE_RECORD(mover_start);
DECLARE_RECORD(mover_conn);
DECLARE_RECORD(mover_gone);
DECLARE_RECORD(mover_plan_ask);
DECLARE_RECORD(mover_plan);
