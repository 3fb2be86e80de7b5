/* SPDX-License-Identifier: Apache-2.0 */
/* The TXT record: what is written is read back; what anybody else may send is survived. */
#include <glib.h>
#include <string.h>

#include "discovery/advert.h"

static const struct advert tom = {.id = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
				  .role = DEVICE_ROLE_DESKTOP};

/* Packs the strings with their length bytes. */
static int parse(const char *const *strings, struct advert *ret)
{
	g_autoptr(GByteArray) txt = g_byte_array_new();

	for (; *strings; strings++) {
		guint8 len = (guint8)strlen(*strings);

		g_byte_array_append(txt, &len, 1);
		g_byte_array_append(txt, (const guint8 *)*strings, len);
	}
	return advert_parse(txt->data, txt->len, ret);
}

#define PARSE(ret, ...) parse((const char *const[]){__VA_ARGS__, NULL}, ret)

static void test_round(void)
{
	uint8_t txt[ADVERT_TXT_MAX];
	struct advert a = {0};
	int len = advert_build(&tom, txt, sizeof(txt));

	g_assert_cmpint(len, >, 0);
	g_assert_cmpint(len, <=, ADVERT_TXT_MAX);
	/* RFC 6763 6.7: the version of the record itself comes first. */
	g_assert_cmpmem(txt, 10, "\x09txtvers=1", 10);
	g_assert_cmpint(advert_parse(txt, (size_t)len, &a), ==, 0);
	g_assert_cmpmem(a.id, sizeof(a.id), tom.id, sizeof(tom.id));
	g_assert_cmpint(a.role, ==, DEVICE_ROLE_DESKTOP);
	for (size_t size = 0; size < (size_t)len; size++)
		g_assert_cmpint(advert_build(&tom, txt, size), ==, -ENOBUFS);
}

static void test_name(void)
{
	struct advert named = tom, a = {0};
	uint8_t txt[ADVERT_TXT_MAX];
	int len;

	memset(named.name, 'x', NAME_MAX_LEN);
	len = advert_build(&named, txt, sizeof(txt));
	g_assert_cmpint(len, >, 0);
	g_assert_cmpint(advert_parse(txt, (size_t)len, &a), ==, 0);
	g_assert_cmpstr(a.name, ==, named.name);
	for (size_t size = 0; size < (size_t)len; size++)
		g_assert_cmpint(advert_build(&named, txt, size), ==, -ENOBUFS);
	/* Without a name there is no key. */
	len = advert_build(&tom, txt, sizeof(txt));
	g_assert_null(memmem(txt, (size_t)len, "name", 4));
	g_assert_cmpint(advert_parse(txt, (size_t)len, &a), ==, 0);
	g_assert_cmpstr(a.name, ==, "");
	g_strlcpy(named.name, "two\nlines", sizeof(named.name));
	g_assert_cmpint(advert_build(&named, txt, sizeof(txt)), ==, -EINVAL);
}

#define SOME "txtvers=1", "v=1", "id=0123456789abcdef", "role=phone"

/* N9: what a stranger calls itself comes to the terminal. */
static void test_hostile_name(void)
{
	struct advert a = tom;
	g_autofree char *longest = g_strdup_printf("name=%063d", 1);
	g_autofree char *longer = g_strdup_printf("name=%064d", 1);

	g_assert_cmpint(PARSE(&a, SOME, "name=Tom's \xc3\xa4lterer laptop"), ==, 0);
	g_assert_cmpstr(a.name, ==, "Tom's \xc3\xa4lterer laptop");
	g_assert_cmpint(PARSE(&a, SOME, "NAME=one", "name=two"), ==, 0);
	g_assert_cmpstr(a.name, ==, "one");
	g_assert_cmpint(PARSE(&a, SOME, "name"), ==, 0); /* a flag is none of ours */
	g_assert_cmpstr(a.name, ==, "");
	g_assert_cmpint(PARSE(&a, SOME, longest), ==, 0);
	a = tom;
	g_assert_cmpint(PARSE(&a, SOME, longer), ==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, SOME, "name="), ==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, SOME, "name=two\nlines"), ==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, SOME, "name=\x1b[2J"), ==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, SOME,
			      "name=\xc2\x9b"
			      "2J"),
			==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, SOME, "name=\xff\xfe"), ==, -EBADMSG);
	g_assert_cmpmem(&a, sizeof(a), &tom, sizeof(tom));
}

static void test_tolerant(void)
{
	struct advert a;

	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "id=0123456789abcdef", "role=phone"), ==, 0);
	g_assert_cmpint(a.role, ==, DEVICE_ROLE_PHONE);
	/* Avahi hands strings over in reverse; unknown keys and flags may be there. */
	g_assert_cmpint(PARSE(&a, "role=laptop", "id=0123456789abcdef", "v=1", "txtvers=1"), ==, 0);
	g_assert_cmpint(PARSE(&a, "txtvers=1", "", "new", "x=", "v=1", "ID=0123456789abcdef",
			      "Role=server"),
			==, 0);
	g_assert_cmpint(a.role, ==, DEVICE_ROLE_SERVER);
	/* RFC 6763 6.4: of equal keys the first counts. */
	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "id=0123456789abcdef", "role=phone",
			      "role=nonsense", "v=9", "id=zz"),
			==, 0);
}

static void test_refused(void)
{
	struct advert a = tom;
	g_autofree char *big = g_strnfill(250, 'A');

	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "id=0123456789abcdef"), ==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "role=phone"), ==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, "txtvers=1", "id=0123456789abcdef", "role=phone"), ==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, "v=1", "id=0123456789abcdef", "role=phone"), ==, -EBADMSG);
	g_assert_cmpint(PARSE(&a, "txtvers=2", "v=1", "id=0123456789abcdef", "role=phone"), ==,
			-EPROTONOSUPPORT);
	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=2", "id=0123456789abcdef", "role=phone"), ==,
			-EPROTONOSUPPORT);
	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "id=0123456789ABCDEF", "role=phone"), ==,
			-EBADMSG);
	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "id=0123456789abcde", "role=phone"), ==,
			-EBADMSG);
	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "id=0123456789abcdef00", "role=phone"), ==,
			-EBADMSG);
	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "id=0123456789abcdef", "role=\x1b[2J"), ==,
			-EBADMSG);
	/* P2: 9 kB of TXT is looked at no further than its length. */
	g_assert_cmpint(PARSE(&a, "txtvers=1", "v=1", "id=0123456789abcdef", "role=phone", big), ==,
			-EBADMSG);
	g_assert_cmpmem(&a, sizeof(a), &tom, sizeof(tom));
}

static void test_torn(void)
{
	uint8_t txt[ADVERT_TXT_MAX];
	struct advert a;
	int len = advert_build(&tom, txt, sizeof(txt));

	for (int n = 0; n < len; n++)
		g_assert_cmpint(advert_parse(txt, (size_t)n, &a), <, 0);
	txt[0] = 255;
	g_assert_cmpint(advert_parse(txt, (size_t)len, &a), ==, -EBADMSG);
	g_assert_cmpint(advert_parse((const uint8_t *)"\x03"
						      "a\0b",
				     4, &a),
			==, -EBADMSG);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/advert/what is built is read", test_round);
	g_test_add_func("/advert/a name while pairing", test_name);
	g_test_add_func("/advert/N9 a name is clean text", test_hostile_name);
	g_test_add_func("/advert/order, case and unknown keys do not matter", test_tolerant);
	g_test_add_func("/advert/P2 anything else is refused", test_refused);
	g_test_add_func("/advert/N1 torn records", test_torn);
	return g_test_run();
}
