/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linked in with `make POLICY=`: the first policy of the list is loaded, or the one that the boot
 * argument policy= names. On boards that is before main() (boot.c), in the simulator before the
 * scenario begins.
 */
#include "core/bootargs.h"
#include "core/console.h"
#include "core/string.h"
#include "sched/ext/ext.h"
#include "sched/ext/policy.h"
#include "sched/ext/shadow.h"
#include "sched/ext/watch.h"

#define DAY_MS 86400000ull

static char policy[SCX_OPS_NAME_LEN];
BOOT_PARAM(policy, BOOT_STRING, &policy,
	   "load this one of the policies that are built in; none: the fair class alone");

BOOT_PARAM(ext_budget_us, BOOT_U64, &ext_budget_us,
	   "how long a callback of a policy may take, in microseconds: 2..1000000");

static uint64_t ext_watch_ms, ext_watch_percent = 150, ext_watch_miss_us = 1000;
BOOT_PARAM(
	ext_watch_ms, BOOT_U64, &ext_watch_ms,
	"compare a policy that took over with the one before, in windows of so many ms; 0: do not");
BOOT_PARAM(ext_watch_percent, BOOT_U64, &ext_watch_percent,
	   "how much worse, in percent of what was, brings the one before back: 101 or more");
BOOT_PARAM(ext_watch_miss_us, BOOT_U64, &ext_watch_miss_us,
	   "a wake-up that takes longer, in microseconds, counts as a miss");

static char candidate[SCX_OPS_NAME_LEN];
BOOT_PARAM(ext_shadow, BOOT_STRING, &candidate,
	   "this one decides beside the policy that is loaded, without effect, and is compared");

static int watch(void)
{
	struct ext_watch w = { .window_ns = ext_watch_ms * NSEC_PER_MSEC,
			       .percent = (uint32_t)MIN(ext_watch_percent, (uint64_t)UINT32_MAX),
			       .what = EXT_WATCH_ALL,
			       .miss_ns = ext_watch_miss_us * NSEC_PER_USEC };
	int err = ext_watch_ms > DAY_MS ? -EINVAL : ext_watch_ms ? ext_watch(&w) : 0;

	if (err == -ENOMEM)
		printk("scx: ext_watch_ms=: out of memory\n");
	else if (err)
		printk("scx: ext_watch_ms=%llu ext_watch_percent=%llu: 1..86400000, and 101 or more, "
		       "expected\n",
		       (unsigned long long)ext_watch_ms, (unsigned long long)ext_watch_percent);
	return err;
}

static struct sched_ext_ops *find(const char *name)
{
	struct sched_ext_ops *ops = ext_policy_find(name);

	if (ops)
		return ops;
	printk("scx: no policy %s is built in; there are:\n", name);
	for (unsigned i = 0; ext_policy_at(i); i++)
		printk("  %s\n", ext_policy_at(i)->name);
	return NULL;
}

static int shadow(void)
{
	struct sched_ext_ops *ops = find(candidate);
	int err = ops ? ext_load_in_place(ops, ext_shadow) : -ENOENT;

	if (err)
		printk("scx: ext_shadow=%s: %s\n", candidate,
		       err == -EEXIST ? "it is the one that is loaded" : "refused");
	return err;
}

int ext_boot_load(void)
{
	struct sched_ext_ops *ops;
	int err;

	if (watch())
		return -EINVAL;
	if (!strcmp(policy, "none"))
		return 0;
	ops = policy[0] ? find(policy) : ext_policy_at(0);
	if (!ops)
		return -ENOENT;
	err = ext_load_in_place(ops, ext_load);
	return err || !candidate[0] ? err : shadow();
}
