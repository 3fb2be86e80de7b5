/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys, what a running service takes over, and the editor of `kith config`. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "base/config.h"
#include "base/user.h"
#include "ui-tui/config-edit.h"
#include "ui-tui/config-file.h"

static struct config parsed(const char *text)
{
	struct kerr err = {0};
	struct config c;

	g_assert_cmpint(config_parse(text, &c, &err), ==, 0);
	g_assert_cmpstr(err.text, ==, "");
	return c;
}

static void test_table(void)
{
	const struct config_key *k;
	size_t n = 0;
	struct config none = parsed("");

	for (; (k = config_key(n)); n++) {
		g_autofree char *line = NULL;
		struct config c;

		if (!k->fallback)
			continue;
		/* What is said to be the default is the default. */
		line = g_strdup_printf("[%s]\n%s = %s\n", k->section, k->key, k->fallback);
		c = parsed(line);
		g_assert_cmpmem((char *)&c + k->member, k->size, (char *)&none + k->member,
				k->size);
	}
	g_assert_cmpuint(n, ==, 14);
	g_assert_cmpuint(none.port, ==, 4747);
	g_assert_cmpstr(none.owner, ==, "root");
	g_assert_cmpuint(none.evidence_max_age_s, ==, 86400);
}

static void test_renew(void)
{
	static const char *const all = "[device]\nname = n\nrole = server\n[tpm]\ntcti = t:x\n"
				       "pcrs = 0\n[peer]\nport = 1\n[paths]\nstate = /s\nrun = /r\n"
				       "images = /i\n[people]\nowner = eve\n[trust]\nmax_age = 1\n";
	static const struct {
		enum config_service service;
		const char *later;
	} rows[] = {
		{CONFIG_POLICYD, "[tpm] tcti, [tpm] pcrs, [paths] state, [paths] run"},
		{CONFIG_KITHD, "[peer] port, [paths] run"},
		{CONFIG_MOVER, "[paths] state, [paths] run"},
		{CONFIG_WARDEN, "[paths] state, [paths] run"},
	};
	struct config fresh = parsed(all), back = parsed("# other bytes\n");

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct config c = parsed("");

		config_renew(&c, &fresh, rows[i].service);
		g_assert_cmpstr(c.later, ==, rows[i].later);
		g_assert_cmpstr(c.owner, ==, "eve");
		g_assert_cmpstr(c.name, ==, "n");
		g_assert_cmpint(c.role, ==, DEVICE_ROLE_SERVER);
		g_assert_cmpstr(c.images, ==, "/i");
		g_assert_cmpuint(c.evidence_max_age_s, ==, 1);
		g_assert_cmpstr(c.run, ==, "/run/kith");
		g_assert_cmpmem(c.mark, sizeof(c.mark), fresh.mark, sizeof(fresh.mark));
		/* Back as it was: nothing waits any more. */
		config_renew(&c, &back, rows[i].service);
		g_assert_cmpstr(c.later, ==, "");
		g_assert_cmpstr(c.owner, ==, "root");
		g_assert_false(memcmp(c.mark, fresh.mark, sizeof(c.mark)) == 0);
	}
}

/* A shorter value leaves nothing of a longer one, by which it would look changed. */
static void test_same(void)
{
	struct config c = parsed("[paths]\nrun = /run/long/name\nrun = /r\n");
	struct config fresh = parsed("[paths]\nrun = /r\n");

	config_renew(&c, &fresh, CONFIG_POLICYD);
	g_assert_cmpstr(c.later, ==, "");
}

static void test_reload(void)
{
	g_autofree char *dir = g_dir_make_tmp("kith-config-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "kith.conf", NULL);
	struct config c;
	struct kerr err = {0};

	g_assert_cmpint(config_load(path, &c, &err), ==, 0);
	g_assert_cmpstr(c.owner, ==, "root");
	g_assert_true(g_file_set_contents(path, "[people]\nowner = tom\n", -1, NULL));
	config_reload(&c, CONFIG_KITHD);
	g_assert_cmpstr(c.owner, ==, "tom");
	/* A bad file changes nothing, not even what was good in it. */
	g_assert_true(g_file_set_contents(path, "[people]\nowner = eve\nnonsense\n", -1, NULL));
	config_reload(&c, CONFIG_KITHD);
	g_assert_cmpstr(c.owner, ==, "tom");
	g_assert_cmpint(config_load(path, &c, &err), <, 0);
	g_assert_nonnull(strstr(err.text, path));
	g_assert_nonnull(strstr(err.text, "Line 3"));
	g_unlink(path);
	g_rmdir(dir);
}

static void test_user(void)
{
	const struct passwd *me = getpwuid(geteuid());
	uid_t uid = 7;

	g_assert_true(user_find("root", &uid));
	g_assert_cmpuint(uid, ==, 0);
	if (me) {
		g_assert_true(user_find(me->pw_name, &uid));
		g_assert_cmpuint(uid, ==, me->pw_uid);
	}
	g_assert_true(user_find("12345", &uid));
	g_assert_cmpuint(uid, ==, 12345);
	uid = 7;
	/* Nobody, and what is no number. */
	for (const char *const *bad = (const char *const[]){"no-such-user", "", "4294967295", "-1",
							    "99999999999999999999", "12a", NULL};
	     *bad; bad++)
		g_assert_false(user_find(*bad, &uid));
	g_assert_cmpuint(uid, ==, 7);
}

static void test_set(void)
{
	static const struct {
		const char *before, *section, *key, *value, *after;
	} rows[] = {
		/* In its line, with all around it. */
		{"# mine\n[device]\n  name  =  old \r\n# tail", "device", "name", "new",
		 "# mine\n[device]\n  name  =  new \r\n# tail"},
		/* The last one counts, so the last one changes. */
		{"[a]\nk = 1\n[b]\nk = 2\n[a]\nk = 3\n", "a", "k", "9",
		 "[a]\nk = 1\n[b]\nk = 2\n[a]\nk = 9\n"},
		/* Behind its commented default, at the end of its section, in a new one. */
		{"[a]\n# about k\n#k = 1\nz = 2\n", "a", "k", "9",
		 "[a]\n# about k\n#k = 1\nk = 9\nz = 2\n"},
		{"[a]\nz = 2\n\n# about b\n[b]\nk = 3\n", "a", "k", "9",
		 "[a]\nz = 2\nk = 9\n\n# about b\n[b]\nk = 3\n"},
		{"[a]\nz = 2", "b", "k", "9", "[a]\nz = 2\n\n[b]\nk = 9\n"},
		{"[a]", "a", "k", "9", "[a]\nk = 9\n"},
		{"", "a", "k", "9", "[a]\nk = 9\n"},
		{"[a]\nk =\n", "a", "k", "9", "[a]\nk =9\n"},
		/* A value may look like anything that fits in a line. */
		{"[a]\nk = 1\n", "a", "k", "x = [y] # z", "[a]\nk = x = [y] # z\n"},
		/* Not those that only look like it. */
		{"[a]\nkk = 1\n;k = 2\n[ a]\nk = 3\n", "a", "k", "9",
		 "[a]\nkk = 1\n;k = 2\nk = 9\n[ a]\nk = 3\n"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *after = NULL, *value = NULL;
		unsigned line;

		g_assert_cmpint(config_edit_set(rows[i].before, rows[i].section, rows[i].key,
						rows[i].value, &after),
				==, 0);
		g_assert_cmpstr(after, ==, rows[i].after);
		g_assert_cmpint(
			config_edit_find(after, rows[i].section, rows[i].key, &value, &line), ==,
			0);
		g_assert_cmpstr(value, ==, rows[i].value);
	}
}

/* A value that is more than a value never reaches the file. */
static void test_hostile_value(void)
{
	static const char *const bad[] = {"tom\n[people]\nowner = eve",
					  "tom\r",
					  "tom\n",
					  "\ttom",
					  " tom",
					  "tom ",
					  "",
					  "a\x01z",
					  "a\x7fz"};
	g_autofree char *good = NULL;

	g_assert_cmpint(config_edit_set("", "people", "owner", "tom eve", &good), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		char *text = NULL;

		g_assert_cmpint(config_edit_set("", "people", "owner", bad[i], &text), ==, -EINVAL);
		g_assert_null(text);
	}
}

static void test_unset(void)
{
	g_autofree char *text = NULL;
	char *none = NULL;

	/* Every line of it: an earlier one must not come back to life. */
	g_assert_cmpint(config_edit_unset("[a]\nk = 1\n# k\nk = 2\n[b]\nk = 3", "a", "k", &text),
			==, 0);
	g_assert_cmpstr(text, ==, "[a]\n# k\n[b]\nk = 3");
	g_assert_cmpint(config_edit_unset(text, "a", "k", &none), ==, -ENOENT);
	g_assert_null(none);
}

/* Whatever the file looks like, the parser of the services reads what was set, and other keys as
 * before. */
static void test_agrees(void)
{
	static const char *const pieces[] = {
		"[people]", "[peer]",  "owner = eve", "#owner = x",  "port = 5",
		"# text",   "",	       "  ",	      "\towner=bob", "[people] ",
		"; x = y",  "[trust]", "max_age=3",   "\r"};
	g_autoptr(GRand) chance = g_rand_new_with_seed(4747);
	unsigned good = 0;

	for (int i = 0; i < 20000; i++) {
		g_autoptr(GString) text = g_string_new("");
		g_autofree char *after = NULL;
		struct config before, c;

		for (int n = g_rand_int_range(chance, 0, 9); n > 0; n--)
			g_string_append_printf(
				text, "%s%s",
				pieces[g_rand_int_range(chance, 0, G_N_ELEMENTS(pieces))],
				n == 1 && g_rand_boolean(chance) ? "" : "\n");
		if (config_parse(text->str, &before, NULL) < 0)
			continue;
		good++;
		g_assert_cmpint(config_edit_set(text->str, "people", "owner", "tom", &after), ==,
				0);
		g_assert_cmpint(config_parse(after, &c, NULL), ==, 0);
		g_assert_cmpstr(c.owner, ==, "tom");
		g_assert_cmpuint(c.port, ==, before.port);
		g_assert_cmpuint(c.evidence_max_age_s, ==, before.evidence_max_age_s);
	}
	g_assert_cmpuint(good, >, 1000);
}

static void test_key(void)
{
	static const struct {
		const char *word, *says;
	} bad[] = {
		{"people.ownr", "Did you mean people.owner?"},
		{"owner", "Did you mean people.owner?"},
		{"paths.image", "Did you mean paths.images?"},
		{"nothing.like.it.at.all", "There is no key \"nothing.like.it.at.all\". `kith"},
		{"", "There is no key"},
	};
	g_autofree char *monster = g_strnfill(10000, 'x');
	const struct config_key *k = NULL;
	struct kerr err = {0};

	g_assert_cmpint(config_edit_key("people.owner", &k, &err), ==, 0);
	g_assert_cmpstr(k->key, ==, "owner");
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		kerr_clear(&err);
		g_assert_cmpint(config_edit_key(bad[i].word, &k, &err), <, 0);
		g_assert_nonnull(strstr(err.text, bad[i].says));
	}
	g_assert_cmpint(config_edit_key(monster, &k, NULL), <, 0);
}

static int save(const char *path, const char *before, const char *text, struct kerr *err)
{
	struct config_file f;
	int r = config_file_read(path, &f, err);

	g_assert_cmpint(r, ==, 0);
	if (before)
		g_assert_true(g_file_set_contents(path, before, -1, NULL));
	r = config_file_save(&f, text, err);
	config_file_release(&f);
	return r;
}

static void test_file(void)
{
	g_autofree char *dir = g_dir_make_tmp("kith-config-XXXXXX", NULL);
	g_autofree char *folder = g_build_filename(dir, "etc", NULL);
	g_autofree char *path = g_build_filename(folder, "kith.conf", NULL);
	g_autofree char *text = NULL;
	g_autoptr(GDir) left = NULL;
	struct kerr err = {0};
	struct stat st;

	/* Made with its folder. */
	g_assert_cmpint(save(path, NULL, "[people]\nowner = tom\n", &err), ==, 0);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 07777, ==, 0644);
	/* Replaced with its mode and owner. */
	g_assert_cmpint(chmod(path, 0640), ==, 0);
	if (geteuid() == 0)
		g_assert_cmpint(chown(path, 12, 34), ==, 0);
	g_assert_cmpint(save(path, NULL, "[people]\nowner = bob\n", &err), ==, 0);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 07777, ==, 0640);
	g_assert_cmpuint(st.st_uid, ==, geteuid() == 0 ? 12 : geteuid());
	/* What services refuse is refused, in their words; the old file stays. */
	g_assert_cmpint(save(path, NULL, "[peer]\nport = 0\n", &err), ==, -EINVAL);
	g_assert_nonnull(strstr(err.text, "\"port\" must be a TCP port"));
	/* Somebody's change in between is not lost. */
	kerr_clear(&err);
	g_assert_cmpint(save(path, "[people]\nowner = eve\n", "# mine\n", &err), ==, -ESTALE);
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_cmpstr(text, ==, "[people]\nowner = eve\n");
	left = g_dir_open(folder, 0, NULL);
	g_assert_cmpstr(g_dir_read_name(left), ==, "kith.conf");
	g_assert_null(g_dir_read_name(left));
	g_unlink(path);
	g_rmdir(folder);
	g_rmdir(dir);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/config/the table says the defaults", test_table);
	g_test_add_func("/config/a running service takes what it can", test_renew);
	g_test_add_func("/config/what is equal is not changed", test_same);
	g_test_add_func("/config/a bad file changes nothing", test_reload);
	g_test_add_func("/config/users are those of the local file", test_user);
	g_test_add_func("/config/setting leaves all else as it is", test_set);
	g_test_add_func("/config/a value is one line", test_hostile_value);
	g_test_add_func("/config/unsetting leaves no line of it", test_unset);
	g_test_add_func("/config/editor and parser agree", test_agrees);
	g_test_add_func("/config/a misspelt key", test_key);
	g_test_add_func("/config/the file is replaced as a whole", test_file);
	return g_test_run();
}
