/* SPDX-License-Identifier: Apache-2.0 */
/* `kith doctor`: each check on a device on which all is well, and with one thing wrong. */
#include <glib.h>
#include <string.h>

#include "ui-tui/cli.h"
#include "ui-tui/doctor.h"
#include "ui-tui/setup.h"

/* All is well. */
static struct facts well(void)
{
	struct facts f = {
		.root = true,
		.systemd = true,
		.path = "/etc/kith/kith.conf",
		.policyd = true,
		.state = POLICYD_STATE_READY,
		.tier = TPM_TIER_PINNED,
		.tpm_device = SEEN_YES,
		.tpm_group = SEEN_YES,
		.swtpm = SEEN_NO,
		.swtpm_there = SEEN_NO,
		.libvirt = SEEN_YES,
		.libvirt_there = SEEN_YES,
		.hook = SEEN_YES,
		.hook_runs = SEEN_YES,
		.fence = SEEN_YES,
		.avahi = SEEN_YES,
		.discovery = SEEN_YES,
		.firewall = {.kind = FIREWALL_NONE},
		.images = IMAGES_GOOD,
		.images_free = UINT64_C(100) << 30,
		.network = NETWORK_ON,
		.clock_kept = SEEN_YES,
		.port = 4747,
		.peers_known = true,
		.jobs_known = true,
		.log_known = true,
		.peers = 2,
		.peers_near = 1,
		.jobs = 1,
		.now = 1800000000,
	};
	static const char *const names[] = {"kith-policyd", "kithd", "kith-mover", "kith-warden"};

	g_assert_cmpint(config_parse("[people]\nowner = tom\n", &f.config, NULL), ==, 0);
	for (int i = 0; i < SERVICES_MAX; i++)
		f.services[i] = (struct service){.name = names[i],
						 .bit = 1 << i,
						 .run = SERVICE_RUNS,
						 .config = i < 3 ? SERVICE_CONFIG_TAKEN
								 : SERVICE_CONFIG_UNKNOWN};
	return f;
}

static struct finding find(const struct facts *f, const char *name)
{
	struct finding found;

	for (size_t i = 0; doctor_judge(f, i, &found); i++)
		if (strcmp(found.name, name) == 0)
			return found;
	g_test_message("no check %s", name);
	g_assert_not_reached();
}

static void test_well(void)
{
	struct facts f = well();
	struct finding found;
	size_t i;

	for (i = 0; doctor_judge(&f, i, &found); i++) {
		g_test_message("%s: %s", found.name, found.sentence);
		g_assert_cmpint(found.verdict, ==, FINDING_OK);
		g_assert_cmpstr(found.remedy, ==, "");
		g_assert_cmpstr(found.code, ==, "");
		g_assert_true(strlen(found.sentence) > 10);
	}
	g_assert_cmpuint(i, ==, 20);
	g_assert_false(doctor_worst(&f, &found));
}

/* Nothing can be seen at all: no check says that all is well, none that it is bad but those that
 * know it. */
static void test_blind(void)
{
	struct facts f = {.path = "/etc/kith/kith.conf"};
	struct finding found;

	g_assert_cmpint(config_parse("[people]\nowner = tom\n", &f.config, NULL), ==, 0);
	f.now = 1800000000;
	for (int i = 0; i < SERVICES_MAX; i++)
		f.services[i] = (struct service){.name = "x", .run = SERVICE_UNSEEN};
	for (size_t i = 0; doctor_judge(&f, i, &found); i++)
		if (strcmp(found.name, "owner") != 0)
			g_assert_cmpint(found.verdict, ==, FINDING_UNKNOWN);
	g_assert_false(doctor_worst(&f, &found));
}

/* One thing that is wrong. */
struct wrong {
	void (*spoil)(struct facts *f);
	const char *check, *says, *remedy;
	enum verdict_word verdict;
	bool in_status;
};

#define SPOIL(name, what)                 \
	static void name(struct facts *f) \
	{                                 \
		what;                     \
	}
SPOIL(no_policyd, f->services[0].run = SERVICE_AWAY; f->policyd = false)
SPOIL(port_taken, f->port = 0; f->port_taken = true)
SPOIL(untrusted, f->peers_bad = 1; strcpy(f->peers_named, "\"desktop\""))
SPOIL(stuck, f->stuck = 1; strcpy(f->stuck_named, "\"work\""))
SPOIL(in_doubt, f->doubt = 2)
SPOIL(refused, strcpy(f->refused, "2026-11-28 01:00:00, move-out work: No."))
SPOIL(no_warden, f->services[3].run = SERVICE_AWAY)
SPOIL(broken, strcpy(f->broken, "Line 3 of x is wrong."))
SPOIL(unread, f->services[1].config = SERVICE_CONFIG_UNREAD)
SPOIL(all_unread, for (int i = 0; i < 3; i++) f->services[i].config = SERVICE_CONFIG_UNREAD)
SPOIL(later, f->services[0].config = SERVICE_CONFIG_LATER;
      strcpy(f->services[0].later, "[tpm] tcti"))
SPOIL(later_paths, f->services[0].config = SERVICE_CONFIG_LATER;
      strcpy(f->services[0].later, "[paths] state"))
SPOIL(no_tpm, f->tier = TPM_TIER_NONE; f->tpm_device = SEEN_NO)
SPOIL(tpm_group, f->tier = TPM_TIER_NONE; f->tpm_group = SEEN_NO)
SPOIL(tpm_silent, f->tier = TPM_TIER_NONE)
SPOIL(software, f->tier = TPM_TIER_SOFTWARE)
SPOIL(swtpm_missing, f->tier = TPM_TIER_NONE; strcpy(f->config.tcti, "swtpm:path=/x"))
SPOIL(swtpm_off, swtpm_missing(f); f->swtpm_there = SEEN_YES)
SPOIL(locked, f->state = POLICYD_STATE_LOCKED)
SPOIL(nobodys, f->state = POLICYD_STATE_NO_CLOUD)
SPOIL(owner_missing, f->owner = OWNER_MISSING)
SPOIL(owner_far, f->owner = OWNER_DIRECTORY)
SPOIL(owner_root, strcpy(f->config.owner, "root"))
SPOIL(no_libvirt, f->libvirt_there = SEEN_NO)
SPOIL(libvirt_off, f->libvirt = SEEN_NO)
SPOIL(libvirt_no, strcpy(f->libvirt_error, "It says no."))
SPOIL(no_hook, f->hook = SEEN_NO)
SPOIL(hook_mode, f->hook_runs = SEEN_NO)
SPOIL(no_fence, f->fence = SEEN_NO)
SPOIL(no_images, f->images = IMAGES_MISSING)
SPOIL(not_movers, f->images = IMAGES_FORBIDDEN)
SPOIL(full, f->images_free = 5 << 20)
SPOIL(network_off, f->network = NETWORK_OFF)
SPOIL(no_avahi, f->avahi = SEEN_NO)
SPOIL(no_dbus, f->discovery = SEEN_NO)
SPOIL(ufw, f->firewall = ((struct firewall){FIREWALL_UFW, SEEN_NO, SEEN_YES, ""}))
SPOIL(firewalld, f->firewall = ((struct firewall){FIREWALL_FIREWALLD, SEEN_NO, SEEN_NO, ""}))
SPOIL(firewalld_mdns, f->firewall = ((struct firewall){FIREWALL_FIREWALLD, SEEN_YES, SEEN_NO, ""}))
SPOIL(nft, f->firewall = ((struct firewall){FIREWALL_NFT, SEEN_NO, SEEN_NO, "inet filter input"}))
SPOIL(past, f->now = 1000)
SPOIL(free_clock, f->clock_kept = SEEN_NO)

static const struct wrong wrongs[] = {
	{no_policyd, "kith-policyd", "does not run", "enable --now kith-policyd", FINDING_BAD,
	 true},
	{no_policyd, "tpm", "does not say", "", FINDING_UNKNOWN, true},
	{no_warden, "kith-warden", "no machine can be moved", "kith-warden", FINDING_BAD, true},
	{port_taken, "port", "Another program has TCP port 4747", "ss -ltnp", FINDING_BAD, true},
	{untrusted, "peers", "1 of 2 paired devices is not trusted: \"desktop\"", "kith trust",
	 FINDING_WARN, true},
	{stuck, "handoffs", "Of \"work\" a hand-off is open", "journalctl", FINDING_WARN, true},
	{in_doubt, "handoffs", "holds 2 of its VMs", "kith vms", FINDING_WARN, true},
	{refused, "refusals", "move-out work: No.", "kith log --refused", FINDING_WARN, false},
	{broken, "configuration", "Line 3 of x", "kith config", FINDING_BAD, true},
	{unread, "configuration", "kithd has not read it", "reload kithd", FINDING_WARN, true},
	{all_unread, "configuration", "has not read it",
	 "sudo systemctl reload kith-policyd kithd kith-mover", FINDING_WARN, true},
	{later, "configuration", "has changed; restart kith-policyd for [tpm] tcti",
	 "systemctl restart kith-policyd", FINDING_WARN, true},
	{later_paths, "configuration", "for [paths] state", "restart kith-policyd kith-warden",
	 FINDING_WARN, true},
	{no_tpm, "tpm", "shows no TPM", "init --software-tpm", FINDING_BAD, true},
	{tpm_group, "tpm", "group tss", "tpm-udev", FINDING_BAD, true},
	{tpm_silent, "tpm", "does not answer", "restart kith-policyd", FINDING_BAD, true},
	{software, "tpm", "against mistakes", "", FINDING_WARN, false},
	{swtpm_missing, "tpm", "not installed", "apt install swtpm", FINDING_BAD, true},
	{swtpm_off, "tpm", "does not run", "enable --now kith-swtpm", FINDING_BAD, true},
	{locked, "device", "locked", "kith unlock", FINDING_BAD, false},
	{nobodys, "device", "nobody", "sudo kith init", FINDING_WARN, false},
	{owner_missing, "owner", "no user \"tom\"", "people.owner NAME", FINDING_BAD, true},
	{owner_far, "owner", "directory", "people.owner tom", FINDING_BAD, true},
	{owner_root, "owner", "Only root", "people.owner NAME", FINDING_WARN, false},
	{no_libvirt, "libvirt", "not installed", "apt install libvirt", FINDING_BAD, true},
	{libvirt_off, "libvirt", "does not run", "restart libvirtd", FINDING_BAD, true},
	{libvirt_no, "libvirt", "It says no.", "journalctl", FINDING_BAD, true},
	{no_hook, "hook", "not in its place", "reinstall kith", FINDING_BAD, true},
	{hook_mode, "hook", "may not be executed", "chmod 755", FINDING_BAD, true},
	{no_fence, "fence", "no kith-fence", "reinstall kith", FINDING_BAD, true},
	{no_images, "images", "is not there", "install -d -o kith-mover", FINDING_BAD, true},
	{not_movers, "images", "may not write", "install -d -o kith-mover", FINDING_BAD, true},
	{full, "images", "Only 5 MiB", "paths.images", FINDING_WARN, false},
	{network_off, "network", "is off", "net-start default", FINDING_WARN, false},
	{no_avahi, "avahi", "does not run", "avahi-daemon", FINDING_BAD, true},
	{no_dbus, "avahi", "does not reach it", "restart avahi-daemon kithd", FINDING_BAD, true},
	{ufw, "firewall", "ufw is on, and closes TCP port 4747.", "sudo ufw allow 4747/tcp",
	 FINDING_BAD, false},
	{firewalld, "firewall", "closes TCP port 4747 and mDNS",
	 "sudo firewall-cmd --permanent --add-port=4747/tcp --add-service=mdns && sudo "
	 "firewall-cmd --reload",
	 FINDING_BAD, false},
	{firewalld_mdns, "firewall", "closes mDNS",
	 "sudo firewall-cmd --permanent --add-service=mdns && sudo firewall-cmd --reload",
	 FINDING_BAD, false},
	{nft, "firewall", "nftables",
	 "sudo nft insert rule inet filter input tcp dport 4747 accept && sudo nft insert rule "
	 "inet filter input udp dport 5353 accept",
	 FINDING_BAD, false},
	{past, "time", "years behind", "timesyncd", FINDING_BAD, true},
	{free_clock, "time", "Nothing keeps", "timesyncd", FINDING_WARN, false},
};

static void test_wrong(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(wrongs); i++) {
		const struct wrong *w = &wrongs[i];
		struct facts f = well();
		struct finding found, other, worst;

		w->spoil(&f);
		found = find(&f, w->check);
		g_test_message("%s: %s (%s)", w->check, found.sentence, found.remedy);
		g_assert_cmpint(found.verdict, ==, w->verdict);
		g_assert_nonnull(strstr(found.sentence, w->says));
		g_assert_nonnull(strstr(found.remedy, w->remedy));
		g_assert_cmpuint(strlen(found.code), >=, 6);
		g_assert_cmpint(doctor_worst(&f, &worst), ==, w->in_status);
		/* It is the only one, but where no policyd means that others cannot be judged. */
		for (size_t n = 0; w->spoil != no_policyd && doctor_judge(&f, n, &other); n++)
			if (strcmp(other.name, w->check) != 0 && w->spoil != no_libvirt)
				g_assert_cmpint(other.verdict, ==, FINDING_OK);
	}
}

/* The gravest first, and of equal ones that which is mended first. */
static void test_worst(void)
{
	struct facts f = well();
	struct finding worst;

	unread(&f);
	g_assert_true(doctor_worst(&f, &worst));
	g_assert_cmpstr(worst.name, ==, "configuration");
	no_avahi(&f);
	no_hook(&f);
	g_assert_true(doctor_worst(&f, &worst));
	g_assert_cmpstr(worst.name, ==, "hook");
}

/* The longest names leave whole sentences. */
static void test_long(void)
{
	struct facts f = well();

	memset(f.config.images, 'x', sizeof(f.config.images) - 1);
	f.config.images[0] = '/';
	no_images(&f);
	g_assert_nonnull(strstr(find(&f, "images").sentence, "is not there."));
	g_assert_true(g_str_has_suffix(find(&f, "images").remedy, "xxx"));
	nft(&f);
	memset(f.firewall.chain, 'y', sizeof(f.firewall.chain) - 1);
	f.config.port = 65535;
	g_assert_true(g_str_has_suffix(find(&f, "firewall").remedy, "udp dport 5353 accept"));
}

/* -- what firewalls say of themselves -- */

static void test_ufw(void)
{
	static const struct {
		const char *listing;
		enum firewall_kind kind;
		enum seen port;
	} rows[] = {
		{"Status: inactive\n", FIREWALL_NONE, SEEN_UNKNOWN},
		{"", FIREWALL_NONE, SEEN_UNKNOWN},
		{"Status: active\n\nTo    Action   From\n--   ------  ----\n22/tcp  ALLOW  "
		 "Anywhere\n",
		 FIREWALL_UFW, SEEN_NO},
		{"Status: active\n\n4747/tcp   ALLOW   Anywhere\n", FIREWALL_UFW, SEEN_YES},
		{"Status: active\n\n4747       ALLOW   10.0.0.0/8\n", FIREWALL_UFW, SEEN_YES},
		{"Status: active\n\n4747/tcp   DENY    Anywhere\n", FIREWALL_UFW, SEEN_NO},
		{"Status: active\n\n4747/udp   ALLOW   Anywhere\n", FIREWALL_UFW, SEEN_NO},
		{"Status: active\n\n47470/tcp  ALLOW   Anywhere\n", FIREWALL_UFW, SEEN_NO},
		{"Status: active\n\n99999999999999999999999/tcp ALLOW x", FIREWALL_UFW, SEEN_NO},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct firewall f;

		firewall_read_ufw(rows[i].listing, 4747, &f);
		g_assert_cmpint(f.kind, ==, rows[i].kind);
		g_assert_cmpint(f.port, ==, rows[i].port);
	}
}

#define NFT(policy, rules)                                                                   \
	"table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; " \
	"policy " policy ";\n\t\tct state established,related accept\n" rules "\t}\n\n\t"    \
	"chain output {\n\t\ttype filter hook output priority filter; policy accept;\n\t}\n}\n"

static void test_nft(void)
{
	static const struct {
		const char *listing;
		enum firewall_kind kind;
		enum seen port, mdns;
	} rows[] = {
		{"", FIREWALL_NONE, SEEN_UNKNOWN, SEEN_UNKNOWN},
		{NFT("accept", ""), FIREWALL_NONE, SEEN_UNKNOWN, SEEN_UNKNOWN},
		/* Drops somebody only. */
		{NFT("accept", "\t\tip saddr 10.0.0.1 drop\n"), FIREWALL_NONE, SEEN_UNKNOWN,
		 SEEN_UNKNOWN},
		{NFT("drop", "\t\ttcp dport 22 accept\n"), FIREWALL_NFT, SEEN_NO, SEEN_NO},
		{NFT("accept", "\t\treject with icmpx admin-prohibited\n"), FIREWALL_NFT, SEEN_NO,
		 SEEN_NO},
		{NFT("accept", "\t\tcounter packets 5 bytes 300 drop\n"), FIREWALL_NFT, SEEN_NO,
		 SEEN_NO},
		{NFT("drop", "\t\ttcp dport 4747 accept\n\t\tudp dport 5353 accept\n"),
		 FIREWALL_NFT, SEEN_YES, SEEN_YES},
		{NFT("drop", "\t\ttcp dport { 22, 4747 } ct state new counter packets 0 bytes 0 "
			     "accept\n"),
		 FIREWALL_NFT, SEEN_YES, SEEN_NO},
		{NFT("drop", "\t\ttcp dport 4000-5000 accept\n"), FIREWALL_NFT, SEEN_YES, SEEN_NO},
		{NFT("drop", "\t\ttcp dport 4747 drop\n"), FIREWALL_NFT, SEEN_NO, SEEN_NO},
		{NFT("drop", "\t\ttcp dport != 4747 accept\n"), FIREWALL_NFT, SEEN_NO, SEEN_NO},
		{NFT("drop", "\t\ttcp sport 4747 accept\n"), FIREWALL_NFT, SEEN_NO, SEEN_NO},
		{NFT("drop", "\t\ttcp dport { 47470, 14747 } accept\n"), FIREWALL_NFT, SEEN_NO,
		 SEEN_NO},
		/* Forwarding is not coming in, also behind a chain that lets in. */
		{"table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority "
		 "filter; policy accept;\n\t}\n\n\tchain FORWARD {\n\t\ttype filter hook "
		 "forward priority filter; policy drop;\n\t}\n}\n",
		 FIREWALL_NONE, SEEN_UNKNOWN, SEEN_UNKNOWN},
		{"table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority "
		 "filter; policy drop;\n\t}\n}\n",
		 FIREWALL_NONE, SEEN_UNKNOWN, SEEN_UNKNOWN},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct firewall f;

		g_test_message("%s", rows[i].listing);
		firewall_read_nft(rows[i].listing, 4747, &f);
		g_assert_cmpint(f.kind, ==, rows[i].kind);
		g_assert_cmpint(f.port, ==, rows[i].port);
		g_assert_cmpint(f.mdns, ==, rows[i].mdns);
		if (f.kind == FIREWALL_NFT)
			g_assert_cmpstr(f.chain, ==, "inet filter input");
	}
}

/* Listings that are no listings end, and say nothing. */
static void test_hostile_listing(void)
{
	g_autoptr(GRand) chance = g_rand_new_with_seed(4747);
	g_autofree char *wide = g_strnfill(100000, '{');
	static const char letters[] = "tabledporchinpu 4747{}-,\n\t;drop accept";
	struct firewall f;

	firewall_read_nft(wide, 4747, &f);
	g_assert_cmpint(f.kind, ==, FIREWALL_NONE);
	for (int i = 0; i < 3000; i++) {
		char text[512];
		size_t len = (size_t)g_rand_int_range(chance, 0, sizeof(text));

		for (size_t n = 0; n < len; n++)
			text[n] = letters[g_rand_int_range(chance, 0, sizeof(letters) - 1)];
		text[len] = '\0';
		firewall_read_nft(text, 4747, &f);
		firewall_read_ufw(text, 4747, &f);
		g_assert_cmpint(f.kind, ==, FIREWALL_NONE);
	}
}

/* -- the first minutes -- */

static void test_role(void)
{
	g_assert_cmpstr(setup_role_of(3), ==, "desktop");
	g_assert_cmpstr(setup_role_of(10), ==, "laptop");
	g_assert_cmpstr(setup_role_of(23), ==, "server");
	/* Other, unknown, a gap in the table, behind its end. */
	for (const unsigned *n = (const unsigned[]){1, 2, 29, 4000, 0}; *n; n++)
		g_assert_null(setup_role_of(*n));
	/* What it says can be written. */
	for (unsigned n = 0; n < 64; n++)
		if (setup_role_of(n))
			g_assert_cmpint(device_role_from_string(setup_role_of(n)), >=, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/doctor/all is well", test_well);
	g_test_add_func("/doctor/what is not seen is not judged", test_blind);
	g_test_add_func("/doctor/one thing is wrong", test_wrong);
	g_test_add_func("/doctor/the worst is mentioned", test_worst);
	g_test_add_func("/doctor/long names", test_long);
	g_test_add_func("/doctor/ufw", test_ufw);
	g_test_add_func("/doctor/nftables", test_nft);
	g_test_add_func("/doctor/listings that are none", test_hostile_listing);
	g_test_add_func("/doctor/what a case says of a device", test_role);
	return g_test_run();
}
