/* SPDX-License-Identifier: Apache-2.0 */
/* Two queues and a thread. There is no tasks_free(): a call into libvirt cannot be interrupted, so
 * a worker leaves with _exit() instead. */
#include "mover/task.h"

#include <pthread.h>
#include <sys/eventfd.h>

struct task {
	task_fn work, done;
	void *arg;
	struct task *next;
};

struct queue {
	struct task *head, **tail;
};

struct tasks {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct queue waiting, finished;
	int fd;
};

static void put(struct queue *q, struct task *t)
{
	t->next = NULL;
	*q->tail = t;
	q->tail = &t->next;
}

static struct task *take(struct queue *q)
{
	struct task *t = q->head;

	if (t) {
		q->head = t->next;
		if (!q->head)
			q->tail = &q->head;
	}
	return t;
}

static void *tasks_thread(void *arg)
{
	struct tasks *t = arg;

	for (;;) {
		struct task *task;
		uint64_t one = 1;

		pthread_mutex_lock(&t->lock);
		while (!(task = take(&t->waiting)))
			pthread_cond_wait(&t->more, &t->lock);
		pthread_mutex_unlock(&t->lock);
		task->work(task->arg);
		pthread_mutex_lock(&t->lock);
		put(&t->finished, task);
		pthread_mutex_unlock(&t->lock);
		(void)!write(t->fd, &one, sizeof(one));
	}
	return NULL;
}

int tasks_new(struct tasks **ret)
{
	_cleanup_free_ struct tasks *t = calloc(1, sizeof(*t));
	pthread_t thread;
	int r;

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->more, NULL);
	t->waiting.tail = &t->waiting.head;
	t->finished.tail = &t->finished.head;
	t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->fd < 0)
		return -errno;
	r = -pthread_create(&thread, NULL, tasks_thread, t);
	if (r < 0) {
		close(t->fd);
		return r;
	}
	pthread_detach(thread);
	*ret = TAKE_PTR(t);
	return 0;
}

int tasks_fd(const struct tasks *t)
{
	return t->fd;
}

int tasks_run(struct tasks *t, task_fn work, task_fn done, void *arg)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return -ENOMEM;
	*task = (struct task){work, done, arg, NULL};
	pthread_mutex_lock(&t->lock);
	put(&t->waiting, task);
	pthread_cond_signal(&t->more);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

void tasks_dispatch(struct tasks *t)
{
	uint64_t count;

	(void)!read(t->fd, &count, sizeof(count));
	for (;;) {
		struct task *task;

		pthread_mutex_lock(&t->lock);
		task = take(&t->finished);
		pthread_mutex_unlock(&t->lock);
		if (!task)
			return;
		task->done(task->arg);
		free(task);
	}
}
