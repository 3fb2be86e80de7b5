/* SPDX-License-Identifier: Apache-2.0 */
/* Asks libvirt which domains there are, answers, and goes. */
#include "mover/listing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/ipc.h"
#include "base/log.h"
#include "mover/oneshot.h"
#include "mover/virt.h"
#include "mover/worker.h"
#include "policyd/api/client.h"

#define SIZES_MS 200 /* for all disks together; sizes that come later are for the next listing */

/* What the thread that asks for sizes works on. It may hang with a QEMU, and is left behind then:
 * nothing of this is freed. */
struct sizes {
	struct virt *virt;
	char policyd[160];
	const struct mover_vm *vms;
	size_t count;
	_Atomic uint64_t *bytes;
};

static int read_open(const char *path, struct policyd_open **ret, size_t *ret_n)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	struct kerr err = {0};
	int r = ipc_client_new(path, &c);

	return r < 0 ? r : policyd_client_open_list(c, ret, ret_n, &err);
}

static bool is_open(const struct policyd_open *open, size_t n, const uint8_t uuid[UUID_LEN])
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(open[i].uuid, uuid, UUID_LEN) == 0)
			return true;
	return false;
}

/* A QEMU may be frozen while its hand-off is open (the freeze comes before its record), and a
 * frozen one answers nobody. Without kith-policyd nobody knows, so nobody is asked. */
static void *ask_sizes(void *arg)
{
	struct sizes *s = arg;
	struct policyd_open *open = NULL;
	size_t n = 0;
	bool known = read_open(s->policyd, &open, &n) == 0;

	for (size_t i = 0; i < s->count; i++)
		if (s->vms[i].state == MOVER_VM_OFF || (known && !is_open(open, n, s->vms[i].uuid)))
			atomic_store(&s->bytes[i], virt_disk_bytes(s->virt, s->vms[i].uuid));
	free(open);
	return NULL;
}

static void wait_sizes(pthread_t thread)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += SIZES_MS * 1000000L;
	if (end.tv_nsec >= 1000000000L) {
		end.tv_nsec -= 1000000000L;
		end.tv_sec++;
	}
	if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &end) != 0)
		log_notice("mover", "A QEMU does not say how large its disks are.");
}

static void fill_sizes(const struct config *config, struct virt *v, struct mover_vm *vms, size_t n)
{
	static struct sizes s;
	pthread_t thread;

	s = (struct sizes){.virt = v, .vms = vms, .count = n};
	if (config_run_path(config, POLICYD_SOCKET, s.policyd, sizeof(s.policyd)) < 0)
		return;
	s.bytes = calloc(n + 1, sizeof(*s.bytes));
	if (!s.bytes || pthread_create(&thread, NULL, ask_sizes, &s) != 0)
		return;
	wait_sizes(thread);
	for (size_t i = 0; i < n; i++)
		vms[i].disk_bytes = atomic_load(&s.bytes[i]);
}

/* One frame holds some 400 VMs: enough for a personal device, and said if not. */
static void put_all(struct wbuf *w, const struct mover_vm *vms, size_t n)
{
	struct record_list list;

	record_list_begin(&list, w, &mover_vm_record);
	for (size_t i = 0; i < n; i++) {
		size_t before = w->len;

		record_list_add(&list, &vms[i]);
		if (wbuf_error(w) == 0)
			continue;
		log_warning("mover", "Only %zu of %zu VMs are listed.", i, n);
		w->len = before;
		w->error = 0;
		list.count = i;
		break;
	}
	record_list_end(&list);
}

static int fill(const struct config *config, struct wbuf *w, struct kerr *err)
{
	struct virt *v = virt_new();
	struct mover_vm *vms = NULL;
	size_t n = 0;
	int r;

	if (!v || virt_setup() < 0)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	r = virt_list(v, &vms, &n, err);
	if (r < 0)
		return r;
	fill_sizes(config, v, vms, n);
	put_all(w, vms, n);
	return 0;
}

static uint64_t *remembered(struct listing_memory *m, const uint8_t uuid[UUID_LEN], bool make)
{
	size_t i = 0;

	while (i < m->count && memcmp(m->vms[i].uuid, uuid, UUID_LEN) != 0)
		i++;
	if (i == m->count) {
		if (!make || i == LISTING_MEMORY_MAX)
			return NULL;
		memcpy(m->vms[i].uuid, uuid, UUID_LEN);
		m->count++;
	}
	return &m->vms[i].disk_bytes;
}

void listing_complete(struct listing_memory *m, uint8_t *body, size_t len)
{
	struct rbuf r = rbuf_init(body, len);
	struct wbuf w = wbuf_init(body, len);
	size_t n = rbuf_u16(&r);
	struct mover_vm vm;

	wbuf_u16(&w, (uint16_t)n);
	for (size_t i = 0; i < n && mover_vm_get(&r, &vm) == 0; i++) {
		uint64_t *known = remembered(m, vm.uuid, vm.disk_bytes > 0);

		if (known && vm.disk_bytes)
			*known = vm.disk_bytes;
		else if (known)
			vm.disk_bytes = *known;
		/* As long as it was: only the number differs. */
		if (mover_vm_put(&w, &vm) < 0)
			return;
	}
}

void listing_main(const struct config *config)
{
	static uint8_t body[IPC_MAX_BODY];
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct kerr err = {0};
	int r;

	log_setup("kith-mover");
	r = fill(config, &w, &err);
	oneshot_answer(MOVER_OP_VMS, r, &w, &err, "The VMs cannot be listed.");
}
