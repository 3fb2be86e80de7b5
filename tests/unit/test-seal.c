/* SPDX-License-Identifier: Apache-2.0 */
/* policyd/seal: the vault on real software TPMs, its recovery key, its files. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/unit/golden.h"
#include "tests/unit/swtpm-fixture.h"

#define MASK (1u << 0 | 1u << 4 | 1u << 7)

static struct swtpm one, two;

/* A state directory, an open TPM and a vault in it. */
struct box {
	char *dir;
	int fd;
	struct tpm *t;
	struct vault_keys keys;
	char recovery[VAULT_RECOVERY_TEXT];
};

static void box_make(struct box *b, const struct swtpm *s)
{
	struct kerr err = {0};

	memset(b, 0, sizeof(*b));
	b->dir = g_dir_make_tmp("kith-vault-XXXXXX", NULL);
	b->fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->t = open_tpm(s->tcti);
	g_assert_cmpint(vault_exists(b->fd), ==, 0);
	g_assert_cmpint(vault_create(b->t, b->fd, MASK, b->recovery, &b->keys, &err), ==, 0);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_cmpint(vault_exists(b->fd), ==, 1);
}

static void box_clear(struct box *b)
{
	if (b->t)
		g_assert_cmpuint(loaded(b->t), ==, 0);
	tpm_free(b->t);
	vault_keys_clear(&b->keys);
	close(b->fd);
	remove_tree(b->dir);
	g_free(b->dir);
}

static bool same_keys(const struct vault_keys *a, const struct vault_keys *b)
{
	return a->db.len == 32 && b->db.len == 32 && a->authority.len == 32 &&
	       b->authority.len == 32 && memcmp(a->db.data, b->db.data, 32) == 0 &&
	       memcmp(a->authority.data, b->authority.data, 32) == 0 &&
	       memcmp(&a->authority_pub, &b->authority_pub, sizeof(a->authority_pub)) == 0;
}

/* Opens and compares; the code of a refusal in *ret_err. */
static int opens(struct box *b, struct tpm *t, uint32_t *ret_changed, struct kerr *ret_err)
{
	_cleanup_vault_keys_ struct vault_keys got = {0};
	int r;

	kerr_clear(ret_err);
	r = vault_open(t, b->fd, &got, ret_changed, ret_err);
	if (r == 0)
		g_assert_true(same_keys(&got, &b->keys));
	else
		g_assert_true(!got.db.data && !got.authority.data);
	return r;
}

static int recovers(struct box *b, const char *text, struct kerr *ret_err)
{
	_cleanup_vault_keys_ struct vault_keys got = {0};
	int r;

	kerr_clear(ret_err);
	r = vault_recover(b->fd, text, &got, ret_err);
	if (r == 0)
		g_assert_true(same_keys(&got, &b->keys));
	else
		g_assert_true(!got.db.data && !got.authority.data);
	return r;
}

static void test_life(void)
{
	struct kerr err = {0};
	struct vault_keys none = {0};
	char text[VAULT_RECOVERY_TEXT];
	struct stat st;
	struct box b;

	box_make(&b, &one);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	g_assert_cmpint(vault_create(b.t, b.fd, MASK, text, &none, &err), ==, -EEXIST);
	g_assert_cmpint(err.code, ==, KCODE_EXISTS);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	g_assert_cmpint(fstatat(b.fd, VAULT_SEALED_FILE, &st, 0), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0600);
	g_assert_cmpint(fstatat(b.fd, VAULT_RECOVERY_FILE, &st, 0), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0600);
	/* Next start of the daemon, and of the TPM. */
	b.t = tpm_free(b.t);
	swtpm_halt(&one);
	swtpm_run(&one, "not-need-init,startup-clear");
	b.t = open_tpm(one.tcti);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	box_clear(&b);
}

static void test_refused_masks(void)
{
	static const uint32_t masks[] = {0, 1u << 16, 1u << 23 | 1, 1u << 24, UINT32_MAX};
	struct vault_keys none = {0};
	char text[VAULT_RECOVERY_TEXT];
	struct box b;

	box_make(&b, &one);
	unlinkat(b.fd, VAULT_SEALED_FILE, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(masks); i++) {
		struct kerr err = {0};

		g_assert_cmpint(vault_create(b.t, b.fd, masks[i], text, &none, &err), ==, -EINVAL);
		g_assert_cmpint(err.code, ==, KCODE_USAGE);
		g_assert_cmpint(vault_exists(b.fd), ==, 0);
		g_assert_cmpstr(text, ==, "");
	}
	box_clear(&b);
}

static void test_missing(void)
{
	struct kerr err = {0};
	struct box b;

	box_make(&b, &one);
	unlinkat(b.fd, VAULT_SEALED_FILE, 0);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, -ENOENT);
	g_assert_cmpint(err.code, ==, KCODE_NOT_READY);
	g_assert_cmpint(recovers(&b, b.recovery, &err), ==, 0);
	unlinkat(b.fd, VAULT_RECOVERY_FILE, 0);
	g_assert_cmpint(recovers(&b, b.recovery, &err), ==, -ENOENT);
	box_clear(&b);
}

/* D6: the state directory moved to another machine; the recovery key is the way in. */
static void test_other_tpm(void)
{
	_cleanup_(tpm_freep) struct tpm *u = open_tpm(two.tcti);
	struct kerr err = {0};
	struct box b;

	box_make(&b, &one);
	g_assert_cmpint(opens(&b, u, NULL, &err), ==, -EXDEV);
	g_assert_cmpint(err.code, ==, KCODE_LOCKED);
	g_assert_nonnull(strstr(err.text, "sealed to another TPM"));
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	g_assert_cmpint(recovers(&b, b.recovery, &err), ==, 0);
	g_assert_cmpint(vault_reseal(u, b.fd, MASK, &b.keys, &err), ==, 0);
	g_assert_cmpint(opens(&b, u, NULL, &err), ==, 0);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, -EXDEV);
	box_clear(&b);
}

/* D7: a kernel update changes a PCR; recovery and one step make it right for ever. */
static void test_update(void)
{
	_cleanup_free_ uint8_t *old = NULL;
	struct kerr err = {0};
	uint32_t changed = 0;
	size_t old_len;
	struct box b;

	box_make(&b, &one);
	for (unsigned pcr = 0; pcr < 8; pcr++) {
		extend_pcr(b.t, pcr);
		if (!(MASK >> pcr & 1)) {
			g_assert_cmpint(opens(&b, b.t, &changed, &err), ==, 0);
			continue;
		}
		free(old);
		g_assert_cmpint(file_read(b.fd, VAULT_SEALED_FILE, 8192, &old, &old_len), ==, 0);
		changed = 0;
		g_assert_cmpint(opens(&b, b.t, &changed, &err), ==, -EPERM);
		g_assert_cmpint(err.code, ==, KCODE_LOCKED);
		g_assert_cmphex(changed, ==, 1u << pcr);
		g_assert_cmpint(recovers(&b, b.recovery, &err), ==, 0);
		g_assert_cmpint(vault_reseal(b.t, b.fd, MASK, &b.keys, &err), ==, 0);
		g_assert_cmpint(opens(&b, b.t, &changed, &err), ==, 0);
		/* The old file does not come back. */
		g_assert_cmpint(file_write_atomic(b.fd, VAULT_SEALED_FILE, old, old_len, 0600), ==,
				0);
		g_assert_cmpint(opens(&b, b.t, &changed, &err), ==, -EPERM);
		g_assert_cmpint(vault_reseal(b.t, b.fd, MASK, &b.keys, &err), ==, 0);
		g_assert_cmpint(opens(&b, b.t, &changed, &err), ==, 0);
	}
	box_clear(&b);
}

/* What PCR 4 will be after extend_pcr(). */
static void predict(uint8_t pcr[HASH_LEN])
{
	uint8_t both[64];

	memcpy(both, pcr, 32);
	memset(both + 32, 0x5a, 32);
	crypto_hash_sha256(pcr, both, sizeof(both));
}

/* Before an update: the state to come is approved too; no recovery key needed. */
static void test_predicted(void)
{
	struct pcr_set state = {.mask = MASK};
	struct vault_keys other = {0};
	struct kerr err = {0};
	uint32_t changed = 0;
	struct box b, c;

	box_make(&b, &one);
	g_assert_cmpint(tpm_pcr_read(b.t, MASK, state.values, NULL), ==, 0);
	predict(state.values[4]);
	g_assert_cmpint(vault_approve(b.fd, &state, &b.keys, &err), ==, 0);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	extend_pcr(b.t, 4);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	extend_pcr(b.t, 4);
	g_assert_cmpint(opens(&b, b.t, &changed, &err), ==, -EPERM);
	g_assert_cmphex(changed, ==, 1u << 4);
	/* The list is bounded; the newest stay. */
	for (int i = 0; i < 3 * VAULT_APPROVALS_MAX; i++) {
		predict(state.values[4]);
		g_assert_cmpint(vault_approve(b.fd, &state, &b.keys, &err), ==, 0);
	}
	for (int i = 0; i < 3 * VAULT_APPROVALS_MAX - 1; i++)
		extend_pcr(b.t, 4);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	g_assert_cmpint(vault_approve(b.fd, &(struct pcr_set){0}, &b.keys, &err), ==, -EINVAL);
	b.t = tpm_free(b.t);
	/* Another vault's authority cannot approve here, also not by editing the file. */
	box_make(&c, &one);
	kerr_clear(&err);
	other = c.keys;
	g_assert_cmpint(vault_approve(b.fd, &state, &other, &err), ==, -EKEYREJECTED);
	box_clear(&c);
	box_clear(&b);
}

/* D8: wrong keys are refused by arithmetic alone; there is no lockout to spend. */
static void test_wrong_recovery(void)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	unsigned mistyped = 0, wrong = 0;
	struct kerr err = {0};
	char text[64];
	struct box b, c;

	box_make(&b, &one);
	b.t = tpm_free(b.t); /* no TPM from here on */
	for (int i = 0; i < 1000; i++) {
		int r;

		for (size_t k = 0; k < 35; k++)
			text[k] = digits[randombytes_uniform(32)];
		text[35] = 0;
		r = recovers(&b, text, &err);
		mistyped += r == -EINVAL && err.code == KCODE_USAGE;
		wrong += r == -EKEYREJECTED && err.code == KCODE_LOCKED;
	}
	g_assert_cmpuint(mistyped + wrong, ==, 1000);
	/* Each single wrong character is found before any decryption. */
	for (size_t i = 0; i < strlen(b.recovery); i++) {
		g_strlcpy(text, b.recovery, sizeof(text));
		text[i] = text[i] == '0' ? '7' : '0';
		g_assert_cmpint(recovers(&b, text, &err), !=, 0);
	}
	g_assert_cmpint(recovers(&b, b.recovery, &err), ==, 0);
	/* A genuine key of another device. */
	box_make(&c, &one);
	g_assert_cmpint(recovers(&b, c.recovery, &err), ==, -EKEYREJECTED);
	g_assert_cmpint(err.code, ==, KCODE_LOCKED);
	g_assert_cmpint(recovers(&c, b.recovery, &err), ==, -EKEYREJECTED);
	box_clear(&c);
	box_clear(&b);
}

static void test_recovery_text(void)
{
	g_autofree char *lower = NULL;
	struct kerr err = {0};
	GString *loose;
	struct box b;

	box_make(&b, &one);
	g_test_message("looks like %.5s-...", b.recovery);
	g_assert_cmpuint(strlen(b.recovery), ==, VAULT_RECOVERY_TEXT - 1);
	g_assert_cmpuint(strcspn(b.recovery, "ILOUilou"), ==, strlen(b.recovery));
	lower = g_ascii_strdown(b.recovery, -1);
	g_assert_cmpint(recovers(&b, lower, &err), ==, 0);
	loose = g_string_new("  ");
	for (const char *p = b.recovery; *p; p++)
		if (*p == '0')
			g_string_append(loose, "o ");
		else if (*p == '1')
			g_string_append(loose, (p - b.recovery) & 1 ? "l" : "I");
		else if (*p != '-')
			g_string_append_c(loose, *p);
	g_string_append(loose, "\n");
	g_assert_cmpint(recovers(&b, loose->str, &err), ==, 0);
	g_string_append_c(loose, '2');
	g_assert_cmpint(recovers(&b, loose->str, &err), ==, -EINVAL);
	g_assert_cmpint(recovers(&b, "", &err), ==, -EINVAL);
	g_assert_cmpint(recovers(&b, "----", &err), ==, -EINVAL);
	g_assert_cmpint(recovers(&b, "\xff\xfe", &err), ==, -EINVAL);
	g_string_free(loose, TRUE);
	box_clear(&b);
}

static void test_renew(void)
{
	char text[VAULT_RECOVERY_TEXT];
	struct kerr err = {0};
	struct box b;

	box_make(&b, &one);
	g_assert_cmpint(vault_recovery_add(b.fd, &b.keys, text, &err), ==, 0);
	/* Until the new one counts both open; given up, the earlier one alone. */
	g_assert_cmpint(recovers(&b, text, &err), ==, 0);
	g_assert_cmpint(recovers(&b, b.recovery, &err), ==, 0);
	g_assert_cmpint(vault_recovery_settle(b.fd, false), ==, 0);
	g_assert_cmpint(recovers(&b, text, &err), ==, -EKEYREJECTED);
	g_assert_cmpint(recovers(&b, b.recovery, &err), ==, 0);
	/* However often it is broken off, the newest and the last that counted open. */
	for (int i = 0; i < 9; i++)
		g_assert_cmpint(vault_recovery_add(b.fd, &b.keys, text, &err), ==, 0);
	g_assert_cmpint(recovers(&b, b.recovery, &err), ==, 0);
	g_assert_cmpint(recovers(&b, text, &err), ==, 0);
	g_assert_cmpint(vault_recovery_settle(b.fd, true), ==, 0);
	g_assert_cmpint(vault_recovery_settle(b.fd, true), ==, 0);
	g_assert_cmpint(recovers(&b, text, &err), ==, 0);
	g_assert_cmpint(recovers(&b, b.recovery, &err), ==, -EKEYREJECTED);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	box_clear(&b);
}

/* D3 for the vault's own files: every bit matters or is harmless; none opens to other keys. */
static void test_damaged(void)
{
	_cleanup_free_ uint8_t *file = NULL;
	struct kerr err = {0};
	unsigned harmless = 0;
	size_t len;
	struct box b;

	box_make(&b, &one);
	g_assert_cmpint(file_read(b.fd, VAULT_SEALED_FILE, 8192, &file, &len), ==, 0);
	for (size_t i = 0; i < len; i++) {
		file[i] ^= 1;
		g_assert_cmpint(file_write_atomic(b.fd, VAULT_SEALED_FILE, file, len, 0600), ==, 0);
		harmless += opens(&b, b.t, NULL, &err) == 0;
		if (err.code != KCODE_LOCKED)
			g_test_message("byte %zu of %zu: %s", i, len, err.text);
		g_assert_cmpint(err.code, ==, KCODE_LOCKED);
		file[i] ^= 1;
	}
	g_assert_cmpuint(harmless, ==, 0);
	/* And reseal repairs it. */
	file[len / 4] ^= 1;
	g_assert_cmpint(file_write_atomic(b.fd, VAULT_SEALED_FILE, file, len, 0600), ==, 0);
	g_assert_cmpint(vault_reseal(b.t, b.fd, MASK, &b.keys, &err), ==, 0);
	g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	free(file);
	g_assert_cmpint(file_read(b.fd, VAULT_RECOVERY_FILE, 8192, &file, &len), ==, 0);
	for (size_t i = 0; i < len; i++) {
		file[i] ^= 1;
		g_assert_cmpint(file_write_atomic(b.fd, VAULT_RECOVERY_FILE, file, len, 0600), ==,
				0);
		g_assert_cmpint(recovers(&b, b.recovery, &err), <, 0);
		g_assert_cmpint(err.code, ==, KCODE_LOCKED);
		file[i] ^= 1;
	}
	box_clear(&b);
}

static void test_parse(void)
{
	_cleanup_free_ uint8_t *file = NULL;
	struct vault_file f;
	uint8_t junk[600];
	size_t len;
	struct box b;

	box_make(&b, &one);
	g_assert_cmpint(file_read(b.fd, VAULT_SEALED_FILE, 8192, &file, &len), ==, 0);
	g_assert_cmpint(vault_parse(file, len, &f), ==, 0);
	g_assert_cmpuint(f.n_approvals, ==, 1);
	g_assert_cmphex(f.approvals[0].pcrs.mask, ==, MASK);
	for (size_t cut = 0; cut < len; cut++) {
		g_autofree uint8_t *exact = g_memdup2(file, cut);

		g_assert_cmpint(vault_parse(exact, cut, &f), ==, -EBADMSG);
	}
	for (int i = 0; i < 50000; i++) {
		size_t n = randombytes_uniform(sizeof(junk));

		randombytes_buf(junk, n);
		memcpy(junk, file, MIN(n, randombytes_uniform((uint32_t)len)));
		vault_parse(junk, n, &f);
	}
	box_clear(&b);
}

/* RFC 6979, A.2.5: the authority of the golden file. */
static void golden_keys(struct vault_keys *ret)
{
	g_assert_cmpint(secret_new(32, &ret->authority), ==, 0);
	golden_parse("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
		     ret->authority.data, 32);
	golden_parse("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
		     ret->authority_pub.x, 32);
	golden_parse("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
		     ret->authority_pub.y, 32);
}

/* A vault made years ago opens, and is written as it was then. */
static void test_golden_sealed(void)
{
	static const uint8_t mask[4] = {1 << 2};
	_cleanup_vault_keys_ struct vault_keys keys = {0};
	g_autofree char *dir = g_dir_make_tmp("kith-vault-XXXXXX", NULL);
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pcr_set state = {.mask = 1u << 2, .values[2] = {[0 ... 31] = 0x72}};
	uint8_t bytes[1024];
	size_t count = 4 + 1 + 4 + 3 + 4 + 5 + 34 + 64, len, n;
	_cleanup_free_ uint8_t *file = NULL;
	struct vault_file f;

	golden_keys(&keys);
	len = golden_read("vault.txt", "sealed", bytes, sizeof(bytes));
	g_assert_cmpint(vault_parse(bytes, len, &f), ==, 0);
	g_assert_cmpmem(f.sealed.pub.data, f.sealed.pub.len, "123", 3);
	g_assert_cmpmem(f.sealed.priv.data, f.sealed.priv.len, "ABCDE", 5);
	g_assert_true(f.sealed.srk_name[33] == 0x51 && f.authority.y[31] == 0x99);
	g_assert_cmpuint(f.n_approvals, ==, 2);
	g_assert_cmpint(file_write_atomic(fd, VAULT_SEALED_FILE, bytes, len, 0600), ==, 0);
	g_assert_cmpint(vault_approve(fd, &state, &keys, NULL), ==, 0);
	g_assert_cmpint(file_read(fd, VAULT_SEALED_FILE, 8192, &file, &n), ==, 0);
	g_assert_cmpuint(n, ==, len + 4 + 32 + 64);
	g_assert_cmpuint(file[count], ==, 3);
	file[count] = 2;
	g_assert_cmpmem(file, (int)len, bytes, (int)len);
	g_assert_cmpmem(file + len, 4, mask, 4);
	g_assert_cmpmem(file + len + 4, 32, state.values[2], 32);
	remove_tree(dir);
}

static void test_golden_recovery(void)
{
	static const char text[] = "0471P-A1N89-7NRTB-PGE89-VANQR-K8XXT-ZR64R";
	_cleanup_vault_keys_ struct vault_keys keys = {0};
	g_autofree char *dir = g_dir_make_tmp("kith-vault-XXXXXX", NULL);
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ uint8_t *file = NULL;
	char other[VAULT_RECOVERY_TEXT];
	uint8_t bytes[1024];
	size_t len, n;

	len = golden_read("vault.txt", "recovery", bytes, sizeof(bytes));
	g_assert_cmpint(file_write_atomic(fd, VAULT_RECOVERY_FILE, bytes, len, 0600), ==, 0);
	g_assert_cmpint(vault_recover(fd, text, &keys, NULL), ==, 0);
	g_assert_true(keys.db.data[0] == 0xd1 && keys.authority.data[31] == 0xd2);
	g_assert_true(keys.authority_pub.x[0] == 0xd3 && keys.authority_pub.y[31] == 0xd4);
	g_assert_cmpint(vault_recovery_add(fd, &keys, other, NULL), ==, 0);
	g_assert_cmpint(file_read(fd, VAULT_RECOVERY_FILE, 8192, &file, &n), ==, 0);
	g_assert_cmpuint(n, ==, 2 * len - 5);
	g_assert_cmpmem(file, (int)len, bytes, (int)len);
	/* All but nonce and ciphertext. */
	g_assert_cmpmem(file + len, 4 + 13, bytes + 5, 4 + 13);
	remove_tree(dir);
}

/* No key of the vault lies in a file in the clear. */
static void test_files_hold_no_key(void)
{
	static const char *const names[] = {VAULT_SEALED_FILE, VAULT_RECOVERY_FILE};
	struct box b;

	box_make(&b, &one);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		_cleanup_free_ uint8_t *file = NULL;
		size_t len;

		g_assert_cmpint(file_read(b.fd, names[i], 8192, &file, &len), ==, 0);
		g_assert_null(memmem(file, len, b.keys.db.data, 16));
		g_assert_null(memmem(file, len, b.keys.authority.data, 16));
		if (i == 0) /* public halves are there: the search does find things */
			g_assert_nonnull(memmem(file, len, b.keys.authority_pub.x, 32));
	}
	box_clear(&b);
}

/* Copies of `key` in this process's writable memory, beside the one of `except`. */
static unsigned copies_in_memory(const uint8_t *key, const uint8_t *except)
{
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	_cleanup_close_ int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	static uint8_t chunk[1 << 20];
	unsigned long from, to;
	unsigned found = 0;
	char line[512], perm[5];

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s", &from, &to, perm) != 3 || perm[1] != 'w')
			continue;
		for (unsigned long at = from; at < to; at += sizeof(chunk) - 32) {
			ssize_t n = pread(mem, chunk, MIN(sizeof(chunk), to - at), (off_t)at);
			uint8_t *p = chunk;

			if (at + sizeof(chunk) > (unsigned long)chunk &&
			    at < (unsigned long)chunk + sizeof(chunk))
				continue;
			while (n > 0 && (p = memmem(p, (size_t)(chunk + n - p), key, 32))) {
				found += at + (unsigned long)(p - chunk) != (unsigned long)except;
				p++;
			}
		}
	}
	explicit_bzero(chunk, sizeof(chunk));
	return found;
}

/* D14: after opening, the keys are in locked memory and nowhere else. */
static void test_memory(void)
{
	struct vault_keys got = {0};
	struct kerr err = {0};
	struct box b;
	unsigned n;

#ifdef __SANITIZE_ADDRESS__
	g_test_skip("AddressSanitizer keeps freed memory and maps terabytes of shadow");
	return;
#endif
	box_make(&b, &one);
	vault_keys_clear(&b.keys);
	g_assert_cmpint(vault_open(b.t, b.fd, &got, NULL, &err), ==, 0);
	n = copies_in_memory(got.db.data, NULL);
	g_assert_cmpuint(n, >=, 1); /* the search finds the real one */
	g_assert_cmpuint(copies_in_memory(got.db.data, got.db.data), ==, 0);
	g_assert_cmpuint(copies_in_memory(got.authority.data, got.authority.data), ==, 0);
	vault_keys_clear(&got);
	box_clear(&b);
}

/* A directory that takes no files: nothing half-made is left. */
static void test_full_disk(void)
{
	struct vault_keys none = {0};
	char text[VAULT_RECOVERY_TEXT];
	struct kerr err = {0};
	struct box b;

	box_make(&b, &one);
	unlinkat(b.fd, VAULT_SEALED_FILE, 0);
	unlinkat(b.fd, VAULT_RECOVERY_FILE, 0);
	/* A directory in the way makes the rename fail, for root too. */
	g_assert_cmpint(mkdirat(b.fd, VAULT_SEALED_FILE, 0700), ==, 0);
	g_assert_cmpint(vault_reseal(b.t, b.fd, MASK, &b.keys, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_FAILED);
	g_assert_cmpint(unlinkat(b.fd, VAULT_SEALED_FILE, AT_REMOVEDIR), ==, 0);
	g_assert_cmpint(mkdirat(b.fd, VAULT_RECOVERY_FILE, 0700), ==, 0);
	kerr_clear(&err);
	g_assert_cmpint(vault_create(b.t, b.fd, MASK, text, &none, &err), <, 0);
	g_assert_null(none.db.data);
	g_assert_cmpint(vault_exists(b.fd), ==, 0);
	g_assert_cmpint(unlinkat(b.fd, VAULT_RECOVERY_FILE, AT_REMOVEDIR), ==, 0);
	g_assert_cmpint(vault_create(b.t, b.fd, MASK, text, &none, NULL), ==, 0);
	vault_keys_clear(&none);
	box_clear(&b);
}

static void test_many(void)
{
	struct kerr err = {0};
	gint64 t0;
	struct box b;

	box_make(&b, &one);
	t0 = g_get_monotonic_time();
	for (int i = 0; i < 100; i++)
		g_assert_cmpint(opens(&b, b.t, NULL, &err), ==, 0);
	g_test_message("vault_open %.1f ms", (double)(g_get_monotonic_time() - t0) / 1e5);
	t0 = g_get_monotonic_time();
	for (int i = 0; i < 20; i++)
		g_assert_cmpint(vault_reseal(b.t, b.fd, MASK, &b.keys, &err), ==, 0);
	g_test_message("vault_reseal %.1f ms", (double)(g_get_monotonic_time() - t0) / 2e4);
	box_clear(&b);
}

int main(int argc, char **argv)
{
	int r;

	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	swtpm_start(&one);
	swtpm_start(&two);
	g_test_add_func("/seal/create, open, restart", test_life);
	g_test_add_func("/seal/B9 resettable or no PCRs refused", test_refused_masks);
	g_test_add_func("/seal/missing files", test_missing);
	g_test_add_func("/seal/D6 moved to another machine", test_other_tpm);
	g_test_add_func("/seal/D7 changed PCR, recovery, reseal", test_update);
	g_test_add_func("/seal/D7 state approved beforehand", test_predicted);
	g_test_add_func("/seal/D8 wrong recovery keys", test_wrong_recovery);
	g_test_add_func("/seal/D8 recovery key text", test_recovery_text);
	g_test_add_func("/seal/D8 recovery key replaced", test_renew);
	g_test_add_func("/seal/D3 damaged vault files", test_damaged);
	g_test_add_func("/seal/malformed vault files", test_parse);
	g_test_add_func("/seal/sealed file as first written", test_golden_sealed);
	g_test_add_func("/seal/recovery file as first written", test_golden_recovery);
	g_test_add_func("/seal/D14 no key in a file", test_files_hold_no_key);
	g_test_add_func("/seal/D14 no second copy in memory", test_memory);
	g_test_add_func("/seal/D2 files that cannot be written", test_full_disk);
	g_test_add_func("/seal/many times", test_many);
	r = g_test_run();
	swtpm_stop(&one);
	swtpm_stop(&two);
	return r;
}
