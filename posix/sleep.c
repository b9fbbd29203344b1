/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeping: cancellation points that signals cut short. A time of day that is set meanwhile moves
 * the end of an absolute sleep by CLOCK_REALTIME, and of no other.
 */
#include <unistd.h>

#include "posix/internal.h"

/* The sleep was interrupted: is cancelled, or ends with EINTR if a signal was handled. */
static __noinline int sleep_again(struct pthread *self, uint64_t until_ns)
{
	do {
		uint32_t before = self->handled;

		px_interrupted(self, true);
		if (self->handled != before)
			return EINTR;
	} while (px_sleep(self, until_ns, PX_WAIT_CANCELLABLE) == -EINTR);
	return 0;
}

/* 0 or EINTR. Called last, so that there is but one frame to leave when the time has come. */
static __noinline int sleep_until(struct pthread *self, uint64_t until_ns)
{
	if (likely(!px_sleep_here(self, until_ns, PX_WAIT_CANCELLABLE)))
		return 0;
	return sleep_again(self, until_ns);
}

static int sleep_for(uint64_t ns, uint64_t *left_ns)
{
	uint64_t until_ns = time_now_ns() + ns, now_ns;
	int err = sleep_until(px_self(), until_ns);

	now_ns = time_now_ns();
	*left_ns = err && until_ns > now_ns ? until_ns - now_ns : 0;
	return err;
}

/* Until a time of day, which may be set. 0 or EINTR. */
static int sleep_by_day(const struct timespec *at)
{
	struct pthread *self = px_self();
	uint64_t until_ns;
	uint32_t before = self->handled;
	int err;

	px_cancel_point();
	atomic_store_relaxed(&self->by_day, true);
	do {
		atomic_fetch_and_acq_rel(&px_tls.events, ~(uint32_t)PX_EVENT_CLOCK);
		atomic_fence_seq_cst(); /* by_day is seen by who sets the clock, or the new time by us */
		px_until(CLOCK_REALTIME, at, &until_ns);
		err = px_sleep(self, until_ns, PX_WAIT_CANCELLABLE | PX_EVENT_CLOCK);
		if (err)
			px_interrupted(self, true);
	} while (err && self->handled == before);
	atomic_store_relaxed(&self->by_day, false);
	return -err;
}

static __noinline int sleep_by(clockid_t clock_id, int flags, const struct timespec *ts,
			       struct timespec *left)
{
	uint64_t ns, left_ns;
	int err;

	if (!px_timespec_valid(ts) || (flags & ~TIMER_ABSTIME) || (ts->tv_sec < 0 && !flags))
		return EINVAL;
	if (clock_id == CLOCK_THREAD_CPUTIME_ID || px_clock_read(clock_id, &ns))
		return EINVAL;
	if (!px_until(clock_id, ts, &ns))
		return ENOTSUP; /* a clock of CPU time */
	if (flags && clock_id == CLOCK_REALTIME)
		return sleep_by_day(ts);
	if (flags)
		return sleep_until(px_self(), ns);
	err = sleep_for(px_ns(ts), &left_ns);
	if (err && left)
		*left = px_timespec(left_ns);
	return err;
}

PX_API int clock_nanosleep(clockid_t clock_id, int flags, const struct timespec *ts,
			   struct timespec *left)
{
	if (likely(clock_id == CLOCK_MONOTONIC && flags == TIMER_ABSTIME && px_timespec_valid(ts)))
		return sleep_until(px_self(), px_ns(ts));
	return sleep_by(clock_id, flags, ts, left);
}

PX_API int nanosleep(const struct timespec *ts, struct timespec *left)
{
	int err = clock_nanosleep(CLOCK_MONOTONIC, 0, ts, left);

	return err ? px_fail(err) : 0;
}

PX_API int usleep(useconds_t us)
{
	uint64_t left_ns;

	return sleep_for(us * NSEC_PER_USEC, &left_ns) ? px_fail(EINTR) : 0;
}

PX_API unsigned sleep(unsigned s)
{
	uint64_t left_ns;

	sleep_for(s * NSEC_PER_SEC, &left_ns);
	return (unsigned)((left_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
}
