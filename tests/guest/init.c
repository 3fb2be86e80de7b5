/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole user space of the test guest: ticks on serial, tick records on disk, known canaries
 * and self-checked random pages in RAM, so that an outside observer can prove what a hand-off did.
 *
 * Serial lines (the contract with tests/lab/oracle.py):
 *	BOOT <epoch>			once, before the first tick
 *	TICK <epoch> <tick> <ms>	every tick_ms; ms is the guest's own monotonic clock
 *	READY <canary_mib> <fill_mib>	RAM is filled
 *	RAMPASS <n>			all RAM was read again n times and is as written
 *	TPMKEY <hash>			which TPM it is
 *	TPMPASS <n>			a secret sealed at boot was opened by the TPM n times
 *	BAD <what> <detail>		the guest itself saw damage
 *
 * On disk (/dev/vda), the state area at STATE_OFF holds the configuration sector (written by the
 * host), the epoch sector and a ring of tick records. The same numbers are in layout.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/input.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tpm.h"

#define MIB (1024UL * 1024UL)
#define PAGE 4096UL
#define SECTOR 512UL
#define STATE_OFF (65 * MIB)
#define EPOCH_OFF (STATE_OFF + 4096)
#define RING_OFF (STATE_OFF + 8192)
#define RING_LEN 4096U
#define CANARY_LEN 32UL
#define RAM_RESERVE_MIB 32UL
#define RAM_STEP_MS 50U
#define BUTTONS 8

struct config {
	uint8_t canary[CANARY_LEN];
	uint64_t seed;
	unsigned int tick_ms;
	unsigned int disk_every;
	unsigned int ram_mib;
	unsigned int dirty_kib_s;
	unsigned int check_pages;
	unsigned int power_button;
};

struct tick {
	uint64_t epoch;
	uint64_t number;
};

static int serial_fd = -1;
static volatile int *pressed; /* the power button, shared by all processes */
static int second_fd = -1; /* a second serial port, if there is one: nobody may be there to read */

/* One line, one write(2): the tty keeps a write whole, so three processes can share the port. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[128];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(serial_fd, line, (size_t)n) != n)
		return; /* nobody to tell: the serial port is all there is */
	if (second_fd >= 0 && write(second_fd, line, (size_t)n) != n)
		return;
}

__attribute__((noreturn)) static void die(const char *what)
{
	say("BAD %s %s", what, strerror(errno));
	sleep(1);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void sleep_ms(unsigned int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

static void open_serial(void)
{
	struct termios raw;

	/* As a terminal is: the kernel sends back what is typed there. */
	second_fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (second_fd >= 0 && tcgetattr(second_fd, &raw) < 0) {
		close(second_fd);
		second_fd = -1;
	}
	serial_fd = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (serial_fd < 0)
		return;
	if (tcgetattr(serial_fd, &raw) == 0) {
		cfmakeraw(&raw);
		cfsetospeed(&raw, B115200);
		tcsetattr(serial_fd, TCSANOW, &raw);
	}
}

/* /modules/order names the files in the order of their dependencies: there is no depmod here. */
static void load_modules(void)
{
	FILE *list = fopen("/modules/order", "re");
	char name[128], path[160];
	int fd;

	if (!list)
		die("modules");
	while (fscanf(list, "%127s", name) == 1) {
		snprintf(path, sizeof(path), "/modules/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die(name);
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
			die(name);
		close(fd);
	}
	fclose(list);
}

static int open_disk(void)
{
	for (int i = 0; i < 500; i++) {
		int fd = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);

		if (fd >= 0)
			return fd;
		sleep_ms(10);
	}
	die("disk");
}

static void *aligned_buffer(size_t size)
{
	void *p = NULL;

	if (posix_memalign(&p, PAGE, size) != 0)
		die("memory");
	memset(p, 0, size);
	return p;
}

static void parse_canary(const char *hex, uint8_t canary[CANARY_LEN])
{
	for (size_t i = 0; i < CANARY_LEN; i++) {
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			die("config canary");
		canary[i] = (uint8_t)byte;
	}
}

static unsigned int number_of(const char *text, const char *key, unsigned int fallback)
{
	const char *at = strstr(text, key);

	return at ? (unsigned int)strtoul(at + strlen(key), NULL, 10) : fallback;
}

static void read_config(int disk, struct config *ret_config)
{
	char *text = aligned_buffer(PAGE);
	const char *canary, *seed;

	if (pread(disk, text, PAGE, STATE_OFF) != (ssize_t)PAGE)
		die("config read");
	text[PAGE - 1] = '\0';
	canary = strstr(text, "canary=");
	seed = strstr(text, "seed=");
	if (!canary || !seed)
		die("config missing");
	parse_canary(canary + strlen("canary="), ret_config->canary);
	ret_config->seed = strtoull(seed + strlen("seed="), NULL, 10);
	ret_config->tick_ms = number_of(text, "tick_ms=", 20);
	ret_config->disk_every = number_of(text, "disk_every=", 5);
	ret_config->ram_mib = number_of(text, "ram_mib=", 0);
	ret_config->dirty_kib_s = number_of(text, "dirty_kib_s=", 1024);
	ret_config->check_pages = number_of(text, "check_pages=", 64);
	ret_config->power_button = number_of(text, "power_button=", 0);
	free(text);
}

/* A boot is a new epoch, kept on disk: a restarted guest cannot pass for one that moved. */
static uint64_t next_epoch(int disk)
{
	char *sector = aligned_buffer(SECTOR);
	uint64_t epoch = 0;

	if (pread(disk, sector, SECTOR, EPOCH_OFF) != (ssize_t)SECTOR)
		die("epoch read");
	if (sscanf(sector, "EPOCH %" SCNu64, &epoch) != 1)
		epoch = 0;
	epoch++;
	memset(sector, 0, SECTOR);
	snprintf(sector, SECTOR, "EPOCH %" PRIu64 "\n", epoch);
	if (pwrite(disk, sector, SECTOR, EPOCH_OFF) != (ssize_t)SECTOR || fdatasync(disk) < 0)
		die("epoch write");
	free(sector);
	return epoch;
}

static uint64_t last_sequence(int disk)
{
	size_t size = RING_LEN * SECTOR;
	char *ring = aligned_buffer(size);
	uint64_t last = 0;

	if (pread(disk, ring, size, RING_OFF) != (ssize_t)size)
		die("ring read");
	for (size_t i = 0; i < RING_LEN; i++) {
		uint64_t sequence;

		ring[(i + 1) * SECTOR - 1] = '\0';
		if (sscanf(ring + i * SECTOR, "TICK %*u %*u %" SCNu64, &sequence) == 1 &&
		    sequence > last)
			last = sequence;
	}
	free(ring);
	return last;
}

/*
 * Writes every tick it is told of, in order, each made durable before the next. It is a process of
 * its own because a slow disk on the host must not look like a stopped guest on the serial port.
 */
__attribute__((noreturn)) static void write_ticks(int disk, int ticks)
{
	uint64_t sequence = last_sequence(disk);
	char *sector = aligned_buffer(SECTOR);
	struct tick tick;

	while (read(ticks, &tick, sizeof(tick)) == (ssize_t)sizeof(tick)) {
		if (tick.number == 0)
			_exit(0); /* the power button */
		sequence++;
		memset(sector, 0, SECTOR);
		snprintf(sector, SECTOR, "TICK %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", tick.epoch,
			 tick.number, sequence);
		if (pwrite(disk, sector, SECTOR,
			   (off_t)(RING_OFF + (sequence % RING_LEN) * SECTOR)) != (ssize_t)SECTOR ||
		    fdatasync(disk) < 0)
			die("tick write");
	}
	die("tick pipe");
}

static unsigned long available_mib(void)
{
	FILE *info = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char line[128];

	if (!info)
		die("meminfo");
	while (fgets(line, sizeof(line), info))
		if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
			break;
	fclose(info);
	return kib / 1024;
}

/* Page contents are a function of (seed, index), so that they can be checked without a copy. */
static void make_page(uint64_t seed, uint64_t index, uint64_t *words)
{
	uint64_t x = (seed ^ (index * 0x9e3779b97f4a7c15ULL)) | 1;

	for (size_t i = 0; i < PAGE / sizeof(*words); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		words[i] = x;
	}
}

static void canary_page(const struct config *config, uint8_t *page)
{
	for (size_t i = 0; i < PAGE; i += CANARY_LEN)
		memcpy(page + i, config->canary, CANARY_LEN);
}

static void expected_page(const struct config *config, size_t canaries, size_t index, uint8_t *page)
{
	if (index < canaries)
		canary_page(config, page);
	else
		make_page(config->seed, index, (uint64_t *)(void *)page);
}

static uint8_t *locked_memory(size_t size)
{
	uint8_t *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("memory");
	return memory;
}

static uint8_t *shared_page(void)
{
	uint8_t *memory =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("memory");
	return memory;
}

/* Keeps the canaries and filler in locked RAM, checks them round and round, dirties a few pages. */
__attribute__((noreturn)) static void hold_ram(const struct config *config)
{
	static uint8_t expected[PAGE] __attribute__((aligned(4096)));
	size_t dirty_pages = (size_t)config->dirty_kib_s * RAM_STEP_MS / 1000 / (PAGE / 1024) + 1;
	size_t room = available_mib(), mib, pages, canaries, index = 0;
	uint64_t pass = 0, count = 0;
	uint8_t *memory, *dirty;

	mib = room > RAM_RESERVE_MIB + 16 ? room - RAM_RESERVE_MIB - dirty_pages * PAGE / MIB : 16;
	if (config->ram_mib && config->ram_mib < mib)
		mib = config->ram_mib;
	pages = mib * MIB / PAGE;
	canaries = mib > 256 ? 64 * MIB / PAGE : pages / 4;
	memory = locked_memory(pages * PAGE);
	dirty = locked_memory(dirty_pages * PAGE);
	for (size_t i = 0; i < pages; i++)
		expected_page(config, canaries, i, memory + i * PAGE);
	mlockall(MCL_CURRENT);
	say("READY %zu %zu", canaries * PAGE / MIB, (pages - canaries) * PAGE / MIB);

	for (;;) {
		sleep_ms(RAM_STEP_MS);
		count++;
		for (size_t i = 0; i < dirty_pages; i++)
			memcpy(dirty + i * PAGE, &count, sizeof(count));
		for (unsigned int i = 0; i < config->check_pages; i++) {
			expected_page(config, canaries, index, expected);
			if (memcmp(expected, memory + index * PAGE, PAGE) != 0)
				say("BAD ram page %zu", index);
			index = (index + 1) % pages;
			if (index == 0)
				say("RAMPASS %" PRIu64, ++pass);
		}
	}
}

/* Opens a sealed secret for ever; a guest without a TPM ends here. */
__attribute__((noreturn)) static void use_tpm(void)
{
	int code;
	struct tpm *tpm = tpm_open(&code);
	uint64_t pass = 0;

	if (code != 0)
		say("BAD tpm open %#x", code);
	if (tpm)
		say("TPMKEY %016" PRIx64, tpm_key(tpm));
	while (tpm) {
		code = tpm_check(tpm);
		if (code != 0)
			say("BAD tpm check %#x", code);
		else
			say("TPMPASS %" PRIu64, ++pass);
		sleep_ms(200);
	}
	for (;;)
		pause();
}

/* Waits for ACPI's power button, as the desktops and servers of this world do. */
__attribute__((noreturn)) static void watch_button(void)
{
	struct pollfd fds[BUTTONS];
	struct input_event e;
	char path[32];

	for (int i = 0; i < BUTTONS; i++) {
		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fds[i] = (struct pollfd){open(path, O_RDONLY | O_CLOEXEC), POLLIN, 0};
	}
	while (poll(fds, BUTTONS, -1) > 0)
		for (int i = 0; i < BUTTONS; i++)
			if (fds[i].fd >= 0 && (fds[i].revents & POLLIN) &&
			    read(fds[i].fd, &e, sizeof(e)) == (ssize_t)sizeof(e) &&
			    e.type == EV_KEY && e.code == KEY_POWER)
				*pressed = 1;
	die("power button");
}

/* The last tick is on disk and its line is out before the power goes. */
__attribute__((noreturn)) static void power_off(pid_t writer, int ticks)
{
	const struct tick last = {0};

	if (write(ticks, &last, sizeof(last)) == (ssize_t)sizeof(last))
		waitpid(writer, NULL, 0);
	kill(-1, SIGKILL);
	tcdrain(serial_fd);
	sleep_ms(50);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* The guest's heart. Ticks are never caught up: after a pause the next one is simply later. */
__attribute__((noreturn)) static void tick_forever(const struct config *config, uint64_t epoch,
						   pid_t writer, int ticks)
{
	struct tick tick = {.epoch = epoch};

	for (;;) {
		tick.number++;
		say("TICK %" PRIu64 " %" PRIu64 " %" PRIu64, epoch, tick.number, now_ms());
		if (tick.number % config->disk_every == 0 &&
		    write(ticks, &tick, sizeof(tick)) != (ssize_t)sizeof(tick))
			say("BAD tick queue %" PRIu64, tick.number);
		if (*pressed)
			power_off(writer, ticks);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			say("BAD child died");
		sleep_ms(config->tick_ms);
	}
}

int main(void)
{
	struct config config;
	uint64_t epoch;
	int disk, ticks[2];
	pid_t writer;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	open_serial();
	load_modules();
	disk = open_disk();
	read_config(disk, &config);
	epoch = next_epoch(disk);
	say("\nBOOT %" PRIu64, epoch); /* the firmware left its last line open */

	pressed = (volatile int *)(void *)shared_page();
	if (pipe2(ticks, O_CLOEXEC) < 0)
		die("pipe");
	writer = fork();
	if (writer == 0) {
		close(ticks[1]);
		write_ticks(disk, ticks[0]);
	}
	close(ticks[0]);
	fcntl(ticks[1], F_SETFL, O_NONBLOCK);
	if (fork() == 0) {
		if (nice(10) < 0)
			say("BAD nice");
		hold_ram(&config);
	}
	if (fork() == 0)
		use_tpm();
	if (config.power_button && fork() == 0)
		watch_button();
	tick_forever(&config, epoch, writer, ticks[1]);
}
