/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/passwd, read anew at each question. */
#include "base/user.h"

#include <pwd.h>
#include <string.h>

#include "base/cleanup.h"

static bool number(const char *name, uid_t *ret)
{
	char *end;
	unsigned long n;

	if (!*name || name[strspn(name, "0123456789")])
		return false;
	errno = 0;
	n = strtoul(name, &end, 10);
	/* (uid_t)-1 is nobody. */
	if (errno || n >= (uid_t)-1)
		return false;
	*ret = (uid_t)n;
	return true;
}

bool user_find(const char *name, uid_t *ret)
{
	bool found = number(name, ret);
	FILE *f = found ? NULL : fopen("/etc/passwd", "re");
	const struct passwd *pw;

	while (f && !found && (pw = fgetpwent(f))) {
		found = strcmp(pw->pw_name, name) == 0;
		if (found)
			*ret = pw->pw_uid;
	}
	if (f)
		fclose(f);
	return found;
}
