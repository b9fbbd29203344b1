/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waits that can be interrupted, by a signal or by cancellation (see internal.h for the protocol).
 *
 * interrupt vs wait                              (interrupt vs wake: whoever takes T off its queue wakes it)
 *   CPU 0: waiter T                    CPU 1: px_interrupt(T)
 *   lock(q), queue T                   T's event set
 *   waiting = q; fence                 interrupting = 1; fence
 *   event? then off q, -EINTR          waiting? none: T's hook is set. q: lock(q)
 *   block, which unlocks q             is T on q still? then off, woken with -EINTR
 *   back: waiting = NULL; fence        .
 *   interrupting? waits                interrupting = 0
 *   may free q
 *
 * A handler may run between the wake-up and the return, and wait as well. Therefore the timer of a
 * wait lies on the stack, and the hook first takes back the one of the wait that is over.
 */
#include "posix/internal.h"
#include "sched/sched.h"

bool (*px_signals_deliver)(struct pthread *self); /* [i] once set */
void (*px_signals_leave)(struct pthread *self);

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

LOCK_UNCHECKED int px_wait_refused(struct pthread *self, struct wait_queue *q, unsigned long flags)
{
	wait_erase(q, &thread_current()->waiter);
	spin_unlock(&q->lock);
	px_wait_end(self);
	arch_irq_restore(flags);
	return -EINTR;
}

LOCK_UNCHECKED int px_wait(struct pthread *self, struct wait_queue *q, unsigned long flags,
			   uint64_t until_ns, uint32_t events)
{
	struct thread *t = thread_current();
	struct wait_timer timed;

	ASSERT(arch_irq_flags_enabled(flags));
	if (!px_wait_begin(self, q, events))
		return px_wait_refused(self, q, flags);
	if (until_ns == UINT64_MAX) {
		sched_block(&q->lock, flags);
		px_wait_end(self);
		return t->waiter.result;
	}
	timed.thread = t;
	timer_init(&timed.timer, wait_expired);
	self->timer = &timed.timer;
	timer_add(&timed.timer, until_ns);
	sched_block(&q->lock, flags);
	px_wait_end(self);
	timer_cancel_wait(&timed.timer);
	self->timer = NULL;
	return t->waiter.result;
}

/* ---- sleep ----------------------------------------------------------------------------------- */

struct sleep_timer {
	struct timer timer;
	struct pthread *self;
};

static void sleep_expired(struct timer *timer)
{
	struct pthread *self = container_of(timer, struct sleep_timer, timer)->self;
	struct thread *t = self->core;

	if (atomic_swap_acq_rel(&self->asleep, 0u))
		sched_wake(t, arch_irq_flags_masked());
}

/* Irqs masked. Whoever clears asleep has the right to wake; the lock says that it is off its CPU. */
static bool sleep_cut(struct pthread *t)
{
	bool mine;

	spin_lock(&t->nap);
	mine = atomic_swap_acq_rel(&t->asleep, 0u);
	t->cut_short |= mine;
	spin_unlock(&t->nap);
	return mine;
}

LOCK_UNCHECKED int px_sleep(struct pthread *self, uint64_t until_ns, uint32_t events)
{
	struct sleep_timer timed = { .self = self };
	unsigned long flags = arch_irq_save();

	ASSERT(arch_irq_flags_enabled(flags));
	spin_lock(&self->nap);
	self->cut_short = false;
	atomic_store_relaxed(&self->asleep, 1u);
	atomic_fence_seq_cst();
	if (unlikely(atomic_load_relaxed(&self->events) & events)) {
		atomic_store_relaxed(&self->asleep, 0u);
		spin_unlock_irqrestore(&self->nap, flags);
		return -EINTR;
	}
	timer_init(&timed.timer, sleep_expired);
	timer_add(&timed.timer, until_ns);
	self->timer = &timed.timer;
	sched_block(&self->nap, flags);
	if (unlikely(self->cut_short))
		timer_cancel_wait(&timed.timer);
	self->timer = NULL;
	return self->cut_short ? -EINTR : 0;
}

/* ---- the other side -------------------------------------------------------------------------- */

/*
 * The hook, at the end of an interrupt on the thread's own stack, irqs on. A handler may wait and
 * may use floating point, so what belongs to the interrupted code is kept: the result of a wait
 * that has just ended, and registers. The core's own timer of that wait is taken back first.
 */
static void hook(struct thread *t)
{
	struct pthread *self = px_self_record;
	int16_t result = t->waiter.result;
	struct arch_fpu fpu;
	bool cut_short;

	if (!self)
		return; /* it ends */
	cut_short = self->cut_short;
	timer_cancel_wait(&t->timer);
	if (self->timer)
		timer_cancel_wait(self->timer);
	arch_fpu_save(&fpu);
	px_cancel_if_asynchronous(self);
	if (px_signals_deliver)
		px_signals_deliver(self);
	arch_fpu_load(&fpu);
	t->waiter.result = result;
	self->cut_short = cut_short;
}

void px_interrupt(struct pthread *t)
{
	struct wait_queue *q;
	bool wake = false;

	if (t->exited || !t->core)
		return;
	atomic_store_relaxed(&t->interrupting, 1u);
	atomic_fence_seq_cst();
	q = atomic_load_relaxed(&t->waiting);
	if (q)
		wake = take_off(q, t->core, -EINTR);
	else if (atomic_load_relaxed(&t->asleep))
		wake = sleep_cut(t);
	if (wake)
		sched_wake(t->core, arch_irq_flags_masked());
	else
		thread_set_hook(t->core, hook);
	atomic_store_release(&t->interrupting, 0u);
}

LOCK_UNCHECKED void px_unlock(unsigned long flags)
{
	spin_unlock(&px_lock);
	sched_reschedule_self(flags);
}

bool px_interrupted(struct pthread *self, bool cancellable)
{
	if (cancellable)
		px_cancel_point();
	return !px_signals_deliver || px_signals_deliver(self);
}
