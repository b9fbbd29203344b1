/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The search: one configuration, every order of its steps that needs at most so many preemptions.
 *
 *   search [options] configuration
 *     --bound=N       preemptions in one run (a switch while the CPU could go on; also time that
 *                     moves early, and stores that stay in their buffer at a switch)
 *     --all           prune nothing: the ends must be the same
 *     --weak          stores pass through buffers
 *     --seeds=N       N runs by random choice in place of all
 *     --races         with --seeds: report plain accesses that race
 *     --replay=P:V,.. one run with choice number P being V and all others 0, with a trace
 *     --list          the configurations
 *
 * The machine boots and warms up once; then its memory is saved (variables, heap, the used part of
 * the stacks). Each run begins with that memory put back, follows the choices of the run before up
 * to the last one that can be changed, changes it, and takes choice 0 from there on: depth first.
 * A state that was met before with as many preemptions left (memory_signature()) ends the run.
 *
 * Exit status: 0 all explored, 1 a failure, which was printed with the choices that lead to it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/cpu.h"
#include "sched/sched.h"
#include "tests/host/host_seeds.h"
#include "tests/search/search.h"

#define EXPLORER    0x400000000000ul
#define DEPTH_MAX   20000
#define STEPS_RUN   60000 /* more sync points in one run are a livelock */
#define TABLE_BITS  24
#define ENDS        (1u << 18)
#define RANGES_MAX  600
#define SAVED_BYTES (16ul << 20)

bool search_on, search_weak, search_races, search_tracing, search_stacks;

struct node {
	uint8_t value, n, cost;
};

/* All that lasts from run to run: outside of what is put back. */
struct explorer {
	const struct configuration *configuration;
	unsigned bound, seeds;
	uint64_t random;
	unsigned odds;
	bool by_seed, replaying;
	struct node path[DEPTH_MAX];
	unsigned depth, prefix, spent, deepest;
	uint64_t last_key; /* of the state before */
	bool offered;      /* an atomic access asks: who goes first? */
	bool ended, pruned;
	uint64_t runs, pruned_runs, states, choices, steps;
	bool full, all;
	unsigned n_ends;
	uint64_t ends[ENDS];
	struct memory_range ranges[RANGES_MAX];
	unsigned n_ranges;
	char saved[SAVED_BYTES];
	char crash_stack[64 << 10];
	uint64_t table[1u << TABLE_BITS]; /* signature, with the preemptions left in the low bits */
};

static struct explorer *x;

/* ---- choices --------------------------------------------------------------------------------- */

static uint64_t random_next(void)
{
	uint64_t z = x->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* One of @n; any but 0 costs @cost preemptions, and is not to be had for more than are left. */
static unsigned decide(unsigned n, unsigned cost)
{
	unsigned value = 0;

	if (n < 2 || (cost && !x->by_seed && x->spent + cost > x->bound))
		return 0;
	if (x->depth == DEPTH_MAX) {
		fprintf(stderr, "more than %u choices in one run\n", DEPTH_MAX);
		host_die(1);
	}
	if (x->by_seed) {
		if (!cost || random_next() % x->odds == 0)
			value = (unsigned)(random_next() % n);
	} else if (x->depth < x->prefix) {
		value = x->path[x->depth].value;
	} else {
		x->choices++;
	}
	x->path[x->depth++] = (struct node){ (uint8_t)value, (uint8_t)n, (uint8_t)cost };
	if (value)
		x->spent += cost;
	return value;
}

static bool anybody_else(void)
{
	for (unsigned i = 0; i < host_nr_cpus; i++)
		if (&host_cpus[i] != host_self && host_cpu_can_run(i) && !memory_spins_in_vain(i))
			return true;
	return false;
}

/* Those that spin in vain are passed over while there is anybody else. */
static unsigned choose_cpu(unsigned n)
{
	unsigned useful[CPUS_MAX], count = 0;

	for (unsigned i = 0; i < n; i++)
		if (!memory_spins_in_vain(host_candidate(i)))
			useful[count++] = i;
	if (count)
		return useful[decide(count, 0)];
	memory_forgive_spinners();
	return decide(n, 0);
}

static unsigned choose_warm(enum host_choice kind, unsigned n)
{
	static unsigned turn;

	return kind == HOST_CHOOSE_CPU ? turn++ % n : 0;
}

/*
 * Leaving a CPU whose stores nobody else has seen: all are seen now, or none, or one of the newest
 * only.
 */
static void choose_visible(void)
{
	unsigned which = decide(2 + memory_overtakers(), 1);

	if (!which)
		memory_drain();
	else if (which > 1)
		memory_overtake(which - 2);
}

static unsigned choose_switch(void)
{
	bool offered = x->offered;

	x->offered = false;
	/* posix/ has ways of one's own that an interrupt may come into anywhere between two masked pieces */
	if ((!offered && !search_stacks) || !anybody_else() || !decide(2, 1))
		return 0;
	if (memory_buffered())
		choose_visible();
	return 1;
}

static unsigned choose(enum host_choice kind, unsigned n)
{
	if (!search_on)
		return choose_warm(kind, n);
	switch (kind) {
	case HOST_CHOOSE_SWITCH:
		return choose_switch();
	case HOST_CHOOSE_CPU:
		return choose_cpu(n);
	case HOST_CHOOSE_INTERRUPT:
	case HOST_CHOOSE_STOP:
		return decide(n, 0);
	}
	return 0;
}

/* ---- states ---------------------------------------------------------------------------------- */

/* True: this state was met with as many preemptions left, so all that follows is known. */
static bool met_before(void)
{
	uint64_t left = MIN(x->bound - x->spent, 7u), key = memory_signature() & ~7ull;
	unsigned i = (unsigned)(key >> (64 - TABLE_BITS));

	/* else a step is not an event, and the run would be taken for one that was met */
	ASSERT(key != x->last_key);
	x->last_key = key;
	for (unsigned probes = 0; probes < 64; probes++, i = (i + 1) % (1u << TABLE_BITS)) {
		uint64_t entry = x->table[i];

		if (!entry) {
			x->table[i] = key | left;
			x->states++;
			return false;
		}
		if ((entry & ~7ull) != key)
			continue;
		if ((entry & 7) >= left)
			return true;
		x->table[i] = key | left;
		return false;
	}
	x->full = true;
	return false;
}

/* Different ends: a check of the pruning, which must not lose any. */
static void note_end(void)
{
	uint64_t key = (memory_signature() * 0x9e3779b97f4a7c15ull) | 7;

	for (unsigned i = (unsigned)(key >> 40) % ENDS;; i = (i + 1) % ENDS) {
		if (x->ends[i] == key || x->n_ends == ENDS / 2)
			return;
		if (!x->ends[i]) {
			x->ends[i] = key;
			x->n_ends++;
			return;
		}
	}
}

static __noreturn void run_ends(void)
{
	x->ended = true;
	x->steps += host_steps();
	host_leave();
}

static void observe(bool quiet)
{
	bool on = search_on;

	if (on && !memory_is_whole())
		return;
	search_on = false;
	check_machine(quiet);
	search_on = on;
}

void search_yield(void)
{
	if (!x->by_seed && !x->replaying && x->depth >= x->prefix) {
		if (met_before() && !x->all) {
			x->pruned = true;
			run_ends();
		}
		observe(false);
	} else if (x->replaying || x->by_seed) {
		observe(false);
	}
	if (x->configuration->timers && host_time_can_jump() && decide(2, 1))
		host_time_jump();
	x->offered = true;
	host_sync_point();
	x->offered = false;
}

/* ---- failure --------------------------------------------------------------------------------- */

static void print_choices(void)
{
	bool any = false;

	for (unsigned i = 0; i < x->depth; i++)
		if (x->path[i].value) {
			fprintf(stderr, "%s%u:%u", any ? "," : "", i, x->path[i].value);
			any = true;
		}
	if (!any)
		fprintf(stderr, "none");
}

static void dies(int status)
{
	(void)status;
	search_on = false;
	fflush(stdout);
	fprintf(stderr,
		"FAILED %s%s after %llu runs, %u preemptions\nreplay: ", x->configuration->name,
		search_weak ? " --weak" : "", (unsigned long long)x->runs, x->spent);
	fprintf(stderr, "tests/search/run.py --replay=");
	print_choices();
	fprintf(stderr, "%s %s\n", search_weak ? " --weak" : "", x->configuration->name);
	_exit(1);
}

void check_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: check failed: %s\n", file, line, expr);
	host_dump();
	host_die(1);
}

/* On a stack of its own: the kernel's may be what is wrong. */
static void crashed(int number)
{
	fprintf(stderr, "crashed: signal %d\n", number);
	dies(number);
}

static void catch_crashes(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	stack_t alternate = { .ss_sp = x->crash_stack, .ss_size = sizeof(x->crash_stack) };
	struct sigaction action = { .sa_handler = crashed, .sa_flags = SA_ONSTACK };

	sigaltstack(&alternate, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &action, NULL);
}

static void trace_event(enum sched_event what, struct cpu *cpu, const struct thread *a,
			const struct thread *b, uint64_t arg)
{
	static const char *const names[] = {
		"switch", "join", "leave", "weight", "delay", "resume"
	};

	if (search_tracing)
		printf("%5llu cpu %u ---- %s %s%s%s (%llu)\n", (unsigned long long)host_steps(),
		       cpu->index, names[what], a ? a->name : "a group", b ? " -> " : "",
		       b ? b->name : "", (unsigned long long)arg);
}

static void note(enum host_note what, unsigned cpu, unsigned arg)
{
	static const char *const names[] = { "goes on",   "waits or computes",
					     "spins",     "is sent an interrupt",
					     "interrupt", "time moves" };

	if (!search_on)
		return;
	if (search_tracing)
		printf("%5llu cpu %u ---- %s (%u)\n", (unsigned long long)host_steps(), cpu,
		       names[what], arg);
	memory_note(what, cpu, arg);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void copy(bool back)
{
	size_t at = 0;

	for (unsigned i = 0; i < x->n_ranges; i++) {
		struct memory_range *r = &x->ranges[i];

		ASSERT(at + r->bytes <= SAVED_BYTES);
		if (back)
			memcpy((void *)r->from, x->saved + at, r->bytes);
		else
			memcpy(x->saved + at, (void *)r->from, r->bytes);
		at += r->bytes;
	}
}

void search_begin(void)
{
	search_on = true;
	host_pause();
}

unsigned search_choice(unsigned n)
{
	unsigned value = decide(n, 0);

	memory_note(HOST_NOTE_INTERRUPT, (unsigned)(host_self - host_cpus), 2 + value);
	return value;
}

void search_end(void)
{
	if (!x->by_seed)
		note_end();
	search_on = false;
	run_ends();
}

static void one_run(void)
{
	copy(true);
	search_tracing = x->replaying;
	memory_reset();
	x->depth = 0;
	x->spent = 0;
	x->ended = false;
	x->pruned = false;
	x->last_key = 0;
	host_resume();
	x->runs++;
	x->pruned_runs += x->pruned;
	x->deepest = MAX(x->deepest, x->depth);
	if (!x->ended) {
		fprintf(stderr, "%s: a run ended in an unknown way\n", x->configuration->name);
		exit(2);
	}
}

/* The next way: the last choice that has another value gets it. False: there is none. */
static bool next_way(void)
{
	while (x->depth) {
		struct node *n = &x->path[x->depth - 1];

		if (n->value + 1u < n->n) {
			n->value++;
			x->prefix = x->depth;
			return true;
		}
		x->depth--;
	}
	return false;
}

static void explore(void)
{
	do
		one_run();
	while (next_way());
}

static void by_seed(void)
{
	static const unsigned odds[] = { 3, 6, 12, 25, 50, 100 };

	x->by_seed = true;
	for (unsigned seed = 1; seed <= x->seeds; seed++) {
		x->random = seed;
		x->odds = odds[seed % ARRAY_SIZE(odds)];
		one_run();
	}
	if (memory_races())
		exit(1);
}

static void replay(const char *choices)
{
	x->replaying = true;
	x->prefix = 0;
	while (*choices && strcmp(choices, "none")) {
		char *end;
		unsigned long at = strtoul(choices, &end, 10), value;

		if (*end != ':' || at >= DEPTH_MAX)
			exit(2);
		value = strtoul(end + 1, &end, 10);
		x->path[at].value = (uint8_t)value;
		x->prefix = (unsigned)at + 1;
		choices = *end == ',' ? end + 1 : end;
	}
	x->bound = 100;
	one_run();
}

/* ---- start ----------------------------------------------------------------------------------- */

static void first(void *arg)
{
	(void)arg;
	x->configuration->run();
}

extern char __data_start[], _end[];

static const struct host_search hooks = { .choose = choose, .note = note, .dies = dies };

/* Boots, warms up, saves. */
static void prepare(const struct configuration *c)
{
	struct host_options options = { .cpus = c->cpus,
					.seed = 1,
					.steps_max = STEPS_RUN,
					.observe = observe,
					.sched_event = trace_event,
					.search = &hooks };

	catch_crashes();
	x->configuration = c;
	search_stacks = c->stacks;
	memory_init((uintptr_t)__data_start, (uintptr_t)_end);
	host_run_options(&options, first, NULL);
	if (!search_on) {
		fprintf(stderr, "%s: ended before search_begin()\n", c->name);
		exit(2);
	}
	x->n_ranges = memory_ranges(x->ranges, RANGES_MAX);
	copy(false);
}

static int usage(void)
{
	fprintf(stderr, "usage: search [--bound=N] [--weak] [--seeds=N [--races]] "
			"[--replay=P:V,..] configuration | --list\n");
	return 2;
}

/* NULL: no more. */
static const struct configuration *configuration_at(unsigned i)
{
	if (i < configurations_n)
		return &configurations[i];
	i -= configurations_n;
	return __start_scenes + i < __stop_scenes ? __start_scenes[i] : NULL;
}

static int list(void)
{
	const struct configuration *c;

	for (unsigned i = 0; (c = configuration_at(i)); i++)
		printf("%s\t%u\t%u\t%s\t%s\n", c->name, c->cpus, c->soak_bound,
		       c->open ? c->open : "", c->what);
	return 0;
}

static const struct configuration *find(const char *name)
{
	const struct configuration *c;

	for (unsigned i = 0; (c = configuration_at(i)); i++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(double seconds)
{
	printf("%s: %s%u CPUs, ", x->configuration->name, search_weak ? "store buffers, " : "",
	       x->configuration->cpus);
	if (x->by_seed)
		printf("%u seeds, ", x->seeds);
	else
		printf("bound %u, ", x->bound);
	printf("%llu runs, %llu pruned, %llu states, %llu choices, %u deep, %u ends, %.1f s, %.0f runs/s%s\n",
	       (unsigned long long)x->runs, (unsigned long long)x->pruned_runs,
	       (unsigned long long)x->states, (unsigned long long)x->choices, x->deepest, x->n_ends,
	       seconds, (double)x->runs / seconds, x->full ? ", table of states full" : "");
}

int main(int argc, char **argv)
{
	const struct configuration *c = NULL;
	const char *choices = NULL;
	double start_s = now_s();

	x = (struct explorer *)EXPLORER;
	memory_map(EXPLORER, ALIGN_UP(sizeof(*x), 4096));
	x->bound = UINT32_MAX;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--list"))
			return list();
		else if (!strncmp(argv[i], "--bound=", 8))
			x->bound = (unsigned)atoi(argv[i] + 8);
		else if (!strncmp(argv[i], "--seeds=", 8))
			x->seeds = (unsigned)atoi(argv[i] + 8);
		else if (!strncmp(argv[i], "--replay=", 9))
			choices = argv[i] + 9;
		else if (!strcmp(argv[i], "--all"))
			x->all = true;
		else if (!strcmp(argv[i], "--weak"))
			search_weak = true;
		else if (!strcmp(argv[i], "--races"))
			search_races = true;
		else if (c || !(c = find(argv[i])))
			return usage();
	}
	if (!c)
		return usage();
	if (x->bound == UINT32_MAX)
		x->bound = search_weak ? c->weak_bound : c->bound;
	prepare(c);
	if (choices)
		replay(choices);
	else if (x->seeds)
		by_seed();
	else
		explore();
	report(now_s() - start_s);
	return 0;
}
