/* SPDX-License-Identifier: Apache-2.0 */
/* From the top: who this device is, the views, what is wrong, the view itself, hand-offs under way,
 * a message, the keys. */
#include "ui-tui/model/draw.h"

#include <string.h>

#include "ui-tui/model/pane.h"
#include "ui-tui/model/progress.h"
#include "ui-tui/model/qr.h"
#include "ui-tui/model/says.h"

#define WIDE 100	/* columns from which the text stands beside the list */
#define TABS_COLUMNS 72 /* that the names of all views need */
#define DIALOG_COLUMNS 76
#define TEXT_COLUMNS 40	 /* that a picture leaves beside it at least */
#define PICTURE_LINES 14 /* of the code of a pairing, with the words below it */

static void put_title(const struct ui *ui, struct canvas *c)
{
	const struct state_here *h = &ui->state->here;
	const char *right = ui->read_only ? "read-only" : "";
	char title[256];

	snprintf(title, sizeof(title), "kith  %s%s%s%s%s%s", h->name, *h->role ? " (" : "", h->role,
		 *h->role ? ")" : "", *h->owner ? " of " : "", h->owner);
	canvas_put(c, 0, 0, c->columns - 11, STYLE_TITLE, title);
	canvas_put(c, 0, c->columns - (unsigned)strlen(right), 9, STYLE_WARN, right);
}

/* Where there is no room for all names, the others' numbers are enough: ? says what they are. */
static void put_tabs(const struct ui *ui, struct canvas *c)
{
	unsigned column = 0;

	for (enum view view = 0; view < _VIEW_MAX; view++) {
		bool named = c->columns >= TABS_COLUMNS || view == ui->view;
		char tab[32];
		unsigned used;

		snprintf(tab, sizeof(tab), "%u%s%s", view + 1, named ? " " : "",
			 named ? ui_view_name(view) : "");
		used = canvas_put(c, 1, column, c->columns - column,
				  view == ui->view ? STYLE_STRONG : STYLE_DIM, tab);
		canvas_hit(c, 1, column, used, HIT_TAB, view);
		if (view == ui->view)
			canvas_reverse(c, 1, column, used);
		column += used + 1 + (c->columns >= 80);
	}
}

/* The gravest thing that is wrong; false if nothing is. */
static bool say_trouble(const struct state *s, struct sheet *ret)
{
	char since[32], ago[32];

	if (!s->kithd && s->silent_s) {
		says_time(s->silent_s, since, sizeof(since));
		model_age(s->now - s->silent_s, ago, sizeof(ago));
		sheet_add(ret, STYLE_BAD,
			  "! kithd does not answer since %s (%s). Start it with `systemctl start "
			  "kithd`; this waits for it. %s",
			  since + 11, ago, s->silent.text);
	} else if (!s->kithd) {
		sheet_add(ret, STYLE_DIM, "Asking kithd ...");
	} else if (*s->here.trouble) {
		sheet_add(ret, STYLE_BAD, "! %s", s->here.trouble);
	} else if (*s->vms_trouble) {
		sheet_add(ret, STYLE_BAD, "! %s", s->vms_trouble);
	}
	return ret->count > 0;
}

static unsigned put_trouble(const struct ui *ui, struct canvas *c)
{
	struct box box = {2, 0, c->lines < 24 ? 2 : 3, c->columns};
	struct sheet sheet = {0};
	size_t lines = 0;

	if (say_trouble(ui->state, &sheet))
		lines = pane_text(c, &box, &sheet, 0);
	sheet_clear(&sheet);
	return (unsigned)MIN_OF(lines, (size_t)box.lines);
}

/* -- the views -- */

/* The text of the view, or the selected row, whole; below a line that sets it off. */
static void put_detail(const struct ui *ui, struct canvas *c, const struct box *box)
{
	struct sheet sheet = {0};

	ui_text(ui, &sheet);
	for (unsigned i = 0; !box->column && i < box->columns; i++)
		canvas_put(c, box->line, i, 1, STYLE_DIM, "-");
	pane_text(c, &(struct box){box->line + 1, box->column, box->lines - 1, box->columns},
		  &sheet, ui->pane && ui->view != VIEW_HOME ? ui->top : 0);
	sheet_clear(&sheet);
}

static void put_home(const struct ui *ui, struct canvas *c, const struct box *body)
{
	unsigned detail = body->lines >= 14 ? 4 : 3, half = body->columns / 2;
	struct box left = {body->line, 0, body->lines - detail, half - 1};
	struct box right = {body->line, half + 1, body->lines - detail, body->columns - half - 1};
	struct box below = {body->line + body->lines - detail, 0, detail, body->columns};

	pane_list(c, &left, ui, LIST_VMS, "Virtual machines", ui->pane == 0);
	pane_list(c, &right, ui, LIST_TARGETS, "Devices", ui->pane == 1);
	for (unsigned i = 0; i < left.lines; i++)
		canvas_put(c, body->line + i, half - 1, 1, STYLE_DIM, "|");
	put_detail(ui, c, &below);
}

static void put_view(const struct ui *ui, struct canvas *c, const struct box *body)
{
	bool long_text = ui->view == VIEW_DEVICES || ui->view == VIEW_POLICY ||
			 ui->view == VIEW_PAIR || ui->view == VIEW_PEOPLE;
	bool wide = c->columns >= WIDE && long_text;
	unsigned part = long_text ? body->lines / 2 : body->lines > 12 ? 5 : 4;
	struct box list = *body, text = *body;

	if (wide) {
		list.columns = body->columns * 2 / 5;
		text.column = list.columns + 1;
		text.columns = body->columns - text.column;
	} else {
		list.lines = body->lines - part;
		text.line += list.lines;
		text.lines = part;
	}
	pane_list(c, &list, ui, ui_list(ui), ui_view_name(ui->view), ui->pane == 0);
	put_detail(ui, c, &text);
	for (unsigned i = 0; i < text.lines; i++)
		canvas_hit(c, text.line + i, text.column, text.columns, HIT_TEXT, 0);
	if (ui->pane == 1)
		canvas_reverse(c, text.line, text.column, text.columns);
}

/* -- below the view -- */

static void put_jobs(const struct ui *ui, struct canvas *c, unsigned line, unsigned room)
{
	const struct state *s = ui->state;

	for (size_t i = 0; i < s->job_count && room; i++) {
		const struct model_job *job = &s->jobs[i];
		char vm[64], device[64], name[160], progress[160];
		unsigned used;

		if (model_is_over(job))
			continue;
		plain_cut(job->vm, 16, vm, sizeof(vm));
		plain_cut(job->device_name, 16, device, sizeof(device));
		snprintf(name, sizeof(name), "~ %s %s %s: ", vm, job->source ? "->" : "<-", device);
		used = canvas_put(c, line, 0, c->columns, STYLE_STRONG, name);
		progress_line(job, MIN_OF(c->columns - used, 120u), progress, sizeof(progress));
		canvas_put(c, line, used, c->columns - used, STYLE_STRONG, progress);
		line++;
		room--;
	}
}

static unsigned open_jobs(const struct state *s, unsigned most)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->job_count; i++)
		n += !model_is_over(&s->jobs[i]);
	return MIN_OF(n, most);
}

static void put_message(const struct ui *ui, struct canvas *c, unsigned line)
{
	const struct list *l = &ui->lists[ui_list(ui)];
	char text[UI_FILTER_MAX + 16];

	if (!ui->filtering) {
		canvas_put(c, line, 0, c->columns, ui->message_style, ui->message);
		return;
	}
	snprintf(text, sizeof(text), "Filter: %s_", l->filter);
	canvas_put(c, line, 0, c->columns, STYLE_STRONG, text);
}

static void put_hints(const struct ui *ui, struct canvas *c)
{
	char hints[512];

	ui_hints(ui, c->columns, hints, sizeof(hints));
	canvas_put(c, c->lines - 1, 0, c->columns, STYLE_DIM, hints);
}

/* -- a dialog over it -- */

static void put_frame(struct canvas *c, const struct box *box, const char *title)
{
	for (unsigned i = 0; i < box->lines; i++) {
		bool edge = i == 0 || i == box->lines - 1;

		canvas_blank(c, box->line + i, box->column, box->columns);
		for (unsigned k = 0; edge && k < box->columns; k++)
			canvas_put(c, box->line + i, box->column + k, 1, STYLE_STRONG, "-");
		canvas_put(c, box->line + i, box->column, 1, STYLE_STRONG, edge ? "+" : "|");
		canvas_put(c, box->line + i, box->column + box->columns - 1, 1, STYLE_STRONG,
			   edge ? "+" : "|");
	}
	canvas_put(c, box->line, box->column + 2, box->columns - 4, STYLE_TITLE, title);
}

static void put_buttons(struct canvas *c, const struct dialog *d, unsigned line, unsigned column)
{
	canvas_put(c, line, column, 9, STYLE_STRONG, "[ Yes ]");
	canvas_put(c, line, column + 10, 9, STYLE_STRONG, "[ No ]");
	canvas_reverse(c, line, d->yes ? column : column + 10, d->yes ? 7 : 6);
	canvas_hit(c, line, column, 7, HIT_YES, 0);
	canvas_hit(c, line, column + 10, 6, HIT_NO, 0);
}

/* The first line to show of what the text is wrapped to. */
static size_t dialog_top(const struct dialog *d, const struct sheet *wrapped, size_t lines)
{
	for (size_t i = 0; d->follow && i < wrapped->count; i++)
		if (strncmp(wrapped->lines[i].text, OUTLOOK_CHOSEN, strlen(OUTLOOK_CHOSEN)) == 0)
			return i + 2 > lines ? i + 2 - lines : 0;
	return d->top;
}

/* The code as a picture beside the text, and below it what it is; the columns that are taken from
 * the text. On a screen that is too small for both there is only the text. */
static unsigned put_picture(struct canvas *c, const struct box *inner, const char *text)
{
	unsigned columns = *text ? qr_columns(text) : 0, lines;
	unsigned column = inner->column + inner->columns - columns;

	if (!columns || inner->columns < columns + TEXT_COLUMNS || inner->lines < 2)
		return 0;
	lines = qr_draw(c, inner->line, column, inner->lines - 1, columns, text);
	if (!lines)
		return 0;
	canvas_put(c, inner->line + lines, column, columns, STYLE_DIM, "the same for a camera");
	return columns + 2;
}

static void put_dialog(const struct ui *ui, struct canvas *c)
{
	const struct dialog *d = &ui->dialog;
	bool asks = d->question || d->typing;
	unsigned columns = MIN_OF(c->columns - 4, (unsigned)DIALOG_COLUMNS);
	unsigned most = c->lines - 5 - 2 - 2 * asks;
	struct sheet wrapped = {0};
	struct box box, inner;
	char typed[UI_FILTER_MAX + 16];

	pane_wrap(&d->text, columns - 4, &wrapped);
	inner.lines = (unsigned)MIN_OF(wrapped.count, (size_t)most);
	if (*d->picture && columns == DIALOG_COLUMNS && inner.lines < PICTURE_LINES)
		inner.lines = MIN_OF(most, (unsigned)PICTURE_LINES);
	box.lines = inner.lines + 2 + 2 * asks;
	box.columns = columns;
	box.line = (c->lines - 1 - box.lines) / 2;
	box.column = (c->columns - columns) / 2;
	put_frame(c, &box, d->title);
	inner = (struct box){box.line + 1, box.column + 2, inner.lines, columns - 4};
	inner.columns -= put_picture(c, &inner, d->picture);
	pane_text(c, &inner, &d->text, dialog_top(d, &wrapped, inner.lines));
	sheet_clear(&wrapped);
	if (d->question)
		put_buttons(c, d, box.line + box.lines - 2, box.column + 2);
	if (d->typing) {
		snprintf(typed, sizeof(typed), "> %s_", d->typed);
		canvas_put(c, box.line + box.lines - 2, box.column + 2, columns - 4, STYLE_STRONG,
			   typed);
	}
}

static void put_too_small(struct canvas *c)
{
	struct box box = {0, 0, c->lines, c->columns};
	struct sheet sheet = {0};

	sheet_add(&sheet, STYLE_STRONG,
		  "kith needs %dx%d characters; this terminal has %ux%u. Make it larger, or press "
		  "q.",
		  UI_COLUMNS_MIN, UI_LINES_MIN, c->columns, c->lines);
	if (c->columns && c->lines)
		pane_text(c, &box, &sheet, 0);
	sheet_clear(&sheet);
}

void draw_screen(const struct ui *ui, struct canvas *c)
{
	unsigned jobs = open_jobs(ui->state, c->lines < 24 ? 2 : 4), trouble;
	struct box body = {.columns = c->columns};

	if (c->lines < UI_LINES_MIN || c->columns < UI_COLUMNS_MIN) {
		put_too_small(c);
		return;
	}
	put_title(ui, c);
	put_tabs(ui, c);
	trouble = put_trouble(ui, c);
	body.line = 2 + trouble;
	body.lines = c->lines - body.line - jobs - 2;
	if (ui->view == VIEW_HOME)
		put_home(ui, c, &body);
	else
		put_view(ui, c, &body);
	put_jobs(ui, c, body.line + body.lines, jobs);
	put_message(ui, c, c->lines - 2);
	put_hints(ui, c);
	if (ui->dialog.kind != DIALOG_NONE)
		put_dialog(ui, c);
}
