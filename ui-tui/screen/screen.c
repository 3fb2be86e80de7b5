/* SPDX-License-Identifier: Apache-2.0 */
/* One poll loop: keys, signals, two services, processes of our own. Nothing in it waits for
 * anything but poll(). */
#include "ui-tui/screen/screen.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "agent/client.h"
#include "base/clock.h"
#include "ui-tui/model/draw.h"
#include "ui-tui/screen/session.h"
#include "ui-tui/screen/term.h"

#define FIRST_LOOK_MS 2000
#define PASTE_PAUSE_MS 1000

enum {
	FD_KEYS,
	FD_SIGNALS,
	FD_AGENT,
	FD_CORE,
	FD_DOCTOR,
	FD_PAIR,
	FD_SIGN,
	FD_INIT,
	FD_FETCH,
	FD_COUNT
};

static void resize(struct session *s)
{
	unsigned lines, columns;

	term_size(&lines, &columns);
	if (canvas_resize(&s->canvas, lines, columns) == 0)
		ui_resized(&s->ui, lines, columns);
}

static void draw(struct session *s)
{
	/* The editor has the screen. */
	if (s->edit.editor || !s->dirty)
		return;
	resize(s);
	draw_screen(&s->ui, &s->canvas);
	term_draw(&s->canvas, s->anew);
	s->dirty = s->anew = false;
}

static void on_signals(struct session *s)
{
	unsigned seen = term_signals();

	if (seen & TERM_STOP) {
		term_stop();
		s->anew = true;
	}
	if (seen & TERM_END)
		s->over = true;
	s->dirty = s->dirty || (seen & (TERM_RESIZED | TERM_STOP));
}

static void on_click(struct session *s)
{
	const struct cell *cell;
	unsigned line, column;

	term_clicked(&line, &column);
	cell = canvas_at(&s->canvas, line, column);
	if (cell)
		ui_click(&s->ui, (enum hit)cell->hit, cell->row);
}

static void on_key(struct session *s, int key)
{
	bool idle = s->look_ms == UINT64_MAX, mouse = s->ui.mouse;
	uint64_t now = clock_ms();

	/* A clipboard does not pause; whoever does types again, also if its end got lost. */
	if (s->ui.pasting && now > s->key_ms + PASTE_PAUSE_MS)
		ui_key(&s->ui, PRESS_PASTE_END);
	s->key_ms = now;
	if (idle)
		s->look_ms = s->key_ms;
	if (key == PRESS_REDRAW)
		s->anew = true;
	else if (key == PRESS_CLICK)
		on_click(s);
	else if (key)
		ui_key(&s->ui, key);
	if (s->ui.mouse != mouse)
		term_mouse(s->ui.mouse);
	s->dirty = true;
	wishes_fulfil(s);
}

static void on_keys(struct session *s, short revents)
{
	int key, waiting = 0;

	/* The terminal is gone. */
	if (revents & (POLLHUP | POLLERR | POLLNVAL) ||
	    (ioctl(STDIN_FILENO, FIONREAD, &waiting) == 0 && waiting == 0)) {
		s->over = true;
		return;
	}
	while (!s->edit.editor && (key = term_key()) >= 0)
		on_key(s, key);
}

static int sooner(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return MIN_OF(a, b);
}

static int wait_ms(const struct session *s)
{
	uint64_t now = clock_ms();
	int look = -1;

	if (s->state.kithd && s->look_ms != UINT64_MAX)
		look = s->look_ms > now ? (int)(s->look_ms - now) : 0;
	return sooner(look, sooner(agent_wire_wait_ms(s->agent), core_wire_wait_ms(s->core)));
}

static void set_poll(const struct session *s, struct pollfd fds[FD_COUNT])
{
	const struct child *const children[] = {&s->doctor, &s->pair, &s->sign, &s->init,
						&s->fetch};

	for (int i = 0; i < FD_COUNT; i++)
		fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	fds[FD_KEYS].fd = s->edit.editor ? -1 : STDIN_FILENO;
	fds[FD_SIGNALS].fd = term_signal_fd();
	fds[FD_AGENT].fd = agent_wire_fd(s->agent);
	fds[FD_CORE].fd = core_wire_fd(s->core);
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		/* One that ended is told of by SIGCHLD. */
		fds[FD_DOCTOR + i].fd = children[i]->open ? children[i]->out : -1;
}

static void turn(struct session *s)
{
	struct pollfd fds[FD_COUNT];

	wishes_fulfil(s);
	draw(s);
	set_poll(s, fds);
	if (poll(fds, FD_COUNT, wait_ms(s)) < 0)
		for (int i = 0; i < FD_COUNT; i++)
			fds[i].revents = 0;
	s->state.now = clock_unix();
	if (fds[FD_SIGNALS].revents)
		on_signals(s);
	if (fds[FD_KEYS].revents)
		on_keys(s, fds[FD_KEYS].revents);
	agent_wire_run(s->agent, fds[FD_AGENT].revents);
	core_wire_run(s->core, fds[FD_CORE].revents);
	if (s->state.kithd && clock_ms() >= s->look_ms)
		news_look(s);
	errands_run(s);
}

/* As `kith init` takes it. */
static const char *user_name(void)
{
	const char *sudo = getenv("SUDO_USER"), *user = getenv("USER");

	if (sudo && *sudo)
		return sudo;
	return user ? user : "";
}

static int begin(struct session *s, char *agent, char *core, size_t size, struct kerr *err)
{
	if (config_run_path(&s->cli->config, AGENT_SOCKET, agent, size) < 0 ||
	    config_run_path(&s->cli->config, POLICYD_SOCKET, core, size) < 0)
		return kerr_set(err, ENAMETOOLONG, KCODE_USAGE,
				"The run directory's path is too long.");
	s->agent = agent_wire_new(agent, &news_hooks, s);
	s->core = core_wire_new(core);
	if (!s->agent || !s->core)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
	return term_open(err);
}

static void say_goodbye(const struct session *s)
{
	for (size_t i = 0; i < s->state.job_count; i++)
		if (!model_is_over(&s->state.jobs[i]))
			printf("The hand-off of \"%s\" goes on; `kith cancel %s` stops it.\n",
			       s->state.jobs[i].vm, s->state.jobs[i].vm);
	if (*s->edit.draft)
		printf("The policy that was not signed is in %s.\n", s->edit.draft);
}

int screen_run(struct cli *cli, bool read_only, struct kerr *err)
{
	struct session *s = calloc(1, sizeof(*s));
	char agent[256], core[256];
	int r;

	if (!s)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
	s->cli = cli;
	snprintf(s->state.user, sizeof(s->state.user), "%s", user_name());
	snprintf(s->state.acts, sizeof(s->state.acts), "%s", cli->config.owner);
	s->state.now = clock_unix();
	s->key_ms = clock_ms();
	s->look_ms = s->key_ms + FIRST_LOOK_MS;
	s->dirty = true;
	ui_begin(&s->ui, &s->state, read_only);
	r = begin(s, agent, core, sizeof(agent), err);
	while (r == 0 && !s->over)
		turn(s);
	errands_release(s);
	agent_wire_free(s->agent);
	core_wire_free(s->core);
	if (r == 0) {
		term_close();
		say_goodbye(s);
	}
	ui_release(&s->ui);
	canvas_release(&s->canvas);
	state_release(&s->state);
	free(s);
	return r;
}
