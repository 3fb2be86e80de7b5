/* SPDX-License-Identifier: Apache-2.0 */
/* Looks, and judges nothing. What a user may not see is unknown, not absent. */
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <time.h>

#include "base/ipc.h"
#include "base/user.h"
#include "ui-tui/cli.h"
#include "ui-tui/doctor.h"
#include "ui-tui/tool.h"

#define TPM_DEVICE "/dev/tpmrm0"
#define HOOK "/etc/libvirt/hooks/qemu.d/kith"
#define SWTPM_SOCKET "swtpm/sock" /* below the run directory */

static enum seen file_seen(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		return SEEN_YES;
	return errno == ENOENT || errno == ENOTDIR ? SEEN_NO : SEEN_UNKNOWN;
}

/* Whether somebody listens there. Without `knock` that there is a socket has to do: systemd starts
 * what is knocked at, and `kith status` must not keep libvirtd from going to sleep. */
static enum seen socket_seen(const char *path, bool knock)
{
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un sa;

	if (!knock)
		return file_seen(path);
	if (ipc_address(path, &sa) < 0)
		return SEEN_UNKNOWN;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return SEEN_UNKNOWN;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EAGAIN)
		return SEEN_YES;
	return errno == ENOENT || errno == ECONNREFUSED ? SEEN_NO : SEEN_UNKNOWN;
}

static void see_tpm(struct cli *cli, struct facts *f)
{
	const struct group *tss = getgrnam("tss");
	struct stat st;
	char path[256];

	f->tpm_device = file_seen(TPM_DEVICE);
	if (tss && stat(TPM_DEVICE, &st) == 0)
		f->tpm_group = st.st_gid == tss->gr_gid && (st.st_mode & 0060) == 0060 ? SEEN_YES
										       : SEEN_NO;
	else if (!tss)
		f->tpm_group = SEEN_NO;
	f->swtpm_there = tool_there("swtpm") ? SEEN_YES : SEEN_NO;
	if (config_run_path(&cli->config, SWTPM_SOCKET, path, sizeof(path)) == 0)
		f->swtpm = file_seen(path);
}

static void see_libvirt(struct facts *f, bool knock)
{
	static const char *const drop_ins[] = {"/etc", "/run", "/usr/local/lib", "/usr/lib",
					       "/lib"};
	char path[128];

	f->libvirt = socket_seen("/run/libvirt/libvirt-sock", knock);
	f->libvirt_there = f->libvirt == SEEN_YES || tool_there("libvirtd") ? SEEN_YES : SEEN_NO;
	f->hook = file_seen(HOOK);
	/* libvirtd is root, for which one of the three bits will do. */
	if (f->hook == SEEN_YES) {
		struct stat st;

		f->hook_runs = stat(HOOK, &st) == 0 && st.st_mode & 0111 ? SEEN_YES : SEEN_NO;
	}
	f->fence = SEEN_NO;
	for (size_t i = 0; i < ARRAY_SIZE(drop_ins); i++) {
		enum seen seen;

		snprintf(path, sizeof(path), "%s/systemd/system/libvirtd.service.d/kith-fence.conf",
			 drop_ins[i]);
		seen = file_seen(path);
		if (seen == SEEN_YES || (seen == SEEN_UNKNOWN && f->fence == SEEN_NO))
			f->fence = seen;
	}
}

static void see_images(struct facts *f)
{
	const char *path = f->config.images;
	struct statvfs fs;
	struct stat st;
	uid_t mover;

	if (stat(path, &st) < 0) {
		f->images = errno == ENOENT || errno == ENOTDIR ? IMAGES_MISSING : IMAGES_UNSEEN;
		return;
	}
	if (!user_find("kith-mover", &mover))
		return;
	if (!S_ISDIR(st.st_mode) ||
	    !((st.st_uid == mover && st.st_mode & 0200) || st.st_mode & 0002))
		f->images = IMAGES_FORBIDDEN;
	else if (statvfs(path, &fs) == 0) {
		f->images = IMAGES_GOOD;
		f->images_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	}
}

/* By libvirt itself, as root: others may be asked for a password. */
static void see_network(struct facts *f)
{
	char all[4096], active[4096];
	static const char *const list[] = {"virsh",    "-q",	 "-c", "qemu:///system",
					   "net-list", "--name", NULL};
	static const char *const list_all[] = {"virsh",	   "-q",    "-c",     "qemu:///system",
					       "net-list", "--all", "--name", NULL};

	if (!f->root || f->libvirt != SEEN_YES || tool_run(list, active, sizeof(active)) != 0 ||
	    tool_run(list_all, all, sizeof(all)) != 0)
		return;
	if (strncmp(active, "default\n", 8) == 0 || strstr(active, "\ndefault\n"))
		f->network = NETWORK_ON;
	else
		f->network = strncmp(all, "default\n", 8) == 0 || strstr(all, "\ndefault\n")
				     ? NETWORK_OFF
				     : NETWORK_NONE;
}

static void see_clock(struct facts *f)
{
	struct timex t = {0};
	int state = adjtimex(&t);

	f->now = (uint64_t)time(NULL);
	if (state >= 0)
		f->clock_kept = t.status & STA_UNSYNC ? SEEN_NO : SEEN_YES;
}

/* What kith-mover meets; only the owner may ask that. */
static void see_mover(struct cli *cli, struct facts *f)
{
	struct kerr ignored = {0};
	json_t *vms;

	if (f->services[2].run == SERVICE_AWAY ||
	    cli_agent(cli, json_pack("{s:s}", "op", "vms"), &vms, &ignored) < 0)
		return;
	snprintf(f->libvirt_error, sizeof(f->libvirt_error), "%s",
		 model_text(json_object_get(vms, "mover_error"), "text"));
	if (json_is_null(json_object_get(vms, "mover_error")))
		f->libvirt = SEEN_YES;
	json_decref(vms);
}

void doctor_facts(struct cli *cli, const struct services_said *said, bool all, struct facts *ret)
{
	struct facts f = {.root = geteuid() == 0, .path = cli->path, .config = cli->config};
	const json_t *discovery = json_object_get(said->agent, "discovery");
	char word[NAME_MAX_LEN + 1];

	f.systemd = access("/run/systemd/system", F_OK) == 0;
	memcpy(f.broken, cli->broken.text, sizeof(f.broken));
	services_look(cli, *f.broken ? NULL : cli->config.mark, said, f.services);
	f.policyd = said->policyd;
	f.state = said->status.state;
	f.tier = said->status.tier;
	f.owner = owner_look(cli->config.owner, word, sizeof(word));
	f.avahi = socket_seen("/run/avahi-daemon/socket", all);
	if (json_is_boolean(discovery))
		f.discovery = json_is_true(discovery) ? SEEN_YES : SEEN_NO;
	see_tpm(cli, &f);
	see_libvirt(&f, all);
	see_images(&f);
	see_clock(&f);
	if (all) {
		see_mover(cli, &f);
		see_network(&f);
		if (f.root)
			firewall_look(f.config.port, &f.firewall);
	}
	doctor_life(cli, said, all, &f);
	*ret = f;
}
