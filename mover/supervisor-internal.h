/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor's loop and its requests share: connections, children, who waits for whom. */
#pragma once

#include <sys/types.h>

#include "base/config.h"
#include "base/ipc.h"
#include "mover/listing.h"
#include "mover/proto.h"

#define CONNS_MAX 8
#define ACCEPTS_PER_TURN 16
#define COMPLAIN_MS 60000
#define CHILDREN_MAX                                                                         \
	32 /* 16 hand-offs, 8 consoles, a listing, recovery, offers twice, a plan, two about \
	    * disks, a CPU */
#define WORKERS_MAX 16
#define CONSOLES_MAX 8
#define DISKS_MAX 2
#define OWNER_CONNS_MAX 2 /* of CONNS_MAX */
#define PENDING_MAX 64
#define ENDED_MAX 16
#define KITHD_USER "kith"

#define RECOVER_MS 3000
#define VMS_MS 8000
#define DISKS_MS 60000
#define OFFERS_MS 2000 /* the other device waits for 3 s in all */
#define PLAN_MS 5000
#define ROAM_MS 20000
#define RECOVERY_MS 40000
#define STOP_MS 5000
#define TICK_MS 500

enum who {
	WHO_KITHD = 1,
	WHO_OWNER = 2,
};

enum child_kind {
	CHILD_NONE,
	CHILD_WORKER,
	CHILD_CONSOLE,
	CHILD_VMS,
	CHILD_RECOVER,
	CHILD_DISKS,
	CHILD_OFFERS,
	CHILD_PLAN,
	CHILD_ROAM,
	CHILD_WARM,
};

struct conn {
	int fd; /* -1 = free */
	unsigned who;
};

struct child {
	enum child_kind kind;
	pid_t pid;
	int fd; /* our end of the socketpair */
	uint8_t hid[HID_LEN];
	size_t owner; /* connection that started it; CONNS_MAX = gone */
	uint64_t started_ms;
	bool progressed, answered;
	struct mover_progress last;
};

/* A request that a child has to answer. */
struct pending {
	bool used;
	size_t conn, child;
	uint16_t op;
	uint32_t serial, child_serial;
};

struct supervisor {
	struct config config;
	char config_path[160]; /* CONFIG_MOVER_COPY */
	uid_t kithd_uid;
	int listen_fd, signal_fd;
	struct conn conns[CONNS_MAX];
	struct child children[CHILDREN_MAX];
	struct pending pending[PENDING_MAX];
	uint32_t serial;
	struct mover_progress ended[ENDED_MAX];
	size_t ended_count;
	struct listing_memory sizes;
	uint64_t recover_at, stop_at, complain_at;
	bool recovering_again, recovered, stopping;
	uint8_t buf[IPC_MAX_FRAME], out[IPC_MAX_BODY];
};

/* What a handler gets: the supervisor and who asks. */
struct asker {
	struct supervisor *s;
	size_t conn;
	const struct ipc_msg *msg;
	bool deferred; /* a child will answer */
};

struct child *child_find(struct supervisor *s, enum child_kind kind, const uint8_t hid[HID_LEN]);
size_t child_count(const struct supervisor *s, enum child_kind kind);
/* Starts this program again with these words; 0 and its entry, or -EBUSY at CHILDREN_MAX, -errno.
 */
int child_start(struct supervisor *s, enum child_kind kind, char *const argv[], struct child **ret);

/* To a connection that may be gone meanwhile. */
void supervisor_reply(struct supervisor *s, size_t conn, uint16_t op, uint32_t serial,
		      uint32_t flags, const void *body, size_t len);
void supervisor_reply_error(struct supervisor *s, size_t conn, uint16_t op, uint32_t serial,
			    const struct kerr *err);

/* Remembers that this child answers what is asked: by *ret_serial, which is a new one if it is 0.
 * -EBUSY. */
int supervisor_expect(struct supervisor *s, const struct asker *a, const struct child *c,
		      uint32_t *ret_serial);

/* One request of a connection: answered at once, or handed to a child (supervisor-requests.c). */
void supervisor_request(struct supervisor *s, size_t conn, struct ipc_msg *m);
