/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for kithd's events; asks nothing meanwhile. */
#include "ui-tui/live.h"

#include <string.h>

#include "base/clock.h"
#include "ui-tui/model/says.h"

#define LULL_MS 200 /* changes come together */

/* Each figure of a hand-off is an event; only a new phase changes a list. */
struct told {
	char hid[MODEL_HID_TEXT], phase[24];
};

static bool is_news(struct told *told, const json_t *event)
{
	const json_t *job = json_object_get(event, "job");
	struct told now;

	if (strcmp(model_text(event, "event"), "progress") != 0)
		return true;
	snprintf(now.hid, sizeof(now.hid), "%s", model_text(job, "hid"));
	snprintf(now.phase, sizeof(now.phase), "%s", model_text(job, "phase"));
	if (strcmp(now.hid, told->hid) == 0 && strcmp(now.phase, told->phase) == 0)
		return false;
	*told = now;
	return true;
}

/* Until something changed, and nothing more did for a moment; 0 also when it is time to look, or
 * to end. */
static int wait_for_news(struct cli *cli, struct told *told, int every_ms, struct kerr *err)
{
	uint64_t look = every_ms ? clock_ms() + (uint64_t)every_ms : UINT64_MAX;
	bool news = false;

	while (cli_left(cli, 0) && clock_ms() < look) {
		json_t *event;
		int r = cli_agent_event(cli, news ? LULL_MS : 1000, &event, err);

		if (r < 0 || (!event && news))
			return r;
		if (!event)
			continue;
		news = is_news(told, event) || news;
		json_decref(event);
	}
	return 0;
}

static void print_head(const struct cli *cli, bool first)
{
	char when[32];

	says_time(clock_unix(), when, sizeof(when));
	if (cli->json)
		return;
	if (cli->terminal)
		printf("\033[H\033[2J%s, Ctrl-C ends\n\n", when);
	else if (!first)
		putchar('\n');
}

int live_run(struct cli *cli, int (*print)(struct cli *cli, struct kerr *err), int every_ms,
	     struct kerr *err)
{
	struct told told = {0};
	bool first = true;
	int r = cli_watch(cli, err);

	if (r < 0)
		return r;
	do {
		print_head(cli, first);
		first = false;
		r = print(cli, err);
		fflush(stdout);
		if (r == 0)
			r = wait_for_news(cli, &told, every_ms, err);
	} while (r == 0 && cli_left(cli, 0));
	return r;
}
