/* SPDX-License-Identifier: Apache-2.0 */
/* The figures are the mover's: what it has sent, and what it found so far that has to be. */
#include "ui-tui/model/progress.h"

#include <string.h>

#include "base/advice.h"

#define BAR_MAX 24
#define BAR_MIN 8

int progress_percent(const struct model_job *job)
{
	uint64_t done = MIN_OF(job->done_bytes, job->total_bytes);

	if (job->phase == PHASE_DONE)
		return 100;
	if (!job->total_bytes)
		return -1;
	return (int)MIN_OF((uint64_t)((double)done / (double)job->total_bytes * 100), UINT64_C(99));
}

/* Never less than the mover says: what it finds on the way is more to send. The mean rate of all
 * the time so far weighs as much as the present one. */
void progress_left(const struct model_job *job, char *ret, size_t size)
{
	uint64_t left = job->total_bytes - MIN_OF(job->done_bytes, job->total_bytes);
	uint64_t mean = job->elapsed_ms ? job->done_bytes * 1000 / job->elapsed_ms : 0;
	uint64_t rate = (mean + job->rate_bytes_s) / 2, least, most;

	*ret = '\0';
	if (model_is_over(job))
		return;
	if (job->left_ms == UINT64_MAX || !rate || !job->total_bytes) {
		snprintf(ret, size, "estimating");
		return;
	}
	least = MIN_OF(job->left_ms, left * 1000 / rate) / 1000 + 1;
	most = (job->left_ms > left * 1000 / rate ? job->left_ms : left * 1000 / rate) * 5 / 4 /
		       1000 +
	       2;
	if (most < 120)
		snprintf(ret, size, "%llu-%llu s left", (unsigned long long)least,
			 (unsigned long long)most);
	else
		snprintf(ret, size, "%llu-%llu min left", (unsigned long long)least / 60,
			 (unsigned long long)most / 60 + 1);
}

static void draw_bar(int percent, unsigned cells, char *ret, size_t size)
{
	unsigned full = percent < 0 ? 0 : (unsigned)percent * cells / 100;

	snprintf(ret, size, "[%.*s%.*s] ", (int)full, "########################",
		 (int)(cells - full), "........................");
}

void progress_line(const struct model_job *job, unsigned columns, char *ret, size_t size)
{
	char figures[160], bytes[32], rate[32], left[48], bar[2 * BAR_MAX + 8] = "",
									    percent[16] = "";
	const char *phase = phase_to_string(job->phase);
	unsigned fixed;

	model_bytes(job->done_bytes, bytes, sizeof(bytes));
	model_bytes(job->rate_bytes_s, rate, sizeof(rate));
	progress_left(job, left, sizeof(left));
	if (progress_percent(job) >= 0)
		snprintf(percent, sizeof(percent), "%d %%, ", progress_percent(job));
	snprintf(figures, sizeof(figures), "%s%s, %s/s%s%s", percent, bytes, rate,
		 *left ? ", " : "", left);
	fixed = (unsigned)strlen(figures) + 19;
	if (columns >= fixed + BAR_MIN)
		draw_bar(progress_percent(job), MIN_OF(columns - fixed, (unsigned)BAR_MAX), bar,
			 sizeof(bar));
	snprintf(ret, size, "%-15s %s%s", phase, bar, figures);
	if (strlen(ret) > columns && size > columns)
		ret[columns] = '\0';
}

void progress_end(const struct model_job *job, char *ret, size_t size)
{
	char ram[32], disk[32];

	model_bytes(job->ram_bytes, ram, sizeof(ram));
	model_bytes(job->disk_bytes, disk, sizeof(disk));
	if (job->phase == PHASE_FAILED)
		snprintf(ret, size, "\"%s\" was not moved: %s", job->vm, job->error.text);
	else if (!job->source)
		snprintf(ret, size, "\"%s\" came from \"%s\" and is here now: %.1f s in all.",
			 job->vm, job->device_name, (double)job->elapsed_ms / 1000);
	else if (job->off)
		snprintf(ret, size,
			 "\"%s\" is on \"%s\" now, switched off: %.1f s in all, %s of disk.",
			 job->vm, job->device_name, (double)job->elapsed_ms / 1000, disk);
	else
		snprintf(ret, size,
			 "\"%s\" runs on \"%s\" now: %.1f s in all, %llu ms pause, %s of memory, "
			 "%s of disk.",
			 job->vm, job->device_name, (double)job->elapsed_ms / 1000,
			 (unsigned long long)job->downtime_ms, ram, disk);
}

void progress_say(const struct model_job *job, struct sheet *ret)
{
	char ram[32], disk[32], total[32];

	model_bytes(job->ram_bytes, ram, sizeof(ram));
	model_bytes(job->disk_bytes, disk, sizeof(disk));
	model_bytes(job->total_bytes, total, sizeof(total));
	if (job->total_bytes && job->phase != PHASE_DONE)
		sheet_add(ret, STYLE_PLAIN,
			  "  %s of memory and %s of disk sent, of %s that are known", ram, disk,
			  total);
	sheet_add(ret, STYLE_PLAIN, "  %.1f s %s, number %.16s...", (double)job->elapsed_ms / 1000,
		  model_is_over(job) ? "in all" : "so far", job->hid);
	if (job->error.code != KCODE_OK)
		sheet_add(ret, STYLE_PLAIN, "  %s (code: %s)", kcode_next_step(job->error.code),
			  kcode_to_string(job->error.code));
}
