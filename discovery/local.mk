# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += discovery/libdiscovery.a
discovery_libdiscovery_a_SOURCES = \
	discovery/advert.c discovery/advert.h \
	discovery/mdns.c discovery/mdns.h \
	discovery/roster.c discovery/roster.h
discovery_libdiscovery_a_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS) $(AVAHI_CFLAGS)
