/* SPDX-License-Identifier: Apache-2.0 */
/* First bytes on the peer port: TLS, data, or neither. */
#include <glib.h>
#include <string.h>

#include "agent/preface.h"

static const uint8_t hello[DATA_PREFACE_LEN] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01};
static const uint8_t hid[HID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void put(uint8_t ret[DATA_PREFACE_LEN], uint16_t channel)
{
	struct data_preface v = {.channel = channel};
	struct wbuf w = wbuf_init(ret, DATA_PREFACE_LEN);

	memcpy(v.hid, hid, HID_LEN);
	g_assert_cmpint(data_preface_put(&w, &v), ==, 0);
	g_assert_cmpuint(w.len, ==, DATA_PREFACE_LEN);
}

static enum preface_kind classify(const uint8_t *data, size_t len)
{
	uint8_t got[HID_LEN];
	uint16_t channel;

	return preface_classify(data, len, got, &channel);
}

static void test_kinds(void)
{
	uint8_t data[DATA_PREFACE_LEN], got[HID_LEN];
	uint16_t channel = 0;

	put(data, 33);
	g_assert_cmpint(preface_classify(data, sizeof(data), got, &channel), ==, PREFACE_DATA);
	g_assert_cmpmem(got, HID_LEN, hid, HID_LEN);
	g_assert_cmpint(channel, ==, 33);
	g_assert_cmpint(classify(hello, sizeof(hello)), ==, PREFACE_TLS);
}

static void test_bad(void)
{
	uint8_t data[DATA_PREFACE_LEN];

	for (size_t n = 0; n < DATA_PREFACE_LEN; n++) {
		put(data, 0);
		g_assert_cmpint(classify(data, n), ==, PREFACE_BAD);
		g_assert_cmpint(classify(hello, n), ==, PREFACE_BAD);
		/* One wrong byte of magic or version; then the channel's high byte. */
		data[n] ^= 0x40;
		g_assert_cmpint(classify(data, sizeof(data)), ==,
				n < 12 ? PREFACE_BAD : PREFACE_DATA);
	}
	put(data, DATA_CHANNEL_MAX - 1);
	g_assert_cmpint(classify(data, sizeof(data)), ==, PREFACE_DATA);
	data[10]++;
	g_assert_cmpint(classify(data, sizeof(data)), ==, PREFACE_BAD);
	g_assert_cmpint(classify((const uint8_t *)"GET / HTTP/1.1\r\nHost: nobody\r\n", 28), ==,
			PREFACE_BAD);
	/* SSL 2 and an application record are no handshake. */
	g_assert_cmpint(
		classify((const uint8_t *)"\x80\x2e\x01\x03\x01                         ", 28), ==,
		PREFACE_BAD);
	g_assert_cmpint(classify((const uint8_t *)"\x17\x03\x03                           ", 28),
			==, PREFACE_BAD);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/preface/TLS and data", test_kinds);
	g_test_add_func("/preface/N1 anything else", test_bad);
	return g_test_run();
}
