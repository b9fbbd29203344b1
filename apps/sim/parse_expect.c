/* SPDX-License-Identifier: BSD-2-Clause */
/* What is expected of a run: read, and as text again. See parse.h. */
#include <stdio.h>
#include <string.h>

#include "apps/sim/parse.h"

/* ---- expectations ---------------------------------------------------------------------------- */

enum { OF_THREADS = 1, OF_ALL = 2, OF_GROUPS = 4 };

static const struct {
	const char *name;
	enum unit unit;
	unsigned of;
	char after; /* what `after` takes: n: number, t: time, 0: there is none */
} metrics[] = {
	[METRIC_CPU_TIME] = { "cpu_time", UNIT_NS, OF_THREADS | OF_GROUPS, 0 },
	[METRIC_SHARE] = { "share", UNIT_PERCENT, OF_THREADS | OF_GROUPS, 0 },
	[METRIC_SPREAD] = { "spread", UNIT_PERCENT, OF_THREADS, 0 },
	[METRIC_SHARE_ERROR] = { "share_error", UNIT_PERCENT, OF_THREADS | OF_ALL, 0 },
	[METRIC_LAG] = { "lag", UNIT_NS, OF_THREADS | OF_ALL | OF_GROUPS, 0 },
	[METRIC_LATENCY] = { "latency", UNIT_NS, OF_THREADS, 'n' },
	[METRIC_WAKES] = { "wakes", UNIT_COUNT, OF_THREADS, 0 },
	[METRIC_LOOPS] = { "loops", UNIT_COUNT, OF_THREADS, 0 },
	[METRIC_DONE] = { "done", UNIT_COUNT, OF_THREADS, 0 },
	[METRIC_STINT_MIN] = { "stint.min", UNIT_NS, OF_THREADS, 0 },
	[METRIC_STINT_MAX] = { "stint.max", UNIT_NS, OF_THREADS, 0 },
	[METRIC_SWITCHES] = { "switches", UNIT_COUNT, OF_THREADS | OF_ALL, 0 },
	[METRIC_MIGRATIONS] = { "migrations", UNIT_COUNT, OF_THREADS | OF_ALL, 0 },
	[METRIC_CLOCK_ERROR] = { "clock_error", UNIT_NS, OF_ALL, 0 },
	[METRIC_LAG_DIFFERENCE] = { "lag_difference", UNIT_NS, OF_ALL, 0 },
	[METRIC_ALL_BUSY] = { "all_busy", UNIT_NS, OF_ALL, 't' },
	[METRIC_IDLE_WHILE_WAITING] = { "idle_while_waiting", UNIT_NS, OF_ALL, 0 },
	[METRIC_IDLE_SHARE] = { "idle_share", UNIT_PERCENT, OF_ALL, 0 },
	[METRIC_WAITED] = { "waited", UNIT_NS, OF_THREADS | OF_ALL, 0 },
	[METRIC_MISPLACED] = { "misplaced", UNIT_COUNT, OF_ALL, 0 },
	[METRIC_THROTTLED] = { "throttled", UNIT_NS, OF_GROUPS, 0 },
	[METRIC_JOBS] = { "jobs", UNIT_COUNT, OF_THREADS, 0 },
	[METRIC_MISSES] = { "misses", UNIT_COUNT, OF_THREADS, 0 },
	[METRIC_RESPONSE] = { "response.max", UNIT_NS, OF_THREADS, 0 },
	[METRIC_SIMULATOR_TIME] = { "simulator_time", UNIT_NS, OF_ALL, 0 },
};

static const struct {
	const char *name;
	int quantile;
} quantiles[] = { { "min", 0 },   { "avg", -1 },    { "p50", 500 }, { "p90", 900 },
		  { "p99", 990 }, { "p99.9", 999 }, { "max", 1000 } };

/* The names that are possible, for a message. */
static __noreturn void bad_metric(unsigned of)
{
	char list[300] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(metrics); i++)
		if (metrics[i].of & of)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s%s",
				 of == OF_ALL ? "" : ".", metrics[i].name,
				 i == METRIC_LATENCY ? ".{min,avg,p50,p90,p99,p99.9,max} " : " ");
	if (of == OF_ALL)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "or thread.metric");
	in_bad("expect", list);
}

static void read_quantile(struct expect *e, const char *word)
{
	for (unsigned i = 0; i < ARRAY_SIZE(quantiles); i++)
		if (!strcmp(quantiles[i].name, word)) {
			e->quantile = quantiles[i].quantile;
			return;
		}
	in_bad("latency", "min avg p50 p90 p99 p99.9 max");
}

static void read_metric(struct expect *e, const char *word, unsigned of)
{
	bool latency = of == OF_THREADS && !strncmp(word, "latency.", 8);

	for (unsigned i = 0; i < ARRAY_SIZE(metrics); i++) {
		if (!(metrics[i].of & of))
			continue;
		if (strcmp(metrics[i].name, word) && !(latency && i == METRIC_LATENCY))
			continue;
		if (i == METRIC_LATENCY && !latency)
			break;
		e->metric = (enum metric)i;
		e->unit = metrics[i].unit;
		if (latency)
			read_quantile(e, word + 8);
		return;
	}
	bad_metric(of);
}

static int64_t read_value(const char *field, enum unit unit)
{
	if (unit == UNIT_NS)
		return (int64_t)in_time_of(field);
	if (unit == UNIT_PERCENT)
		return in_percent_of(field);
	return in_number_of(field, 0, 1000000000000);
}

/* thread.metric, thread[3].metric, metric */
static void read_what(struct expect *e)
{
	size_t n = strcspn(in_next(), ".");
	int spec = in_find_spec(in.word, n);

	e->target = (struct target){ .spec = -1, .instance = -1 };
	e->group = in_group_named(in.word, n);
	if (e->group != NO_GROUP) {
		if (!in.word[n])
			bad_metric(OF_GROUPS);
		read_metric(e, in.word + n + 1, OF_GROUPS);
		return;
	}
	if (spec < 0) {
		if (in.word[n] && strncmp(in.word, "stint", n))
			in_bad("expect",
			       "the name of a thread or a group declared above, before the dot");
		read_metric(e, in.word, OF_ALL);
		return;
	}
	e->target.spec = spec;
	if (!in.word[n]) {
		e->target.instance = in_instance_of(spec);
		in_next();
		n = 0;
	}
	if (in.word[n] != '.')
		bad_metric(OF_THREADS);
	read_metric(e, in.word + n + 1, OF_THREADS);
}

void line_expect(void)
{
	struct expect *e = ADD(in.s->expects, in.s->nr_expects);

	*e = (struct expect){ .line = in.line };
	read_what(e);
	in_next();
	if (in_is("after")) {
		e->has_after = true;
		if (metrics[e->metric].after == 't')
			e->after = in_time_of("after");
		else if (metrics[e->metric].after == 'n')
			e->after = (uint64_t)in_number_of("after", 0, 1000000000);
		else
			in_bad("expect", "<= >= = (this one takes no after)");
		in_next();
	}
	e->compare = (enum compare)in_one_of("expect", "<= >= = after");
	e->limit = read_value("limit", e->unit);
	if (e->compare != COMPARE_WITHIN)
		return;
	in_want("expect", "within");
	e->tolerance = read_value("within", e->unit);
}

/* ---- as text --------------------------------------------------------------------------------- */

/* @value / @scale with at most @digits behind the point, none that is 0 at the end. */
static void decimal(uint64_t value, uint64_t scale, unsigned digits, const char *unit, char *buf,
		    size_t size)
{
	char part[24] = "";
	unsigned n = 0;

	for (uint64_t rest = value % scale, d = scale / 10; rest && d && n < digits; d /= 10) {
		part[n++] = (char)('0' + rest / d);
		rest %= d;
	}
	while (n && part[n - 1] == '0')
		n--;
	part[n] = 0;
	snprintf(buf, size, "%llu%s%s %s", (unsigned long long)(value / scale), n ? "." : "", part,
		 unit);
}

void value_text(enum unit unit, int64_t value, char *buf, size_t size)
{
	uint64_t v = (uint64_t)(value < 0 ? -value : value);

	if (value == NOT_A_NUMBER)
		snprintf(buf, size, "none -");
	else if (unit == UNIT_COUNT)
		snprintf(buf, size, "%lld -", (long long)value);
	else if (unit == UNIT_PERCENT)
		decimal(v, PERCENT, 6, "%", buf, size);
	else if (v >= NSEC_PER_SEC)
		decimal(v, NSEC_PER_SEC, 9, "s", buf, size);
	else if (v >= NSEC_PER_MSEC)
		decimal(v, NSEC_PER_MSEC, 6, "ms", buf, size);
	else if (v >= NSEC_PER_USEC)
		decimal(v, NSEC_PER_USEC, 3, "us", buf, size);
	else
		snprintf(buf, size, "%llu ns", (unsigned long long)v);
}

void expect_text(const struct scenario *s, const struct expect *e, char *buf, size_t size)
{
	static const char *const signs[] = { "<=", ">=", "=" };
	char limit[40], tolerance[48] = "", what[60] = "", after[48] = "", quantile[12] = "";
	char text[40];

	if (e->target.spec >= 0 && e->target.instance >= 0)
		snprintf(what, sizeof(what), "%s[%d].", s->specs[e->target.spec].name,
			 e->target.instance);
	else if (e->target.spec >= 0)
		snprintf(what, sizeof(what), "%s.", s->specs[e->target.spec].name);
	else if (e->group != NO_GROUP)
		snprintf(what, sizeof(what), "%s.", s->groups[e->group].name);
	for (unsigned i = 0; e->metric == METRIC_LATENCY && i < ARRAY_SIZE(quantiles); i++)
		if (quantiles[i].quantile == e->quantile)
			snprintf(quantile, sizeof(quantile), ".%s", quantiles[i].name);
	if (e->has_after) {
		value_text(metrics[e->metric].after == 't' ? UNIT_NS : UNIT_COUNT,
			   (int64_t)e->after, text, sizeof(text));
		text[strcspn(text, "-")] = 0;
		snprintf(after, sizeof(after), " after %s", text);
		if (after[strlen(after) - 1] == ' ')
			after[strlen(after) - 1] = 0;
	}
	value_text(e->unit, e->limit, limit, sizeof(limit));
	if (e->compare == COMPARE_WITHIN) {
		value_text(e->unit, e->tolerance, text, sizeof(text));
		snprintf(tolerance, sizeof(tolerance), " within %s", text);
	}
	snprintf(buf, size, "%s%s%s%s %s %s%s", what, metrics[e->metric].name, quantile, after,
		 signs[e->compare], limit, tolerance);
}
