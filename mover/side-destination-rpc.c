/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's libvirt: the source's client on one side of the filter, the local libvirtd on
 * the other. */
#include "mover/side-destination.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "mover/disk.h"

#define SERIAL_FOLDER "/var/log/libvirt"

static struct destination_rpc *destination_rpc_self(const struct worker *w)
{
	return &((struct destination *)w->ctx)->rpc;
}

void destination_rpc_init(struct worker *w)
{
	bridge_init(&destination_rpc_self(w)->bridge);
}

static int connect_libvirt(int *ret)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = RPC_LIBVIRTD_SOCKET};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

/* A serial port that was a file at the source goes to a file here too, named after the VM where
 * its name is harmless as a file name. */
void destination_serial_path(const struct worker *w, char ret[SERIAL_PATH_MAX])
{
	char name[NAME_MAX_LEN + 1], uuid[DOMAIN_UUID_TEXT];

	disk_plain_name(w->grant.vm, name, sizeof(name));
	domain_uuid_text(w->place.uuid, uuid);
	snprintf(ret, SERIAL_PATH_MAX, SERIAL_FOLDER "/qemu-serial-%s.log", name[0] ? name : uuid);
}

int destination_rpc_open(struct worker *w, const struct offers_need *need,
			 const struct domain_disk_map *map)
{
	struct destination *self = w->ctx;
	struct destination_rpc *d = &self->rpc;
	char ram[192], nbd[192], serial[SERIAL_PATH_MAX];
	struct gateway_config c = {
		.limits = {.nvram_path = self->nvram[0] ? self->nvram : NULL,
			   .serial_path = serial},
		.map = *map,
		.migrate_uri = ram,
		.disks_uri = domain_disk_map_copied(map) ? nbd : NULL,
		.source_uri = ram,
	};
	int r;

	offers_limits(&self->offers, need, &c.limits);
	/* What the offer tells is the CPU that the VM shall have, not that of what carries it. */
	c.limits.fits = self->offer.off;
	destination_serial_path(w, serial);
	snprintf(ram, sizeof(ram), "unix://%s", w->place.sockets[WORKPLACE_RAM]);
	snprintf(nbd, sizeof(nbd), "unix://%s", w->place.sockets[WORKPLACE_NBD]);
	r = gateway_new(&c, &d->gateway);
	if (r == 0)
		r = bridge_open(&d->bridge);
	return r < 0 ? r : connect_libvirt(&d->bridge.fd);
}

void destination_rpc_stop(struct worker *w)
{
	bridge_close(&destination_rpc_self(w)->bridge);
	worker_relays_drop(w);
}

static void to_source(struct worker *w, const void *data, size_t len)
{
	if (len && w->links.control && frames_send_rpc(w->links.control, data, len) < 0)
		worker_link_drop(w);
}

static void to_libvirt(struct worker *w, const void *data, size_t len)
{
	bridge_send(&destination_rpc_self(w)->bridge, data, len);
}

/* Recovery must know the domain before libvirt does. */
static int note_domain(struct worker *w)
{
	struct destination_rpc *d = destination_rpc_self(w);
	const char *kept = ((struct destination *)w->ctx)->kept;
	const char *xml = kept ? kept : gateway_domain_xml(d->gateway);

	free(w->place.remnant.xml);
	w->place.remnant.xml = xml ? strdup(xml) : NULL;
	if (!w->place.remnant.xml)
		return -ENOMEM;
	((struct destination *)w->ctx)->tpm = gateway_domain_facts(d->gateway)->tpm;
	d->prepare_sent = true;
	return remnant_write(w->place.folder, &w->place.remnant);
}

static void on_gateway_event(struct worker *w, const struct gateway_action *a)
{
	struct destination *d = w->ctx;
	struct kerr none = {.code = KCODE_FAILED, .text = "libvirt refused the VM."};
	const struct kerr *err = a->err.code == KCODE_OK ? &none : &a->err;

	switch (a->event) {
	case GATEWAY_EVENT_PREPARED:
		worker_phase(w, domain_disk_map_copied(&d->map) ? PHASE_COPYING_DISK
								: PHASE_COPYING_MEMORY);
		break;
	case GATEWAY_EVENT_FINISH:
		worker_phase(w, PHASE_SWITCHING);
		break;
	case GATEWAY_EVENT_FINISHED:
		side_post(w, TRANSFER_EVENT_FINISH_HELD);
		break;
	case GATEWAY_EVENT_PREPARE_FAILED:
	case GATEWAY_EVENT_FINISH_FAILED:
		side_stop_err(w, err);
		break;
	case GATEWAY_EVENT_FINISH_CANCEL:
		d->rpc.source_gave_up = true;
		side_stop(w, ECANCELED, KCODE_INTERRUPTED, "The source gave up the copy.");
		break;
	case GATEWAY_EVENT_NONE:
	case GATEWAY_EVENT_PREPARE:
	case GATEWAY_EVENT_CLOSED:
		break;
	}
}

/* Carries one answer of the filter out. `from_source`: the message came from there. */
static void carry_out(struct worker *w, struct gateway_action *a, bool from_source)
{
	if (a->event == GATEWAY_EVENT_PREPARE && note_domain(w) < 0) {
		side_stop(w, EIO, KCODE_FAILED, "Cannot note the incoming VM.");
		return;
	}
	switch (a->verdict) {
	case GATEWAY_FORWARD:
		(from_source ? to_libvirt : to_source)(w, a->data, a->len);
		break;
	case GATEWAY_REPLY:
		(from_source ? to_source : to_libvirt)(w, a->data, a->len);
		break;
	case GATEWAY_REFUSE:
		to_source(w, a->data, a->len);
		side_stop_err(w, &a->err);
		return;
	case GATEWAY_HOLD:
	case GATEWAY_DROP:
	case _GATEWAY_VERDICT_MAX:
		break;
	}
	on_gateway_event(w, a);
}

static int destination_rpc_pump(struct worker *w, struct rpc_stream *stream, bool from_source)
{
	struct destination_rpc *d = destination_rpc_self(w);
	struct rpc_msg m;
	int r;

	while ((r = rpc_stream_next(stream, &m)) == 1) {
		_cleanup_gateway_action_ struct gateway_action a = {0};

		if (from_source)
			gateway_from_source(d->gateway, &m, &a);
		else
			gateway_from_libvirt(d->gateway, &m, &a);
		carry_out(w, &a, from_source);
	}
	return r;
}

static void on_libvirt(struct worker *w, int fd, short revents)
{
	struct destination_rpc *d = destination_rpc_self(w);
	int r;

	if (fd != d->bridge.fd)
		return;
	r = bridge_read(&d->bridge, revents);
	if (r == 0)
		return;
	if (r < 0 || destination_rpc_pump(w, d->bridge.local, false) < 0) {
		bridge_close(&d->bridge);
		if (destination_can_stop(destination_state(w)))
			side_stop(w, ECONNRESET, KCODE_INTERRUPTED,
				  "libvirt at the destination went away.");
	}
}

void destination_rpc_frame(struct worker *w, const struct frame *f)
{
	struct destination_rpc *d = destination_rpc_self(w);

	if (!d->gateway || d->bridge.fd < 0 || destination_state(w) != DESTINATION_RECEIVING)
		return;
	if (rpc_stream_push(d->bridge.peer, f->body, f->len) < 0 ||
	    destination_rpc_pump(w, d->bridge.peer, true) < 0)
		side_stop(w, EBADMSG, KCODE_BAD_MESSAGE,
			  "\"%s\" sent a libvirt request that is malformed.", w->grant.peer_name);
}

void destination_rpc_let_through(struct worker *w)
{
	_cleanup_gateway_action_ struct gateway_action a = {0};

	if (gateway_release_finish(destination_rpc_self(w)->gateway, &a) == 0)
		to_source(w, a.data, a.len);
}

void destination_rpc_watch(struct worker *w)
{
	struct destination_rpc *d = destination_rpc_self(w);

	worker_watch(w, d->bridge.fd, bridge_events(&d->bridge), on_libvirt);
}

bool destination_rpc_prepared(const struct worker *w)
{
	return destination_rpc_self(w)->prepare_sent;
}

bool destination_rpc_given_up(const struct worker *w)
{
	return destination_rpc_self(w)->source_gave_up;
}
