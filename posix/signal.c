/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals within the one process: what is pending, who takes it, and running handlers. (The calls
 * that wait for signals are in sigwait.c.)
 *
 * A signal is pending for a thread or for the process. px_signal_send() finds a thread that may take
 * it and makes it look: one that waits for the signal (sigwait), else one that does not block it.
 * Handlers run on the thread's own stack, in thread context, at the next return from a trap or at
 * the end of the wait that was interrupted. Standard signals are pending once; real-time signals
 * queue, lowest number first, in order of arrival within a number.
 *
 * Stop signals by default do nothing: nobody could continue the process. Faults of the processor
 * are no signals: they end in a panic that says where.
 *
 * Locks: px_lock for all of it. What may never happen: PX_EVENT_SIGNAL set for a thread that has
 * nothing to take, since its waits would end at once.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "posix/signal.h"
#include "sched/sched.h"

#define BIT(signo) (1ul << (signo))
/* Cannot be blocked, caught or ignored. */
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))
#define IGNORED_BY_DEFAULT                                                                         \
	(BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT) | BIT(SIGSTOP) | BIT(SIGTSTP) | \
	 BIT(SIGTTIN) | BIT(SIGTTOU))

struct px_pending px_process_pending;       /* [p] */
static struct sigaction action_table[NSIG]; /* [p] */
static struct px_signal signal_pool[SIGQUEUE_MAX];
static struct px_signal *pool_free; /* [p] */
static bool pool_ready;             /* [p] */

static bool deliver(struct pthread *self);
static void leave(struct pthread *self, bool for_good);
static void abort_first(void);

bool px_signo_valid(int signo)
{
	return signo > 0 && signo < NSIG;
}

void px_signals_on(void)
{
	if (!atomic_load_acquire(&px_signals_deliver)) {
		atomic_store_relaxed(&px_abort_hook, abort_first);
		atomic_store_relaxed(&px_signals_leave, leave);
		atomic_store_release(&px_signals_deliver, deliver);
	}
	px_self();
}

/* ---- the pool -------------------------------------------------------------------------------- */

/* px_lock held. NULL: SIGQUEUE_MAX are pending. */
struct px_signal *px_signal_alloc(int signo, int code, union sigval value)
{
	struct px_signal *s;

	if (!pool_ready) {
		for (unsigned i = 0; i < SIGQUEUE_MAX; i++) {
			signal_pool[i].next = pool_free;
			pool_free = &signal_pool[i];
		}
		pool_ready = true;
	}
	s = pool_free;
	if (!s)
		return NULL;
	pool_free = s->next;
	*s = (struct px_signal){ .pooled = true };
	s->info = (siginfo_t){
		.si_signo = signo, .si_code = code, .si_pid = getpid(), .si_value = value
	};
	return s;
}

static void signal_done(struct px_signal *s)
{
	s->queued = false;
	if (!s->pooled)
		return;
	s->next = pool_free;
	pool_free = s;
}

/* ---- pending --------------------------------------------------------------------------------- */

static bool is_ignored(int signo)
{
	const struct sigaction *a = &action_table[signo];

	if (a->sa_handler == SIG_IGN)
		return true;
	return a->sa_handler == SIG_DFL && IGNORED_BY_DEFAULT & BIT(signo);
}

static void pending_add(struct px_pending *p, struct px_signal *s)
{
	int signo = s->info.si_signo;
	struct px_signal **at = &p->list;

	if (signo < SIGRTMIN && p->set & BIT(signo)) {
		signal_done(s);
		return;
	}
	while (*at)
		at = &(*at)->next;
	s->next = NULL;
	*at = s;
	s->queued = true;
	p->set |= BIT(signo);
}

/* The first of @signo, which is pending in @p. */
static void pending_take(struct px_pending *p, int signo, siginfo_t *info)
{
	struct px_signal **at = &p->list, *s;
	bool more = false;

	while ((*at)->info.si_signo != signo)
		at = &(*at)->next;
	s = *at;
	*at = s->next;
	for (struct px_signal *i = s->next; i && !more; i = i->next)
		more = i->info.si_signo == signo;
	if (!more)
		p->set &= ~BIT(signo);
	s->info.si_overrun = (int)s->overrun;
	s->overrun_taken = s->overrun;
	s->overrun = 0;
	*info = s->info;
	signal_done(s);
}

/* All of @signo are forgotten. */
static void pending_drop(struct px_pending *p, int signo)
{
	siginfo_t info;

	while (p->set & BIT(signo))
		pending_take(p, signo, &info);
}

bool px_pending_take(struct pthread *self, uint64_t set, siginfo_t *info)
{
	uint64_t mine = self->pending.set & set, ours = px_process_pending.set & set;
	int signo;

	if (!(mine | ours))
		return false;
	signo = __builtin_ctzl(mine | ours);
	pending_take(mine & BIT(signo) ? &self->pending : &px_process_pending, signo, info);
	return true;
}

void px_signal_withdraw(struct px_signal *signal)
{
	struct px_pending *p = &px_process_pending;
	struct px_signal **at = &p->list;
	bool more = false;

	if (!signal->queued)
		return;
	if (signal->target)
		p = &signal->target->pending;
	at = &p->list;
	while (*at && *at != signal)
		at = &(*at)->next;
	if (*at)
		*at = signal->next;
	for (struct px_signal *i = p->list; i && !more; i = i->next)
		more = i->info.si_signo == signal->info.si_signo;
	if (!more)
		p->set &= ~BIT(signal->info.si_signo);
	signal->queued = false;
}

/* ---- who takes it ---------------------------------------------------------------------------- */

static bool wants(const struct pthread *t, int signo)
{
	return t->used && !t->exited && t->core && (~t->mask | t->waited_for) & BIT(signo);
}

void px_signal_update(struct pthread *t)
{
	uint64_t pending = t->pending.set | px_process_pending.set;

	px_event_set(t, PX_EVENT_SIGNAL, pending & (~t->mask | t->waited_for));
}

/* A thread for a signal of the process; NULL: all block it, and it stays. */
static struct pthread *find_taker(int signo)
{
	struct pthread *self = px_tls.record, *t, *any = NULL;

	for (uint32_t i = 0; (t = px_at(i)); i++) {
		if (!wants(t, signo))
			continue;
		if (t->waited_for & BIT(signo))
			return t;
		if (!any || t == self)
			any = t;
	}
	return any;
}

void px_signal_send(struct pthread *t, struct px_signal *signal)
{
	int signo = signal->info.si_signo;
	struct pthread *taker = t ? (wants(t, signo) ? t : NULL) : find_taker(signo);

	/* Where it is blocked it stays: the action may be another when it no longer is. */
	if (taker && is_ignored(signo) && !(taker->waited_for & BIT(signo))) {
		signal_done(signal);
		return;
	}
	signal->target = t;
	pending_add(t ? &t->pending : &px_process_pending, signal);
	if (taker)
		px_attract(taker, PX_EVENT_SIGNAL);
}

/* Signals of the process that @self took notice of and will not take: somebody else may. */
static void pass_on(struct pthread *self, uint64_t set)
{
	for (set &= px_process_pending.set; set; set &= set - 1) {
		struct pthread *t = find_taker(__builtin_ctzl(set));

		if (t && t != self)
			px_attract(t, PX_EVENT_SIGNAL);
	}
}

/*
 * It ends: what it waited for, before it was cancelled, is for others, and its handlers of clean-up
 * may wait for them. @for_good: its signals are forgotten, the process's are for others.
 */
static void leave(struct pthread *self, bool for_good)
{
	uint64_t set = self->waited_for;

	self->waited_for = 0;
	px_signal_update(self);
	pass_on(self, set);
	if (!for_good)
		return;
	while (self->pending.set)
		pending_drop(&self->pending, __builtin_ctzl(self->pending.set));
	self->mask = ~0ul;
	pass_on(self, ~0ul);
}

/* ---- handlers -------------------------------------------------------------------------------- */

/* By default: the end, as a shell would see it. Without px_lock. */
static __noreturn void die(int signo)
{
	fprintf(stderr, "ended by signal %d (%s)\n", signo, strsignal(signo));
	_exit(128 + signo);
}

static void call(const struct sigaction *a, int signo, siginfo_t *info)
{
	if (a->sa_flags & SA_SIGINFO)
		a->sa_sigaction(signo, info, NULL);
	else
		a->sa_handler(signo);
}

/* One signal that was taken, with px_lock held by @flags; comes back with it. */
static void handle(struct pthread *self, siginfo_t *info, unsigned long *flags, bool *restart)
{
	int signo = info->si_signo, error = errno;
	struct sigaction a = action_table[signo];
	uint64_t mask = self->mask;
	bool in_hook;

	if (is_ignored(signo))
		return;
	if (a.sa_handler == SIG_DFL) {
		spin_unlock_irqrestore(&px_lock, *flags);
		die(signo);
	}
	if (a.sa_flags & SA_RESETHAND)
		action_table[signo].sa_handler = SIG_DFL;
	self->mask |= a.sa_mask & ~UNBLOCKABLE;
	if (!(a.sa_flags & SA_NODEFER))
		self->mask |= BIT(signo);
	px_unlock(*flags);
	in_hook =
		thread_hook_leave(); /* a handler may be interrupted, and may leave by siglongjmp() */
	call(&a, signo, info);
	thread_hook_reenter(in_hook);
	errno = error;
	*restart &= (a.sa_flags & SA_RESTART) != 0;
	*flags = spin_lock_irqsave(&px_lock);
	self->handled++;
	self->mask = mask;
}

static bool deliver(struct pthread *self)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	bool restart = true;
	siginfo_t info;

	while (px_pending_take(self, ~self->mask, &info))
		handle(self, &info, &flags, &restart);
	px_signal_update(self);
	px_unlock(flags);
	return restart;
}

/* abort(): SIGABRT's handler first, unless it is blocked or there is none. */
static void abort_first(void)
{
	atomic_store_relaxed(&px_abort_hook, (void (*)(void))NULL);
	if (action_table[SIGABRT].sa_handler != SIG_DFL)
		raise(SIGABRT);
}

/* ---- actions --------------------------------------------------------------------------------- */

static void drop_everywhere(int signo)
{
	struct pthread *t;

	pending_drop(&px_process_pending, signo);
	for (uint32_t i = 0; (t = px_at(i)); i++)
		if (t->used)
			pending_drop(&t->pending, signo);
}

PX_API int sigaction(int signo, const struct sigaction *restrict new,
		     struct sigaction *restrict old)
{
	unsigned long flags;

	if (!px_signo_valid(signo) || (new &&UNBLOCKABLE &BIT(signo)))
		return px_fail(EINVAL);
	if (new &&new->sa_flags & SA_ONSTACK)
		return px_fail(ENOTSUP);
	px_signals_on();
	flags = spin_lock_irqsave(&px_lock);
	if (old)
		*old = action_table[signo];
	if (new) {
		action_table[signo] = *new;
		if (is_ignored(signo))
			drop_everywhere(signo);
	}
	spin_unlock_irqrestore(&px_lock, flags);
	return 0;
}

PX_API _sig_func_ptr signal(int signo, _sig_func_ptr handler)
{
	struct sigaction new = { .sa_flags = SA_RESTART }, old;

	new.sa_handler = handler;
	return sigaction(signo, &new, &old) ? SIG_ERR : old.sa_handler;
}

PX_API _sig_func_ptr bsd_signal(int signo, _sig_func_ptr handler)
{
	return signal(signo, handler);
}

PX_API int siginterrupt(int signo, int interrupts)
{
	struct sigaction a;

	if (sigaction(signo, NULL, &a))
		return -1;
	a.sa_flags = interrupts ? a.sa_flags & ~SA_RESTART : a.sa_flags | SA_RESTART;
	return sigaction(signo, &a, NULL);
}

PX_API int sigaltstack(const stack_t *restrict new, stack_t *restrict old)
{
	(void)new;
	(void)old;
	return px_fail(ENOSYS);
}

/* ---- masks ----------------------------------------------------------------------------------- */

uint64_t px_mask_swap(struct pthread *self, uint64_t mask)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	uint64_t old = self->mask;

	self->mask = mask & ~UNBLOCKABLE;
	px_signal_update(self);
	if (self->mask & ~old)
		pass_on(self, self->mask & ~old);
	px_unlock(flags);
	return old;
}

PX_API int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	struct pthread *self = px_self();
	uint64_t mask = self->mask, was = mask;

	if (set && how == SIG_BLOCK)
		mask |= *set;
	else if (set && how == SIG_UNBLOCK)
		mask &= ~*set;
	else if (set && how == SIG_SETMASK)
		mask = *set;
	else if (set)
		return EINVAL;
	if (set) {
		px_signals_on();
		px_mask_swap(self, mask);
		deliver(self);
	}
	if (old)
		*old = was;
	return 0;
}

PX_API int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	int err = pthread_sigmask(how, set, old);

	return err ? px_fail(err) : 0;
}

PX_API int sigpending(sigset_t *set)
{
	struct pthread *self = px_self();
	unsigned long flags = spin_lock_irqsave(&px_lock);

	*set = (self->pending.set | px_process_pending.set) & self->mask;
	spin_unlock_irqrestore(&px_lock, flags);
	return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* To @t, or to the process; px_lock held. A positive error. */
static int send(struct pthread *t, int signo, int code, union sigval value)
{
	struct px_pending *p = t ? &t->pending : &px_process_pending;
	struct px_signal *s;

	if (signo < SIGRTMIN && p->set & BIT(signo))
		return 0; /* once is enough */
	s = px_signal_alloc(signo, code, value);
	if (!s)
		return EAGAIN;
	px_signal_send(t, s);
	return 0;
}

/* The caller may be the one who takes it: then before the call returns. */
static int sent(struct pthread *self, unsigned long flags, int err)
{
	px_unlock(flags);
	if (px_events() & PX_EVENT_SIGNAL)
		deliver(self);
	return err;
}

static int thread_send(pthread_t id, int signo, int code, union sigval value)
{
	struct pthread *self = px_self(), *t;
	unsigned long flags;
	int err = 0;

	if (signo < 0 || signo >= NSIG)
		return EINVAL;
	px_signals_on();
	flags = spin_lock_irqsave(&px_lock);
	t = px_find(id);
	if (!t)
		err = ESRCH;
	else if (signo && !t->exited)
		err = send(t, signo, code, value);
	return sent(self, flags, err);
}

static int process_send(pid_t pid, int signo, int code, union sigval value)
{
	struct pthread *self = px_self();
	unsigned long flags;
	int err = 0;

	if (signo < 0 || signo >= NSIG)
		return EINVAL;
	/* 0 and -1: the group, and everybody: this process */
	if (pid != getpid() && pid != 0 && pid != -1 && pid != -getpid())
		return ESRCH;
	px_signals_on();
	flags = spin_lock_irqsave(&px_lock);
	if (signo)
		err = send(NULL, signo, code, value);
	return sent(self, flags, err);
}

static const union sigval no_value;

PX_API int pthread_kill(pthread_t id, int signo)
{
	return thread_send(id, signo, SI_USER, no_value);
}

PX_API int pthread_sigqueue(pthread_t id, int signo, union sigval value)
{
	return thread_send(id, signo, SI_QUEUE, value);
}

PX_API int raise(int signo)
{
	int err = pthread_kill(pthread_self(), signo);

	return err ? px_fail(err) : 0;
}

PX_API int kill(pid_t pid, int signo)
{
	int err = process_send(pid, signo, SI_USER, no_value);

	return err ? px_fail(err) : 0;
}

PX_API int killpg(pid_t group, int signo)
{
	return kill(-group, signo);
}

PX_API int tgkill(pid_t pid, pid_t tid, int signo)
{
	struct pthread *t = pid == getpid() ? px_pin_tid(tid) : NULL;
	pthread_t id;
	int err;

	if (!t)
		return px_fail(ESRCH);
	id = px_handle(t);
	px_unpin(t);
	err = pthread_kill(id, signo);
	return err ? px_fail(err) : 0;
}

PX_API int sigqueue(pid_t pid, int signo, union sigval value)
{
	int err = process_send(pid, signo, SI_QUEUE, value);

	return err ? px_fail(err) : 0;
}
