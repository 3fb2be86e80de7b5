/* SPDX-License-Identifier: Apache-2.0 */
/* A device whose state was rolled back, and by its owner's recovery key accepted so, does not know
 * any more which VMs it holds (H2): each is in doubt until every peer was asked, or the owner
 * decided. */
#pragma once

#include "policyd/custody-chain.h"

static inline bool custody_in_doubt(const struct custody_view *view)
{
	return view->doubt == CUSTODY_ASKING;
}

/* The question to one peer; its number is the view's nonce, so that no old answer passes. */
void custody_doubt_ask(const struct custody_view *view, const uint8_t self[DEVICE_ID_LEN],
		       const uint8_t peer[DEVICE_ID_LEN], struct custody_statement *ret);

/* What this device answers to such a question. Kind NONE while it cannot say: it is in doubt
 * itself, or the VM is just arriving. */
void custody_doubt_answer(const struct custody_view *view, const struct custody_statement *question,
			  const uint8_t self[DEVICE_ID_LEN], struct custody_statement *ret);

enum custody_hearing {
	CUSTODY_HEARD_NOTHING,	 /* no answer to our question, or one that settles nothing */
	CUSTODY_HEARD_NOT_THERE, /* that peer has neither the VM nor newer knowledge of it */
	CUSTODY_HEARD_ELSEWHERE, /* it, or somebody after us, has it */
	_CUSTODY_HEARING_MAX,
};
enum custody_hearing custody_doubt_hear(const struct custody_view *view,
					const uint8_t self[DEVICE_ID_LEN],
					const struct custody_statement *answer);

/* The view after an answer that says "elsewhere" by the device of that name; and after everybody
 * said "not there": what this device held it holds, what it did not stays where it was. */
void custody_doubt_elsewhere(const struct custody_view *before,
			     const struct custody_statement *answer, const char *peer_name,
			     struct custody_view *ret_after);
void custody_doubt_over(const struct custody_view *before, struct custody_view *ret_after);

/* W17: the owner says that the VM is here, with an epoch far ahead of any that was not heard of.
 * Refused (`custody`) unless the VM is in doubt or elsewhere by hearsay alone, and `busy` while a
 * hand-off is open. */
int custody_claim(const struct custody_view *before, const uint8_t self[DEVICE_ID_LEN],
		  const char *self_name, struct custody_view *ret_after, struct kerr *err);
