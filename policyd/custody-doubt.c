/* SPDX-License-Identifier: Apache-2.0 */
/* Doubt about custody: questions, answers and decisions as pure functions. */
#include "policyd/custody-doubt.h"

/* Nobody's word may use up the room above it that a claim needs. */
#define HEARSAY_MAX (CUSTODY_EPOCH_MAX / 2)

static void make(enum custody_statement_kind kind, const struct custody_view *v,
		 const uint8_t nonce[HID_LEN], const uint8_t self[DEVICE_ID_LEN],
		 const uint8_t peer[DEVICE_ID_LEN], struct custody_statement *ret)
{
	custody_statement_make(kind, nonce, v->uuid, v->epoch, self, peer, ret);
}

void custody_doubt_ask(const struct custody_view *view, const uint8_t self[DEVICE_ID_LEN],
		       const uint8_t peer[DEVICE_ID_LEN], struct custody_statement *ret)
{
	make(custody_in_doubt(view) ? CUSTODY_STATEMENT_WHERE : CUSTODY_STATEMENT_NONE, view,
	     view->nonce, self, peer, ret);
}

/* RELEASED is an answer already: whoever has it now, it is newer than what was asked about. */
void custody_doubt_answer(const struct custody_view *view, const struct custody_statement *question,
			  const uint8_t self[DEVICE_ID_LEN], struct custody_statement *ret)
{
	enum custody_statement_kind kind = CUSTODY_STATEMENT_NOT_HELD;

	if (custody_in_doubt(view) || (custody_is_open(view) && !view->source))
		kind = CUSTODY_STATEMENT_NONE;
	else if (view->here)
		kind = CUSTODY_STATEMENT_HELD;
	make(kind, view, question->hid, self, question->from, ret);
}

enum custody_hearing custody_doubt_hear(const struct custody_view *view,
					const uint8_t self[DEVICE_ID_LEN],
					const struct custody_statement *answer)
{
	if (!custody_in_doubt(view) || memcmp(answer->hid, view->nonce, HID_LEN) != 0 ||
	    memcmp(answer->uuid, view->uuid, UUID_LEN) != 0 ||
	    memcmp(answer->to, self, DEVICE_ID_LEN) != 0 || answer->epoch > HEARSAY_MAX)
		return CUSTODY_HEARD_NOTHING;
	/* Who says to hold it since an epoch that is over here may be in error, or lie: the owner
	 * has to look. */
	if (answer->kind == CUSTODY_STATEMENT_HELD)
		return answer->epoch >= view->epoch ? CUSTODY_HEARD_ELSEWHERE
						    : CUSTODY_HEARD_NOTHING;
	if (answer->kind == CUSTODY_STATEMENT_NOT_HELD)
		return answer->epoch > view->epoch ? CUSTODY_HEARD_ELSEWHERE
						   : CUSTODY_HEARD_NOT_THERE;
	return CUSTODY_HEARD_NOTHING;
}

static void end_doubt(struct custody_view *v, enum custody_doubt doubt)
{
	v->doubt = doubt;
	memset(v->nonce, 0, sizeof(v->nonce));
}

/* The epoch stays: it is what this device's own journal proves, and a lie must not keep the VM from
 * coming home. */
void custody_doubt_elsewhere(const struct custody_view *before,
			     const struct custody_statement *answer, const char *peer_name,
			     struct custody_view *ret_after)
{
	struct custody_view v = *before;
	bool held = answer->kind == CUSTODY_STATEMENT_HELD;

	end_doubt(&v, CUSTODY_HEARSAY);
	v.here = false;
	v.told_epoch = answer->epoch;
	memset(v.holder, 0, sizeof(v.holder));
	if (held)
		memcpy(v.holder, answer->from, DEVICE_ID_LEN);
	snprintf(v.holder_name, sizeof(v.holder_name), "%s", held ? peer_name : "");
	*ret_after = v;
}

void custody_doubt_over(const struct custody_view *before, struct custody_view *ret_after)
{
	struct custody_view v = *before;

	end_doubt(&v, v.here ? CUSTODY_SURE : CUSTODY_HEARSAY);
	*ret_after = v;
}

int custody_claim(const struct custody_view *before, const uint8_t self[DEVICE_ID_LEN],
		  const char *self_name, struct custody_view *ret_after, struct kerr *err)
{
	uint64_t highest = before->epoch > before->told_epoch ? before->epoch : before->told_epoch;
	struct custody_view v = *before;

	if (!v.known || v.doubt == CUSTODY_SURE)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"Only a VM in doubt can be claimed: where this one is is known.");
	if (custody_is_open(&v))
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"A hand-off of the VM \"%s\" is open; it has to end first.",
				v.name);
	if (highest > CUSTODY_EPOCH_MAX - 2 * CUSTODY_CLAIM_JUMP)
		return kerr_set(err, ERANGE, KCODE_FAILED,
				"The VM \"%s\" was claimed too often to be counted.", v.name);
	end_doubt(&v, CUSTODY_SURE);
	v.epoch = highest + CUSTODY_CLAIM_JUMP;
	v.told_epoch = 0;
	v.here = true;
	v.handoff = false;
	memcpy(v.holder, self, DEVICE_ID_LEN);
	snprintf(v.holder_name, sizeof(v.holder_name), "%s", self_name);
	*ret_after = v;
	return 0;
}
