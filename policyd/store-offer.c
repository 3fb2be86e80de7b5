/* SPDX-License-Identifier: Apache-2.0 */
/* What came with an offer, from RECV on: kept apart until the VM is owned here. A restart between
 * PREPARED and OWN must not lose it; a VOID must not leave it. */
#include <string.h>

#include "policyd/store-sql.h"

static int check_room(struct store *s, const struct store_policy *p, struct kerr *err)
{
	uint64_t n;
	int r = sql_number(s, "SELECT count(*) FROM offers", NULL, 0, &n, err);

	if (r < 0)
		return r;
	if (n >= STORE_OFFERS_MAX)
		return kerr_set(
			err, EBUSY, KCODE_BUSY,
			"%d VMs arrive on this device already. Try again when one is there.",
			STORE_OFFERS_MAX);
	return store_room(s, p->text_len + p->compiled_len + CUSTODY_CHAIN_ROOM * CUSTODY_LINK_LEN,
			  err);
}

int store_offer_put(struct store *s, const uint8_t hid[HID_LEN], const struct store_policy *p,
		    const struct custody_chain *chain, struct kerr *err)
{
	int r = store_policy_check(s, p, err);

	if (r >= 0)
		r = check_room(s, p, err);
	if (r < 0)
		return r;
	return sql_change(
		s,
		"INSERT INTO offers(hid, uuid, name, version, owner_pk, signature, text, compiled,"
		" links) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
		SQL_ARGS(SQL_BLOB(hid, HID_LEN), SQL_BLOB(p->uuid, UUID_LEN), SQL_TEXT(p->name),
			 SQL_U64(p->version), SQL_BLOB(p->owner_pk, SIGN_PK_LEN),
			 SQL_BLOB(p->signature, SIGN_LEN), SQL_BLOB(p->text, p->text_len),
			 SQL_BLOB(p->compiled, p->compiled_len), SQL_BLOB(chain->data, chain->len)),
		err);
}

int store_offer_chain(struct store *s, const uint8_t hid[HID_LEN], struct custody_chain *ret,
		      struct kerr *err)
{
	int r;

	ret->len = 0;
	r = sql_blob(s, "SELECT links FROM offers WHERE hid=?1", SQL_ARGS(SQL_BLOB(hid, HID_LEN)),
		     ret->data, sizeof(ret->data), &ret->len, err);
	return r < 0 ? r : 0;
}

int store_offer_set_measured(struct store *s, const uint8_t hid[HID_LEN], const void *state,
			     size_t len, struct kerr *err)
{
	return sql_change(s, "UPDATE offers SET measured=?2 WHERE hid=?1",
			  SQL_ARGS(SQL_BLOB(hid, HID_LEN), SQL_BLOB(state, len)), err);
}

int store_offer_measured(struct store *s, const uint8_t hid[HID_LEN], void *ret, size_t size,
			 size_t *ret_len, struct kerr *err)
{
	int r = sql_blob(s, "SELECT measured FROM offers WHERE hid=?1",
			 SQL_ARGS(SQL_BLOB(hid, HID_LEN)), ret, size, ret_len, err);

	if (r == 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "No VM arrives by that id.");
	return r < 0 ? r : 0;
}

int store_offer_settle(struct store *s, const uint8_t hid[HID_LEN], enum custody_record record,
		       struct kerr *err)
{
	int r = 0;

	if (record != CUSTODY_OWN && record != CUSTODY_VOID)
		return 0;
	if (record == CUSTODY_OWN)
		r = sql_change(s,
			       "INSERT OR REPLACE INTO policies"
			       "(uuid, name, version, owner_pk, signature, text, compiled)"
			       " SELECT uuid, name, version, owner_pk, signature, text, compiled"
			       " FROM offers WHERE hid=?1",
			       SQL_ARGS(SQL_BLOB(hid, HID_LEN)), err);
	return r < 0 ? r
		     : sql_change(s, "DELETE FROM offers WHERE hid=?1",
				  SQL_ARGS(SQL_BLOB(hid, HID_LEN)), err);
}
