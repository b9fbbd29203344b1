/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks. CLOCK_MONOTONIC is the kernel's time. CLOCK_REALTIME is that and an offset, read once from
 * a clock of the day where the device tree has one that a driver knows; else it begins at the epoch
 * at boot, and the log says so. Setting it moves the offset, and those who sleep until a time of day
 * look again.
 *
 * A thread's CPU-time clock has its pthread_t in its number.
 */
#include <sys/time.h>
#include <sys/times.h>
#include <unistd.h>

#include "posix/internal.h"
#include "core/console.h"
#include "core/device.h"
#include "core/main.h"
#include "core/rtc.h"

#define CLOCK_OF_THREAD (1ul << 63) /* | pthread_t */

static struct mutex offset_mutex = MUTEX_INIT;
static uint64_t offset_ns; /* [a] real time less monotonic */
static uint32_t offset_known;

void (*px_clock_changed)(void); /* posix/timer.c: its timers */

static void offset_read(void)
{
	mutex_lock(&offset_mutex);
	if (!offset_known) {
		device_probe_class(&boot_dt, DRIVER_RTC);
		if (rtc_device)
			atomic_store_relaxed(&offset_ns, rtc_device->read_ns() - time_now_ns());
		else
			printk("clock: no clock of the day that a driver knows: CLOCK_REALTIME "
			       "began at 1970-01-01 00:00:00 UTC at boot\n");
		atomic_store_release(&offset_known, 1u);
	}
	mutex_unlock(&offset_mutex);
}

uint64_t px_realtime_offset_ns(void)
{
	if (unlikely(!atomic_load_acquire(&offset_known)))
		offset_read();
	return atomic_load_relaxed(&offset_ns);
}

/* The offset first: finding it out takes time when it is not known yet. */
static uint64_t realtime_ns(void)
{
	uint64_t offset = px_realtime_offset_ns();

	return offset + time_now_ns();
}

/* ---- conversions ----------------------------------------------------------------------------- */

uint64_t px_ns(const struct timespec *ts)
{
	if (ts->tv_sec < 0)
		return 0;
	if ((uint64_t)ts->tv_sec >= INT64_MAX / NSEC_PER_SEC)
		return INT64_MAX;
	return (uint64_t)ts->tv_sec * NSEC_PER_SEC + (uint64_t)ts->tv_nsec;
}

struct timespec px_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NSEC_PER_SEC),
				  .tv_nsec = (long)(ns % NSEC_PER_SEC) };
}

static bool is_real(clockid_t clock_id)
{
	return clock_id == CLOCK_REALTIME || clock_id == CLOCK_REALTIME_COARSE;
}

static bool is_monotonic(clockid_t clock_id)
{
	return clock_id == CLOCK_MONOTONIC || clock_id == CLOCK_MONOTONIC_RAW ||
	       clock_id == CLOCK_MONOTONIC_COARSE || clock_id == CLOCK_BOOTTIME;
}

bool px_until(clockid_t clock_id, const struct timespec *at, uint64_t *until_ns)
{
	uint64_t ns = px_ns(at), offset;

	if (!is_real(clock_id) && !is_monotonic(clock_id))
		return false;
	offset = is_real(clock_id) ? px_realtime_offset_ns() : 0;
	*until_ns = (int64_t)(ns - offset) < 0 ? 0 : ns - offset;
	return true;
}

int px_deadline(clockid_t clock_id, const struct timespec *at, uint64_t *until_ns)
{
	if (!at || !px_timespec_valid(at))
		return EINVAL;
	return px_until(clock_id, at, until_ns) ? 0 : EINVAL;
}

/* ---- CPU time -------------------------------------------------------------------------------- */

static uint64_t sum_ns; /* under sum_mutex */

/* A thread that has ended stays in the core's table until its stack is used again. */
static void add_runtime(struct thread *t)
{
	if (t->sched.cpu && !atomic_load_acquire(&px_tls_of(t)->retired))
		sum_ns += thread_runtime_ns(t);
}

/* Never less than before: a thread may end while we add. */
static uint64_t process_runtime_ns(void)
{
	static struct mutex sum_mutex = MUTEX_INIT;
	static uint64_t last_ns; /* under sum_mutex */
	uint64_t ns;

	mutex_lock(&sum_mutex);
	sum_ns = px_dead_runtime_ns();
	thread_each(add_runtime);
	last_ns = ns = MAX(sum_ns, last_ns);
	mutex_unlock(&sum_mutex);
	return ns;
}

static int thread_clock_read(pthread_t id, uint64_t *ns)
{
	struct pthread *t = px_pin(id);

	if (!t)
		return -EINVAL;
	*ns = thread_runtime_ns(t->core);
	px_unpin(t);
	return 0;
}

int px_clock_read(clockid_t clock_id, uint64_t *ns)
{
	if (is_real(clock_id))
		*ns = realtime_ns();
	else if (is_monotonic(clock_id))
		*ns = time_now_ns();
	else if (clock_id == CLOCK_THREAD_CPUTIME_ID)
		*ns = thread_runtime_ns(thread_current());
	else if (clock_id == CLOCK_PROCESS_CPUTIME_ID)
		*ns = process_runtime_ns();
	else if (clock_id & CLOCK_OF_THREAD)
		return thread_clock_read(clock_id & ~CLOCK_OF_THREAD, ns);
	else
		return -EINVAL;
	return 0;
}

PX_API int pthread_getcpuclockid(pthread_t id, clockid_t *clock_id)
{
	struct pthread *t = px_pin(id);

	if (!t)
		return ESRCH;
	px_unpin(t);
	*clock_id = CLOCK_OF_THREAD | id;
	return 0;
}

PX_API int clock_getcpuclockid(pid_t pid, clockid_t *clock_id)
{
	if (pid && pid != getpid())
		return ESRCH;
	*clock_id = CLOCK_PROCESS_CPUTIME_ID;
	return 0;
}

/* ---- POSIX ----------------------------------------------------------------------------------- */

PX_API int clock_gettime(clockid_t clock_id, struct timespec *ts)
{
	uint64_t ns;
	int err = px_clock_read(clock_id, &ns);

	if (err)
		return px_fail(-err);
	*ts = px_timespec(ns);
	return 0;
}

PX_API int clock_getres(clockid_t clock_id, struct timespec *ts)
{
	uint64_t ns;
	int err = px_clock_read(clock_id, &ns);

	if (err)
		return px_fail(-err);
	if (ts)
		*ts = px_timespec((NSEC_PER_SEC + time_base.hz - 1) / time_base.hz);
	return 0;
}

/* Those who sleep until a time of day. One record a time. */
static void sleepers_look_again(void)
{
	struct pthread *t;
	unsigned long flags;

	atomic_fence_seq_cst(); /* after the offset: sleep_by_day() */
	for (uint32_t i = 0;; i++) {
		flags = spin_lock_irqsave(&px_lock);
		t = px_at(i);
		if (t && t->used && atomic_load_relaxed(&t->by_day))
			px_attract(t, PX_EVENT_CLOCK);
		px_unlock(flags);
		if (!t)
			return;
	}
}

PX_API int clock_settime(clockid_t clock_id, const struct timespec *ts)
{
	if (clock_id != CLOCK_REALTIME)
		return px_fail(EINVAL);
	if (!px_timespec_valid(ts) || ts->tv_sec < 0)
		return px_fail(EINVAL);
	px_realtime_offset_ns();
	atomic_store_relaxed(&offset_ns, px_ns(ts) - time_now_ns());
	sleepers_look_again();
	if (px_clock_changed)
		px_clock_changed();
	return 0;
}

PX_API int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	uint64_t ns = realtime_ns();

	(void)zone;
	tv->tv_sec = (time_t)(ns / NSEC_PER_SEC);
	tv->tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC);
	return 0;
}

PX_API time_t time(time_t *t)
{
	time_t now = (time_t)(realtime_ns() / NSEC_PER_SEC);

	if (t)
		*t = now;
	return now;
}

PX_API int timespec_get(struct timespec *ts, int base)
{
	if (base != TIME_UTC || clock_gettime(CLOCK_REALTIME, ts))
		return 0;
	return base;
}

/* There is no kernel mode to tell from the program's. */
PX_API clock_t times(struct tms *t)
{
	clock_t ticks = (clock_t)(process_runtime_ns() / (NSEC_PER_SEC / PX_CLK_TCK));

	*t = (struct tms){ .tms_utime = ticks };
	return (clock_t)(time_now_ns() / (NSEC_PER_SEC / PX_CLK_TCK));
}

PX_API clock_t clock(void)
{
	return (clock_t)(process_runtime_ns() / (NSEC_PER_SEC / (uint64_t)CLOCKS_PER_SEC));
}
