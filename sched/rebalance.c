/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slow half of balancing: fairness between CPUs, CPUs of unequal speed, threads that are sent
 * away, kicks that are passed on.
 *
 * Fairness. EEVDF is exact within a CPU; between CPUs a thread is compared by its position, the
 * virtual service it has had (CPU time * 1024 / weight), set to the general position when it is
 * first seen or its weight changed. On each CPU positions move by speed / sum of the weights, so
 * the sum of all weight * ahead^2 grows by twice the sum, over the CPUs, of
 *   speed / weight of all * sum(weight * ahead).
 * A CPU where threads wait looks for the move of one thread that makes this least, every 8 ms at
 * the end of a slice: a machine that is quiet or equal has no timer for it. So whoever is behind
 * goes to where there is less to do and whoever is ahead to where there is more, and threads that
 * do not divide by the CPUs take turns. A move that brings the loads nearer to each other needs no
 * such reason, only none against it.
 *
 * A waiting thread is moved, unless it is worth two slices more to move the running one. At the end
 * of a slice nobody who waits has run for a slice: none is hot in the cache.
 *
 * Bounded: one thread a look, LOOK_CPUS pairs of locks one after the other, STEAL_SCAN threads
 * under each.
 */
#include "core/irq.h"
#include "core/topology.h"
#include "sched/balance.h"
#include "sched/util.h"

#define LOOK_CPUS 8 /* CPUs that one look compares with, besides the one with the least load */

/* ---- threads that are sent away, kicks that are passed on ------------------------------------ */

/* The least loaded online CPU of @allowed, @prev when equal; NULL: none is online. */
struct cpu *balance_least_loaded(const struct cpumask *allowed, struct cpu *prev)
{
	struct cpumask candidates;
	struct cpu *best = NULL;
	uint32_t best_load = UINT32_MAX;

	cpumask_atomic_and(&candidates, allowed, &cpu_online_mask);
	cpumask_for_each(i, &candidates) {
		struct cpu *cpu = cpu_at(i);
		uint32_t load = atomic_load_relaxed(&cpu->rq.nr_ready) +
				(atomic_load_relaxed(&cpu->rq.curr) != cpu->rq.idle);

		if (load < best_load || (load == best_load && cpu == prev)) {
			best = cpu;
			best_load = load;
		}
	}
	return best;
}

/*
 * Whoever kicked @cpu counts on it to take one thread, but it has work of its own, took another
 * one, or may not run that one. Each thread that waits anywhere is its CPU's to look at again.
 */
void balance_pass_on(struct cpu *cpu)
{
	atomic_store_relaxed(&cpu->rq.kicked, 0u);
	for (unsigned i = 0; i < cpu_count && !cpumask_atomic_empty(&cpu_idle_mask); i++) {
		struct cpu *victim = cpu_at(i);

		if (!cpu_has_waiting(victim))
			continue;
		spin_lock(&victim->rq.lock);
		balance_kick_waiting(&victim->rq);
		spin_unlock(&victim->rq.lock);
	}
}

/* To rq->push_to, if somebody chose it, else where it is taken soonest. */
void balance_send_away(struct runqueue *rq, struct thread *t)
{
	struct cpu *from = cpu_of_rq(rq), *to = rq->push_to;
	struct cpumask others = t->affinity;

	cpumask_reset(&others, from->index);
	rq->push_to = NULL;
	if (!to || !cpumask_test(&others, to->index) ||
	    !cpumask_atomic_test(&cpu_online_mask, to->index))
		to = balance_claim(&others, from->index, false);
	if (!to)
		to = balance_least_loaded(&others, from);
	if (!to && cpumask_test(&t->affinity, from->index) &&
	    cpumask_test(&cpu_online_mask, from->index)) {
		t->sched.unusual &= (uint8_t)~SCHED_MOVE; /* it was to move, but need not */
		sched_enqueue(rq, t, EEVDF_PLACE_MOVE);
		return;
	}
	if (unlikely(!to))
		to = balance_hotplug->place(t, false);
	ASSERT(to != from);
	list_add_tail(&t->sched.node, &rq->outgoing);
	atomic_fetch_add_acq_rel(&balance_outgoing, 1u);
	ipi_send(to);
}

/* @t, on the outgoing list of its CPU, leaves it. */
void balance_keep(struct thread *t)
{
	list_del(&t->sched.node);
	atomic_fetch_add_acq_rel(&balance_outgoing, -1u);
}

/* Takes those that may run on @cpu. */
static void take_from(struct cpu *cpu, struct cpu *from)
{
	struct runqueue *rq = &cpu->rq;

	spin_lock_pair(&rq->lock, &from->rq.lock);
	for (struct list_head *node = from->rq.outgoing.next, *next; node != &from->rq.outgoing;
	     node = next) {
		struct thread *t = container_of(node, struct thread, sched.node);

		next = node->next;
		if (!cpumask_test(&t->affinity, cpu->index))
			continue;
		balance_keep(t);
		t->sched.unusual &= (uint8_t)~SCHED_MOVE;
		t->sched.cpu = cpu;
		sched_enqueue(rq, t, EEVDF_PLACE_MOVE);
		if (!sched_check_preempt(rq, t))
			balance_kick_idle(cpu, &t->affinity);
	}
	spin_unlock(&from->rq.lock);
	spin_unlock(&rq->lock);
}

void (*balance_seek)(struct cpu *cpu);

void balance_take_all(struct cpu *cpu)
{
	const struct balance_hotplug *hotplug = atomic_load_acquire(&balance_hotplug);
	void (*seek)(struct cpu *) = atomic_load_acquire(&balance_seek);

	rt_answer(cpu);
	if (unlikely(hotplug))
		hotplug->seen(cpu);
	if (unlikely(seek))
		seek(cpu);
	if (!cpumask_atomic_test(&cpu_online_mask, cpu->index))
		return;
	for (unsigned i = 0; i < cpu_count; i++) {
		struct cpu *from = cpu_at(i);

		if (from != cpu &&
		    atomic_load_relaxed(&from->rq.outgoing.next) != &from->rq.outgoing)
			take_from(cpu, from);
	}
}

/* @rq, locked: its running thread is to go to @to as soon as its registers are saved. */
static void push_running(struct runqueue *rq, struct cpu *to)
{
	rq->push_to = to;
	rq->curr->sched.unusual |= SCHED_MOVE;
	rq->resched = 1;
}

/* ---- unequal CPUs ---------------------------------------------------------------------------- */

/* The CPUs on which a thread that uses @util has a fifth to spare; if none has, the fastest. */
static const struct cpumask *cpus_that_fit(uint32_t util)
{
	unsigned i = 0;

	while (i + 1 < topology.levels && topology.level_capacity[i] * 4u < util * 5)
		i++;
	return &topology.level_cpus[i];
}

struct cpu *balance_claim_fit(struct thread *t, struct cpu *prev, bool prev_idle, bool fork)
{
	uint32_t util = fork ? UTIL_NEW : util_read(t, time_now_ns());
	struct cpumask fit;
	struct cpu *cpu;

	cpumask_and(&fit, cpus_that_fit(util), &t->affinity);
	if (prev_idle && cpumask_test(&fit, prev->index))
		return prev;
	cpu = balance_claim(&fit, prev->index, false);
	if (!cpu || cpu_capacity(cpu->index) < TOPOLOGY_CAPACITY_MAX)
		monitor_watch(); /* it may grow beyond its CPU */
	return cpu;
}

/*
 * @victim's running thread is too big for it and may run on @cpu, which is faster: it goes there.
 */
static bool pull_running(struct cpu *cpu, struct cpu *victim)
{
	struct runqueue *rq = &victim->rq;
	struct thread *t;
	bool misfit;

	spin_lock(&rq->lock);
	t = rq->curr;
	misfit = t->sched.rank == RANK_FAIR && !(t->sched.unusual & SCHED_MOVE) &&
		 cpumask_test(&t->affinity, cpu->index) &&
		 !cpumask_test(cpus_that_fit(util_read(t, time_now_ns())), victim->index);
	if (misfit)
		push_running(rq, cpu);
	spin_unlock(&rq->lock);
	if (misfit)
		ipi_send(victim);
	return misfit;
}

bool balance_pull_misfit(struct cpu *cpu)
{
	const uint16_t *nearest = topology.nearest[cpu->index];
	unsigned looked = 0;

	for (unsigned i = 0; i + 1 < cpu_count && looked < LOOK_CPUS; i++) {
		struct cpu *victim = cpu_at(nearest[i]);

		if (cpu_capacity(nearest[i]) >= cpu_capacity(cpu->index) ||
		    atomic_load_relaxed(&victim->rq.curr) == victim->rq.idle)
			continue;
		looked++;
		if (pull_running(cpu, victim))
			break;
		monitor_watch(); /* it may grow beyond that CPU */
	}
	return false; /* nobody is here yet */
}

/* ---- fairness between CPUs ------------------------------------------------------------------- */

static int64_t general; /* [a] position of the threads that were looked at last */

/* Virtual units of @ns of CPU time. */
static int64_t virtual(int64_t ns, uint32_t weight)
{
	return ns * 1024 / weight;
}

/* How far @t, charged, is ahead of position @ref, in virtual units. Lock of its rq held. */
static int64_t ahead(struct thread *t, int64_t ref)
{
	uint32_t w = t->sched.fair.weight;
	uint64_t ns = t->sched.runtime_ns;
	int64_t served = (int64_t)(ns / w * 1024 + ns % w * 1024 / w);
	int64_t limit = virtual(AHEAD_MAX_NS, w), a = served + t->sched.standing.base - ref;

	if (t->sched.standing.weight != w)
		a = 0;
	a = MIN(a, limit);
	a = MAX(a, -limit);
	t->sched.standing.base = ref + a - served;
	t->sched.standing.weight = w;
	return a;
}

/* What a look at the fair threads of a CPU finds. */
struct look {
	int64_t sum;     /* of weight * ahead */
	uint64_t weight; /* of those that were looked at */
	uint64_t speed;  /* capacity of the CPU */
};

/* Calls for at most STEAL_SCAN fair threads of @rq, locked: the one in front, then the tree's. */
#define for_each_fair(t, e, i, rq)                                     \
	for ((i) = 0, (e) = eevdf_steal_candidate(&(rq)->fair),        \
	    (t) = (rq)->fair_curr ? (rq)->fair_curr : next_fair(&(e)); \
	     (t) && (i) < STEAL_SCAN; (i)++, (t) = next_fair(&(e)))

static struct thread *next_fair(struct eevdf_entity **e)
{
	struct eevdf_entity *this = *e;

	if (!this)
		return NULL;
	*e = fair_prev(this);
	return container_of(this, struct thread, sched.fair);
}

static void look_around(struct look *l, int64_t ref, struct runqueue *rq)
{
	struct eevdf_entity *e;
	struct thread *t;
	unsigned i;

	*l = (struct look){ .speed = cpu_capacity(cpu_of_rq(rq)->index) };
	if (rq_has_fair_running(rq))
		sched_charge_curr(rq);
	for_each_fair(t, e, i, rq)
	{
		l->sum += ahead(t, ref) * t->sched.fair.weight;
		l->weight += t->sched.fair.weight;
	}
}

/*
 * How fast the threads that were looked at, with one more or less, get further ahead altogether:
 * their virtual time goes by speed / weight.
 */
static int64_t drift(const struct look *l, int64_t more_sum, int64_t more_weight)
{
	int64_t weight = (int64_t)l->weight + more_weight;

	if (weight <= 0)
		return 0;
	return (l->sum + more_sum) * (int64_t)l->speed / weight / (int64_t)TOPOLOGY_CAPACITY_MAX;
}

/*
 * Sum of the weights with @more, as if the CPU were a fastest one. Without the lock: a guess.
 */
static uint64_t load_of(const struct cpu *cpu, uint64_t more)
{
	if (cpu_behind_real_time(cpu))
		return UINT64_MAX / 2;
	return (atomic_load_relaxed(&cpu->rq.fair.W) + more) * TOPOLOGY_CAPACITY_MAX /
	       cpu_capacity(cpu->index);
}

/*
 * What it is worth that @t, @a ahead, goes from @from to @to: how much less the differences grow,
 * and a bonus if the loads come nearer to each other.
 */
static int64_t worth(struct cpu *from, const struct look *here, struct cpu *to,
		     const struct look *there, struct thread *t, int64_t a)
{
	int64_t w = t->sched.fair.weight, sum = a * w;
	int64_t gain = drift(here, 0, 0) + drift(there, 0, 0) - drift(here, -sum, -w) -
		       drift(there, sum, w);
	int64_t turn = virtual(TURN_NS, t->sched.fair.weight);

	if (cpu_behind_real_time(from) || to->rq.curr == to->rq.idle)
		return INT64_MAX / 2;
	if (load_of(to, (uint64_t)w) < load_of(from, 0))
		return gain + turn;
	if (t == from->rq.curr)
		gain -= turn * (int64_t)(ACTIVE_NS / TURN_NS);
	return gain - turn;
}

/* The best move from @from to @to, both locked; t NULL: none is worth it. */
static struct move best_move(struct cpu *from, struct cpu *to)
{
	int64_t ref = atomic_load_relaxed(&general);
	struct move best = { NULL, 0 };
	struct look here, there;
	struct eevdf_entity *e;
	struct thread *t;
	unsigned i;

	if (!from->rq.nr_ready)
		return best;
	look_around(&here, ref, &from->rq);
	look_around(&there, ref, &to->rq);
	for_each_fair(t, e, i, &from->rq)
	{
		int64_t w;

		if (!cpumask_test(&t->affinity, to->index))
			continue;
		w = worth(from, &here, to, &there, t, ahead(t, ref));
		if (w > best.worth)
			best = (struct move){ t, w };
	}
	if (here.weight + there.weight)
		atomic_store_relaxed(&general,
				     ref + (here.sum + there.sum) /
						     (int64_t)(here.weight + there.weight));
	return best;
}

struct move (*balance_best_move)(struct cpu *from, struct cpu *to) = best_move;
bool balance_loads_vary;

/* Makes the best move from @from to @to, or only says what it is worth. */
static int64_t try_move(struct cpu *from, struct cpu *to, bool make)
{
	struct move best;
	struct cpu *act = NULL;

	spin_lock_pair(&from->rq.lock, &to->rq.lock);
	best = balance_best_move(from, to);
	if (make && best.t && best.t == from->rq.curr) {
		push_running(&from->rq, to);
		act = from;
	} else if (make && best.t) {
		balance_move(&from->rq, &to->rq, best.t);
		act = sched_check_preempt(&to->rq, best.t) ? to : NULL;
	}
	spin_unlock(&from->rq.lock);
	spin_unlock(&to->rq.lock);
	if (act && act != arch_cpu_self())
		ipi_send(act);
	return best.worth;
}

/* The CPU with the least load; NULL: @cpu itself. */
static struct cpu *least_load(struct cpu *cpu)
{
	struct cpu *least = NULL;
	uint64_t least_load = load_of(cpu, 0);
	struct cpumask online;

	cpumask_snapshot(&online, &cpu_online_mask);
	cpumask_for_each(i, &online) {
		uint64_t load = load_of(cpu_at(i), 0);

		if (load < least_load && i != cpu->index) {
			least = cpu_at(i);
			least_load = load;
		}
	}
	return least;
}

void balance_from(struct cpu *cpu, uint64_t now_ns)
{
	const uint16_t *nearest = topology.nearest[cpu->index];
	struct cpu *best = least_load(cpu);
	unsigned others = cpu_count - 1, n = MIN(others, (unsigned)LOOK_CPUS);
	int64_t best_worth = 0;

	cpu->rq.balance_ns = now_ns + BALANCE_PERIOD_NS;
	if (best)
		best_worth = try_move(cpu, best, false);
	else if (!atomic_peek_relaxed(&balance_loads_vary))
		return;
	for (unsigned i = 0; i < n; i++) {
		struct cpu *to = cpu_at(nearest[others == n ? i : cpu->rq.looked++ % others]);
		int64_t w;

		if (!cpumask_atomic_test(&cpu_online_mask, to->index) || cpu_behind_real_time(to))
			continue;
		w = try_move(cpu, to, false);
		if (w > best_worth) {
			best = to;
			best_worth = w;
		}
	}
	if (best_worth)
		try_move(cpu, best, true);
}

void balance_tick(struct cpu *cpu, uint64_t now_ns)
{
	if (cpu_count > 1)
		balance_from(cpu, now_ns);
}
