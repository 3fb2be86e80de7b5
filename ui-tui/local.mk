# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += ui-tui/libui.a
ui_tui_libui_a_SOURCES = \
	ui-tui/audit.c ui-tui/audit.h \
	ui-tui/cli.c ui-tui/cli-main.c ui-tui/cli.h \
	ui-tui/change.c ui-tui/change.h \
	ui-tui/cmd-config.c \
	ui-tui/cmd-console.c \
	ui-tui/cmd-device.c \
	ui-tui/cmd-disks.c \
	ui-tui/cmd-doctor.c \
	ui-tui/cmd-fetch.c \
	ui-tui/cmd-jobs.c \
	ui-tui/cmd-log.c \
	ui-tui/cmd-move.c \
	ui-tui/cmd-policy.c \
	ui-tui/cmd-roam.c \
	ui-tui/cmd-vm.c \
	ui-tui/editor.c ui-tui/editor.h \
	ui-tui/cmdline.c ui-tui/cmdline.h \
	ui-tui/commands.c ui-tui/commands.h \
	ui-tui/complete.c ui-tui/complete.h \
	ui-tui/console-terminal.c \
	ui-tui/console-viewer.c \
	ui-tui/console.c ui-tui/console.h \
	ui-tui/config-edit.c ui-tui/config-edit.h \
	ui-tui/config-file.c ui-tui/config-file.h \
	ui-tui/doctor.h \
	ui-tui/doctor-facts.c ui-tui/doctor-firewall.c ui-tui/doctor-judge.c \
	ui-tui/doctor-life.c \
	ui-tui/follow.c ui-tui/follow.h \
	ui-tui/guess.c ui-tui/guess.h \
	ui-tui/help.c ui-tui/help.h \
	ui-tui/live.c ui-tui/live.h \
	ui-tui/lookup.c \
	ui-tui/model/canvas.c ui-tui/model/canvas.h \
	ui-tui/model/changed.c \
	ui-tui/model/dialogs.c \
	ui-tui/model/draw.c ui-tui/model/draw.h \
	ui-tui/model/first.c \
	ui-tui/model/hints.c \
	ui-tui/model/keys.c \
	ui-tui/model/model.c ui-tui/model/model.h \
	ui-tui/model/moving.c ui-tui/model/moving.h \
	ui-tui/model/outlook.c ui-tui/model/outlook.h \
	ui-tui/model/pane.c ui-tui/model/pane.h \
	ui-tui/model/plain.c ui-tui/model/plain.h \
	ui-tui/model/progress.c ui-tui/model/progress.h \
	ui-tui/model/qr.c ui-tui/model/qr.h \
	ui-tui/model/rows.c ui-tui/model/rows.h \
	ui-tui/model/says.c ui-tui/model/says.h \
	ui-tui/model/sheet.c ui-tui/model/sheet.h \
	ui-tui/model/state.c ui-tui/model/state.h \
	ui-tui/model/style.h \
	ui-tui/model/texts.c \
	ui-tui/model/trusting.c \
	ui-tui/model/ui.c ui-tui/model/ui.h ui-tui/model/ui-internal.h \
	ui-tui/move-all.c ui-tui/move-eject.c ui-tui/move.h \
	ui-tui/next.c ui-tui/next.h \
	ui-tui/owner.c ui-tui/owner.h \
	ui-tui/pair.c ui-tui/pair.h \
	ui-tui/policytext.c ui-tui/policytext.h \
	ui-tui/screen/agent-wire.c ui-tui/screen/agent-wire.h \
	ui-tui/screen/child.c ui-tui/screen/child.h \
	ui-tui/screen/core-wire.c ui-tui/screen/core-wire.h \
	ui-tui/screen/errands.c ui-tui/screen/moves.c ui-tui/screen/news.c \
	ui-tui/screen/why.c ui-tui/screen/wishes.c \
	ui-tui/screen/screen.c ui-tui/screen/screen.h ui-tui/screen/session.h \
	ui-tui/screen/term.c ui-tui/screen/term.h \
	ui-tui/services.c ui-tui/services.h \
	ui-tui/setup.c ui-tui/setup.h \
	ui-tui/tool.c ui-tui/tool.h \
	ui-tui/tui.c ui-tui/tui.h \
	ui-tui/when.c ui-tui/when.h
ui_tui_libui_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(SODIUM_CFLAGS) $(NCURSES_CFLAGS) \
	$(QRENCODE_CFLAGS)

bin_PROGRAMS += kith
kith_SOURCES = ui-tui/main.c
kith_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS) $(JANSSON_CFLAGS)
kith_LDADD = \
	ui-tui/libui.a agent/libagentclient.a mover/libmoverclient.a policyd/libpolicydapi.a \
	base/libbase.a $(JANSSON_LIBS) $(SODIUM_LIBS) $(NCURSES_LIBS) \
	$(QRENCODE_LIBS)
