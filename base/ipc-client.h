/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a process of this device, and waiting for its answer. */
#pragma once

#include "base/ipc.h"

/* Connects (CLOEXEC, blocking). */
int ipc_connect(const char *path, int *ret_fd);

/* A blocking client connection with its own buffers. Not thread-safe. */
struct ipc_client;
int ipc_client_new(const char *path, struct ipc_client **ret);
/* One that gives up after so many milliseconds wherever it waits: for a place in the queue (-EAGAIN
 * then), and in each ipc_call() that would wait longer. -1 = as the other. */
int ipc_client_patient(const char *path, int patience_ms, struct ipc_client **ret);
struct ipc_client *ipc_client_free(struct ipc_client *c);
DEFINE_CLEANUP(struct ipc_client *, ipc_client_free)
int ipc_client_fd(const struct ipc_client *c);

/* A call in two: sends the request; then waits for its reply, which nothing else may be asked
 * before. -ETIMEDOUT leaves it open, to be waited for again. */
int ipc_ask(struct ipc_client *c, uint16_t op, const struct wbuf *request, int fd,
	    struct kerr *err);
int ipc_answer(struct ipc_client *c, uint16_t op, int timeout_ms, struct rbuf *ret_reply,
	       struct kerr *err);

/* Sends a request and waits (at most `timeout_ms`, -1 = for ever) for its reply; events that
 * arrive meanwhile are dropped. On success *ret_reply borrows the client's buffer until the next
 * call. A refusal comes back as a negative errno with *err as the server wrote it; a lost
 * server as -ECONNRESET with code INTERRUPTED. */
int ipc_call(struct ipc_client *c, uint16_t op, const struct wbuf *request, int timeout_ms,
	     struct rbuf *ret_reply, struct kerr *err);
/* The same with a descriptor, which is duplicated. */
int ipc_call_fd(struct ipc_client *c, uint16_t op, const struct wbuf *request, int fd,
		int timeout_ms, struct rbuf *ret_reply, struct kerr *err);
