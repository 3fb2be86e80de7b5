/* SPDX-License-Identifier: Apache-2.0 */
/* D14, M6: where the long-term keys lie in a running kith-policyd. A real one, with its own TPM, is
 * read as only root can; nothing of it may be able to reach swap or a core file. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/ipc-client.h"
#include "policyd/api/client.h"
#include "policyd/store.h"
#include "tests/unit/swtpm-fixture.h"

#define CAP_IPC_LOCK_NUMBER 14
#define NOBODY 65534
#define AREA_MAX (UINT64_C(1) << 30) /* a sanitizer's shadow is larger and holds no keys */

/* -- The scanner -- */

struct area {
	uint64_t start, end, kib_locked, kib_anonymous, kib_swap;
	bool written_to, locked, no_dump;
};

struct needle {
	const char *name;
	uint8_t bytes[32];
	unsigned found, pageable, no_dump;
};

/* 1 = the next area of smaps. */
static int area_next(FILE *f, struct area *ret)
{
	char line[512], perms[8];
	unsigned long long start, end, n;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx %4s", &start, &end, perms) == 3)
			*ret = (struct area){
				.start = start, .end = end, .written_to = perms[1] == 'w'};
		else if (sscanf(line, "Locked: %llu", &n) == 1)
			ret->kib_locked = n;
		else if (sscanf(line, "Anonymous: %llu", &n) == 1)
			ret->kib_anonymous = n;
		else if (sscanf(line, "Swap: %llu", &n) == 1)
			ret->kib_swap = n;
		else if (g_str_has_prefix(line, "VmFlags:")) {
			ret->locked = strstr(line, " lo");
			ret->no_dump = strstr(line, " dd");
			return 1;
		}
	}
	return 0;
}

static bool area_pageable(const struct area *a)
{
	return !a->locked || a->kib_swap || a->kib_anonymous > a->kib_locked;
}

static void search(const struct area *a, const uint8_t *data, size_t len, struct needle *needles,
		   size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (const uint8_t *at = data;
		     (at = memmem(at, len - (size_t)(at - data), needles[i].bytes, 32)); at++) {
			needles[i].found++;
			needles[i].pageable += area_pageable(a);
			needles[i].no_dump += a->no_dump;
		}
}

/* Counts each needle in the memory of a process, and returns how many areas that it wrote to could
 * be swapped. */
static unsigned scan(pid_t pid, struct needle *needles, size_t n)
{
	g_autofree char *maps = g_strdup_printf("/proc/%d/smaps", pid);
	g_autofree char *mem = g_strdup_printf("/proc/%d/mem", pid);
	_cleanup_close_ int fd = open(mem, O_RDONLY | O_CLOEXEC);
	FILE *f = fopen(maps, "re");
	unsigned pageable = 0;
	struct area a = {0};

	g_assert_cmpint(fd, >=, 0);
	g_assert_nonnull(f);
	while (area_next(f, &a) > 0) {
		g_autofree uint8_t *data = NULL;
		ssize_t len;

		if (!a.kib_anonymous && !a.kib_swap)
			continue;
		pageable += a.written_to && area_pageable(&a);
		if (a.end - a.start > AREA_MAX)
			continue;
		data = g_malloc(a.end - a.start);
		len = pread(fd, data, a.end - a.start, (off_t)a.start);
		if (len > 0)
			search(&a, data, (size_t)len, needles, n);
	}
	fclose(f);
	return pageable;
}

/* The scanner itself: a process with one secret in plain memory and one in locked memory. What is
 * looked for lies nowhere else in it, as it is put together after the fork. */
static void test_scanner(void)
{
	uint8_t seed[2][32];
	struct needle needles[2] = {{.name = "plain"}, {.name = "locked"}};
	int ready[2];
	char c;
	pid_t pid;

	randombytes_buf(seed, sizeof(seed));
	g_assert_cmpint(pipe2(ready, O_CLOEXEC), ==, 0);
	pid = fork();
	if (pid == 0) {
		volatile uint8_t *plain = malloc(4096);
		struct secret locked;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!plain || secret_new(32, &locked) < 0)
			_exit(1);
		for (int i = 0; i < 32; i++) {
			plain[i] = seed[0][i] ^ 0x5c;
			locked.data[i] = seed[1][i] ^ 0x5c;
		}
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	g_assert_cmpint(read(ready[0], &c, 1), ==, 1);
	close(ready[0]);
	for (int i = 0; i < 32; i++) {
		needles[0].bytes[i] = seed[0][i] ^ 0x5c;
		needles[1].bytes[i] = seed[1][i] ^ 0x5c;
	}
	g_assert_cmpuint(scan(pid, needles, 2), >, 0);
	g_assert_cmpuint(needles[0].found, ==, 1);
	g_assert_cmpuint(needles[0].pageable, ==, 1);
	g_assert_cmpuint(needles[0].no_dump, ==, 0);
	g_assert_cmpuint(needles[1].found, ==, 1);
	g_assert_cmpuint(needles[1].pageable, ==, 0);
	g_assert_cmpuint(needles[1].no_dump, ==, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* -- A real kith-policyd -- */

struct daemon {
	struct swtpm tpm;
	char *config, *socket, *state;
	pid_t pid;
};

static char *program(void)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *unit = g_path_get_dirname(self);

	return g_build_filename(unit, "..", "..", "kith-policyd", NULL);
}

/* Its group is nobody's, so that the owner of its /proc files tells whether it may be dumped. */
static pid_t spawn(const struct daemon *d, bool may_lock, int output)
{
	g_autofree char *path = program();
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	/* In this order: other ids forget the signal. */
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    getppid() != parent)
		_exit(126);
	if (!may_lock) {
		struct rlimit little = {64 << 10, 64 << 10};

		if (prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK_NUMBER, 0, 0, 0) < 0 ||
		    setrlimit(RLIMIT_MEMLOCK, &little) < 0)
			_exit(126);
	}
	if (output >= 0)
		dup2(output, STDERR_FILENO);
	execl(path, path, "-c", d->config, NULL);
	_exit(127);
}

static void daemon_new(struct daemon *d)
{
	g_autofree char *run = NULL, *text = NULL;

	swtpm_start(&d->tpm);
	for (unsigned pcr = 0; pcr < 8; pcr++) {
		struct tpm *t = open_tpm(d->tpm.tcti);

		extend_pcr(t, pcr);
		tpm_free(t);
	}
	run = g_build_filename(d->tpm.dir, "run", "policyd", NULL);
	d->state = g_build_filename(d->tpm.dir, "state", NULL);
	d->socket = g_build_filename(run, "policyd.sock", NULL);
	d->config = g_build_filename(d->tpm.dir, "kith.conf", NULL);
	g_assert_cmpint(g_mkdir_with_parents(run, 0755), ==, 0);
	g_assert_cmpint(g_mkdir_with_parents(d->state, 0755), ==, 0);
	text = g_strdup_printf("[device]\nname = laptop\nrole = laptop\n[tpm]\ntcti = %s\n"
			       "[paths]\nstate = %s\nrun = %s/run\n[people]\nowner = root\n",
			       d->tpm.tcti, d->state, d->tpm.dir);
	g_assert_true(g_file_set_contents(d->config, text, -1, NULL));
}

static void daemon_free(struct daemon *d)
{
	const char *folders[] = {"state/policyd", "state/custody", "state", "run/policyd", "run"};

	for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autofree char *path = g_build_filename(d->tpm.dir, folders[i], NULL);

		remove_tree(path);
	}
	swtpm_stop(&d->tpm);
	g_free(d->config);
	g_free(d->socket);
	g_free(d->state);
}

static struct ipc_client *daemon_connect(const struct daemon *d)
{
	struct ipc_client *c = NULL;

	for (int i = 0; i < 2000 && ipc_client_new(d->socket, &c) < 0; i++) {
		g_assert_cmpint(waitpid(d->pid, NULL, WNOHANG), ==, 0);
		g_usleep(10000);
	}
	g_assert_nonnull(c);
	return c;
}

/* The counter that the file itself names: it is only read here. */
static int file_counter(void *ctx, uint64_t *ret)
{
	const char *data = ctx;
	struct rbuf r = rbuf_init((const uint8_t *)data + 16, 8);

	*ret = rbuf_u64(&r);
	return rbuf_error(&r);
}

static void needle_from_store(struct store *s, const char *key, struct needle *ret)
{
	_cleanup_secret_ struct secret value = SECRET_INIT;

	g_assert_cmpint(store_meta_get_secret(s, key, &value, NULL), ==, 0);
	g_assert_cmpuint(value.len, >=, 32);
	ret->name = key;
	memcpy(ret->bytes, value.data, 32);
}

/* What the daemon has to hide, by its recovery key. */
static void find_needles(const struct daemon *d, const char *recovery, struct needle needles[4])
{
	g_autofree char *folder = g_build_filename(d->state, "policyd", NULL), *data = NULL;
	g_autofree char *path = g_build_filename(folder, STORE_FILE, NULL);
	_cleanup_vault_keys_ struct vault_keys keys = {0};
	_cleanup_(store_freep) struct store *s = NULL;
	_cleanup_close_ int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct store_guard guard = {file_counter, file_counter, NULL};
	struct kerr err = {0};

	g_assert_cmpint(vault_recover(dir, recovery, &keys, &err), ==, 0);
	g_assert_true(g_file_get_contents(path, &data, NULL, NULL));
	guard.ctx = data;
	g_assert_cmpint(store_open(dir, &keys.db, &guard, &s, &err), ==, 0);
	needle_from_store(s, STORE_DEVICE_SK, &needles[0]);
	needle_from_store(s, STORE_OWNER_SK, &needles[1]);
	needle_from_store(s, STORE_AUTHORITY_SK, &needles[2]);
	needles[3].name = "database key";
	memcpy(needles[3].bytes, keys.db.data, 32);
}

static void check_no_core(pid_t pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/limits", pid), *limits = NULL;
	g_autofree char *mem = g_strdup_printf("/proc/%d/mem", pid);
	struct stat st;

	g_assert_true(g_file_get_contents(path, &limits, NULL, NULL));
	g_assert_true(g_regex_match_simple("Max core file size +0 +0 ", limits, 0, 0));
	g_assert_cmpint(stat(mem, &st), ==, 0);
	g_assert_cmpuint(st.st_gid, ==, 0);
}

static void check_needles(pid_t pid, struct needle needles[4])
{
	static const bool always[] = {true, false, true,
				      true}; /* in a struct secret all the time */

	for (int i = 0; i < 4; i++)
		needles[i].found = needles[i].pageable = needles[i].no_dump = 0;
	g_assert_cmpuint(scan(pid, needles, 4), ==, 0);
	for (int i = 0; i < 4; i++) {
		g_test_message("%s: %u places", needles[i].name, needles[i].found);
		g_assert_cmpuint(needles[i].found, >, 0);
		g_assert_cmpuint(needles[i].pageable, ==, 0);
		if (always[i])
			g_assert_cmpuint(needles[i].no_dump, >, 0);
	}
}

static void test_whole_process(void)
{
	char recovery[POLICYD_RECOVERY_KEY_MAX];
	struct needle needles[4] = {0};
	struct policyd_status st;
	struct ipc_client *c;
	struct daemon d = {0};
	struct kerr err = {0};

	daemon_new(&d);
	d.pid = spawn(&d, true, -1);
	c = daemon_connect(&d);
	g_assert_cmpint(policyd_client_init(c, "Tom", recovery, &err), ==, 0);
	find_needles(&d, recovery, needles);
	check_needles(d.pid, needles);
	check_no_core(d.pid);
	ipc_client_free(c);
	kill(d.pid, SIGTERM);
	g_assert_cmpint(waitpid(d.pid, NULL, 0), ==, d.pid);
	/* Opened by the TPM instead of made. */
	d.pid = spawn(&d, true, -1);
	c = daemon_connect(&d);
	g_assert_cmpint(policyd_client_status(c, &st, &err), ==, 0);
	g_assert_cmpint(st.state, ==, POLICYD_STATE_READY);
	check_needles(d.pid, needles);
	ipc_client_free(c);
	kill(d.pid, SIGTERM);
	g_assert_cmpint(waitpid(d.pid, NULL, 0), ==, d.pid);
	daemon_free(&d);
}

/* Where its memory cannot be locked it does not start, and says what to do. */
static void test_no_limit(void)
{
	char output[2048] = "";
	struct daemon d = {0};
	int pipes[2], status;
	size_t len = 0;
	ssize_t n;

	daemon_new(&d);
	g_assert_cmpint(pipe2(pipes, O_CLOEXEC), ==, 0);
	d.pid = spawn(&d, false, pipes[1]);
	close(pipes[1]);
	while ((n = read(pipes[0], output + len, sizeof(output) - 1 - len)) > 0)
		len += (size_t)n;
	close(pipes[0]);
	g_assert_cmpint(waitpid(d.pid, &status, 0), ==, d.pid);
	g_assert_true(WIFEXITED(status));
	g_assert_cmpint(WEXITSTATUS(status), ==, 1);
	g_assert_nonnull(strstr(output, "LimitMEMLOCK"));
	g_assert_false(g_file_test(d.socket, G_FILE_TEST_EXISTS));
	daemon_free(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_assert_cmpint(sodium_init(), >=, 0);
	if (geteuid() != 0) {
		puts("1..0 # SKIP only root reads another process");
		return 0;
	}
#ifdef __SANITIZE_ADDRESS__
	puts("1..0 # SKIP AddressSanitizer makes mlock() and mlockall() do nothing");
	return 0;
#endif
	g_test_add_func("/memory/the scanner sees what may be swapped", test_scanner);
	g_test_add_func("/memory/D14 M6 keys of a whole kith-policyd", test_whole_process);
	g_test_add_func("/memory/M6 no start without locked memory", test_no_limit);
	return g_test_run();
}
