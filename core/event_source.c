/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an event queue waits on (see event_queue.h): semaphores, timers, interrupts, threads that end.
 * A program has the code of those that it adds.
 *
 * Semaphore. Its source is armed while it is not ready: the watch is in the semaphore's queue, as a
 * thread that waits would be, and so a post comes the slow way. It takes the watch out, and all further
 * posts are quick, until somebody looks, finds no unit, and arms it again.
 *
 * arm vs post
 *   CPU 0: waits, no unit               CPU 1: posts
 *   lock(q), try(S): has it             .
 *   count: 0                            count 0 -> 1 by compare-and-swap: the quick way
 *   compare-and-swap 0 -> -1 fails:     .
 *   it is 1, told                       (the other order: sees -1, waits for S, tells)
 *
 * A thread that ends tells with its join.lock held. It cannot be freed before that, so whoever finds,
 * with the queue's lock, that it has not told may try that lock.
 */
#include "core/event_queue.h"
#include "core/irq.h"
#include "core/time.h"

static void wake(struct thread *t, unsigned long flags)
{
	if (t)
		sched_wake(t, flags);
	else
		arch_irq_restore(flags);
}

/* ---- semaphore ------------------------------------------------------------------------------- */

/* With the semaphore locked: how many units; 0: none, and the next post tells. */
static int arm(struct event_source *e)
{
	struct semaphore *s = e->semaphore;
	int32_t count = atomic_load_relaxed(&s->count);

	do {
		if (count > 0)
			return count;
	} while (count == 0 && !atomic_cas_acq_rel(&s->count, &count, -1));
	for (unsigned i = 0; i < ARRAY_SIZE(e->watch.waiter); i++) {
		e->watch.waiter[i].rank = SEMAPHORE_WATCH_RANK;
		wait_insert_among(&s->waiters, (unsigned long)&e->watch.waiter[i]);
	}
	e->armed = true;
	return 0;
}

static struct thread *semaphore_is_ready(struct semaphore *s, int32_t n)
{
	struct waiter *w = wait_first(&s->waiters);
	struct event_source *e = container_of(w, struct event_source, watch.waiter[0]);

	rb_init(&s->waiters.waiters);
	atomic_store_release(&s->count, n);
	e->armed = false;
	return event_source_tell(e, 0);
}

static LOCK_UNCHECKED int semaphore_check(struct event_source *e)
{
	int units;

	if (!spin_trylock(&e->semaphore->waiters.lock))
		return -EAGAIN;
	units = arm(e);
	spin_unlock(&e->semaphore->waiters.lock);
	return units;
}

static void semaphore_detach(struct event_source *e)
{
	struct semaphore *s = e->semaphore;
	unsigned long flags = spin_lock_irqsave(&s->waiters.lock);

	for (unsigned i = 0; e->armed && i < ARRAY_SIZE(e->watch.waiter); i++)
		wait_erase_among(&s->waiters, (unsigned long)&e->watch.waiter[i]);
	e->armed = false;
	s->watched = false;
	spin_unlock_irqrestore(&s->waiters.lock, flags);
}

static const struct event_source_kind semaphore_kind = { semaphore_check, semaphore_detach };

int event_queue_add_semaphore(struct event_queue *q, struct event_source *e, struct semaphore *s,
			      unsigned priority, void *arg)
{
	int err = event_source_join(q, e, &semaphore_kind, priority, arg);
	struct thread *t = NULL;
	unsigned long flags;

	if (err)
		return err;
	e->semaphore = s;
	e->watch.ready = semaphore_is_ready;
	flags = spin_lock_irqsave(&s->waiters.lock);
	if (s->watched) {
		spin_unlock_irqrestore(&s->waiters.lock, flags);
		event_source_part(e);
		return -EBUSY;
	}
	s->watched = true;
	if (arm(e))
		t = event_source_tell(e, 0);
	spin_unlock(&s->waiters.lock);
	wake(t, flags);
	return 0;
}

/* ---- timer ----------------------------------------------------------------------------------- */

/* Irq context. Expiries that are past already count at once. */
static void timer_expires(struct timer *timer)
{
	struct event_source *e = container_of(timer, struct event_source, timer);
	struct event_queue *q = e->queue;
	struct thread *t = NULL;
	uint64_t n = 1;

	spin_lock(&q->waiters.lock);
	if (!e->leaves) {
		if (e->period_ns) {
			n += (time_now_ns() - e->expires_ns) / e->period_ns;
			e->expires_ns += n * e->period_ns;
			timer_add(timer, e->expires_ns);
		}
		t = event_source_ready(e, (uint32_t)MIN(n, UINT32_MAX));
	}
	spin_unlock(&q->waiters.lock);
	if (t)
		sched_wake(t, arch_irq_flags_masked());
}

/* It leaves: it is not armed again. */
static void timer_detach(struct event_source *e)
{
	timer_cancel_wait(&e->timer);
}

static const struct event_source_kind timer_kind = { NULL, timer_detach };

int event_queue_add_timer(struct event_queue *q, struct event_source *e, uint64_t first_ns,
			  uint64_t period_ns, unsigned priority, void *arg)
{
	unsigned long flags;
	int err;

	if (period_ns && period_ns < EVENT_TIMER_PERIOD_MIN_NS)
		return -EINVAL;
	err = event_source_join(q, e, &timer_kind, priority, arg);
	if (err)
		return err;
	e->expires_ns = first_ns;
	e->period_ns = period_ns;
	timer_init(&e->timer, timer_expires);
	e->timer.urgent = atomic_peek_relaxed(&thread_current()->sched.rank) > RANK_RT;
	flags = arch_irq_save();
	timer_add(&e->timer, first_ns);
	arch_irq_restore(flags);
	return 0;
}

/* ---- interrupt ------------------------------------------------------------------------------- */

static void interrupt(void *arg)
{
	struct event_source *e = arg;
	struct thread *t;

	irq_mask(e->hwirq);
	t = event_source_tell(e, 1);
	if (t)
		sched_wake(t, arch_irq_flags_masked());
}

static void irq_detach(struct event_source *e)
{
	irq_free(e->hwirq);
	irq_synchronize();
}

static const struct event_source_kind irq_kind = { NULL, irq_detach };

int event_queue_add_irq(struct event_queue *q, struct event_source *e, unsigned hwirq,
			unsigned priority, void *arg)
{
	int err = event_source_join(q, e, &irq_kind, priority, arg);

	if (err)
		return err;
	e->hwirq = hwirq;
	err = irq_request(hwirq, interrupt, e);
	if (err)
		event_source_part(e);
	else
		irq_unmask(hwirq);
	return err;
}

void event_source_acknowledge(struct event_source *e)
{
	ASSERT(e->kind == &irq_kind);
	irq_unmask(e->hwirq);
}

/* ---- the exit of a thread -------------------------------------------------------------------- */

/* Of thread_exit(). Whoever watched may have stopped meanwhile. */
static void thread_ends(struct thread *t)
{
	struct thread *told = NULL;

	spin_lock(&t->join.lock);
	if (t->detached & THREAD_WATCHED) {
		struct event_source *e = t->watch;

		t->detached &= (uint8_t)~THREAD_WATCHED;
		spin_lock(&e->queue->waiters.lock);
		e->thread = NULL;
		told = event_source_ready(e, 1);
		spin_unlock(&e->queue->waiters.lock);
	}
	spin_unlock(&t->join.lock);
	if (told)
		sched_wake(told, arch_irq_flags_masked());
}

/* True: it has ended, or is not watched any more. */
static LOCK_UNCHECKED bool try_to_detach(struct event_source *e)
{
	unsigned long flags = spin_lock_irqsave(&e->queue->waiters.lock);
	struct thread *t = e->thread;
	bool done = !t;

	if (t && spin_trylock(&t->join.lock)) {
		t->detached &= (uint8_t)~THREAD_WATCHED;
		spin_unlock(&t->join.lock);
		done = true;
	}
	spin_unlock_irqrestore(&e->queue->waiters.lock, flags);
	return done;
}

static void thread_detach_source(struct event_source *e)
{
	while (!try_to_detach(e))
		arch_cpu_relax();
}

static const struct event_source_kind thread_kind = { NULL, thread_detach_source };

int event_queue_add_thread(struct event_queue *q, struct event_source *e, struct thread *t,
			   unsigned priority, void *arg)
{
	int err = event_source_join(q, e, &thread_kind, priority, arg);
	struct thread *told = NULL;
	unsigned long flags;

	if (err)
		return err;
	atomic_store_release(&thread_exit_watched, thread_ends);
	flags = spin_lock_irqsave(&t->join.lock);
	if (t->detached & THREAD_WATCHED) {
		err = -EBUSY;
	} else if (t->exited) {
		told = event_source_tell(e, 1);
	} else {
		e->thread = t;
		t->watch = e;
		t->detached |= THREAD_WATCHED;
	}
	spin_unlock(&t->join.lock);
	wake(told, flags);
	if (err)
		event_source_part(e);
	return err;
}
