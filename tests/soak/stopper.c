/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LD_PRELOAD library of the crash harness: stops its process exactly before one of its outgoing
 * system calls, so that windows of microseconds are hit on purpose.
 *
 * All processes of a lab share one control file ($KITH_STOPPER), which crash.py fills while they
 * run. A slot waits until a text appears in a log (a write to standard error) of one process, then
 * counts the outgoing calls of another one, and at the nth does what it is told. The layout of
 * struct slot is known to crash.py too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 8
#define PARK_MAX_MS 120000

enum slot_state {
	SLOT_OFF,
	SLOT_WAITS, /* for its text */
	SLOT_COUNTS,
	SLOT_HIT,
};

enum slot_action {
	ACTION_KILL,
	ACTION_STOP, /* SIGSTOP */
	ACTION_PARK, /* the thread waits until the harness did its deed */
	ACTION_NOTE, /* only tell the harness */
	ACTION_FAIL, /* from the nth call on: fails with `error` until the slot is off */
};

enum call {
	CALL_WRITE = 1 << 0,  /* write, writev, pwrite, but to files */
	CALL_SEND = 1 << 1,   /* send, sendto, sendmsg */
	CALL_SYNC = 1 << 2,   /* fsync, fdatasync */
	CALL_RENAME = 1 << 3, /* rename, renameat */
	CALL_UNLINK = 1 << 4, /* unlink, unlinkat */
	CALL_CONNECT = 1 << 5,
	CALL_FILE = 1 << 6, /* write and its kin to a regular file */
};

struct slot {
	uint32_t state, action, nth, count, calls, error, parked, pid;
	uint32_t each; /* 1 = every process counts for itself from its start */
	uint32_t call; /* what was hit */
	char text[96];
	char text_device[16], victim_device[16];
	char victim[16];
};

static struct slot *slots;
static const char *device, *program;
static uint32_t own_count[SLOTS];

static uint32_t get(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void set(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}

static bool change(uint32_t *p, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* "policyd", "kithd", "fence", "warden", "libvirtd"; the mover's processes differ by argument. */
static const char *who_am_i(char *cmdline, size_t len)
{
	static const struct {
		const char *argument, *name;
	} children[] = {{"--source", "source"},	   {"--destination", "destination"},
			{"--recover", "recovery"}, {"--recover-again", "recovery"},
			{"--vms", "listing"},	   {"--offers", "offers"},
			{"--plan", "plan"}};

	for (size_t at = 0; at < len; at += strlen(cmdline + at) + 1)
		for (size_t i = 0; i < sizeof(children) / sizeof(*children); i++)
			if (strcmp(cmdline + at, children[i].argument) == 0)
				return children[i].name;
	if (strcmp(program_invocation_short_name, "kith-mover") == 0)
		return "supervisor";
	return strncmp(program_invocation_short_name, "kith-", 5) == 0
		       ? program_invocation_short_name + 5
		       : program_invocation_short_name;
}

__attribute__((constructor)) static void begin(void)
{
	static char cmdline[4096];
	const char *path = getenv("KITH_STOPPER");
	int fd;
	ssize_t n;

	device = getenv("KITH_STOPPER_DEVICE");
	fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, cmdline, sizeof(cmdline) - 1);
	if (fd >= 0)
		close(fd);
	program = who_am_i(cmdline, n > 0 ? (size_t)n : 0);
	fd = path && device ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	slots = mmap(NULL, sizeof(struct slot) * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (slots == MAP_FAILED)
		slots = NULL;
	close(fd);
}

/* tgkill, since policyd's sandbox has no kill. A stop takes the whole process. */
static void signal_self(int sig)
{
	syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), sig);
}

static void park(struct slot *s)
{
	const struct timespec step = {.tv_nsec = 500000};

	for (int i = 0; i < 2 * PARK_MAX_MS && get(&s->parked); i++)
		nanosleep(&step, NULL);
}

/* Returns the errno with which the call has to fail, or 0. */
static int act(struct slot *s)
{
	s->pid = (uint32_t)getpid();
	if (s->action == ACTION_PARK)
		set(&s->parked, 1);
	set(&s->state, SLOT_HIT);
	switch (s->action) {
	case ACTION_KILL:
		signal_self(SIGKILL);
		break;
	case ACTION_STOP:
		signal_self(SIGSTOP);
		break;
	case ACTION_PARK:
		park(s);
		break;
	case ACTION_FAIL:
		return (int)s->error;
	default:
		break;
	}
	return 0;
}

static bool is_victim(const struct slot *s)
{
	return strcmp(s->victim, program) == 0 && strcmp(s->victim_device, device) == 0;
}

/* Before each outgoing call; what the caller's errno is stays. */
static int before(enum call call)
{
	int saved = errno, error = 0;

	for (size_t i = 0; slots && i < SLOTS; i++) {
		struct slot *s = &slots[i];
		uint32_t state = get(&s->state), n;

		if (state == SLOT_OFF || state == SLOT_WAITS || !(s->calls & (uint32_t)call) ||
		    !is_victim(s))
			continue;
		if (state == SLOT_HIT) {
			if (s->action == ACTION_FAIL)
				error = (int)s->error;
			continue;
		}
		n = s->each ? ++own_count[i] : __atomic_add_fetch(&s->count, 1, __ATOMIC_SEQ_CST);
		if (n == s->nth) {
			s->call = call;
			error = act(s);
		}
	}
	errno = error ? error : saved;
	return error ? -1 : 0;
}

static enum call write_to(int fd)
{
	int saved = errno;
	struct stat st;
	bool file = slots && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

	errno = saved;
	return file ? CALL_FILE : CALL_WRITE;
}

/* After a line was logged: slots that wait for it begin to count; with nth = 0 it is the moment. */
static void logged(const char *line, size_t len)
{
	int saved = errno;

	for (size_t i = 0; slots && i < SLOTS; i++) {
		struct slot *s = &slots[i];

		if (get(&s->state) != SLOT_WAITS || strcmp(s->text_device, device) != 0 ||
		    !memmem(line, len, s->text, strlen(s->text)))
			continue;
		if (!change(&s->state, SLOT_WAITS, SLOT_COUNTS))
			continue;
		if (s->nth == 0)
			act(s);
	}
	errno = saved;
}

#define REAL(name)                     \
	static __typeof__(name) *real; \
                                       \
	if (!real)                     \
	real = (__typeof__(name) *)(uintptr_t)dlsym(RTLD_NEXT, #name)

#define WRAP(call, type, name, params, args)                    \
	type name params                                        \
	{                                                       \
		REAL(name);                                     \
		return before(call) < 0 ? (type)-1 : real args; \
	}

ssize_t write(int fd, const void *buf, size_t n)
{
	ssize_t r;

	REAL(write);
	if (fd != STDERR_FILENO)
		return before(write_to(fd)) < 0 ? -1 : real(fd, buf, n);
	r = real(fd, buf, n);
	logged(buf, n);
	return r;
}

WRAP(write_to(fd), ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(write_to(fd), ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(write_to(fd), ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o))
WRAP(CALL_SEND, ssize_t, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f))
WRAP(CALL_SEND, ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
WRAP(CALL_SYNC, int, fsync, (int fd), (fd))
WRAP(CALL_SYNC, int, fdatasync, (int fd), (fd))
WRAP(CALL_RENAME, int, rename, (const char *a, const char *b), (a, b))
WRAP(CALL_RENAME, int, renameat, (int d, const char *a, int e, const char *b), (d, a, e, b))
WRAP(CALL_UNLINK, int, unlink, (const char *a), (a))
WRAP(CALL_UNLINK, int, unlinkat, (int d, const char *a, int f), (d, a, f))
WRAP(CALL_CONNECT, int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
