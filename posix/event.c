/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event queues for POSIX programs (fairlead/event.h) over the core's, whose waits cannot be
 * interrupted: so waiting is here. Queues and sources are allocated when they are made.
 *
 * A message queue tells of each change while its own mutex is held, as a level; so nobody looks into
 * it from here.
 *
 * Locks: queue->mutex for its list of sources; the core's beneath.
 */
#include <fairlead/event.h>
#include <stdlib.h>

#include "core/event_queue.h"
#include "posix/event.h"

struct fl_event_source {
	struct event_source source; /* first: what the core tells is what the program sees */
	struct fl_event_queue *queue;
	struct list_head node; /* [m] of the queue's */
	struct px_mq_watch mq; /* queue NULL: it is no message queue's */
	bool irq;
};

struct fl_event_queue {
	struct event_queue queue;
	struct mutex mutex;
	struct list_head sources; /* [m] */
};

_Static_assert(sizeof(struct fl_event) == sizeof(struct event) &&
		       offsetof(struct fl_event, count) == offsetof(struct event, count) &&
		       offsetof(struct fl_event, arg) == offsetof(struct event, arg),
	       "the core's events are the program's");

PX_API fl_event_queue_t *fl_event_queue_create(void)
{
	struct fl_event_queue *q = calloc(1, sizeof(*q));

	if (!q) {
		errno = ENOMEM;
		return NULL;
	}
	event_queue_init(&q->queue);
	mutex_init(&q->mutex);
	list_init(&q->sources);
	return q;
}

PX_API int fl_event_queue_destroy(fl_event_queue_t *q)
{
	unsigned long flags = spin_lock_irqsave(&q->queue.waiters.lock);
	bool busy = !wait_queue_empty(&q->queue.waiters);

	spin_unlock_irqrestore(&q->queue.waiters.lock, flags);
	if (busy)
		return px_fail(EBUSY);
	while (!list_empty(&q->sources))
		fl_event_remove(list_first(&q->sources, struct fl_event_source, node));
	free(q);
	return 0;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static LOCK_UNCHECKED int wait_until(struct fl_event_queue *q, struct fl_event *events, unsigned n,
				     uint64_t until_ns)
{
	struct pthread *self = px_self();
	int err = 0;

	for (;;) {
		unsigned long flags = spin_lock_irqsave(&q->queue.waiters.lock);
		int got = event_queue_collect(&q->queue, (struct event *)events,
					      MIN(n, (unsigned)INT32_MAX), &flags);

		if (got)
			return got;
		if (err) {
			spin_unlock_irqrestore(&q->queue.waiters.lock, flags);
			return px_fail(-err);
		}
		err = px_wait(self, &q->queue.waiters, flags, until_ns, PX_WAIT_CANCELLABLE);
		if (err == -EINTR && px_interrupted(self, true))
			err = 0;
	}
}

PX_API int fl_event_wait(fl_event_queue_t *q, struct fl_event *events, unsigned n)
{
	px_cancel_point();
	return n ? wait_until(q, events, n, UINT64_MAX) : px_fail(EINVAL);
}

PX_API int fl_event_clockwait(fl_event_queue_t *q, struct fl_event *events, unsigned n,
			      clockid_t clock_id, const struct timespec *at)
{
	uint64_t until_ns;
	int got, err;

	px_cancel_point();
	if (!n)
		return px_fail(EINVAL);
	got = event_queue_wait_until(&q->queue, (struct event *)events, n, 0);
	if (got > 0)
		return got;
	err = px_deadline(clock_id, at, &until_ns);
	return err ? px_fail(err) : wait_until(q, events, n, until_ns);
}

/* ---- sources --------------------------------------------------------------------------------- */

static struct fl_event_source *source_new(struct fl_event_queue *q)
{
	struct fl_event_source *s = calloc(1, sizeof(*s));

	if (s)
		s->queue = q;
	else
		errno = ENOMEM;
	return s;
}

/* @err as the core gave it: 0, and @s is in the queue; else there is none. */
static struct fl_event_source *added(struct fl_event_source *s, int err)
{
	if (err) {
		free(s);
		errno = -err;
		return NULL;
	}
	mutex_lock(&s->queue->mutex);
	list_add_tail(&s->node, &s->queue->sources);
	mutex_unlock(&s->queue->mutex);
	return s;
}

PX_API fl_event_source_t *fl_event_add(fl_event_queue_t *q, unsigned priority, void *arg)
{
	struct fl_event_source *s = source_new(q);

	return s ? added(s, event_queue_add(&q->queue, &s->source, priority, arg)) : NULL;
}

PX_API int fl_event_post(fl_event_source_t *s)
{
	int err = event_source_post(&s->source);

	return err ? px_fail(-err) : 0;
}

PX_API fl_event_source_t *fl_event_add_sem(fl_event_queue_t *q, sem_t *sem, unsigned priority,
					   void *arg)
{
	struct semaphore *semaphore = px_semaphore(sem);
	struct fl_event_source *s = source_new(q);

	if (!s)
		return NULL;
	if (!semaphore)
		return added(s, -EINVAL);
	return added(s, event_queue_add_semaphore(&q->queue, &s->source, semaphore, priority, arg));
}

/* q->mutex of the message queue held. */
static void mq_changed(struct px_mq_watch *w, bool ready)
{
	struct fl_event_source *s = container_of(w, struct fl_event_source, mq);

	if (ready)
		event_source_raise(&s->source);
	else
		event_source_clear(&s->source);
}

PX_API fl_event_source_t *fl_event_add_mq(fl_event_queue_t *q, mqd_t mqd, int what,
					  unsigned priority, void *arg)
{
	struct fl_event_source *s = source_new(q);
	int err = what == FL_EVENT_READABLE || what == FL_EVENT_WRITABLE ? 0 : -EINVAL;

	if (!s)
		return NULL;
	if (!err)
		err = event_queue_add(&q->queue, &s->source, priority, arg);
	if (err)
		return added(s, err);
	s->mq.changed = mq_changed;
	s->mq.writable = what == FL_EVENT_WRITABLE;
	err = -px_mq_watch(mqd, &s->mq);
	if (err)
		event_queue_remove(&q->queue, &s->source);
	return added(s, err);
}

PX_API fl_event_source_t *fl_event_add_timer(fl_event_queue_t *q, int flags,
					     const struct itimerspec *at, unsigned priority,
					     void *arg)
{
	struct fl_event_source *s;
	uint64_t first_ns;

	if (!px_timespec_valid(&at->it_value) || !px_timespec_valid(&at->it_interval) ||
	    (flags & ~TIMER_ABSTIME)) {
		errno = EINVAL;
		return NULL;
	}
	first_ns = px_ns(&at->it_value);
	if (!(flags & TIMER_ABSTIME))
		first_ns += time_now_ns();
	s = source_new(q);
	if (!s)
		return NULL;
	return added(s, event_queue_add_timer(&q->queue, &s->source, first_ns,
					      px_ns(&at->it_interval), priority, arg));
}

/* It has ended, and is still known. */
static bool has_ended(pthread_t id)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct pthread *t = px_find(id);
	bool ended = t && t->exited;

	spin_unlock_irqrestore(&px_lock, flags);
	return ended;
}

PX_API fl_event_source_t *fl_event_add_thread(fl_event_queue_t *q, pthread_t id, unsigned priority,
					      void *arg)
{
	struct fl_event_source *s = source_new(q);
	struct pthread *t;
	int err;

	if (!s)
		return NULL;
	t = px_pin(id);
	if (t) {
		err = event_queue_add_thread(&q->queue, &s->source, t->core, priority, arg);
		px_unpin(t);
		return added(s, err);
	}
	if (!has_ended(id))
		return added(s, -ESRCH);
	err = event_queue_add(&q->queue, &s->source, priority, arg);
	if (!err)
		event_source_post(&s->source);
	return added(s, err);
}

PX_API fl_event_source_t *fl_event_add_irq(fl_event_queue_t *q, unsigned irq, unsigned priority,
					   void *arg)
{
	struct fl_event_source *s = source_new(q);

	if (!s)
		return NULL;
	s->irq = true;
	return added(s, event_queue_add_irq(&q->queue, &s->source, irq, priority, arg));
}

PX_API int fl_event_acknowledge(fl_event_source_t *s)
{
	if (!s->irq)
		return px_fail(EINVAL);
	event_source_acknowledge(&s->source);
	return 0;
}

PX_API int fl_event_remove(fl_event_source_t *s)
{
	struct fl_event_queue *q = s->queue;

	if (s->mq.queue)
		px_mq_unwatch(&s->mq);
	event_queue_remove(&q->queue, &s->source);
	mutex_lock(&q->mutex);
	list_del(&s->node);
	mutex_unlock(&q->mutex);
	free(s);
	return 0;
}
