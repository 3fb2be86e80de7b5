/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of policies, by the owner's key or by a device with a record of his. */
#include "policyd/policy-sign.h"

#include <sodium.h>
#include <string.h>

#include "policyd/offer.h"

static int sign_as_device(struct core *core, struct store_policy *p, const uint8_t digest[HASH_LEN],
			  struct kerr *err)
{
	int r = store_meta_get(core->store, STORE_DEVICE_RECORD, p->record, sizeof(p->record),
			       &p->record_len, NULL);

	if (r == 0)
		r = identity_sign(&core->id, digest, HASH_LEN, p->signature);
	if (r < 0)
		return kerr_set(err, ENOKEY, KCODE_NOT_READY,
				"This device has lost what says that it is %s's own. Pair it again "
				"with the device where `kith init` was run.",
				core->id.owner_name);
	return 0;
}

int policy_sign(struct core *core, struct store_policy *p, struct kerr *err)
{
	uint8_t digest[HASH_LEN];

	memcpy(p->owner_pk, core->id.owner_pk, sizeof(p->owner_pk));
	p->record_len = 0;
	offer_policy_digest(p, digest);
	if (!core->id.owner_here)
		return sign_as_device(core, p, digest, err);
	return identity_owner_sign(core->store, digest, sizeof(digest), p->signature, err);
}

/* The key that has to have signed. A record that ran out was good when it was used. */
static int signer_of(struct core *core, const struct store_policy *p, uint8_t ret[SIGN_PK_LEN],
		     struct kerr *err)
{
	struct device_record rec;
	uint8_t id[DEVICE_ID_LEN];

	memcpy(ret, p->owner_pk, SIGN_PK_LEN);
	if (!p->record_len)
		return 0;
	if (record_verify(p->record, p->record_len, p->owner_pk, 0, &rec, NULL) < 0)
		return kerr_set(err, EACCES, KCODE_POLICY,
				"The policy of \"%s\" was signed by a device that is none of its "
				"owner's.",
				p->name);
	device_id_of(rec.sign_pk, id);
	if (store_peer_is_revoked(core->store, id))
		return kerr_set(err, EACCES, KCODE_POLICY,
				"The policy of \"%s\" was signed by \"%s\", which was forgotten "
				"here. Set it again where the VM is.",
				p->name, rec.name);
	memcpy(ret, rec.sign_pk, SIGN_PK_LEN);
	return 0;
}

int policy_signed(struct core *core, const struct store_policy *p, struct kerr *err)
{
	uint8_t digest[HASH_LEN], pk[SIGN_PK_LEN];
	int r = signer_of(core, p, pk, err);

	if (r < 0)
		return r;
	offer_policy_digest(p, digest);
	if (crypto_sign_verify_detached(p->signature, digest, sizeof(digest), pk) < 0)
		return kerr_set(err, EACCES, KCODE_POLICY,
				"The policy of \"%s\" is not signed by its owner.", p->name);
	return 0;
}
