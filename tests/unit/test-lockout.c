/* SPDX-License-Identifier: Apache-2.0 */
/* The owner is never locked out: a kill or a power cut at any call of init, pair, unlock, policy
 * set and a renewal of the recovery key; another TPM, none, or one that others meddle with.
 * KITH_SWEEP=1 tries every call, otherwise a sample. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "policyd/dispatch.h"
#include "policyd/measure.h"
#include "policyd/sandbox.h"
#include "policyd/server.h"
#include "tests/unit/policyd-fixture.h"

/* -- Calls that kill: these stand before libc's, for our code and the TSS alike -- */

enum call { CALL_FILE, CALL_TPM, CALL_ERROR, _CALL_MAX };

static struct {
	bool armed, after;
	enum call which;
	int left; /* calls until it happens */
} bomb;

/* 1 = fail, 2 = do it and die. */
static int tick(enum call which)
{
	bool error = bomb.which == CALL_ERROR;

	if (!bomb.armed || (error ? CALL_FILE : bomb.which) != which || --bomb.left)
		return 0;
	if (!error && !bomb.after)
		raise(SIGKILL);
	errno = EIO;
	return error ? 1 : 2;
}

static long end(int what, long result)
{
	if (what == 2)
		raise(SIGKILL);
	return result;
}

ssize_t write(int fd, const void *data, size_t len)
{
	int type, what = 0;
	socklen_t size = sizeof(type);

	/* So the TSS sends a command to swtpm. */
	if (fd > 2)
		what = tick(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? CALL_TPM
										   : CALL_FILE);
	return what == 1 ? -1 : end(what, syscall(SYS_write, fd, data, len));
}

int fsync(int fd)
{
	int what = tick(CALL_FILE);

	return what == 1 ? -1 : (int)end(what, syscall(SYS_fsync, fd));
}

int renameat(int from, const char *old, int to, const char *new)
{
	int what = tick(CALL_FILE);

	return what == 1 ? -1 : (int)end(what, syscall(SYS_renameat, from, old, to, new));
}

int unlinkat(int dir, const char *name, int flags)
{
	int what = tick(CALL_FILE);

	return what == 1 ? -1 : (int)end(what, syscall(SYS_unlinkat, dir, name, flags));
}

int openat(int dir, const char *name, int flags, ...)
{
	int what = flags & O_CREAT ? tick(CALL_FILE) : 0;
	mode_t mode = 0;
	va_list ap;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return what == 1 ? -1 : (int)end(what, syscall(SYS_openat, dir, name, flags, mode));
}

/* -- Requests, as kith sends them -- */

static int ask(struct device *d, int (*op)(struct caller *, const void *, void *, struct kerr *),
	       const void *request, char *ret_text, struct kerr *err)
{
	struct caller caller = caller_of(d, WHO_OWNER, 1);
	struct policyd_recovery key = {0};
	int r;

	kerr_clear(err);
	r = op(&caller, request, &key, err);
	if (r < 0 && d->core->store)
		store_rollback(d->core->store);
	if (r == 0 && ret_text)
		g_strlcpy(ret_text, key.key, VAULT_RECOVERY_TEXT);
	return r;
}

static int do_init(struct device *d, char *ret_key, struct kerr *err)
{
	return ask(d, op_init, &(struct policyd_person){"Tom"}, ret_key, err);
}

static int do_pair_open(struct device *d, char *ret_key, struct kerr *err)
{
	return ask(d, op_pair_open, &(struct policyd_window){PERSON_ROLE_GUEST, 60, 0}, ret_key,
		   err);
}

static int do_renew(struct device *d, char *ret_key, struct kerr *err)
{
	return ask(d, op_recovery_renew, NULL, ret_key, err);
}

/* As kith does after it printed the key. */
static void say_shown(struct device *d)
{
	struct kerr err = {0};

	g_assert_cmpint(ask(d, op_recovery_shown, NULL, NULL, &err), ==, 0);
}

static int do_shown(struct device *d, char *ret_key _unused_, struct kerr *err)
{
	return ask(d, op_recovery_shown, NULL, NULL, err);
}

static int do_unlock(struct device *d, char *ret_key _unused_, struct kerr *err)
{
	return core_unlock(d->core, d->recovery, err);
}

static int do_policy(struct device *d, char *ret_key _unused_, struct kerr *err)
{
	struct policyd_rules q = {.name = "work",
				  .text = (const uint8_t *)policytext_default,
				  .text_len = strlen(policytext_default)};
	static uint8_t compiled[STORE_POLICY_MAX];
	static struct policy rules;

	if (policytext_compile(policytext_default, &rules, err) < 0 ||
	    policytext_encode(&rules, compiled, sizeof(compiled), &q.compiled_len) < 0)
		return -EINVAL;
	memcpy(q.uuid, vm, sizeof(q.uuid));
	q.compiled = compiled;
	return ask(d, op_policy_set, &q, NULL, err);
}

/* Does this key open the vault? No TPM is asked. */
static bool key_opens(struct device *d, const char *key)
{
	_cleanup_vault_keys_ struct vault_keys keys = {0};

	return vault_recover(d->core->state_fd, key, &keys, NULL) == 0;
}

/* -- The sweep -- */

struct sweep {
	struct device *d;
	int (*run)(struct device *d, char *ret_key, struct kerr *err);
	void (*prepare)(struct device *d); /* with the core closed; may be NULL */
	void (*judge)(struct device *d);   /* after each restart, core open */
	unsigned extended;		   /* of PCR 4, to be there again after a power cut */
};

/* A device that has no keys yet. */
static void forget_state(struct device *d)
{
	g_autofree char *dir = g_build_filename(d->tpm.dir, "policyd", NULL);
	const char *name;
	GDir *list = g_dir_open(dir, 0, NULL);

	while (list && (name = g_dir_read_name(list))) {
		g_autofree char *path = g_build_filename(dir, name, NULL);

		g_unlink(path);
	}
	if (list)
		g_dir_close(list);
}

static void cut_power(struct sweep *s)
{
	swtpm_halt(&s->d->tpm);
	swtpm_run(&s->d->tpm, "not-need-init,startup-clear");
	boot(&s->d->tpm);
	for (unsigned i = 0; i < s->extended; i++)
		extend(&s->d->tpm, 4);
}

/* One run that dies at call `n`; false if it had fewer. A key that it returned is kept. */
static bool run_killed(struct sweep *s, enum call which, int n, bool after)
{
	struct shown {
		char key[VAULT_RECOVERY_TEXT];
	} *shown = mmap(NULL, sizeof(*shown), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	struct kerr err = {0};
	int status;
	pid_t pid;

	g_assert_true(shown != MAP_FAILED);
	pid = fork();
	if (pid == 0) {
		char key[VAULT_RECOVERY_TEXT] = "";

		if (try_open_core(s->d, &err) < 0)
			_exit(9);
		bomb.which = which;
		bomb.left = n;
		bomb.after = after;
		bomb.armed = true;
		if (s->run(s->d, key, &err) < 0)
			_exit(8);
		bomb.armed = false;
		memcpy(shown->key, key, sizeof(key));
		_exit(0);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	if (!WIFSIGNALED(status))
		g_assert_cmpint(WEXITSTATUS(status), ==, 0);
	if (shown->key[0])
		g_strlcpy(s->d->recovery, shown->key, sizeof(s->d->recovery));
	munmap(shown, sizeof(*shown));
	return WIFSIGNALED(status);
}

/* Returns how many calls there were. */
static int sweep(struct sweep *s, enum call which, int stride)
{
	int n = 1, tried = 0;
	bool killed;

	if (g_getenv("KITH_SWEEP"))
		stride = 1;
	do {
		for (int after = 0; after < (stride == 1 ? 2 : 1); after++) {
			if (s->prepare)
				s->prepare(s->d);
			killed = run_killed(s, which, n, stride == 1 ? after : (tried & 1) != 0);
			tried++;
			if (n & 2)
				cut_power(s);
			open_core(s->d);
			s->judge(s->d);
			close_core(s->d);
			if (g_test_failed()) {
				g_test_message("call %d of kind %d, after %d", n, which, after);
				return n;
			}
		}
		n += stride;
	} while (killed && n < 2000);
	g_test_message("%d calls of kind %d, %d tried", n - stride, which, tried);
	return n;
}

/* -- init and the keys that pairing makes -- */

static void start_blank(struct device *d)
{
	forget_state(d);
	d->recovery[0] = '\0';
}

/* Old or new; what was shown opens; and init can be done, or was. */
static void judge_init(struct device *d)
{
	char key[VAULT_RECOVERY_TEXT] = "";
	struct kerr err = {0};

	g_assert_true(d->core->state == POLICYD_STATE_NO_CLOUD ||
		      d->core->state == POLICYD_STATE_READY);
	if (d->recovery[0])
		g_assert_true(key_opens(d, d->recovery));
	if (d->core->state == POLICYD_STATE_READY)
		g_assert_cmpint(do_renew(d, key, &err), ==, 0);
	else
		g_assert_cmpint(do_init(d, key, &err), ==, 0);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
	g_assert_true(key_opens(d, key));
	g_assert_true(!d->recovery[0] || key_opens(d, d->recovery));
	say_shown(d);
	g_assert_true(key_opens(d, key));
	g_assert_true(!d->recovery[0] || !key_opens(d, d->recovery));
	restart(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
}

static void test_init(void)
{
	struct sweep s = {.d = device_blank("laptop", DEVICE_ROLE_LAPTOP),
			  .run = do_init,
			  .prepare = start_blank,
			  .judge = judge_init};

	/* Both kinds of call are seen, or the sweep would prove nothing. */
	g_assert_cmpint(sweep(&s, CALL_FILE, 5), >, 20);
	g_assert_cmpint(sweep(&s, CALL_TPM, 19), >, 30);
	device_free(s.d);
}

static void test_pair_open(void)
{
	struct sweep s = {.d = device_blank("laptop", DEVICE_ROLE_LAPTOP),
			  .run = do_pair_open,
			  .prepare = start_blank,
			  .judge = judge_init};

	g_assert_cmpint(sweep(&s, CALL_FILE, 5), >, 10);
	g_assert_cmpint(sweep(&s, CALL_TPM, 20), >, 20);
	device_free(s.d);
}

/* What earlier versions left: a vault alone, and a store that has no keys in it. */
static void test_half_made(void)
{
	struct device *d = device_blank("laptop", DEVICE_ROLE_LAPTOP);
	struct kerr err = {0};
	char key[VAULT_RECOVERY_TEXT];

	for (int i = 0; i < 2; i++) {
		forget_state(d);
		open_core(d);
		g_assert_cmpint(do_init(d, d->recovery, &err), ==, 0);
		if (i == 0)
			g_assert_cmpint(unlinkat(d->core->state_fd, STORE_FILE, 0), ==, 0);
		else
			rewrite(d, "DELETE FROM meta WHERE key='device_sk'");
		restart(d);
		g_assert_cmpint(d->core->state, ==, POLICYD_STATE_NO_CLOUD);
		g_assert_cmpint(do_init(d, key, &err), ==, 0);
		g_assert_true(key_opens(d, key));
		restart(d);
		g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
		close_core(d);
	}
	/* The twin: a device that lost only its sealed vault is locked, not new. */
	open_core(d);
	g_assert_cmpint(unlinkat(d->core->state_fd, VAULT_SEALED_FILE, 0), ==, 0);
	restart(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_LOCKED);
	g_assert_cmpint(do_init(d, key, &err), <, 0);
	kerr_clear(&err);
	g_strlcpy(d->recovery, key, sizeof(key));
	device_free(d);
}

/* -- unlock, policy set, a renewal -- */

static struct sweep *sweep_now;
static bool other_tpm;

static void lock_by_pcr(struct device *d)
{
	extend(&d->tpm, 4);
	sweep_now->extended++;
}

static void judge_unlock(struct device *d)
{
	struct kerr err = {0};

	/* Old or new; on another TPM, whose counter is another, the old store may look rolled back.
	 */
	g_assert_true(d->core->state == POLICYD_STATE_LOCKED ||
		      d->core->state == POLICYD_STATE_READY ||
		      (other_tpm && d->core->state == POLICYD_STATE_ROLLBACK));
	g_assert_true(key_opens(d, d->recovery));
	if (d->core->state != POLICYD_STATE_READY)
		g_assert_cmpint(core_unlock(d->core, d->recovery, &err), ==, 0);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
	g_assert_cmpint(may_start(d), ==, 0);
}

static struct device *ready(void)
{
	struct device *d = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");

	give_policy(d, policytext_default);
	close_core(d);
	return d;
}

static void test_unlock(void)
{
	struct sweep s = {
		.d = ready(), .run = do_unlock, .prepare = lock_by_pcr, .judge = judge_unlock};

	sweep_now = &s;
	g_assert_cmpint(sweep(&s, CALL_FILE, 4), >, 8);
	g_assert_cmpint(sweep(&s, CALL_TPM, 19), >, 20);
	device_free(s.d);
}

static void judge_ready(struct device *d)
{
	uint64_t version = 0;
	struct kerr err = {0};

	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
	g_assert_true(key_opens(d, d->recovery));
	g_assert_cmpint(store_policy_version(d->core->store, vm, &version, &err), ==, 0);
	g_assert_cmpuint(version, >=, 1);
	g_assert_cmpint(may_start(d), ==, 0);
}

static void test_policy_set(void)
{
	struct sweep s = {.d = ready(), .run = do_policy, .judge = judge_ready};

	g_assert_cmpint(sweep(&s, CALL_FILE, 2), >, 4);
	g_assert_cmpint(sweep(&s, CALL_TPM, 6), >, 3);
	device_free(s.d);
}

static void test_renew(void)
{
	struct sweep s = {.d = ready(), .run = do_renew, .judge = judge_ready};
	char key[VAULT_RECOVERY_TEXT];
	struct kerr err = {0};

	g_assert_cmpint(sweep(&s, CALL_FILE, 3), >, 8);
	/* The last run of a sweep ends well. */
	open_core(s.d);
	say_shown(s.d);
	close_core(s.d);
	g_assert_cmpint(sweep(&s, CALL_TPM, 6), >, 3);
	/* And what says that it was shown. */
	open_core(s.d);
	g_assert_cmpint(do_renew(s.d, key, &err), ==, 0);
	close_core(s.d);
	g_strlcpy(s.d->recovery, key, sizeof(key));
	s.run = do_shown;
	g_assert_cmpint(sweep(&s, CALL_FILE, 1), >, 4);
	device_free(s.d);
}

/* A disk that fails instead: whatever the call answered, the key shown last opens. */
static void test_renew_errors(void)
{
	struct device *d = ready();
	char key[VAULT_RECOVERY_TEXT], before[VAULT_RECOVERY_TEXT];
	struct kerr err = {0};
	unsigned failed = 0;

	open_core(d);
	for (int n = 1; n < 40; n++) {
		int r;

		g_strlcpy(before, d->recovery, sizeof(before));
		bomb.which = CALL_ERROR;
		bomb.left = n;
		bomb.armed = true;
		r = do_renew(d, key, &err);
		bomb.armed = false;
		failed += r < 0;
		if (r == 0)
			g_strlcpy(d->recovery, key, sizeof(key));
		g_assert_true(key_opens(d, d->recovery));
		if (d->core->store->broken)
			restart(d);
		g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
	}
	g_assert_cmpuint(failed, >, 5);
	/* The twin: a disk that does not fail leaves one. */
	g_assert_cmpint(do_renew(d, key, &err), ==, 0);
	say_shown(d);
	g_assert_false(key_opens(d, d->recovery));
	g_assert_true(key_opens(d, key));
	device_free(d);
}

/* A7's and H6's other half: init over a device that pairing made replaces the key that pairing
 * showed, and only if init succeeds. */
static void test_init_after_pair(void)
{
	struct device *d = device_blank("laptop", DEVICE_ROLE_LAPTOP);
	char first[VAULT_RECOVERY_TEXT], second[VAULT_RECOVERY_TEXT];
	struct kerr err = {0};
	int n = 0, r;

	open_core(d);
	g_assert_cmpint(do_pair_open(d, first, &err), ==, 0);
	do {
		bomb.which = CALL_ERROR;
		bomb.left = ++n;
		bomb.armed = true;
		r = do_init(d, second, &err);
		bomb.armed = false;
		if (r < 0)
			g_assert_true(key_opens(d, first));
		if (r < 0 && d->core->store->broken)
			restart(d);
	} while (r < 0 && n < 40);
	g_assert_cmpint(n, >, 8);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
	g_assert_true(key_opens(d, first) && key_opens(d, second));
	say_shown(d);
	g_assert_true(!key_opens(d, first) && key_opens(d, second));
	device_free(d);
}

/* -- pairing -- */

static struct device *other;

static int do_pair(struct device *d, char *ret_key _unused_, struct kerr *err)
{
	int r = try_open_core(other, err);

	if (r == 0)
		pair(d, other, PERSON_ROLE_GUEST);
	return r;
}

static void forget_peer(struct device *d, const struct device *peer)
{
	struct kerr err = {0};

	if (store_peer_revoke(d->core->store, peer->core->id.id, &err) == 0)
		g_assert_cmpint(store_commit(d->core->store, COMMIT_GUARDED, &err), ==, 0);
}

static void judge_pair(struct device *d)
{
	open_core(other);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
	g_assert_true(other->core->state == POLICYD_STATE_READY ||
		      other->core->state == POLICYD_STATE_NO_CLOUD);
	g_assert_true(other->core->id.present);
	g_assert_true(key_opens(d, d->recovery) && key_opens(other, other->recovery));
	forget_peer(d, other);
	forget_peer(other, d);
	close_core(other);
}

static void test_pair(void)
{
	struct sweep s = {.d = ready(), .run = do_pair, .judge = judge_pair};

	other = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	close_core(other);
	g_assert_cmpint(sweep(&s, CALL_FILE, 5), >, 8);
	g_assert_cmpint(sweep(&s, CALL_TPM, 40), >, 60);
	device_free(s.d);
	device_free(other);
}

/* -- Another TPM, none, a counter that is gone -- */

static void clear_tpm(struct device *d)
{
	struct tpm *t = open_tpm(d->tpm.tcti);

	g_assert_cmpuint(Esys_Clear(t->esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				    ESYS_TR_NONE),
			 ==, 0);
	tpm_free(t);
}

/* Up to the code; true if both showed one. */
static bool shows_code(struct device *a, struct device *b)
{
	const struct pairdesk_window window = {PERSON_ROLE_GUEST, 60, false, 1};
	static struct wire to_a, to_b;
	struct policyd_pair_status st;
	struct kerr err = {0};

	pairdesk_open(a->pairdesk, &window, &err);
	pairdesk_open(b->pairdesk, &window, &err);
	wire_clear(&to_a);
	wire_clear(&to_b);
	pairdesk_start(b->pairdesk, false, exporter, &to_a.buf, &err);
	pairdesk_start(a->pairdesk, true, exporter, &to_b.buf, &err);
	exchange(a, b, &to_b, &to_a);
	pairdesk_status(a->pairdesk, &st);
	pairdesk_close(a->pairdesk, 1);
	pairdesk_close(b->pairdesk, 1);
	return st.waiting;
}

static bool attests(struct world *w)
{
	bool good = attest(&w->run, exporter, exporter);

	g_test_message("%s", w->run.err.text);
	idle(w->laptop);
	idle(w->desktop);
	return good;
}

/* Another attestation key, which quotes, and a record about it or none. */
static void check_new_key(struct device *d, const struct tpm_blob *before, bool owner)
{
	struct evidence ev = {0};
	struct evidence_binding binding = {0};
	struct device_record rec;
	uint8_t record[RECORD_MAX];
	struct kerr err = {0};
	size_t len;
	int r = store_meta_get(d->core->store, STORE_DEVICE_RECORD, record, sizeof(record), &len,
			       NULL);

	g_assert_false(before->len == d->core->id.ak.pub.len &&
		       memcmp(before->data, d->core->id.ak.pub.data, before->len) == 0);
	g_assert_cmpint(measure_quote(d->core, &binding, &ev, &err), ==, 0);
	g_assert_cmpint(r, ==, owner ? 0 : -ENOENT);
	if (!owner)
		return;
	g_assert_cmpint(record_verify(record, len, d->core->id.owner_pk,
				      (uint64_t)g_get_real_time() / G_USEC_PER_SEC, &rec, &err),
			==, 0);
	g_assert_cmpmem(rec.ak_public, rec.ak_public_len, d->core->id.ak.pub.data,
			d->core->id.ak.pub.len);
}

/* TPM2_Clear, then unlock: it attests by a new key, which its peer takes when it is paired again
 * and not before. `owner`: the cleared device has the owner key. */
static void cleared(bool owner)
{
	struct world *w = world_new();
	struct device *d = owner ? w->laptop : w->desktop, *peer = owner ? w->desktop : w->laptop;
	struct tpm_blob before = d->core->id.ak.pub;
	struct kerr err = {0};
	uint64_t epoch;

	g_assert_true(attests(w));
	close_core(d);
	clear_tpm(d);
	open_core(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_LOCKED);
	g_assert_cmpint(core_unlock(d->core, d->recovery, &err), ==, 0);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
	g_assert_true(d->core->new_ak);
	check_new_key(d, &before, owner);
	restart(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
	g_assert_false(d->core->new_ak);
	check_new_key(d, &before, owner);
	/* Another TPM cannot tell whether the store is the newest (H2). */
	if (owner)
		g_assert_cmpint(handoff_claim(d->handoffs, vm, &epoch, &err), ==, 0);
	g_assert_false(attests(w));
	forget_peer(peer, d);
	/* Bob's device cannot adopt it in its owner's place. */
	if (!owner)
		g_assert_false(shows_code(d, w->bobs));
	pair(d, peer, PERSON_ROLE_GUEST);
	g_assert_cmpstr(d->core->id.owner_name, ==, "Tom");
	g_assert_true(attests(w));
	world_free(w);
}

static void test_h7_owner(void)
{
	cleared(true);
}

static void test_h7_member(void)
{
	cleared(false);
}

/* A kill between sealing to the new TPM and the new key: the next start goes on. */
static void test_h7_killed(void)
{
	struct sweep s = {
		.d = ready(), .run = do_unlock, .prepare = clear_tpm, .judge = judge_unlock};

	other_tpm = true;
	g_assert_cmpint(sweep(&s, CALL_FILE, 7), >, 12);
	other_tpm = false;
	open_core(s.d);
	g_assert_cmpint(s.d->core->state, ==, POLICYD_STATE_READY);
	g_assert_cmpint(tpm_ak_check(s.d->core->tpm, &s.d->core->id.ak, NULL), ==, 0);
	device_free(s.d);
}

/* A mark of a VM that the store does not know goes at an unlock too, which is done inside the
 * sandbox (R5): it would forbid the VM's start for ever. */
static void test_stale_marker(void)
{
	static const char stale[] = "00112233-4455-6677-8899-aabbccddeeff";
	struct device *d = ready();
	g_autofree char *path = g_build_filename(d->config.state, CUSTODY_MARKER_DIR, stale, NULL);
	struct kerr err = {0};
	int status;
	pid_t pid;

	extend(&d->tpm, 4);
	g_assert_true(g_file_set_contents(path, "?", 1, NULL));
	pid = fork();
	if (pid == 0) {
		if (core_new(&d->config, &d->core, &err) < 0 ||
		    d->core->state != POLICYD_STATE_LOCKED)
			_exit(9);
		if (sandbox_enter(&err) < 0 || core_unlock(d->core, d->recovery, &err) < 0)
			_exit(8);
		_exit(0);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	/* The twin: that of a VM that is known is there. */
	open_core(d);
	judge_ready(d);
	g_assert_cmpint(marker_may_start(d->core->marker_fd, vm, CUSTODY_USE_START, &err), ==, 0);
	device_free(d);
}

static void lose_tpm(struct device *d)
{
	close_core(d);
	g_snprintf(d->config.tcti, sizeof(d->config.tcti), "swtpm:path=%s/none", d->tpm.dir);
	open_core(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_NO_TPM);
	g_assert_nonnull(strstr(d->core->reason.text, "`kith unlock`"));
}

static void find_tpm(struct device *d)
{
	close_core(d);
	g_snprintf(d->config.tcti, sizeof(d->config.tcti), "%s", d->tpm.tcti);
	open_core(d);
}

/* Of a peer, through the op table; the code of the answer. */
static enum kcode ask_about(struct device *d, uint16_t op, const struct device *peer)
{
	static struct reply reply;
	struct wire w;

	wire_clear(&w);
	if (op != POLICYD_OP_PEER_FORGET)
		wbuf_bytes(&w.buf, vm, UUID_LEN);
	wbuf_bytes(&w.buf, peer->core->id.id, DEVICE_ID_LEN);
	if (op == POLICYD_OP_MOVE_REQUEST)
		wbuf_u8(&w.buf, MOVE_RUNG_ANY);
	ask_as(d, WHO_OWNER, op, w.room, w.buf.len, &reply);
	return reply.code;
}

/* M4: without a TPM the recovery key opens it until the next start: everything can be seen and
 * decided, nothing handed over. */
static void test_m4_alone(void)
{
	struct device *d = ready();
	struct kerr err = {0};

	open_core(d);
	lose_tpm(d);
	g_assert_cmpint(may_start(d), ==, 0);
	g_assert_cmpint(core_unlock(d->core, "nonsense", &err), ==, -EINVAL);
	kerr_clear(&err);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_NO_TPM);
	g_assert_cmpint(core_unlock(d->core, d->recovery, &err), ==, 0);
	judge_ready(d);
	g_assert_nonnull(strstr(d->core->reason.text, "cannot prove itself"));
	g_assert_cmpint(do_policy(d, NULL, &err), ==, 0);
	/* Only until the next start. */
	restart(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_NO_TPM);
	/* With the TPM again: what was done without it is not guarded, as after a roll-back. */
	find_tpm(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_ROLLBACK);
	g_assert_cmpint(core_unlock(d->core, d->recovery, &err), ==, 0);
	judge_ready(d);
	device_free(d);
}

static void test_m4_peers(void)
{
	struct world *w = world_new();
	struct device *d = w->laptop;
	struct kerr err = {0};
	char text[VAULT_RECOVERY_TEXT];
	uint64_t epoch;

	lose_tpm(d);
	g_assert_cmpint(core_unlock(d->core, d->recovery, &err), ==, 0);
	g_assert_cmpint(ask_about(d, POLICYD_OP_MOVE_REQUEST, w->desktop), ==, KCODE_TPM);
	g_assert_cmpint(ask_about(d, POLICYD_OP_PLAN, w->desktop), ==, KCODE_TPM);
	g_assert_cmpint(do_pair_open(d, text, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_TPM);
	/* Nobody can tell without the TPM whether this is the newest state. */
	g_assert_cmpint(may_start(d), <, 0);
	kerr_clear(&err);
	g_assert_cmpint(handoff_claim(d->handoffs, vm, &epoch, &err), ==, 0);
	g_assert_cmpint(may_start(d), ==, 0);
	g_assert_cmpint(ask_about(d, POLICYD_OP_PEER_FORGET, w->bobs), ==, KCODE_OK);
	find_tpm(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_ROLLBACK);
	g_assert_cmpint(core_unlock(d->core, d->recovery, &err), ==, 0);
	g_assert_cmpint(
		store_peer_get(d->core->store, w->bobs->core->id.id, &(struct store_peer){0}, NULL),
		==, -ENOENT);
	world_free(w);
}

/* M9: whoever owns the TPM can still remove the counter; the owner gets back in. */
static void test_counter_gone(void)
{
	struct device *d = ready();
	struct kerr err = {0};
	struct tpm *t = open_tpm(d->tpm.tcti);

	g_assert_cmpint(remove_index(t, TPM_COUNTER_FIRST + 0x4b54, &err), ==, 0);
	tpm_free(t);
	open_core(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_LOCKED);
	g_assert_cmpint(d->core->reason.code, ==, KCODE_LOCKED);
	g_assert_nonnull(strstr(d->core->reason.text, "counter"));
	judge_unlock(d);
	restart(d);
	judge_ready(d);
	device_free(d);
}

/* Seen in the lab: two at once, and kithd stayed with the one that was locked. */
static void test_one(void)
{
	struct device *d = ready();
	struct core *second = NULL;
	struct kerr err = {0};

	open_core(d);
	g_assert_cmpint(core_new(&d->config, &second, &err), ==, -EBUSY);
	g_assert_null(second);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	g_assert_nonnull(strstr(err.text, "Another kith-policyd"));
	judge_ready(d);
	restart(d);
	judge_ready(d);
	device_free(d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(secret_process_setup(), ==, 0);
	g_test_add_func("/lockout/H6 init killed anywhere", test_init);
	g_test_add_func("/lockout/H6 pair's first step killed anywhere", test_pair_open);
	g_test_add_func("/lockout/H6 half-made by earlier versions", test_half_made);
	g_test_add_func("/lockout/H6 unlock killed anywhere", test_unlock);
	g_test_add_func("/lockout/H6 policy set killed anywhere", test_policy_set);
	g_test_add_func("/lockout/H6 pairing killed anywhere", test_pair);
	g_test_add_func("/lockout/H6 renewal of the recovery key killed anywhere", test_renew);
	g_test_add_func("/lockout/H6 renewal on a failing disk", test_renew_errors);
	g_test_add_func("/lockout/A7 init replaces the key that pair showed, or leaves it",
			test_init_after_pair);
	g_test_add_func("/lockout/H7 TPM2_Clear of the owner's device", test_h7_owner);
	g_test_add_func("/lockout/H7 TPM2_Clear of a device without owner key", test_h7_member);
	g_test_add_func("/lockout/H7 unlock on a new TPM killed anywhere", test_h7_killed);
	g_test_add_func("/lockout/R5 a mark of nothing goes at an unlock", test_stale_marker);
	g_test_add_func("/lockout/M4 unlock without a TPM", test_m4_alone);
	g_test_add_func("/lockout/M4 without a TPM nothing is handed over", test_m4_peers);
	g_test_add_func("/lockout/M9 the counter is removed", test_counter_gone);
	g_test_add_func("/lockout/one kith-policyd at a time", test_one);
	return g_test_run();
}
