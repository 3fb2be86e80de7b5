/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of tests/golden/. */
#include "tests/unit/golden.h"

#include <glib.h>
#include <string.h>

#include "base/buf.h"

size_t golden_parse(const char *text, uint8_t *ret, size_t size)
{
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	size_t n = 0;

	for (size_t i = 0; words[i]; i++) {
		char *x = strchr(words[i], 'x');
		size_t times = x ? (size_t)g_ascii_strtoull(words[i], NULL, 10) : 1;
		const char *hex = x ? x + 1 : words[i];

		for (size_t k = 0; k < times; k++) {
			g_assert_cmpuint(n + strlen(hex) / 2, <=, size);
			g_assert_cmpint(hex_decode(hex, ret + n, strlen(hex) / 2), ==, 0);
			n += strlen(hex) / 2;
		}
	}
	return n;
}

size_t golden_read(const char *file, const char *name, uint8_t *ret, size_t size)
{
	const char *top = g_getenv("top_srcdir");
	g_autofree char *path = g_build_filename(top ? top : ".", "tests", "golden", file, NULL);
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	size_t len = strlen(name);

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	lines = g_strsplit(text, "\n", -1);
	for (size_t i = 0; lines[i]; i++)
		if (strncmp(lines[i], name, len) == 0 && strncmp(lines[i] + len, ": ", 2) == 0)
			return golden_parse(lines[i] + len + 2, ret, size);
	g_test_message("no entry %s in %s", name, path);
	g_assert_not_reached();
}

void golden_same(const char *file, const char *name, const void *data, size_t len)
{
	uint8_t want[4096];
	size_t n = golden_read(file, name, want, sizeof(want));

	g_assert_cmpmem(data, len, want, n);
}
