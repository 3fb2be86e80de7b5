/* SPDX-License-Identifier: Apache-2.0 */
/* The policies and custody chains of VMs; and both as they come with an offer, from RECV on: kept
 * apart until the VM is owned here. A restart between PREPARED and OWN must not lose an offer; a
 * VOID must not leave it. Nothing is judged in this file. */
#include <string.h>

#include "policyd/store-sql.h"

/* -- Policies -- */

void store_policy_clear(struct store_policy *p)
{
	free(p->text);
	free(p->compiled);
	*p = (struct store_policy){0};
}

static void policy_row(struct sql *q, void *v)
{
	struct store_policy *p = v;
	uint8_t *text = (uint8_t *)p->text;

	ROW_BYTES(q, "uuid", p->uuid);
	row_name(q, "name", p->name);
	ROW_U64(q, "version", p->version);
	ROW_BYTES(q, "owner_pk", p->owner_pk);
	ROW_BYTES(q, "signature", p->signature);
	row_blob(q, "record", p->record, &p->record_len, sizeof(p->record));
	row_copy(q, "text", &text, &p->text_len, STORE_POLICY_MAX);
	row_copy(q, "compiled", &p->compiled, &p->compiled_len, STORE_POLICY_MAX);
	if (q->way != SQL_READ)
		return;
	p->text = (char *)text;
	if (q->error)
		store_policy_clear(p);
}

const struct sql_table policy_table =
	SQL_TABLE("policies", "PRIMARY KEY(uuid)", store_policy, policy_row, "policy",
		  KCODE_NOT_FOUND, "This VM has no policy yet.");

int store_policy_get(struct store *s, const uint8_t uuid[UUID_LEN], struct store_policy *ret,
		     struct kerr *err)
{
	return sql_need(s, err, &policy_table, ret, "WHERE uuid=?1", SQL_UUID(uuid));
}

int store_policy_version(struct store *s, const uint8_t uuid[UUID_LEN], uint64_t *ret,
			 struct kerr *err)
{
	return sql_number(s, err, ret, "SELECT version FROM policies WHERE uuid=?1",
			  SQL_UUID(uuid));
}

static bool same_policy(const struct store_policy *a, const struct store_policy *b)
{
	return strcmp(a->name, b->name) == 0 && a->compiled_len == b->compiled_len &&
	       a->text_len == b->text_len &&
	       (!a->compiled_len || memcmp(a->compiled, b->compiled, a->compiled_len) == 0) &&
	       (!a->text_len || memcmp(a->text, b->text, a->text_len) == 0);
}

int store_policy_check(struct store *s, const struct store_policy *p, struct kerr *err)
{
	_cleanup_(store_policy_clear) struct store_policy old = {0};
	int r;

	if (!text_is_name(p->name, NAME_MAX_LEN) || p->version == 0 ||
	    p->text_len > STORE_POLICY_MAX || p->compiled_len > STORE_POLICY_MAX)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The policy is too long, or has no name or version.");
	r = sql_get(s, err, &policy_table, &old, "WHERE uuid=?1", SQL_UUID(p->uuid));
	if (r <= 0)
		return r;
	if (memcmp(old.owner_pk, p->owner_pk, SIGN_PK_LEN) != 0)
		return kerr_set(err, EPERM, KCODE_IDENTITY,
				"The VM \"%s\" belongs to another owner; only that owner can give "
				"it a policy.",
				old.name);
	if (p->version == old.version && same_policy(p, &old))
		return 1;
	if (p->version <= old.version)
		return kerr_set(err, ESTALE, KCODE_ROLLBACK,
				"This policy of the VM \"%s\" is version %llu, but this device has "
				"version %llu already.",
				old.name, (unsigned long long)p->version,
				(unsigned long long)old.version);
	return 0;
}

int store_policy_put(struct store *s, const struct store_policy *p, struct kerr *err)
{
	int r = store_policy_check(s, p, err);

	if (r > 0)
		return 0;
	if (r == 0)
		r = store_room(s, p->text_len + p->compiled_len, err);
	if (r < 0)
		return r;
	return sql_put(s, err, &policy_table, "INSERT OR REPLACE", p);
}

/* -- Offers -- */

struct offer {
	uint8_t hid[HID_LEN];
	struct store_policy policy;
	uint8_t *links, *measured;
	size_t links_len, measured_len;
};

static void offer_clear(struct offer *o)
{
	store_policy_clear(&o->policy);
	free(o->links);
	free(o->measured);
	*o = (struct offer){0};
}

static void offer_row(struct sql *q, void *v)
{
	struct offer *o = v;

	ROW_BYTES(q, "hid", o->hid);
	policy_row(q, &o->policy);
	row_copy(q, "links", &o->links, &o->links_len, CUSTODY_CHAIN_ROOM * CUSTODY_LINK_LEN);
	row_copy(q, "measured", &o->measured, &o->measured_len, STORE_RECORD_MAX);
	if (q->way == SQL_READ && q->error)
		offer_clear(o);
}

const struct sql_table offer_table =
	SQL_TABLE("offers", "PRIMARY KEY(hid)", offer, offer_row, "offer", KCODE_NOT_FOUND,
		  "No VM arrives by that id.");

static int check_room(struct store *s, const struct store_policy *p, struct kerr *err)
{
	uint64_t n;
	int r = sql_number(s, err, &n, "SELECT count(*) FROM offers");

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
		    const struct custody_chain *chain, const void *measured, size_t measured_len,
		    struct kerr *err)
{
	struct offer o = {.policy = *p,
			  .links = (uint8_t *)chain->data,
			  .links_len = chain->len,
			  .measured = (uint8_t *)measured,
			  .measured_len = measured_len};
	int r = store_policy_check(s, p, err);

	if (r >= 0)
		r = check_room(s, p, err);
	if (r < 0)
		return r;
	memcpy(o.hid, hid, HID_LEN);
	return sql_put(s, err, &offer_table, "INSERT", &o);
}

int store_offer_measured(struct store *s, const uint8_t hid[HID_LEN], void *ret, size_t size,
			 size_t *ret_len, struct kerr *err)
{
	int r = sql_blob(s, err, ret, size, ret_len, "SELECT measured FROM offers WHERE hid=?1",
			 SQL_HID(hid));

	return sql_found(r, &offer_table, err);
}

int store_offer_settle(struct store *s, const uint8_t hid[HID_LEN], int record, struct kerr *err)
{
	_cleanup_(offer_clear) struct offer o = {0};
	int r = 0;

	if (record != CUSTODY_OWN && record != CUSTODY_VOID)
		return 0;
	if (record == CUSTODY_OWN)
		r = sql_get(s, err, &offer_table, &o, "WHERE hid=?1", SQL_HID(hid));
	if (r > 0)
		r = sql_put(s, err, &policy_table, "INSERT OR REPLACE", &o.policy);
	return r < 0 ? r : sql_change(s, err, "DELETE FROM offers WHERE hid=?1", SQL_HID(hid));
}

/* -- Custody chains -- */

static int get_chain(struct store *s, const char *sql, const uint8_t key[UUID_LEN],
		     struct custody_chain *ret, struct kerr *err)
{
	int r;

	ret->len = 0;
	r = sql_blob(s, err, ret->data, sizeof(ret->data), &ret->len, sql, SQL_UUID(key));
	return r < 0 ? r : 0;
}

int store_offer_chain(struct store *s, const uint8_t hid[HID_LEN], struct custody_chain *ret,
		      struct kerr *err)
{
	return get_chain(s, "SELECT links FROM offers WHERE hid=?1", hid, ret, err);
}

int store_chain_get(struct store *s, const uint8_t uuid[UUID_LEN], struct custody_chain *ret,
		    struct kerr *err)
{
	return get_chain(s, "SELECT links FROM chains WHERE uuid=?1", uuid, ret, err);
}

int store_chain_put(struct store *s, const uint8_t uuid[UUID_LEN],
		    const struct custody_chain *chain, struct kerr *err)
{
	return sql_change(s, err, "INSERT OR REPLACE INTO chains VALUES(?1,?2)", SQL_UUID(uuid),
			  SQL_BLOB(chain->data, chain->len));
}
