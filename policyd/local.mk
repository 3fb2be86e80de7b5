# SPDX-License-Identifier: Apache-2.0
# What other programs link of it: the requests, their wire forms and stubs, the policy that the command
# line compiles from text.
noinst_LIBRARIES += policyd/libpolicydapi.a
policyd_libpolicydapi_a_SOURCES = \
	policyd/api/client.c policyd/api/client.h \
	policyd/api/policy.c policyd/api/policy.h policyd/api/policy-condition.c policyd/api/policy-wire.c \
	policyd/api/proto.c policyd/api/proto.h policyd/api/requests.h
policyd_libpolicydapi_a_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)

noinst_LIBRARIES += policyd/libpolicyd.a
policyd_libpolicyd_a_SOURCES = \
	policyd/console.c policyd/console.h \
	policyd/core.c policyd/core.h \
	policyd/core-audit.c policyd/core-audit.h \
	policyd/custody.c policyd/custody.h \
	policyd/custody-chain.c policyd/custody-chain.h \
	policyd/custody-doubt.c policyd/custody-doubt.h \
	policyd/custody-marker.c policyd/custody-marker.h \
	policyd/custody-wire.c policyd/custody-wire.h \
	policyd/dispatch.c policyd/dispatch.h \
	policyd/handoff.c policyd/handoff.h policyd/handoff-internal.h \
	policyd/handoff-chain.c \
	policyd/handoff-custody.c \
	policyd/handoff-doubt.c \
	policyd/handoff-fetch.c \
	policyd/handoff-limits.c \
	policyd/handoff-mail.c \
	policyd/handoff-offer.c \
	policyd/handoff-request.c \
	policyd/handoff-table.c \
	policyd/hash-chain.c policyd/hash-chain.h \
	policyd/identity.c policyd/identity.h \
	policyd/measure.c policyd/measure.h \
	policyd/offer.c policyd/offer.h \
	policyd/op-cloud.c \
	policyd/op-console.c \
	policyd/op-handoff.c \
	policyd/op-pair.c \
	policyd/op-talk.c \
	policyd/op-vm.c \
	policyd/policy-sign.c \
	policyd/policy-sign.h \
	policyd/pairdesk.c policyd/pairdesk.h \
	policyd/policyd.c policyd/policyd.h \
	policyd/replays.c policyd/replays.h \
	policyd/sandbox.c policyd/sandbox.h \
	policyd/recovery-key.c policyd/recovery-key.h \
	policyd/seal.c policyd/seal.h policyd/seal-recovery.c policyd/seal-recovery.h \
	policyd/server.c policyd/server.h \
	policyd/store.c policyd/store.h policyd/store-sql.c policyd/store-sql.h \
	policyd/store-custody.c policyd/store-doubt.c policyd/store-log.c policyd/store-peers.c \
	policyd/store-policy.c policyd/store-request.c policyd/store-row.c policyd/store-schema.c \
	policyd/tpm.c policyd/tpm.h policyd/tpm-internal.h \
	policyd/tpm-counter.c policyd/tpm-key.c policyd/tpm-seal.c \
	policyd/trust.c policyd/trust.h \
	policyd/vault-keys.c policyd/vault-keys.h
policyd_libpolicyd_a_CFLAGS = \
	$(AM_CFLAGS) $(SODIUM_CFLAGS) $(TSS2_CFLAGS) $(SQLITE_CFLAGS) $(SECCOMP_CFLAGS)

POLICYD_LIBS = $(TSS2_LIBS) $(SQLITE_LIBS) $(SECCOMP_LIBS)

sbin_PROGRAMS += kith-policyd
kith_policyd_SOURCES = policyd/main.c
kith_policyd_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
kith_policyd_LDADD = \
	policyd/libpolicyd.a policyd/libpolicydapi.a attest/libattest.a \
	base/libbase.a $(POLICYD_LIBS) $(ATTEST_LIBS)
