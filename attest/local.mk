# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += attest/libattest.a
attest_libattest_a_SOURCES = \
	attest/evidence.c attest/evidence.h attest/evidence-wire.c \
	attest/exchange.c attest/exchange.h \
	attest/pairing.c attest/pairing.h \
	attest/pairing-wire.c attest/pairing-wire.h \
	attest/pk.c attest/pk.h \
	attest/quote.c attest/quote.h \
	attest/record.c attest/record.h \
	attest/session.c attest/session.h \
	attest/wire.c attest/wire.h
attest_libattest_a_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS) $(TSS2_MU_CFLAGS) $(CRYPTO_CFLAGS)

ATTEST_LIBS = $(SODIUM_LIBS) $(TSS2_MU_LIBS) $(CRYPTO_LIBS)
