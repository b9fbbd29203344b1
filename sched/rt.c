/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FIFO and round robin, priorities 1..99: one list a level and a bitmap. POSIX rules: a preempted
 * thread goes to the head of its level, one that yields or has used up its quantum to the tail, and
 * so does one that is given a priority; but whom sched_set_priority() lowers goes to the head. The
 * quick half of the queue, its front slot, is inline in sched.h. Caller holds rq->lock.
 */
#include "sched/sched.h"

static unsigned highest_bit(uint64_t w)
{
	unsigned n = 0;

	for (unsigned half = 32; half; half /= 2)
		if (w >> half) {
			w >>= half;
			n += half;
		}
	return n;
}

/*
 * By halves: a board without a count-leading-zeros instruction needs no table and no library call.
 */
void rt_find_highest(void *rt_queue, unsigned long thread)
{
	struct rt_queue *q = rt_queue;
	struct thread *t = (struct thread *)thread;

	if (q->front)
		q->highest = q->front->sched.priority;
	else
		q->highest = q->bitmap[1] ? 64 + highest_bit(q->bitmap[1]) :
					    highest_bit(q->bitmap[0]);
	if (q->unserved)
		server_rt_taken(container_of(q, struct runqueue, rt), t);
	if (q->elsewhere)
		rt_falls(container_of(q, struct runqueue, rt), t->sched.priority);
}

/* A thread has been added to the list of @level. */
static void mark(struct rt_queue *q, unsigned level)
{
	q->nr_listed++;
	q->bitmap[level / 64] |= 1ull << (level % 64);
	q->highest = MAX(q->highest, level);
}

/*
 * Another one waits, too, so @t will not run here at once, whatever runs here: if an interrupt woke
 * both, nobody has offered it to other CPUs.
 */
static void offer(struct rt_queue *q, const struct thread *t)
{
	struct runqueue *rq = container_of(q, struct runqueue, rt);

	if (rq->peers)
		rt_waits(rq, t);
}

/* The thread in the slot goes to the head of its level: nobody is before it. */
static void flush_front(struct rt_queue *q)
{
	struct thread *t = q->front;

	q->front = NULL;
	if (!t)
		return;
	list_add_head(&t->sched.node, &q->level[t->sched.priority]);
	mark(q, t->sched.priority);
}

void rt_put_tail_behind(void *rt_queue, unsigned long thread)
{
	struct rt_queue *q = rt_queue;
	struct thread *t = (struct thread *)thread;

	if (t->sched.priority > q->highest) {
		offer(q, rt_first(q));
		flush_front(q);
		rt_set_front(q, t);
	} else {
		list_add_tail(&t->sched.node, &q->level[t->sched.priority]);
		mark(q, t->sched.priority);
		offer(q, t);
	}
}

void rt_put_head_behind(void *rt_queue, unsigned long thread)
{
	struct rt_queue *q = rt_queue;
	struct thread *t = (struct thread *)thread;

	if (t->sched.priority >= q->highest) {
		offer(q, rt_first(q));
		flush_front(q);
		rt_set_front(q, t);
	} else {
		list_add_head(&t->sched.node, &q->level[t->sched.priority]);
		mark(q, t->sched.priority);
		offer(q, t);
	}
}

void rt_take_queued(void *rt_queue, unsigned long thread)
{
	struct rt_queue *q = rt_queue;
	struct thread *t = (struct thread *)thread;
	unsigned level = t->sched.priority;

	list_del(&t->sched.node);
	q->nr_listed--;
	if (list_empty(&q->level[level]))
		q->bitmap[level / 64] &= ~(1ull << (level % 64));
	rt_find_highest(q, thread);
}

static void rt_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	(void)place;
	rt_put_tail(&rq->rt, t);
	rq->nr_ready++;
}

static void rt_start(struct runqueue *rq, struct thread *t)
{
	rt_take(&rq->rt, t);
	rq->nr_ready--;
}

/* It will not run here: what does may be worse than what waits elsewhere. */
static void rt_dequeue(struct runqueue *rq, struct thread *t)
{
	rt_start(rq, t);
	if (rq->rt.elsewhere)
		rt_falls(rq, MAX(rq->curr->sched.priority, rq->rt.highest));
}

static void rt_charge(struct runqueue *rq, struct thread *t, uint64_t delta_ns)
{
	(void)rq;
	t->sched.rr_left_ns -= MIN(delta_ns, t->sched.rr_left_ns);
}

static void rt_stop(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	/* one that runs with a borrowed rank is not sliced */
	bool used_up = (t->sched.unusual & SCHED_SLICED) && !t->sched.rr_left_ns;
	bool last = used_up || why == STOP_YIELDED || t->sched.unusual & SCHED_TAIL;

	if (used_up || why == STOP_YIELDED)
		t->sched.rr_left_ns = RR_QUANTUM_NS;
	t->sched.unusual &= (uint8_t)~SCHED_TAIL;
	if (why == STOP_BLOCKED && rq->rt.elsewhere && !rq->rt.highest)
		rt_falls(rq, 0);
	if (why == STOP_BLOCKED)
		return;
	if (last)
		rt_put_tail(&rq->rt, t);
	else
		rt_put_head(&rq->rt, t);
	if (rq->nr_ready++ && rq->peers)
		rt_waits(rq, t);
}

static struct thread *rt_pick(struct runqueue *rq)
{
	if (!rq->rt.highest)
		return NULL;
	return unlikely(rq->rt.unserved == RT_SERVING) ? server_pick(rq) : rt_first(&rq->rt);
}

static uint64_t rt_slice_ns(const struct runqueue *rq, const struct thread *t)
{
	(void)rq;
	return t->sched.rr_left_ns;
}

static struct thread *rt_steal(const struct runqueue *rq, const struct cpumask *cpus)
{
	unsigned scanned = 0;

	if (rq->rt.front && cpumask_intersects(&rq->rt.front->affinity, cpus))
		return rq->rt.front;
	for (unsigned level = rq->rt.highest; level > 0; level--) {
		if (!(rq->rt.bitmap[level / 64] >> (level % 64) & 1))
			continue;
		list_for_each(node, &rq->rt.level[level]) {
			struct thread *t = container_of(node, struct thread, sched.node);

			if (cpumask_intersects(&t->affinity, cpus))
				return t;
			if (++scanned == STEAL_SCAN)
				return NULL;
		}
	}
	return NULL;
}

struct sched_class rt_class = {
	.name = "rt",
	.rank = RANK_RT,
	.enqueue = rt_enqueue,
	.dequeue = rt_dequeue,
	.charge = rt_charge,
	.stop = rt_stop,
	.pick = rt_pick,
	.start = rt_start,
	.slice_ns = rt_slice_ns,
	.steal = rt_steal,
};
