/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy's maps, timers, masks, settings and threads by number, on virtual CPUs, by seed. The
 * struct ext_policy_data is written here as tools/policy.py would write it; the policies of
 * tests/qemu/test_policy.py go through the tool.
 *
 * Sources: tests/host/host_ext.c tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing -Wno-override-init -Wno-unused-function -Wno-unused-variable -fno-sanitize=bounds
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sched/ext/ext.h"
#include "sched/ext/include/scx/common.bpf.h"
#include "tests/host/host_ext.h"
#include "tests/host/host_seeds.h"

#define MS NSEC_PER_MSEC

static void run(void (*first)(void *), unsigned from, unsigned to, unsigned seeds)
{
	struct scenario s = { .first = first,
			      .cpus_from = from,
			      .cpus_to = to,
			      .seeds = seeds,
			      .steps_max = 20000000 };

	check_class = check_ext;
	check_conservation = false;
	run_seeds(&s);
}

/* ---- the maps -------------------------------------------------------------------------------- */

struct beat {
	u64 before;
	struct bpf_timer timer;
};

#define ROOM(t, k, v, n) \
	__attribute__((aligned(64))) static char room_##t[EXT_MAP_BYTES(BPF_MAP_TYPE_##t, k, v, n)]
ROOM(ARRAY, 4, sizeof(struct beat), 3);
ROOM(PERCPU_ARRAY, 4, 4, 2);
ROOM(HASH, 8, 4, 5);
ROOM(QUEUE, 0, 4, 3);
ROOM(STACK, 0, 4, 3);

/* As __uint() and so on make them. */
static struct {
	void *type, *value;
} array, percpu, hash, queue, stack, storage;
static struct {
	void *type;
	void *values[2];
} inner = { .values = { &queue, &stack } };

#define MAP(v, t, k, size, n)                                                                     \
	{                                                                                         \
		.var = &(v), .name = #v, .type = BPF_MAP_TYPE_##t, .key_size = k,                 \
		.value_size = size, .max_entries = n, .data = room_##t, .bytes = sizeof(room_##t) \
	}
static struct ext_map maps[] = {
	MAP(array, ARRAY, 4, sizeof(struct beat), 3),
	MAP(percpu, PERCPU_ARRAY, 4, 4, 2),
	MAP(hash, HASH, 8, 4, 5),
	MAP(queue, QUEUE, 0, 4, 3),
	MAP(stack, STACK, 0, 4, 3),
	{ .var = &inner,
	  .name = "inner",
	  .type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
	  .key_size = 4,
	  .max_entries = 2,
	  .data = inner.values },
	{ .var = &storage,
	  .name = "storage",
	  .type = BPF_MAP_TYPE_TASK_STORAGE,
	  .key_size = 4,
	  .value_size = sizeof(u64) },
};

static const volatile u32 nr_cpu_ids = 1;
static const volatile u64 slice_ns;
static struct ext_setting settings[] = {
	{ .name = "nr_cpu_ids", .value = (void *)&nr_cpu_ids, .bytes = 4 },
	{ .name = "slice_ns", .value = (void *)&slice_ns, .bytes = 8 },
};
static const struct ext_policy_data data = { maps, settings, ARRAY_SIZE(maps),
					     ARRAY_SIZE(settings) };

/* ---- in init(): everything that needs no thread ------------------------------------------------ */

static void by_index(void)
{
	u32 i = 2, far = 3, *a, *b;
	struct beat one = { .before = 7 };

	CHECK(!bpf_map_update_elem(&array, &i, &one, BPF_ANY));
	CHECK(((struct beat *)bpf_map_lookup_elem(&array, &i))->before == 7);
	CHECK(!bpf_map_lookup_elem(&array, &far));
	CHECK(bpf_map_update_elem(&array, &far, &one, BPF_ANY) == -E2BIG);
	CHECK(bpf_map_update_elem(&array, &i, &one, BPF_NOEXIST) == -EEXIST);
	CHECK(bpf_map_delete_elem(&array, &i) == -EINVAL);
	i = 1;
	for (u32 cpu = 0; cpu < cpu_count; cpu++) {
		a = bpf_map_lookup_percpu_elem(&percpu, &i, cpu);
		CHECK(a && !*a);
		*a = 100 + cpu;
	}
	for (u32 cpu = 0; cpu < cpu_count; cpu++)
		CHECK(*(u32 *)bpf_map_lookup_percpu_elem(&percpu, &i, cpu) == 100 + cpu);
	CHECK(!bpf_map_lookup_percpu_elem(&percpu, &i, cpu_count));
	b = bpf_map_lookup_elem(&percpu, &i);
	CHECK(b && *b >= 100);
	i = 0;
	CHECK(bpf_map_lookup_elem(&inner, &i) == &queue);
	i = 2;
	CHECK(!bpf_map_lookup_elem(&inner, &i));
}

/* Against an array that says what is in the hash; keys that are more than it takes. */
static void by_key(void)
{
	u32 in[8] = { 0 }, n = 0;

	for (int round = 0; round < 400; round++) {
		u64 key = draw(8) * 0x100000001ull, how = draw(3);
		u32 *model = &in[key & 7], value = 1 + (u32)draw(1000);
		u32 *found = bpf_map_lookup_elem(&hash, &key);
		long err;

		CHECK(*model ? found && *found == *model : !found);
		if (draw(3) == 0) {
			CHECK(bpf_map_delete_elem(&hash, &key) == (*model ? 0 : -ENOENT));
			n -= *model != 0;
			*model = 0;
			continue;
		}
		err = bpf_map_update_elem(&hash, &key, &value, how);
		if (*model)
			CHECK(err == (how == BPF_NOEXIST ? -EEXIST : 0));
		else
			CHECK(err == (how == BPF_EXIST ? -ENOENT : n == 5 ? -E2BIG : 0));
		if (!err) {
			n += *model == 0;
			*model = value;
		}
	}
}

static void in_order(void)
{
	u32 v;

	CHECK(bpf_map_pop_elem(&queue, &v) == -ENOENT);
	for (int round = 0; round < 5; round++) {
		for (u32 i = 0; i < 3; i++) {
			CHECK(!bpf_map_push_elem(&queue, &i, 0));
			CHECK(!bpf_map_push_elem(&stack, &i, 0));
		}
		v = 3;
		CHECK(bpf_map_push_elem(&queue, &v, 0) == -E2BIG);
		CHECK(!bpf_map_push_elem(&queue, &v, BPF_EXIST));
		CHECK(!bpf_map_peek_elem(&queue, &v) && v == 1);
		for (u32 i = 1; i < 4; i++)
			CHECK(!bpf_map_pop_elem(&queue, &v) && v == i);
		for (u32 i = 3; i-- > 0;)
			CHECK(!bpf_map_pop_elem(&stack, &v) && v == i);
		CHECK(bpf_map_peek_elem(&stack, &v) == -ENOENT);
	}
}

static void masks(void)
{
	struct bpf_cpumask *m = bpf_cpumask_create(), *n = bpf_cpumask_create(), *kptr = NULL;

	CHECK(m && n && m != n);
	bpf_cpumask_setall(m);
	CHECK(bpf_cpumask_full(cast_mask(m)) && bpf_cpumask_weight(cast_mask(m)) == cpu_count);
	CHECK(bpf_cpumask_test_and_clear_cpu(0, m) && !bpf_cpumask_test_and_clear_cpu(0, m));
	CHECK(!bpf_cpumask_test_and_set_cpu(0, n) && bpf_cpumask_test_and_set_cpu(0, n));
	CHECK(!bpf_cpumask_intersects(cast_mask(m), cast_mask(n)));
	CHECK(bpf_cpumask_first(cast_mask(n)) == 0 && bpf_cpumask_first_zero(cast_mask(m)) == 0);
	bpf_cpumask_or(n, cast_mask(n), cast_mask(m));
	CHECK(bpf_cpumask_full(cast_mask(n)) && bpf_cpumask_subset(cast_mask(m), cast_mask(n)));
	bpf_cpumask_xor(n, cast_mask(n), cast_mask(m));
	CHECK(bpf_cpumask_weight(cast_mask(n)) == 1);
	CHECK(!bpf_cpumask_and(n, cast_mask(n), cast_mask(m)) && bpf_cpumask_empty(cast_mask(n)));
	CHECK(!bpf_kptr_xchg(&kptr, m) && kptr == m);
	CHECK(bpf_kptr_xchg(&kptr, n) == m && kptr == n);
	bpf_cpumask_release(m);
	for (int i = 0; i < BPF_CPUMASK_MAX - 1; i++)
		CHECK(bpf_cpumask_create());
	CHECK(!bpf_cpumask_create()); /* and all are free again when the policy ends */
}

/* ---- with threads ------------------------------------------------------------------------------ */

static unsigned beats, storages, founds;
static u64 beat_first_ns, beat_cpu;

static int beat(void *map, int *key, struct bpf_timer *timer)
{
	CHECK(map == &array && *key == 1);
	CHECK(!ext.bypass && ext.ops);
	CHECK(bpf_get_smp_processor_id() == beat_cpu);
	if (!beats++)
		beat_first_ns = bpf_ktime_get_ns();
	CHECK(!bpf_timer_start(timer, MS, BPF_F_TIMER_CPU_PIN));
	return 0;
}

static s32 maps_init(void)
{
	u32 key = 1, no = 2;
	struct beat *b = bpf_map_lookup_elem(&array, &key);

	CHECK(nr_cpu_ids == cpu_count && slice_ns == SCX_SLICE_DFL);
	by_index();
	by_key();
	in_order();
	masks();
	CHECK(bpf_timer_start(&b->timer, MS, 0) == -EINVAL);
	CHECK(!bpf_timer_init(&b->timer, &array, CLOCK_MONOTONIC));
	CHECK(bpf_timer_init(&b->timer, &array, CLOCK_MONOTONIC) == -EBUSY);
	CHECK(bpf_timer_start(&b->timer, MS, 0) == -EINVAL);
	CHECK(!bpf_timer_set_callback(&b->timer, beat));
	beat_cpu = arch_cpu_self()->index;
	CHECK(!bpf_timer_start(&b->timer, MS, 0) && bpf_timer_cancel(&b->timer) == 1);
	CHECK(bpf_timer_cancel(&b->timer) == 0);
	CHECK(!bpf_timer_start(&b->timer, MS, 0));
	CHECK(!bpf_map_lookup_elem(&inner, &no));
	return 0;
}

static s32 maps_init_task(struct task_struct *p, struct scx_init_task_args *args)
{
	u64 first = 1000 + (u64)p->pid;
	u64 *v;

	(void)args;
	CHECK(!bpf_task_storage_get(&storage, p, NULL, 0));
	v = bpf_task_storage_get(&storage, p, &first, BPF_LOCAL_STORAGE_GET_F_CREATE);
	CHECK(v && *v == first);
	storages++;
	return 0;
}

/* By number through a queue, and to whoever dispatches first. */
static void maps_enqueue(struct task_struct *p, u64 flags)
{
	u64 *v = bpf_task_storage_get(&storage, p, NULL, 0);

	CHECK(v && *v == 1000 + (u64)p->pid);
	CHECK(bpf_task_from_pid(p->pid) == p);
	CHECK(!bpf_task_from_pid(0) && !bpf_task_from_pid(1 << 20));
	founds++;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, flags);
}

static void maps_exit_task(struct task_struct *p, struct scx_exit_task_args *args)
{
	(void)args;
	if (p->pid % 2)
		CHECK(!bpf_task_storage_delete(&storage, p));
	storages--;
}

static struct sched_ext_ops maps_ops = {
	.name = "maps",
	.data = &data,
	.init = maps_init,
	.init_task = maps_init_task,
	.enqueue = maps_enqueue,
	.exit_task = maps_exit_task,
};

static bool stop;

static void *worker(void *arg)
{
	while (!stop) {
		host_compute(draw(MS));
		thread_sleep_until(time_now_ns() + draw(MS));
	}
	return arg;
}

static void maps_first(void *arg)
{
	struct thread *threads[6];

	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	for (int round = 0; round < 2; round++) {
		unsigned n, before;

		stop = false;
		beats = founds = 0;
		CHECK(!ext_load(&maps_ops));
		for (unsigned i = 0; i < 6; i++)
			CHECK(!thread_create(&threads[i], NULL, worker, NULL));
		thread_sleep_until(time_now_ns() + 20 * MS);
		CHECK(founds && storages >= 6);
		CHECK(beats >= 10 && beats <= 20);
		stop = true;
		for (unsigned i = 0; i < 6; i++)
			CHECK(!thread_join(threads[i], NULL));
		CHECK(!ext.exit_kind);
		before = beats;
		CHECK(!ext_unload());
		n = beats;
		CHECK(n <= before + 1);
		thread_sleep_until(time_now_ns() + 5 * MS);
		CHECK(beats == n);
		CHECK(!storages);
	}
}

static void all_of_it(void **state)
{
	(void)state;
	run(maps_first, 1, 4, 5);
}

static unsigned fired;
static bool restarted;

static int short_beat(void *map, int *key, struct bpf_timer *timer)
{
	(void)map;
	(void)key;
	(void)timer;
	atomic_fetch_add_relaxed(&fired, 1u);
	return 0;
}

static s32 restarting_init(void)
{
	u32 key = 1;
	struct beat *b = bpf_map_lookup_elem(&array, &key);

	CHECK(!bpf_timer_init(&b->timer, &array, CLOCK_MONOTONIC));
	CHECK(!bpf_timer_set_callback(&b->timer, short_beat));
	return 0;
}

/* Every CPU starts and cancels the one timer, and is often in a callback when it comes. */
static void restarting_running(struct task_struct *p)
{
	u32 key = 1;
	struct beat *b = bpf_map_lookup_elem(&array, &key);

	(void)p;
	if (draw(3))
		CHECK(!bpf_timer_start(&b->timer, draw(20 * NSEC_PER_USEC), 0));
	else
		CHECK(bpf_timer_cancel(&b->timer) >= 0);
	for (unsigned i = (unsigned)draw(60); i; i--)
		arch_cpu_relax();
	restarted = true;
}

static struct sched_ext_ops restarting_ops = {
	.name = "restarting",
	.data = &data,
	.init = restarting_init,
	.running = restarting_running,
};

static void restarting_first(void *arg)
{
	struct thread *threads[6];
	unsigned n;

	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	ext_budget_us = 500;
	stop = restarted = false;
	fired = 0;
	CHECK(!ext_load(&restarting_ops));
	for (unsigned i = 0; i < 6; i++)
		CHECK(!thread_create(&threads[i], NULL, worker, NULL));
	thread_sleep_until(time_now_ns() + 20 * MS);
	CHECK(restarted && fired);
	stop = true;
	for (unsigned i = 0; i < 6; i++)
		CHECK(!thread_join(threads[i], NULL));
	CHECK(!ext.exit_kind && !ext_unload());
	n = fired;
	thread_sleep_until(time_now_ns() + 5 * MS);
	CHECK(fired == n);
}

static void one_timer_of_many_cpus(void **state)
{
	(void)state;
	run(restarting_first, 2, 4, 100);
}

static unsigned asked, refuses_after;

static s32 refusing_init_task(struct task_struct *p, struct scx_init_task_args *args)
{
	return ++asked > refuses_after ? -ENOMEM : maps_init_task(p, args);
}

/* What a refused one has stored for threads is gone when it is tried again. */
static void refused_first(void *arg)
{
	static struct sched_ext_ops goes_on = { .name = "goes_on" };
	struct sched_ext_ops refused = maps_ops;
	struct thread *threads[6];

	(void)arg;
	refused.init_task = refusing_init_task;
	stop = false;
	asked = 0;
	refuses_after = 2 + (unsigned)draw(4);
	CHECK(!ext_load(&goes_on));
	for (unsigned i = 0; i < 6; i++)
		CHECK(!thread_create(&threads[i], NULL, worker, NULL));
	CHECK(ext_swap(&refused) == -ENOMEM && asked == refuses_after + 1);
	CHECK(!storages);
	CHECK(!ext_swap(&maps_ops));
	stop = true;
	for (unsigned i = 0; i < 6; i++)
		CHECK(!thread_join(threads[i], NULL));
	CHECK(!ext.exit_kind && !ext_unload() && !storages);
}

static void a_refused_one_leaves_nothing(void **state)
{
	(void)state;
	run(refused_first, 1, 3, 5);
}

/* ---- mistakes --------------------------------------------------------------------------------- */

static const char *wrong;
static char said[SCX_EXIT_MSG_LEN];

/* Beside it the map is written to as ever. */
static void overwrite_a_timer(void)
{
	u32 with = 1, without = 2;
	struct beat one = { .before = 7 }, *b = bpf_map_lookup_elem(&array, &with);

	CHECK(!bpf_timer_init(&b->timer, &array, CLOCK_MONOTONIC));
	CHECK(!bpf_map_update_elem(&array, &without, &one, BPF_ANY) && !ext.exit_kind);
	CHECK(bpf_map_update_elem(&array, &with, &one, BPF_NOEXIST) == -EEXIST && !ext.exit_kind);
	CHECK(bpf_map_update_elem(&array, &with, &one, BPF_ANY) == -EINVAL);
	CHECK(b->timer.map == &array);
}

static s32 wrong_init(void)
{
	static u64 none[2];
	u32 key = 0;

	if (!strcmp(wrong, "is no map"))
		CHECK(!bpf_map_lookup_elem(&none, &key));
	else if (!strcmp(wrong, "not for map queue"))
		CHECK(!bpf_map_lookup_elem(&queue, &key));
	else if (!strcmp(wrong, "not in a value"))
		CHECK(bpf_timer_init((struct bpf_timer *)none, &array, CLOCK_MONOTONIC) == -EINVAL);
	else if (!strcmp(wrong, "the value has a timer"))
		overwrite_a_timer();
	else
		bpf_cpumask_release((struct bpf_cpumask *)none);
	memcpy(said, ext.reason_msg, sizeof(said));
	return 0;
}

static struct sched_ext_ops wrong_ops = { .name = "wrong", .data = &data, .init = wrong_init };

static void wrong_first(void *arg)
{
	(void)arg;
	CHECK(ext_load(&wrong_ops) == -ECANCELED);
	CHECK(strstr(said, wrong));
}

static void mistakes_end_it(void **state)
{
	const char *all[] = { "is no map", "not for map queue", "not in a value",
			      "the value has a timer", "is none, or released" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		wrong = all[i];
		run(wrong_first, 1, 1, 1);
	}
}

/* ---- settings of one load ---------------------------------------------------------------------- */

static const volatile s32 level = -3;
static const volatile bool loud = true;
static struct ext_setting own_settings[] = {
	{ .name = "level", .value = (void *)&level, .bytes = 4, .is_signed = true },
	{ .name = "loud", .value = (void *)&loud, .bytes = 1, .is_bool = true },
	{ .name = "slice_ns", .value = (void *)&slice_ns, .bytes = 8 },
};
static const struct ext_policy_data own_data = { NULL, own_settings, 0, ARRAY_SIZE(own_settings) };
static struct sched_ext_ops own_ops = { .name = "own", .data = &own_data };

static void is_set(int expected_level, bool expected_loud, u64 expected_slice_ns)
{
	CHECK(!ext_load(&own_ops));
	CHECK(level == expected_level && loud == expected_loud && slice_ns == expected_slice_ns);
	CHECK(!ext_unload());
}

static void settings_first(void *arg)
{
	(void)arg;
	is_set(-3, true, SCX_SLICE_DFL);
	CHECK(!ext_setting_give(&own_ops, "level", "-2147483648"));
	CHECK(!ext_setting_give(&own_ops, "loud", "0"));
	CHECK(!ext_setting_give(&own_ops, "slice_ns", "0x10"));
	CHECK(level == -3 && loud); /* not yet */
	is_set(INT32_MIN, false, 16);
	CHECK(ext_setting_give(&own_ops, "level", "2147483648") == -EINVAL);
	CHECK(ext_setting_give(&own_ops, "loud", "2") == -EINVAL);
	CHECK(ext_setting_give(&own_ops, "quiet", "1") == -ENOENT);
	ext_settings_forget(&own_ops);
	is_set(-3, true, SCX_SLICE_DFL);
	CHECK(!ext_load(&own_ops));
	CHECK(!ext_setting_give(&own_ops, "level", "5"));
	CHECK(ext_load(&own_ops) == -EBUSY && level == -3);
	ext_settings_forget(&own_ops);
	CHECK(!ext_unload());
}

static void settings_of_one_load(void **state)
{
	(void)state;
	run(settings_first, 1, 2, 2);
}

/* ---- the dialect's expressions ------------------------------------------------------------------ */

static void expressions(void **state)
{
	struct {
		u32 a[4];
		u8 b;
	} s = { { 0 }, 0 };
	u32 calls = 0, sum = 0, array4[4] = { 5, 6, 7, 8 };
	s32 i;
	char buf[8], *p;

	(void)state;
	assert_ptr_equal(MEMBER_VPTR(s, .a[3]), &s.a[3]);
	assert_ptr_equal(MEMBER_VPTR(s, .b), &s.b);
	i = 9;
	assert_null(MEMBER_VPTR(s, .a[i]));
	i = 6;
	assert_non_null(p = MEMBER_VPTR(buf, [i++]));
	assert_int_equal(i, 7); /* once */
	i = -1;
	assert_null(MEMBER_VPTR(buf, [i]));
	assert_ptr_equal(ARRAY_ELEM_PTR(array4, 2, 3), &array4[2]);
	assert_null(ARRAY_ELEM_PTR(array4, 3, 3));
	assert_null(ARRAY_ELEM_PTR(array4, 7, 9));
	assert_null(ARRAY_ELEM_PTR(array4, i, 4));
	bpf_for(i, 0, (calls++, 4u)) {
		if (i == 1)
			continue;
		sum += (u32)i;
	}
	assert_int_equal(sum, 5);
	assert_int_equal(calls, 1);
	bpf_for(i, 3, -2)
		fail();
	bpf_repeat(3)
		sum++;
	assert_int_equal(sum, 8);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_timer_of_many_cpus),       cmocka_unit_test(all_of_it),
		cmocka_unit_test(a_refused_one_leaves_nothing), cmocka_unit_test(mistakes_end_it),
		cmocka_unit_test(settings_of_one_load),         cmocka_unit_test(expressions),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
