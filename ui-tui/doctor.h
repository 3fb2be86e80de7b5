/* SPDX-License-Identifier: Apache-2.0 */
/* What is well with this device and what is not: facts are gathered in doctor-facts.c, judged in
 * doctor-judge.c, which is pure, and shown by cmd-doctor.c. */
#pragma once

#include "ui-tui/owner.h"
#include "ui-tui/services.h"

/* Something that one may be unable to see. */
enum seen { SEEN_UNKNOWN, SEEN_NO, SEEN_YES };

enum firewall_kind {
	FIREWALL_UNSEEN, /* only root sees it */
	FIREWALL_NONE,	 /* none of the three is on */
	FIREWALL_UFW,
	FIREWALL_FIREWALLD,
	FIREWALL_NFT, /* rules of somebody's own */
};

struct firewall {
	enum firewall_kind kind;
	enum seen port, mdns; /* do they come in? */
	char chain[96];	      /* FIREWALL_NFT: "inet filter input", where something drops */
};

enum images_folder { IMAGES_UNSEEN, IMAGES_MISSING, IMAGES_FORBIDDEN, IMAGES_GOOD };

enum network_state { NETWORK_UNSEEN, NETWORK_NONE, NETWORK_OFF, NETWORK_ON };

struct facts {
	bool root, systemd;
	struct service services[SERVICES_MAX]; /* in the order of their rows */
	const char *path;		       /* of the configuration */
	char broken[KERR_TEXT_MAX];	       /* why it cannot be used, "" = it can */
	struct config config;
	bool policyd; /* it answers: the next two are its word */
	enum policyd_state state;
	enum tpm_tier tier;
	enum seen tpm_device;  /* /dev/tpmrm0 */
	enum seen tpm_group;   /* it belongs to group tss, and that may use it */
	enum seen swtpm;       /* the socket of kith-swtpm.service */
	enum seen swtpm_there; /* the program */
	enum seen libvirt;     /* its socket answers */
	enum seen libvirt_there;
	char libvirt_error[KERR_TEXT_MAX]; /* what kith-mover meets, "" = nothing or not asked */
	enum seen hook, hook_runs, fence;
	enum seen avahi;     /* avahi-daemon's socket answers */
	enum seen discovery; /* kithd has it */
	enum owner_kind owner;
	struct firewall firewall;
	enum images_folder images;
	uint64_t images_free;
	enum network_state network;
	enum seen clock_kept;
	uint16_t port;	 /* at which kithd takes connections; 0: it does not say */
	bool port_taken; /* kithd is away, and somebody else has its port */
	bool peers_known, jobs_known, log_known; /* what follows of each */
	unsigned peers, peers_near, peers_bad;
	char peers_named[160]; /* those that are not trusted */
	unsigned jobs, stuck, doubt;
	char stuck_named[160];
	char refused[KERR_TEXT_MAX]; /* the last refusal of a day, "" = none */
	uint64_t now;		     /* Unix seconds */
};

enum verdict_word { FINDING_OK, FINDING_UNKNOWN, FINDING_WARN, FINDING_BAD };

struct finding {
	const char *name;
	const char *code; /* "tpm-missing"; "" = all is well */
	enum verdict_word verdict;
	char sentence[400];
	char remedy[320]; /* a command, or what to do; "" = nothing */
};

/* The checks by number; false behind the last. */
bool doctor_judge(const struct facts *f, size_t i, struct finding *ret);

/* The gravest finding that `kith status` mentions; false if there is none. Cheap facts are enough:
 * rows that need others are left out. */
bool doctor_worst(const struct facts *f, struct finding *ret);

/* Gathers. `said` is borrowed. All of it may start programs and take seconds; without `all` only
 * what is known at once, the rest is unknown. */
void doctor_facts(struct cli *cli, const struct services_said *said, bool all, struct facts *ret);

/* The port, the paired devices, hand-offs and refusals, into the facts that are there. */
void doctor_life(struct cli *cli, const struct services_said *said, bool all, struct facts *ret);

/* What a firewall's own listing says of TCP `port` and of mDNS; pure. */
void firewall_read_ufw(const char *listing, uint16_t port, struct firewall *ret);
void firewall_read_nft(const char *listing, uint16_t port, struct firewall *ret);
/* Asks those that are installed. */
void firewall_look(uint16_t port, struct firewall *ret);

json_t *doctor_finding_json(const struct finding *f);
