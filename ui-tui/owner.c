/* SPDX-License-Identifier: Apache-2.0 */
/* Here, unlike in the services, NSS may be asked: `kith` holds no keys. */
#include "ui-tui/owner.h"

#include <pwd.h>
#include <stdio.h>

#include "base/user.h"

enum owner_kind owner_look(const char *name, char *ret, size_t size)
{
	const struct passwd *pw;
	uid_t uid;

	snprintf(ret, size, "%s", name);
	if (user_find(name, &uid))
		return OWNER_LOCAL;
	pw = getpwnam(name);
	if (!pw)
		return OWNER_MISSING;
	snprintf(ret, size, "%u", (unsigned)pw->pw_uid);
	return OWNER_DIRECTORY;
}
