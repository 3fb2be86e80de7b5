# SPDX-License-Identifier: Apache-2.0
# What kithd needs to talk to kith-mover.
noinst_LIBRARIES += mover/libmoverclient.a
mover_libmoverclient_a_SOURCES = \
	mover/client.c mover/client.h \
	mover/console-client.c mover/console-client.h \
	mover/disks-client.c mover/disks-client.h \
	mover/proto.c mover/proto.h \
	mover/roam-client.c mover/roam-client.h
mover_libmoverclient_a_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)

noinst_LIBRARIES += mover/libmover.a
mover_libmover_a_SOURCES = \
	mover/arrival.c \
	mover/arrival.h \
	mover/bridge.c \
	mover/bridge.h \
	mover/cpus.c \
	mover/cpus.h \
	mover/definition.c \
	mover/definition.h \
	mover/console.c \
	mover/console.h \
	mover/departure.c \
	mover/departure.h \
	mover/discs.c \
	mover/discs.h \
	mover/disk.c \
	mover/disk.h \
	mover/estimate.c \
	mover/estimate.h \
	mover/disks.c \
	mover/disks.h \
	mover/filter/cookie.c \
	mover/filter/cookie.h \
	mover/filter/cpu.c \
	mover/filter/cpu.h \
	mover/filter/discs.c \
	mover/filter/discs.h \
	mover/filter/display.c \
	mover/filter/display.h \
	mover/filter/domain-rules.h \
	mover/filter/domain-table.c \
	mover/filter/domain-boot.c \
	mover/filter/domain-devices.c \
	mover/filter/domain.c \
	mover/filter/domain.h \
	mover/filter/edit-xml.c \
	mover/filter/edit-xml.h \
	mover/filter/fit-xml.c \
	mover/filter/fit-xml.h \
	mover/filter/gateway-internal.h \
	mover/filter/gateway-reply.c \
	mover/filter/gateway.c \
	mover/filter/gateway.h \
	mover/filter/mention.c \
	mover/filter/mention.h \
	mover/filter/roam-xml.c \
	mover/filter/roam-xml.h \
	mover/filter/rpc.c \
	mover/filter/rpc.h \
	mover/filter/storage.c \
	mover/filter/storage.h \
	mover/filter/xdr.c \
	mover/filter/xdr.h \
	mover/filter/xml-filter.c \
	mover/filter/xml-filter.h \
	mover/firmware.c \
	mover/firmware.h \
	mover/frames.c \
	mover/frames.h \
	mover/frames-wire.c \
	mover/frames-wire.h \
	mover/ghost.c \
	mover/ghost.h \
	mover/host.c \
	mover/host.h \
	mover/images.c \
	mover/images.h \
	mover/listing.c \
	mover/listing.h \
	mover/luggage.c \
	mover/luggage.h \
	mover/names.c \
	mover/names.h \
	mover/modes.c \
	mover/modes.h \
	mover/network.c \
	mover/network.h \
	mover/off.c \
	mover/off.h \
	mover/offers.c \
	mover/offers.h \
	mover/oneshot.c \
	mover/oneshot.h \
	mover/plan.c \
	mover/plan.h \
	mover/pool.c \
	mover/pool.h \
	mover/recover.c \
	mover/recover.h \
	mover/relay.c \
	mover/relay.h \
	mover/remnant.c \
	mover/remnant.h \
	mover/roam.c \
	mover/roam.h \
	mover/side-destination-rpc.c \
	mover/side-destination.c \
	mover/side-destination.h \
	mover/side-source-facts.c \
	mover/side-source-rpc.c \
	mover/side-source.c \
	mover/side-source.h \
	mover/side.c \
	mover/side.h \
	mover/stale.c \
	mover/stale.h \
	mover/shared-file.c \
	mover/shared-file.h \
	mover/stores.c \
	mover/stores.h \
	mover/supervisor-children.c \
	mover/supervisor-internal.h \
	mover/supervisor-requests.c \
	mover/supervisor.c \
	mover/supervisor.h \
	mover/task.c \
	mover/task.h \
	mover/tls.c \
	mover/tls.h \
	mover/transfer.c \
	mover/transfer.h \
	mover/usage.c \
	mover/usage.h \
	mover/virt-console.c \
	mover/virt-console.h \
	mover/virt-internal.h \
	mover/virt.c \
	mover/virt.h \
	mover/warden-client.c \
	mover/warden-client.h \
	mover/worker-io.c \
	mover/worker-link.c \
	mover/worker.c \
	mover/worker.h \
	mover/workplace.c \
	mover/workplace.h
mover_libmover_a_CFLAGS = \
	$(AM_CFLAGS) $(SODIUM_CFLAGS) $(LIBVIRT_CFLAGS) $(LIBXML_CFLAGS) $(OPENSSL_CFLAGS) \
	$(JANSSON_CFLAGS)

sbin_PROGRAMS += kith-mover
kith_mover_SOURCES = mover/main.c
kith_mover_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
kith_mover_LDADD = \
	mover/libmover.a mover/libmoverclient.a mover/libwarden.a policyd/libpolicydapi.a \
	base/libbase.a $(LIBVIRT_LIBS) $(LIBXML_LIBS) $(OPENSSL_LIBS) $(JANSSON_LIBS) \
	$(SODIUM_LIBS) -lpthread

# What stops the copies that may not run; no libvirt, XML or network in it.
noinst_LIBRARIES += mover/libwarden.a
mover_libwarden_a_SOURCES = \
	mover/marker.c mover/marker.h \
	mover/qemu-process.c mover/qemu-process.h \
	mover/warden-core.c mover/warden-core.h \
	mover/warden-hold.c mover/warden-hold.h \
	mover/warden-rule.c mover/warden-rule.h \
	mover/warden-server.c mover/warden-server.h \
	mover/warden-talk.c mover/warden-talk.h \
	mover/warden-wire.c mover/warden-wire.h
mover_libwarden_a_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)

sbin_PROGRAMS += kith-warden
kith_warden_SOURCES = mover/warden.c
kith_warden_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
kith_warden_LDADD = \
	mover/libwarden.a policyd/libpolicydapi.a base/libbase.a $(SODIUM_LIBS) -lpthread

# libvirt's qemu hook (installed below its hooks folder as "kith") and the fence before libvirtd.
pkglibexec_PROGRAMS += kith-fence
kith_fence_SOURCES = mover/fence.c
kith_fence_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
kith_fence_LDADD = \
	mover/libwarden.a policyd/libpolicydapi.a base/libbase.a $(SODIUM_LIBS)

libvirtprog_PROGRAMS = kith-hook
kith_hook_SOURCES = mover/hook.c
kith_hook_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS) $(LIBXML_CFLAGS)
kith_hook_LDADD = \
	mover/libwarden.a policyd/libpolicydapi.a base/libbase.a $(LIBXML_LIBS) $(SODIUM_LIBS)

install-exec-hook:
	$(MKDIR_P) $(DESTDIR)$(libvirthooksdir)
	rm -f $(DESTDIR)$(libvirthooksdir)/kith
	$(LN_S) $(libvirtprogdir)/kith-hook $(DESTDIR)$(libvirthooksdir)/kith

uninstall-hook:
	rm -f $(DESTDIR)$(libvirthooksdir)/kith
