/* SPDX-License-Identifier: Apache-2.0 */
/* One log layer: lines to stderr with the journal's priority prefix; control bytes escaped. */
#pragma once

#include "base/cleanup.h"

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* Lines above this level are dropped. Default LOG_LEVEL_INFO; `KITH_DEBUG=1` raises it. */
void log_setup(const char *program);

/* `area` is a short word such as "custody". Every byte below 0x20 and 0x7f is escaped, so a
 * hostile name cannot forge a line (N9). Never pass secrets or raw peer bytes. */
void log_line(enum log_level level, const char *area, const char *fmt, ...) _printf_(3, 4);

#define log_error(area, ...) log_line(LOG_LEVEL_ERROR, area, __VA_ARGS__)
#define log_warning(area, ...) log_line(LOG_LEVEL_WARNING, area, __VA_ARGS__)
#define log_notice(area, ...) log_line(LOG_LEVEL_NOTICE, area, __VA_ARGS__)
#define log_info(area, ...) log_line(LOG_LEVEL_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_line(LOG_LEVEL_DEBUG, area, __VA_ARGS__)
