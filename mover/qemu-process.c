/* SPDX-License-Identifier: Apache-2.0 */
/* Job control by pidfd, and what /proc says about it. */
#include "mover/qemu-process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "policyd/api/proto.h"

#define PID_FOLDER "/run/libvirt/qemu"
#define QEMU_HOME "/var/lib/libvirt/qemu" /* belongs to the user that runs QEMU */
#define CMDLINE_MAX 65536
#define STEP_NS 1000000

/* /proc files have no size; the text is cut off where it is longer. */
static ssize_t read_fd(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return n;
}

static int open_proc(pid_t pid, const char *rest)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, rest);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static ssize_t read_proc(pid_t pid, const char *rest, char *buf, size_t size)
{
	_cleanup_close_ int fd = open_proc(pid, rest);

	buf[0] = '\0';
	return fd < 0 ? -errno : read_fd(fd, buf, size);
}

/* The fields of /proc/PID/stat behind the name, which may itself hold blanks and parentheses. */
static const char *stat_fields(const char *text)
{
	const char *end = strrchr(text, ')');

	return end && end[1] == ' ' ? end + 2 : NULL;
}

static uint64_t start_of(pid_t pid)
{
	char text[1024];
	const char *at;

	if (read_proc(pid, "stat", text, sizeof(text)) <= 0)
		return 0;
	at = stat_fields(text);
	/* starttime is field 22, the state (3) is the first one here. */
	for (int i = 3; at && i < 22; i++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at ? strtoull(at, NULL, 10) : 0;
}

/* The command line has "-uuid" and then this UUID. */
static bool runs_uuid(pid_t pid, const uint8_t uuid[UUID_LEN])
{
	_cleanup_free_ char *text = malloc(CMDLINE_MAX);
	char wanted[CUSTODY_UUID_TEXT];
	bool next = false;
	ssize_t n;

	if (!text)
		return false;
	custody_uuid_text(uuid, wanted);
	n = read_proc(pid, "cmdline", text, CMDLINE_MAX);
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(text + i) + 1) {
		if (next && strcmp(text + i, wanted) == 0)
			return true;
		next = strcmp(text + i, "-uuid") == 0;
	}
	return false;
}

/* -- finding -- */

int qemu_reopen(const uint8_t uuid[UUID_LEN], pid_t pid, uint64_t start, struct qemu_process *ret)
{
	struct qemu_process p = QEMU_PROCESS_NONE;
	_cleanup_(qemu_closep) struct qemu_process *on_return = &p;

	p.pid = pid;
	p.pidfd = pidfd_open(pid, 0);
	p.status_fd = p.pidfd < 0 ? -EBADF : open_proc(pid, "status");
	if (p.status_fd < 0)
		return -ENOENT;
	p.start = start_of(pid);
	/* What /proc said is about this process only if it is still there now. */
	if (p.start == 0 || (start && p.start != start) || !runs_uuid(pid, uuid) ||
	    qemu_signal(&p, 0) < 0)
		return -ENOENT;
	*ret = p;
	TAKE_PTR(on_return);
	return 0;
}

static int find_by_file(const uint8_t uuid[UUID_LEN], const char *name, struct qemu_process *ret)
{
	_cleanup_free_ uint8_t *text = NULL;
	char path[256];
	size_t len;
	long pid;

	/* The name comes from a marker and must not leave the folder. */
	if (!name[0] || strchr(name, '/'))
		return -ENOENT;
	snprintf(path, sizeof(path), PID_FOLDER "/%s.pid", name);
	if (file_read(AT_FDCWD, path, 32, &text, &len) < 0)
		return -ENOENT;
	pid = strtol((const char *)text, NULL, 10);
	return pid > 1 && pid <= INT32_MAX ? qemu_reopen(uuid, (pid_t)pid, 0, ret) : -ENOENT;
}

/* "NSpid:" has one number for each level of nested namespaces. */
static bool is_nested(const char *status)
{
	const char *at = strstr(status, "\nNSpid:\t");

	at = at ? at + 8 : "";
	return at[strcspn(at, "\t\n")] == '\t';
}

/* Anybody may start a program with such a command line: only root's and libvirt's count, and what
 * runs in a container belongs to another libvirt. */
static bool is_libvirts(pid_t pid)
{
	char text[4096];
	const char *at;
	struct stat st;
	unsigned long uid;

	if (read_proc(pid, "status", text, sizeof(text)) <= 0 || is_nested(text))
		return false;
	at = strstr(text, "\nUid:\t");
	if (!at)
		return false;
	uid = strtoul(at + 6, NULL, 10);
	return uid == 0 || (stat(QEMU_HOME, &st) == 0 && uid == st.st_uid);
}

static int find_by_scan(const uint8_t uuid[UUID_LEN], struct qemu_process *ret)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int r = -ENOENT;

	while (dir && r < 0 && (entry = readdir(dir))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (*end == '\0' && pid > 1 && runs_uuid((pid_t)pid, uuid) &&
		    is_libvirts((pid_t)pid))
			r = qemu_reopen(uuid, (pid_t)pid, 0, ret);
	}
	if (dir)
		closedir(dir);
	return r;
}

int qemu_find(const uint8_t uuid[UUID_LEN], const char *name, struct qemu_process *ret)
{
	int r = find_by_file(uuid, name, ret);

	return r < 0 ? find_by_scan(uuid, ret) : r;
}

struct qemu_process *qemu_close(struct qemu_process *p)
{
	closep(&p->status_fd);
	closep(&p->pidfd);
	*p = QEMU_PROCESS_NONE;
	return NULL;
}

/* -- state -- */

int qemu_signal(const struct qemu_process *p, int signo)
{
	return pidfd_send_signal(p->pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

static enum qemu_state state_of(char letter)
{
	switch (letter) {
	case 'T': /* stopped */
	case 't': /* in a tracer's trap */
		return QEMU_STOPPED;
	case 'Z':
	case 'X':
	case '\0':
		return QEMU_GONE;
	default:
		return QEMU_RUNNING;
	}
}

/* The signals that wait for the whole process, as a bit set. */
static uint64_t pending(const char *status)
{
	const char *at = strstr(status, "\nShdPnd:\t");

	return at ? strtoull(at + 9, NULL, 16) : 0;
}

enum qemu_state qemu_state(const struct qemu_process *p)
{
	char text[4096];
	const char *at;
	enum qemu_state state;

	if (read_fd(p->status_fd, text, sizeof(text)) <= 0)
		return QEMU_GONE;
	at = strstr(text, "\nState:\t");
	state = state_of(at ? at[8] : '\0');
	/* A SIGCONT takes a pending SIGSTOP away, and a bolted process has one. */
	if (state == QEMU_STOPPED && p->bolted && !(pending(text) & (1ull << (SIGSTOP - 1))))
		return QEMU_WOKEN;
	return state;
}

static enum qemu_state thread_state(pid_t pid, const char *tid)
{
	char rest[64], text[1024];
	const char *at;

	snprintf(rest, sizeof(rest), "task/%.16s/stat", tid);
	if (read_proc(pid, rest, text, sizeof(text)) <= 0)
		return QEMU_GONE;
	at = stat_fields(text);
	return state_of(at ? *at : '\0');
}

/* Calls `each` for the threads until it says no; false if one did, or there is none. */
static bool for_threads(pid_t pid, bool (*each)(pid_t pid, const char *tid))
{
	char path[64];
	struct dirent *entry;
	bool good = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		good = each(pid, entry->d_name);
		if (!good)
			break;
	}
	if (dir)
		closedir(dir);
	return good;
}

static bool stands_still(pid_t pid, const char *tid)
{
	return thread_state(pid, tid) != QEMU_RUNNING;
}

enum qemu_state qemu_state_all(const struct qemu_process *p)
{
	enum qemu_state state = qemu_state(p);

	if (state == QEMU_STOPPED && !for_threads(p->pid, stands_still))
		return QEMU_RUNNING;
	return state;
}

/* -- bolt -- */

static bool seize(pid_t pid _unused_, const char *tid)
{
	return ptrace(PTRACE_SEIZE, (pid_t)strtol(tid, NULL, 10), NULL, NULL) == 0;
}

static bool unseize(pid_t pid _unused_, const char *tid)
{
	ptrace(PTRACE_DETACH, (pid_t)strtol(tid, NULL, 10), NULL, NULL);
	return true;
}

int qemu_bolt(struct qemu_process *p)
{
	if (!for_threads(p->pid, seize)) {
		int r = errno ? -errno : -ESRCH;

		for_threads(p->pid, unseize);
		return r;
	}
	p->bolted = true;
	return qemu_signal(p, SIGSTOP);
}

int qemu_let_go(struct qemu_process *p)
{
	if (p->bolted)
		for_threads(p->pid, unseize);
	p->bolted = false;
	return qemu_signal(p, SIGCONT);
}

void qemu_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
		;
}

int qemu_stop_wait(const struct qemu_process *p, int timeout_ms)
{
	const struct timespec step = {0, STEP_NS};
	uint64_t until = clock_ms() + (uint64_t)timeout_ms;

	do {
		int r = qemu_signal(p, SIGSTOP);

		if (r < 0)
			return r;
		switch (qemu_state_all(p)) {
		case QEMU_GONE:
			return -ESRCH;
		case QEMU_STOPPED:
			return 0;
		case QEMU_RUNNING:
		case QEMU_WOKEN:
			break;
		}
		nanosleep(&step, NULL);
	} while (clock_ms() < until);
	return -ETIMEDOUT;
}
