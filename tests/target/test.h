/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests that run on the target, inside the kernel. A file of tests/target/ with one TEST() adds a
 * test; no list names it.
 *
 *   TEST(mutex_is_not_recursive)
 *   {
 *           struct mutex m = MUTEX_INIT;
 *
 *           mutex_lock(&m);
 *           CHECK_EQ(mutex_lock(&m), -EDEADLK);
 *           mutex_unlock(&m);
 *   }
 *
 * A test runs in a thread of its own, fair, nice 0, free to run anywhere; what it changes about
 * itself ends with it. It must join or detach what it creates: a thread that is left behind is a
 * failure. A test that hangs ends in a panic after a minute.
 *
 * A CRASH() is a test whose end is the end of the system: it runs alone, by the argument
 * crash=NAME, and must not return.
 */
#pragma once

#include <string.h>

#include "core/console.h"
#include "core/cpu.h"
#include "core/print.h"
#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"

enum target_test_kind { TARGET_TEST, TARGET_CRASH };

struct target_test {
	const char *name;
	void (*run)(void);
	enum target_test_kind kind;
};

#define TARGET_TEST_ENTRY(ident, what)                                                        \
	static void ident(void);                                                              \
	static const struct target_test ident##_entry                                         \
		__attribute__((used, section("target_tests"), aligned(8))) = { #ident, ident, \
									       what };        \
	static void ident(void)

#define TEST(ident)  TARGET_TEST_ENTRY(ident, TARGET_TEST)
#define CRASH(ident) TARGET_TEST_ENTRY(ident, TARGET_CRASH)

/*
 * A check that fails is remembered (the first one is the test's reason) and the test goes on; any
 * thread may check. REQUIRE is for what the rest of the test cannot do without: it ends the whole
 * run.
 */
#define CHECK(expr)                                                   \
	do {                                                          \
		if (!(expr))                                          \
			test_failed(__FILE__, __LINE__, "%s", #expr); \
	} while (0)
/* The numbers first: what is kept of a long reason is its beginning. */
#define CHECK_OP(failed, a, a_text, op, b, b_text)                                             \
	do {                                                                                   \
		long long _x = (long long)(a), _y = (long long)(b);                            \
		if (!(_x op _y))                                                               \
			failed(__FILE__, __LINE__, "%lld is not %s %lld: %s, %s", _x, #op, _y, \
			       a_text, b_text);                                                \
	} while (0)
#define CHECK_EQ(a, b) CHECK_OP(test_failed, a, #a, ==, b, #b)
#define CHECK_LE(a, b) CHECK_OP(test_failed, a, #a, <=, b, #b)
#define CHECK_GE(a, b) CHECK_OP(test_failed, a, #a, >=, b, #b)
/*
 * Of a measured time, share or number of turns, which a host that lets QEMU wait for a CPU spoils:
 * the host's side repeats a test that failed by nothing else, if there was such a wait. In virtual
 * time there is none, and they are checks like others.
 */
#define CHECK_TIMED_LE(a, b) CHECK_OP(test_failed_timed, a, #a, <=, b, #b)
#define CHECK_TIMED_GE(a, b) CHECK_OP(test_failed_timed, a, #a, >=, b, #b)
#define CHECK_TEXT(a, b)                                                                     \
	do {                                                                                 \
		const char *_x = (a), *_y = (b);                                             \
		if (strcmp(_x, _y))                                                          \
			test_failed(__FILE__, __LINE__, "%s is '%s', not '%s'", #a, _x, _y); \
	} while (0)
#define REQUIRE(expr)                                            \
	do {                                                     \
		if (!(expr))                                     \
			test_aborted(__FILE__, __LINE__, #expr); \
	} while (0)

/* Ends the test here when there is less than it needs. Not within a helper. */
#define SKIP_UNLESS(cond, why)          \
	do {                            \
		if (!(cond)) {          \
			test_skip(why); \
			return;         \
		}                       \
	} while (0)
#define NEEDS_CPUS(n) SKIP_UNLESS(test_cpus() >= (n), "needs " #n " CPUs")
/* Where CPUs queue for locks all the time: an emulator passes them on when the host runs the next one. */
#define NEEDS_CPUS_AT_MOST(n)                                     \
	SKIP_UNLESS(test_time_is_virtual() || test_cpus() <= (n), \
		    "at most " #n " CPUs in real time")

__cold void test_failed(const char *file, int line, const char *fmt, ...) __printf_like(3, 4);
__cold void test_failed_timed(const char *file, int line, const char *fmt, ...) __printf_like(3, 4);
__cold __noreturn void test_aborted(const char *file, int line, const char *expr);
void test_skip(const char *why);

/* The time is counted instructions: what is measured is exact, and bounds are tight. */
/* 1 in an image with the sanitizers, whose code is several times as long. */
#ifdef FAIRLEAD_SAN
#define TEST_SAN 1
#else
#define TEST_SAN 0
#endif

bool test_time_is_virtual(void);
/*
 * For what takes time by its nature: seconds of stress, 10 unless the argument seconds=N says
 * otherwise.
 */
unsigned test_seconds(void);
/* The value of argument @key=value, or NULL. */
const char *test_argument(const char *key);

/*
 * CPUs that are up; they are 0 .. test_cpus() - 1 here, because the tests' device trees give every
 * CPU a chance.
 */
unsigned test_cpus(void);

/* ---- threads --------------------------------------------------------------------------------- */

struct cpumask one_cpu(unsigned cpu);

/* A thread of @policy and @priority on @cpu alone (ANY_CPU: on all). It must be joined. */
#define ANY_CPU (-1)
struct thread *spawn(int cpu, int policy, int priority, void *(*entry)(void *), void *arg);
/* The same, fair, with a nice value. */
struct thread *spawn_nice(int cpu, int nice, void *(*entry)(void *), void *arg);
void *join(struct thread *t);

/* This thread, from now on. */
void become(int cpu, int policy, int priority);
unsigned current_cpu(void);

void sleep_us(uint64_t us);
/*
 * Busy loops do without arch_cpu_relax() unless they wait for another CPU: under an emulator it is
 * a slow way out of the CPU.
 */
void spin_us(uint64_t us);
/* Until *flag is not 0, asleep in between; a failure after 20 s. */
void wait_for_flag(const uint32_t *flag);
/* Until @t blocks, the same. */
void wait_until_blocked(struct thread *t);

/* ---- an order of events ---------------------------------------------------------------------- */

struct log {
	uint32_t n;
	char text[64];
};

/* Any context. */
void log_add(struct log *log, char c);

/* ---- random numbers, the same for the same seed ---------------------------------------------- */

static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline uint32_t random_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((random_next(state) >> 32) * n >> 32);
}
