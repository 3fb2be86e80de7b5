/* SPDX-License-Identifier: Apache-2.0 */
/* The screen's own state: which view, what is selected, which question is open. Keys and answers
 * in, wishes out; who fulfils them and who draws are others. */
#pragma once

#include "ui-tui/model/canvas.h"
#include "ui-tui/model/outlook.h"
#include "ui-tui/model/rows.h"

#define UI_COLUMNS_MIN 60
#define UI_LINES_MIN 16
#define UI_FILTER_MAX 64
#define UI_WISHES_MAX 16

/* Keys that are no character. */
enum press {
	PRESS_UP = 0x110000,
	PRESS_DOWN,
	PRESS_LEFT,
	PRESS_RIGHT,
	PRESS_PAGE_UP,
	PRESS_PAGE_DOWN,
	PRESS_HOME,
	PRESS_END,
	PRESS_ENTER,
	PRESS_ESC,
	PRESS_TAB,
	PRESS_BACK,
	PRESS_REDRAW,
	PRESS_PASTE,	 /* what follows comes from a clipboard... */
	PRESS_PASTE_END, /* ...until here */
	PRESS_CLICK,	 /* for who has the terminal: see ui_click() */
};

enum view {
	VIEW_HOME,
	VIEW_DEVICES,
	VIEW_JOBS,
	VIEW_LOG,
	VIEW_POLICY,
	VIEW_DOCTOR,
	VIEW_PAIR,
	VIEW_PEOPLE,
	_VIEW_MAX,
};

/* A selection survives that the list changes. */
struct list {
	char key[MODEL_ID_TEXT];
	size_t index;
	char filter[UI_FILTER_MAX];
};

enum dialog_kind {
	DIALOG_NONE,
	DIALOG_PLAN,   /* the plan of a move; yes begins it */
	DIALOG_CANCEL, /* of a hand-off */
	DIALOG_ACCEPT, /* what a device proved */
	DIALOG_TAKE,   /* VMs of another person from a device */
	DIALOG_FORGET, /* a device */
	DIALOG_FETCH,  /* a VM that is elsewhere comes here */
	DIALOG_CODE,   /* of a pairing: the whole word has to be typed */
	DIALOG_FIRST,  /* what to do with a device that is nobody's */
	DIALOG_NAME,   /* of the owner of a new cloud */
	DIALOG_WHY,    /* which rule lets a VM go where */
	DIALOG_TEXT,   /* an error, or more of what is selected */
	DIALOG_HELP,
};

struct dialog {
	enum dialog_kind kind;
	char title[96];
	struct sheet text;
	bool waiting;  /* for an answer that the text is made of */
	bool question; /* there is a yes and a no */
	bool yes;      /* which of them Enter takes */
	size_t top;    /* first line shown */
	bool follow;   /* show the chosen line instead, wherever it is */
	bool typing;   /* there is a line to type in */
	char typed[UI_FILTER_MAX];
	char picture[32]; /* shown beside the text as a QR code, "" = none */
	unsigned choice;  /* DIALOG_FIRST */
	struct target target;
	struct outlook outlook; /* DIALOG_PLAN: what the text says */
	char hid[MODEL_HID_TEXT];
	uint8_t shown[HASH_LEN]; /* DIALOG_ACCEPT: what the yes counts for */
	bool on;		 /* DIALOG_TAKE: from now on, or not any more */
};

enum wish_kind {
	WISH_QUIT,
	WISH_REFRESH,
	WISH_PLAN,   /* target */
	WISH_MOVE,   /* target */
	WISH_CANCEL, /* hid */
	WISH_TRUST,  /* target.device */
	WISH_ACCEPT, /* target.device, shown */
	WISH_TAKE,   /* target.device, on */
	WISH_FORGET, /* target.device */
	WISH_FETCH,  /* target.uuid */
	WISH_LOG,    /* what is new in it */
	WISH_POLICY, /* target.uuid */
	WISH_EDIT,   /* target.uuid */
	WISH_DOCTOR,
	WISH_PAIR,   /* word: the device, "" = whoever waits; role */
	WISH_ANSWER, /* word: yes or no */
	WISH_PAIR_STOP,
	WISH_INIT, /* word: the owner's name */
	WISH_WHY,  /* target.uuid: which rule decides, device by device */
};

struct wish {
	enum wish_kind kind;
	struct target target;
	char hid[MODEL_HID_TEXT], word[NAME_MAX_LEN + 1];
	uint8_t shown[HASH_LEN];
	enum person_role role;
	bool on;
};

struct ui {
	const struct state *state;
	bool read_only, always_read_only;
	enum view view;
	unsigned pane; /* 0: the first list; 1: the second one, or the text */
	struct list lists[_LIST_MAX];
	size_t top;	       /* first line of the text shown */
	enum person_role role; /* of another person whose device is paired with */
	bool filtering;
	bool small;	      /* nothing of this can be seen */
	bool pasting, pasted; /* a clipboard types; something of it was left out */
	bool mouse;	      /* clicks are wanted */
	bool aged;	      /* the text beside the list is to be asked for again */
	bool first;	      /* what to do with a device that is nobody's was asked */
	struct dialog dialog;
	char message[KERR_TEXT_MAX + 128];
	enum style message_style;
	struct wish wishes[UI_WISHES_MAX];
	size_t wish_count;
};

/* `state` is borrowed; who changes it calls ui_changed(). */
void ui_begin(struct ui *ui, const struct state *state, bool read_only);
void ui_release(struct ui *ui);

void ui_changed(struct ui *ui);
void ui_resized(struct ui *ui, unsigned lines, unsigned columns);
void ui_key(struct ui *ui, int key);
/* A click on what draw_screen() said that is there. */
void ui_click(struct ui *ui, enum hit hit, size_t row);
/* False if there is none. */
bool ui_take_wish(struct ui *ui, struct wish *ret);

/* The text beside the list, or what the log shows, may be out of date: it is wished for again. */
void ui_text_aged(struct ui *ui);

/* Answers to wishes. */
void ui_planned(struct ui *ui, const struct outlook *o);
/* One more line of the answer to WISH_WHY; false if nobody waits for it any more: then it is not
 * shown. */
bool ui_because(struct ui *ui, const struct target *t, const struct policyd_plan *plan);
void ui_failed(struct ui *ui, const char *title, const struct kerr *why);
void ui_say(struct ui *ui, enum style style, const char *fmt, ...) _printf_(3, 4);

/* -- for who draws -- */

enum list_kind ui_list(const struct ui *ui);
/* The selected row; false if there is none. */
bool ui_selected(const struct ui *ui, enum list_kind kind, struct row *ret);
/* The text beside or below the list. Appends to *ret. */
void ui_text(const struct ui *ui, struct sheet *ret);
/* "Enter plan the move  c cancel  ...", as many keys as go into `columns`. */
void ui_hints(const struct ui *ui, unsigned columns, char *ret, size_t size);
const char *ui_view_name(enum view view);
