/* SPDX-License-Identifier: Apache-2.0 */
/* What `kith` shows: kithd's answers in, sentences out; and a move, step by step. */
#include <glib.h>
#include <string.h>

#include "ui-tui/model/moving.h"
#include "ui-tui/model/progress.h"

static json_t *load(const char *text)
{
	json_error_t e;
	json_t *v = json_loads(text, 0, &e);

	g_assert_nonnull(v);
	return v;
}

static struct model_vm vm_of(const char *text)
{
	json_t *v = load(text);
	struct model_vm vm;

	model_read_vm(v, &vm);
	json_decref(v);
	return vm;
}

static struct model_device device_of(const char *text)
{
	json_t *v = load(text);
	struct model_device d;

	model_read_device(v, &d);
	json_decref(v);
	return d;
}

static struct model_job job_of(const char *text)
{
	json_t *v = load(text);
	struct model_job job;

	model_read_job(v, &job);
	json_decref(v);
	return job;
}

/* -- who holds a VM -- */

static void test_where(void)
{
	static const struct {
		const char *json, *sentence;
	} cases[] = {
		{"{\"known\":true,\"policy_version\":1,\"here\":true}", "held here"},
		{"{\"known\":true,\"policy_version\":1,\"here\":true,\"hid\":\"00\"}",
		 "held here, a hand-off is open"},
		{"{\"known\":true,\"policy_version\":1,\"here\":false,\"holder_name\":\"desktop\"}",
		 "on desktop"},
		{"{\"known\":true,\"policy_version\":1,\"here\":false}", "on another device"},
		{"{\"known\":false,\"here\":true}", "no policy yet: it cannot be moved"},
		{"{\"known\":null,\"here\":null}",
		 "who holds it is not known while this device is locked"},
		{"{\"name\":\"work\",\"known\":true,\"policy_version\":2,\"here\":true,"
		 "\"doubt\":true}",
		 "in doubt: its state was rolled back. Bring your other devices into sight, or "
		 "decide with `kith claim work`"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct model_vm vm = vm_of(cases[i].json);
		char text[384];

		model_where(&vm, text, sizeof(text));
		g_assert_cmpstr(text, ==, cases[i].sentence);
	}
}

static void test_device(void)
{
	static const struct {
		const char *json, *announced, *standing;
	} cases[] = {
		{"{\"paired\":true,\"verdict\":\"trusted\",\"tier\":\"pinned\",\"age_ms\":20,"
		 "\"nearby\":true,\"reason\":null}",
		 "announced", "trusted, TPM: pinned"},
		{"{\"paired\":true,\"verdict\":\"untrusted\",\"tier\":\"software\","
		 "\"age_ms\":300000,\"nearby\":false,\"reason\":{\"text\":\"Changed.\"}}",
		 "announced 5 min ago", "untrusted, TPM: software; Changed."},
		{"{\"paired\":false,\"age_ms\":null,\"nearby\":false}", "not announced",
		 "not paired"},
		{"{\"paired\":false,\"age_ms\":1,\"nearby\":true,\"pairing\":true}", "announced",
		 "wants to pair"},
		{"{\"paired\":null,\"age_ms\":1,\"nearby\":true}", "announced",
		 "not known while this device is locked"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct model_device d = device_of(cases[i].json);
		char text[KERR_TEXT_MAX + 96];

		model_announced(&d, text, sizeof(text));
		g_assert_cmpstr(text, ==, cases[i].announced);
		model_standing(&d, text, sizeof(text));
		g_assert_cmpstr(text, ==, cases[i].standing);
		g_assert_cmpint(model_is_trusted(&d), ==, i == 0);
	}
}

/* -- progress -- */

static const char copying[] =
	"{\"hid\":\"00112233445566778899aabbccddeeff\",\"vm\":\"work\",\"device_name\":\"desktop\","
	"\"source\":true,\"phase\":\"copying disk\",\"ram_bytes\":0,\"ram_total\":536870912,"
	"\"disk_bytes\":268435456,\"disk_total\":536870912,\"rate_bytes_s\":26843545,"
	"\"elapsed_ms\":10000,\"left_ms\":30000,\"downtime_ms\":0,\"error\":null}";

static void test_progress(void)
{
	struct model_job job = job_of(copying);
	char line[256];

	g_assert_cmpint(progress_percent(&job), ==, 25);
	progress_line(&job, 100, line, sizeof(line));
	g_assert_cmpstr(
		line, ==,
		"copying disk    [######..................] 25 %, 256 MiB, 26 MiB/s, 31-39 s "
		"left");
	/* However narrow, it never wraps. */
	for (unsigned columns = 1; columns < 120; columns++) {
		progress_line(&job, columns, line, sizeof(line));
		g_assert_cmpuint(strlen(line), <=, columns);
	}
	job.done_bytes = 2 * job.total_bytes;
	g_assert_cmpint(progress_percent(&job), ==, 99);
	job.left_ms = UINT64_MAX;
	progress_line(&job, 80, line, sizeof(line));
	g_assert_nonnull(strstr(line, "estimating"));
	job.total_bytes = 0;
	g_assert_cmpint(progress_percent(&job), ==, -1);
	job.phase = PHASE_DONE;
	g_assert_cmpint(progress_percent(&job), ==, 100);
}

static void test_end(void)
{
	struct model_job job = job_of(copying);
	char text[512];

	job.phase = PHASE_DONE;
	job.downtime_ms = 271;
	progress_end(&job, text, sizeof(text));
	g_assert_cmpstr(text, ==,
			"\"work\" runs on \"desktop\" now: 10.0 s in all, 271 ms pause, 0 bytes of "
			"memory, 256 MiB of disk.");
	job.off = true;
	progress_end(&job, text, sizeof(text));
	g_assert_nonnull(strstr(text, "switched off"));
	job.source = false;
	progress_end(&job, text, sizeof(text));
	g_assert_nonnull(strstr(text, "came from \"desktop\""));
	job.phase = PHASE_FAILED;
	kerr_set(&job.error, EACCES, KCODE_ROOM, "No room.");
	progress_end(&job, text, sizeof(text));
	g_assert_cmpstr(text, ==, "\"work\" was not moved: No room.");
}

/* -- a plan -- */

static const struct target target = {.vm = "work", .name = "desktop"};

static bool says(const struct outlook *o, const char *what)
{
	struct sheet sheet = {0};
	bool found = false;

	outlook_say(o, &target, &sheet);
	for (size_t i = 0; i < sheet.count; i++)
		found = found || strstr(sheet.lines[i].text, what);
	sheet_clear(&sheet);
	return found;
}

static void test_outlook(void)
{
	struct policyd_plan plan = {.allowed = 1, .rule = "allow owner", .verdict = VERDICT_STALE};
	json_t *answer = load("{\"rung\":\"live-disk\",\"reason\":null,\"memory_bytes\":1048576,"
			      "\"disk_bytes\":2097152,\"rewired\":1,\"reached\":true,"
			      "\"fitted\":{\"emulated\":true,\"other_cpu\":true,\"cpu_lacks\":"
			      "\"avx2\",\"machine_from\":\"8.2\",\"machine_to\":\"7.2\"},"
			      "\"least_ms\":2000,\"most_ms\":5000}");
	json_t *refused = load("{\"rung\":\"none\",\"reason\":{\"code\":\"room\",\"text\":\"No "
			       "room.\"},\"reached\":true}");
	json_t *mute = load("{}");
	struct outlook o;

	g_assert_true(outlook_begin(&plan, &o));
	outlook_take(&o, answer);
	g_assert_true(says(&o, "+ \"work\" to \"desktop\": allowed"));
	g_assert_true(says(&o, "1.0 MiB of memory and 2.0 MiB of disk"));
	g_assert_true(says(&o, "between 2 and 6 s"));
	g_assert_true(says(&o, "network: 1 of its cards"));
	g_assert_true(says(&o, "KVM: \"desktop\" has none"));
	g_assert_true(says(&o, "CPU: it will have another one there"));
	g_assert_true(says(&o, "(its own needs avx2)"));
	g_assert_true(says(&o, "that of QEMU 7.2 there, and not 8.2"));
	g_assert_true(says(&o, "it will have that again"));
	outlook_release(&o);
	outlook_begin(&plan, &o);
	outlook_take(&o, refused);
	g_assert_true(says(&o, "refused"));
	g_assert_true(says(&o, "No room. (code: room)"));
	g_assert_false(says(&o, "KVM") || says(&o, "have that again"));
	outlook_begin(&plan, &o);
	outlook_take(&o, mute);
	g_assert_cmpint(o.plan.reason.code, ==, KCODE_BAD_MESSAGE);
	plan.allowed = 0;
	kerr_set(&plan.reason, EACCES, KCODE_POLICY, "Denied.");
	g_assert_false(outlook_begin(&plan, &o));
	g_assert_true(says(&o, "Denied. (code: policy)"));
	json_decref(answer);
	json_decref(refused);
	json_decref(mute);
}

/* -- a move -- */

static void ask(struct moving *m, const char *op)
{
	json_t *request = moving_request(m);

	g_assert_cmpstr(model_text(request, "op"), ==, op);
	json_decref(request);
	moving_answered(m);
}

static void test_moving(void)
{
	static const uint8_t hid[HID_LEN] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
					     0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	struct model_job job = job_of(copying), other = job;
	struct moving m;

	moving_begin(&m, &target);
	g_assert_cmpint(m.step, ==, MOVING_REQUEST);
	g_assert_null(moving_request(&m));
	g_assert_false(moving_progress(&m, &job));
	moving_allowed(&m, hid);
	ask(&m, "watch");
	ask(&m, "handoff");
	g_assert_cmpint(m.step, ==, MOVING_FOLLOW);
	g_assert_null(moving_request(&m));
	other.hid[0] = 'f';
	g_assert_false(moving_progress(&m, &other));
	g_assert_true(moving_progress(&m, &job));
	g_assert_cmpint(m.step, ==, MOVING_FOLLOW);
	job.phase = PHASE_DONE;
	g_assert_true(moving_progress(&m, &job));
	g_assert_cmpint(m.step, ==, MOVING_OVER);
	g_assert_cmpint(m.error.code, ==, KCODE_OK);
}

static void test_moving_fails(void)
{
	static const uint8_t hid[HID_LEN];
	struct model_job job = job_of(copying);
	struct moving m;

	moving_begin(&m, &target);
	moving_allowed(&m, hid);
	memset(job.hid, '0', sizeof(job.hid) - 1);
	job.phase = PHASE_FAILED;
	/* It may end before its start was answered. */
	g_assert_true(moving_progress(&m, &job));
	g_assert_cmpint(m.step, ==, MOVING_OVER);
	g_assert_cmpint(m.error.code, ==, KCODE_FAILED);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/model/who holds a VM", test_where);
	g_test_add_func("/model/a device", test_device);
	g_test_add_func("/model/progress fits its line", test_progress);
	g_test_add_func("/model/the end", test_end);
	g_test_add_func("/model/a plan", test_outlook);
	g_test_add_func("/model/a move", test_moving);
	g_test_add_func("/model/a move that fails", test_moving_fails);
	return g_test_run();
}
