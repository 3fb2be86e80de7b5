/* SPDX-License-Identifier: Apache-2.0 */
/* The writer of custody markers; mover/marker.c reads them. */
#include "policyd/custody-marker.h"

#include <fcntl.h>

#include "base/file.h"

enum custody_marker custody_marker_state(const struct custody_view *view)
{
	if (custody_is_open(view)) {
		bool bound = view->record == CUSTODY_RELEASED || view->record == CUSTODY_PREPARED;

		if (view->source)
			return bound ? CUSTODY_MARKER_RELEASED : CUSTODY_MARKER_LEAVING;
		return bound ? CUSTODY_MARKER_PREPARED : CUSTODY_MARKER_ARRIVING;
	}
	if (view->doubt == CUSTODY_ASKING)
		return CUSTODY_MARKER_DOUBT;
	if (view->handoff && view->source && view->record == CUSTODY_ABORTED)
		return CUSTODY_MARKER_KEPT;
	return view->here ? CUSTODY_MARKER_HERE : CUSTODY_MARKER_ELSEWHERE;
}

static void sentence(const struct custody_view *v, enum custody_marker state, char *ret,
		     size_t size)
{
	switch (state) {
	case CUSTODY_MARKER_HERE:
		snprintf(ret, size, "The VM \"%s\" belongs to this device.", v->name);
		return;
	case CUSTODY_MARKER_ELSEWHERE:
		snprintf(ret, size, "The VM \"%s\" is on \"%s\" and must not be started here.",
			 v->name, v->holder_name[0] ? v->holder_name : "another device");
		return;
	case CUSTODY_MARKER_KEPT:
		snprintf(
			ret, size,
			"The VM \"%s\" belongs to this device; a hand-off of it is being given up.",
			v->name);
		return;
	case CUSTODY_MARKER_DOUBT:
		snprintf(ret, size,
			 "Nobody said yet whether the VM \"%s\" is here; it must not be started "
			 "here.",
			 v->name);
		return;
	case CUSTODY_MARKER_LEAVING:
	case CUSTODY_MARKER_RELEASED:
		snprintf(ret, size,
			 "The VM \"%s\" is being handed over to \"%s\" and must not be "
			 "started here.",
			 v->name, v->peer_name);
		return;
	case CUSTODY_MARKER_ARRIVING:
	case CUSTODY_MARKER_PREPARED:
		snprintf(ret, size,
			 "The VM \"%s\" is just arriving from \"%s\" and must not be "
			 "started here.",
			 v->name, v->peer_name);
		return;
	case _CUSTODY_MARKER_MAX:
		break;
	}
	ret[0] = '\0';
}

int custody_marker_write(int dirfd, const struct custody_view *view)
{
	enum custody_marker state = custody_marker_state(view);
	char file[CUSTODY_UUID_TEXT], head[384], text[1024];
	const char *holder = view->holder_name;
	int n;

	custody_uuid_text(view->uuid, file);
	if (!view->known)
		return unlinkat(dirfd, file, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (custody_is_open(view))
		holder = view->peer_name;
	sentence(view, state, head, sizeof(head));
	n = snprintf(text, sizeof(text),
		     "%s Written by kith-policyd; changing it changes nothing but what a start "
		     "without kith-policyd is told.\nstate %s\nepoch %llu\nname %s\nholder %s\n",
		     head, custody_marker_to_string(state), (unsigned long long)view->epoch,
		     view->name, holder[0] ? holder : "-");
	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENOBUFS;
	return file_write_atomic(dirfd, file, text, (size_t)n, 0644);
}
