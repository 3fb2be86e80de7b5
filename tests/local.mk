# SPDX-License-Identifier: Apache-2.0
# STATIC_TESTS need no privilege and no devices; UNIT_TESTS run under sanitizers too; LAB_TESTS
# make devices in namespaces and need root (./bootstrap check runs all; plain `make check` the
# first two).
STATIC_TESTS = tests/lint/lint tests/model/run

UNIT_TESTS = \
	tests/unit/test-advert \
	tests/unit/test-api \
	tests/unit/test-audit \
	tests/unit/test-base \
	tests/unit/test-chain \
	tests/unit/test-cookie \
	tests/unit/test-cost \
	tests/unit/test-custody \
	tests/unit/test-disk \
	tests/unit/test-domain \
	tests/unit/test-doubt \
	tests/unit/test-evidence \
	tests/unit/test-gateway \
	tests/unit/test-hijack \
	tests/unit/test-journal \
	tests/unit/test-leaf \
	tests/unit/test-link \
	tests/unit/test-link-codec \
	tests/unit/test-lockout \
	tests/unit/test-marker \
	tests/unit/test-memory \
	tests/unit/test-mover-proto \
	tests/unit/test-pairdesk \
	tests/unit/test-pairing \
	tests/unit/test-peers \
	tests/unit/test-pk \
	tests/unit/test-places \
	tests/unit/test-policy \
	tests/unit/test-policyd \
	tests/unit/test-policyd-proto \
	tests/unit/test-preface \
	tests/unit/test-promise \
	tests/unit/test-quote \
	tests/unit/test-record \
	tests/unit/test-room \
	tests/unit/test-roster \
	tests/unit/test-rpc \
	tests/unit/test-seal \
	tests/unit/test-session \
	tests/unit/test-store \
	tests/unit/test-tls \
	tests/unit/test-tpm \
	tests/unit/test-tpm-bus \
	tests/unit/test-transfer \
	tests/unit/test-trust \
	tests/unit/test-worker \
	tests/unit/test-warden \
	tests/unit/test-xdr

LAB_TESTS = \
	tests/lab/test_oracle.py \
	tests/lab/test_lab.py \
	tests/integration/discovery/test_agent.py \
	tests/integration/test_crash.py \
	tests/integration/test_faults.py \
	tests/integration/test_handoff.py \
	tests/integration/test_hostile.py \
	tests/integration/test_locked.py \
	tests/integration/test_pairing.py \
	tests/integration/test_refusals.py \
	tests/integration/test_restart.py \
	tests/integration/test_secrets.py \
	tests/integration/test_sidebyside.py \
	tests/integration/test_warden.py \
	tests/integration/test_wire.py

# Run again with the daemons built with sanitizers.
LAB_SAN_TESTS = tests/integration/test_handoff.py

TESTS += $(STATIC_TESTS) $(UNIT_TESTS)
check_PROGRAMS += $(UNIT_TESTS)
# A library for LD_PRELOAD, not a program; used in place, never installed.
noinst_PROGRAMS += tests/soak/stopper.so
tests_soak_stopper_so_SOURCES = tests/soak/stopper.c
tests_soak_stopper_so_CFLAGS = -std=gnu17 $(WARN_CFLAGS) -fPIC
tests_soak_stopper_so_LDFLAGS = -shared -fPIC
tests_soak_stopper_so_LDADD =

EXTRA_DIST += $(STATIC_TESTS) $(LAB_TESTS) tests/golden/policyd.txt tests/golden/mover.txt tests/lint/requests

UNIT_CFLAGS = $(AM_CFLAGS) -Wno-conversion $(GLIB_CFLAGS) $(SODIUM_CFLAGS) $(LIBXML_CFLAGS)
# Static libraries: a test takes from them only what it uses.
UNIT_LDADD = \
	agent/libagent.a discovery/libdiscovery.a mover/libmover.a mover/libmoverclient.a \
	mover/libwarden.a \
	policyd/libpolicyd.a policyd/libpolicydclient.a attest/libattest.a ui-tui/libui.a \
	policyd/libpolicy.a policyd/libpolicydclient.a base/libbase.a \
	$(POLICYD_LIBS) $(ATTEST_LIBS) $(GLIB_LIBS) $(JANSSON_LIBS) $(LIBXML_LIBS) \
	$(OPENSSL_LIBS) $(LIBVIRT_LIBS) $(SODIUM_LIBS)

tests_unit_test_advert_SOURCES = tests/unit/test-advert.c
tests_unit_test_advert_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_advert_LDADD = $(UNIT_LDADD)

tests_unit_test_api_SOURCES = tests/unit/test-api.c
tests_unit_test_api_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_api_LDADD = $(UNIT_LDADD)

tests_unit_test_audit_SOURCES = tests/unit/test-audit.c
tests_unit_test_audit_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_audit_LDADD = $(UNIT_LDADD)

tests_unit_test_base_SOURCES = tests/unit/test-base.c
tests_unit_test_base_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_base_LDADD = $(UNIT_LDADD)

tests_unit_test_cookie_SOURCES = tests/unit/test-cookie.c
tests_unit_test_cookie_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cookie_LDADD = $(UNIT_LDADD)

tests_unit_test_cost_SOURCES = tests/unit/test-cost.c tests/unit/policyd-fixture.h \
	tests/unit/swtpm-fixture.h
tests_unit_test_cost_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cost_LDADD = $(UNIT_LDADD)

tests_unit_test_chain_SOURCES = tests/unit/test-chain.c
tests_unit_test_chain_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_chain_LDADD = $(UNIT_LDADD)

tests_unit_test_custody_SOURCES = tests/unit/test-custody.c tests/unit/store-fixture.h
tests_unit_test_custody_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_custody_LDADD = $(UNIT_LDADD)

tests_unit_test_disk_SOURCES = tests/unit/test-disk.c
tests_unit_test_disk_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_disk_LDADD = $(UNIT_LDADD)

tests_unit_test_doubt_SOURCES = tests/unit/test-doubt.c tests/unit/policyd-fixture.h \
	tests/unit/swtpm-fixture.h
tests_unit_test_doubt_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_doubt_LDADD = $(UNIT_LDADD)

tests_unit_test_domain_SOURCES = tests/unit/test-domain.c
tests_unit_test_domain_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_domain_LDADD = $(UNIT_LDADD)

tests_unit_test_evidence_SOURCES = tests/unit/test-evidence.c tests/unit/softtpm.h tests/unit/softtpm.c
tests_unit_test_evidence_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_evidence_LDADD = $(UNIT_LDADD)

tests_unit_test_gateway_SOURCES = tests/unit/test-gateway.c
tests_unit_test_gateway_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_gateway_LDADD = $(UNIT_LDADD)

tests_unit_test_journal_SOURCES = tests/unit/test-journal.c
tests_unit_test_journal_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_journal_LDADD = $(UNIT_LDADD)

tests_unit_test_link_SOURCES = tests/unit/test-link.c
tests_unit_test_link_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_link_LDADD = $(UNIT_LDADD)

tests_unit_test_link_codec_SOURCES = tests/unit/test-link-codec.c
tests_unit_test_link_codec_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_link_codec_LDADD = $(UNIT_LDADD)

tests_unit_test_lockout_SOURCES = tests/unit/test-lockout.c tests/unit/policyd-fixture.h \
	tests/unit/swtpm-fixture.h
tests_unit_test_lockout_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lockout_LDADD = $(UNIT_LDADD)

tests_unit_test_marker_SOURCES = tests/unit/test-marker.c
tests_unit_test_marker_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_marker_LDADD = $(UNIT_LDADD)

tests_unit_test_memory_SOURCES = tests/unit/test-memory.c tests/unit/swtpm-fixture.h
tests_unit_test_memory_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_memory_LDADD = $(UNIT_LDADD)

tests_unit_test_mover_proto_SOURCES = tests/unit/test-mover-proto.c tests/unit/golden.h \
	tests/unit/golden.c
tests_unit_test_mover_proto_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_mover_proto_LDADD = $(UNIT_LDADD)

tests_unit_test_leaf_SOURCES = tests/unit/test-leaf.c
tests_unit_test_leaf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_leaf_LDADD = $(UNIT_LDADD)

tests_unit_test_pairdesk_SOURCES = tests/unit/test-pairdesk.c tests/unit/policyd-fixture.h \
	tests/unit/swtpm-fixture.h
tests_unit_test_pairdesk_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_pairdesk_LDADD = $(UNIT_LDADD)

tests_unit_test_pairing_SOURCES = tests/unit/test-pairing.c tests/unit/softtpm.h tests/unit/softtpm.c
tests_unit_test_pairing_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_pairing_LDADD = $(UNIT_LDADD)

tests_unit_test_peers_SOURCES = tests/unit/test-peers.c tests/unit/store-fixture.h
tests_unit_test_peers_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_peers_LDADD = $(UNIT_LDADD)

tests_unit_test_pk_SOURCES = tests/unit/test-pk.c
tests_unit_test_pk_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_pk_LDADD = $(UNIT_LDADD)

tests_unit_test_policy_SOURCES = tests/unit/test-policy.c
tests_unit_test_policy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_policy_LDADD = $(UNIT_LDADD)

tests_unit_test_policyd_SOURCES = tests/unit/test-policyd.c tests/unit/policyd-fixture.h \
	tests/unit/swtpm-fixture.h
tests_unit_test_policyd_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_policyd_LDADD = $(UNIT_LDADD)

tests_unit_test_hijack_SOURCES = tests/unit/test-hijack.c tests/unit/policyd-fixture.h \
	tests/unit/swtpm-fixture.h
tests_unit_test_hijack_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_hijack_LDADD = $(UNIT_LDADD)

tests_unit_test_trust_SOURCES = tests/unit/test-trust.c tests/unit/policyd-fixture.h \
	tests/unit/swtpm-fixture.h
tests_unit_test_trust_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_trust_LDADD = $(UNIT_LDADD)

tests_unit_test_promise_SOURCES = tests/unit/test-promise.c tests/unit/policyd-fixture.h \
	tests/unit/swtpm-fixture.h
tests_unit_test_promise_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_promise_LDADD = $(UNIT_LDADD)

tests_unit_test_policyd_proto_SOURCES = tests/unit/test-policyd-proto.c tests/unit/golden.h \
	tests/unit/golden.c
tests_unit_test_policyd_proto_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_policyd_proto_LDADD = $(UNIT_LDADD)

tests_unit_test_places_SOURCES = tests/unit/test-places.c
tests_unit_test_places_CFLAGS = $(UNIT_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_places_LDADD = agent/libagentclient.a $(UNIT_LDADD)
tests_unit_test_preface_SOURCES = tests/unit/test-preface.c
tests_unit_test_preface_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_preface_LDADD = $(UNIT_LDADD)

tests_unit_test_quote_SOURCES = tests/unit/test-quote.c tests/unit/softtpm.h tests/unit/softtpm.c
tests_unit_test_quote_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_quote_LDADD = $(UNIT_LDADD)

tests_unit_test_record_SOURCES = tests/unit/test-record.c tests/unit/softtpm.h tests/unit/softtpm.c
tests_unit_test_record_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_record_LDADD = $(UNIT_LDADD)

tests_unit_test_room_SOURCES = tests/unit/test-room.c tests/unit/store-fixture.h
tests_unit_test_room_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_room_LDADD = $(UNIT_LDADD)

tests_unit_test_roster_SOURCES = tests/unit/test-roster.c
tests_unit_test_roster_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_roster_LDADD = $(UNIT_LDADD)

tests_unit_test_rpc_SOURCES = tests/unit/test-rpc.c
tests_unit_test_rpc_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_rpc_LDADD = $(UNIT_LDADD)

tests_unit_test_seal_SOURCES = tests/unit/test-seal.c tests/unit/swtpm-fixture.h
tests_unit_test_seal_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_seal_LDADD = $(UNIT_LDADD)

tests_unit_test_session_SOURCES = tests/unit/test-session.c tests/unit/softtpm.h tests/unit/softtpm.c
tests_unit_test_session_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_session_LDADD = $(UNIT_LDADD)

tests_unit_test_store_SOURCES = tests/unit/test-store.c tests/unit/store-fixture.h
tests_unit_test_store_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_LDADD = $(UNIT_LDADD)

tests_unit_test_tls_SOURCES = tests/unit/test-tls.c
tests_unit_test_tls_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tls_LDADD = $(UNIT_LDADD)

tests_unit_test_tpm_SOURCES = tests/unit/test-tpm.c tests/unit/swtpm-fixture.h
tests_unit_test_tpm_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tpm_LDADD = $(UNIT_LDADD)

tests_unit_test_tpm_bus_SOURCES = tests/unit/test-tpm-bus.c tests/unit/swtpm-fixture.h
tests_unit_test_tpm_bus_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tpm_bus_LDADD = $(UNIT_LDADD)

tests_unit_test_transfer_SOURCES = tests/unit/test-transfer.c
tests_unit_test_transfer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_transfer_LDADD = $(UNIT_LDADD)

tests_unit_test_worker_SOURCES = tests/unit/test-worker.c
tests_unit_test_worker_CFLAGS = $(UNIT_CFLAGS)
# kithd has a control.c too, so its library stays out.
tests_unit_test_worker_LDADD = \
	mover/libmover.a mover/libmoverclient.a policyd/libpolicydclient.a policyd/libpolicy.a \
	policyd/libpolicydclient.a base/libbase.a \
	$(GLIB_LIBS) $(LIBXML_LIBS) $(OPENSSL_LIBS) $(LIBVIRT_LIBS) $(SODIUM_LIBS) -lpthread

tests_unit_test_warden_SOURCES = tests/unit/test-warden.c
tests_unit_test_warden_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_warden_LDADD = $(UNIT_LDADD)

tests_unit_test_xdr_SOURCES = tests/unit/test-xdr.c
tests_unit_test_xdr_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_xdr_LDADD = $(UNIT_LDADD)

# Fuzz targets: built by `make fuzzers` after configure --enable-fuzzers CC=clang.
FUZZERS = \
	tests/fuzz/fuzz-advert \
	tests/fuzz/fuzz-api \
	tests/fuzz/fuzz-config \
	tests/fuzz/fuzz-cookie \
	tests/fuzz/fuzz-domain \
	tests/fuzz/fuzz-evidence \
	tests/fuzz/fuzz-ipc \
	tests/fuzz/fuzz-link \
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
FUZZER_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer

tests_fuzz_fuzz_advert_SOURCES = tests/fuzz/fuzz-advert.c
tests_fuzz_fuzz_advert_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_advert_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_advert_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_api_SOURCES = tests/fuzz/fuzz-api.c
tests_fuzz_fuzz_api_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_api_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_api_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz-config.c
tests_fuzz_fuzz_config_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_config_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_config_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_cookie_SOURCES = tests/fuzz/fuzz-cookie.c
tests_fuzz_fuzz_cookie_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_cookie_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_cookie_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_domain_SOURCES = tests/fuzz/fuzz-domain.c
tests_fuzz_fuzz_domain_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_domain_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_domain_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_evidence_SOURCES = tests/fuzz/fuzz-evidence.c
tests_fuzz_fuzz_evidence_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_evidence_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_evidence_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_ipc_SOURCES = tests/fuzz/fuzz-ipc.c
tests_fuzz_fuzz_ipc_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_ipc_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_ipc_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_link_SOURCES = tests/fuzz/fuzz-link.c
tests_fuzz_fuzz_link_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_link_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_link_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_mover_proto_SOURCES = tests/fuzz/fuzz-mover-proto.c
tests_fuzz_fuzz_mover_proto_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_mover_proto_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_mover_proto_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_pairing_SOURCES = tests/fuzz/fuzz-pairing.c tests/unit/softtpm.h tests/unit/softtpm.c
tests_fuzz_fuzz_pairing_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_pairing_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_pairing_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_policy_SOURCES = tests/fuzz/fuzz-policy.c
tests_fuzz_fuzz_policy_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_policy_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_policy_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_policyd_proto_SOURCES = tests/fuzz/fuzz-policyd-proto.c
tests_fuzz_fuzz_policyd_proto_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_policyd_proto_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_policyd_proto_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_record_SOURCES = tests/fuzz/fuzz-record.c
tests_fuzz_fuzz_record_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_record_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_record_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_rpc_SOURCES = tests/fuzz/fuzz-rpc.c
tests_fuzz_fuzz_rpc_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_rpc_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_rpc_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_session_SOURCES = tests/fuzz/fuzz-session.c tests/unit/softtpm.h tests/unit/softtpm.c
tests_fuzz_fuzz_session_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_session_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_session_LDADD = $(UNIT_LDADD)

tests_fuzz_fuzz_vault_SOURCES = tests/fuzz/fuzz-vault.c
tests_fuzz_fuzz_vault_CFLAGS = $(UNIT_CFLAGS)
tests_fuzz_fuzz_vault_LDFLAGS = $(FUZZER_LINK)
tests_fuzz_fuzz_vault_LDADD = $(UNIT_LDADD)

EXTRA_DIST += tests/fuzz/corpus \
	tests/guest/guestimage.py \
	tests/guest/init.c \
	tests/guest/layout.py \
	tests/guest/mkguest \
	tests/integration/README \
	tests/lab/bench \
	tests/lab/bench_virsh.py \
	tests/lab/capture.py \
	tests/lab/config.py \
	tests/lab/demo \
	tests/lab/device.py \
	tests/lab/guest.py \
	tests/lab/holder.py \
	tests/lab/hostile.py \
	tests/lab/kithlab.py \
	tests/lab/lab \
	tests/lab/lab.py \
	tests/lab/netns.py \
	tests/lab/oracle.py \
	tests/lab/serialwatch.py \
	tests/lab/shell.py \
	tests/lab/tap.py \
	tests/lab/tpmmux.py \
	tests/model/README.md \
	tests/model/commit.pml \
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
	tests/unit/gateway-fixtures.h \
	tests/unit/mover-fixtures.h \
	tests/unit/softtpm.h \
	tests/unit/store-fixture.h \
	tests/unit/swtpm-fixture.h
