/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linked in with `make POLICY=`: before main(), the first policy of the list is loaded, or the one
 * that the boot argument policy= names. A policy that is refused ends the run with status 2, since
 * what follows would be about another scheduler.
 */
#include "core/bootargs.h"
#include "core/console.h"
#include "core/main.h"
#include "core/string.h"
#include "sched/ext/ext.h"

static char policy[SCX_OPS_NAME_LEN];
BOOT_PARAM(policy, BOOT_STRING, &policy,
	   "load this one of the policies that are built in; none: the fair class alone");

BOOT_PARAM(
	ext_budget_us, BOOT_U64, &ext_budget_us,
	"how long a policy's callbacks may take between two threads, in microseconds: 2..1000000");

int __real_main(int argc, char **argv);
int __wrap_main(int argc, char **argv);

int __wrap_main(int argc, char **argv)
{
	struct sched_ext_ops *ops = policy[0] ? ext_policy_find(policy) : ext_policy_at(0);

	if (!strcmp(policy, "none"))
		return __real_main(argc, argv);
	if (!ops) {
		printk("scx: no policy %s is built in; there are:\n", policy);
		for (unsigned i = 0; ext_policy_at(i); i++)
			printk("  %s\n", ext_policy_at(i)->name);
	}
	if (!ops || ext_load(ops))
		system_exit(2);
	return __real_main(argc, argv);
}
