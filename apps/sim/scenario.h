/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scenario as the parser leaves it: what threads there are, what they do, what happens when, and
 * what is expected. The language is described in docs/SIM.md. Nothing here changes while the
 * scenario runs. Times are ns; shares are in units of 1e-8 (PERCENT is one per cent).
 */
#pragma once

#include "core/cpumask.h"
#include "core/thread.h"
#include "core/topology.h"

#define NAME_BYTES     24
#define GROUPS_MAX     64
#define NO_GROUP       (-1)
#define LOOPS_MAX      4       /* loops within loops */
#define INSTANCES_MAX  1000000 /* threads in a scenario */
#define PERCENT        1000000ll
#define TIME_MAX_NS    (1000000 * NSEC_PER_SEC)
#define SCENARIO_SEEDS 1
#define FOREVER_NS     (1ull << 50) /* more than TIME_MAX_NS */
#define START_NEVER    UINT64_MAX
#define NOT_A_NUMBER   INT64_MIN /* a value that could not be taken: no expectation holds for it */

enum op_code {
	OP_RUN,     /* CPU time, a..b ns */
	OP_SLEEP,   /* a..b ns from now */
	OP_PERIOD,  /* until the next multiple of a ns since the thread began */
	OP_EXHAUST, /* its deadline budget, but for a ns */
	OP_LOCK,    /* mutex a */
	OP_UNLOCK,
	OP_WAIT, /* semaphore a */
	OP_POST,
	OP_YIELD,
	OP_BLOCK,   /* until somebody wakes the thread */
	OP_WAKE,    /* target */
	OP_START,   /* target */
	OP_OFFLINE, /* a: CPU */
	OP_ONLINE,  /* a: CPU */
	OP_SET,     /* change a, of target */
	OP_GROUP,   /* change a, of group b */
	OP_LOOP,    /* a times, 0: for ever; b: index behind the matching OP_END */
	OP_END,     /* a: index of the first operation of the loop */
	OP_EXIT,
};

/* Threads of one declaration: one of them, or all (instance -1). Spec -1: whoever does it. */
struct target {
	int spec, instance;
};

struct op {
	enum op_code code;
	uint64_t a, b;
	struct target target;
};

/* Linux's numbers. */
enum sim_policy {
	POLICY_FAIR = 0,
	POLICY_FIFO = 1,
	POLICY_RR = 2,
	POLICY_BATCH = 3,
	POLICY_IDLE = 5,
	POLICY_DEADLINE = 6
};

/* Attributes given in a declaration or by `set`; only those marked in @given count. */
enum {
	GIVEN_POLICY = 1,
	GIVEN_PRIORITY = 2,
	GIVEN_NICE = 4,
	GIVEN_SLICE = 8,
	GIVEN_CPUS = 16,
	GIVEN_GROUP = 32,
	GIVEN_RUNTIME = 64,
	GIVEN_DEADLINE = 128,
	GIVEN_CYCLE = 256,
};

struct change {
	unsigned given;
	uint8_t policy, priority;
	int8_t nice;
	bool each_cpu; /* thread i on CPU i, modulo the number of CPUs */
	uint64_t slice_ns;
	uint64_t runtime_ns, deadline_ns, period_ns; /* of policy deadline */
	int group;                                   /* NO_GROUP: to none */
	struct cpumask cpus;
};

/* The same of groups; quota and period go together, quota 0: no limit. */
enum { GIVEN_WEIGHT = 1, GIVEN_QUOTA = 2, GIVEN_PERIOD = 4 };

struct group_change {
	unsigned given;
	uint32_t weight;
	uint64_t quota_ns, period_ns;
};

struct group_spec {
	char name[NAME_BYTES];
	int parent; /* NO_GROUP: at the top */
	unsigned depth;
	struct group_change attr;
};

struct spec {
	char name[NAME_BYTES];
	int line;
	unsigned count;
	unsigned first; /* number of its first instance among all */
	uint64_t start_ns;
	struct change attr;
	struct op *ops;
	unsigned nr_ops;
};

struct event {
	uint64_t at_ns;
	struct op op;
	int line;
};

enum metric {
	METRIC_CPU_TIME,
	METRIC_SHARE,
	METRIC_SPREAD,
	METRIC_SHARE_ERROR,
	METRIC_LAG,
	METRIC_LATENCY,
	METRIC_WAKES,
	METRIC_LOOPS,
	METRIC_DONE,
	METRIC_STINT_MIN,
	METRIC_STINT_MAX,
	METRIC_SWITCHES,
	METRIC_MIGRATIONS,
	METRIC_CLOCK_ERROR,
	METRIC_LAG_DIFFERENCE,
	METRIC_ALL_BUSY,
	METRIC_IDLE_WHILE_WAITING,
	METRIC_IDLE_SHARE,
	METRIC_WAITED,
	METRIC_MISPLACED,
	METRIC_THROTTLED,
	METRIC_JOBS,
	METRIC_MISSES,
	METRIC_RESPONSE,
	METRIC_SIMULATOR_TIME,
};

enum unit { UNIT_NS, UNIT_PERCENT, UNIT_COUNT };
enum compare { COMPARE_AT_MOST, COMPARE_AT_LEAST, COMPARE_WITHIN };

struct expect {
	int line;
	struct target target; /* spec -1: all threads, or of a group */
	int group;            /* NO_GROUP: not of a group */
	enum metric metric;
	enum unit unit;
	/* of latencies, in 1/1000: 0 the smallest, 1000 the largest; -1: the mean */
	int quantile;
	bool has_after;
	uint64_t after; /* a number of wake-ups, or ns */
	enum compare compare;
	int64_t limit, tolerance;
};

struct named {
	char name[NAME_BYTES];
	int64_t value; /* of a semaphore, at the start */
};

struct scenario {
	char title[100];
	unsigned cpus;
	uint64_t time_ns, from_ns;
	unsigned seeds;
	unsigned step_ns, switch_ns, interrupt_ns, ipi_ns;
	struct spec *specs;
	struct event *events;
	struct expect *expects;
	struct named *mutexes, *semaphores;
	struct change *changes;
	struct group_spec *groups;
	struct group_change *group_changes;
	struct topology_cpu *topology; /* one a CPU; NULL: one cluster of equal CPUs */
	struct cpumask clustered;      /* CPUs that a cluster names */
	unsigned nr_specs, nr_events, nr_expects, nr_mutexes, nr_semaphores, nr_changes;
	unsigned nr_groups, nr_group_changes, nr_clusters;
	unsigned nr_threads; /* of all declarations */
};

/*
 * Reads @text, which is called @file in messages; @cpus: instead of the scenario's own number, 0:
 * none. False: the first mistake was reported as "file:line: ..." by @say.
 */
bool scenario_parse(struct scenario *s, const char *file, const char *text, unsigned cpus,
		    void (*say)(const char *message));

/* "hog.latency.p99 after 100 <= 3 ms" */
void expect_text(const struct scenario *s, const struct expect *e, char *buf, size_t size);
void value_text(enum unit unit, int64_t value, char *buf, size_t size);
