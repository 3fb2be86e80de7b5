/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between kithd and kith-mover (and between the mover's supervisor and its workers).
 * Wire forms as base/code.h has them. Append only. */
#pragma once

#include <stdint.h>

#include "base/code.h"

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
	MOVER_OP_START = 1, /* (hid16, u8 source) -> () : the worker is there, ready for data */
	MOVER_OP_CONN,	    /* (hid16, u16 channel) + fd -> () : preface still unread on the fd */
	MOVER_OP_CANCEL,    /* (hid16) -> () */
	MOVER_OP_JOBS,	    /* () -> u16 n, n x mover_progress : open and the last 16 ended ones */
	MOVER_OP_VMS,	    /* () -> u16 n, n x mover_vm : domains that libvirt has here */
	MOVER_OP_GONE,	    /* (hid16, kerr) -> () : the other side gave up before the workers had
			     * a channel of their own; one that has it goes by that instead */

	/* mover -> kithd, IPC_FLAG_EVENT */
	MOVER_EVENT_DIAL = 64, /* (hid16, u16 channel) : connect to the peer, pass it by OP_CONN */
	MOVER_EVENT_PROGRESS,  /* mover_progress : at most 4 per second, and on phase changes */
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
	_PHASE_MAX,
};
DECLARE_NAMES(phase, enum phase);

struct mover_progress {
	uint8_t hid[HID_LEN], uuid[UUID_LEN], peer[DEVICE_ID_LEN];
	char vm[NAME_MAX_LEN + 1], peer_name[NAME_MAX_LEN + 1];
	uint8_t source;
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

#define MOVER_GONE_MAX (HID_LEN + 2 + 2 + KERR_TEXT_MAX)

DECLARE_CODEC(mover_progress);
DECLARE_CODEC(mover_vm);

/* The clear preface of a data connection. get: -EBADMSG for another magic, version or a channel
 * out of range. It names a hand-off and a channel and proves nothing: the PSK does. */
void data_preface_put(uint8_t ret[DATA_PREFACE_LEN], const uint8_t hid[HID_LEN], uint16_t channel);
int data_preface_get(const uint8_t preface[DATA_PREFACE_LEN], uint8_t ret_hid[HID_LEN],
		     uint16_t *ret_channel);
