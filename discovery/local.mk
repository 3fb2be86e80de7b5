# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += discovery/libdiscovery.a
discovery_libdiscovery_a_SOURCES = \
	discovery/advert.c discovery/advert.h \
	discovery/discovery.c discovery/discovery.h \
	discovery/mdns.c \
	discovery/roster.c discovery/roster.h \
	discovery/source.h
discovery_libdiscovery_a_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS) $(AVAHI_CFLAGS)
