/* SPDX-License-Identifier: Apache-2.0 */
/* One thread that blocks in calls to policyd, so that nobody else has to. */
#include "mover/warden-talk.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/log.h"

#define ALARMS_MAX 16
#define RETRY_S 1

struct alarm {
	uint8_t uuid[UUID_LEN];
	char text[KERR_TEXT_MAX];
};

struct warden_talk {
	char path[256];
	int event_fd;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	uint64_t asked, answered;
	struct policyd_fence *list;
	size_t n;
	struct alarm alarms[ALARMS_MAX];
	size_t alarm_count;
	bool deaf; /* said once that policyd does not take an alarm */
};

static int ask_list(struct warden_talk *w, struct policyd_fence **ret, size_t *ret_n)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	struct kerr err = {0};
	int r = ipc_client_new(w->path, &c);

	if (r == 0)
		r = policyd_client_ward(c, ret, ret_n, &err);
	if (r < 0)
		log_debug("word", "No list from kith-policyd: %s",
			  err.text[0] ? err.text : strerror(-r));
	return r;
}

static int send_alarm(struct warden_talk *w, const struct alarm *a)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	struct kerr err = {0};
	int r = ipc_client_new(w->path, &c);

	if (r == 0)
		r = policyd_client_alarm(c, a->uuid, a->text, &err);
	if (r < 0 && !w->deaf)
		log_warning("word", "kith-policyd does not take the alarm yet: %s",
			    err.text[0] ? err.text : strerror(-r));
	w->deaf = r < 0;
	return r;
}

/* Waits for something to do; with an alarm that was not heard, at most a moment. */
static void sleep_until_needed(struct warden_talk *w, bool retry)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += RETRY_S;
	while (w->asked == w->answered) {
		if (w->alarm_count && !retry)
			return;
		if (!w->alarm_count)
			pthread_cond_wait(&w->wake, &w->lock);
		else if (pthread_cond_timedwait(&w->wake, &w->lock, &until) == ETIMEDOUT)
			return;
	}
}

static void warden_talk_answer(struct warden_talk *w)
{
	uint64_t ticket = w->asked;
	struct policyd_fence *list = NULL;
	size_t n = 0;
	int r;

	pthread_mutex_unlock(&w->lock);
	r = ask_list(w, &list, &n);
	pthread_mutex_lock(&w->lock);
	free(w->list);
	w->list = r < 0 ? NULL : list;
	w->n = r < 0 ? 0 : n;
	w->answered = ticket;
	eventfd_write(w->event_fd, 1);
}

/* The oldest alarm; true if policyd has it. */
static bool raise(struct warden_talk *w)
{
	struct alarm a = w->alarms[0];
	int r;

	pthread_mutex_unlock(&w->lock);
	r = send_alarm(w, &a);
	pthread_mutex_lock(&w->lock);
	if (r < 0)
		return false;
	w->alarm_count--;
	memmove(w->alarms, w->alarms + 1, w->alarm_count * sizeof(w->alarms[0]));
	return true;
}

static void *talk(void *arg)
{
	struct warden_talk *w = arg;
	bool retry = false;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		sleep_until_needed(w, retry);
		if (w->asked != w->answered)
			warden_talk_answer(w);
		retry = w->alarm_count && !raise(w);
	}
	return NULL;
}

int warden_talk_new(const struct config *config, struct warden_talk **ret)
{
	_cleanup_free_ struct warden_talk *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;
	pthread_t thread;
	int r;

	if (!w)
		return -ENOMEM;
	r = config_run_path(config, POLICYD_SOCKET, w->path, sizeof(w->path));
	if (r < 0)
		return r;
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event_fd < 0)
		return -errno;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	r = pthread_create(&thread, NULL, talk, w);
	if (r) {
		close(w->event_fd);
		return -r;
	}
	pthread_detach(thread);
	*ret = TAKE_PTR(w);
	return 0;
}

int warden_talk_fd(const struct warden_talk *w)
{
	return w->event_fd;
}

uint64_t warden_talk_ask(struct warden_talk *w)
{
	uint64_t ticket;

	pthread_mutex_lock(&w->lock);
	ticket = ++w->asked;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return ticket;
}

uint64_t warden_talk_take(struct warden_talk *w, struct policyd_fence **ret, size_t *ret_n)
{
	uint64_t ticket;
	eventfd_t count;

	eventfd_read(w->event_fd, &count);
	pthread_mutex_lock(&w->lock);
	*ret = TAKE_PTR(w->list);
	*ret_n = *ret ? w->n : 0;
	ticket = w->answered;
	pthread_mutex_unlock(&w->lock);
	return ticket;
}

void warden_talk_alarm(struct warden_talk *w, const uint8_t uuid[UUID_LEN], const char *text)
{
	pthread_mutex_lock(&w->lock);
	if (w->alarm_count < ALARMS_MAX) {
		struct alarm *a = &w->alarms[w->alarm_count++];

		memcpy(a->uuid, uuid, UUID_LEN);
		snprintf(a->text, sizeof(a->text), "%s", text);
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->lock);
}
