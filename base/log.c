/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one event, one line, whatever is in it. */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

static enum log_level max_level = LOG_LEVEL_INFO;
static const char *program_name = "kith";
static bool with_clock; /* KITH_LOG_CLOCK=1: to put lines of several processes into order */

void log_setup(const char *program)
{
	const char *debug = getenv("KITH_DEBUG"), *ordered = getenv("KITH_LOG_CLOCK");

	program_name = program;
	with_clock = ordered && strcmp(ordered, "1") == 0;
	if (debug && strcmp(debug, "1") == 0)
		max_level = LOG_LEVEL_DEBUG;
}

static size_t escape(const char *in, char *out, size_t size)
{
	size_t n = 0;

	for (; *in && n + 5 < size; in++) {
		unsigned char c = (unsigned char)*in;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	out[n] = '\0';
	return n;
}

/* "[seconds] ", or nothing. One clock for all processes of a machine. */
static const char *stamp(char *buf, size_t size)
{
	struct timespec ts;

	buf[0] = '\0';
	if (with_clock && clock_gettime(CLOCK_MONOTONIC, &ts) == 0)
		snprintf(buf, size, "[%lld.%06ld] ", (long long)ts.tv_sec, ts.tv_nsec / 1000);
	return buf;
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
	char raw[1024], text[2048], line[2240], when[40];
	int saved = errno, n;
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	escape(raw, text, sizeof(text));
	n = snprintf(line, sizeof(line), "<%d>%s%s: %s: %s\n", (int)level,
		     stamp(when, sizeof(when)), program_name, area, text);
	/* One write per line, so that lines of several processes do not mix. */
	if (n > 0 && write(STDERR_FILENO, line, MIN_OF((size_t)n, sizeof(line) - 1)) < 0)
		errno = saved;
	errno = saved;
}
