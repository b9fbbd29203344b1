/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers of POSIX over the kernel's, and alarm(). A timer's signal is its own, so it can always be
 * sent; while it is pending further expiries count as overruns. SIGEV_THREAD starts a thread for
 * each notification, from a thread that does nothing else, since a timer expires in an interrupt.
 *
 * An interval shorter than the kernel can serve keeps its count: expiries that are past at once are
 * overruns, and the next interrupt is MIN_GAP_NS away at least.
 *
 * Locks: px_lock. What may never happen: a slot used again while its expiry still runs; deleting
 * waits for that.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "posix/signal.h"

#define MIN_GAP_NS (20 * NSEC_PER_USEC)

struct px_timer {
	struct timer timer; /* [p] armed and cancelled under it */
	struct px_signal signal;
	struct sigevent event;        /* [i] */
	pthread_t thread;             /* [i] of SIGEV_THREAD_ID */
	struct px_timer *next;        /* [p] of those whose threads are to be started */
	clockid_t clock_id;           /* [i] */
	uint64_t expires_ns;          /* [p] monotonic; 0: disarmed */
	uint64_t interval_ns;         /* [p] 0: once */
	struct timespec by_day;       /* [p] the time of day it is armed for, if is_by_day */
	uint32_t due;                 /* [p] notifications to start a thread for */
	uint32_t missed;              /* [p] expiries while one was due already */
	uint16_t generation;          /* [p] */
	bool used, is_by_day, listed; /* [p] */
};

static struct px_timer *timer_table[TIMER_MAX]; /* [p] */

static struct {
	struct px_timer *first; /* [p] */
	struct semaphore work;
	bool running; /* under start_mutex */
} notifier = { .work = SEMAPHORE_INIT(0) };

/* ---- SIGEV_THREAD ---------------------------------------------------------------------------- */

struct notice {
	void (*function)(union sigval);
	union sigval value;
};

static void *notice_run(void *arg)
{
	struct notice n = *(struct notice *)arg;

	free(arg);
	n.function(n.value);
	return NULL;
}

int px_notify_thread(const struct sigevent *event)
{
	const pthread_attr_t *given = event->sigev_notify_attributes;
	struct notice *n = malloc(sizeof(*n));
	pthread_attr_t attr;
	pthread_t t;
	int err;

	if (!n)
		return -ENOMEM;
	*n = (struct notice){ event->sigev_notify_function, event->sigev_value };
	if (given)
		attr = *given;
	else
		pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&t, &attr, notice_run, n);
	if (err)
		free(n);
	return -err;
}

/* The next timer that has something due, off the list. */
static bool notifier_take(struct sigevent *event)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct px_timer *t = notifier.first;

	if (t) {
		notifier.first = t->next;
		t->listed = false;
		t->due = 0;
		t->signal.overrun_taken = t->missed;
		t->missed = 0;
		*event = t->event;
	}
	spin_unlock_irqrestore(&px_lock, flags);
	return t != NULL;
}

static void *notifier_run(void *arg)
{
	struct sigevent event;

	(void)arg;
	px_mask_swap(px_self(), ~0ul);
	for (;;) {
		semaphore_wait(&notifier.work);
		while (notifier_take(&event))
			px_notify_thread(&event);
	}
	return NULL;
}

/* 0 or a positive error. It does not keep the process alive. */
static int notifier_start(void)
{
	static struct mutex start_mutex = MUTEX_INIT;
	unsigned long flags;
	pthread_t t;
	int err = 0;

	mutex_lock(&start_mutex);
	if (!notifier.running)
		err = pthread_create(&t, NULL, notifier_run, NULL);
	if (!notifier.running && !err) {
		notifier.running = true;
		pthread_setname_np(t, "timers");
		flags = spin_lock_irqsave(&px_lock);
		px_live--;
		spin_unlock_irqrestore(&px_lock, flags);
	}
	mutex_unlock(&start_mutex);
	return err;
}

/* px_lock held, irq context. */
static void notifier_add(struct px_timer *t)
{
	struct px_timer **at = &notifier.first;

	if (t->listed)
		return;
	while (*at)
		at = &(*at)->next;
	t->next = NULL;
	*at = t;
	t->listed = true;
	semaphore_post(&notifier.work);
}

static void notifier_remove(struct px_timer *t)
{
	struct px_timer **at = &notifier.first;

	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	t->listed = false;
}

/* ---- expiry ---------------------------------------------------------------------------------- */

/* @n expiries at once. px_lock held. */
static void notify(struct px_timer *t, uint32_t n)
{
	struct pthread *target = NULL;

	switch (t->event.sigev_notify) {
	case SIGEV_THREAD:
		t->missed += t->due ? n : n - 1;
		t->due = 1;
		notifier_add(t);
		return;
	case SIGEV_NONE:
		return;
	case SIGEV_THREAD_ID:
		target = px_find(t->thread);
		if (!target || target->exited)
			return;
	}
	if (t->signal.queued) {
		t->signal.overrun = MIN(t->signal.overrun + n, (uint32_t)DELAYTIMER_MAX);
		return;
	}
	t->signal.overrun = n - 1;
	px_signal_send(target, &t->signal);
}

/* Arms it for expires_ns. px_lock held, irqs masked. */
static void arm(struct px_timer *t)
{
	timer_add(&t->timer, MIN(t->expires_ns, UINT64_MAX - 1));
}

/* Irq context. */
static void expired(struct timer *timer)
{
	struct px_timer *t = container_of(timer, struct px_timer, timer);
	uint64_t now_ns = time_now_ns(), n = 1;

	spin_lock(&px_lock);
	if (t->used && t->expires_ns && now_ns >= t->expires_ns && !t->timer.armed) {
		if (t->interval_ns) {
			n += (now_ns - t->expires_ns) / t->interval_ns;
			t->expires_ns += n * t->interval_ns;
			timer_add(&t->timer, MAX(t->expires_ns, now_ns + MIN_GAP_NS));
		} else {
			t->expires_ns = 0;
		}
		notify(t, (uint32_t)MIN(n, (uint64_t)DELAYTIMER_MAX));
	}
	spin_unlock(&px_lock);
}

/* ---- creating and deleting ------------------------------------------------------------------- */

static timer_t timer_id(unsigned slot)
{
	return (timer_t)timer_table[slot]->generation << 16 | (slot + 1);
}

/* px_lock held. */
static struct px_timer *timer_find(timer_t id)
{
	unsigned slot = (unsigned)(id & 0xffff) - 1;
	struct px_timer *t = slot < TIMER_MAX ? timer_table[slot] : NULL;

	return t && t->used && t->generation == id >> 16 ? t : NULL;
}

/* An unused slot with memory behind it; NULL: none. px_lock is given up if there is none yet. */
static struct px_timer *slot_take(unsigned *slot, unsigned long *flags)
{
	struct px_timer *t;
	unsigned i = 0;

	while (i < TIMER_MAX && timer_table[i] && timer_table[i]->used)
		i++;
	if (i == TIMER_MAX)
		return NULL;
	if (!timer_table[i]) {
		spin_unlock_irqrestore(&px_lock, *flags);
		t = calloc(1, sizeof(*t));
		*flags = spin_lock_irqsave(&px_lock);
		if (!t || timer_table[i]) {
			spin_unlock_irqrestore(&px_lock, *flags);
			free(t);
			*flags = spin_lock_irqsave(&px_lock);
			return t ? slot_take(slot, flags) : NULL;
		}
		timer_table[i] = t;
	}
	*slot = i;
	return timer_table[i];
}

bool px_sigevent_valid(const struct sigevent *e)
{
	switch (e->sigev_notify) {
	case SIGEV_NONE:
		return true;
	case SIGEV_THREAD:
		return e->sigev_notify_function != NULL;
	case SIGEV_SIGNAL:
	case SIGEV_THREAD_ID:
		return px_signo_valid(e->sigev_signo);
	}
	return false;
}

static int clock_error(clockid_t clock_id)
{
	struct timespec none = { 0 };
	uint64_t ns;

	if (px_clock_read(clock_id, &ns))
		return EINVAL;
	return px_until(clock_id, &none, &ns) ? 0 : ENOTSUP;
}

static void clock_changed(void);

static int event_prepare(const struct sigevent *event, pthread_t *thread)
{
	struct pthread *target;

	if (!px_sigevent_valid(event))
		return EINVAL;
	if (event->sigev_notify == SIGEV_THREAD)
		return notifier_start() ? EAGAIN : 0;
	if (event->sigev_notify == SIGEV_THREAD_ID) {
		target = px_pin_tid(event->sigev_notify_thread_id);
		if (!target)
			return EINVAL;
		*thread = px_handle(target);
		px_unpin(target);
	}
	return 0;
}

PX_API int timer_create(clockid_t clock_id, struct sigevent *restrict event, timer_t *restrict id)
{
	struct sigevent e = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	struct px_timer *t;
	pthread_t thread = 0;
	unsigned long flags;
	unsigned slot;
	int err = clock_error(clock_id);

	if (event)
		e = *event;
	if (!err)
		err = event_prepare(&e, &thread);
	if (err)
		return px_fail(err);
	px_clock_changed = clock_changed;
	px_signals_on();
	flags = spin_lock_irqsave(&px_lock);
	t = slot_take(&slot, &flags);
	if (t) {
		uint16_t generation = t->generation;

		*t = (struct px_timer){ .used = true, .generation = (uint16_t)(generation + 1) };
		timer_init(&t->timer, expired);
		*id = timer_id(slot);
		if (!event)
			e.sigev_value.sival_int = (int)*id;
		t->event = e;
		t->thread = thread;
		t->clock_id = clock_id;
		t->signal.info = (siginfo_t){ .si_signo = e.sigev_signo,
					      .si_code = SI_TIMER,
					      .si_timerid = (int)*id,
					      .si_value = e.sigev_value };
	}
	spin_unlock_irqrestore(&px_lock, flags);
	return t ? 0 : px_fail(EAGAIN);
}

/* A signal that is pending is taken back. */
PX_API int timer_delete(timer_t id)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct px_timer *t = timer_find(id);

	if (!t) {
		spin_unlock_irqrestore(&px_lock, flags);
		return px_fail(EINVAL);
	}
	t->expires_ns = 0;
	t->generation++; /* nobody finds it from here on, and nobody takes the slot */
	timer_cancel(&t->timer);
	spin_unlock_irqrestore(&px_lock, flags);
	timer_cancel_wait(&t->timer);
	flags = spin_lock_irqsave(&px_lock);
	px_signal_withdraw(&t->signal);
	notifier_remove(t);
	t->used = false;
	spin_unlock_irqrestore(&px_lock, flags);
	return 0;
}

/* ---- setting and reading --------------------------------------------------------------------- */

static struct itimerspec timer_state(const struct px_timer *t)
{
	uint64_t now_ns = time_now_ns(), left_ns = 0;

	if (t->expires_ns)
		left_ns = t->expires_ns > now_ns ? t->expires_ns - now_ns : 1;
	return (struct itimerspec){ px_timespec(t->interval_ns), px_timespec(left_ns) };
}

/* When @value says, monotonic; 0: never. */
static uint64_t first_expiry(const struct px_timer *t, int flags, const struct itimerspec *value)
{
	uint64_t until_ns;

	if (!value->it_value.tv_sec && !value->it_value.tv_nsec)
		return 0;
	if (!(flags & TIMER_ABSTIME))
		return time_now_ns() + px_ns(&value->it_value);
	px_until(t->clock_id, &value->it_value, &until_ns);
	return MAX(until_ns, (uint64_t)1);
}

PX_API int timer_settime(timer_t id, int how, const struct itimerspec *restrict value,
			 struct itimerspec *restrict old)
{
	struct itimerspec was;
	struct px_timer *t;
	unsigned long flags;

	if (!value || !px_timespec_valid(&value->it_value) || value->it_value.tv_sec < 0 ||
	    !px_timespec_valid(&value->it_interval) || value->it_interval.tv_sec < 0)
		return px_fail(EINVAL);
	px_realtime_offset_ns(); /* may have to be read, which takes a mutex */
	flags = spin_lock_irqsave(&px_lock);
	t = timer_find(id);
	if (!t) {
		spin_unlock_irqrestore(&px_lock, flags);
		return px_fail(EINVAL);
	}
	was = timer_state(t);
	timer_cancel(&t->timer);
	t->expires_ns = first_expiry(t, how, value);
	t->interval_ns = px_ns(&value->it_interval);
	t->is_by_day = how & TIMER_ABSTIME && t->clock_id == CLOCK_REALTIME;
	t->by_day = value->it_value;
	px_signal_withdraw(&t->signal);
	t->signal.overrun = 0;
	if (t->expires_ns)
		arm(t);
	spin_unlock_irqrestore(&px_lock, flags);
	if (old)
		*old = was;
	return 0;
}

PX_API int timer_gettime(timer_t id, struct itimerspec *value)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct px_timer *t = timer_find(id);

	if (t)
		*value = timer_state(t);
	spin_unlock_irqrestore(&px_lock, flags);
	return t ? 0 : px_fail(EINVAL);
}

/* Of the notification that was taken last. */
PX_API int timer_getoverrun(timer_t id)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct px_timer *t = timer_find(id);
	int n = t ? (int)t->signal.overrun_taken : 0;

	spin_unlock_irqrestore(&px_lock, flags);
	return t ? n : px_fail(EINVAL);
}

/* The time of day was set: those that are armed for one expire then. */
static void clock_changed(void)
{
	for (unsigned i = 0; i < TIMER_MAX; i++) {
		unsigned long flags = spin_lock_irqsave(&px_lock);
		struct px_timer *t = timer_table[i];

		if (t && t->used && t->is_by_day && t->expires_ns && timer_cancel(&t->timer)) {
			px_until(t->clock_id, &t->by_day, &t->expires_ns);
			t->expires_ns = MAX(t->expires_ns, (uint64_t)1);
			arm(t);
		}
		spin_unlock_irqrestore(&px_lock, flags);
	}
}

/* ---- alarm ----------------------------------------------------------------------------------- */

static struct mutex alarm_mutex = MUTEX_INIT;
static timer_t alarm_timer;

/* The process's one ITIMER_REAL. */
static int alarm_set(const struct itimerspec *value, struct itimerspec *old)
{
	int err = 0;

	mutex_lock(&alarm_mutex);
	if (!alarm_timer)
		err = timer_create(CLOCK_MONOTONIC, NULL, &alarm_timer);
	if (!err && value)
		err = timer_settime(alarm_timer, 0, value, old);
	else if (!err)
		err = timer_gettime(alarm_timer, old);
	mutex_unlock(&alarm_mutex);
	return err;
}

PX_API unsigned alarm(unsigned s)
{
	struct itimerspec value = { .it_value = { .tv_sec = s } }, old = { 0 };

	if (alarm_set(&value, &old))
		return 0;
	return (unsigned)(old.it_value.tv_sec + (old.it_value.tv_nsec > 0));
}

PX_API useconds_t ualarm(useconds_t us, useconds_t interval_us)
{
	struct itimerspec value = { px_timespec(interval_us * NSEC_PER_USEC),
				    px_timespec(us * NSEC_PER_USEC) };
	struct itimerspec old = { 0 };

	alarm_set(&value, &old);
	return (useconds_t)(px_ns(&old.it_value) / NSEC_PER_USEC);
}

static struct timespec from_timeval(struct timeval tv)
{
	return (struct timespec){ tv.tv_sec, tv.tv_usec * (long)NSEC_PER_USEC };
}

static struct timeval to_timeval(struct timespec ts)
{
	return (struct timeval){ ts.tv_sec, ts.tv_nsec / (long)NSEC_PER_USEC };
}

PX_API int setitimer(int which, const struct itimerval *restrict value,
		     struct itimerval *restrict old)
{
	struct itimerspec to, was = { 0 };

	if (which != ITIMER_REAL || !value)
		return px_fail(EINVAL);
	to = (struct itimerspec){ from_timeval(value->it_interval), from_timeval(value->it_value) };
	if (alarm_set(&to, &was))
		return -1;
	if (old)
		*old = (struct itimerval){ to_timeval(was.it_interval), to_timeval(was.it_value) };
	return 0;
}

PX_API int getitimer(int which, struct itimerval *value)
{
	struct itimerspec is = { 0 };

	if (which != ITIMER_REAL)
		return px_fail(EINVAL);
	if (alarm_set(NULL, &is))
		return -1;
	*value = (struct itimerval){ to_timeval(is.it_interval), to_timeval(is.it_value) };
	return 0;
}
