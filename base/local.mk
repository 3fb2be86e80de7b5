# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += base/libbase.a
base_libbase_a_SOURCES = \
	base/advice.c base/advice.h \
	base/box.c base/box.h \
	base/buf.c base/buf.h \
	base/cleanup.h \
	base/clock.c base/clock.h \
	base/code.c base/code.h \
	base/config.c base/config.h \
	base/file.c base/file.h \
	base/ids.c base/ids.h \
	base/ipc.c base/ipc.h \
	base/ipc-client.c base/ipc-client.h \
	base/kerr.c base/kerr.h \
	base/log.c base/log.h \
	base/names.h \
	base/notify.c base/notify.h \
	base/pace.c base/pace.h \
	base/secret.c base/secret.h \
	base/text.c base/text.h \
	base/user.c base/user.h
base_libbase_a_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
