/* SPDX-License-Identifier: Apache-2.0 */
/* Statements as they are signed, records as they are hashed. */
#include "policyd/custody-wire.h"

#include <sodium.h>

#define STATEMENT_LABEL 16

/* What devices tell each other, and what is only ever said in a chain (custody-chain.h), the first
 * by the owner's key: neither passes for the other. */
static const uint8_t *label_of(unsigned kind)
{
	static const uint8_t word[STATEMENT_LABEL] = "kith-custody-v1"; /* with the NUL */
	static const uint8_t link[STATEMENT_LABEL] = "kith-chain-v1";

	return kind == CUSTODY_STATEMENT_ADOPT || kind == CUSTODY_STATEMENT_CLAIM ? link : word;
}

static void statement_code(struct coder *c, struct custody_statement *s)
{
	uint8_t label[STATEMENT_LABEL];

	memcpy(label, label_of(s->kind), sizeof(label));
	CODE_BYTES(c, label);
	CODE_ENUM(c, s->kind, _CUSTODY_STATEMENT_MAX);
	code_check(c, memcmp(label, label_of(s->kind), sizeof(label)) == 0);
	CODE_BYTES(c, s->hid);
	CODE_BYTES(c, s->uuid);
	code_u64(c, &s->epoch);
	CODE_BYTES(c, s->from);
	CODE_BYTES(c, s->to);
}

void custody_statement_body(const struct custody_statement *statement,
			    uint8_t ret[CUSTODY_STATEMENT_BODY])
{
	struct wbuf w = wbuf_init(ret, CUSTODY_STATEMENT_BODY);
	struct custody_statement s = *statement;

	statement_code(&(struct coder){.w = &w}, &s);
}

void custody_statement_sign(const struct custody_statement *statement, const uint8_t sign_sk[64],
			    uint8_t ret[CUSTODY_STATEMENT_LEN])
{
	custody_statement_body(statement, ret);
	crypto_sign_detached(ret + CUSTODY_STATEMENT_BODY, NULL, ret, CUSTODY_STATEMENT_BODY,
			     sign_sk);
}

int custody_statement_parse(const void *data, size_t len, struct custody_statement *ret)
{
	struct rbuf r = rbuf_init(data, len);
	struct custody_statement s = {0};

	statement_code(&(struct coder){.r = &r}, &s);
	rbuf_view(&r, SIGN_LEN);
	if (rbuf_end(&r) < 0 || s.kind == CUSTODY_STATEMENT_NONE)
		return -EBADMSG;
	*ret = s;
	return 0;
}

int custody_statement_verify(const void *data, size_t len, const uint8_t sign_pk[SIGN_PK_LEN],
			     struct custody_statement *ret, struct kerr *err)
{
	const uint8_t *body = data;
	struct custody_statement s;

	if (custody_statement_parse(data, len, &s) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"A custody statement of the other device is malformed.");
	if (crypto_sign_verify_detached(body + CUSTODY_STATEMENT_BODY, body, CUSTODY_STATEMENT_BODY,
					sign_pk) != 0)
		return kerr_set(err, EBADMSG, KCODE_ATTEST_BINDING,
				"A custody statement carries a wrong signature; somebody may sit "
				"between the devices. It was ignored.");
	*ret = s;
	return 0;
}

/* Written only, to be hashed: the store has a row for each. */
static void journal_entry_code(struct coder *c, struct journal_entry *v)
{
	const uint8_t *proof = v->proof;
	uint8_t record = (uint8_t)v->record;

	code_u64(c, &v->seq);
	code_u64(c, &v->time);
	code_u8(c, &record);
	CODE_BYTES(c, v->hid);
	CODE_BYTES(c, v->uuid);
	code_u64(c, &v->epoch);
	code_u64(c, &v->handoff_epoch);
	CODE_BYTES(c, v->peer);
	CODE_FLAG(c, v->source);
	code_blob(c, &proof, &v->proof_len, sizeof(v->proof));
	CODE_BYTES(c, v->hash);
}
DEFINE_RECORD(journal_entry)
