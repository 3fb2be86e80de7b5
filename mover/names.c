/* SPDX-License-Identifier: Apache-2.0 */
/* As a person writes them: blanks and empty places do not count. */
#include "mover/names.h"

#include <string.h>

#define NONE "none"

bool names_next(const char **names, char ret[NAME_MAX_LEN + 1])
{
	const char *at = *names + strspn(*names, ", ");
	size_t len = strcspn(at, ",");

	*names = at + len;
	while (len && at[len - 1] == ' ')
		len--;
	if (!len || len > NAME_MAX_LEN)
		return false;
	memcpy(ret, at, len);
	ret[len] = '\0';
	return strcmp(ret, NONE) != 0;
}
