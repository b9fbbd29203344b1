/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event queues: one object to wait on many sources. Not POSIX; what epoll_wait() and the like are
 * where everything is a file.
 *
 * A source is ready by level (a semaphore that has units, a message queue that can be read or
 * written: told by each wait until that is no more so) or counts (expiries of a timer, interrupts,
 * posts, the exit of a thread: told once, with how many there were). Events are told by the priority
 * of their source, 0..31, 31 first, and in order of arrival within one; the best of several threads
 * that wait gets them.
 *
 * Calls that make something return NULL, others -1, with errno. EINVAL in all of those that add: the
 * priority; ENOMEM: no memory.
 */
#ifndef _FAIRLEAD_EVENT_H_
#define _FAIRLEAD_EVENT_H_

#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_event_queue fl_event_queue_t;
typedef struct fl_event_source fl_event_source_t;

struct fl_event {
	fl_event_source_t *source;
	void *arg;      /* as it was added with */
	unsigned count; /* how many since it was last told; a semaphore: its units */
};

fl_event_queue_t *fl_event_queue_create(void);
/* Removes its sources, too. EBUSY: a thread waits. */
int fl_event_queue_destroy(fl_event_queue_t *);

/*
 * Up to @n events, 1 at least: how many. Cancellation points. EINVAL: n is 0, or the time or clock is
 * none; ETIMEDOUT; EINTR: a handler ran that was installed without SA_RESTART.
 */
int fl_event_wait(fl_event_queue_t *, struct fl_event *, unsigned n);
/* Until the clock shows the time, which is looked at only if there is no event. */
int fl_event_clockwait(fl_event_queue_t *, struct fl_event *, unsigned n, clockid_t,
		       const struct timespec *);

/* Told by fl_event_post(), which signal handlers may call. */
fl_event_source_t *fl_event_add(fl_event_queue_t *, unsigned priority, void *arg);
int fl_event_post(fl_event_source_t *);
/* EINVAL: not a semaphore; EBUSY: it is in an event queue. Not to be destroyed before it is removed. */
fl_event_source_t *fl_event_add_sem(fl_event_queue_t *, sem_t *, unsigned priority, void *arg);
/*
 * The queue has a message, or has room for one. It lives on until the source is removed. EBADF: not a
 * queue, or not open for that. EINVAL: neither of the two.
 */
#define FL_EVENT_READABLE 1
#define FL_EVENT_WRITABLE 2
fl_event_source_t *fl_event_add_mq(fl_event_queue_t *, mqd_t, int what, unsigned priority,
				   void *arg);
/*
 * Expiries by CLOCK_MONOTONIC; as timer_settime() has it, TIMER_ABSTIME included, but that a time of 0
 * expires at once. EINVAL: not a time; a period below 20 us.
 */
fl_event_source_t *fl_event_add_timer(fl_event_queue_t *, int flags, const struct itimerspec *,
				      unsigned priority, void *arg);
/* The end of a thread, joined or not. ESRCH: not known any more; EBUSY: it is in an event queue. */
fl_event_source_t *fl_event_add_thread(fl_event_queue_t *, pthread_t, unsigned priority, void *arg);
/*
 * Interrupt @irq of the board's controller, by its number there. It is masked when it comes, until
 * fl_event_acknowledge(). EBUSY: somebody has it.
 */
fl_event_source_t *fl_event_add_irq(fl_event_queue_t *, unsigned irq, unsigned priority, void *arg);
int fl_event_acknowledge(fl_event_source_t *);

/*
 * No wait that begins now tells of it; its memory is freed. Another thread that waited before may
 * still have its event in its array. Not twice.
 */
int fl_event_remove(fl_event_source_t *);

#ifdef __cplusplus
}
#endif

#endif
