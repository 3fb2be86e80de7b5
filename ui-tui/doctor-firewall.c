/* SPDX-License-Identifier: Apache-2.0 */
/* Which firewall is on, and whether the other devices get in. */
#include <ctype.h>
#include <string.h>

#include "ui-tui/doctor.h"
#include "ui-tui/tool.h"

#define MDNS_PORT 5353
#define LISTING_MAX (1u << 20)
#define LINE_MAX_LEN 1024

/* The next line without the blanks before it, cut to `size`; false at the end. */
static bool next_line(const char **at, char *ret, size_t size)
{
	size_t len = strcspn(*at, "\n"), blanks = strspn(*at, " \t");

	if (!**at)
		return false;
	blanks = MIN_OF(blanks, len);
	snprintf(ret, size, "%.*s", (int)(len - blanks), *at + blanks);
	*at += len + ((*at)[len] == '\n');
	return true;
}

/* -- ufw -- */

/* "4747/tcp   ALLOW IN   Anywhere": also without the protocol, also for IPv6. */
static bool ufw_allows(const char *line, unsigned port)
{
	char *end;

	if (!isdigit((unsigned char)*line) || strtoul(line, &end, 10) != port)
		return false;
	return (*end == ' ' || strncmp(end, "/tcp ", 5) == 0) && strstr(end, " ALLOW ");
}

void firewall_read_ufw(const char *listing, uint16_t port, struct firewall *ret)
{
	/* mDNS is in the rules that ufw begins with (before.rules). */
	struct firewall f = {.kind = FIREWALL_UFW, .port = SEEN_NO, .mdns = SEEN_YES};
	char line[LINE_MAX_LEN];

	if (strncmp(listing, "Status: active", 14) != 0)
		f = (struct firewall){.kind = FIREWALL_NONE};
	while (f.kind == FIREWALL_UFW && next_line(&listing, line, sizeof(line)))
		if (ufw_allows(line, port))
			f.port = SEEN_YES;
	*ret = f;
}

/* -- nftables -- */

/* Whether what follows "dport ", such as "{ 22, 4000-5000 } accept", names the port. */
static bool dport_names(const char *s, unsigned port)
{
	while (*s && !isalpha((unsigned char)*s)) {
		char *behind;
		unsigned long low, high;

		if (!isdigit((unsigned char)*s)) {
			s++;
			continue;
		}
		low = high = strtoul(s, &behind, 10);
		if (*behind == '-')
			high = strtoul(behind + 1, &behind, 10);
		if (port >= low && port <= high)
			return true;
		s = behind;
	}
	return false;
}

static bool nft_accepts(const char *line, const char *dport, unsigned port)
{
	const char *at = strstr(line, dport);

	return at && strstr(at, " accept") && !strstr(line, "dport !=") &&
	       dport_names(at + strlen(dport), port);
}

/* A rule that takes all that is left: "drop", "reject with icmpx ...", "counter packets 5 bytes 3
 * drop". */
static bool drops_all(const char *line)
{
	const char *counted =
		strncmp(line, "counter packets ", 16) == 0 ? strstr(line, "bytes ") : NULL;

	if (counted) {
		line = counted + strlen("bytes ");
		line += strspn(line, "0123456789 ");
	}
	return strncmp(line, "drop", 4) == 0 || strncmp(line, "reject", 6) == 0;
}

void firewall_read_nft(const char *listing, uint16_t port, struct firewall *ret)
{
	struct firewall f = {.kind = FIREWALL_NONE};
	bool input = false, port_in = false, mdns_in = false;
	char line[LINE_MAX_LEN], family[16] = "", table[32] = "", chain[32] = "";

	while (next_line(&listing, line, sizeof(line))) {
		if (sscanf(line, "table %15s %31s", family, table) == 2)
			continue;
		if (sscanf(line, "chain %31s", chain) == 1)
			input = false;
		input = input || strstr(line, "hook input ");
		port_in = port_in || nft_accepts(line, "tcp dport ", port);
		mdns_in = mdns_in || nft_accepts(line, "udp dport ", MDNS_PORT);
		if (!input || !(strstr(line, "policy drop") || drops_all(line)))
			continue;
		f.kind = FIREWALL_NFT;
		snprintf(f.chain, sizeof(f.chain), "%s %s %s", family, table, chain);
	}
	if (f.kind == FIREWALL_NFT) {
		f.port = port_in ? SEEN_YES : SEEN_NO;
		f.mdns = mdns_in ? SEEN_YES : SEEN_NO;
	}
	*ret = f;
}

/* -- asking them -- */

static enum seen answer(int status)
{
	return status == 0 ? SEEN_YES : status == 1 ? SEEN_NO : SEEN_UNKNOWN;
}

static bool look_firewalld(uint16_t port, struct firewall *ret)
{
	char query[32], out[64];

	if (tool_run((const char *const[]){"firewall-cmd", "--state", NULL}, out, sizeof(out)) != 0)
		return false;
	snprintf(query, sizeof(query), "--query-port=%u/tcp", port);
	*ret = (struct firewall){
		.kind = FIREWALL_FIREWALLD,
		.port = answer(tool_run((const char *const[]){"firewall-cmd", query, NULL}, out,
					sizeof(out))),
		.mdns = answer(tool_run(
			(const char *const[]){"firewall-cmd", "--query-service=mdns", NULL}, out,
			sizeof(out))),
	};
	return true;
}

void firewall_look(uint16_t port, struct firewall *ret)
{
	_cleanup_free_ char *listing = malloc(LISTING_MAX);
	struct firewall f = {.kind = FIREWALL_UNSEEN};
	int r;

	*ret = f;
	/* The two make rules of nftables, so those are read last. */
	if (!listing || look_firewalld(port, ret))
		return;
	if (tool_run((const char *const[]){"ufw", "status", NULL}, listing, LISTING_MAX) == 0) {
		firewall_read_ufw(listing, port, &f);
		if (f.kind != FIREWALL_NONE) {
			*ret = f;
			return;
		}
	}
	r = tool_run((const char *const[]){"nft", "list", "ruleset", NULL}, listing, LISTING_MAX);
	if (r == 0)
		firewall_read_nft(listing, port, ret);
	else if (r == -ENOENT && !tool_there("iptables"))
		ret->kind = FIREWALL_NONE;
}
