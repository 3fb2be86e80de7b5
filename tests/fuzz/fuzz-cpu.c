/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: what another device, or libvirt, says of a CPU. The first byte chooses the form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mover/filter/cpu.h"
#include "mover/filter/xml-filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever it is: it lacks nothing of itself, and keeps all that it has. */
static void check(const struct cpu *cpu)
{
	static const struct cpu none;
	static struct cpu copy;
	char words[CPU_WORDS_MAX];

	copy = *cpu;
	cpu_keep(&copy, cpu);
	if (cpu_lacks(cpu, cpu, words) || strcmp(copy.features, cpu->features) != 0)
		abort();
	cpu_keep(&copy, &none);
	if (copy.features[0] || cpu_lacks(cpu, &none, words))
		abort();
	if ((cpu_lacks(&none, cpu, words) == 0) != !cpu->features[0] ||
	    cpu_is_same(cpu, cpu) != cpu_is_known(cpu))
		abort();
}

static void record(const uint8_t *data, size_t size)
{
	static struct cpu cpu;
	static uint8_t again[sizeof(cpu) + 16];
	struct wbuf w = wbuf_init(again, sizeof(again));
	struct rbuf r = rbuf_init(data, size);

	cpu_code(&(struct coder){.r = &r}, &cpu);
	if (rbuf_end(&r) < 0)
		return;
	check(&cpu);
	cpu_code(&(struct coder){.w = &w}, &cpu);
	if (wbuf_error(&w) < 0 || w.len != size || memcmp(again, data, size) != 0)
		abort();
}

static void element(const uint8_t *data, size_t size)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	static struct cpu cpu;
	static uint8_t wire[sizeof(cpu) + 16];
	struct wbuf w = wbuf_init(wire, sizeof(wire));
	struct kerr err = {0};

	if (filter_parse(data, size, 1 << 16, 24, "CPU", &doc, &err) < 0 ||
	    cpu_read(xmlDocGetRootElement(doc), &cpu) < 0)
		return;
	check(&cpu);
	/* What is read can be told to others. */
	cpu_code(&(struct coder){.w = &w}, &cpu);
	if (wbuf_error(&w) < 0 || !cpu_is_known(&cpu))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] == '<')
		element(data, size);
	else
		record(data + 1, size - 1);
	return 0;
}
