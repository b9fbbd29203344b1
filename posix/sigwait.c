/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that wait for signals, and sets of signals.
 *
 * A thread that waits for signals says which (waited_for) before it looks for pending ones, under
 * px_lock; who sends one later finds it. All are cancellation points.
 */
#include <unistd.h>

#include "posix/signal.h"

/* Blocks until an event comes or @until_ns. -EINTR or -ETIMEDOUT. @seen: handlers run so far. */
static int wait_for_event(struct pthread *self, uint64_t until_ns, uint32_t seen)
{
	struct wait_queue q = WAIT_QUEUE_INIT;
	unsigned long flags = spin_lock_irqsave(&q.lock);

	if (self->handled != seen) { /* by the hook, just now */
		spin_unlock_irqrestore(&q.lock, flags);
		return -EINTR;
	}
	return px_wait(self, &q, flags, until_ns, PX_WAIT_CANCELLABLE);
}

/* ---- until a handler has run ----------------------------------------------------------------- */

static void wait_for_handler(struct pthread *self)
{
	uint32_t seen = self->handled;

	while (self->handled == seen) {
		wait_for_event(self, UINT64_MAX, seen);
		px_interrupted(self, true);
	}
}

/*
 * The mask is changed before the handlers are counted: one that ran in between would be missed. Who is
 * cancelled has the old one again when its cleanup handlers run.
 */
PX_API int sigsuspend(const sigset_t *mask)
{
	struct pthread *self = px_self();
	uint32_t seen = self->handled;
	uint64_t old;

	px_cancel_point();
	old = px_mask_swap(self, *mask);
	while (self->handled == seen && !(px_events() & PX_EVENT_CANCEL)) {
		wait_for_event(self, UINT64_MAX, seen);
		px_interrupted(self, false);
	}
	px_mask_swap(self, old);
	px_cancel_point();
	px_interrupted(self, false);
	return px_fail(EINTR);
}

PX_API int pause(void)
{
	px_cancel_point();
	wait_for_handler(px_self());
	return px_fail(EINTR);
}

PX_API int sigpause(int signo)
{
	sigset_t mask;

	if (!px_signo_valid(signo))
		return px_fail(EINVAL);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	sigdelset(&mask, signo);
	return sigsuspend(&mask);
}

/* ---- without a handler ----------------------------------------------------------------------- */

/* The signal, or -EAGAIN at @until_ns, or -EINTR when a handler ran. */
static int wait_for_signal(uint64_t set, siginfo_t *info, uint64_t until_ns)
{
	struct pthread *self = px_self();
	uint32_t seen = self->handled;
	unsigned long flags;
	int err = 0;
	bool taken;

	px_cancel_point();
	for (;;) {
		flags = spin_lock_irqsave(&px_lock);
		taken = px_pending_take(self, set, info);
		self->waited_for = taken || err ? 0 : set;
		px_signal_update(self);
		px_unlock(flags);
		if (taken)
			return info->si_signo;
		if (err)
			return err;
		if (wait_for_event(self, until_ns, seen) == -ETIMEDOUT) {
			err = -EAGAIN;
			continue; /* one last look */
		}
		px_cancel_point();
		flags = spin_lock_irqsave(&px_lock);
		taken = px_pending_take(self, set, info);
		self->waited_for = 0;
		px_signal_update(self);
		px_unlock(flags);
		if (taken)
			return info->si_signo;
		px_interrupted(self, false);
		if (self->handled != seen)
			err = -EINTR;
	}
}

PX_API int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info,
			const struct timespec *restrict timeout)
{
	uint64_t until_ns = UINT64_MAX;
	siginfo_t none;
	int signo;

	if (timeout && !px_timespec_valid(timeout))
		return px_fail(EINVAL);
	if (timeout)
		until_ns = time_now_ns() + px_ns(timeout);
	signo = wait_for_signal(*set, info ? info : &none, until_ns);
	return signo < 0 ? px_fail(-signo) : signo;
}

PX_API int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info)
{
	return sigtimedwait(set, info, NULL);
}

/* Handlers of other signals do not end it. */
PX_API int sigwait(const sigset_t *restrict set, int *restrict signo)
{
	siginfo_t info;
	int got;

	do {
		got = wait_for_signal(*set, &info, UINT64_MAX);
	} while (got == -EINTR);
	*signo = got;
	return 0;
}

/* ---- sets ------------------------------------------------------------------------------------ */

PX_API int sigemptyset(sigset_t *set)
{
	*set = 0;
	return 0;
}

PX_API int sigfillset(sigset_t *set)
{
	*set = ~1ul;
	return 0;
}

PX_API int sigaddset(sigset_t *set, int signo)
{
	if (!px_signo_valid(signo))
		return px_fail(EINVAL);
	*set |= 1ul << signo;
	return 0;
}

PX_API int sigdelset(sigset_t *set, int signo)
{
	if (!px_signo_valid(signo))
		return px_fail(EINVAL);
	*set &= ~(1ul << signo);
	return 0;
}

PX_API int sigismember(const sigset_t *set, int signo)
{
	if (!px_signo_valid(signo))
		return px_fail(EINVAL);
	return *set >> signo & 1;
}

/* ---- of old ---------------------------------------------------------------------------------- */

static int mask_one(int how, int signo)
{
	sigset_t set = 0;

	return sigaddset(&set, signo) ? -1 : sigprocmask(how, &set, NULL);
}

PX_API int sighold(int signo)
{
	return mask_one(SIG_BLOCK, signo);
}

PX_API int sigrelse(int signo)
{
	return mask_one(SIG_UNBLOCK, signo);
}

PX_API int sigignore(int signo)
{
	return signal(signo, SIG_IGN) == SIG_ERR ? -1 : 0;
}

PX_API _sig_func_ptr sigset(int signo, _sig_func_ptr handler)
{
	struct sigaction old, new = { .sa_handler = handler };
	sigset_t mask;

	/* With SIG_HOLD the action stays as it is. */
	if (sigaction(signo, handler == SIG_HOLD ? NULL : &new, &old))
		return SIG_ERR;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	mask_one(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, signo);
	return sigismember(&mask, signo) ? SIG_HOLD : old.sa_handler;
}
