/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCHED_DEADLINE for sched_setattr(), and SIGXCPU for a thread with SCHED_FLAG_DL_OVERRUN that has
 * used up its budget. Apart, so that programs without have neither.
 */
#include <signal.h>

#include "posix/signal.h"
#include "sched/deadline.h"

/*
 * At the end of an interrupt, in the thread itself: handlers run at the end of the next one, which
 * keeps what they would spoil.
 */
static void overrun(struct thread *t)
{
	struct pthread *self = px_tls.record;
	const union sigval none = { 0 };
	struct px_signal *s;
	unsigned long flags;

	(void)t;
	if (!self)
		return; /* it ends */
	flags = spin_lock_irqsave(&px_lock);
	s = self->pending.set >> SIGXCPU & 1 ? NULL : px_signal_alloc(SIGXCPU, SI_KERNEL, none);
	if (s) {
		px_signal_send(self, s);
		px_interrupt(self);
	}
	spin_unlock_irqrestore(&px_lock, flags);
}

int px_deadline_use(void)
{
	int err = sched_deadline_use();

	if (err)
		return err;
	px_signals_on();
	deadline_on_overrun(overrun);
	return 0;
}
