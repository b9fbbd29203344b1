/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The invariants of sched/sched.h, looked at from outside while the machine stands still at a sync
 * point: S2..S4 of each run queue whose lock is free, S1 and S5 of all threads when every run-queue
 * lock is free. When the machine is quiet (no CPU has anything to do before the next event) nothing
 * may be left undone: no thread under way to another CPU, no CPU idle while a thread that may run
 * there waits, no timer unarmed.
 */
#include <stdio.h>
#include <string.h>

#include "core/hotplug.h"
#include "core/timer.h"
#include "sched/deadline.h"
#include "sched/group.h"
#include "sched/sched.h"
#include "tests/host/host_seeds.h"

#define TIDS 8192

bool check_conservation = true;
unsigned (*check_class)(struct runqueue *rq);

static unsigned char places[TIDS]; /* in how many places each thread is */
static unsigned places_used;       /* the rest was never written to */
static bool count_places;

static void found(struct thread *t)
{
	if (!count_places || t->tid <= 0 || t->tid >= TIDS)
		return;
	places[t->tid]++;
	places_used = MAX(places_used, (unsigned)t->tid + 1);
}

void check_found(struct thread *t)
{
	found(t);
}

static void check_waits(const struct runqueue *rq, struct thread *t)
{
	CHECK(t != rq->curr && t != rq->idle);
	CHECK(t->sched.state == THREAD_RUNNABLE && !(t->sched.unusual & SCHED_MOVE));
	CHECK(&t->sched.cpu->rq == rq);
	CHECK(rq->curr == rq->idle || rq->resched || t->sched.rank <= rq->curr->sched.rank ||
	      (rq->rt.unserved == RT_SERVING && rq->curr == rq->fair_curr));
	found(t);
}

/* The next one whose bit is set; 128: there is none. */
static unsigned level_after(const struct runqueue *rq, unsigned level)
{
	uint64_t left;

	for (level++; level < 128; level = (level | 63) + 1) {
		left = rq->rt.bitmap[level / 64] >> level % 64;
		if (left)
			return level + (unsigned)__builtin_ctzll(left);
	}
	return 128;
}

static unsigned check_rt(const struct runqueue *rq)
{
	struct thread *front = rq->rt.front;
	unsigned n = 0, highest = 0;

	/* whoever waits at a level whose bit is clear is in no place: check_places() */
	for (unsigned level = level_after(rq, 0); level < 100; level = level_after(rq, level)) {
		const struct list_head *head = &rq->rt.level[level];

		CHECK(!list_empty(head));
		list_for_each(node, head) {
			struct thread *t = container_of(node, struct thread, sched.node);

			CHECK(node->next->prev == node && node->prev->next == node);
			CHECK(t->sched.rank == RANK_RT + level && t->sched.priority == level);
			check_waits(rq, t);
			highest = level;
			n++;
		}
	}
	if (front) {
		CHECK(front->sched.rank == RANK_RT + front->sched.priority &&
		      front->sched.priority >= highest);
		check_waits(rq, front);
		highest = front->sched.priority;
		n++;
	}
	CHECK(rq->rt.highest == highest);
	return n;
}

static bool is_earlier(const struct rb_node *a, const struct rb_node *b)
{
	return container_of(a, struct deadline_place, node)->until_ns <
	       container_of(b, struct deadline_place, node)->until_ns;
}

static bool is_due_earlier(const struct rb_node *a, const struct rb_node *b)
{
	return container_of(a, struct deadline_place, node)->at_ns <
	       container_of(b, struct deadline_place, node)->at_ns;
}

/* D1 and D2 of sched/deadline.c. The first one that waits was counted in the front slot. */
static unsigned check_deadlines(const struct runqueue *rq)
{
	const struct thread *front = rq->rt.front;
	const struct deadline_queue *q;
	unsigned n = 0, counted_bw = 0;

	if (!deadline_queues)
		return 0;
	q = deadline_queue_of(rq);
	CHECK(rb_check(&q->ready, is_earlier) >= 0 && rb_check(&q->throttled, is_due_earlier) >= 0);
	CHECK((front && front->sched.rank == RANK_DEADLINE) == !rb_empty(&q->ready));
	for (struct rb_node *node = rb_first(&q->ready); node; node = rb_next(node), n++) {
		struct thread *t = deadline_thread(node);
		const struct deadline_place *p = &t->sched.place;

		CHECK(n || t == front);
		CHECK(p->server && (p->server == t->sched.deadline || p->server == p->lent));
		/* a lender may have used it up, or taken it back, meanwhile */
		CHECK(p->server != t->sched.deadline || p->server->lends ||
		      (p->server->left_ns > 0 && p->server->deadline_ns == p->until_ns));
		CHECK(!(t->sched.unusual & SCHED_THROTTLED));
		CHECK(t->sched.rank == RANK_DEADLINE);
		CHECK(rq->resched || rq->curr->sched.rank < RANK_DEADLINE ||
		      rq->curr->sched.place.until_ns <= p->until_ns);
		if (n)
			check_waits(rq, t);
	}
	for (struct rb_node *node = rb_first(&q->owing); node; node = rb_next(node)) {
		struct deadline *d = container_of(node, struct deadline, node);

		CHECK(d->owes && d->counted_bw && d->thread->sched.state == THREAD_BLOCKED);
		CHECK(&d->thread->sched.cpu->rq == rq);
		counted_bw += d->counted_bw;
	}
	CHECK(q->active_bw >= counted_bw + q->gone_bw);
	CHECK(q->running_ns == (rq->curr->sched.rank == RANK_DEADLINE ?
					rq->curr->sched.place.until_ns :
					UINT64_MAX));
	for (struct rb_node *node = rb_first(&q->throttled); node; node = rb_next(node)) {
		struct thread *t = deadline_thread(node);

		CHECK(t->sched.deadline && t->sched.deadline->left_ns <= 0);
		CHECK(t->sched.unusual & SCHED_THROTTLED);
		CHECK(t->sched.rank == RANK_DEADLINE && t != rq->curr);
		CHECK(&t->sched.cpu->rq == rq && t->sched.state == THREAD_RUNNABLE);
		found(t);
	}
	return n ? n - 1 : 0;
}

/* The machine is quiet: no CPU that @t may use runs what is later. */
static void check_runs_later(const struct thread *t)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		const struct thread *curr = cpu_at(i)->rq.curr;

		if (!cpumask_test(&t->affinity, i) || !cpumask_test(&cpu_online_mask, i))
			continue;
		CHECK(curr->sched.rank == RANK_DEADLINE &&
		      curr->sched.place.until_ns <= t->sched.place.until_ns);
	}
}

static void check_earliest_run(void)
{
	for (unsigned i = 0; deadline_queues && i < cpu_count; i++)
		for (struct rb_node *node = rb_first(&deadline_queues[i].ready); node;
		     node = rb_next(node))
			check_runs_later(deadline_thread(node));
}

/* What waits in a tree; sums are eevdf_check()'s. */
struct waiting {
	unsigned members, threads, groups;
};

static void check_thread(struct runqueue *rq, struct group_cpu *gc, struct thread *t)
{
	CHECK(t->sched.rank == RANK_FAIR && t->sched.fair.joined && t != rq->fair_curr);
	CHECK(group_on(rq, t) == gc);
	CHECK((t->sched.unusual & (SCHED_FLAT | SCHED_GROUPED)) ==
	      (gc ? SCHED_GROUPED : SCHED_FLAT));
	check_waits(rq, t);
}

static void check_tree(struct runqueue *rq, struct group_cpu *gc, struct eevdf_entity *e,
		       struct waiting *n)
{
	if (!e)
		return;
	n->members++;
	n->groups += e->group;
	n->threads += !e->group;
	if (e->group)
		CHECK(e->joined && group_cpu_of(e)->parent == gc && group_cpu_of(e)->queue.nr);
	else
		check_thread(rq, gc, container_of(e, struct thread, sched.fair));
	check_tree(rq, gc, e->child[0], n);
	check_tree(rq, gc, e->child[1], n);
}

/* Threads that wait in @gc and in what is below it and not throttled. */
static unsigned nr_waiting_below(struct group_cpu *gc, unsigned cpu, unsigned threads)
{
	list_for_each(node, &group_list) {
		struct group_cpu *c = &container_of(node, struct thread_group, all)->on[cpu];

		if (c->parent == gc && !c->throttled)
			threads += c->nr_waiting;
	}
	return threads;
}

static void check_group(struct runqueue *rq, struct group_cpu *gc, unsigned cpu)
{
	bool active = gc->entity.joined && !gc->entity.delayed;
	struct waiting n = { 0 };

	check_tree(rq, gc, gc->queue.root, &n);
	CHECK(gc->queue.nr == n.members + (gc->curr != NULL));
	CHECK(active == (gc->queue.nr && !gc->throttled));
	CHECK(!gc->throttled || !gc->curr);
	CHECK(gc->nr_waiting == nr_waiting_below(gc, cpu, n.threads));
	CHECK(!gc->load == !gc->queue.nr);
	eevdf_check(&gc->queue, gc->curr);
}

/* The member at the top that the running grouped thread belongs to, or the front slot's. */
static struct eevdf_entity *check_chain(struct runqueue *rq)
{
	struct eevdf_entity *e = rq->fair_curr ? &rq->fair_curr->sched.fair : NULL;

	if (!e)
		return NULL;
	for (struct group_cpu *gc = group_on(rq, rq->fair_curr); gc; gc = gc->parent) {
		CHECK(rq->curr == rq->fair_curr && gc->curr == e);
		e = &gc->entity;
	}
	return e;
}

static unsigned check_fair(struct runqueue *rq, unsigned cpu)
{
	struct eevdf_entity *top = check_chain(rq);
	struct waiting n = { 0 };

	check_tree(rq, NULL, rq->fair.root, &n);
	CHECK(rq->fair.nr == n.members + (top != NULL));
	CHECK(rq->nr_groups == n.groups + (top && top->group));
	CHECK(!rq->nr_groups || rq->fair_curr != rq->curr ||
	      rq->curr->sched.unusual & SCHED_GROUPED);
	eevdf_check(&rq->fair, top);
	list_for_each(node, &group_list)
		check_group(rq, &container_of(node, struct thread_group, all)->on[cpu], cpu);
	return nr_waiting_below(NULL, cpu, n.threads);
}

static unsigned check_outgoing(struct runqueue *rq)
{
	unsigned n = 0;

	list_for_each(node, &rq->outgoing) {
		struct thread *t = container_of(node, struct thread, sched.node);

		CHECK(t->sched.unusual & SCHED_MOVE && t->sched.state == THREAD_RUNNABLE);
		found(t);
		n++;
	}
	return n;
}

static void check_rq(struct cpu *cpu, bool quiet)
{
	struct runqueue *rq = &cpu->rq;
	struct thread *front = rq->fair_curr;
	unsigned waits = check_rt(rq) + check_deadlines(rq) + check_fair(rq, cpu->index) +
			 (front && front != rq->curr) + (check_class ? check_class(rq) : 0);

	CHECK(rq->curr->sched.state == THREAD_RUNNABLE && rq->curr->sched.cpu == cpu);
	CHECK(!front || (front->sched.rank == RANK_FAIR && front->sched.state == THREAD_RUNNABLE &&
			 front->sched.fair.joined));
	CHECK(rq->curr->sched.rank != RANK_FAIR || rq->curr == front);
	CHECK(rq->nr_ready == waits);
	CHECK(!rq->fair_paused ||
	      (rq->fair_paused->sched.fair.joined && rq->fair_paused->sched.cpu == cpu &&
	       rq->fair_paused->sched.state == THREAD_RUNNABLE));
	found(rq->curr);
	if (front && front != rq->curr)
		check_waits(rq, front);
	/* what was sent to a CPU that began to leave just then is sent again before it has left */
	CHECK(!check_outgoing(rq) || !quiet || cpu_leaving);
}

static void check_places(struct thread *t, void *arg)
{
	(void)arg;
	/* its tid may be another's already; that no dead one waits is said by check_waits() */
	if (t->tid <= 0 || t->tid >= TIDS || t->sched.state == THREAD_DEAD)
		return;
	CHECK(places[t->tid] == (t->sched.state == THREAD_RUNNABLE));
	CHECK(t->sched.state == THREAD_RUNNABLE || t->sched.rank != RANK_FAIR ||
	      t->sched.fair.joined == t->sched.fair.delayed);
}

static bool may_run(const struct runqueue *rq, unsigned cpu)
{
	struct cpumask mask = { 0 };

	cpumask_set(&mask, cpu);
	for (unsigned i = 0; i < ARRAY_SIZE(sched_classes); i++)
		if (sched_classes[i]->steal(rq, &mask))
			return true;
	return false;
}

static bool wastes(const struct cpu *cpu)
{
	for (unsigned i = 0; i < cpu_count; i++)
		if (i != cpu->index && may_run(&cpu_at(i)->rq, cpu->index))
			return true;
	return false;
}

/* One that threads may be put on: not one that is off, nor one that leaves. */
static bool is_online(const struct cpu *cpu)
{
	return cpumask_test(&cpu_online_mask, cpu->index);
}

/* Nobody is left behind on a CPU that is off, and nobody looks for it. */
static void check_off(struct cpu *cpu)
{
	bool parked = cpu->online == CPU_PARKED, stopped = cpu->arch.host->state == HOST_CPU_OFF;

	if (cpu->online != CPU_OFFLINE && !parked)
		return;
	CHECK(!is_online(cpu));
	CHECK(cpu->rq.curr == cpu->rq.idle && !cpu->rq.nr_ready && !cpu->rq.fair.nr);
	CHECK(list_empty(&cpu->rq.outgoing));
	CHECK(!stopped || cpu->online == CPU_OFFLINE);
	if (parked || stopped)
		CHECK(timer_first_ns(&cpu->timers) == UINT64_MAX &&
		      !cpumask_test(&cpu_idle_mask, cpu->index));
}

static void check_quiet(struct cpu *cpu)
{
	bool idle = host_cpu_is_idle(cpu->index);
	uint64_t first_ns = timer_first_ns(&cpu->timers);

	/* one that is overdue waits for the gap between two batches at most */
	CHECK(first_ns == UINT64_MAX ||
	      cpu->arch.host->timer_ns <= MAX(first_ns, host_now_ns + TIMER_BATCH_GAP_NS));
	CHECK(cpu->rq.slice_end_ns == UINT64_MAX ||
	      cpu->arch.host->timer_ns <= cpu->rq.slice_end_ns);
	CHECK(!cpu->rq.resched || idle);
	CHECK(cpumask_test(&cpu->rq.curr->affinity, cpu->index));
	if (!idle || !check_conservation || !is_online(cpu))
		return;
	CHECK(cpumask_test(&cpu_idle_mask, cpu->index));
}

/* No CPU sleeps while a thread that may run there waits. */
static void check_conserved(void)
{
	for (unsigned i = 0; i < cpu_count; i++)
		CHECK(!host_cpu_is_idle(i) || !is_online(cpu_at(i)) || !wastes(cpu_at(i)));
}

/*
 * No real-time thread waits while a CPU where it may run runs a worse one. One that is about to
 * leave is not asked for more.
 */
static void check_rt_waiting(const struct thread *t)
{
	for (unsigned i = 0; i < cpu_count; i++)
		CHECK(!is_online(cpu_at(i)) || !cpumask_test(&t->affinity, i) ||
		      cpu_at(i)->rq.curr->sched.rank >= t->sched.rank ||
		      cpu_at(i)->rq.rt.unserved == RT_SERVING);
}

static void check_best_run(const struct runqueue *rq)
{
	if (rq->rt.front)
		check_rt_waiting(rq->rt.front);
	for (unsigned level = 1; level < 100; level++)
		list_for_each(node, &rq->rt.level[level])
			check_rt_waiting(container_of(node, struct thread, sched.node));
}

/* Every CPU has been up; from then on it is up or off. */
static bool all_up(void)
{
	static bool up;

	if (up)
		return true;
	for (unsigned i = 0; i < cpu_count; i++)
		if (!cpu_at(i) || !cpu_at(i)->rq.idle || !cpu_at(i)->online)
			return false;
	up = cpu_count == host_nr_cpus && cpumask_count(&cpu_online_mask) == cpu_count;
	return up;
}

/* The next budget of a lender who has used up this one is on its way, or he is about to be asked. */
static void check_loan(struct thread *t, void *unused)
{
	const struct deadline *d = t->sched.deadline;

	(void)unused;
	CHECK(!d || !d->lends || d->left_ns > 0 || d->timer.armed || t->borrower.links);
}

void check_machine(bool quiet)
{
	if (!all_up())
		return;
	count_places = true;
	for (unsigned i = 0; i < cpu_count; i++)
		count_places &= !cpu_at(i)->rq.lock.word;
	memset(places, 0, places_used);
	for (unsigned i = 0; i < cpu_count; i++)
		if (!cpu_at(i)->rq.lock.word)
			check_rq(cpu_at(i), quiet);
	for (unsigned i = 0; i < cpu_count; i++)
		check_off(cpu_at(i));
	if (count_places)
		host_each_thread(check_places, NULL);
	for (unsigned i = 0; quiet && i < cpu_count; i++)
		check_quiet(cpu_at(i));
	if (quiet && !cpu_leaving)
		check_earliest_run();
	if (quiet && deadline_queues)
		host_each_thread(check_loan, NULL);
	if (quiet && check_conservation)
		check_conserved();
	for (unsigned i = 0; quiet && check_conservation && i < cpu_count; i++)
		check_best_run(&cpu_at(i)->rq);
}
