/* SPDX-License-Identifier: Apache-2.0 */
/* Strict: what is behind a time, or out of range, is no time. */
#include "ui-tui/when.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

#define AGE_MAX 36500 /* of each unit */

bool when_span(const char *text, unsigned long max, uint64_t *ret)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || !*end || end[1] || n > max)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (*end == units[i].unit) {
			*ret = n * units[i].seconds;
			return true;
		}
	return false;
}

static bool read_form(const char *text, const char *form, struct tm *tm)
{
	const char *end = strptime(text, form, tm);

	return end && !*end;
}

bool when_read(const char *text, uint64_t now, uint64_t *ret)
{
	static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d",
					    "%H:%M:%S", "%H:%M"};
	time_t t = (time_t)now;
	struct tm day;
	uint64_t age;

	if (when_span(text, AGE_MAX, &age)) {
		*ret = now - MIN_OF(now, age);
		return true;
	}
	if (!localtime_r(&t, &day))
		return false;
	day.tm_hour = day.tm_min = day.tm_sec = 0;
	day.tm_isdst = -1;
	if (strcmp(text, "yesterday") == 0)
		day.tm_mday--;
	for (size_t i = 0; strcmp(text, "today") != 0 && strcmp(text, "yesterday") != 0; i++) {
		struct tm tm = day;

		if (i == ARRAY_SIZE(forms))
			return false;
		if (!read_form(text, forms[i], &tm))
			continue;
		day = tm;
		break;
	}
	day.tm_isdst = -1;
	t = mktime(&day);
	if (t < 0)
		return false;
	*ret = (uint64_t)t;
	return true;
}
