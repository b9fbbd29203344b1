/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waits that can be interrupted, by a signal or by cancellation.
 *
 * interrupt vs wait
 *   CPU 0: waiter T                    CPU 1: px_interrupt(T)
 *   lock(q), T on q; fence             T's event set; fence
 *   event? then off q, -EINTR          T on no queue? its hook is set. On one: lock(T's rq)
 *   lock(rq), blocked, unlock(q)       not blocked? unlock(rq), look again
 *   .                                  blocked: T cannot leave q, so q is good. lock(q), which may fail:
 *   .                                  then all again, since who has q's lock may be after rq's
 *   .                                  T off q with -EINTR, unlock both, T is woken
 *
 * So a waiter pays for a store, a fence and a look, and nothing for what it waits on to be freed when
 * it returns. Whoever takes T off its queue has the one right and duty to wake it (core/wait.c).
 *
 * A handler may run between the wake-up and the return, and wait as well. Therefore the timer of a
 * wait lies on the stack, and the hook first takes back the one of the wait that is over. That of a
 * sleep is never armed when the thread runs: it has expired, or was taken back by who ended the sleep.
 */
#include "posix/internal.h"
#include "sched/sched.h"

bool (*px_signals_deliver)(struct pthread *self); /* [i] once set */
void (*px_signals_leave)(struct pthread *self, bool for_good);

__thread struct px_block px_tls;

struct wait_timer {
	struct timer timer;
	struct thread *thread;
};

/* Takes @t off @q if it is still on it; the caller then wakes it. Irqs masked. */
static bool take_off(struct wait_queue *q, struct thread *t, int16_t result)
{
	bool mine;

	spin_lock(&q->lock);
	mine = atomic_load_relaxed(&t->waiter.queue) == q;
	if (mine) {
		wait_erase(q, &t->waiter);
		t->waiter.result = result;
	}
	spin_unlock(&q->lock);
	return mine;
}

static void wait_expired(struct timer *timer)
{
	struct thread *t = container_of(timer, struct wait_timer, timer)->thread;
	struct wait_queue *q = atomic_load_relaxed(&t->waiter.queue);

	if (q && take_off(q, t, -ETIMEDOUT))
		sched_wake(t, arch_irq_flags_masked());
}

LOCK_UNCHECKED int px_wait_refused(struct wait_queue *q, unsigned long flags)
{
	wait_erase(q, &thread_current()->waiter);
	atomic_store_relaxed(&px_tls.interruptible, 0u);
	spin_unlock_irqrestore(&q->lock, flags);
	return -EINTR;
}

LOCK_UNCHECKED int px_wait(struct pthread *self, struct wait_queue *q, unsigned long flags,
			   uint64_t until_ns, uint32_t events)
{
	struct wait_timer timed;
	int result;

	ASSERT(arch_irq_flags_enabled(flags));
	if (!px_wait_begin(q, events))
		return px_wait_refused(q, flags);
	if (until_ns == UINT64_MAX) {
		sched_block(&q->lock, flags);
		return px_wait_end();
	}
	timed.thread = thread_current();
	timer_init(&timed.timer, wait_expired);
	timed.timer.urgent = atomic_peek_relaxed(&timed.thread->sched.rank) > RANK_RT;
	self->timer = &timed.timer;
	timer_add(&timed.timer, until_ns);
	sched_block(&q->lock, flags);
	timer_cancel_wait(&timed.timer);
	result = px_wait_end();
	self->timer = NULL;
	return result;
}

/* ---- sleep ----------------------------------------------------------------------------------- */

void px_sleep_expired(struct timer *timer)
{
	sched_wake(container_of(timer, struct pthread, sleep_timer)->core, arch_irq_flags_masked());
}

/* Irqs masked. True: @t slept, and the caller is to wake it. */
static bool sleep_cut(struct pthread *t)
{
	bool mine;

	spin_lock(&t->nap);
	mine = timer_cancel(&t->sleep_timer);
	if (mine)
		t->cut_short = true; /* else it may be reading it */
	spin_unlock(&t->nap);
	return mine;
}

int px_sleep(struct pthread *self, uint64_t until_ns, uint32_t events)
{
	return px_sleep_here(self, until_ns, events);
}

/* ---- the other side -------------------------------------------------------------------------- */

/*
 * The hook, at the end of an interrupt on the thread's own stack, irqs on. A handler may wait and
 * may use floating point, so what belongs to the interrupted code is kept: the result of a wait
 * that has just ended, and registers. The core's own timer of that wait is taken back first.
 */
static void hook(struct thread *t)
{
	struct pthread *self = px_tls.record;
	int16_t result = t->waiter.result;
	struct arch_fpu fpu;
	bool cut_short, locking, (*deliver)(struct pthread * self);

	if (!self)
		return; /* it ends */
	cut_short = self->cut_short;
	locking = self->locking;
	px_tls.interruptible = 0;
	timer_cancel_wait(&t->timer);
	if (self->timer)
		timer_cancel_wait(self->timer);
	arch_fpu_save(&fpu);
	if (!locking)
		px_cancel_if_asynchronous(self);
	self->locking = false;
	deliver = atomic_load_relaxed(&px_signals_deliver);
	if (deliver)
		deliver(self);
	arch_fpu_load(&fpu);
	t->waiter.result = result;
	self->cut_short = cut_short;
	self->locking = locking;
}

/*
 * The lock of the queue that the blocked @t is on, against the order of ranks and therefore without
 * waiting for it. The rq of @t is locked.
 */
static LOCK_UNCHECKED bool take_off_blocked(struct thread *t, struct wait_queue *q)
{
	bool mine;

	if (!atomic_take_if_zero(&q->lock.word, arch_cpu_lock_id()))
		return false;
	mine = atomic_load_relaxed(&t->waiter.queue) == q;
	if (mine) {
		wait_erase(q, &t->waiter);
		t->waiter.result = -EINTR;
	}
	atomic_store_release(&q->lock.owner, (uint16_t)0);
	return mine;
}

/* Whether what came for the thread of @tls, which is blocked, ends its wait. */
static bool ends_wait(const struct px_block *tls)
{
	uint32_t how = atomic_load_relaxed(&tls->interruptible);

	return how & PX_WAITS_FOR_MUTEX ? how & atomic_load_relaxed(&tls->events) : how;
}

/* True: @t was in a wait that can be interrupted, and the caller is to wake it. */
static LOCK_UNCHECKED bool wait_cut(struct thread *t)
{
	const struct px_block *tls = px_tls_of(t);

	while (atomic_load_relaxed(&t->waiter.queue)) {
		struct runqueue *rq = rq_lock_thread(t);
		struct wait_queue *q = atomic_load_relaxed(&t->waiter.queue);
		bool blocked = t->sched.state == THREAD_BLOCKED && q;
		bool stays = blocked && !ends_wait(tls);
		bool mutex = blocked &&
			     atomic_load_relaxed(&tls->interruptible) & PX_WAITS_FOR_MUTEX;
		bool mine = blocked && !stays && !mutex && take_off_blocked(t, q);

		spin_unlock(&rq->lock);
		if (mutex && !stays)
			mine = px_mutex_wait_cut(t, container_of(q, struct mutex, waiters), -EINTR);
		if (mine || stays)
			return mine;
		arch_cpu_relax();
	}
	return false;
}

void px_interrupt(struct pthread *t)
{
	if (t->exited || !t->core)
		return;
	atomic_fence_seq_cst();
	if (wait_cut(t->core) || sleep_cut(t))
		sched_wake(t->core, arch_irq_flags_masked());
	else
		thread_set_hook(t->core, hook);
}

void px_event_set(struct pthread *t, uint32_t event, bool on)
{
	if (t->exited || !t->core)
		return; /* what it is to look at is still known when it begins */
	if (on)
		atomic_fetch_or_acq_rel(&px_tls_of(t->core)->events, event);
	else
		atomic_fetch_and_acq_rel(&px_tls_of(t->core)->events, ~event);
}

void px_attract(struct pthread *t, uint32_t event)
{
	px_event_set(t, event, true);
	px_interrupt(t);
}

LOCK_UNCHECKED void px_unlock(unsigned long flags)
{
	spin_unlock(&px_lock);
	sched_reschedule_self(flags);
}

bool px_interrupted(struct pthread *self, bool cancellable)
{
	bool (*deliver)(struct pthread * self) = atomic_load_relaxed(&px_signals_deliver);

	if (cancellable)
		px_cancel_point();
	return !deliver || deliver(self);
}
