/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Floating point and SIMD state belongs to a thread: it survives switches, interrupts and
 * migration, and threads without any stay without.
 *
 * The arithmetic below keeps 31 two-element vectors live, more than there are registers for on any
 * port, so every FP register holds live data nearly always; one lost bit in one of them changes the
 * result. The rounding mode is part of the state too.
 */
#include <fenv.h>

#include "tests/target/test.h"

typedef double __attribute__((vector_size(16))) doubles;

#define EACH(X)                                                                                  \
	X(0, 1)                                                                                  \
	X(1, 2)                                                                                  \
	X(2, 3)                                                                                  \
	X(3, 4)                                                                                  \
	X(4, 5) X(5, 6) X(6, 7) X(7, 8) X(8, 9) X(9, 10) X(10, 11) X(11, 12) X(12, 13) X(13, 14) \
		X(14, 15) X(15, 16) X(16, 17) X(17, 18) X(18, 19) X(19, 20) X(20, 21) X(21, 22)  \
			X(22, 23) X(23, 24) X(24, 25) X(25, 26) X(26, 27) X(27, 28) X(28, 29)    \
				X(29, 30)

#define DECLARE(i, next) doubles d##i = { seed + i, seed - i };
#define SUM(i, next)     sum += d##i;
/*
 * A rotation by the angle of the triangle 3, 4, 5: it mixes two vectors and neither grows nor
 * shrinks them.
 */
#define MIX(i, next)                                         \
	do {                                                 \
		doubles turned = 0.6 * d##i + 0.8 * d##next; \
		d##next = 0.8 * d##i - 0.6 * d##next;        \
		d##i = turned;                               \
	} while (0);

/* The same operations in the same order give the same bits, under the same rounding mode. */
static __noinline double mix_registers(double seed, unsigned rounds)
{
	EACH(DECLARE)
	doubles d30 = { seed / 2, seed * 2 }, sum = { 0, 0 };

	for (unsigned i = 0; i < rounds; i++) {
		EACH(MIX)
	}
	EACH(SUM)
	sum += d30;
	return sum[0] + 3 * sum[1];
}

/* With interrupts masked nobody can take a register away. */
static double mix_undisturbed(double seed, unsigned rounds)
{
	unsigned long flags = arch_irq_save();
	double result = mix_registers(seed, rounds);

	arch_irq_restore(flags);
	return result;
}

#define ROUNDS 2000

struct fp_thread {
	double seed;
	int rounding;
	uint32_t wrong, rounds;
};

static uint32_t stop;

/* What 1 / 3 is depends on the rounding mode; volatile, so that it is divided here and now. */
static bool rounding_is(int mode)
{
	volatile double one = 1, three = 3;
	double third = one / three;

	if (fegetround() != mode)
		return false;
	return mode == FE_UPWARD ? third > 0x1.5555555555555p-2 : third == 0x1.5555555555555p-2;
}

static void *use_fp(void *arg)
{
	struct fp_thread *f = arg;
	double expected;

	fesetround(f->rounding);
	expected = mix_undisturbed(f->seed, ROUNDS);
	while (!atomic_load_relaxed(&stop)) {
		f->wrong += mix_registers(f->seed, ROUNDS) != expected;
		f->wrong += !rounding_is(f->rounding);
		atomic_store_relaxed(&f->rounds, f->rounds + 1);
		if (f->rounds % 2 == 0)
			sched_yield_current();
		if (f->rounds % 3 == 0)
			sleep_us(500);
		f->wrong += !rounding_is(f->rounding);
	}
	return NULL;
}

static volatile uint64_t integer_result;

static void *use_integers(void *arg)
{
	uint64_t x = 1;

	while (!atomic_load_relaxed(&stop)) {
		for (unsigned i = 0; i < 1000; i++)
			x = x * 6364136223846793005u + 1;
		integer_result = x;
		sched_yield_current();
	}
	return arg;
}

static struct timer ticker;

/* From now on and not from when it was due: a CPU that was kept from running owes no ticks. */
static void tick(struct timer *t)
{
	if (!atomic_load_relaxed(&stop))
		timer_add(t, time_now_ns() + 70 * NSEC_PER_USEC);
}

static void start_ticker(void)
{
	unsigned long flags = arch_irq_save();

	timer_init(&ticker, tick);
	timer_add(&ticker, time_now_ns() + 70 * NSEC_PER_USEC);
	arch_irq_restore(flags);
}

/* Real time may be slow. */
static void wait_for_rounds(const struct fp_thread *f, unsigned n)
{
	uint64_t end_ns = time_now_ns() + 20 * NSEC_PER_SEC;

	for (unsigned i = 0; i < n; i++)
		while (atomic_load_relaxed(&f[i].rounds) < 3 && time_now_ns() < end_ns)
			sleep_us(1000);
}

/* One of many is real-time, if that leaves a CPU to the others. */
static void run_fp_threads(int cpu, unsigned n, uint64_t ms)
{
	static struct fp_thread f[8];
	struct thread *t[8], *integer;

	stop = 0;
	for (unsigned i = 0; i < n; i++)
		f[i] = (struct fp_thread){ .seed = 1000 + 17 * i,
					   .rounding = i % 2 ? FE_UPWARD : FE_TONEAREST };
	integer = spawn(cpu, SCHED_OTHER, 0, use_integers, NULL);
	for (unsigned i = 0; i < n; i++) {
		bool rt = i == 2 && test_cpus() > 1;

		t[i] = spawn(cpu, rt ? SCHED_RR : SCHED_OTHER, rt ? 3 : 0, use_fp, &f[i]);
	}
	start_ticker();
	sleep_us(ms * 1000);
	wait_for_rounds(f, n);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < n; i++) {
		join(t[i]);
		CHECK_EQ(f[i].wrong, 0);
		CHECK_GE(f[i].rounds, 2);
	}
	join(integer);
	timer_cancel_wait(&ticker);
}

TEST(fp_kept_across_switches_and_interrupts)
{
	become(0, SCHED_FIFO, 50);
	run_fp_threads(0, 2, test_time_is_virtual() ? 150 : 400);
}

TEST(fp_kept_across_cpus)
{
	become(ANY_CPU, SCHED_FIFO, 50);
	run_fp_threads(ANY_CPU, 8, test_time_is_virtual() ? 150 : 400);
}

/* A new thread on a stack whose last user had FP state begins with the default rounding. */
static void *fresh_rounding(void *arg)
{
	(void)arg;
	CHECK_EQ(fegetround(), FE_TONEAREST);
	fesetround(FE_UPWARD);
	return NULL;
}

TEST(fp_state_is_not_inherited_from_the_dead)
{
	fesetround(FE_UPWARD);
	for (unsigned i = 0; i < 20; i++)
		join(spawn(0, SCHED_OTHER, 0, fresh_rounding, NULL));
	CHECK_EQ(fegetround(), FE_UPWARD);
	fesetround(FE_TONEAREST);
}

/* Moving to another CPU with live registers. */
TEST(fp_kept_when_moving_oneself)
{
	double expected = mix_undisturbed(5, 50), got;

	for (unsigned i = 0; i < 4 * test_cpus(); i++) {
		struct cpumask mask = one_cpu(i % test_cpus());
		double before = mix_registers(5, 50);

		thread_set_affinity(thread_current(), &mask);
		got = mix_registers(5, 50);
		CHECK(before == expected && got == expected);
	}
}
