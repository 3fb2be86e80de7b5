/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up order and states of the trusted core. */
#include "policyd/core.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "attest/evidence.h"
#include "attest/pk.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "policyd/custody-marker.h"

/* One index in the owner range; the number has no meaning but must stay. */
#define COUNTER_INDEX (TPM_COUNTER_FIRST + 0x4b54)

#define LOCK_FILE "lock"
#define LOCK_TRIES 50 /* every 100 ms: a predecessor that ends has so long */

static void set_state(struct core *core, enum policyd_state state, const struct kerr *reason)
{
	if (core->state != state)
		log_notice("state", "%s -> %s%s%s", policyd_state_to_string(core->state),
			   policyd_state_to_string(state), reason ? ": " : "",
			   reason ? reason->text : "");
	core->state = state;
	if (reason)
		core->reason = *reason;
	else
		kerr_clear(&core->reason);
}

/* -- Callbacks handed to the store -- */

typedef int counter_fn(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
		       uint64_t *ret, struct kerr *err);

/* Only this device's vault has what opens its counter. */
static int use_counter(struct core *core, counter_fn *use, uint64_t *ret, struct kerr *err)
{
	uint8_t auth[TPM_COUNTER_AUTH_LEN];
	int r;

	vault_counter_auth(&core->keys, auth);
	r = use(core->tpm, COUNTER_INDEX, auth, ret, err);
	sodium_memzero(auth, sizeof(auth));
	return r;
}

static int counter_read(void *ctx, uint64_t *ret)
{
	return use_counter(ctx, tpm_counter_read, ret, NULL);
}

static int counter_increment(void *ctx, uint64_t *ret)
{
	return use_counter(ctx, tpm_counter_increment, ret, NULL);
}

static int counter_create(struct core *core, struct kerr *err)
{
	uint64_t value;

	return use_counter(core, tpm_counter_create, &value, err);
}

static struct store_guard guard_of(struct core *core)
{
	return (struct store_guard){counter_read, counter_increment, core};
}

/* -- Opening -- */

static bool has_file(const struct core *core, const char *name)
{
	return faccessat(core->state_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* That there is none, and what is possible nevertheless. */
static void say_no_tpm(const struct core *core, struct kerr *ret)
{
	kerr_clear(ret);
	kerr_set(ret, EIO, KCODE_TPM, "%s%s", core->tpm_missing.text,
		 core->store
			 ? " This device is open until kith-policyd starts again, by its "
			   "recovery key. It cannot prove itself, so it hands over and takes no "
			   "VM."
		 : has_file(core, STORE_FILE)
			 ? " Restart kith-policyd when it works again. Until then `kith unlock` "
			   "opens this device, but it cannot hand over or take a VM."
			 : "");
}

void core_update_state(struct core *core)
{
	struct kerr no_tpm;

	say_no_tpm(core, &no_tpm);
	set_state(core, core->id.cloud ? POLICYD_STATE_READY : POLICYD_STATE_NO_CLOUD,
		  core->tpm ? NULL : &no_tpm);
}

/* Earlier versions wrote the store before the device had keys: nothing of value was in it. */
static bool is_half_made(struct core *core)
{
	_cleanup_secret_ struct secret key = SECRET_INIT;

	return store_meta_get_secret(core->store, STORE_DEVICE_SK, &key, NULL) == -ENOENT;
}

static void set_locked(struct core *core, struct kerr *why)
{
	/* Whatever it was, the way in is the same. */
	if (why->code != KCODE_ROLLBACK)
		why->code = KCODE_LOCKED;
	set_state(core, why->code == KCODE_ROLLBACK ? POLICYD_STATE_ROLLBACK : POLICYD_STATE_LOCKED,
		  why);
}

void core_own_record(const struct core *core, struct device_record *ret)
{
	struct device_record rec = {.version = RECORD_VERSION,
				    .role = core->config.role,
				    .tier = tpm_facts(core->tpm)->tier};

	memcpy(rec.name, core->config.name, sizeof(rec.name));
	memcpy(rec.sign_pk, core->id.sign_pk, sizeof(rec.sign_pk));
	rec.ak_public_len = MIN_OF(core->id.ak.pub.len, sizeof(rec.ak_public));
	memcpy(rec.ak_public, core->id.ak.pub.data, rec.ak_public_len);
	crypto_hash_sha256(rec.ek_hash, core->id.ek_pub.data, core->id.ek_pub.len);
	*ret = rec;
}

/* The attestation key lives in one TPM. A vault that opens on another one was sealed to it by the
 * recovery key; then the key is made anew, here, so that a crash in between changes nothing. */
static int check_ak(struct core *core, struct kerr *err)
{
	struct device_record rec;
	struct kerr why = {0};
	int r;

	if (!core->tpm)
		return 0;
	r = tpm_ak_check(core->tpm, &core->id.ak, &why);
	if (r != -EXDEV) {
		/* A TPM that fails says so again when it shall quote. */
		if (r < 0)
			log_warning("state", "attestation key: %s", why.text);
		return 0;
	}
	r = identity_renew_ak(core->store, core->tpm, &core->id, err);
	if (r == 0) {
		core_own_record(core, &rec);
		r = core->id.cloud ? identity_renew_record(core->store, &core->id, &rec, err) : 0;
	}
	if (r == 0)
		r = core_audit(core, core->id.owner_name, core->config.name, "", "new-tpm-key",
			       NULL);
	if (r == 0)
		r = store_commit(core->store, COMMIT_GUARDED, err);
	if (r < 0)
		return r;
	core->new_ak = true;
	log_notice("state", "This device has another TPM than before: it has to be paired again.");
	return 0;
}

/* What follows when the file is open; closes it again where that fails. */
static int load_store(struct core *core, struct kerr *err)
{
	int r = store_verify(core->store, err);

	if (r == 0 && is_half_made(core)) {
		core->store = store_free(core->store);
		set_state(core, POLICYD_STATE_NO_CLOUD, NULL);
		return 0;
	}
	if (r == 0)
		r = identity_load(core->store, core->tpm, &core->id, err);
	if (r == 0)
		r = check_ak(core, err);
	/* Nobody waits for what was asked of an earlier run, whose clock was another one (M11). */
	if (r == 0 && store_request_expire(core->store, UINT64_MAX, err) > 0)
		r = store_commit(core->store, COMMIT_PLAIN, err);
	if (r == 0)
		r = store_custody_markers(core->store, core->marker_fd, err);
	if (r == 0) {
		core_update_state(core);
		return 0;
	}
	core->store = store_free(core->store);
	identity_clear(&core->id);
	return r;
}

static void open_store(struct core *core)
{
	struct store_guard guard = guard_of(core);
	struct kerr err = {0};
	int r = store_open(core->state_fd, &core->keys.db, &guard, &core->store, &err);

	if (r == 0)
		r = load_store(core, &err);
	if (r < 0)
		set_locked(core, &err);
}

/* Adds to the sentence what changed, where the measurements tell. */
static void name_changes(uint32_t changed, struct kerr *err)
{
	struct kerr plain = *err;
	char list[256];

	if (!changed)
		return;
	pcr_words(changed, list, sizeof(list));
	kerr_clear(err);
	kerr_set(err, 0, plain.code, "%s Changed: %s.", plain.text, list);
}

static void open_vault(struct core *core)
{
	struct kerr err = {0};
	uint32_t changed = 0;
	int r;

	/* The store is written last, and whole: without it there is no device yet (H6). */
	if (!has_file(core, STORE_FILE)) {
		set_state(core, POLICYD_STATE_NO_CLOUD, NULL);
		return;
	}
	if (vault_exists(core->state_fd) == 0)
		r = kerr_set(&err, ENOENT, KCODE_LOCKED,
			     "The sealed vault of this device is missing.");
	else
		r = vault_open(core->tpm, core->state_fd, &core->keys, &changed, &err);
	if (r < 0) {
		if (r == -EPERM)
			name_changes(changed, &err);
		set_locked(core, &err);
		return;
	}
	open_store(core);
}

static void open_all(struct core *core)
{
	struct kerr err = {0};

	if (tpm_open(core->config.tcti, &core->tpm, &core->tpm_missing) < 0) {
		say_no_tpm(core, &err);
		set_state(core, POLICYD_STATE_NO_TPM, &err);
		return;
	}
	open_vault(core);
}

static int open_folder(const char *parent, const char *name, mode_t mode, int *ret_fd,
		       struct kerr *err)
{
	char path[256];
	int n = snprintf(path, sizeof(path), "%s/%s", parent, name), r = -ENAMETOOLONG;

	if (n > 0 && (size_t)n < sizeof(path))
		r = dir_open(path, mode, ret_fd);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Cannot open the folder %s: %s.", path,
				strerror(-r));
	return 0;
}

/* Two processes on one store would each think that they are the one; a restart may overlap. */
static int lock_folder(struct core *core, struct kerr *err)
{
	const struct timespec pause = {0, 100 * 1000000L};
	int r = -EWOULDBLOCK;

	core->lock_fd =
		openat(core->state_fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (core->lock_fd < 0)
		return kerr_set(err, errno, KCODE_FAILED,
				"Cannot open %s/policyd/" LOCK_FILE ": %s.", core->config.state,
				strerror(errno));
	for (int i = 0; r == -EWOULDBLOCK && i < LOCK_TRIES; i++) {
		if (i)
			nanosleep(&pause, NULL);
		r = flock(core->lock_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	}
	if (r == -EWOULDBLOCK)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"Another kith-policyd is running on %s/policyd, so this one ends. "
				"End the other one first if this is the one that should run.",
				core->config.state);
	return r < 0 ? kerr_set(err, -r, KCODE_FAILED, "Cannot lock %s/policyd: %s.",
				core->config.state, strerror(-r))
		     : 0;
}

int core_new(const struct config *config, struct core **ret, struct kerr *err)
{
	_cleanup_(core_freep) struct core *core = calloc(1, sizeof(*core));
	int r;

	if (!core)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	core->config = *config;
	core->state_fd = core->marker_fd = core->lock_fd = -EBADF;
	r = open_folder(config->state, "policyd", 0700, &core->state_fd, err);
	if (r == 0)
		r = lock_folder(core, err);
	if (r == 0)
		r = open_folder(config->state, CUSTODY_MARKER_DIR, 0755, &core->marker_fd, err);
	if (r < 0)
		return r;
	open_all(core);
	*ret = TAKE_PTR(core);
	return 0;
}

struct core *core_free(struct core *core)
{
	if (!core)
		return NULL;
	core_audit_end(core);
	identity_clear(&core->id);
	store_free(core->store);
	vault_keys_clear(&core->keys);
	tpm_free(core->tpm);
	if (core->state_fd >= 0)
		close(core->state_fd);
	if (core->marker_fd >= 0)
		close(core->marker_fd);
	/* Last: the next one may open when all of it is closed. */
	if (core->lock_fd >= 0)
		close(core->lock_fd);
	free(core);
	return NULL;
}

/* All that a device is, in one commit: a crash leaves nothing, or a device that is complete. */
static int create_store(struct core *core, struct kerr *err)
{
	struct store_guard guard = guard_of(core);
	int r = counter_create(core, err);

	if (r == 0)
		r = store_create(core->state_fd, &core->keys.db, &guard, &core->store, err);
	if (r == 0)
		r = store_custody_markers(core->store, core->marker_fd, err);
	if (r == 0)
		r = identity_create(core->store, core->tpm, &core->id, err);
	if (r == 0)
		r = store_meta_set(core->store, STORE_AUTHORITY_SK, core->keys.authority.data,
				   core->keys.authority.len, err);
	if (r == 0)
		r = store_commit(core->store, COMMIT_GUARDED, err);
	return r;
}

/* What a creation that did not end left. In this order each rest is one of these again. */
static int discard_half(struct core *core, struct kerr *err)
{
	static const char *const names[] = {STORE_FILE, VAULT_SEALED_FILE, VAULT_RECOVERY_FILE};
	int r = 0;

	vault_keys_clear(&core->keys);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
		if (!has_file(core, names[i]))
			continue;
		log_warning("state", "%s of a device that was never complete is removed.",
			    names[i]);
		if (unlinkat(core->state_fd, names[i], 0) < 0 || fsync(core->state_fd) < 0)
			r = -errno;
	}
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED,
				"What an earlier try left cannot be removed: %s.", strerror(-r));
	return 0;
}

int core_ensure_device(struct core *core, char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err)
{
	int r;

	ret_recovery[0] = '\0';
	if (core->id.present)
		return 0;
	if (core->state != POLICYD_STATE_NO_CLOUD)
		return core_require_device(core, err);
	r = discard_half(core, err);
	if (r == 0)
		r = vault_create(core->tpm, core->state_fd, core->config.pcrs, ret_recovery,
				 &core->keys, err);
	if (r == 0)
		r = create_store(core, err);
	if (r < 0) {
		core->store = store_free(core->store);
		identity_clear(&core->id);
		vault_keys_clear(&core->keys);
		sodium_memzero(ret_recovery, VAULT_RECOVERY_TEXT);
	}
	return r;
}

static int unlock_with_tpm(struct core *core, bool *ret_lost, struct kerr *err)
{
	struct store_guard guard = guard_of(core);
	int r = vault_reseal(core->tpm, core->state_fd, core->config.pcrs, &core->keys, err);

	if (r == 0)
		r = counter_create(core, err);
	if (r == 0)
		r = store_open_rebase(core->state_fd, &core->keys.db, &guard, &core->store,
				      ret_lost, err);
	return r < 0 ? r : load_store(core, err);
}

static int unlock_without_tpm(struct core *core, const struct kerr *why, struct kerr *err)
{
	int r = store_open_unguarded(core->state_fd, &core->keys.db, &core->store, err);

	if (r < 0)
		return r;
	core->tpm = tpm_free(core->tpm);
	core->tpm_missing = *why;
	return load_store(core, err);
}

int core_unlock(struct core *core, const char *recovery, struct kerr *err)
{
	struct kerr why = core->tpm_missing;
	bool lost = false;
	int r;

	if (core->state != POLICYD_STATE_LOCKED && core->state != POLICYD_STATE_ROLLBACK &&
	    core->state != POLICYD_STATE_NO_TPM)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "This device is not locked.");
	vault_keys_clear(&core->keys);
	core->new_ak = false;
	r = vault_recover(core->state_fd, recovery, &core->keys, err);
	if (r < 0)
		return r;
	if (core->tpm)
		r = unlock_with_tpm(core, &lost, &why);
	/* The recovery key opens whatever the TPM does. */
	if (!core->tpm || (r < 0 && why.code == KCODE_TPM))
		r = unlock_without_tpm(core, &why, err);
	else if (r < 0)
		kerr_set(err, -r, why.code, "%s", why.text);
	if (r < 0) {
		core->store = store_free(core->store);
		vault_keys_clear(&core->keys);
		return r;
	}
	if (core->store && core_audit(core, core->id.owner_name, core->config.name, "",
				      lost	  ? "rollback-accepted"
				      : core->tpm ? "unlock"
						  : "unlock-without-tpm",
				      NULL) == 0)
		store_commit(core->store, COMMIT_PLAIN, NULL);
	return core_require_device(core, err);
}

int core_require_tpm(const struct core *core, struct kerr *err)
{
	struct kerr why;

	if (core->tpm)
		return 0;
	say_no_tpm(core, &why);
	return kerr_set(err, EIO, why.code, "%s", why.text);
}

static int no_owner(struct kerr *err)
{
	return kerr_set(err, EAGAIN, KCODE_NOT_READY,
			"This device belongs to nobody yet. Run `kith init` to make a new cloud, "
			"or `kith pair` to join one.");
}

int core_require_device(const struct core *core, struct kerr *err)
{
	if (core->state == POLICYD_STATE_READY)
		return 0;
	if (core->state == POLICYD_STATE_NO_CLOUD)
		return core->id.present ? 0 : no_owner(err);
	return kerr_set(err, EAGAIN,
			core->reason.code == KCODE_OK ? KCODE_NOT_READY : core->reason.code, "%s",
			core->reason.text);
}

int core_require_ready(const struct core *core, struct kerr *err)
{
	return core->state == POLICYD_STATE_NO_CLOUD ? no_owner(err)
						     : core_require_device(core, err);
}
