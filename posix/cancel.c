/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cancellation. Deferred: the target sees PX_EVENT_CANCEL at its next cancellation point, and a
 * wait that is one ends for it. Asynchronous: its hook calls pthread_exit(). Waiting for
 * a mutex is no cancellation point, but asynchronous cancellation ends it.
 *
 * Locks: px_lock. What may never happen: PX_EVENT_CANCEL set while the thread does not want to be
 * cancelled, since then its waits would end at once, again and again.
 */
#include "posix/internal.h"

static bool is_due(const struct pthread *t)
{
	return t->cancel_asked && !t->cancel_disabled && !t->exiting;
}

void px_cancel_update(struct pthread *t)
{
	px_event_set(t, PX_EVENT_CANCEL, is_due(t));
}

void px_cancel_if_asynchronous(struct pthread *self)
{
	if (self->cancel_async)
		px_cancel_point();
}

PX_API int pthread_cancel(pthread_t id)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct pthread *t = px_find(id);
	bool now = false;

	if (!t) {
		spin_unlock_irqrestore(&px_lock, flags);
		return ESRCH;
	}
	if (!t->exited) {
		t->cancel_asked = true;
		px_cancel_update(t);
		now = t == px_tls.record && t->cancel_async;
		if (t != px_tls.record && is_due(t))
			px_interrupt(t);
	}
	px_unlock(flags);
	if (now)
		pthread_testcancel();
	return 0;
}

PX_API void pthread_testcancel(void)
{
	if (px_events() & PX_EVENT_CANCEL)
		pthread_exit(PTHREAD_CANCELED);
}

PX_API int pthread_setcancelstate(int state, int *old)
{
	struct pthread *self = px_self();
	unsigned long flags;

	if (state != PTHREAD_CANCEL_ENABLE && state != PTHREAD_CANCEL_DISABLE)
		return EINVAL;
	flags = spin_lock_irqsave(&px_lock);
	if (old)
		*old = self->cancel_disabled ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE;
	self->cancel_disabled = state == PTHREAD_CANCEL_DISABLE;
	px_cancel_update(self);
	spin_unlock_irqrestore(&px_lock, flags);
	px_cancel_if_asynchronous(self);
	return 0;
}

PX_API int pthread_setcanceltype(int type, int *old)
{
	struct pthread *self = px_self();
	unsigned long flags;

	if (type != PTHREAD_CANCEL_DEFERRED && type != PTHREAD_CANCEL_ASYNCHRONOUS)
		return EINVAL;
	flags = spin_lock_irqsave(&px_lock);
	if (old)
		*old = self->cancel_async ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED;
	self->cancel_async = type == PTHREAD_CANCEL_ASYNCHRONOUS;
	spin_unlock_irqrestore(&px_lock, flags);
	px_cancel_if_asynchronous(self);
	return 0;
}
