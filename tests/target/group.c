/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups of threads on the target: shares by weight, groups in groups, a quota, what is refused. On
 * CPU 0 but for the quota of all CPUs; bounds are tight in virtual time.
 */
#include "sched/group.h"
#include "sched/sched.h"
#include "tests/target/test.h"

#define MEMBERS_MAX 12

static volatile bool members_stop;

static struct {
	struct thread *thread[MEMBERS_MAX];
	struct thread_group *group[MEMBERS_MAX];
	uint64_t before_ns[MEMBERS_MAX];
	unsigned n;
} members;

static void *compute(void *arg)
{
	while (!members_stop)
		;
	return arg;
}

static struct thread_group *make_group(struct thread_group *parent, uint32_t weight)
{
	const struct group_attr attr = { .weight = weight };
	struct thread_group *g = NULL;

	REQUIRE(!group_create(&g, parent, &attr));
	return g;
}

/* A busy thread. */
static void add_member(struct thread_group *g, int cpu)
{
	struct thread *t = spawn_nice(cpu, 0, compute, NULL);

	CHECK_EQ(group_attach(g, t), 0);
	members.thread[members.n] = t;
	members.group[members.n++] = g;
}

static void begin(void)
{
	become(0, SCHED_FIFO, 90);
	members.n = 0;
	members_stop = false;
}

/* The CPU time of the threads of @g between this and the last call. */
static uint64_t used_ns(const struct thread_group *g)
{
	uint64_t sum_ns = 0;

	for (unsigned i = 0; i < members.n; i++)
		if (members.group[i] == g) {
			uint64_t now_ns = thread_runtime_ns(members.thread[i]);

			sum_ns += now_ns - members.before_ns[i];
			members.before_ns[i] = now_ns;
		}
	return sum_ns;
}

static void measure(uint64_t us, unsigned n, struct thread_group *const *groups, uint64_t *ns)
{
	sleep_us(20000);
	for (unsigned i = 0; i < n; i++)
		used_ns(groups[i]);
	sleep_us(us);
	for (unsigned i = 0; i < n; i++)
		ns[i] = used_ns(groups[i]);
}

static void end(void)
{
	members_stop = true;
	for (unsigned i = 0; i < members.n; i++)
		join(members.thread[i]);
}

/* Two slices for two points, in virtual time; else only right from wrong. */
static void check_share(uint64_t ns, uint64_t ideal_ns)
{
	uint64_t off_ns = ns > ideal_ns ? ns - ideal_ns : ideal_ns - ns;

	CHECK_TIMED_LE(off_ns, test_time_is_virtual() ? 2 * FAIR_SLICE_NS : ideal_ns / 3);
}

TEST(group_shares_follow_weights_not_members)
{
	struct thread_group *g[2] = { make_group(NULL, 100), make_group(NULL, 300) };
	uint64_t ns[2];

	begin();
	for (unsigned i = 0; i < 10; i++)
		add_member(g[0], 0);
	add_member(g[1], 0);
	measure(400000, 2, g, ns);
	check_share(ns[0], (ns[0] + ns[1]) / 4);
	CHECK_GE(ns[0] + ns[1], 390 * NSEC_PER_MSEC);
	CHECK_EQ(group_set_weight(g[0], 900), 0);
	measure(400000, 2, g, ns);
	check_share(ns[1], (ns[0] + ns[1]) / 4);
	CHECK_EQ(group_destroy(g[0]), -EBUSY);
	end();
	CHECK_EQ(group_destroy(g[0]), 0);
	CHECK_EQ(group_destroy(g[1]), 0);
}

/* At the top a group of 300 and a thread; in the group a group of 200 and one of 100. */
TEST(group_in_a_group)
{
	struct thread_group *top = make_group(NULL, 300), *g[3];
	uint64_t ns[3], all_ns;

	g[0] = make_group(top, 200);
	g[1] = make_group(top, 100);
	g[2] = NULL;
	begin();
	add_member(g[0], 0);
	add_member(g[0], 0);
	add_member(g[1], 0);
	add_member(NULL, 0);
	measure(400000, 3, g, ns);
	all_ns = ns[0] + ns[1] + ns[2];
	check_share(ns[2], all_ns / 4);
	check_share(ns[0], all_ns / 2);
	check_share(ns[1], all_ns / 4);
	CHECK_EQ(group_destroy(top), -EBUSY);
	end();
	CHECK_EQ(group_destroy(g[0]), 0);
	CHECK_EQ(group_destroy(g[1]), 0);
	CHECK_EQ(group_destroy(top), 0);
}

/* 3 ms of 10 ms for as many busy threads as CPUs, a busy thread in no group beside them. */
TEST(group_quota_holds_for_all_cpus)
{
	const uint64_t quota_ns = 3 * NSEC_PER_MSEC, period_ns = 10 * NSEC_PER_MSEC;
	const struct group_attr attr = { 100, quota_ns, period_ns };
	unsigned cpus = MIN(test_cpus(), 4u), periods = 40;
	struct thread_group *g = NULL;
	uint64_t ns;

	REQUIRE(!group_create(&g, NULL, &attr));
	begin();
	for (unsigned cpu = 0; cpu < cpus; cpu++)
		add_member(g, (int)cpu);
	add_member(NULL, 0);
	measure(periods * 10000, 1, &g, &ns);
	/* in real time the host's pauses come on top: enough to tell a quota from none */
	CHECK_TIMED_LE(ns, 2 * periods * quota_ns);
	if (test_time_is_virtual()) {
		/* what was cut off at both ends, and what an emulated CPU was late */
		CHECK_LE(ns, (periods + 1) * quota_ns + cpus * GROUP_PORTION_NS);
		CHECK_LE(ns, periods * quota_ns + 50000);
		CHECK_GE(ns, periods * quota_ns - 50000);
	}
	CHECK_EQ(group_set_quota(g, 0, 0), 0);
	measure(100000, 1, &g, &ns);
	CHECK_TIMED_GE(ns, (test_time_is_virtual() ? 45 : 20) * NSEC_PER_MSEC);
	end();
	CHECK_EQ(group_destroy(g), 0);
}

TEST(group_out_of_range_is_refused_and_named)
{
	const struct {
		struct group_attr attr;
		const char *field;
	} bad[] = {
		{ { 0, 0, 0 }, "weight" },
		{ { GROUP_WEIGHT_MAX + 1, 0, 0 }, "weight" },
		{ { 100, 0, 1 }, "period_ns" },
		{ { 100, GROUP_QUOTA_MIN_NS, GROUP_PERIOD_MAX_NS + 1 }, "period_ns" },
		{ { 100, GROUP_QUOTA_MIN_NS - 1, GROUP_PERIOD_MIN_NS }, "quota_ns" },
		{ { 100, GROUP_PERIOD_MIN_NS * cpu_count + 1, GROUP_PERIOD_MIN_NS }, "quota_ns" },
	};
	struct thread_group *g = NULL;
	const char *expected;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *field = group_attr_fault(&bad[i].attr, &expected);

		CHECK_TEXT(field ? field : "none", bad[i].field);
		CHECK_EQ(group_create(&g, NULL, &bad[i].attr), -EINVAL);
	}
	CHECK(!g);
	g = make_group(NULL, 100);
	CHECK_EQ(group_set_weight(g, 0), -EINVAL);
	CHECK_EQ(group_set_quota(g, 1, 1), -EINVAL);
	CHECK_EQ(group_destroy(g), 0);
}
