/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: real software TPMs in directories of their own, and a P-256 authority. */
#pragma once

#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "attest/pk.h"
#include "policyd/seal.h"
#include "policyd/tpm-internal.h"

struct swtpm {
	char *dir, *tcti;
	pid_t pid;
};

static inline bool swtpm_answers(const struct swtpm *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool up;

	g_snprintf(a.sun_path, sizeof(a.sun_path), "%s/sock", s->dir);
	up = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return up;
}

static inline void swtpm_run(struct swtpm *s, const char *flags)
{
	g_autofree char *state = g_strdup_printf("dir=%s", s->dir);
	g_autofree char *server = g_strdup_printf("type=unixio,path=%s/sock", s->dir);
	g_autofree char *ctrl = g_strdup_printf("type=unixio,path=%s/sock.ctrl", s->dir);
	g_autofree char *log = g_strdup_printf("file=%s/log", s->dir);
	pid_t parent = getpid();

	s->pid = fork();
	g_assert_cmpint(s->pid, >=, 0);
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server",
		       server, "--ctrl", ctrl, "--log", log, "--flags", flags, NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000 && !swtpm_answers(s); i++)
		g_usleep(10000);
	g_assert_true(swtpm_answers(s));
}

static inline void swtpm_start(struct swtpm *s)
{
	s->dir = g_dir_make_tmp("kith-swtpm-XXXXXX", NULL);
	g_assert_nonnull(s->dir);
	s->tcti = g_strdup_printf("swtpm:path=%s/sock", s->dir);
	swtpm_run(s, "not-need-init,startup-clear");
}

static inline void swtpm_halt(struct swtpm *s)
{
	kill(s->pid, SIGTERM);
	waitpid(s->pid, NULL, 0);
}

static inline void remove_tree(const char *path)
{
	GDir *d = g_dir_open(path, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		g_autofree char *sub = g_build_filename(path, name, NULL);

		if (g_unlink(sub) < 0)
			remove_tree(sub); /* a folder that policyd made */
	}
	if (d)
		g_dir_close(d);
	g_rmdir(path);
}

static inline void swtpm_stop(struct swtpm *s)
{
	swtpm_halt(s);
	remove_tree(s->dir);
	g_free(s->dir);
	g_free(s->tcti);
}

static inline struct tpm *open_tpm(const char *tcti)
{
	struct kerr err = {0};
	struct tpm *t = NULL;

	g_assert_cmpint(tpm_open(tcti, &t, &err), ==, 0);
	g_assert_cmpstr(err.text, ==, "");
	return t;
}

/* Objects and sessions that are loaded right now: 0 after every call of ours. */
static inline unsigned loaded(struct tpm *t)
{
	static const TPM2_HT types[] = {TPM2_HT_TRANSIENT, TPM2_HT_LOADED_SESSION,
					TPM2_HT_SAVED_SESSION};
	unsigned n = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		TPMS_CAPABILITY_DATA *data = NULL;
		TPMI_YES_NO more;

		g_assert_cmpuint(Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE,
						    ESYS_TR_NONE, TPM2_CAP_HANDLES,
						    (TPM2_HANDLE)types[i] << TPM2_HR_SHIFT, 16,
						    &more, &data),
				 ==, 0);
		n += data->data.handles.count;
		Esys_Free(data);
	}
	return n;
}

/* Removes an NV index, as whoever owns the TPM can. */
static inline int remove_index(struct tpm *t, uint32_t index, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle nv = TPM_HANDLE_INIT(t);
	int r = tpm_enter(t, err);
	TSS2_RC rc;

	if (r < 0)
		return r;
	nv.is_nv = true;
	rc = TPM_CALL(t, TR_FromTPMPublic, index, NO_SESSION, &nv.tr);
	if (rc == TSS2_RC_SUCCESS)
		rc = TPM_CALL(t, NV_UndefineSpace, ESYS_TR_RH_OWNER, nv.tr,
			      SESSION(ESYS_TR_PASSWORD));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_result(rc, "remove an NV index", err);
	nv.tr = ESYS_TR_NONE;
	return 0;
}

static inline void extend_pcr(struct tpm *t, unsigned pcr)
{
	TPML_DIGEST_VALUES v = {.count = 1};

	v.digests[0].hashAlg = TPM2_ALG_SHA256;
	memset(v.digests[0].digest.sha256, 0x5a, 32);
	g_assert_cmpuint(Esys_PCR_Extend(t->esys, ESYS_TR_PCR0 + pcr, ESYS_TR_PASSWORD,
					 ESYS_TR_NONE, ESYS_TR_NONE, &v),
			 ==, 0);
}

/* The authority key, in software, and what it approves. */
struct authority {
	struct p256_public pub;
	uint8_t d[32];
};

static inline void make_authority(struct authority *a)
{
	g_assert_cmpint(pk_p256_generate(a->d, &a->pub), ==, 0);
}

static inline void sign_approval(const struct authority *a, struct tpm_approval *ok)
{
	uint8_t hash[HASH_LEN];

	tpm_approval_hash(&ok->pcrs, hash);
	g_assert_cmpint(pk_p256_sign(a->d, &a->pub, hash, &ok->sig), ==, 0);
}

static inline struct tpm_approval approve(struct tpm *t, struct authority *a, uint32_t mask)
{
	struct tpm_approval ok = {.pcrs.mask = mask};

	g_assert_cmpint(tpm_pcr_read(t, mask, ok.pcrs.values, NULL), ==, 0);
	sign_approval(a, &ok);
	return ok;
}

static inline int unseal(struct tpm *t, const struct tpm_sealed *s, const struct authority *a,
			 const struct tpm_approval *ok, const struct secret *want,
			 enum kcode *ret_code)
{
	_cleanup_secret_ struct secret got = SECRET_INIT;
	struct kerr err = {0};
	int r = tpm_unseal(t, s, &a->pub, ok, &got, &err);

	*ret_code = err.code;
	if (r == 0)
		g_assert_true(got.len == want->len && memcmp(got.data, want->data, got.len) == 0);
	else
		g_assert_null(got.data);
	if (!t->broken)
		g_assert_cmpuint(loaded(t), ==, 0);
	return r;
}

/* Milliseconds. */
static inline double since(gint64 from)
{
	return (double)(g_get_monotonic_time() - from) / 1000.0;
}
