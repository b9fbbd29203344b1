/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the tests of tests/target/ and reports each as a line and a `test` record; exit status 1 if
 * one failed.
 *
 *   selftest [--list] [PATTERN...] [KEY=VALUE...]
 *
 * A pattern is a name with `*` for any text; none means all. Keys: time=virtual (time is counted
 * instructions: bounds are tight), seconds=N (length of the stress tests), crash=NAME (run one
 * CRASH() instead), exit=N (run nothing, exit so).
 *
 * Each test has a thread of its own. Before it begins and after it has ended exactly one thread
 * exists beside the idle ones: this one. A timer watches that a test ends; where not even that can
 * run, the host's time-out has to do.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/main.h"
#include "core/panic.h"
#include "sched/ext/ext.h"
#include "tests/target/test.h"

#define TEST_MAX_NS (90 * NSEC_PER_SEC)

extern const struct target_test __start_target_tests[], __stop_target_tests[];

/* Of the test that runs. */
static struct {
	const struct target_test *test;
	uint32_t failures; /* [a] */
	uint32_t timed;    /* [a] those of measured time */
	const char *skipped;
	char reason[160]; /* of the first failure */
} now;

static struct timer watchdog;

/* ---- verdicts -------------------------------------------------------------------------------- */

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static __printf_like(3, 0) void fail(const char *file, int line, const char *fmt, va_list ap)
{
	bool first = !atomic_fetch_add_acq_rel(&now.failures, 1u);
	char text[128];

	fmt_vbuf(text, sizeof(text), fmt, ap);
	printk("  %s:%d: %s\n", file_name(file), line, text);
	if (first)
		fmt_buf(now.reason, sizeof(now.reason), "%s:%d: %s", file_name(file), line, text);
}

void test_failed(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(file, line, fmt, ap);
	va_end(ap);
}

void test_failed_timed(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	atomic_fetch_add_acq_rel(&now.timed, 1u);
	va_start(ap, fmt);
	fail(file, line, fmt, ap);
	va_end(ap);
}

/* As JSON wants it, and short enough for one frame. */
static void send_record(bool pass, const char *text)
{
	char json[220], plain[100];
	size_t n = 0;

	for (; *text && n < sizeof(plain) - 1; text++)
		plain[n++] = *text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '\'' :
											   *text;
	plain[n] = '\0';
	n = (size_t)fmt_buf(json, sizeof(json),
			    "{\"r\":\"test\",\"name\":\"%s\",\"pass\":%s%s%s%s%s%s}",
			    now.test->name, pass ? "true" : "false",
			    now.skipped ? ",\"skipped\":true" : "",
			    !pass && now.timed == now.failures ? ",\"timed\":true" : "",
			    *plain ? ",\"text\":\"" : "", plain, *plain ? "\"" : "");
	console_record(json, MIN(n, sizeof(json) - 1));
}

static bool verdict(uint64_t took_ns)
{
	bool pass = !now.failures;
	const char *word = !pass ? "FAIL" : now.skipped ? "skip" : "ok  ";

	printf("%s %s", word, now.test->name);
	if (!pass || now.skipped)
		printf(": %s", pass ? now.skipped : now.reason);
	printf(" (%u us)\n", (unsigned)(took_ns / NSEC_PER_USEC));
	send_record(pass, !pass ? now.reason : now.skipped ? now.skipped : "");
	return pass;
}

void test_aborted(const char *file, int line, const char *expr)
{
	test_failed(file, line, "required: %s", expr);
	verdict(0);
	_Exit(1);
}

void test_skip(const char *why)
{
	now.skipped = why;
}

/* ---- arguments ------------------------------------------------------------------------------- */

const char *test_argument(const char *key)
{
	size_t n = strlen(key);

	for (int i = 1; i < boot_info.argc; i++)
		if (!strncmp(boot_info.argv[i], key, n) && boot_info.argv[i][n] == '=')
			return boot_info.argv[i] + n + 1;
	return NULL;
}

bool test_time_is_virtual(void)
{
	const char *time = test_argument("time");

	return time && !strcmp(time, "virtual");
}

unsigned test_seconds(void)
{
	const char *text = test_argument("seconds");

	return text ? (unsigned)atoi(text) : 10;
}

static bool matches(const char *pattern, const char *name)
{
	if (*pattern == '*')
		return matches(pattern + 1, name) || (*name && matches(pattern, name + 1));
	return *pattern == *name && (!*name || matches(pattern + 1, name + 1));
}

static bool selected(const char *name)
{
	bool any = false;

	for (int i = 1; i < boot_info.argc; i++) {
		if (strchr(boot_info.argv[i], '=') || boot_info.argv[i][0] == '-')
			continue;
		any = true;
		if (matches(boot_info.argv[i], name))
			return true;
	}
	return !any;
}

/* ---- threads --------------------------------------------------------------------------------- */

unsigned test_cpus(void)
{
	return cpumask_count(&cpu_online_mask);
}

struct cpumask one_cpu(unsigned cpu)
{
	struct cpumask mask;

	cpumask_clear(&mask);
	cpumask_set(&mask, cpu);
	return mask;
}

static struct thread *spawn_with(int cpu, int policy, int priority, int nice,
				 void *(*entry)(void *), void *arg)
{
	struct cpumask mask = cpu_online_mask;
	struct thread_attr attr = {
		.affinity = &mask,
		.policy = (uint8_t)policy,
		.priority = (uint8_t)priority,
		.nice = (int8_t)nice,
	};
	struct thread *t = NULL;

	if (cpu != ANY_CPU)
		mask = one_cpu((unsigned)cpu);
	REQUIRE(!thread_create(&t, &attr, entry, arg));
	return t;
}

struct thread *spawn(int cpu, int policy, int priority, void *(*entry)(void *), void *arg)
{
	return spawn_with(cpu, policy, priority, 0, entry, arg);
}

struct thread *spawn_nice(int cpu, int nice, void *(*entry)(void *), void *arg)
{
	return spawn_with(cpu, SCHED_OTHER, 0, nice, entry, arg);
}

void *join(struct thread *t)
{
	void *result = NULL;

	REQUIRE(!thread_join(t, &result));
	return result;
}

void become(int cpu, int policy, int priority)
{
	struct cpumask mask = cpu == ANY_CPU ? cpu_online_mask : one_cpu((unsigned)cpu);

	REQUIRE(!thread_set_affinity(thread_current(), &mask));
	REQUIRE(!sched_set_policy(thread_current(), policy, priority, 0));
}

unsigned current_cpu(void)
{
	unsigned long flags = arch_irq_save();
	unsigned cpu = arch_cpu_self()->index;

	arch_irq_restore(flags);
	return cpu;
}

void sleep_us(uint64_t us)
{
	thread_sleep_until(time_now_ns() + us * NSEC_PER_USEC);
}

void spin_us(uint64_t us)
{
	uint64_t end_ns = time_now_ns() + us * NSEC_PER_USEC;

	while (time_now_ns() < end_ns)
		;
}

#define WAIT_MAX_NS (20 * NSEC_PER_SEC)

void wait_for_flag(const uint32_t *flag)
{
	uint64_t end_ns = time_now_ns() + WAIT_MAX_NS;

	while (!atomic_load_acquire(flag)) {
		REQUIRE(time_now_ns() < end_ns);
		sleep_us(100);
	}
}

void wait_until_blocked(struct thread *t)
{
	uint64_t end_ns = time_now_ns() + WAIT_MAX_NS;

	while (atomic_load_acquire(&t->sched.state) != THREAD_BLOCKED) {
		REQUIRE(time_now_ns() < end_ns);
		sleep_us(100);
	}
}

void log_add(struct log *log, char c)
{
	uint32_t i = atomic_fetch_add_relaxed(&log->n, 1u);

	if (i < sizeof(log->text) - 1)
		log->text[i] = c;
}

/* ---- running --------------------------------------------------------------------------------- */

static void print_thread(struct thread *t)
{
	printk("  thread %d %s: state %u, rank %u, cpu %u\n", (int)t->tid, t->name, t->sched.state,
	       t->sched.rank, t->sched.cpu ? t->sched.cpu->index : 0);
}

static void watchdog_fired(struct timer *timer)
{
	(void)timer;
	thread_each(print_thread);
	panic("test %s has not ended within %u s", now.test->name,
	      (unsigned)(TEST_MAX_NS / NSEC_PER_SEC));
}

static void watchdog_start(void)
{
	unsigned long flags = arch_irq_save();

	timer_add(&watchdog, time_now_ns() + TEST_MAX_NS + test_seconds() * NSEC_PER_SEC);
	arch_irq_restore(flags);
}

static void *nothing(void *arg)
{
	return arg;
}

/*
 * Detached threads that have exited are freed by whoever creates the next ones: gives them
 * occasion. What one test leaves is not held against the next.
 */
static void check_threads_gone(void)
{
	static unsigned usual = 1;
	unsigned left;

	if (ext_is_installed())
		usual = 2; /* the ejector stays */
	left = thread_count();

	for (unsigned tries = 0; left > usual && tries < 200; tries++) {
		join(spawn(ANY_CPU, SCHED_OTHER, 0, nothing, NULL));
		sleep_us(1000);
		left = thread_count();
	}
	if (left > usual)
		test_failed(now.test->name, 0, "%u threads left behind", left - usual);
	usual = left;
}

/* @main has to be asleep in its join, or a test that wants to be alone is not. */
static void *run_test(void *main)
{
	wait_until_blocked(main);
	now.test->run();
	return NULL;
}

static bool run(const struct target_test *test)
{
	uint64_t start_ns = time_now_ns();

	now.test = test;
	now.failures = 0;
	now.timed = 0;
	now.skipped = NULL;
	watchdog_start();
	join(spawn(ANY_CPU, SCHED_OTHER, 0, run_test, thread_current()));
	check_threads_gone();
	timer_cancel_wait(&watchdog);
	return verdict(time_now_ns() - start_ns);
}

static int list(void)
{
	for (const struct target_test *t = __start_target_tests; t < __stop_target_tests; t++)
		printf("%s %s\n", t->kind == TARGET_CRASH ? "crash" : "test", t->name);
	return 0;
}

static int crash(const char *name)
{
	for (const struct target_test *t = __start_target_tests; t < __stop_target_tests; t++)
		if (t->kind == TARGET_CRASH && !strcmp(t->name, name)) {
			t->run();
			printf("crash=%s: still alive\n", name);
			return 1;
		}
	printf("crash=%s: no such test; --list shows them\n", name);
	return 2;
}

static int run_all(void)
{
	unsigned ran = 0, failed = 0;

	for (const struct target_test *t = __start_target_tests; t < __stop_target_tests; t++) {
		if (t->kind != TARGET_TEST || !selected(t->name))
			continue;
		ran++;
		failed += !run(t);
	}
	printf("%u tests, %u failed\n", ran, failed);
	if (!ran)
		printf("no test has such a name; --list shows them\n");
	return failed || !ran;
}

int main(int argc, char **argv)
{
	if (test_argument("exit"))
		return atoi(test_argument("exit"));
	if (test_argument("crash"))
		return crash(test_argument("crash"));
	if (argc > 1 && !strcmp(argv[1], "--list"))
		return list();
	timer_init(&watchdog, watchdog_fired);
	return run_all();
}
