/* SPDX-License-Identifier: Apache-2.0 */
/* kith-fence: runs before libvirtd starts (R5). A restarted libvirtd resumes a guest whose
 * migration it was cleaning up (W9); one that was released to another device must not run here.
 * So libvirtd is held until the other device said whether it runs the guest. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/config.h"
#include "base/file.h"
#include "base/log.h"
#include "policyd/client.h"
#include "policyd/custody-marker.h"

#define QEMU_PID_FOLDER "/run/libvirt/qemu"
#define SAY_EVERY 30 /* rounds of one second */

/* /proc files have no size. */
static ssize_t read_cmdline(long pid, char *buf, size_t size)
{
	_cleanup_close_ int fd = -EBADF;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

/* The guest's QEMU as libvirt recorded it, and only if it is a QEMU of that name: the number may
 * have been given to another process since. 0 = none. */
static pid_t find_qemu(const char *name)
{
	_cleanup_free_ uint8_t *text = NULL;
	char path[256], guest[NAME_MAX_LEN + 16], cmdline[4096];
	size_t len;
	ssize_t n;
	long pid;

	snprintf(path, sizeof(path), QEMU_PID_FOLDER "/%s.pid", name);
	if (file_read(AT_FDCWD, path, 32, &text, &len) < 0)
		return 0;
	pid = strtol((const char *)text, NULL, 10);
	if (pid <= 1)
		return 0;
	snprintf(guest, sizeof(guest), "guest=%s,", name);
	n = read_cmdline(pid, cmdline, sizeof(cmdline));
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(cmdline + i) + 1)
		if (strncmp(cmdline + i, guest, strlen(guest)) == 0)
			return (pid_t)pid;
	return 0;
}

static void kill_copy(const struct policyd_fence *f)
{
	pid_t pid = find_qemu(f->name);

	if (!pid)
		return;
	log_notice("fence", "\"%s\" runs on \"%s\": its old copy (process %d) ends.", f->name,
		   f->peer_name, (int)pid);
	kill(pid, SIGKILL);
}

/* True if libvirtd has to wait for this guest. */
static bool judge(const struct policyd_fence *f, bool say)
{
	if (!find_qemu(f->name))
		return false;
	if (f->verdict == FENCE_KILL) {
		kill_copy(f);
		return false;
	}
	if (say)
		log_warning("fence",
			    "\"%s\" was released to \"%s\", which has not said yet that it runs "
			    "there. libvirtd waits: switch that device on.",
			    f->name, f->peer_name);
	return true;
}

/* One round: number of guests that libvirtd has to wait for, or negative. */
static int round_once(const char *socket, bool say)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	_cleanup_free_ struct policyd_fence *list = NULL;
	struct kerr err = {0};
	size_t n = 0;
	int waiting = 0, r = ipc_client_new(socket, &c);

	if (r == 0)
		r = policyd_client_fence(c, &list, &n, &err);
	if (r < 0) {
		if (say)
			log_warning("fence", "kith-policyd does not answer: %s",
				    err.code == KCODE_OK ? strerror(-r) : err.text);
		return r;
	}
	for (size_t i = 0; i < n; i++)
		waiting += judge(&list[i], say);
	return waiting;
}

/* Without policyd the markers decide: a guest that is leaving must not be woken up blindly. */
static bool any_leaving(const struct config *config)
{
	char path[160];
	struct dirent *entry;
	bool leaving = false;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/" CUSTODY_MARKER_DIR, config->state);
	dir = opendir(path);
	while (dir && !leaving && (entry = readdir(dir))) {
		struct custody_marker_info info;
		uint8_t uuid[UUID_LEN];

		leaving = custody_uuid_parse(entry->d_name, uuid) == 0 &&
			  custody_marker_read(dirfd(dir), uuid, &info) == 0 &&
			  info.state == CUSTODY_MARKER_LEAVING;
	}
	if (dir)
		closedir(dir);
	return leaving;
}

int main(int argc, char **argv)
{
	const struct timespec second = {1, 0};
	const char *path = CONFIG_PATH_DEFAULT;
	struct config config;
	struct kerr err = {0};
	char socket[256];
	int r;

	log_setup("kith-fence");
	if (argc == 3 && strcmp(argv[1], "-c") == 0)
		path = argv[2];
	r = config_load(path, &config, &err);
	if (r == 0)
		r = config_run_path(&config, POLICYD_SOCKET, socket, sizeof(socket));
	if (r < 0) {
		log_error("fence", "%s", err.text);
		return 1;
	}
	for (unsigned i = 0;; i++) {
		r = round_once(socket, i % SAY_EVERY == 0);
		if (r == 0 || (r < 0 && !any_leaving(&config)))
			return 0;
		nanosleep(&second, NULL);
	}
}
