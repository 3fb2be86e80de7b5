/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3) without its library: a datagram is all there is to it, and the trusted core links
 * nothing for that. */
#include "base/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"

static struct {
	bool asked; /* the environment was read */
	int fd;
	struct sockaddr_un to;
	socklen_t len;
	uint64_t every_ms, due_ms; /* the watchdog; 0 = none */
	char status[160];
} notify = {.fd = -EBADF};

static void say(const char *text)
{
	/* systemd that does not listen is no reason to fail. */
	if (sendto(notify.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
		   (const struct sockaddr *)&notify.to, notify.len) < 0)
		return;
}

static void read_watchdog(void)
{
	const char *pid = getenv("WATCHDOG_PID"), *usec = getenv("WATCHDOG_USEC");

	if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return;
	/* Thrice in its time: one late turn is no death. */
	notify.every_ms = strtoull(usec, NULL, 10) / 1000 / 3;
}

static void read_environment(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	notify.asked = true;
	if (len < 2 || len >= sizeof(notify.to.sun_path) || !strchr("/@", path[0]))
		return;
	notify.to.sun_family = AF_UNIX;
	memcpy(notify.to.sun_path, path, len);
	if (path[0] == '@')
		notify.to.sun_path[0] = '\0';
	notify.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	read_watchdog();
	/* Not for those that we start. */
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
}

static void tell_status(const char *status, bool first)
{
	char text[224];

	if (!first && strncmp(status, notify.status, sizeof(notify.status) - 1) == 0)
		return;
	snprintf(notify.status, sizeof(notify.status), "%s", status);
	snprintf(text, sizeof(text), "%sSTATUS=%s", first ? "READY=1\n" : "", notify.status);
	say(text);
}

int notify_turn(int timeout_ms, const char *status)
{
	bool first = !notify.asked;
	uint64_t now;

	if (first)
		read_environment();
	if (notify.fd < 0)
		return timeout_ms;
	tell_status(status, first);
	if (!notify.every_ms)
		return timeout_ms;
	now = clock_ms();
	if (now >= notify.due_ms) {
		say("WATCHDOG=1");
		notify.due_ms = now + notify.every_ms;
	}
	return timeout_ms >= 0 && (uint64_t)timeout_ms < notify.due_ms - now
		       ? timeout_ms
		       : (int)(notify.due_ms - now);
}
