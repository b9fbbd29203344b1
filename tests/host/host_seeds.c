/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenarios by seed (see host_seeds.h). A machine can be booted once in a process, so each run is a
 * child; two at a time. What a child writes to stderr is shown for the first one that fails only.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sched/sched.h"
#include "tests/host/host_seeds.h"

#define CHILDREN 2

static uint64_t draw_state;
static const struct scenario *running;
static bool tracing;

uint64_t draw(uint64_t n)
{
	draw_state ^= draw_state << 13;
	draw_state ^= draw_state >> 7;
	draw_state ^= draw_state << 17;
	return (draw_state >> 11) % n;
}

void check_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: check failed: %s\n", file, line, expr);
	host_dump();
	host_die(1);
}

/* What the CPUs do, a line for each change, when FAIRLEAD_TRACE is set. */
static void trace(bool quiet)
{
	static char last[512];
	char line[512];
	int n = 0;

	for (unsigned i = 0; i < cpu_count && cpu_at(i) && cpu_at(i)->rq.curr; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, "  %u: %s/%d +%u%s%s%s", i,
			      cpu_at(i)->rq.curr->name, (int)cpu_at(i)->rq.curr->tid,
			      cpu_at(i)->rq.nr_ready, cpu_at(i)->rq.resched ? " resched" : "",
			      cpu_at(i)->rq.lock.word ? " locked" : "",
			      host_cpu_is_idle(i) ? " idle" : "");
	if (!n || !strcmp(line, last))
		return;
	memcpy(last, line, sizeof(line));
	fprintf(stderr, "%8llu%s idle mask %llx%s\n", (unsigned long long)host_now_ns,
		quiet ? " quiet" : "", (unsigned long long)cpu_idle_mask.bits[0], line);
}

static void observe(bool quiet)
{
	if (tracing)
		trace(quiet);
	check_machine(quiet);
	if (running->observe)
		running->observe(quiet);
}

/* What is undefined ends the run, too. */
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "halt_on_error=1:print_stacktrace=1";
}

/* The test framework's handlers would go on with the next test in the child. */
static void default_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS };

	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_DFL);
}

static __noreturn void run_one(const struct scenario *s, unsigned cpus, uint64_t seed, FILE *log)
{
	struct host_options options = {
		.cpus = cpus,
		.seed = seed,
		.step_ns = s->step_ns,
		.topology = s->topology,
		.steps_max = s->steps_max ? s->steps_max : 20000000,
		.observe = observe,
		.observe_every = getenv("FAIRLEAD_TRACE") ? 1 : 1 + (unsigned)(seed * 7 % 23),
	};

	running = s;
	tracing = getenv("FAIRLEAD_TRACE");
	draw_state = seed * 0x9e3779b97f4a7c15ull + cpus;
	default_signals();
	dup2(fileno(log), STDERR_FILENO);
	host_die(host_run_options(&options, s->first, NULL));
}

struct child {
	pid_t pid;
	unsigned cpus;
	uint64_t seed;
	FILE *log;
};

static void show(FILE *log)
{
	char line[512];

	rewind(log);
	while (fgets(line, sizeof(line), log))
		fputs(line, stderr);
}

/* Waits for the child; true when it ended as expected. */
static bool reap(const struct scenario *s, struct child *c)
{
	int status = 0;
	bool ok;

	waitpid(c->pid, &status, 0);
	ok = WIFEXITED(status) && WEXITSTATUS(status) == s->expect;
	if (!ok) {
		fprintf(stderr,
			"FAIRLEAD_CPUS=%u FAIRLEAD_SEED=%llu: status 0x%x, expected exit status %d\n",
			c->cpus, (unsigned long long)c->seed, (unsigned)status, s->expect);
		show(c->log);
	}
	fclose(c->log);
	c->pid = 0;
	return ok;
}

static void start(const struct scenario *s, struct child *c, unsigned cpus, uint64_t seed)
{
	*c = (struct child){ .cpus = cpus, .seed = seed, .log = tmpfile() };
	assert_non_null(c->log);
	fflush(NULL);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid)
		run_one(s, cpus, seed, c->log);
}

static unsigned from_environment(const char *name)
{
	const char *value = getenv(name);

	return value ? (unsigned)strtoul(value, NULL, 0) : 0;
}

void run_seeds(const struct scenario *s)
{
	struct child children[CHILDREN] = { 0 };
	unsigned only_cpus = from_environment("FAIRLEAD_CPUS"),
		 only_seed = from_environment("FAIRLEAD_SEED"), slot = 0;
	bool ok = true;

	for (unsigned cpus = s->cpus_from; cpus <= s->cpus_to; cpus++)
		for (unsigned seed = 1; seed <= s->seeds && ok; seed++) {
			if ((only_cpus && cpus != only_cpus) || (only_seed && seed != only_seed))
				continue;
			if (children[slot].pid)
				ok = reap(s, &children[slot]);
			if (ok)
				start(s, &children[slot], cpus, seed);
			slot = (slot + 1) % CHILDREN;
		}
	for (unsigned i = 0; i < CHILDREN; i++)
		if (children[i].pid)
			ok &= reap(s, &children[i]);
	assert_true(ok);
}

void run_seeds_of(void (*first)(void *), unsigned cpus_from, unsigned cpus_to, unsigned seeds)
{
	const struct scenario s = { .first = first,
				    .cpus_from = cpus_from,
				    .cpus_to = cpus_to,
				    .seeds = seeds,
				    .steps_max = 60000000 };

	run_seeds(&s);
}

void host_pin(struct thread *t, unsigned cpu)
{
	struct cpumask mask = { 0 };

	cpumask_set(&mask, cpu);
	CHECK(!thread_set_affinity(t, &mask));
}
