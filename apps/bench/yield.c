/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows yield_*: N threads on CPU 0 that do nothing but yield to each other.
 *
 * One of them, the runner, reads the cycle counter around a number of its own yields, a block. What
 * lies between is the work of all N threads and nothing else, so the row is cycles by yields of
 * all, the loop around each yield included. FIFO threads take turns, so all have made as many as
 * the runner. Fair threads count theirs in a register and hand them in when the runner begins the
 * next block; a yield belongs to the block in which it was made, whenever its thread runs again.
 * With mixed weights a yield may find nobody better: there only a yield after which somebody else
 * ran counts. All but the runner wait at a gate until every thread exists.
 */
#include "bench.h"

#include "core/sync.h"
#include "sched/sched.h"

struct kind;

#define CROWD_MAX  4096u
#define BLOCKS_MAX 12u
#define PRIORITY   10u

struct crowd {
	unsigned n;
	unsigned priority; /* 0: fair */
	const struct kind *kind;
	unsigned blocks;
	unsigned yields; /* of the runner, in one block */
	struct semaphore gate;
	unsigned over;                /* [a] */
	unsigned block;               /* [a] the present one */
	const void *last;             /* [a] mixed: who ran last */
	uint64_t counted[BLOCKS_MAX]; /* [a] yields of the others, by block */
	uint64_t own[BLOCKS_MAX];     /* of the runner, when they are counted */
	uint64_t cycles[BLOCKS_MAX];
};

static struct thread *crowd_threads[CROWD_MAX];

/* xorshift64*: the same numbers in every run. */
static uint64_t random_state;

static uint32_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)(random_state * 0x2545f4914f6cdd1dull >> 32);
}

/* 0.1 to 100 ms, each decade as likely. The thread itself asks, before it goes through the gate. */
static void take_slice(uint64_t slice_ns)
{
	struct sched_attr attr;

	sched_get_attr(thread_current(), &attr);
	attr.sched_runtime = slice_ns;
	sched_set_attr(thread_current(), &attr);
}

static uint64_t random_slice_ns(void)
{
	uint64_t ns = 100 * NSEC_PER_USEC;

	for (unsigned decade = random_next() % 3; decade; decade--)
		ns *= 10;
	return ns + ns * 9 * (random_next() % 1000) / 1000;
}

/* The gate is passed one at a time, so a value made for a thread reaches it by a variable. */
static uint64_t next_slice_ns;

/* Did somebody else run since this thread said so last? */
static inline bool was_switch(struct crowd *c, const void *self)
{
	if (c->last == self)
		return false;
	c->last = self;
	return true;
}

static inline void dirty_floats(void)
{
	volatile double x = 1;

	x = x * 1.5 + 1.0;
}

/* The loops are inlined with constants, so that none holds more than it needs. */
__always_inline_fn void yield_until_over(struct crowd *c, bool floats)
{
	do {
		if (floats)
			dirty_floats();
		sched_yield_current();
	} while (!atomic_load_relaxed(&c->over));
}

__always_inline_fn uint64_t yield_times(unsigned n, bool floats)
{
	while (n--) {
		if (floats)
			dirty_floats();
		sched_yield_current();
	}
	return 0;
}

/* The same, counting. One yield; 1 if it counts. */
__always_inline_fn unsigned yield_counted(struct crowd *c, bool mixed, bool floats)
{
	if (floats)
		dirty_floats();
	sched_yield_current();
	return mixed ? was_switch(c, thread_current()) : 1;
}

/* Hands in what was counted for a block that has ended; returns the present one. */
static __noinline unsigned hand_in(struct crowd *c, unsigned block, uint64_t counted)
{
	atomic_fetch_add_relaxed(&c->counted[block], counted);
	return atomic_load_relaxed(&c->block);
}

__always_inline_fn void yield_counted_until_over(struct crowd *c, bool mixed, bool floats)
{
	unsigned block = atomic_load_relaxed(&c->block);
	uint64_t counted = 0;

	while (!atomic_load_relaxed(&c->over)) {
		do
			counted += yield_counted(c, mixed, floats);
		while (atomic_load_relaxed(&c->block) == block);
		block = hand_in(c, block, counted);
		counted = 0;
	}
}

__always_inline_fn uint64_t yield_counted_times(struct crowd *c, bool mixed, bool floats)
{
	uint64_t counted = 0;

	for (unsigned n = c->yields; n; n--)
		counted += yield_counted(c, mixed, floats);
	return counted;
}

/* What the runner does in a block, and what the others do until all is over. */
struct kind {
	void (*until_over)(struct crowd *c);
	uint64_t (*block)(struct crowd *c);
};

static __noinline void plain(struct crowd *c)
{
	yield_until_over(c, false);
}

static __noinline uint64_t plain_block(struct crowd *c)
{
	return yield_times(c->yields, false);
}

static __noinline void plain_fp(struct crowd *c)
{
	yield_until_over(c, true);
}

static __noinline uint64_t plain_fp_block(struct crowd *c)
{
	return yield_times(c->yields, true);
}

static __noinline void counted(struct crowd *c)
{
	yield_counted_until_over(c, false, false);
}

static __noinline uint64_t counted_block(struct crowd *c)
{
	return yield_counted_times(c, false, false);
}

static __noinline void counted_fp(struct crowd *c)
{
	yield_counted_until_over(c, false, true);
}

static __noinline uint64_t counted_fp_block(struct crowd *c)
{
	return yield_counted_times(c, false, true);
}

static __noinline void mixed(struct crowd *c)
{
	yield_counted_until_over(c, true, false);
}

static __noinline uint64_t mixed_block(struct crowd *c)
{
	return yield_counted_times(c, true, false);
}

static const struct kind fifo_kind = { plain, plain_block };
static const struct kind fifo_fp_kind = { plain_fp, plain_fp_block };
static const struct kind fair_kind = { counted, counted_block };
static const struct kind fair_fp_kind = { counted_fp, counted_fp_block };
static const struct kind mixed_kind = { mixed, mixed_block };

static void *be_in_crowd(void *arg)
{
	struct crowd *c = arg;

	if (c->kind == &mixed_kind)
		take_slice(next_slice_ns);
	semaphore_wait(&c->gate);
	c->kind->until_over(c);
	return NULL;
}

static void *be_runner(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 1; i < c->n; i++)
		semaphore_post(&c->gate);
	for (unsigned i = 0; i < c->blocks; i++) {
		uint64_t start = arch_cycles();

		c->own[i] = c->kind->block(c);
		c->cycles[i] = arch_cycles() - start;
		if (i + 1 == c->blocks)
			atomic_store_relaxed(&c->over, 1u);
		atomic_store_relaxed(&c->block, i + 1);
	}
	return NULL;
}

/* One thread at a time comes to the gate, so that next_slice_ns reaches the one it is meant for. */
static void crowd_start(struct crowd *c)
{
	semaphore_init(&c->gate, 0);
	for (unsigned i = 1; i < c->n; i++) {
		int nice = c->kind == &mixed_kind ? (int)(random_next() % 40) - 20 : 0;

		next_slice_ns = random_slice_ns();
		crowd_threads[i] = thread_on(0, c->priority, nice, be_in_crowd, c);
		while (atomic_load_relaxed(&crowd_threads[i]->sched.state) != THREAD_BLOCKED)
			sched_yield_current();
	}
	crowd_threads[0] = thread_on(0, c->priority, 0, be_runner, c);
}

/* In block @i by all. */
static uint64_t yields_in(const struct crowd *c, unsigned i)
{
	if (c->priority)
		return (uint64_t)c->yields * c->n;
	return c->own[i] + c->counted[i];
}

static void row(const char *name, const struct kind *kind, unsigned n)
{
	bool fifo = kind == &fifo_kind || kind == &fifo_fp_kind;
	struct crowd c = {
		.n = n,
		.kind = kind,
		.priority = fifo ? PRIORITY : 0,
		.blocks = n > 100 ? 2 : BLOCKS_MAX,
		.yields = n > 100 ? 32 : 200,
	};

	unsigned warm = 1; /* blocks that do not count */

	if (kind == &mixed_kind) {
		c.yields = 3; /* of a thread of nice 0 among 4096: hundreds of thousands of all */
		c.blocks = 6;
		warm = 4; /* until those that came last have had their turn */
	}
	crowd_start(&c);
	for (unsigned i = 0; i < n; i++)
		thread_end(crowd_threads[i]);
	for (unsigned i = warm; i < c.blocks; i++)
		sample_add(yields_in(&c, i), c.cycles[i]);
	row_send(name);
}

void rows_yield(void)
{
	random_state = 88172645463325252ull;
	row("yield_fifo_2", &fifo_kind, 2);
	row("yield_fifo_4096", &fifo_kind, 4096);
	row("yield_fifo_2_fp", &fifo_fp_kind, 2);
	row("yield_fair_2", &fair_kind, 2);
	row("yield_fair_8", &fair_kind, 8);
	row("yield_fair_64", &fair_kind, 64);
	row("yield_fair_512", &fair_kind, 512);
	row("yield_fair_4096", &fair_kind, 4096);
	row("yield_fair_4096_mixed", &mixed_kind, 4096);
	row("yield_fair_2_fp", &fair_fp_kind, 2);
}
