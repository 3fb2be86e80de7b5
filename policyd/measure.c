/* SPDX-License-Identifier: Apache-2.0 */
/* Own evidence; versions come from files this process can read itself, not from what it is told. */
#include "policyd/measure.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/utsname.h>

#include "config.h"
#include "policyd/core.h"

/* Programs whose exchange a peer should notice; several places, as distributions differ. Hashing
 * QEMU takes longer than a quote; a peer may ask for one at any time (H5). */
static struct program {
	const char *component, *paths[2];
	struct measure_cache caches[2];
} programs[] = {
	{.component = "libvirt", .paths = {"/usr/sbin/libvirtd", "/usr/sbin/virtqemud"}},
	{.component = "qemu",
	 .paths = {"/usr/bin/qemu-system-x86_64", "/usr/bin/qemu-system-aarch64"}},
};

static int hash_open_file(int fd, uint8_t ret[HASH_LEN])
{
	crypto_hash_sha256_state state;
	static uint8_t block[65536];
	ssize_t n;

	crypto_hash_sha256_init(&state);
	while ((n = read(fd, block, sizeof(block))) > 0)
		crypto_hash_sha256_update(&state, block, (unsigned long long)n);
	if (n < 0)
		return -errno;
	crypto_hash_sha256_final(&state, ret);
	return 0;
}

/* What a file was when it was hashed. Whoever can change it without changing these is root, and
 * could change what is said here as well. */
static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

int measure_file(const char *path, struct measure_cache *cache, uint8_t ret[HASH_LEN])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat before, after;
	int r = 0;

	if (fd < 0 || fstat(fd, &before) < 0)
		return -errno;
	if (!cache->full || !is_same_file(&before, &cache->of)) {
		r = hash_open_file(fd, cache->hash);
		cache->of = before;
		/* Kept only if it did not change meanwhile. */
		cache->full = r == 0 && fstat(fd, &after) == 0 && is_same_file(&before, &after);
	}
	if (r == 0)
		memcpy(ret, cache->hash, HASH_LEN);
	return r;
}

static void put_line(char *ret, size_t size, const char *component, const char *value)
{
	size_t len = strlen(ret);

	snprintf(ret + len, size - len, "%s%s=%s", len ? "\n" : "", component, value);
}

static void put_program(char *ret, size_t size, struct program *p)
{
	uint8_t hash[HASH_LEN];
	char value[8 + 32 + 1] = "sha256:";

	for (size_t i = 0; i < ARRAY_SIZE(p->paths); i++) {
		if (measure_file(p->paths[i], &p->caches[i], hash) < 0)
			continue;
		hex_encode(hash, 16, value + 7);
		put_line(ret, size, p->component, value);
		return;
	}
	put_line(ret, size, p->component, "absent");
}

void measure_versions(char *ret, size_t size)
{
	struct utsname u;

	ret[0] = '\0';
	put_line(ret, size, "kernel", uname(&u) == 0 ? u.release : "unknown");
	put_line(ret, size, "kith", PACKAGE_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		put_program(ret, size, &programs[i]);
}

int measure_quote(struct core *core, const struct evidence_binding *binding, struct evidence *ret,
		  struct kerr *err)
{
	struct evidence ev = {0};
	uint8_t qualifying[HASH_LEN];
	int r = core_require_tpm(core, err);

	if (r < 0)
		return r;
	measure_versions(ev.versions, sizeof(ev.versions));
	evidence_qualifying(binding, &ev, qualifying);
	r = tpm_quote(core->tpm, &core->id.ak, qualifying, core->config.pcrs, &ev, err);
	if (r == 0)
		*ret = ev;
	return r;
}

int measure_state(struct core *core, struct measure_state *ret, struct kerr *err)
{
	struct measure_state st = {0};
	struct tpm_clock clock;
	int r = core_require_tpm(core, err);

	if (r == 0)
		r = tpm_clock(core->tpm, &clock, err);
	if (r == 0)
		r = tpm_pcr_read(core->tpm, core->config.pcrs, st.pcr, err);
	if (r < 0)
		return r;
	st.reset_count = clock.reset_count;
	st.restart_count = clock.restart_count;
	*ret = st;
	return 0;
}

static void measure_state_code(struct coder *c, struct measure_state *v)
{
	code_u32(c, &v->reset_count);
	code_u32(c, &v->restart_count);
	CODE_BYTES(c, v->pcr);
}
DEFINE_CODEC(measure_state)

int measure_unchanged(struct core *core, const struct measure_state *before, struct kerr *err)
{
	struct measure_state now;
	int r = measure_state(core, &now, err);

	if (r < 0)
		return r;
	if (now.reset_count != before->reset_count || now.restart_count != before->restart_count)
		return kerr_set(
			err, ESTALE, KCODE_ATTEST_PCR,
			"This device's TPM was restarted since the devices proved themselves.");
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (memcmp(now.pcr[i], before->pcr[i], HASH_LEN) != 0)
			return kerr_set(
				err, ESTALE, KCODE_ATTEST_PCR,
				"The measurement of %s (PCR %u) changed on this device since "
				"the devices proved themselves.",
				pcr_meaning(i), i);
	return 0;
}
