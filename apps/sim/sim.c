/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a scenario and compares what came out with what is expected. The lines it prints are read by
 * tools/sim.py, and by people:
 *
 *   scenario eight-hogs: 1 CPUs, 8 threads, 1 s, seed 1
 *     ok    hog.lag <= 3 ms                      2.99 ms
 *     FAIL  hog.share_error <= 0.01 %            0.02 %
 *     hash 0x0123456789abcdef of 336 switches
 */
#include "apps/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/sim/levels.h"
#include "apps/sim/run.h"
#include "apps/sim/watch.h"
#include "sched/ext/ext.h"

static struct scenario scenario;
static const struct sim_options *options;

/* ---- values ---------------------------------------------------------------------------------- */

/* The threads that an expectation is about. */
static struct sim_thread *first_of(const struct expect *e, unsigned *n)
{
	const struct spec *spec;

	*n = scenario.nr_threads;
	if (e->target.spec < 0)
		return watch.threads;
	spec = &scenario.specs[e->target.spec];
	*n = e->target.instance < 0 ? spec->count : 1;
	return watch.threads + spec->first + (unsigned)MAX(e->target.instance, 0);
}

static uint64_t cpu_time(const struct sim_thread *st, unsigned n)
{
	uint64_t ns = 0;

	for (; n; n--)
		ns += st++->cpu_ns;
	return ns;
}

static int64_t ratio(uint64_t a, uint64_t b)
{
	return b ? (int64_t)((unsigned __int128)a * 100 * PERCENT / b) : NOT_A_NUMBER;
}

/* (largest - smallest) / mean */
static int64_t spread(const struct sim_thread *st, unsigned n)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (unsigned i = 0; i < n; i++) {
		low = MIN(low, st[i].cpu_ns);
		high = MAX(high, st[i].cpu_ns);
	}
	return ratio((high - low) * n, cpu_time(st, n));
}

static int64_t worst_share_error(const struct sim_thread *st, unsigned n)
{
	int64_t worst = 0;

	for (; n; n--, st++)
		worst = MAX(worst, fluid_share_error(&st->fluid, 100 * PERCENT));
	return worst;
}

static int64_t worst_lag(const struct sim_thread *st, unsigned n)
{
	uint64_t worst = 0;

	for (; n; n--, st++)
		worst = MAX(worst, fluid_lag_max_ns(&st->fluid));
	return (int64_t)worst;
}

static int compare_late(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	return x->late_ns < y->late_ns ? -1 : x->late_ns > y->late_ns;
}

/* The smallest value that so many thousandths of all are not above. */
static int64_t latency(const struct expect *e)
{
	const struct samples *all = &run_samples[e->target.spec];
	struct sample *some = calloc(all->nr + 1u, sizeof(struct sample));
	unsigned n = 0, place;
	uint64_t sum = 0;
	int64_t value;

	ASSERT(some);
	for (unsigned i = 0; i < all->nr; i++)
		if (!e->has_after || all->at[i].wake >= e->after) {
			sum += all->at[i].late_ns;
			some[n++] = all->at[i];
		}
	qsort(some, n, sizeof(struct sample), compare_late);
	place = (unsigned)(((uint64_t)n * (unsigned)MAX(e->quantile, 0) + 999) / 1000);
	value = n ? (int64_t)some[MAX(place, 1u) - 1].late_ns : NOT_A_NUMBER;
	if (n && e->quantile < 0)
		value = (int64_t)(sum / n);
	free(some);
	return value;
}

static int64_t total(const struct expect *e, const struct sim_thread *st, unsigned n)
{
	uint64_t sum = 0;

	for (; n; n--, st++)
		sum += e->metric == METRIC_WAKES      ? st->wakes :
		       e->metric == METRIC_LOOPS      ? st->loops :
		       e->metric == METRIC_DONE       ? st->exited :
		       e->metric == METRIC_SWITCHES   ? st->switches :
		       e->metric == METRIC_MIGRATIONS ? st->migrations :
		       e->metric == METRIC_JOBS       ? st->jobs :
		       e->metric == METRIC_MISSES     ? st->misses :
							0;
	return (int64_t)sum;
}

static int64_t longest_response(const struct sim_thread *st, unsigned n)
{
	uint64_t longest = 0;

	for (; n; n--, st++)
		longest = MAX(longest, st->response_ns);
	return longest ? (int64_t)longest : NOT_A_NUMBER;
}

static int64_t longest_wait(const struct sim_thread *st, unsigned n)
{
	uint64_t longest = 0;

	for (; n; n--, st++)
		longest = MAX(longest, st->waited_ns);
	return (int64_t)longest;
}

static int64_t stint(const struct sim_thread *st, unsigned n, bool longest)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (; n; n--, st++) {
		low = MIN(low, st->stint_min_ns);
		high = MAX(high, st->stint_max_ns);
	}
	if (!high)
		return NOT_A_NUMBER;
	return (int64_t)(longest ? high : low);
}

/* The most that one of its entities, each on a CPU, was off. */
static int64_t group_lag(const struct sim_group *g)
{
	uint64_t worst = 0;

	for (unsigned i = 0; i < scenario.cpus; i++)
		worst = MAX(worst, fluid_lag_max_ns(&g->on[i].entity));
	return (int64_t)worst;
}

static int64_t measured_group(enum metric metric, const struct sim_group *g)
{
	if (metric == METRIC_CPU_TIME)
		return (int64_t)g->cpu_ns;
	if (metric == METRIC_SHARE)
		return ratio(g->cpu_ns, cpu_time(watch.threads, scenario.nr_threads));
	return metric == METRIC_LAG ? group_lag(g) : (int64_t)g->throttled_ns;
}

static int64_t measured(const struct expect *e)
{
	unsigned n, i = (unsigned)(e - scenario.expects);
	const struct sim_thread *st = first_of(e, &n);

	if (e->group != NO_GROUP)
		return measured_group(e->metric, &watch.groups[e->group]);
	switch (e->metric) {
	case METRIC_CPU_TIME:
		return (int64_t)cpu_time(st, n);
	case METRIC_SHARE:
		return ratio(cpu_time(st, n), cpu_time(watch.threads, scenario.nr_threads));
	case METRIC_SPREAD:
		return spread(st, n);
	case METRIC_SHARE_ERROR:
		return worst_share_error(st, n);
	case METRIC_LAG:
		return worst_lag(st, n);
	case METRIC_LATENCY:
		return latency(e);
	case METRIC_STINT_MIN:
	case METRIC_STINT_MAX:
		return stint(st, n, e->metric == METRIC_STINT_MAX);
	case METRIC_RESPONSE:
		return longest_response(st, n);
	case METRIC_CLOCK_ERROR:
		return (int64_t)watch.clock_error_ns;
	case METRIC_LAG_DIFFERENCE:
		return (int64_t)watch.lag_difference_ns;
	case METRIC_ALL_BUSY:
		return watch.busy_at_ns[i] == UINT64_MAX ? NOT_A_NUMBER :
							   (int64_t)watch.busy_at_ns[i];
	case METRIC_SIMULATOR_TIME:
		return process_cpu_ns();
	case METRIC_WAITED:
		return longest_wait(st, n);
	case METRIC_MISPLACED:
		return (int64_t)watch.misplaced;
	case METRIC_IDLE_SHARE:
		return ratio(watch.idle_ns, scenario.cpus * (scenario.time_ns - scenario.from_ns));
	case METRIC_IDLE_WHILE_WAITING:
		return (int64_t)watch.wasted_max_ns;
	default:
		if (e->target.spec < 0)
			return (int64_t)(e->metric == METRIC_SWITCHES ? watch.switches :
									watch.migrations);
		return total(e, st, n);
	}
}

static bool holds(const struct expect *e, int64_t value)
{
	if (value == NOT_A_NUMBER)
		return false;
	if (e->compare == COMPARE_AT_MOST)
		return value <= e->limit;
	if (e->compare == COMPARE_AT_LEAST)
		return value >= e->limit;
	return value - e->limit <= e->tolerance && e->limit - value <= e->tolerance;
}

/* ---- the run --------------------------------------------------------------------------------- */

static const char *base_name(const char *path, char *buf, size_t size)
{
	const char *slash = strrchr(path, '/');

	snprintf(buf, size, "%s", slash ? slash + 1 : path);
	if (strlen(buf) > 4 && !strcmp(buf + strlen(buf) - 4, ".scn"))
		buf[strlen(buf) - 4] = 0;
	return buf;
}

/*
 * Limits are EEVDF's, and those of the classes above it. Under a policy the former are for
 * comparison: the line says "differs", and the run does not fail.
 */
static bool is_figure(const struct expect *e)
{
	uint8_t policy = e->target.spec < 0 ? POLICY_FAIR :
					      scenario.specs[e->target.spec].attr.policy;

	return watch.policy && !options->strict && e->metric != METRIC_MISPLACED &&
	       (policy == POLICY_FAIR || policy == POLICY_BATCH || policy == POLICY_IDLE);
}

static const char *verdict(const struct expect *e, int64_t value)
{
	if (holds(e, value))
		return "ok";
	return is_figure(e) ? "differs" : "FAIL";
}

/* It has to be there at the end. */
static bool report_policy(void)
{
	if (!watch.policy)
		return true;
	if (run_policy.lived)
		printf("  policy %s: loaded to the end\n", run_policy.name);
	else
		printf("  policy %s: %s%s%s\n", run_policy.name, ext.info.reason,
		       ext.reason_msg[0] ? ": " : "", ext.reason_msg);
	return run_policy.lived;
}

/* True: all hold. */
static bool report(void)
{
	char text[200], value[40];
	bool good = true;

	value_text(UNIT_NS, (int64_t)scenario.time_ns, value, sizeof(value));
	printf("scenario %s: %u CPUs, %u threads, %s, seed %llu\n",
	       base_name(options->file, text, sizeof(text)), scenario.cpus, scenario.nr_threads,
	       value, (unsigned long long)options->seed);
	for (unsigned i = 0; i < scenario.nr_expects; i++) {
		const struct expect *e = &scenario.expects[i];
		int64_t v = measured(e);

		expect_text(&scenario, e, text, sizeof(text));
		value_text(e->unit, v, value, sizeof(value));
		printf("  %-5s %-52s %s\n", verdict(e, v), text, value);
		good &= holds(e, v) || is_figure(e);
	}
	for (unsigned i = 0; i < scenario.cpus; i++)
		if (levels_sum_error_ns(i) > 1) {
			printf("  FAIL  the lags on CPU %u add up to 0  not so\n", i);
			good = false;
		}
	good &= report_policy();
	printf("  hash 0x%016llx of %llu switches, %llu steps\n", (unsigned long long)watch.hash,
	       (unsigned long long)watch.hashed, (unsigned long long)host_steps());
	return good;
}

static void say_mistake(const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static void show_progress(uint64_t now_ns)
{
	if (watch.start_ns != UINT64_MAX)
		options->progress(now_ns - watch.start_ns, scenario.time_ns);
}

static bool expects(enum metric metric)
{
	for (unsigned i = 0; i < scenario.nr_expects; i++)
		if (scenario.expects[i].metric == metric)
			return true;
	return false;
}

static void set_cost(uint32_t *cost, unsigned given)
{
	if (given != UINT32_MAX)
		*cost = given;
}

int sim_run(const struct sim_options *o)
{
	static struct host_costs costs = HOST_COSTS_BENCH;
	struct host_options machine = { .sched_event = watch_event,
					.seed = o->seed,
					.costs = &costs,
					.steps_max = UINT64_MAX };
	int status;

	options = o;
	if (o->boot && host_boot_arguments(o->boot))
		return 2;
	watch.policy = ext_policy_at(0);
	if (!scenario_parse(&scenario, o->file, o->text, o->cpus, say_mistake))
		return 2;
	set_cost(&costs.step_ns, scenario.step_ns);
	set_cost(&costs.switch_ns, scenario.switch_ns);
	set_cost(&costs.interrupt_ns, scenario.interrupt_ns);
	set_cost(&costs.ipi_ns, scenario.ipi_ns);
	machine.cpus = scenario.cpus;
	machine.topology = scenario.topology;
	watch.waste = expects(METRIC_IDLE_WHILE_WAITING);
	watch.throttling = expects(METRIC_THROTTLED);
	watch.waits = expects(METRIC_WAITED);
	watch.waste |= expects(METRIC_IDLE_SHARE);
	if (watch.policy)
		process_catch_faults();
	if (watch.waste || watch.throttling || watch.waits || watch.policy)
		machine.observe = watch_moment;
	watch_init(&scenario);
	watch.progress = o->progress ? show_progress : NULL;
	watch.log = o->log;
	watch.compares_lags = expects(METRIC_LAG_DIFFERENCE);
	run_init(&scenario, o->seed);
	status = host_run_options(&machine, run_director, NULL);
	if (status)
		return status;
	return report() ? 0 : 1;
}
