/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the shared enums. */
#include "base/ids.h"

#include <stdio.h>

static const char *const device_role_names[_DEVICE_ROLE_MAX] = {
	[DEVICE_ROLE_PHONE] = "phone",
	[DEVICE_ROLE_LAPTOP] = "laptop",
	[DEVICE_ROLE_DESKTOP] = "desktop",
	[DEVICE_ROLE_SERVER] = "server",
};
DEFINE_NAMES(device_role, enum device_role, _DEVICE_ROLE_MAX)

static const char *const person_role_names[_PERSON_ROLE_MAX] = {
	[PERSON_ROLE_OWNER] = "owner",
	[PERSON_ROLE_FAMILY] = "family",
	[PERSON_ROLE_GUEST] = "guest",
	[PERSON_ROLE_ADMIN] = "admin",
};
DEFINE_NAMES(person_role, enum person_role, _PERSON_ROLE_MAX)

static const char *const tpm_tier_names[_TPM_TIER_MAX] = {
	[TPM_TIER_NONE] = "none",
	[TPM_TIER_SOFTWARE] = "software",
	[TPM_TIER_PINNED] = "pinned",
	[TPM_TIER_HARDWARE] = "hardware",
};
DEFINE_NAMES(tpm_tier, enum tpm_tier, _TPM_TIER_MAX)

static const char *const verdict_names[_VERDICT_MAX] = {
	[VERDICT_UNKNOWN] = "unknown",
	[VERDICT_TRUSTED] = "trusted",
	[VERDICT_STALE] = "stale",
	[VERDICT_UNTRUSTED] = "untrusted",
};
DEFINE_NAMES(verdict, enum verdict, _VERDICT_MAX)

/* TCG PC Client Platform Firmware Profile, 3.3.4; 10: Linux IMA; 11 to 15: systemd and others. */
static const char *const pcr_meanings[PCR_COUNT] = {
	[0] = "the firmware",
	[1] = "the firmware settings",
	[2] = "the firmware of extension cards",
	[3] = "the settings of extension cards",
	[4] = "the boot loader or kernel",
	[5] = "the partition table or boot loader settings",
	[6] = "the maker's platform data",
	[7] = "the Secure Boot policy",
	[8] = "the commands of the boot loader",
	[9] = "the files that the boot loader read",
	[10] = "the programs that ran",
	[11] = "the unified kernel image",
	[12] = "the kernel command line",
	[13] = "the system extensions",
	[14] = "the machine owner keys",
	[15] = "the system identity",
	[16] = "the debug register",
	[17] = "the measured launch environment",
	[18] = "the measured launch authority",
	[19] = "the trusted operating system",
	[20] = "the trusted operating system's data",
	[21] = "the trusted operating system's settings",
	[22] = "the trusted operating system's state",
	[23] = "the application register",
};

const char *pcr_meaning(unsigned pcr)
{
	return pcr < PCR_COUNT ? pcr_meanings[pcr] : "an unknown register";
}

void pcr_words(uint32_t mask, char *ret, size_t size)
{
	size_t len = 0;

	ret[0] = '\0';
	for_each_pcr(i, mask) {
		const char *before = !len ? "" : mask >> i == 1 ? " and " : ", ";

		snprintf(ret + len, size - len, "%s%s (PCR %u)", before, pcr_meaning(i), i);
		len = strlen(ret);
	}
}
