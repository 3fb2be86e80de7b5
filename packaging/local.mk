# SPDX-License-Identifier: Apache-2.0
dist_man1_MANS = packaging/man/kith.1
dist_man7_MANS = packaging/man/kith-policy.7
dist_man8_MANS = packaging/man/kithd.8
dist_doc_DATA = packaging/kith.conf docs/kith.schema.json
exampledir = $(docdir)/examples
dist_example_DATA = packaging/polkit/50-kith.rules
sysusers_DATA = packaging/sysusers/kith.conf
tmpfiles_DATA = packaging/tmpfiles/kith.conf
systemdsystemunit_DATA = \
	packaging/systemd/kith-policyd.service \
	packaging/systemd/kithd.service \
	packaging/systemd/kith-mover.service \
	packaging/systemd/kith-warden.service \
	packaging/systemd/kith-swtpm.service
systemdlibvirtddir = $(systemdsystemunitdir)/libvirtd.service.d
systemdlibvirtd_DATA = packaging/systemd/kith-fence.conf
# libvirt's modular daemons: the one for QEMU is what starts guests.
systemdvirtqemuddir = $(systemdsystemunitdir)/virtqemud.service.d
systemdvirtqemud_DATA = packaging/systemd/kith-fence.conf

# AppArmor: profiles of ours, and what a guest's QEMU needs for a hand-off.
apparmordir = $(sysconfdir)/apparmor.d
dist_apparmor_DATA = \
	packaging/apparmor/usr.sbin.kith-mover \
	packaging/apparmor/usr.sbin.kith-policyd \
	packaging/apparmor/usr.sbin.kithd

# Firewalls, and the shell.
firewalldir = $(prefix)/lib/firewalld/services
ufwdir = $(sysconfdir)/ufw/applications.d
examplesdir = $(docdir)/examples
dist_examples_DATA = packaging/firewall/kith.nft
completiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/vendor-completions
dist_zshcompletion_DATA = packaging/completion/_kith
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_fishcompletion_DATA = packaging/completion/kith.fish

# Files whose name is another one where they go.
RENAMED = \
	packaging/apparmor/kith-sockets:$(apparmordir)/abstractions/consoles.d/kith \
	packaging/apparmor/kith-libvirtd:$(apparmordir)/abstractions/dbus.d/kith \
	packaging/firewall/kith-firewalld.xml:$(firewalldir)/kith.xml \
	packaging/firewall/kith-ufw:$(ufwdir)/kith \
	packaging/completion/kith.bash:$(completiondir)/kith

# kithd(8) is about all of the daemons.
SAME_PAGE = kith-policyd kith-mover kith-warden

install-data-local:
	for f in $(RENAMED); do \
	  $(MKDIR_P) "$(DESTDIR)$$(dirname "$${f#*:}")" && \
	  $(INSTALL_DATA) "$(srcdir)/$${f%%:*}" "$(DESTDIR)$${f#*:}" || exit 1; \
	done
	$(MKDIR_P) "$(DESTDIR)$(man8dir)"
	for f in $(SAME_PAGE); do $(LN_S) -f kithd.8 "$(DESTDIR)$(man8dir)/$$f.8" || exit 1; done

uninstall-local:
	for f in $(RENAMED); do rm -f "$(DESTDIR)$${f#*:}"; done
	for f in $(SAME_PAGE); do rm -f "$(DESTDIR)$(man8dir)/$$f.8"; done

EXTRA_DIST += \
	packaging/apparmor/kith-libvirtd \
	packaging/apparmor/kith-sockets \
	packaging/debian/changelog \
	packaging/debian/control \
	packaging/debian/copyright \
	packaging/debian/kith.config \
	packaging/debian/kith.docs \
	packaging/debian/kith.lintian-overrides \
	packaging/debian/kith.postinst \
	packaging/debian/kith.postrm \
	packaging/debian/kith.prerm \
	packaging/debian/kith.templates \
	packaging/debian/po/POTFILES.in \
	packaging/debian/po/templates.pot \
	packaging/debian/rules \
	packaging/debian/source/format \
	packaging/debian/tests/control \
	packaging/debian/tests/one-machine \
	packaging/firewall/kith-firewalld.xml \
	packaging/firewall/kith-ufw \
	packaging/rpm/kith.spec \
	packaging/completion/kith.bash \
	$(sysusers_DATA) $(tmpfiles_DATA) \
	packaging/systemd/kith-fence.drop-in \
	packaging/systemd/kith-policyd.unit \
	packaging/systemd/kithd.unit \
	packaging/systemd/kith-mover.unit \
	packaging/systemd/kith-warden.unit \
	packaging/systemd/kith-swtpm.unit
CLEANFILES += $(systemdsystemunit_DATA) $(systemdlibvirtd_DATA)

SUFFIXES = .unit .service .drop-in .conf
FILL_IN = $(MKDIR_P) $(@D) && $(SED) -e 's,@sbindir\@,$(sbindir),g' \
	-e 's,@sysconfdir\@,$(sysconfdir),g' -e 's,@pkglibexecdir\@,$(pkglibexecdir),g' \
	-e 's,@localstatedir\@,$(localstatedir),g' \
	$< > $@.tmp && mv $@.tmp $@
.unit.service:
	$(AM_V_GEN)$(FILL_IN)
packaging/systemd/kith-fence.conf: packaging/systemd/kith-fence.drop-in Makefile
	$(AM_V_GEN)$(FILL_IN)
