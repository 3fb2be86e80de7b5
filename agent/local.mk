# SPDX-License-Identifier: Apache-2.0
# What the command line needs to talk to kithd.
noinst_LIBRARIES += agent/libagentclient.a
agent_libagentclient_a_SOURCES = agent/client.c agent/client.h
agent_libagentclient_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)

noinst_LIBRARIES += agent/libagent.a
agent_libagent_a_SOURCES = \
	agent/address.c \
	agent/agent.c \
	agent/agent.h \
	agent/api.c \
	agent/api.h \
	agent/asker.h \
	agent/asks.c \
	agent/asks.h \
	agent/call.c \
	agent/call.h \
	agent/changes.c \
	agent/changes.h \
	agent/channel.c \
	agent/channel.h \
	agent/viewings.c \
	agent/viewings.h \
	agent/control.c \
	agent/control.h \
	agent/courier.c \
	agent/courier.h \
	agent/dial.c \
	agent/dial.h \
	agent/jobs.c \
	agent/jobs.h \
	agent/link-codec.c \
	agent/link-codec.h \
	agent/link.c \
	agent/link.h \
	agent/listener.c \
	agent/listener.h \
	agent/lws-wire.c \
	agent/lws-wire.h \
	agent/overview.c \
	agent/overview.h \
	agent/mail.c \
	agent/mail.h \
	agent/naming.c \
	agent/naming.h \
	agent/now.h \
	agent/peers.c \
	agent/peers.h \
	agent/places.c \
	agent/places.h \
	agent/preface.c \
	agent/preface.h \
	agent/race.c \
	agent/race.h \
	agent/request-console.c \
	agent/request-devices.c \
	agent/request-handoffs.c \
	agent/request-plan.c \
	agent/request-vms.c \
	agent/requests.c \
	agent/requests.h \
	agent/tls.c \
	agent/tls.h \
	agent/view.c \
	agent/view.h \
	agent/whereabouts.c \
	agent/whereabouts.h \
	agent/wishes.c \
	agent/wishes.h
agent_libagent_a_CFLAGS = \
	$(AM_CFLAGS) $(SODIUM_CFLAGS) $(GLIB_CFLAGS) $(LWS_CFLAGS) $(JANSSON_CFLAGS) \
	$(OPENSSL_CFLAGS)

sbin_PROGRAMS += kithd
kithd_SOURCES = agent/main.c
kithd_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS) $(GLIB_CFLAGS)
kithd_LDADD = \
	agent/libagent.a discovery/libdiscovery.a policyd/libpolicydapi.a \
	mover/libmoverclient.a base/libbase.a $(GLIB_LIBS) $(AVAHI_LIBS) $(LWS_LIBS) \
	$(JANSSON_LIBS) $(OPENSSL_LIBS) $(SODIUM_LIBS)
