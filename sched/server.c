/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deferred server of the fair class (sched/server.h), one timer a CPU.
 *
 * The timer is armed when a fair thread begins to wait behind real time, or when a real-time thread
 * is taken from the queue while rt.unserved is set, which says that fair threads had the CPU; from
 * then on nothing is done for a switch. When it expires, virtual time says what the fair class has
 * got since the period began. If that leaves it no more time than it still needs, it is served:
 * rt_pick() picks the fair class's choice instead of its own until the budget is used up or nobody
 * there is runnable. Else the timer is set to when that would be. It stops where only one of the two
 * classes is left.
 *
 * A real-time thread that an interrupt wakes while fair threads are served comes in by the short
 * cut, which knows nothing of the server. But it is taken from the queue, where rt.unserved is set:
 * the timer expires at once and puts it back.
 *
 * What virtual time says is exact while the threads of the CPU stay the same, and else as exact as
 * their lag when they come and go: within a slice. Called with rq->lock held and irqs masked.
 */
#include "sched/server.h"
#include "core/bootargs.h"
#include "core/irq.h"
#include "sched/deadline.h"
#include "sched/sched.h"

#define SERVED_NS 2000 /* less is not worth a switch */

uint64_t fair_server_us = 50000;
uint64_t fair_server_period_us = 1000000;

BOOT_PARAM(fair_server_us, BOOT_U64, &fair_server_us,
	   "what fair threads get of each period behind real time, in microseconds; 0: nothing");
BOOT_PARAM(fair_server_period_us, BOOT_U64, &fair_server_period_us,
	   "that period, in microseconds: 1000..60000000, and not below fair_server_us");

static struct fair_server *server_of(struct runqueue *rq)
{
	return &cpu_of_rq(rq)->server;
}

struct limits {
	uint64_t budget_ns, period_ns;
};

/* The boot arguments may say anything. */
static __cold __noinline struct limits limits(void)
{
	uint64_t budget_us = atomic_load_relaxed(&fair_server_us);
	uint64_t period_us = atomic_load_relaxed(&fair_server_period_us);

	period_us = MAX(period_us, FAIR_SERVER_PERIOD_MIN_US);
	period_us = MIN(period_us, FAIR_SERVER_PERIOD_MAX_US);
	budget_us = MIN(budget_us, period_us);
	return (struct limits){ budget_us * NSEC_PER_USEC, period_us * NSEC_PER_USEC };
}

static void server_begin(struct runqueue *rq, uint64_t now_ns)
{
	server_of(rq)->since_ns = now_ns;
	server_of(rq)->v = rq->fair.V;
}

/* Since the period began. */
static uint64_t got_ns(struct runqueue *rq)
{
	int64_t dv = (int64_t)(rq->fair.V - server_of(rq)->v);

	return dv > 0 ? (uint64_t)dv * rq->fair.W / 1024 : 0;
}

/* Nobody is served any more: real time goes on. */
static void leave(struct runqueue *rq, uint64_t now_ns)
{
	server_begin(rq, now_ns);
	if (rq->rt.unserved == RT_SERVING && rq->rt.highest)
		rq->resched = 1;
	rq->rt.unserved = 0;
}

/* When to look again; 0: when both classes meet again. */
static uint64_t look(struct runqueue *rq, uint64_t now_ns)
{
	struct limits l = limits();
	uint64_t left = l.budget_ns, must_ns;

	if (rq_has_fair_running(rq))
		sched_charge_curr(rq);
	fair_settle(rq);
	left -= MIN(got_ns(rq), left);
	if (!rq->fair.nr || left < SERVED_NS) {
		leave(rq, now_ns);
		left = l.budget_ns;
	}
	if (!rq->fair.nr || !left)
		return 0;
	if (rq->curr->sched.rank <= RANK_FAIR && !rq->rt.highest) {
		rq->rt.unserved = RT_UNARMED;
		return 0;
	}
	must_ns = server_of(rq)->since_ns + l.period_ns - left;
	if (rq->rt.unserved != RT_SERVING && now_ns < must_ns)
		return must_ns;
	rq->rt.unserved = RT_SERVING;
	if (rq->curr->sched.rank > RANK_RT && rq->curr->sched.rank != RANK_DEADLINE)
		rq->resched = 1;
	return now_ns + left;
}

/*
 * On the CPU that last armed it, which need not be that of the queue. While it waited for the lock
 * it may have been armed again, for the period that has begun meanwhile.
 */
static void expired(struct timer *timer)
{
	struct runqueue *rq = &container_of(timer, struct cpu, server.timer)->rq;
	uint64_t next_ns = 0;

	spin_lock(&rq->lock);
	if (!timer->armed)
		next_ns = look(rq, time_now_ns());
	if (next_ns)
		timer_add(timer, next_ns);
	if (rq->resched && cpu_of_rq(rq) != arch_cpu_self())
		ipi_send(cpu_of_rq(rq));
	spin_unlock(&rq->lock);
}

__cold void server_init(struct runqueue *rq)
{
	timer_init(&server_of(rq)->timer, expired);
}

__cold void server_fair_waits(struct runqueue *rq)
{
	struct limits l = limits();
	uint64_t now_ns = time_now_ns();

	server_begin(rq, now_ns);
	if (l.budget_ns && !server_of(rq)->timer.armed)
		timer_add(&server_of(rq)->timer, now_ns + l.period_ns - l.budget_ns);
}

__cold void server_rt_taken(struct runqueue *rq, const struct thread *t)
{
	if (cpu_of_rq(rq) != arch_cpu_self() || t->sched.rank == RANK_DEADLINE)
		return;
	if (rq->rt.unserved == RT_SERVING) {
		timer_cancel(&server_of(rq)->timer);
		timer_add(&server_of(rq)->timer, time_now_ns());
		return;
	}
	rq->rt.unserved = 0;
	if (rq->fair.nr)
		server_fair_waits(rq);
}

__cold void server_idle(struct runqueue *rq)
{
	spin_lock(&rq->lock);
	timer_cancel(&server_of(rq)->timer);
	rq->rt.unserved = 0;
	spin_unlock(&rq->lock);
}

__cold struct thread *server_pick(struct runqueue *rq)
{
	struct thread *best = rt_first(&rq->rt), *t;

	if (best->sched.rank == RANK_DEADLINE) /* the server's own deadline is a period away */
		return best;
	t = fair_class.pick(rq);
	if (!t)
		rq->rt.unserved = 0; /* its timer begins another period */
	else if (rq->peers)
		rt_waits(rq, best);
	return t ? t : best;
}

int fair_server_reserve(unsigned cpu)
{
	struct limits l = limits();

	return deadline_reserve_server(cpu, l.budget_ns, l.period_ns);
}

/* On every CPU, or on none. */
static int reserve(uint64_t budget_ns, uint64_t period_ns)
{
	int err = 0;

	for (unsigned i = 0; i < cpu_count && !err; i++)
		err = deadline_reserve_server(i, budget_ns, period_ns);
	for (unsigned i = 0; i < cpu_count && err; i++)
		fair_server_reserve(i); /* it had that before */
	return err;
}

LOCK_UNCHECKED int fair_server_set(uint64_t budget_us, uint64_t period_us)
{
	int err;

	if (budget_us > period_us || period_us < FAIR_SERVER_PERIOD_MIN_US ||
	    period_us > FAIR_SERVER_PERIOD_MAX_US)
		return -EINVAL;
	err = reserve(budget_us * NSEC_PER_USEC, period_us * NSEC_PER_USEC);
	if (err)
		return err;
	atomic_store_relaxed(&fair_server_us, budget_us);
	atomic_store_relaxed(&fair_server_period_us, period_us);
	for (unsigned i = 0; i < cpu_count; i++) {
		struct runqueue *rq = &cpu_at(i)->rq;
		unsigned long flags = spin_lock_irqsave(&rq->lock);

		if (timer_cancel(&server_of(rq)->timer)) {
			fair_settle(rq);
			server_begin(rq, time_now_ns());
			timer_add(&server_of(rq)->timer, time_now_ns());
		}
		server_fair_runs(rq);
		if (rq->curr->sched.rank > RANK_RT && rq->fair.nr && !server_of(rq)->timer.armed)
			server_fair_waits(rq);
		spin_unlock_irqrestore(&rq->lock, flags);
	}
	return 0;
}
