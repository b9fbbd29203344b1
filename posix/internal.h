/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of posix/ share: the record of a thread, interruptible waits, time.
 *
 * Every thread that comes here has a record (struct pthread). Records are never given back to the
 * heap, so that a stale pthread_t is found out by its generation. A thread of core/ gets one when it
 * first needs one.
 *
 * Locks: [p] px_lock, one spinlock for all that is cold: the table, life and death, cancellation,
 * signals. [l] pthread.life, a mutex held while somebody works on a thread that must not go away.
 * [s] the thread itself, [a] atomic, [i] never after creation.
 *
 * Events and waits. Whoever wants a thread's attention sets a bit in its events and calls
 * px_interrupt(), which ends its wait if it is in one that can be interrupted; else its hook runs at
 * the next return from a trap. A thread is on its wait queue before it looks at its events, and they
 * are set before px_interrupt() looks where it waits: one of the two sees the other.
 */
#pragma once

#include "core/lock.h"
#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#define PX_API __attribute__((visibility("default")))

struct px_key_value {
	const void *value;
	uint32_t generation; /* of the key it was set for */
};

/* One signal that is pending and carries a value. */
struct px_signal {
	struct px_signal *next; /* [p] */
	siginfo_t info;
	struct pthread *target; /* [p] NULL: the process */
	uint32_t overrun,
		overrun_taken; /* [p] times it came while it was pending, now and before */
	bool pooled; /* of the pool of sigqueue(); else it belongs to a timer or a queue */
	bool queued; /* [p] on a list */
};

/* What is pending: one bit a signal, and those with more to say in order of arrival. */
struct px_pending {
	uint64_t set;           /* [p] */
	struct px_signal *list; /* [p] */
};

enum { PX_EVENT_CANCEL = 1, PX_EVENT_SIGNAL = 2, PX_EVENT_CLOCK = 4 };

struct pthread {
	/* What outlives one use of the record, to the timer: somebody may still wait for the mutex. */
	struct mutex life;
	uint32_t index;      /* [i] place in the table */
	uint32_t generation; /* [p] of this use of the record */

	struct timer sleep_timer; /* under nap. Armed: it sleeps; who takes it back wakes it */
	/* Of px_sleep(): from the look at the events until the thread is off its CPU. */
	struct spinlock nap;
	struct timer *timer; /* [s] of the wait that it is in or returns from; NULL: none */
	/* [p] NULL until the scheduler knows it; then it stays while the record is in use and not exited */
	struct thread *core;

	/* [p] */
	bool used, exited, detached, joining, foreign;
	bool cancel_asked, cancel_disabled, cancel_async, exiting;
	struct wait_queue joiner;  /* who joins; its lock nests in px_lock */
	struct pthread *next_free; /* [p] */
	void *result;              /* [p] */

	void *(*entry)(void *);            /* [i] */
	void *arg;                         /* [i] */
	void *user_stack;                  /* [i] NULL: the core's */
	size_t stack_bytes;                /* [i] */
	size_t guard_bytes;                /* [i] */
	struct __pthread_cleanup *cleanup; /* [s] */
	struct px_key_value *values;       /* [s] PTHREAD_KEYS_MAX of them, or NULL */
	uint32_t read_locks;               /* [s] how many it holds */

	uint64_t mask;  /* [p] blocked signals; written by the thread */
	bool by_day;    /* [a] sleeps until a time of day */
	bool cut_short; /* under nap: the sleep was */
	bool locking;   /* [s] in px_mutex_wait(), which is cancelled between its waits only */
	struct px_pending pending; /* [p] */
	uint64_t waited_for;       /* [p] by sigwait() and its like */
	uint32_t handled;          /* [s] handlers run */
};

extern struct spinlock px_lock;

/* ---- threads (table.c, thread.c) ------------------------------------------------------------- */

/* What a thread looks at on its hot paths lies in its own block of thread-local variables. */
struct px_block {
	struct pthread *record; /* [s] NULL: it has not needed one yet */
	uint32_t events;        /* [a] PX_EVENT_*: what is to be looked at */
	/*
	 * [s] it is about to wait where events end the wait: 1, or PX_WAITS_FOR_MUTEX and which;
	 * others read it with its rq locked
	 */
	uint32_t interruptible;
	uint32_t retired; /* [a] its CPU time is among that of the dead */
};

extern __thread struct px_block px_tls;

/* Another thread's: all blocks have the same layout. */
static inline struct px_block *px_tls_of(struct thread *t)
{
	return (struct px_block *)((char *)&px_tls - (char *)thread_current() + (uintptr_t)t);
}

struct pthread *px_attach(void);

/* The calling thread's record. Context: thread. */
static inline struct pthread *px_self(void)
{
	struct pthread *self = px_tls.record;

	return likely(self) ? self : px_attach();
}

/* What the calling thread is to look at. */
static inline uint32_t px_events(void)
{
	return atomic_load_relaxed(&px_tls.events);
}

static inline pthread_t px_handle(const struct pthread *t)
{
	return (pthread_t)t->generation << 32 | (t->index + 1);
}

/* A new record, nobody's yet; NULL: out of memory or of records. */
struct pthread *px_record_new(void);
void px_record_free(struct pthread *t) LOCK_REQUIRES(px_lock);
/* The record of @id, or NULL when its thread is not known (any more). px_lock held. */
struct pthread *px_find(pthread_t id) LOCK_REQUIRES(px_lock);
/* The record at @index of the table, used or not; NULL behind the last. px_lock held. */
struct pthread *px_at(uint32_t index) LOCK_REQUIRES(px_lock);
/*
 * Keeps the thread of @id from ending until px_unpin(); NULL: it has, or is unknown. Not twice, not
 * in a handler.
 */
struct pthread *px_pin(pthread_t id);
/* The same by its number as gettid() gives it; 0: the caller. */
struct pthread *px_pin_tid(pid_t tid);
void px_unpin(struct pthread *t);
/* [p] threads that count: the process ends with the last. */
extern uint32_t px_live;
/* Of all threads that ended. */
uint64_t px_dead_runtime_ns(void);

/* Runs the destructors, frees the values (key.c). */
void px_keys_destroy(struct pthread *self);

/* ---- waits (wait.c) -------------------------------------------------------------------------- */

#define PX_WAITS_FOR_MUTEX 0x100u
/*
 * Ends the wait of @t for @m, if it still waits for it, with @result; then the caller is to wake it.
 * Irqs masked; px_lock may be held.
 */
bool px_mutex_wait_cut(struct thread *t, struct mutex *m, int result);

/*
 * For px_wait() without a time-out, inline where every instruction counts: from the insertion to the
 * look at the events. False: one of @events came, and px_wait_refused() is to be called.
 */
static inline bool px_wait_begin(struct wait_queue *q, uint32_t events) LOCK_REQUIRES(q->lock)
{
	struct thread *t = thread_current();

	wait_insert(q, &t->waiter, atomic_peek_relaxed(&t->sched.rank));
	atomic_store_relaxed(&px_tls.interruptible, 1u);
	atomic_fence_seq_cst();
	return likely(!(px_events() & events));
}

/* Behind the wait. 0, -ETIMEDOUT, -EINTR. */
static inline int px_wait_end(void)
{
	atomic_store_relaxed(&px_tls.interruptible, 0u);
	return thread_current()->waiter.result;
}

/* Takes the thread off @q again and gives up its lock. -EINTR. */
int px_wait_refused(struct wait_queue *q, unsigned long flags) LOCK_RELEASES(q->lock);

/*
 * Blocks on @q, whose lock is held, irqs masked; gives it up. 0: woken; -ETIMEDOUT at @until_ns
 * (UINT64_MAX: never); -EINTR: one of @events came. Context: thread.
 */
int px_wait(struct pthread *self, struct wait_queue *q, unsigned long flags, uint64_t until_ns,
	    uint32_t events) LOCK_RELEASES(q->lock);
/*
 * Sleeps until @until_ns: 0, or -EINTR when one of @events came first. Inline where every
 * instruction behind the wake-up counts.
 */
static inline LOCK_UNCHECKED int px_sleep_here(struct pthread *self, uint64_t until_ns,
					       uint32_t events)
{
	unsigned long flags = arch_irq_save();

	ASSERT_HOT(arch_irq_flags_enabled(flags));
	spin_lock(&self->nap);
	self->cut_short = false;
	if (unlikely(px_events() & events)) {
		spin_unlock_irqrestore(&self->nap, flags);
		return -EINTR;
	}
	self->sleep_timer.urgent = atomic_peek_relaxed(&thread_current()->sched.rank) > RANK_RT;
	timer_add(&self->sleep_timer, until_ns);
	sched_block(&self->nap, flags);
	return unlikely(self->cut_short) ? -EINTR : 0;
}
int px_sleep(struct pthread *self, uint64_t until_ns, uint32_t events);
/* The function of a sleep_timer. */
void px_sleep_expired(struct timer *timer);
/* Sets @event for @t, if it has begun and not ended, and makes it look. px_lock held, irqs masked. */
void px_attract(struct pthread *t, uint32_t event) LOCK_REQUIRES(px_lock);
/* Sets or clears @event for @t. px_lock held. */
void px_event_set(struct pthread *t, uint32_t event, bool on) LOCK_REQUIRES(px_lock);
/*
 * Makes @t look at its events, which were set before. px_lock held, irqs masked; the caller unlocks
 * and calls sched_reschedule_self().
 */
void px_interrupt(struct pthread *t) LOCK_REQUIRES(px_lock);
/* The end of a section in which threads may have been woken. */
void px_unlock(unsigned long flags) LOCK_RELEASES(px_lock);
/*
 * A wait was interrupted: is cancelled here if that is asked for (@cancellable), else runs the
 * handlers of pending signals. True: the call is to begin anew, since every handler that ran was
 * installed with SA_RESTART, or none ran.
 */
bool px_interrupted(struct pthread *self, bool cancellable);

/*
 * The core's condition_wait_until() with a wait that @events end (cond.c): 0, -ETIMEDOUT, -EINTR, the
 * mutex held again.
 */
int px_condition_wait(struct pthread *self, struct condition *c, struct mutex *m, uint64_t until_ns,
		      uint32_t events);
/*
 * The same for waits that are no cancellation points and are not ended by signals: handlers run
 * without the mutex, and then it is 0, a wake-up without a reason. 0, -ETIMEDOUT.
 */
int px_condition_wait_on(struct pthread *self, struct condition *c, struct mutex *m,
			 uint64_t until_ns);

/* ---- cancellation (cancel.c) ----------------------------------------------------------------- */

/* A cancellation point: does not return if the thread is cancelled. */
static inline void px_cancel_point(void)
{
	if (unlikely(px_events() & PX_EVENT_CANCEL))
		pthread_testcancel();
}

/* For waits that are cancellation points or not. */
#define PX_WAIT_CANCELLABLE (PX_EVENT_CANCEL | PX_EVENT_SIGNAL)

/* Sets or clears PX_EVENT_CANCEL as the thread's state says. */
void px_cancel_update(struct pthread *t) LOCK_REQUIRES(px_lock);
void px_cancel_if_asynchronous(struct pthread *self);

/* ---- signals (signal.c) ---------------------------------------------------------------------- */

/* Set when signals are in use: what runs pending handlers. Returns px_interrupted()'s answer. */
extern bool (*px_signals_deliver)(struct pthread *self);
/* The same, for a thread that ends: what it leaves behind. px_lock held. */
extern void (*px_signals_leave)(struct pthread *self, bool for_good);
/* abort() raises SIGABRT through it. */
extern void (*px_abort_hook)(void);
/*
 * Makes @signal pending for @t, or for whoever may take it (NULL). px_lock held. @signal->queued
 * must be false. Context: any, irqs masked.
 */
void px_signal_send(struct pthread *t, struct px_signal *signal) LOCK_REQUIRES(px_lock);
/* Takes @signal back if it is still pending. px_lock held. */
void px_signal_withdraw(struct px_signal *signal) LOCK_REQUIRES(px_lock);
bool px_sigevent_valid(const struct sigevent *event);
/* A new thread that runs the event's function; -errno. Context: thread. */
int px_notify_thread(const struct sigevent *event);

/* ---- time (clock.c) -------------------------------------------------------------------------- */

static inline bool px_timespec_valid(const struct timespec *ts)
{
	return (uint64_t)ts->tv_nsec < NSEC_PER_SEC;
}

/* Nanoseconds, 0 before the epoch, at most UINT64_MAX - 1: not "never". */
uint64_t px_ns(const struct timespec *ts);
struct timespec px_timespec(uint64_t ns);
/* When the monotonic clock shows what @clock_id shows at @at; false: not a clock to wait for. */
bool px_until(clockid_t clock_id, const struct timespec *at, uint64_t *until_ns);
/* What is to be added to monotonic time. */
uint64_t px_realtime_offset_ns(void);
/* CLOCK_*; -EINVAL. */
int px_clock_read(clockid_t clock_id, uint64_t *ns);
/* The one that condition variables and semaphores use for @at; EINVAL as a positive number, or 0. */
int px_deadline(clockid_t clock_id, const struct timespec *at, uint64_t *until_ns);

/* Ticks a second of times(). */
#define PX_CLK_TCK 100

/* An error for a name of a semaphore or queue; 0: it is one (sem.c). */
int px_name_error(const char *name);
/* Called when the time of day has been set; NULL: nobody asks. */
extern void (*px_clock_changed)(void);

/* ---- small ----------------------------------------------------------------------------------- */

static inline int px_fail(int error)
{
	errno = error;
	return -1;
}

/* EINVAL, and a line in the log that names the attribute. attr.c. */
int px_out_of_range(const char *attribute, const char *expected);

#define PX_MAGIC_ATTR      0x61747472u
#define PX_MAGIC_MUTEXATTR 0x6d617472u
#define PX_MAGIC_CONDATTR  0x63617472u
#define PX_MAGIC_RWATTR    0x72617472u
#define PX_MAGIC_BARATTR   0x62617472u
/* Those of hot paths are short: a compare with them is one instruction. */
#define PX_MAGIC_MUTEX   0x6d4u /* | type */
#define PX_MAGIC_COND    0x636f6e64u
#define PX_MAGIC_RWLOCK  0x72776c6bu
#define PX_MAGIC_BARRIER 0x62617272u
#define PX_MAGIC_SPIN    0x7370696eu
#define PX_MAGIC_SEM     0x5e3u
#define PX_MAGIC_DEAD    0xdeaddeadu

/*
 * Makes sure that the object behind @word has been set up: all bytes 0 is one that still has to be.
 * @init runs once, under px_lock. False: it is not such an object.
 */
bool px_object_ready(uint32_t *word, uint32_t magic, uint32_t mask, void (*init)(void *));

/* deadline.c: from now on there is SCHED_DEADLINE. 0 or -ENOMEM. */
int px_deadline_use(void);
/* sporadic.c: linked by the calls that take a policy. 0 or a positive error. */
int px_sporadic_use(void);
/* sched.c. What @param says with SCHED_SPORADIC; what cannot be said so is out of range in @attr. */
void px_sporadic_attr(const struct sched_param *param, struct sched_attr *attr);
