/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCHED_SPORADIC (B. Sprunt, L. Sha and J. Lehoczky, Aperiodic Task Scheduling for Hard-Real-Time
 * Systems, 1989; POSIX.1 2.8.4), with the replenishment of M. Stanovich, T. Baker, A. Wang and M.
 * Harbour, Defects of the POSIX Sporadic Server and How to Correct Them, RTAS 2010.
 *
 * The budget is a list of pieces, each with the time from which on it may be used. They always add
 * up to the budget. The thread uses the first one; what it used of it comes back, as a piece, one
 * period after that piece's time, which is moved up to the wake-up when the thread was not there to
 * use it. So each piece is a sporadic task of its own that is released at most once a period, and
 * all together are a periodic task with the budget. POSIX has one amount and one activation time
 * instead, so a piece that came back while the thread was preempted returns with what was left
 * before: too early, and more than the budget may be used in a period. And what ran too long, until
 * the interrupt came, is forgiven there; here it is used of the piece that comes next.
 *
 * When the first piece's time is to come, the thread has its low priority: as soon as it has used
 * what there was, by the one-shot timer, or when it wakes. When that time comes, it has its high one
 * again, though it waits for something. Both times it goes to the tail (POSIX). A thread that
 * blocks keeps its priority until it wakes, and with it its place among those that wait.
 *
 * max_repl pieces may be to come, and one be in use. One more joins the last, at its own, later
 * time.
 *
 * The functions of this file take the place of those in rt_class and call them; a thread with a
 * borrowed rank is theirs alone.
 */
#include "sched/sporadic.h"
#include "core/irq.h"
#include "core/mem/page.h"
#include "core/string.h"
#include "core/sync.h"

/* ---- the budget: pure rules ------------------------------------------------------------------ */

static struct sporadic_piece *piece_at(struct sporadic_budget *b, uint32_t i)
{
	return &b->piece[(b->first + i) % ARRAY_SIZE(b->piece)];
}

/* All of it, from now on. */
void sporadic_fill(struct sporadic_budget *b, uint64_t now_ns)
{
	b->first = 0;
	b->n = 1;
	b->piece[0] = (struct sporadic_piece){ .at_ns = now_ns, .ns = b->budget_ns };
}

static struct sporadic_piece pop(struct sporadic_budget *b)
{
	struct sporadic_piece p = *piece_at(b, 0);

	b->first = (b->first + 1) % ARRAY_SIZE(b->piece);
	b->n--;
	return p;
}

/* @ns come back at @at_ns, which is not before any other piece's time. */
static void give_back(struct sporadic_budget *b, uint64_t at_ns, uint64_t ns)
{
	struct sporadic_piece *last = b->n ? piece_at(b, b->n - 1) : NULL;

	/* its last ns could not be used before @at_ns anyway */
	if (last && last->at_ns + last->ns >= at_ns) {
		last->ns += ns;
	} else if (b->n >= b->max) {
		last->at_ns = at_ns;
		last->ns += ns;
	} else {
		*piece_at(b, b->n++) = (struct sporadic_piece){ .at_ns = at_ns, .ns = ns };
	}
}

/* The thread wakes: what it might have used before, it may use from now on. */
void sporadic_activate(struct sporadic_budget *b, uint64_t now_ns)
{
	struct sporadic_piece all = { .at_ns = now_ns };

	while (b->n && piece_at(b, 0)->at_ns <= now_ns)
		all.ns += pop(b).ns;
	if (!all.ns)
		return;
	b->first = (b->first + (uint32_t)ARRAY_SIZE(b->piece) - 1) % ARRAY_SIZE(b->piece);
	b->n++;
	*piece_at(b, 0) = all;
}

void sporadic_use(struct sporadic_budget *b, uint64_t used_ns)
{
	while (used_ns >= piece_at(b, 0)->ns) {
		struct sporadic_piece p = pop(b);

		used_ns -= p.ns;
		give_back(b, p.at_ns + b->period_ns, p.ns);
	}
	if (!used_ns)
		return;
	piece_at(b, 0)->ns -= used_ns;
	give_back(b, piece_at(b, 0)->at_ns + b->period_ns, used_ns);
}

/* ---- servers --------------------------------------------------------------------------------- */

static struct sched_class next; /* what rt_class had before */

static struct {
	struct spinlock lock;
	struct sporadic *free;
} pool = { .lock = SPINLOCK_INIT(LOCK_SERVER) };

static void put_free(struct sporadic *s)
{
	unsigned long flags = spin_lock_irqsave(&pool.lock);

	s->next = pool.free;
	pool.free = s;
	spin_unlock_irqrestore(&pool.lock, flags);
}

static struct sporadic *take_free(void)
{
	unsigned long flags = spin_lock_irqsave(&pool.lock);
	struct sporadic *s = pool.free;

	if (s)
		pool.free = s->next;
	spin_unlock_irqrestore(&pool.lock, flags);
	return s;
}

static void budget_due(struct timer *timer);

static struct sporadic *server_alloc(void)
{
	struct sporadic *s = take_free(), *page;

	if (s) {
		timer_cancel_wait(&s->timer); /* its function may look at it still */
		return s;
	}
	page = page_alloc_zero(0);
	for (unsigned i = 0; page && i < PAGE_SIZE / sizeof(*page); i++) {
		spin_init(&page[i].lock, LOCK_SERVER);
		timer_init(&page[i].timer, budget_due);
		page[i].timer.urgent = true;
		put_free(&page[i]);
	}
	return page ? take_free() : NULL;
}

static void set_thread(struct sporadic *s, struct thread *t)
{
	spin_lock(&s->lock);
	s->thread = t;
	spin_unlock(&s->lock);
}

/* rq->lock held. It is found out by budget_due() if that is about to look. */
static void leave(struct thread *t)
{
	struct sporadic *s = t->sched.sporadic;

	t->sched.sporadic = NULL;
	set_thread(s, NULL);
	timer_cancel(&s->timer);
	put_free(s);
}

/* ---- two priorities -------------------------------------------------------------------------- */

/* With a priority of its own, and that of this policy. */
static bool is_sporadic(const struct thread *t)
{
	return unlikely(t->sched.sporadic) && t->sched.rank == RANK_RT + t->sched.own_priority;
}

/* rq->lock held. The priority that @t is to have; its rank follows. */
static void set_low(struct thread *t, bool low)
{
	struct sporadic *s = t->sched.sporadic;

	s->is_low = low;
	t->sched.own_priority = low ? s->low : s->high;
	timer_cancel(&s->timer);
	if (low)
		timer_add(&s->timer, s->b.piece[s->b.first].at_ns);
}

static bool has_budget(const struct sporadic *s, uint64_t now_ns)
{
	return sporadic_left_ns(&s->b, now_ns) != 0;
}

/* Timer, no lock held. The thread may be another one's by now: then this is for nothing. */
static LOCK_UNCHECKED void budget_due(struct timer *timer)
{
	struct sporadic *s = container_of(timer, struct sporadic, timer);
	struct thread *t;
	struct runqueue *rq;
	bool act = false;

	spin_lock(&s->lock);
	t = inherit_pin(s->thread);
	spin_unlock(&s->lock);
	if (!t)
		return;
	rq = rq_lock_thread(t);
	if (t->sched.sporadic == s && s->is_low) {
		if (rq->curr == t)
			sched_charge_curr(rq); /* so far it was low */
		set_low(t, !has_budget(s, time_now_ns()));
		if (!s->is_low && t->sched.state != THREAD_DEAD) {
			act = sched_rank_changed(rq, t) || rq->curr == t;
			rq->resched |= act;
		}
	}
	spin_unlock(&rq->lock);
	if (act && cpu_of_rq(rq) != arch_cpu_self())
		ipi_send(cpu_of_rq(rq));
	inherit_rank_changed(t);
	inherit_unpin(t);
}

/* ---- the class ------------------------------------------------------------------------------- */

static void sporadic_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	struct sporadic *s = t->sched.sporadic;

	if (is_sporadic(t) && place != EEVDF_PLACE_MOVE) {
		uint64_t now_ns = time_now_ns();

		sporadic_activate(&s->b, now_ns);
		if (s->is_low == has_budget(s, now_ns)) {
			set_low(t, !s->is_low);
			sched_rank_follows(t);
		}
	}
	next.enqueue(rq, t, place);
}

static void sporadic_charge(struct runqueue *rq, struct thread *t, uint64_t delta_ns)
{
	if (!is_sporadic(t))
		next.charge(rq, t, delta_ns);
	else if (!t->sched.sporadic->is_low)
		sporadic_use(&t->sched.sporadic->b, delta_ns);
}

static void sporadic_stop(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	struct sporadic *s = t->sched.sporadic;

	if (is_sporadic(t) && why != STOP_BLOCKED && !s->is_low && !has_budget(s, rq->since_ns)) {
		set_low(t, true);
		sched_rank_follows(t);
		t->sched.unusual |= SCHED_TAIL;
	}
	next.stop(rq, t, why);
	if (unlikely(s) && t->sched.state == THREAD_DEAD)
		leave(t);
}

static uint64_t sporadic_slice_ns(const struct runqueue *rq, const struct thread *t)
{
	if (!is_sporadic(t))
		return next.slice_ns(rq, t);
	if (t->sched.sporadic->is_low)
		return UINT64_MAX;
	return sporadic_left_ns(&t->sched.sporadic->b, rq->since_ns);
}

/* ---- attributes ------------------------------------------------------------------------------ */

const char *sporadic_attr_fault(const struct sched_attr *a, const char **expected)
{
	*expected = "0 with SPORADIC";
	if (a->sched_priority < 1 || a->sched_priority > 99)
		return *expected = "1..99 for FIFO, RR and SPORADIC", "sched_priority";
	if (a->sched_nice < 1 || a->sched_nice > (int32_t)a->sched_priority)
		return *expected = "with SPORADIC the low priority, 1..sched_priority",
		       "sched_nice";
	if (a->sched_flags < 1 || a->sched_flags > SPORADIC_REPL_MAX)
		return *expected = "with SPORADIC replenishments, 1..32", "sched_flags";
	if (a->sched_runtime < SPORADIC_BUDGET_MIN_NS || a->sched_runtime > a->sched_period)
		return *expected = "with SPORADIC the budget, 1000 ns..sched_period",
		       "sched_runtime";
	if (a->sched_period > SPORADIC_PERIOD_MAX_NS)
		return *expected = "1000..2^62 ns with SPORADIC", "sched_period";
	return a->sched_deadline ? "sched_deadline" : NULL;
}

/* A new budget begins now, unless it is the same as before. */
static void set_budget(struct sporadic *s, const struct sched_attr *a)
{
	uint32_t max = (uint32_t)a->sched_flags + 1;

	s->high = (uint8_t)a->sched_priority;
	s->low = (uint8_t)a->sched_nice;
	if (s->b.budget_ns == a->sched_runtime && s->b.period_ns == a->sched_period &&
	    s->b.max == max)
		return;
	s->b.budget_ns = a->sched_runtime;
	s->b.period_ns = a->sched_period;
	s->b.max = max;
	sporadic_fill(&s->b, time_now_ns());
}

/* rq->lock held, or @t is not started yet; it was charged. @s is used if it has none. */
static bool take_attr(struct thread *t, const struct sched_attr *a, struct sporadic *s)
{
	bool taken = !t->sched.sporadic;

	if (taken) {
		s->b.budget_ns = 0;
		s->is_low = false;
		set_thread(s, t);
		t->sched.sporadic = s;
	}
	s = t->sched.sporadic;
	set_budget(s, a);
	set_low(t, !has_budget(s, time_now_ns()));
	return taken;
}

static struct mutex spare_mutex = MUTEX_INIT; /* [m] */
static struct sporadic *spare; /* [m] what change() is to give to a thread that has none */

static void change(struct thread *t, const struct sched_attr *a)
{
	if (a->sched_policy != SCHED_SPORADIC)
		leave(t);
	else if (take_attr(t, a, spare))
		spare = NULL;
}

static int set_attr(struct thread *t, const struct sched_attr *a)
{
	int err = -ENOMEM;

	mutex_lock(&spare_mutex);
	if (!spare)
		spare = server_alloc();
	if (spare)
		err = sched_apply_attr_any(t, a);
	mutex_unlock(&spare_mutex);
	return err;
}

static int init(struct thread *t, const struct sched_attr *a)
{
	struct sporadic *s = server_alloc();
	unsigned long flags;

	if (!s)
		return -ENOMEM;
	flags = arch_irq_save();
	take_attr(t, a, s);
	arch_irq_restore(flags);
	return 0;
}

static void get_attr(const struct thread *t, struct sched_attr *a)
{
	const struct sporadic *s = t->sched.sporadic;

	a->sched_priority = s->high;
	a->sched_nice = s->low;
	a->sched_flags = s->b.max - 1;
	a->sched_runtime = s->b.budget_ns;
	a->sched_period = s->b.period_ns;
}

static const struct sporadic_hooks hooks = {
	.fault = sporadic_attr_fault,
	.set_attr = set_attr,
	.init = init,
	.undo = leave,
	.change = change,
	.get_attr = get_attr,
};

int sched_sporadic_use(void)
{
	struct sporadic *s;

	if (atomic_load_acquire(&sporadic_hooks))
		return 0;
	s = server_alloc(); /* so that the first thread has one */
	if (!s)
		return -ENOMEM;
	put_free(s);
	mutex_lock(&rt_class_mutex);
	if (!sporadic_hooks) {
		next = rt_class;
		atomic_store_release(&rt_class.enqueue, sporadic_enqueue);
		atomic_store_release(&rt_class.charge, sporadic_charge);
		atomic_store_release(&rt_class.stop, sporadic_stop);
		atomic_store_release(&rt_class.slice_ns, sporadic_slice_ns);
		atomic_store_release(&sporadic_hooks, &hooks);
	}
	mutex_unlock(&rt_class_mutex);
	return 0;
}
