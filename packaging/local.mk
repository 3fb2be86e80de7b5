# SPDX-License-Identifier: Apache-2.0
dist_man1_MANS = packaging/man/kith.1
dist_man7_MANS = packaging/man/kith-policy.7
dist_man8_MANS = packaging/man/kithd.8
dist_doc_DATA = packaging/kith.conf
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
EXTRA_DIST += \
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
	$< > $@.tmp && mv $@.tmp $@
.unit.service:
	$(AM_V_GEN)$(FILL_IN)
packaging/systemd/kith-fence.conf: packaging/systemd/kith-fence.drop-in Makefile
	$(AM_V_GEN)$(FILL_IN)
