# SPDX-License-Identifier: Apache-2.0
# STATIC_TESTS need no privilege and no devices; UNIT_TESTS run under sanitizers too; LAB_TESTS
# make devices in namespaces and need root (./bootstrap check runs all; plain `make check` the
# first two).
STATIC_TESTS = \
	tests/lint/completion tests/lint/lint tests/lint/polkit tests/lint/tidy tests/lint/units tests/model/run
# What tidy reads.
check_DATA = compile_commands.json

UNIT_TESTS = \
	tests/unit/test-advert \
	tests/unit/test-api \
	tests/unit/test-audit \
	tests/unit/test-base \
	tests/unit/test-chain \
	tests/unit/test-cmdline \
	tests/unit/test-config \
	tests/unit/test-console \
	tests/unit/test-cookie \
	tests/unit/test-cost \
	tests/unit/test-cpu \
	tests/unit/test-custody \
	tests/unit/test-custody-rules \
	tests/unit/test-custody-wire \
	tests/unit/test-discs \
	tests/unit/test-disk \
	tests/unit/test-doctor \
	tests/unit/test-domain \
	tests/unit/test-domain-host \
	tests/unit/test-domain-limits \
	tests/unit/test-doubt \
	tests/unit/test-estimate \
	tests/unit/test-evidence \
	tests/unit/test-exchange \
	tests/unit/test-fetch \
	tests/unit/test-firmware \
	tests/unit/test-fit \
	tests/unit/test-gateway \
	tests/unit/test-hijack \
	tests/unit/test-leaf \
	tests/unit/test-link \
	tests/unit/test-link-codec \
	tests/unit/test-link-console \
	tests/unit/test-lockout \
	tests/unit/test-luggage \
	tests/unit/test-marker \
	tests/unit/test-memory \
	tests/unit/test-model \
	tests/unit/test-mover-client \
	tests/unit/test-mover-proto \
	tests/unit/test-naming \
	tests/unit/test-network \
	tests/unit/test-off \
	tests/unit/test-offer \
	tests/unit/test-offers \
	tests/unit/test-pairdesk \
	tests/unit/test-pairing \
	tests/unit/test-peers \
	tests/unit/test-pk \
	tests/unit/test-plan \
	tests/unit/test-places \
	tests/unit/test-policy \
	tests/unit/test-policy-random \
	tests/unit/test-policyd \
	tests/unit/test-policyd-proto \
	tests/unit/test-pool \
	tests/unit/test-preface \
	tests/unit/test-promise \
	tests/unit/test-quote \
	tests/unit/test-record \
	tests/unit/test-room \
	tests/unit/test-roam \
	tests/unit/test-roster \
	tests/unit/test-rpc \
	tests/unit/test-screen \
	tests/unit/test-screen-odds \
	tests/unit/test-seal \
	tests/unit/test-session \
	tests/unit/test-stale \
	tests/unit/test-netfs \
	tests/unit/test-storage \
	tests/unit/test-store \
	tests/unit/test-tls \
	tests/unit/test-tpm \
	tests/unit/test-tpm-bus \
	tests/unit/test-transfer \
	tests/unit/test-trust \
	tests/unit/test-worker \
	tests/unit/test-views \
	tests/unit/test-warden \
	tests/unit/test-xdr

# These measure times, or have many labs themselves, so nothing runs beside them.
LAB_ALONE_TESTS = \
	tests/lab/test_lab.py \
	tests/integration/test_crash.py \
	tests/integration/test_warden.py

# Each has a lab of its own, so several run at a time.
LAB_TESTS = \
	tests/lab/test_oracle.py \
	tests/integration/discovery/test_agent.py \
	tests/integration/test_cli.py \
	tests/integration/test_config.py \
	tests/integration/test_console.py \
	tests/integration/test_faults.py \
	tests/integration/test_fetch.py \
	tests/integration/test_handoff.py \
	tests/integration/test_hostile.py \
	tests/integration/test_locked.py \
	tests/integration/test_off.py \
	tests/integration/test_ordinary.py \
	tests/integration/test_pairing.py \
	tests/integration/test_plan.py \
	tests/integration/test_netfs.py \
	tests/integration/test_pools.py \
	tests/integration/test_refusals.py \
	tests/integration/test_restart.py \
	tests/integration/test_screen.py \
	tests/integration/test_terminal.py \
	tests/integration/test_secrets.py \
	tests/integration/test_sidebyside.py \
	tests/integration/test_wire.py

# Not in check: they take what apt brings (./bootstrap domains).
LAB_LONG_TESTS = tests/integration/test_fixtures.py

# Run again with all programs built with sanitizers: the daemons, and the full screen.
LAB_SAN_TESTS = tests/integration/test_handoff.py tests/integration/test_screen.py

TESTS += $(STATIC_TESTS) $(UNIT_TESTS)
check_PROGRAMS += $(UNIT_TESTS) tests/domains/domain-check
# A library for LD_PRELOAD, not a program; used in place, never installed.
noinst_PROGRAMS += tests/soak/stopper.so
tests_soak_stopper_so_SOURCES = tests/soak/stopper.c
tests_soak_stopper_so_CFLAGS = -std=gnu17 $(WARN_CFLAGS) -fPIC
tests_soak_stopper_so_LDFLAGS = -shared -fPIC
tests_soak_stopper_so_LDADD =

EXTRA_DIST += $(STATIC_TESTS) $(LAB_ALONE_TESTS) $(LAB_TESTS) $(LAB_LONG_TESTS) \
	tests/golden tests/lint/requests

# A test is its .c file, by automake's defaults, with the libraries below: static, so a test takes
# from them only what it uses.
UNIT_CFLAGS = -Wno-conversion $(GLIB_CFLAGS) $(SODIUM_CFLAGS) $(LIBXML_CFLAGS) $(JANSSON_CFLAGS)
UNIT_LIBS = \
	$(POLICYD_LIBS) $(ATTEST_LIBS) $(GLIB_LIBS) $(JANSSON_LIBS) $(LIBXML_LIBS) \
	$(OPENSSL_LIBS) $(LIBVIRT_LIBS) $(SODIUM_LIBS) $(AVAHI_LIBS) $(LWS_LIBS) $(NCURSES_LIBS) \
	$(QRENCODE_LIBS)
LDADD = \
	tests/unit/libfixtures.a ui-tui/libui.a \
	agent/libagent.a agent/libagentclient.a discovery/libdiscovery.a mover/libmover.a \
	mover/libmoverclient.a mover/libwarden.a \
	policyd/libpolicyd.a policyd/libpolicydapi.a attest/libattest.a \
	base/libbase.a $(UNIT_LIBS)
# For these objects alone: what a test links is built without the flags of tests.
TEST_OBJECTS = $(UNIT_TESTS:=.$(OBJEXT)) $(FUZZERS:=.$(OBJEXT)) \
	tests/domains/domain-check.$(OBJEXT)
$(TEST_OBJECTS): AM_CFLAGS += $(UNIT_CFLAGS)

check_LIBRARIES = tests/unit/libfixtures.a
tests_unit_libfixtures_a_SOURCES = \
	tests/unit/desk.c tests/unit/desk.h \
	tests/unit/ends.c tests/unit/ends.h \
	tests/unit/golden.c tests/unit/golden.h \
	tests/unit/softtpm.c tests/unit/softtpm.h
tests_unit_libfixtures_a_CFLAGS = $(AM_CFLAGS) $(UNIT_CFLAGS)

# Fuzz targets: built by `make fuzzers` after configure --enable-fuzzers CC=clang.
FUZZERS = \
	tests/fuzz/fuzz-advert \
	tests/fuzz/fuzz-api \
	tests/fuzz/fuzz-config \
	tests/fuzz/fuzz-cookie \
	tests/fuzz/fuzz-cpu \
	tests/fuzz/fuzz-domain \
	tests/fuzz/fuzz-evidence \
	tests/fuzz/fuzz-firmware \
	tests/fuzz/fuzz-ipc \
	tests/fuzz/fuzz-link \
	tests/fuzz/fuzz-luggage \
	tests/fuzz/fuzz-mover-proto \
	tests/fuzz/fuzz-pairing \
	tests/fuzz/fuzz-policy \
	tests/fuzz/fuzz-policyd-proto \
	tests/fuzz/fuzz-record \
	tests/fuzz/fuzz-rpc \
	tests/fuzz/fuzz-session \
	tests/fuzz/fuzz-vault
EXTRA_PROGRAMS = $(FUZZERS)
CLEANFILES += $(FUZZERS)
.PHONY: fuzzers
fuzzers: $(FUZZERS)
$(FUZZERS): AM_LDFLAGS += -fsanitize=fuzzer

EXTRA_DIST += tests/check \
	tests/domains/fixtures.py \
	tests/domains/table \
	tests/data \
	tests/fuzz/corpus \
	tests/guest/guestimage.py \
	tests/guest/init.c \
	tests/guest/layout.py \
	tests/guest/mkguest \
	tests/guest/tpm.c \
	tests/guest/tpm.h \
	tests/integration/README \
	tests/lab/bench \
	tests/lab/bench_virsh.py \
	tests/lab/capture.py \
	tests/lab/config.py \
	tests/lab/contract.py \
	tests/lab/demo \
	tests/lab/device.py \
	tests/lab/fakekithd.py \
	tests/lab/guest.py \
	tests/lab/holder.py \
	tests/lab/hostile.py \
	tests/lab/gluster.py \
	tests/lab/iscsi.py \
	tests/lab/kithlab.py \
	tests/lab/lab \
	tests/lab/lab.py \
	tests/lab/netns.py \
	tests/lab/oracle.py \
	tests/lab/picture.py \
	tests/lab/serialwatch.py \
	tests/lab/shell.py \
	tests/lab/tap.py \
	tests/lab/terminal.py \
	tests/lab/tpmmux.py \
	tests/model/README.md \
	tests/model/commit.pml \
	tests/realvm/README \
	tests/realvm/bed.py \
	tests/realvm/mkimage \
	tests/realvm/person.py \
	tests/realvm/realvm \
	tests/realvm/story.py \
	tests/realvm/vms.py \
	tests/soak/README.md \
	tests/soak/RESULTS.md \
	tests/soak/arena.py \
	tests/soak/attacks.py \
	tests/soak/crash.py \
	tests/soak/hostile.py \
	tests/soak/judge.py \
	tests/soak/plan.py \
	tests/soak/world.py \
	tests/model/replay.h \
	tests/model/trace \
	tests/model/traces \
	tests/unit/domain-output.h \
	tests/unit/domain-map.h \
	tests/unit/gateway-fixtures.h \
	tests/unit/link-fixture.h \
	tests/unit/mover-fixtures.h \
	tests/unit/policyd-fixture.h \
	tests/unit/store-fixture.h \
	tests/unit/swtpm-fixture.h
