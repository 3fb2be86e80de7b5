/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs of the mover: records for kithd, the preface, frames and offers between workers, notes. */
#include <glib.h>
#include <string.h>

#include "base/buf.h"
#include "mover/frames.h"
#include "mover/listing.h"
#include "mover/proto.h"
#include "mover/remnant.h"
#include "policyd/api/proto.h"
#include "tests/unit/golden.h"

static struct mover_progress progress(void)
{
	struct mover_progress p = {.hid = {1, 2},
				   .uuid = {3},
				   .peer = {4},
				   .source = 1,
				   .off = 1,
				   .phase = PHASE_COPYING_MEMORY,
				   .ram_bytes = 5,
				   .ram_total = UINT64_MAX,
				   .disk_bytes = 7,
				   .disk_total = 8,
				   .rate_bytes_s = 9,
				   .elapsed_ms = 10,
				   .left_ms = UINT64_MAX,
				   .downtime_ms = 12};

	g_strlcpy(p.vm, "work", sizeof(p.vm));
	g_strlcpy(p.peer_name, "Kü-desktop", sizeof(p.peer_name));
	kerr_set(&p.error, EIO, KCODE_INTERRUPTED, "The link broke.");
	return p;
}

static void test_progress(void)
{
	struct mover_progress in = progress(), out = {0};
	uint8_t buf[2048];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(mover_progress_put(&w, &in), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(mover_progress_get(&r, &out), ==, 0);
	g_assert_cmpint(rbuf_end(&r), ==, 0);
	g_assert_cmpstr(out.vm, ==, "work");
	g_assert_cmpstr(out.peer_name, ==, "Kü-desktop");
	g_assert_cmpint(out.phase, ==, PHASE_COPYING_MEMORY);
	g_assert_true(out.ram_total == UINT64_MAX && out.downtime_ms == 12 && out.source == 1 &&
		      out.off == 1);
	g_assert_cmpint(out.error.code, ==, KCODE_INTERRUPTED);
	/* Every cut is noticed and leaves the result alone. */
	for (size_t len = 0; len < w.len; len++) {
		memset(&out, 0xaa, sizeof(out));
		r = rbuf_init(buf, len);
		g_assert_cmpint(mover_progress_get(&r, &out), ==, -EBADMSG);
		g_assert_cmpint(out.source, ==, 0xaa);
	}
}

static void test_progress_values(void)
{
	struct mover_progress in = progress(), out;
	uint8_t buf[2048];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	size_t at =
		HID_LEN + UUID_LEN + DEVICE_ID_LEN + 2 + strlen(in.vm) + 2 + strlen(in.peer_name);
	struct rbuf r;

	mover_progress_put(&w, &in);
	buf[at] = 2; /* source */
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(mover_progress_get(&r, &out), ==, -EBADMSG);
	buf[at] = 0;
	buf[at + 1] = 2; /* off */
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(mover_progress_get(&r, &out), ==, -EBADMSG);
	buf[at + 1] = 0;
	buf[at + 2] = _PHASE_MAX;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(mover_progress_get(&r, &out), ==, -EBADMSG);
	buf[at + 2] = _PHASE_MAX - 1;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(mover_progress_get(&r, &out), ==, 0);
	buf[at - 1] = '\x1b'; /* N9: a name with a control byte */
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(mover_progress_get(&r, &out), ==, -EBADMSG);
}

static void same_as_golden(const char *name, const struct wbuf *w)
{
	g_assert_cmpint(wbuf_error(w), ==, 0);
	golden_same("mover.txt", name, w->data, w->len);
}

static void test_golden(void)
{
	struct mover_progress p = progress();
	struct mover_vm v = {.uuid = {9},
			     .name = "a",
			     .state = MOVER_VM_PAUSED,
			     .memory_bytes = 1,
			     .disk_bytes = 2,
			     .vcpus = 3};
	static struct remnant note = {.hid = {1},
				      .uuid = {2},
				      .source = true,
				      .peer = {3},
				      .vm = "w",
				      .paused = true,
				      .off = true,
				      .again_until = 7};
	uint8_t buf[2048];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	mover_progress_put(&w, &p);
	same_as_golden("progress", &w);
	w = wbuf_init(buf, sizeof(buf));
	mover_vm_put(&w, &v);
	same_as_golden("vm", &w);
	w = wbuf_init(buf, sizeof(buf));
	remnant_add(&note, "/a", true);
	remnant_add(&note, "/b", false);
	note.xml = g_strdup("<x/>");
	remnant_put(&w, &note);
	remnant_clear(&note);
	same_as_golden("remnant", &w);
	w = wbuf_init(buf, sizeof(buf));
	data_preface_put(&w, &(struct data_preface){.hid = {1, 2}, .channel = 33});
	same_as_golden("preface", &w);
}

static void test_vm(void)
{
	struct mover_vm in = {.uuid = {9},
			      .state = MOVER_VM_PAUSED,
			      .memory_bytes = 1,
			      .disk_bytes = 2,
			      .vcpus = 3},
			out;
	uint8_t buf[256];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_strlcpy(in.name, "a", sizeof(in.name));
	g_assert_cmpint(mover_vm_put(&w, &in), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(mover_vm_get(&r, &out), ==, 0);
	g_assert_cmpint(out.state, ==, MOVER_VM_PAUSED);
	g_assert_cmpint(out.vcpus, ==, 3);
	buf[UUID_LEN + 3] = _MOVER_VM_STATE_MAX;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(mover_vm_get(&r, &out), ==, -EBADMSG);
	for (size_t len = 0; len < w.len; len++) {
		r = rbuf_init(buf, len);
		g_assert_cmpint(mover_vm_get(&r, &out), ==, -EBADMSG);
	}
}

static void test_preface(void)
{
	struct data_preface in = {.hid = {1, 2, 3}, .channel = DATA_CHANNEL_MAX - 1}, out = {0};
	uint8_t p[DATA_PREFACE_LEN];
	struct wbuf w = wbuf_init(p, sizeof(p));
	struct rbuf r = rbuf_init(p, sizeof(p));

	g_assert_cmpint(data_preface_put(&w, &in), ==, 0);
	g_assert_cmpuint(w.len, ==, DATA_PREFACE_LEN);
	g_assert_cmpint(data_preface_get(&r, &out), ==, 0);
	g_assert_cmpint(out.channel, ==, 33);
	g_assert_cmpmem(out.hid, HID_LEN, in.hid, HID_LEN);
	for (size_t i = 0; i < 12; i++) { /* magic, version, channel */
		p[i] ^= 0x40;
		r = rbuf_init(p, sizeof(p));
		g_assert_cmpint(data_preface_get(&r, &out), ==, -EBADMSG);
		p[i] ^= 0x40;
	}
	in.channel++;
	w = wbuf_init(p, sizeof(p));
	g_assert_cmpint(data_preface_put(&w, &in), ==, -EINVAL);
}

static void test_frames(void)
{
	uint8_t buf[16] = {FRAME_VOTE, 3, 0, 0, 0, 'a', 'b', 'c', FRAME_BEAT, 0, 0, 0, 0};
	struct frame f;
	size_t used = 99;

	for (size_t len = 0; len < 8; len++)
		g_assert_cmpint(frames_parse(buf, len, &f, &used), ==, 0);
	g_assert_cmpint(used, ==, 99);
	g_assert_cmpint(frames_parse(buf, 13, &f, &used), ==, 1);
	g_assert_cmpint(f.type, ==, FRAME_VOTE);
	g_assert_cmpint(used, ==, 8);
	g_assert_cmpmem(f.body, f.len, "abc", 3);
	g_assert_cmpint(frames_parse(buf + 8, 5, &f, &used), ==, 1);
	g_assert_cmpint(f.len, ==, 0);
	/* N1: an unknown type or a length above the limit is refused before its bytes come. */
	buf[0] = 0;
	g_assert_cmpint(frames_parse(buf, 5, &f, &used), ==, -EBADMSG);
	buf[0] = _FRAME_MAX;
	g_assert_cmpint(frames_parse(buf, 5, &f, &used), ==, -EBADMSG);
	buf[0] = FRAME_RPC;
	memcpy(buf + 1, "\x01\x00\x01\x00", 4); /* 65537 */
	g_assert_cmpint(frames_parse(buf, 5, &f, &used), ==, -EBADMSG);
	memcpy(buf + 1, "\xff\xff\xff\xff", 4);
	g_assert_cmpint(frames_parse(buf, 5, &f, &used), ==, -EBADMSG);
	memcpy(buf + 1, "\x00\x00\x01\x00", 4); /* 65536 */
	g_assert_cmpint(frames_parse(buf, 5, &f, &used), ==, 0);
}

static void test_frame_header(void)
{
	static const struct frame_header bad[] = {
		{0, 1}, {_FRAME_MAX, 1}, {FRAME_RPC, FRAMES_BODY_MAX + 1}};
	uint8_t buf[FRAMES_HEADER_LEN];
	struct wbuf w;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		w = wbuf_init(buf, sizeof(buf));
		g_assert_cmpint(frame_header_put(&w, &bad[i]), ==, -EINVAL);
	}
	w = wbuf_init(buf, sizeof(buf));
	g_assert_cmpint(frame_header_put(&w, &(struct frame_header){FRAME_RPC, FRAMES_BODY_MAX}),
			==, 0);
	g_assert_cmpmem(buf, w.len, "\x01\x00\x00\x01\x00", FRAMES_HEADER_LEN);
}

static struct frame_offer offer(void)
{
	return (struct frame_offer){.memory_bytes = 1 << 20,
				    .vcpus = 2,
				    .origin = {.uefi = 1,
					       .firmware = {.secure_boot = 1,
							    .code_size = 3653632,
							    .vars_size = 540672},
					       .cpu = {"EPYC", "AMD", 7002, "avx2 fpu"}},
				    .luggage = {{540672, {7}}, {9000, {8}}},
				    .off = true,
				    .count = 2,
				    .disks = {{"vda", DISK_FORMAT_RAW, 1 << 20, 4096},
					      {"sdb1", DISK_FORMAT_QCOW2, 512, 0}}};
}

/* A hostile device writes what it likes. */
static size_t put_freely(const struct frame_offer *o, uint8_t *buf, size_t size)
{
	struct wbuf w = wbuf_init(buf, size);

	wbuf_u8(&w, FRAMES_VERSION);
	wbuf_u64(&w, o->memory_bytes);
	wbuf_u32(&w, o->vcpus);
	wbuf_u8(&w, o->origin.uefi);
	wbuf_u8(&w, o->origin.firmware.secure_boot);
	wbuf_u8(&w, o->origin.firmware.enrolled_keys);
	wbuf_u64(&w, o->origin.firmware.code_size);
	wbuf_u64(&w, o->origin.firmware.vars_size);
	wbuf_string(&w, o->origin.cpu.model);
	wbuf_string(&w, o->origin.cpu.vendor);
	wbuf_u32(&w, o->origin.cpu.qemu);
	wbuf_string(&w, o->origin.cpu.features);
	wbuf_u8(&w, o->off);
	wbuf_u8(&w, o->boots);
	for (size_t i = 0; i < _LUGGAGE_MAX; i++) {
		wbuf_u32(&w, o->luggage[i].len);
		wbuf_bytes(&w, o->luggage[i].hash, LUGGAGE_HASH_LEN);
	}
	wbuf_u16(&w, (uint16_t)o->count);
	for (size_t i = 0; i < o->count; i++) {
		static const struct frame_disk more = {.target = "more", .capacity = 512};
		const struct frame_disk *d = i < DOMAIN_DISKS_MAX ? &o->disks[i] : &more;

		wbuf_string(&w, d->target);
		wbuf_u8(&w, (uint8_t)d->format);
		wbuf_u64(&w, d->capacity);
		wbuf_u64(&w, d->used);
		wbuf_string(&w, d->shared.store);
		wbuf_string(&w, d->shared.volume);
		wbuf_u64(&w, d->shared.file);
	}
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	return w.len;
}

/* The reader takes it whole, and the writer would write the same. */
static void passes(const struct frame_offer *in, struct frame_offer *out)
{
	uint8_t buf[2048], own[FRAME_OFFER_MAX];
	size_t len = put_freely(in, buf, sizeof(buf));
	struct wbuf w = wbuf_init(own, sizeof(own));
	struct rbuf r = rbuf_init(buf, len);

	g_assert_cmpint(frame_offer_get(&r, out), ==, 0);
	g_assert_cmpint(rbuf_end(&r), ==, 0);
	g_assert_cmpint(frame_offer_put(&w, in), ==, 0);
	g_assert_cmpmem(own, w.len, buf, len);
}

/* The reader refuses it and touches nothing; so does the writer. */
static void refused(const struct frame_offer *in)
{
	struct frame_offer out = {.vcpus = 77};
	uint8_t buf[2048];
	struct rbuf r = rbuf_init(buf, put_freely(in, buf, sizeof(buf)));
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	g_assert_cmpint(frame_offer_get(&r, &out), ==, -EBADMSG);
	g_assert_cmpint(out.vcpus, ==, 77);
	g_assert_cmpint(frame_offer_put(&w, in), ==, -EINVAL);
}

static void test_offer(void)
{
	struct frame_offer in = offer(), out = {0};
	uint8_t buf[2048];
	size_t len = put_freely(&in, buf, sizeof(buf));

	passes(&in, &out);
	g_assert_true(out.off);
	g_assert_cmpint(out.count, ==, 2);
	g_assert_cmpstr(out.disks[1].target, ==, "sdb1");
	g_assert_cmpint(out.disks[1].format, ==, DISK_FORMAT_QCOW2);
	g_assert_true(out.disks[0].capacity == 1 << 20 && out.disks[0].used == 4096);
	g_assert_true(out.origin.uefi && out.origin.firmware.secure_boot);
	g_assert_cmpuint(out.origin.firmware.vars_size, ==, 540672);
	in.origin.uefi = 2;
	refused(&in);
	in.origin.uefi = 0; /* UEFI variables without UEFI */
	refused(&in);
	in.origin.uefi = 1;
	in.luggage[LUGGAGE_NVRAM].len--; /* or less of them than the firmware has */
	refused(&in);
	in.luggage[LUGGAGE_NVRAM].len = 0;
	passes(&in, &out);
	in = offer();
	for (size_t n = 1; n < len; n++) {
		struct rbuf r = rbuf_init(buf, n);

		g_assert_cmpint(frame_offer_get(&r, &out), ==, -EBADMSG);
	}
	in.off = false; /* one that runs has no definition in its luggage */
	refused(&in);
	in.luggage[LUGGAGE_DEFINITION].len = 0;
	passes(&in, &out);
	in.boots = true; /* what runs needs no start */
	refused(&in);
	g_assert_false(out.off);
	in = offer();
	in.boots = true;
	passes(&in, &out);
	g_assert_true(out.boots);
	in.luggage[LUGGAGE_DEFINITION].len = 0; /* and one that is off has */
	refused(&in);
	buf[57] = 2; /* neither off nor running */
	g_assert_cmpint(frame_offer_get(&(struct rbuf){buf, len, 0}, &out), ==, -EBADMSG);
}

/* An offer of another version is told from a broken one, and nothing of it is looked at. */
static void test_offer_version(void)
{
	static const uint8_t bad[] = {0, FRAMES_VERSION + 1, UINT8_MAX};
	struct frame_offer in = offer(), out = {.vcpus = 77};
	uint8_t buf[2048];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(frame_offer_put(&w, &in), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		buf[0] = bad[i];
		r = rbuf_init(buf, w.len);
		g_assert_cmpint(frame_offer_get(&r, &out), ==, -EPROTONOSUPPORT);
		r = rbuf_init(buf, 1);
		g_assert_cmpint(frame_ready_get(&r), ==, -EPROTONOSUPPORT);
	}
	r = rbuf_init(buf, 0);
	g_assert_cmpint(frame_offer_get(&r, &out), ==, -EPROTONOSUPPORT);
	g_assert_cmpint(frame_ready_get(&r), ==, -EPROTONOSUPPORT);
	g_assert_cmpint(out.vcpus, ==, 77);
	buf[0] = FRAMES_VERSION;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(frame_offer_get(&r, &out), ==, 0);
	g_assert_cmpint(out.vcpus, ==, in.vcpus);
	r = rbuf_init(buf, 1);
	g_assert_cmpint(frame_ready_get(&r), ==, 0);
}

/* The target becomes part of a file name at the destination (H12). */
static void test_offer_targets(void)
{
	static const char *const bad[] = {"",	 "../x", "a/b",	 "VDA", "1a",
					  "a.b", "a b",	 "vd-a", "a\n", "v\xc3\xa4"};
	struct frame_offer in = offer(), out;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_strlcpy(in.disks[0].target, bad[i], sizeof(in.disks[0].target));
		refused(&in);
	}
	in = offer();
	memcpy(in.disks[1].target, "vda", 4); /* twice */
	refused(&in);
	memcpy(in.disks[1].target, "abcdefghijklmn0", DOMAIN_TARGET_MAX + 1);
	passes(&in, &out);
}

static void test_offer_unterminated(void)
{
	struct frame_offer in = offer();
	uint8_t buf[2048];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	memset(in.disks[0].target, 'a', sizeof(in.disks[0].target));
	g_assert_cmpint(frame_offer_put(&w, &in), ==, -EINVAL);
}

/* The fullest offer fits where it is sent. */
static void test_offer_largest(void)
{
	static struct frame_offer in;
	static uint8_t buf[FRAME_OFFER_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	in = offer();
	memset(in.origin.cpu.model, 'm', CPU_MODEL_MAX);
	memset(in.origin.cpu.vendor, 'v', CPU_VENDOR_MAX);
	for (size_t i = 0, n = 0; i + 8 < CPU_FEATURES_MAX; i += 8, n++)
		g_snprintf(in.origin.cpu.features + i, 8, "f%06zu", n);
	for (size_t i = 0; i < CPU_FEATURES_MAX - 9; i++)
		if (!in.origin.cpu.features[i])
			in.origin.cpu.features[i] = ' ';
	in.count = DOMAIN_DISKS_MAX;
	for (size_t i = 0; i < in.count; i++) {
		in.disks[i] = in.disks[0];
		g_snprintf(in.disks[i].target, sizeof(in.disks[i].target), "abcdefghijklm%02zu", i);
		memset(in.disks[i].shared.store, 'h', DOMAIN_STORE_MAX);
		memcpy(in.disks[i].shared.store, "rbd://", 6);
		memcpy(in.disks[i].shared.store + DOMAIN_STORE_MAX - 8, ":6789/vm", 8);
		memset(in.disks[i].shared.volume, 'v', DOMAIN_VOLUME_MAX);
	}
	g_assert_cmpint(frame_offer_put(&w, &in), ==, 0);
	g_assert_cmpuint(w.len + 32, >, FRAME_OFFER_MAX);
}

/* N1: a CPU with features in no order, or of strange names. */
static void test_offer_cpu(void)
{
	static const char *const bad[] = {"fpu avx2", "avx2 avx2", "a/b", " a", "a'b"};
	struct frame_offer in = offer(), out;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_strlcpy(in.origin.cpu.features, bad[i], sizeof(in.origin.cpu.features));
		refused(&in);
	}
	in = offer();
	in.origin.cpu.model[0] = '\0';
	refused(&in);
	in.origin.cpu.features[0] = '\0';
	passes(&in, &out);
}

/* H23: declared sizes. */
static void test_offer_sizes(void)
{
	static const uint64_t bad[] = {0, 1, 513, UINT64_C(1) << 62, UINT64_MAX - 511, UINT64_MAX};
	struct frame_offer in, out;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		in = offer();
		in.disks[0].capacity = bad[i];
		refused(&in);
	}
	in = offer();
	in.disks[0].used = UINT64_MAX;
	refused(&in);
	in.disks[0].used = (UINT64_C(1) << 62) - 1;
	in.disks[0].capacity = (UINT64_C(1) << 62) - 512;
	passes(&in, &out);
	in.disks[0].format = _DISK_FORMAT_MAX;
	refused(&in);
}

/* H12: what another device calls a disk that stays where it is. */
static void test_offer_shared(void)
{
	static const struct {
		struct domain_shared s;
		bool ok;
	} rows[] = {
		{{"iscsi://nas:3260/iqn.2004-10.com.example:nas", "1", 0}, true},
		{{"rbd://a:6789/vms", "web", 0}, true},
		{{"nfs://nas:2049/srv/vms", "web.img", 12}, true},
		{{"nfs://nas:2049/srv/vms", "web.img", 0}, false},
		{{"nfs://nas:2049/srv/vms", "../web.img", 12}, false},
		{{"iscsi://nas:3260/iqn.2004-10.com.example:nas", "1", 12}, false},
		{{"iscsi://nas:3260/iqn.2004-10.com.example:nas", "../1", 0}, false},
		{{"iscsi://nas:3260/iqn.2004-10.com.example:nas", "", 0}, false},
		{{"/etc/shadow", "1", 0}, false},
		{{"", "1", 0}, false},
	};
	struct frame_offer in = offer(), out;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		in.disks[0].shared = rows[i].s;
		if (!rows[i].ok) {
			refused(&in);
			continue;
		}
		passes(&in, &out);
		g_assert_true(frame_disk_is_shared(&out.disks[0]));
		g_assert_false(frame_disk_is_shared(&out.disks[1]));
	}
	in = offer();
	in.disks[1].shared = rows[0].s; /* qcow2 */
	refused(&in);
	in.disks[1].shared = rows[2].s;
	passes(&in, &out);
}

static void test_offer_counts(void)
{
	struct frame_offer in = {.vcpus = 1}, out;

	for (in.count = 0; in.count < DOMAIN_DISKS_MAX; in.count++) {
		struct frame_disk *d = &in.disks[in.count];

		passes(&in, &out);
		*d = (struct frame_disk){.target = "vda", .capacity = 512};
		d->target[2] = (char)('a' + in.count);
	}
	passes(&in, &out);
	g_assert_cmpuint(out.count, ==, DOMAIN_DISKS_MAX);
	in.count = DOMAIN_DISKS_MAX + 1;
	refused(&in);
}

/* More than a u16 can say must not become few. */
static void test_offer_count_cut(void)
{
	struct frame_offer in = offer();
	uint8_t buf[2048];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	in.count = (size_t)UINT16_MAX + 2;
	g_assert_cmpint(frame_offer_put(&w, &in), ==, -EINVAL);
}

static void test_ack(void)
{
	static const uint8_t statement[POLICYD_PROOF_MAX + 1];
	struct frame_ack in = {7, true, statement, POLICYD_PROOF_MAX}, out = {0};
	uint8_t buf[POLICYD_PROOF_MAX + 64];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(frame_ack_put(&w, &in), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(frame_ack_get(&r, &out), ==, 0);
	g_assert_true(out.late_us == 7 && out.off);
	g_assert_cmpmem(out.ack, out.len, statement, POLICYD_PROOF_MAX);
	w = wbuf_init(buf, sizeof(buf));
	in.len++;
	g_assert_cmpint(frame_ack_put(&w, &in), ==, -EINVAL);
	w = wbuf_init(buf, sizeof(buf));
	wbuf_u64(&w, 7);
	wbuf_u8(&w, 0);
	wbuf_blob(&w, statement, sizeof(statement));
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(frame_ack_get(&r, &out), ==, -EBADMSG);
	g_assert_cmpuint(out.len, ==, POLICYD_PROOF_MAX);
}

static void test_remnant(void)
{
	static struct remnant in = {.hid = {1}, .uuid = {2}, .source = false}, out;
	static uint8_t buf[65536];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	remnant_add(&in, "/images/a", true);
	remnant_add(&in, "/images/b", false);
	in.xml = g_strdup("<domain/>");
	g_assert_cmpint(remnant_put(&w, &in), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(remnant_get(&r, &out), ==, 0);
	g_assert_cmpint(out.count, ==, 2);
	g_assert_cmpstr(out.images[1].path, ==, "/images/b");
	/* Of an owner's image recovery makes nothing of its own. */
	g_assert_true(remnant_has(&out, "/images/a"));
	g_assert_false(remnant_has(&out, "/images/b"));
	g_assert_cmpstr(out.xml, ==, "<domain/>");
	remnant_clear(&out);
	for (size_t len = 0; len < w.len; len++) {
		r = rbuf_init(buf, len);
		g_assert_cmpint(remnant_get(&r, &out), ==, -EBADMSG);
	}
	buf[0] = 9; /* version */
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(remnant_get(&r, &out), ==, -EBADMSG);
	g_free(in.xml);
}

/* Notes of hand-offs that an update found half way. */
static void test_remnant_of_before(void)
{
	static const char *const names[] = {"remnant-3", "remnant-4"};
	static uint8_t buf[4096];
	static struct remnant out;

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		size_t len = golden_read("mover.txt", names[i], buf, sizeof(buf));
		struct rbuf r = rbuf_init(buf, len);

		g_assert_cmpint(remnant_get(&r, &out), ==, 0);
		g_assert_true(out.source && out.paused && out.off == (i == 1) && !out.again_until);
		g_assert_cmpint(out.count, ==, 2);
		g_assert_cmpstr(out.xml, ==, "<x/>");
		remnant_clear(&out);
	}
}

static void test_remnant_files(void)
{
	_cleanup_free_ uint8_t(*list)[HID_LEN] = NULL;
	char *state = g_dir_make_tmp("kith-remnant-XXXXXX", NULL), *sub;
	struct remnant in = {.hid = {7, 7}, .uuid = {2}, .source = true}, out = {0};
	int folder = -1;
	size_t n = 9;

	g_assert_cmpint(remnant_folder_open(state, &folder), ==, 0);
	g_assert_cmpint(remnant_read(folder, in.hid, &out), ==, -ENOENT);
	g_assert_cmpint(remnant_write(folder, &in), ==, 0);
	remnant_add(&in, "/x/y", true);
	g_assert_cmpint(remnant_write(folder, &in), ==, 0); /* replaces */
	g_assert_cmpint(remnant_read(folder, in.hid, &out), ==, 0);
	g_assert_cmpint(out.count, ==, 1);
	g_assert_true(out.source);
	g_assert_null(out.xml);
	g_assert_cmpint(remnant_list(folder, &list, &n), ==, 0);
	g_assert_cmpint(n, ==, 1);
	g_assert_cmpmem(list[0], HID_LEN, in.hid, HID_LEN);
	g_assert_cmpint(remnant_remove(folder, in.hid), ==, 0);
	g_assert_cmpint(remnant_remove(folder, in.hid), ==, -ENOENT);
	close(folder);
	sub = g_build_filename(state, "mover", NULL);
	g_assert_cmpint(rmdir(sub), ==, 0); /* nothing else was left in it */
	g_assert_cmpint(rmdir(state), ==, 0);
	g_free(sub);
	g_free(state);
}

static void put_vm(struct wbuf *w, uint8_t id, uint64_t disk_bytes)
{
	struct mover_vm vm = {.uuid = {id}, .name = "work", .disk_bytes = disk_bytes, .vcpus = 2};

	g_assert_cmpint(mover_vm_put(w, &vm), ==, 0);
}

/* A1: a QEMU that cannot be asked now has the disks that it had. */
static void test_listing(void)
{
	struct listing_memory *m = g_new0(struct listing_memory, 1);
	uint8_t body[600], want[600];
	struct wbuf w = wbuf_init(body, sizeof(body)), v = wbuf_init(want, sizeof(want));

	wbuf_u16(&w, 2);
	put_vm(&w, 1, 1 << 20);
	put_vm(&w, 2, 0);
	memcpy(want, body, w.len);
	listing_complete(m, body, w.len);
	g_assert_cmpmem(body, w.len, want, w.len);
	w.len = 0;
	wbuf_u16(&w, 3);
	put_vm(&w, 2, 0);
	put_vm(&w, 1, 0);
	put_vm(&w, 3, 7 << 20);
	listing_complete(m, body, w.len);
	wbuf_u16(&v, 3);
	put_vm(&v, 2, 0);
	put_vm(&v, 1, 1 << 20);
	put_vm(&v, 3, 7 << 20);
	g_assert_cmpmem(body, w.len, want, v.len);
	/* Cut off: what is there is read, nothing beyond. */
	listing_complete(m, body, w.len - 1);
	listing_complete(m, body, 1);
	g_assert_cmpmem(body, w.len, want, v.len);
	g_free(m);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/mover-proto/progress", test_progress);
	g_test_add_func("/mover-proto/progress out of range, N9", test_progress_values);
	g_test_add_func("/mover-proto/vm", test_vm);
	g_test_add_func("/mover-proto/A1 sizes that are known", test_listing);
	g_test_add_func("/mover-proto/preface", test_preface);
	g_test_add_func("/mover-proto/N1 control frames", test_frames);
	g_test_add_func("/mover-proto/N1 headers that are not written", test_frame_header);
	g_test_add_func("/mover-proto/offer", test_offer);
	g_test_add_func("/mover-proto/an offer of another version", test_offer_version);
	g_test_add_func("/mover-proto/H12 offer with hostile targets", test_offer_targets);
	g_test_add_func("/mover-proto/H23 offer with impossible sizes", test_offer_sizes);
	g_test_add_func("/mover-proto/the largest offer", test_offer_largest);
	g_test_add_func("/mover-proto/N1 offer of a hostile CPU", test_offer_cpu);
	g_test_add_func("/mover-proto/an offer's text without end", test_offer_unterminated);
	g_test_add_func("/mover-proto/H12 shared disks in an offer", test_offer_shared);
	g_test_add_func("/mover-proto/H23 how many disks an offer has", test_offer_counts);
	g_test_add_func("/mover-proto/a count that is cut", test_offer_count_cut);
	g_test_add_func("/mover-proto/N1 ack", test_ack);
	g_test_add_func("/mover-proto/golden bytes", test_golden);
	g_test_add_func("/mover-proto/remnant", test_remnant);
	g_test_add_func("/mover-proto/remnant of the version before", test_remnant_of_before);
	g_test_add_func("/mover-proto/remnant files", test_remnant_files);
	return g_test_run();
}
