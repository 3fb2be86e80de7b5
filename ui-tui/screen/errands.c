/* SPDX-License-Identifier: Apache-2.0 */
/* What takes seconds, asks or owns the terminal runs beside the screen: `kith doctor`, `kith pair`,
 * `kith policy set`, `kith fetch`, the editor. */
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/file.h"
#include "ui-tui/editor.h"
#include "ui-tui/policytext.h"
#include "ui-tui/screen/session.h"
#include "ui-tui/screen/term.h"

/* This program with our configuration; `words` end with NULL. */
static bool start(struct session *s, struct child *c, const char *const words[], bool talk)
{
	const char *argv[12] = {"kith", "--json", "--config", s->cli->path};
	struct kerr err = {0};
	size_t n = 4;
	int r;

	for (size_t i = 0; words[i] && n + 1 < ARRAY_SIZE(argv); i++)
		argv[n++] = words[i];
	child_release(c);
	r = child_start(c, argv, talk);
	if (r < 0) {
		kerr_set(&err, -r, KCODE_FAILED, "It cannot be started: %s.", strerror(-r));
		ui_failed(&s->ui, words[0], &err);
	}
	return r == 0;
}

void errands_doctor(struct session *s)
{
	if (s->doctor.open)
		return;
	s->state.checking = start(s, &s->doctor, (const char *const[]){"doctor", NULL}, false);
	ui_say(&s->ui, STYLE_PLAIN, "Looking at all that Kith needs ...");
}

void errands_init(struct session *s, const char *person)
{
	if (!s->init.open)
		start(s, &s->init, (const char *const[]){"init", person, NULL}, false);
}

/* Of the hand-off itself kithd tells; what comes from here is a refusal. */
void errands_fetch(struct session *s, const struct target *t)
{
	char uuid[MODEL_UUID_TEXT];

	if (s->fetch.open) {
		ui_say(&s->ui, STYLE_WARN, "! \"%s\" is still asked for.", s->fetched.vm);
		return;
	}
	hex_encode(t->uuid, UUID_LEN, uuid);
	s->fetched = *t;
	if (start(s, &s->fetch, (const char *const[]){"fetch", uuid, NULL}, false))
		ui_say(&s->ui, STYLE_PLAIN, "Asking \"%s\" for \"%s\" ...", t->name, t->vm);
}

void errands_pair(struct session *s, const char *device, enum person_role role)
{
	const char *as = person_role_to_string(role);
	const char *const named[] = {"pair", device, "as", as, NULL}, *const any[] = {"pair", "as",
										      as, NULL};

	state_pairing_begin(&s->state);
	s->state.pairing.running = start(s, &s->pair, *device ? named : any, true);
	ui_changed(&s->ui);
}

/* -- policies -- */

static void drop_draft(struct session *s)
{
	if (*s->edit.draft)
		unlink(s->edit.draft);
	s->edit.draft[0] = '\0';
	free(s->edit.original);
	s->edit.original = NULL;
}

static int write_draft(struct session *s, const char *text)
{
	int r;

	drop_draft(s);
	r = editor_draft(text, s->edit.draft);
	if (r < 0) {
		s->edit.draft[0] = '\0';
		return r;
	}
	s->edit.original = strdup(text);
	return s->edit.original ? 0 : -ENOMEM;
}

void errands_edit(struct session *s, const struct target *target, const char *text)
{
	struct kerr err = {0};
	int r = text ? write_draft(s, text) : 0;

	s->edit.target = *target;
	if (r == 0) {
		term_leave();
		r = editor_start(s->edit.draft, &s->edit.editor);
		if (r < 0)
			term_return();
	}
	if (r < 0) {
		s->edit.editor = 0;
		kerr_set(&err, -r, KCODE_FAILED, "The policy cannot be edited: %s.", strerror(-r));
		ui_failed(&s->ui, "Policy", &err);
	}
}

static void sign(struct session *s)
{
	char uuid[MODEL_UUID_TEXT];

	hex_encode(s->edit.target.uuid, UUID_LEN, uuid);
	start(s, &s->sign, (const char *const[]){"policy", "set", uuid, s->edit.draft, NULL},
	      false);
}

static void editor_ended(struct session *s)
{
	_cleanup_free_ uint8_t *data = NULL;
	int status;
	size_t len;

	if (!s->edit.editor || waitpid(s->edit.editor, &status, WNOHANG) != s->edit.editor)
		return;
	s->edit.editor = 0;
	term_return();
	s->dirty = s->anew = true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		ui_say(&s->ui, STYLE_BAD,
		       "! The editor failed, and nothing was changed. Set VISUAL or EDITOR.");
		drop_draft(s);
	} else if (file_read(AT_FDCWD, s->edit.draft, POLICYTEXT_MAX, &data, &len) == 0 &&
		   len == strlen(s->edit.original) && memcmp(data, s->edit.original, len) == 0) {
		ui_say(&s->ui, STYLE_PLAIN, "Nothing was changed.");
		drop_draft(s);
	} else {
		sign(s);
	}
}

/* All lines that are wrong, not only the first one. */
static void explain_draft(struct session *s)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t len;

	if (file_read(AT_FDCWD, s->edit.draft, POLICYTEXT_MAX, &data, &len) == 0 &&
	    !memchr(data, 0, len))
		policytext_explain((const char *)data, &s->ui.dialog.text);
}

static void take_signed(struct session *s, const json_t *document)
{
	struct kerr err;

	model_error(json_object_get(document, "error"), &err);
	if (err.code == KCODE_OK) {
		ui_say(&s->ui, STYLE_GOOD, "+ Policy version %llu of \"%s\" is signed.",
		       (unsigned long long)model_number(document, "version"), s->edit.target.vm);
		drop_draft(s);
		news_refresh(s);
		return;
	}
	ui_failed(&s->ui, "The policy is not in force", &err);
	explain_draft(s);
	sheet_add(&s->ui.dialog.text, STYLE_PLAIN,
		  "  Your text is kept: press e to go on with it.");
}

/* -- what they say -- */

static void run_doctor(struct session *s)
{
	json_t *document;
	int status;
	bool ended = child_ended(&s->doctor, &status);

	while (child_take(&s->doctor, &document)) {
		state_take_checks(&s->state, document);
		s->ui.message[0] = '\0';
		json_decref(document);
		s->dirty = true;
	}
	if (ended) {
		s->state.checking = false;
		child_release(&s->doctor);
	}
}

static void run_init(struct session *s)
{
	json_t *document;
	struct kerr err;
	int status;
	bool ended = child_ended(&s->init, &status);

	while (child_take(&s->init, &document)) {
		model_error(json_object_get(document, "error"), &err);
		s->ui.message[0] = '\0';
		if (err.code == KCODE_OK)
			state_take_init(&s->state, document);
		else
			ui_failed(&s->ui, "There is no new cloud", &err);
		json_decref(document);
		news_refresh(s);
		s->dirty = true;
	}
	if (ended)
		child_release(&s->init);
}

static void run_fetch(struct session *s)
{
	char title[NAME_MAX_LEN + 32];
	json_t *document;
	struct kerr err;
	int status;
	bool ended = child_ended(&s->fetch, &status);

	while (child_take(&s->fetch, &document)) {
		model_error(json_object_get(document, "error"), &err);
		snprintf(title, sizeof(title), "\"%s\" was not brought here", s->fetched.vm);
		if (err.code != KCODE_OK)
			ui_failed(&s->ui, title, &err);
		json_decref(document);
		s->dirty = true;
	}
	if (ended)
		child_release(&s->fetch);
}

static void run_pair(struct session *s)
{
	json_t *event;
	int status;
	bool ended = child_ended(&s->pair, &status);

	while (child_take(&s->pair, &event)) {
		state_take_pairing(&s->state, event);
		json_decref(event);
		s->dirty = true;
	}
	if (!ended)
		return;
	child_release(&s->pair);
	state_pairing_over(&s->state, status);
	news_refresh(s);
	s->dirty = true;
}

static void run_sign(struct session *s)
{
	json_t *document;
	int status;
	bool ended = child_ended(&s->sign, &status);

	while (child_take(&s->sign, &document)) {
		take_signed(s, document);
		json_decref(document);
		s->dirty = true;
	}
	if (ended)
		child_release(&s->sign);
}

void errands_run(struct session *s)
{
	editor_ended(s);
	run_doctor(s);
	run_pair(s);
	run_sign(s);
	run_init(s);
	run_fetch(s);
	if (s->dirty)
		ui_changed(&s->ui);
}

void errands_release(struct session *s)
{
	child_release(&s->doctor);
	child_release(&s->pair);
	child_release(&s->sign);
	child_release(&s->init);
	child_release(&s->fetch);
	free(s->edit.original);
	s->edit.original = NULL;
}
