/* SPDX-License-Identifier: Apache-2.0 */
/* What is still to be sent, in each situation in which libvirt's figures do not say it. */
#include <glib.h>

#include "mover/estimate.h"

#define MIB (UINT64_C(1) << 20)

static const struct {
	const char *what;
	struct estimate e;
	struct virt_job job;
	uint64_t disk, ram;
} rows[] = {
	{"nothing is sent yet, and libvirt says nothing",
	 {.capacity = 1000 * MIB, .used = 400 * MIB, .memory = 256 * MIB},
	 {0},
	 400 * MIB,
	 256 * MIB},
	{"QEMU has found a part of what is there",
	 {.capacity = 1000 * MIB, .used = 400 * MIB, .memory = 256 * MIB, .disk_sent = 40 * MIB},
	 {.disk_total = 50 * MIB, .disk_done = 40 * MIB},
	 360 * MIB,
	 256 * MIB},
	{"it counts the holes",
	 {.capacity = 1000 * MIB, .used = 400 * MIB, .memory = 256 * MIB, .disk_sent = 200 * MIB},
	 {.disk_total = 1000 * MIB, .disk_done = 500 * MIB},
	 200 * MIB,
	 256 * MIB},
	{"it counts what is allocated",
	 {.capacity = 1000 * MIB, .used = 400 * MIB, .memory = 256 * MIB, .disk_sent = 100 * MIB},
	 {.disk_total = 400 * MIB, .disk_done = 100 * MIB},
	 300 * MIB,
	 256 * MIB},
	{"an image without holes, half of it zeros, which cost nothing",
	 {.capacity = 400 * MIB, .used = 400 * MIB, .memory = 256 * MIB, .disk_sent = 20 * MIB},
	 {.disk_total = 400 * MIB, .disk_done = 200 * MIB},
	 200 * MIB,
	 256 * MIB},
	{"memory's turn, nothing of it left by libvirt's word",
	 {.capacity = 400 * MIB, .used = 400 * MIB, .memory = 256 * MIB, .memory_turn = true},
	 {.disk_total = 400 * MIB, .disk_done = 400 * MIB},
	 0,
	 0},
	{"memory's turn",
	 {.capacity = 400 * MIB, .used = 400 * MIB, .memory = 256 * MIB, .memory_turn = true},
	 {.disk_total = 400 * MIB, .disk_done = 390 * MIB, .ram_total = 256 * MIB, .ram_left = MIB},
	 10 * MIB,
	 MIB},
	{"the disks are shared, so that there is only memory",
	 {.memory = 256 * MIB},
	 {0},
	 0,
	 256 * MIB},
	{"the VM is off", {.capacity = 400 * MIB, .used = 300 * MIB}, {0}, 300 * MIB, 0},
	{"more is done than there is, by libvirt's word",
	 {.capacity = 400 * MIB, .used = 400 * MIB, .disk_sent = 500 * MIB},
	 {.disk_total = 400 * MIB, .disk_done = 410 * MIB},
	 0,
	 0},
	{"more is allocated than the disk is large, as with an image's own tables",
	 {.capacity = 100 * MIB, .used = 101 * MIB},
	 {0},
	 100 * MIB,
	 0},
};

static void test_rows(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t disk, ram;

		g_test_message("%s", rows[i].what);
		estimate_left(&rows[i].e, &rows[i].job, &disk, &ram);
		g_assert_cmpuint(disk, ==, rows[i].disk);
		g_assert_cmpuint(ram, ==, rows[i].ram);
	}
}

/* While QEMU copies, what is sent and what is left never say less than a tenth of the truth. */
static void test_steady(void)
{
	const uint64_t used = 400 * MIB;

	for (uint64_t sent = 0; sent <= used; sent += MIB) {
		struct estimate e = {.capacity = 1000 * MIB, .used = used, .disk_sent = sent};
		struct virt_job job = {.disk_total = 1000 * MIB, .disk_done = sent * 1000 / 400};
		uint64_t disk, ram;

		estimate_left(&e, &job, &disk, &ram);
		g_assert_cmpuint(sent + disk, >=, used - MIB);
		g_assert_cmpuint(sent + disk, <=, used + MIB);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/estimate/rows", test_rows);
	g_test_add_func("/estimate/steady", test_steady);
	return g_test_run();
}
