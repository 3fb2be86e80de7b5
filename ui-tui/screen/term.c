/* SPDX-License-Identifier: Apache-2.0 */
/* ncurses draws what changed; signals only leave a note; a crash writes bytes that were made ready
 * before. */
#include "ui-tui/screen/term.h"

#include <fcntl.h>
#include <ncurses.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "ui-tui/model/ui.h"

#define KEY_PASTE (KEY_MAX + 1)
#define KEY_PASTE_END (KEY_MAX + 2)
#define PASTES_ON "\033[?2004h"
#define MODES_OFF "\033[?2004l\033[?1006l\033[?1000l" /* and those of a mouse */
#define ESCAPE_WAIT_MS 100 /* for the rest of a key that begins with Esc; enough for ssh */

static SCREEN *screen;
static int notes[2] = {-EBADF, -EBADF}; /* a byte for each signal */
static volatile sig_atomic_t ended;	/* the signal that asked for the end */
static volatile sig_atomic_t foreign;	/* another program has the terminal */
static struct termios before;
static char restore[256]; /* what gives the screen back */
static size_t restore_len;
static bool colours;
static attr_t bright; /* dark blue needs it on black, and bears it on white */
static bool pastes;   /* the terminal tells what comes from a clipboard */
static MEVENT click;

/* -- signals -- */

static void on_signal(int sig)
{
	int saved = errno;
	unsigned char note = (unsigned char)sig;

	if (write(notes[1], &note, 1) < 0)
		errno = saved; /* full: then there is enough to read */
	errno = saved;
}

/* Only what is safe in a signal handler: bytes that are ready, and the modes of before. */
static void on_crash(int sig)
{
	if (!foreign && write(STDOUT_FILENO, restore, restore_len) < 0)
		errno = 0;
	if (!foreign)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	raise(sig);
}

/* Each that would end this program otherwise, and those that tell something. */
static const int told[] = {SIGWINCH, SIGTSTP, SIGCHLD, SIGPIPE, SIGINT,	   SIGTERM, SIGHUP,
			   SIGQUIT,  SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ};
static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

static void catch_signals(void)
{
	static char stack[16384];
	const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction crash = {.sa_handler = on_crash,
				  .sa_flags = SA_RESETHAND | SA_NODEFER | SA_ONSTACK};

	/* The stack itself may be what is broken. */
	sigaltstack(&own, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(told); i++)
		sigaction(told[i], &action, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		sigaction(crashes[i], &crash, NULL);
}

static unsigned meaning(int sig)
{
	if (sig == SIGWINCH)
		return TERM_RESIZED;
	if (sig == SIGTSTP)
		return TERM_STOP;
	/* Who does not read any more is noticed by its end. */
	if (sig == SIGCHLD || sig == SIGPIPE)
		return TERM_CHILD;
	return TERM_END;
}

int term_signal_fd(void)
{
	return notes[0];
}

unsigned term_signals(void)
{
	unsigned char list[64];
	unsigned seen = 0;
	ssize_t n = read(notes[0], list, sizeof(list));

	for (ssize_t i = 0; i < n; i++) {
		bool keys = list[i] == SIGINT || list[i] == SIGQUIT;

		/* Ctrl-C in an editor is the editor's. */
		if (foreign && keys)
			continue;
		seen |= meaning(list[i]);
		if (meaning(list[i]) == TERM_END)
			ended = list[i];
	}
	return seen;
}

/* -- colours -- */

/* Blue and orange or red differ for nearly all eyes, and show on light and dark. */
static void choose_colours(void)
{
	const char *none = getenv("NO_COLOR");
	bool many;

	colours = has_colors() && !(none && *none) && start_color() == OK &&
		  use_default_colors() == OK;
	if (!colours)
		return;
	many = COLORS >= 256;
	bright = many ? 0 : A_BOLD;
	init_pair(STYLE_GOOD, many ? 33 : COLOR_BLUE, -1);
	init_pair(STYLE_WARN, many ? 172 : COLOR_MAGENTA, -1);
	init_pair(STYLE_BAD, many ? 202 : COLOR_RED, -1);
	init_pair(STYLE_DIM, many ? 244 : -1, -1);
	init_pair(STYLE_PICTURE, COLOR_BLACK, COLORS >= 16 ? 15 : COLOR_WHITE);
}

static attr_t attributes(enum style style)
{
	switch (style) {
	case STYLE_TITLE:
	case STYLE_STRONG:
		return A_BOLD;
	case STYLE_BAD:
		return A_BOLD | (colours ? (attr_t)COLOR_PAIR(style) : 0);
	case STYLE_GOOD:
		return colours ? (attr_t)COLOR_PAIR(style) | bright : A_NORMAL;
	case STYLE_WARN:
	case STYLE_DIM:
		return colours ? (attr_t)COLOR_PAIR(style) : A_NORMAL;
	case STYLE_PICTURE:
		/* Most terminals without colours are light on dark. */
		return colours ? (attr_t)COLOR_PAIR(style) : A_REVERSE;
	case STYLE_PLAIN:
	case _STYLE_MAX:
		break;
	}
	return A_NORMAL;
}

/* -- open and close -- */

bool term_can(void)
{
	const char *name = getenv("TERM");

	return name && *name && strcmp(name, "dumb") != 0;
}

/* Without its padding, which only terminals of paper need. */
static void append_string(const char *capability)
{
	const char *text = tigetstr(capability);

	if (!text || text == (char *)-1)
		return;
	while (*text && restore_len + 1 < sizeof(restore)) {
		const char *end = strncmp(text, "$<", 2) == 0 ? strchr(text, '>') : NULL;

		if (end)
			text = end + 1;
		else
			restore[restore_len++] = *text++;
	}
}

static void append_text(const char *text)
{
	size_t len = MIN_OF(strlen(text), sizeof(restore) - restore_len);

	memcpy(restore + restore_len, text, len);
	restore_len += len;
}

static void prepare_restore(void)
{
	static const char *const capabilities[] = {"sgr0", "op", "rmkx", "cnorm", "rmcup"};

	restore_len = 0;
	if (pastes)
		append_text(MODES_OFF);
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		append_string(capabilities[i]);
}

static void set_modes(void)
{
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(ESCAPE_WAIT_MS);
	curs_set(0);
}

/* Past what ncurses has buffered, which is nothing about these modes. */
static void tell_terminal(const char *text)
{
	if (pastes && write(STDOUT_FILENO, text, strlen(text)) < 0)
		errno = 0;
}

/* What comes from a clipboard is marked by those that know a mouse, which are xterm's kin; to
 * others nothing is sent that they might show. */
static void mark_pastes(void)
{
	const char *mouse = tigetstr("kmous");

	pastes = mouse && mouse != (char *)-1;
	if (!pastes)
		return;
	define_key("\033[200~", KEY_PASTE);
	define_key("\033[201~", KEY_PASTE_END);
	tell_terminal(PASTES_ON);
}

int term_open(struct kerr *err)
{
	if (tcgetattr(STDIN_FILENO, &before) < 0 || pipe2(notes, O_CLOEXEC | O_NONBLOCK) < 0)
		return kerr_set(err, errno, KCODE_NOT_READY, "There is no terminal: %s.",
				strerror(errno));
	/* Before ncurses, which would take those that nobody has. */
	catch_signals();
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return kerr_set(err, ENOTTY, KCODE_NOT_READY,
				"The terminal \"%.40s\" is not known here; set TERM.",
				getenv("TERM"));
	set_term(screen);
	set_modes();
	mark_pastes();
	prepare_restore();
	choose_colours();
	return 0;
}

/* A terminal without a second screen keeps what stands there, with the prompt in its last line. */
static void give_back(void)
{
	tell_terminal(MODES_OFF);
	move(LINES - 1, 0);
	clrtoeol();
	refresh();
	endwin();
}

void term_close(void)
{
	if (screen) {
		give_back();
		delscreen(screen);
		screen = NULL;
	}
	if (!ended || ended == SIGINT)
		return;
	sigaction(ended, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	raise(ended);
}

void term_leave(void)
{
	foreign = 1;
	give_back();
}

void term_return(void)
{
	foreign = 0;
	tell_terminal(PASTES_ON);
	refresh();
	clearok(curscr, TRUE);
}

void term_stop(void)
{
	/* The other program stops by itself, and this one with it. */
	if (foreign) {
		raise(SIGSTOP);
		return;
	}
	term_leave();
	sigaction(SIGTSTP, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	raise(SIGTSTP);
	sigaction(SIGTSTP, &(struct sigaction){.sa_handler = on_signal, .sa_flags = SA_RESTART},
		  NULL);
	/* Whoever let it go on may have changed them. */
	tcgetattr(STDIN_FILENO, &before);
	term_return();
}

/* -- in and out -- */

void term_size(unsigned *ret_lines, unsigned *ret_columns)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
		resizeterm(size.ws_row, size.ws_col);
	*ret_lines = (unsigned)LINES;
	*ret_columns = (unsigned)COLS;
}

static void draw_line(const struct canvas *c, unsigned line)
{
	for (unsigned column = 0; column < c->columns; column++) {
		const struct cell *cell = canvas_at(c, line, column);

		if (!*cell->text)
			continue;
		attrset((int)(attributes(cell->style) | (cell->reverse ? A_REVERSE : 0)));
		mvaddstr((int)line, (int)column, cell->text);
	}
}

void term_draw(const struct canvas *c, bool anew)
{
	erase();
	for (unsigned line = 0; line < c->lines; line++)
		draw_line(c, line);
	if (anew)
		clearok(curscr, TRUE);
	refresh();
}

static const struct {
	int code, press;
} keys[] = {
	{KEY_UP, PRESS_UP},
	{KEY_DOWN, PRESS_DOWN},
	{KEY_LEFT, PRESS_LEFT},
	{KEY_RIGHT, PRESS_RIGHT},
	{KEY_PPAGE, PRESS_PAGE_UP},
	{KEY_NPAGE, PRESS_PAGE_DOWN},
	{KEY_HOME, PRESS_HOME},
	{KEY_END, PRESS_END},
	{KEY_ENTER, PRESS_ENTER},
	{KEY_BACKSPACE, PRESS_BACK},
	{KEY_DC, PRESS_BACK},
	{KEY_PASTE, PRESS_PASTE},
	{KEY_PASTE_END, PRESS_PASTE_END},
};
static const struct {
	wint_t character;
	int press;
} controls[] = {
	{'\r', PRESS_ENTER}, {'\n', PRESS_ENTER}, {'\t', PRESS_TAB},	{'\033', PRESS_ESC},
	{'\b', PRESS_BACK},  {0x7f, PRESS_BACK},  {0x0c, PRESS_REDRAW},
};

void term_mouse(bool on)
{
	mouseinterval(0);
	mousemask(on ? BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED : 0, NULL);
}

void term_clicked(unsigned *ret_line, unsigned *ret_column)
{
	*ret_line = (unsigned)click.y;
	*ret_column = (unsigned)click.x;
}

static int mouse_key(void)
{
	if (getmouse(&click) != OK)
		return 0;
	if (click.bstate & BUTTON4_PRESSED)
		return PRESS_UP;
	if (click.bstate & BUTTON5_PRESSED)
		return PRESS_DOWN;
	return click.bstate & BUTTON1_PRESSED ? PRESS_CLICK : 0;
}

int term_key(void)
{
	wint_t c;
	int kind = get_wch(&c);

	if (kind == ERR)
		return -1;
	if (kind == KEY_CODE_YES && c == KEY_MOUSE)
		return mouse_key();
	for (size_t i = 0; kind == KEY_CODE_YES && i < ARRAY_SIZE(keys); i++)
		if (keys[i].code == (int)c)
			return keys[i].press;
	for (size_t i = 0; kind == OK && i < ARRAY_SIZE(controls); i++)
		if (controls[i].character == c)
			return controls[i].press;
	/* Other keys mean nothing here. */
	return kind == OK && c >= ' ' ? (int)c : 0;
}
