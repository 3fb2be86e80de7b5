/* SPDX-License-Identifier: Apache-2.0 */
/* Facts in, findings out: a row and a function for each check, and nothing is looked at here. */
#include <stdarg.h>
#include <string.h>

#include "ui-tui/doctor.h"

#define AS_ROOT "sudo kith doctor"
#define REINSTALL "sudo apt install --reinstall kith"
#define ROOM_MIN (UINT64_C(2) << 30)
#define CLOCK_MIN UINT64_C(1700000000) /* before Kith was written */

/* `code`: what programs know it by; "" where all is well. */
static _printf_(5, 6) void say(struct finding *ret, enum verdict_word verdict, const char *code,
			       const char *remedy, const char *fmt, ...)
{
	va_list args;

	ret->verdict = verdict;
	ret->code = code;
	snprintf(ret->remedy, sizeof(ret->remedy), "%s", remedy);
	va_start(args, fmt);
	vsnprintf(ret->sentence, sizeof(ret->sentence), fmt, args);
	va_end(args);
}

/* -- the services -- */

static const char *const without[SERVICES_MAX] = {
	"nothing of Kith can be asked, and what libvirt may start is decided by old notes",
	"other devices cannot be seen or reached",
	"no machine can be moved",
	"no machine can be moved",
};

static void judge_service(const struct facts *f, int which, struct finding *ret)
{
	const struct service *s = &f->services[which];
	char how[128];

	switch (s->run) {
	case SERVICE_RUNS:
		say(ret, FINDING_OK, "", "", "%s runs.", s->name);
		break;
	case SERVICE_AWAY:
		snprintf(how, sizeof(how), "sudo systemctl enable --now %s", s->name);
		say(ret, FINDING_BAD, "service-away", how, "%s does not run: %s.", s->name,
		    without[which]);
		break;
	case SERVICE_UNSEEN:
		say(ret, FINDING_UNKNOWN, "unseen", AS_ROOT,
		    "Whether %s runs cannot be seen by this user.", s->name);
		break;
	}
}

static const struct service *first_in(const struct facts *f, enum service_config state)
{
	for (int i = 0; i < SERVICES_MAX; i++)
		if (f->services[i].config == state)
			return &f->services[i];
	return NULL;
}

static void judge_config(const struct facts *f, int arg _unused_, struct finding *ret)
{
	const struct service *later = first_in(f, SERVICE_CONFIG_LATER);
	const struct service *unread = first_in(f, SERVICE_CONFIG_UNREAD);
	char how[192] = "sudo systemctl restart ";
	size_t len = strlen(how);

	if (*f->broken) {
		say(ret, FINDING_BAD, "config-broken", "kith config",
		    "%s A service that starts now does not come up.", f->broken);
	} else if (unread) {
		len = (size_t)snprintf(how, sizeof(how), "sudo systemctl reload");
		for (int i = 0; i < SERVICES_MAX; i++)
			if (f->services[i].config == SERVICE_CONFIG_UNREAD)
				len += (size_t)snprintf(how + len, sizeof(how) - len, " %s",
							f->services[i].name);
		say(ret, FINDING_WARN, "config-unread", how,
		    "%s was changed, and %s has not read it.", f->path, unread->name);
	} else if (later) {
		services_to_restart(f->services, how + len, sizeof(how) - len);
		say(ret, FINDING_WARN, "config-restart", how, "%s has changed; restart %s for %s.",
		    f->path, later->name, later->later);
	} else if (!first_in(f, SERVICE_CONFIG_TAKEN)) {
		say(ret, FINDING_UNKNOWN, "unseen", "",
		    "%s is good; whether it is in force only running services can tell.", f->path);
	} else {
		say(ret, FINDING_OK, "", "", "%s is good and in force.", f->path);
	}
}

/* -- the device -- */

static void judge_tpm_answer(const struct facts *f, struct finding *ret)
{
	if (f->tier == TPM_TIER_SOFTWARE)
		say(ret, FINDING_WARN, "tpm-software", "",
		    "The TPM is emulated in software: it protects against mistakes, not against "
		    "somebody who controls this device.");
	else
		say(ret, FINDING_OK, "", "", "The TPM answers (%s).", tpm_tier_to_string(f->tier));
}

static void judge_swtpm(const struct facts *f, struct finding *ret)
{
	if (f->swtpm_there == SEEN_NO)
		say(ret, FINDING_BAD, "swtpm-missing", "sudo apt install swtpm",
		    "An emulated TPM is configured, and swtpm is not installed.");
	else if (f->swtpm == SEEN_NO)
		say(ret, FINDING_BAD, "swtpm-away", "sudo systemctl enable --now kith-swtpm",
		    "An emulated TPM is configured, and does not run.");
	else
		say(ret, FINDING_BAD, "swtpm-unreached", "sudo systemctl restart kith-policyd",
		    "An emulated TPM is configured, and kith-policyd does not reach it.");
}

static void judge_tpm(const struct facts *f, int arg _unused_, struct finding *ret)
{
	bool device = strncmp(f->config.tcti, "device:", 7) == 0;

	if (f->policyd && f->tier != TPM_TIER_NONE)
		judge_tpm_answer(f, ret);
	else if (device && f->tpm_device == SEEN_NO)
		say(ret, FINDING_BAD, "tpm-missing",
		    "switch it on in the firmware's setup (\"PTT\", \"fTPM\" or \"Security "
		    "Device\"), or: sudo kith init --software-tpm",
		    "This computer shows no TPM (/dev/tpmrm0 is not there).");
	else if (device && f->tpm_group == SEEN_NO)
		say(ret, FINDING_BAD, "tpm-forbidden",
		    "sudo apt install tpm-udev && sudo udevadm trigger --subsystem-match=tpmrm",
		    "There is a TPM, but group tss may not use /dev/tpmrm0.");
	else if (!f->policyd)
		say(ret, FINDING_UNKNOWN, "unseen", "",
		    "Only kith-policyd knows whether the TPM answers, and it does not say.");
	else if (!device)
		judge_swtpm(f, ret);
	else
		say(ret, FINDING_BAD, "tpm-silent", "sudo systemctl restart kith-policyd",
		    "There is a TPM, but it does not answer kith-policyd.");
}

static void judge_device(const struct facts *f, int arg _unused_, struct finding *ret)
{
	if (!f->policyd) {
		say(ret, FINDING_UNKNOWN, "unseen", "",
		    "kith-policyd does not say how this device stands.");
		return;
	}
	switch (f->state) {
	case POLICYD_STATE_READY:
		say(ret, FINDING_OK, "", "", "This device has an owner, and its database is open.");
		break;
	case POLICYD_STATE_NO_CLOUD:
		say(ret, FINDING_WARN, "no-owner",
		    "sudo kith init (on your first device), sudo kith pair (on others)",
		    "This device belongs to nobody yet.");
		break;
	case POLICYD_STATE_NO_TPM:
		say(ret, FINDING_BAD, "tpm-none",
		    "mend the TPM first; a device that had one: kith unlock",
		    "Without a TPM this device can prove nothing, and is locked.");
		break;
	case POLICYD_STATE_LOCKED:
	case POLICYD_STATE_ROLLBACK:
	case _POLICYD_STATE_MAX:
		say(ret, FINDING_BAD, "locked", "kith unlock", "This device is locked (%s).",
		    policyd_state_to_string(f->state));
	}
}

static void judge_owner(const struct facts *f, int arg _unused_, struct finding *ret)
{
	const char *set = "sudo kith config set people.owner NAME";
	char how[128];

	snprintf(how, sizeof(how), "sudo kith config set people.owner %s", f->config.owner);
	if (f->owner == OWNER_MISSING)
		say(ret, FINDING_BAD, "owner-missing", set,
		    "There is no user \"%s\", who is to act for the owner.", f->config.owner);
	else if (f->owner == OWNER_DIRECTORY)
		say(ret, FINDING_BAD, "owner-directory", how,
		    "\"%s\" is of a directory service, where the services do not look; by his "
		    "number they find him.",
		    f->config.owner);
	else if (strcmp(f->config.owner, "root") == 0)
		say(ret, FINDING_WARN, "owner-root", set, "Only root may use Kith here.");
	else
		say(ret, FINDING_OK, "", "", "%s acts for the owner.", f->config.owner);
}

/* -- libvirt -- */

static void judge_libvirt(const struct facts *f, int arg _unused_, struct finding *ret)
{
	if (f->libvirt_there == SEEN_NO)
		say(ret, FINDING_BAD, "libvirt-missing",
		    "sudo apt install libvirt-daemon-system qemu-system-x86",
		    "libvirt is not installed.");
	else if (f->libvirt == SEEN_NO)
		say(ret, FINDING_BAD, "libvirt-away", "sudo systemctl restart libvirtd",
		    "libvirt does not run.");
	else if (*f->libvirt_error)
		say(ret, FINDING_BAD, "libvirt-failing", "journalctl -u libvirtd -u kith-mover",
		    "kith-mover cannot work with libvirt. %s", f->libvirt_error);
	else if (f->libvirt == SEEN_UNKNOWN)
		say(ret, FINDING_UNKNOWN, "unseen", AS_ROOT,
		    "Whether libvirt answers cannot be seen by this user.");
	else
		say(ret, FINDING_OK, "", "", "libvirt answers.");
}

static void judge_hook(const struct facts *f, int arg _unused_, struct finding *ret)
{
	if (f->libvirt_there == SEEN_NO)
		say(ret, FINDING_UNKNOWN, "unseen", "", "Without libvirt there is no hook.");
	else if (f->hook == SEEN_NO)
		say(ret, FINDING_BAD, "hook-missing",
		    REINSTALL " && sudo systemctl restart libvirtd",
		    "libvirt's hook is not in its place (/etc/libvirt/hooks/qemu.d/kith), so "
		    "libvirt starts machines that are on another device.");
	else if (f->hook == SEEN_UNKNOWN)
		say(ret, FINDING_UNKNOWN, "unseen", AS_ROOT,
		    "libvirt's hook cannot be seen by this user.");
	else if (f->hook_runs == SEEN_NO)
		say(ret, FINDING_BAD, "hook-forbidden",
		    "sudo chmod 755 /etc/libvirt/hooks/qemu.d/kith",
		    "libvirt's hook may not be executed, so libvirt starts no machine at all.");
	else
		say(ret, FINDING_OK, "", "", "libvirt's hook is in its place.");
}

static void judge_fence(const struct facts *f, int arg _unused_, struct finding *ret)
{
	if (!f->systemd)
		say(ret, FINDING_UNKNOWN, "unseen", "",
		    "systemd does not run here; kith-fence has to run before each libvirtd.");
	else if (f->fence == SEEN_NO)
		say(ret, FINDING_BAD, "fence-missing", REINSTALL " && sudo systemctl daemon-reload",
		    "libvirtd's unit has no kith-fence before it: a libvirtd that was killed "
		    "may wake a copy.");
	else if (f->fence == SEEN_UNKNOWN)
		say(ret, FINDING_UNKNOWN, "unseen", AS_ROOT,
		    "libvirtd's unit cannot be seen by this user.");
	else
		say(ret, FINDING_OK, "", "", "kith-fence runs before libvirtd.");
}

static void judge_images(const struct facts *f, int arg _unused_, struct finding *ret)
{
	const char *path = f->config.images;
	char how[256];

	snprintf(how, sizeof(how), "sudo install -d -o kith-mover -g kith-mover -m 711 %s", path);
	switch (f->images) {
	case IMAGES_UNSEEN:
		say(ret, FINDING_UNKNOWN, "unseen", AS_ROOT,
		    "The folder %s cannot be seen by this user.", path);
		break;
	case IMAGES_MISSING:
		say(ret, FINDING_BAD, "images-missing", how,
		    "The folder for arriving disks, %s, is not there.", path);
		break;
	case IMAGES_FORBIDDEN:
		say(ret, FINDING_BAD, "images-forbidden", how,
		    "kith-mover may not write into %s, so no machine can "
		    "arrive.",
		    path);
		break;
	case IMAGES_GOOD:
		if (f->images_free < ROOM_MIN)
			say(ret, FINDING_WARN, "images-full",
			    "free some room there, or: sudo kith config set "
			    "paths.images FOLDER",
			    "Only %llu MiB are free in %s, where arriving disks are made.",
			    (unsigned long long)(f->images_free >> 20), path);
		else
			say(ret, FINDING_OK, "", "", "%llu GiB are free in %s for arriving disks.",
			    (unsigned long long)(f->images_free >> 30), path);
		break;
	}
}

static void judge_network(const struct facts *f, int arg _unused_, struct finding *ret)
{
	switch (f->network) {
	case NETWORK_UNSEEN:
		say(ret, FINDING_UNKNOWN, "unseen", f->root ? "" : AS_ROOT,
		    "Whether libvirt's network \"default\" is on cannot be seen%s.",
		    f->root ? "" : " by this user");
		break;
	case NETWORK_NONE:
		say(ret, FINDING_OK, "", "",
		    "There is no network \"default\"; machines that use it cannot come here.");
		break;
	case NETWORK_OFF:
		say(ret, FINDING_WARN, "network-off",
		    "sudo virsh net-autostart default && sudo virsh net-start default",
		    "libvirt's network \"default\" is off, which most machines want.");
		break;
	case NETWORK_ON:
		say(ret, FINDING_OK, "", "", "libvirt's network \"default\" is on.");
		break;
	}
}

/* -- the network of the device -- */

static void judge_avahi(const struct facts *f, int arg _unused_, struct finding *ret)
{
	if (f->avahi == SEEN_NO)
		say(ret, FINDING_BAD, "avahi-away",
		    "sudo apt install avahi-daemon && sudo systemctl enable "
		    "--now avahi-daemon",
		    "Avahi does not run: other devices are not found, and do not find this one.");
	else if (f->discovery == SEEN_NO)
		say(ret, FINDING_BAD, "avahi-unreached",
		    "sudo systemctl restart avahi-daemon kithd",
		    "Avahi runs, but kithd does not reach it over D-Bus.");
	else if (f->avahi == SEEN_UNKNOWN && f->discovery == SEEN_UNKNOWN)
		say(ret, FINDING_UNKNOWN, "unseen", AS_ROOT, "Whether Avahi runs cannot be seen.");
	else
		say(ret, FINDING_OK, "", "", "Avahi runs%s.",
		    f->discovery == SEEN_YES ? ", and kithd is announced by it" : "");
}

/* The command that opens what is closed. */
static void opener(const struct facts *f, char *ret, size_t size)
{
	const struct firewall *w = &f->firewall;
	bool port = w->port == SEEN_NO, mdns = w->mdns == SEEN_NO;
	const char *and = port && mdns ? " && " : "";
	char first[160] = "", second[160] = "";

	switch (w->kind) {
	case FIREWALL_UFW:
		if (port)
			snprintf(first, sizeof(first), "sudo ufw allow %u/tcp", f->config.port);
		if (mdns)
			snprintf(second, sizeof(second), "sudo ufw allow mdns");
		break;
	case FIREWALL_FIREWALLD:
		snprintf(first, sizeof(first), "sudo firewall-cmd --permanent");
		if (port)
			snprintf(first + strlen(first), sizeof(first) - strlen(first),
				 " --add-port=%u/tcp", f->config.port);
		snprintf(second, sizeof(second), "%s && sudo firewall-cmd --reload",
			 mdns ? " --add-service=mdns" : "");
		and = "";
		break;
	case FIREWALL_NFT:
		if (port)
			snprintf(first, sizeof(first),
				 "sudo nft insert rule %s tcp dport %u accept", w->chain,
				 f->config.port);
		if (mdns)
			snprintf(second, sizeof(second),
				 "sudo nft insert rule %s udp dport 5353 accept", w->chain);
		break;
	case FIREWALL_UNSEEN:
	case FIREWALL_NONE:
		break;
	}
	snprintf(ret, size, "%s%s%s", first, and, second);
}

static void judge_firewall(const struct facts *f, int arg _unused_, struct finding *ret)
{
	static const char *const names[] = {
		[FIREWALL_UFW] = "ufw",
		[FIREWALL_FIREWALLD] = "firewalld",
		[FIREWALL_NFT] = "a firewall of nftables",
	};
	const struct firewall *w = &f->firewall;
	bool port = w->port == SEEN_NO, mdns = w->mdns == SEEN_NO;
	char how[336];

	if (w->kind == FIREWALL_UNSEEN) {
		say(ret, FINDING_UNKNOWN, "unseen", f->root ? "" : AS_ROOT,
		    "Whether a firewall closes TCP port %u%s.", f->config.port,
		    f->root ? " could not be found out" : " is for root to see");
	} else if (w->kind == FIREWALL_NONE) {
		say(ret, FINDING_OK, "", "", "No firewall of this computer drops anything.");
	} else if (port || mdns) {
		char closed[48];

		snprintf(closed, sizeof(closed), "TCP port %u", f->config.port);
		opener(f, how, sizeof(how));
		say(ret, FINDING_BAD, "firewall-closed", how, "%s is on, and closes %s%s%s.%s",
		    names[w->kind], port ? closed : "", port && mdns ? " and " : "",
		    mdns ? "mDNS (UDP port 5353)" : "",
		    w->kind == FIREWALL_NFT
			    ? " For the next start write the rule into /etc/nftables.conf too."
			    : "");
	} else {
		say(ret, FINDING_OK, "", "", "%s is on, and lets TCP port %u and mDNS in.",
		    names[w->kind], f->config.port);
	}
}

static void judge_time(const struct facts *f, int arg _unused_, struct finding *ret)
{
	const char *how = "sudo apt install systemd-timesyncd && sudo timedatectl set-ntp true";

	if (f->now < CLOCK_MIN)
		say(ret, FINDING_BAD, "clock-wrong", how,
		    "The clock is years behind: other devices refuse this one's certificate.");
	else if (f->clock_kept == SEEN_NO)
		say(ret, FINDING_WARN, "clock-free", how,
		    "Nothing keeps the clock right. Devices whose clocks are half a day apart "
		    "refuse each other.");
	else if (f->clock_kept == SEEN_UNKNOWN)
		say(ret, FINDING_UNKNOWN, "unseen", "",
		    "Whether the clock is kept right cannot be seen.");
	else
		say(ret, FINDING_OK, "", "", "The clock is kept right.");
}

/* -- what goes on -- */

static void judge_port(const struct facts *f, int arg _unused_, struct finding *ret)
{
	char how[96];

	snprintf(how, sizeof(how), "sudo ss -ltnp sport = :%u (who has it?)", f->config.port);
	if (f->port_taken)
		say(ret, FINDING_BAD, "port-taken", how,
		    "Another program has TCP port %u, so kithd cannot start.", f->config.port);
	else if (f->port)
		say(ret, FINDING_OK, "", "", "kithd takes connections at TCP port %u.", f->port);
	else
		say(ret, FINDING_UNKNOWN, "unseen", "",
		    "At which port kithd takes connections only kithd knows.");
}

static void judge_peers(const struct facts *f, int arg _unused_, struct finding *ret)
{
	if (!f->peers_known)
		say(ret, FINDING_UNKNOWN, "unseen", "",
		    "Which devices are paired is not known now.");
	else if (f->peers_bad)
		say(ret, FINDING_WARN, "peer-untrusted", "kith trust",
		    "%u of %u paired devices %s not trusted: %s.", f->peers_bad, f->peers,
		    f->peers_bad == 1 ? "is" : "are", f->peers_named);
	else if (!f->peers)
		say(ret, FINDING_OK, "", "", "No device is paired with this one.");
	else
		say(ret, FINDING_OK, "", "",
		    "Of %u paired devices none was found untrusted, %u %s announced.", f->peers,
		    f->peers_near, f->peers_near == 1 ? "is" : "are");
}

static void judge_handoffs(const struct facts *f, int arg _unused_, struct finding *ret)
{
	if (!f->jobs_known)
		say(ret, FINDING_UNKNOWN, "unseen", f->root ? "" : AS_ROOT,
		    "Which hand-offs are open is not known now.");
	else if (f->stuck)
		say(ret, FINDING_WARN, "handoff-stuck", "journalctl -u kithd -u kith-mover",
		    "Of %s a hand-off is open that nobody works on; it goes on when the other "
		    "device is there.",
		    f->stuck_named);
	else if (f->doubt)
		say(ret, FINDING_WARN, "vm-doubt", "kith vms",
		    "Whether this device holds %u of its VMs is in doubt.", f->doubt);
	else if (f->jobs)
		say(ret, FINDING_OK, "", "", "%u hand-off%s under way; `kith jobs` shows %s.",
		    f->jobs, f->jobs == 1 ? " is" : "s are", f->jobs == 1 ? "it" : "them");
	else
		say(ret, FINDING_OK, "", "", "No hand-off is open.");
}

static void judge_refusals(const struct facts *f, int arg _unused_, struct finding *ret)
{
	if (!f->log_known)
		say(ret, FINDING_UNKNOWN, "unseen", f->root ? "" : AS_ROOT,
		    "The log cannot be seen now.");
	else if (*f->refused)
		say(ret, FINDING_WARN, "refused", "kith log --refused --since 1d",
		    "Refused within the last day, last: %s", f->refused);
	else
		say(ret, FINDING_OK, "", "", "Nothing was refused within the last day.");
}

/* The order is that in which things are mended. `mention`: from when on `kith status` says so; OK =
 * never, because it needs more than cheap facts or status says it anyway. */
static const struct {
	const char *name;
	void (*judge)(const struct facts *f, int arg, struct finding *ret);
	int arg;
	enum verdict_word mention;
} checks[] = {
	{"kith-policyd", judge_service, 0, FINDING_BAD},
	{"kithd", judge_service, 1, FINDING_OK},
	{"kith-mover", judge_service, 2, FINDING_BAD},
	{"kith-warden", judge_service, 3, FINDING_BAD},
	{"configuration", judge_config, 0, FINDING_WARN},
	{"tpm", judge_tpm, 0, FINDING_BAD},
	{"device", judge_device, 0, FINDING_OK},
	{"owner", judge_owner, 0, FINDING_BAD},
	{"libvirt", judge_libvirt, 0, FINDING_BAD},
	{"hook", judge_hook, 0, FINDING_BAD},
	{"fence", judge_fence, 0, FINDING_BAD},
	{"images", judge_images, 0, FINDING_BAD},
	{"network", judge_network, 0, FINDING_OK},
	{"avahi", judge_avahi, 0, FINDING_BAD},
	{"port", judge_port, 0, FINDING_BAD},
	{"firewall", judge_firewall, 0, FINDING_OK},
	{"time", judge_time, 0, FINDING_BAD},
	{"peers", judge_peers, 0, FINDING_WARN},
	{"handoffs", judge_handoffs, 0, FINDING_WARN},
	{"refusals", judge_refusals, 0, FINDING_OK},
};

bool doctor_judge(const struct facts *f, size_t i, struct finding *ret)
{
	struct finding finding = {0};

	if (i >= ARRAY_SIZE(checks))
		return false;
	finding.name = checks[i].name;
	checks[i].judge(f, checks[i].arg, &finding);
	*ret = finding;
	return true;
}

bool doctor_worst(const struct facts *f, struct finding *ret)
{
	struct finding worst = {0}, finding;

	for (size_t i = 0; doctor_judge(f, i, &finding); i++)
		if (checks[i].mention != FINDING_OK && finding.verdict >= checks[i].mention &&
		    finding.verdict > worst.verdict)
			worst = finding;
	if (worst.name)
		*ret = worst;
	return worst.name;
}
