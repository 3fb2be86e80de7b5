/* SPDX-License-Identifier: Apache-2.0 */
/* The local control socket: newline-delimited JSON for every user of this device. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "agent/api.h"
#include "agent/asker.h"
#include "base/cleanup.h"

#define CONTROL_SOCKET "kithd/control.sock" /* below the run directory */
#define CONTROL_PENDING_MAX 16		    /* requests of one client not answered yet */
#define CONTROL_EVENTS_MAX (1u << 16)	    /* bytes waiting beyond which events are left out */

/* Bytes that a client has not taken: beyond them it is hung up on. Owner and root, then any other
 * user; of one client, and of all of the kind together (A3). */
#define CONTROL_QUEUE_MAX (1u << 20)
#define CONTROL_QUEUES_MAX (4u << 20)
#define CONTROL_STRANGER_QUEUE_MAX (1u << 18)
#define CONTROL_STRANGER_QUEUES_MAX (1u << 20)

/* Requests of all other users together: so many at once, then one each so many milliseconds. The
 * rest waits in its sockets, and the owner does not wait behind it (A3). */
#define CONTROL_STRANGER_BURST 32
#define CONTROL_STRANGER_EVERY_MS 31

/* How long another user's program may be connected without asking anything. */
#define CONTROL_STRANGER_SILENCE_MS 10000

struct control;

/* A request that passed the table. Every one is answered by one asker->ops->reply(). */
typedef void (*control_request_fn)(void *ctx, const struct asker *asker,
				   const struct api_request *request);

/* Listens at `path` for requests of those in `rows`. Everybody may connect (0666), as often as
 * places_local() allows with `owner`; whoever finds no place is told so in a line before he is hung
 * up on (code BUSY, id 0). The owner is looked up by user_find() for each who connects; the text
 * has to outlive this. */
int control_new(const char *path, const char *owner, const struct api_row *rows,
		control_request_fn request, void *ctx, struct control **ret);
struct control *control_free(struct control *c);
DEFINE_CLEANUP(struct control *, control_free)

/* The owner may be another one now: whoever is not who he was is hung up on. */
void control_look_again(struct control *c);

/* To all who watch; taken over. */
void control_broadcast(struct control *c, char *line);
