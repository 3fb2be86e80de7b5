/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's stream of a serial port is not a descriptor: two threads make one of it. One such
 * stream for each process, which ends with it. */
#include "mover/virt-console.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "mover/virt-internal.h"

#define PIECE_BYTES 16384

static struct pump {
	virStreamPtr stream;
	int fd, wake_fd;
	atomic_bool over;
} pump;

static int find(struct virt *v, const uint8_t uuid[UUID_LEN], virDomainPtr *ret, struct kerr *err)
{
	int r = virt_lookup(v, uuid, ret, err);

	if (r < 0)
		return r;
	if (virDomainIsActive(*ret) != 1)
		return kerr_set(err, EAGAIN, KCODE_NOT_RUNNING,
				"\"%.63s\" does not run, so there is nothing to see of it.",
				virDomainGetName(*ret));
	return 0;
}

int virt_display(struct virt *v, const uint8_t uuid[UUID_LEN], struct display *ret,
		 struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	_cleanup_free_ char *xml = NULL;
	int r = find(v, uuid, &dom, err);

	if (r < 0)
		return r;
	xml = virDomainGetXMLDesc(dom, 0);
	if (!xml)
		return virt_fail(err, "Reading the VM's configuration");
	return display_read(xml, ret) < 0
		       ? kerr_set(err, EBADMSG, KCODE_FAILED,
				  "The VM's configuration on this device cannot be read.")
		       : 0;
}

int virt_graphics(struct virt *v, const uint8_t uuid[UUID_LEN], int fd, struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	int r = find(v, uuid, &dom, err);

	if (r < 0)
		return r;
	return virDomainOpenGraphics(dom, 0, fd, VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH) < 0
		       ? virt_fail(err, "Opening the VM's display")
		       : 0;
}

static void pump_end(void)
{
	uint64_t one = 1;

	atomic_store(&pump.over, true);
	shutdown(pump.fd, SHUT_RDWR);
	(void)!write(pump.wake_fd, &one, sizeof(one));
}

bool virt_serial_over(void)
{
	return atomic_load(&pump.over);
}

static bool write_all(const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(pump.fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static void *pump_out(void *arg _unused_)
{
	static char piece[PIECE_BYTES];
	int n;

	while ((n = virStreamRecv(pump.stream, piece, sizeof(piece))) > 0)
		if (!write_all(piece, (size_t)n))
			break;
	pump_end();
	return NULL;
}

static bool stream_all(const char *data, size_t len)
{
	while (len) {
		int n = virStreamSend(pump.stream, data, len);

		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static void *pump_in(void *arg _unused_)
{
	static char piece[PIECE_BYTES];
	ssize_t n;

	do {
		n = recv(pump.fd, piece, sizeof(piece), 0);
	} while ((n < 0 && errno == EINTR) || (n > 0 && stream_all(piece, (size_t)n)));
	pump_end();
	return NULL;
}

static int pump_start(void)
{
	pthread_t thread;
	int r = -pthread_create(&thread, NULL, pump_out, NULL);

	if (r < 0)
		return r;
	pthread_detach(thread);
	r = -pthread_create(&thread, NULL, pump_in, NULL);
	if (r == 0)
		pthread_detach(thread);
	return r;
}

/* libvirt says it only in words: "Active console session exists for this domain". */
static int open_fail(struct kerr *err)
{
	virErrorPtr e = virGetLastError();

	if (e && e->code == VIR_ERR_OPERATION_FAILED)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"Somebody has the serial console of this VM open, and there is "
				"only one. `kith console --serial --force` takes it over.");
	return virt_fail(err, "Opening the VM's serial console");
}

int virt_serial(struct virt *v, const uint8_t uuid[UUID_LEN], const char *alias, bool force, int fd,
		int wake_fd, struct kerr *err)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	_cleanup_close_ int own = fd;
	unsigned flags = force ? VIR_DOMAIN_CONSOLE_FORCE : VIR_DOMAIN_CONSOLE_SAFE;
	int r = find(v, uuid, &dom, err);

	if (r < 0)
		return r;
	pump.stream = virStreamNew(v->conn, 0);
	if (!pump.stream)
		return virt_fail(err, "Opening a stream");
	if (virDomainOpenConsole(dom, alias, pump.stream, flags) < 0) {
		r = open_fail(err);
		virStreamFree(pump.stream);
		return r;
	}
	pump.fd = TAKE_FD(own);
	pump.wake_fd = wake_fd;
	r = pump_start();
	return r < 0 ? kerr_set(err, -r, KCODE_FAILED, "A thread could not start: %s.",
				strerror(-r))
		     : 0;
}
