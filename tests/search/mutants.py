# SPDX-License-Identifier: BSD-2-Clause
"""Mistakes that the search must find, one line or two each: if one lives, the search has become blind (README.md).

Each is a file, the text that stands there exactly once, what is put in its place, and the runs that are to find it, the
first of which does. A text that is no longer in the source is an error: write the mistake anew for the new source.
"""
from collections import namedtuple

Mutant = namedtuple("Mutant", "name file old new jobs")

MUTANTS = [
    # ---- a dropped lock, an early unlock
    Mutant("block-unlocks-early", "sched/sched.c",
           "\tspin_lock(&rq->lock);\n\tprev->sched.state = THREAD_BLOCKED;\n\tif (wait_lock)\n\t\tspin_unlock(wait_lock);\n",
           "\tif (wait_lock)\n\t\tspin_unlock(wait_lock);\n\tspin_lock(&rq->lock);\n\tprev->sched.state = THREAD_BLOCKED;\n",
           ["wake-block"]),
    Mutant("unlock-before-switch", "sched/sched.c",
           "\trq->curr = next;\n\trq->resched = 0;\n\tarch_switch(prev, next, flags);\n",
           "\trq->curr = next;\n\trq->resched = 0;\n\tspin_unlock(&rq->lock);\n\tspin_lock(&rq->lock);\n"
           "\tarch_switch(prev, next, flags);\n",
           ["steal-switch", "steal-rt"]),
    Mutant("timeout-without-lock", "core/wait.c",
           "\tspin_lock(&q->lock);\n\tmine = atomic_load_relaxed(&t->waiter.queue) == q;\n",
           "\tmine = atomic_load_relaxed(&t->waiter.queue) == q;\n\tspin_lock(&q->lock);\n",
           ["--bound=4 timed-post"]),
    Mutant("steal-without-victims-lock", "sched/balance.c",
           "\tspin_lock_pair(&cpu->rq.lock, &victim->rq.lock);\n",
           "\tspin_lock(&cpu->rq.lock);\n",
           ["steal-rt"]),
    # ---- a check that is missing
    Mutant("no-recheck-of-cpu", "sched/sched.h",
           "\t\tif (likely(t->sched.cpu == cpu))\n",
           "\t\tif (likely(t->sched.cpu != NULL))\n",
           ["move-change", "weight"]),
    Mutant("wake-ignores-unusual", "sched/sched.c",
           "\tif (unlikely(t->sched.state_unusual != THREAD_BLOCKED || cpu != self ||\n",
           "\tif (unlikely(cpu != self ||\n",
           ["weight", "wake-block-fair"]),
    # ---- lost signals
    Mutant("lost-resched", "sched/sched.c",
           "\tif (act)\n\t\trq->resched = 1;\n\treturn act;\n",
           "\treturn act;\n",
           ["policy-preempt", "affinity-wake"]),
    Mutant("lost-kick-of-the-woken", "sched/sched.c",
           "\tif (act && !local)\n\t\tipi_send(cpu);\n",
           "",
           ["wake-block-fair"]),
    Mutant("lost-kick-of-idle", "sched/sched.c",
           "\tif (unlikely(rq->nr_ready && somebody_idles()))\n\t\tkick_for_waiting(rq, prev);\n",
           "",
           ["displaced"]),
    Mutant("lost-hook", "sched/attr.c",
           "\tt->sched.unusual |= SCHED_HOOK;\n",
           "\tif (!running)\n\t\tt->sched.unusual |= SCHED_HOOK;\n",
           ["notify"]),
    Mutant("sent-away-untold", "sched/rebalance.c",
           "\tatomic_fetch_add_acq_rel(&balance_outgoing, 1u);\n\tipi_send(to);\n",
           "\tatomic_fetch_add_acq_rel(&balance_outgoing, 1u);\n",
           ["affinity-run"]),
    Mutant("move-stays-set", "sched/rebalance.c",
           "\t\tbalance_keep(t);\n\t\tt->sched.unusual &= (uint8_t)~SCHED_MOVE;\n",
           "\t\tbalance_keep(t);\n",
           ["affinity-run"]),
    # ---- order in memory
    Mutant("idle-without-fence", "sched/sched.c",
           "\tatomic_fence_seq_cst();\n\tif (!balance_pull(cpu)",
           "\tif (!balance_pull(cpu)",
           ["--weak displaced"]),
    Mutant("kick-without-fence", "sched/sched.c",
           "\tatomic_fence_seq_cst();\n\treturn !cpumask_atomic_empty(&cpu_idle_mask);\n",
           "\treturn !cpumask_atomic_empty(&cpu_idle_mask);\n",
           ["--weak displaced"]),
    Mutant("asked-before-it-waits", "sched/sched.c",
           "\t\trt_put_tail(&rq->rt, t);\n\t\trq->nr_ready++;\n\t\tif (better)\n\t\t\trq->resched = 1;\n"
           "\t\telse if (unlikely(somebody_idles()))\n",
           "\t\tbool idles = somebody_idles();\n\t\trt_put_tail(&rq->rt, t);\n\t\trq->nr_ready++;\n"
           "\t\tif (better)\n\t\t\trq->resched = 1;\n\t\telse if (unlikely(idles))\n",
           ["queued-behind"]),
    Mutant("cpu-before-the-rest", "sched/sched.c",
           "\t\tatomic_store_release(&t->sched.cpu, cpu);\n",
           "\t\tt->sched.cpu = cpu;\n",
           ["--weak move-change"]),
    Mutant("unlock-relaxed", "core/lock.h",
           "\tatomic_store_release(&l->owner, (uint16_t)0);\n",
           "\tatomic_store_relaxed(&l->owner, (uint16_t)0);\n",
           ["--weak lock-three", "--weak wake-block"]),
    Mutant("queue-node-late", "core/lock.c",
           "\tnode->next = NULL;\n\tnode->ready = 0;\n\tif (lock_join_queue(l, self, &prev_tail))\n\t\treturn;\n",
           "\tnode->ready = 0;\n\tif (lock_join_queue(l, self, &prev_tail))\n\t\treturn;\n\tnode->next = NULL;\n",
           ["lock-three"]),
    # ---- sums and arithmetic
    Mutant("steal-without-wrap", "core/topology.c",
           "unsigned other = (cpu + i) % cpu_count;",
           "unsigned other = MIN(cpu + i, cpu_count - 1);",
           ["displaced"]),
    Mutant("stolen-weight-stays", "sched/eevdf.c",
           "\tfair_leave(rq, t);\n\trq->nr_ready--;\n",
           "\tt->sched.fair.joined = false;\n\trq->nr_ready--;\n",
           ["steal-switch"]),
    Mutant("lag-not-saved", "sched/eevdf_member.c",
           "\te->lag = lag;\n",
           "\te->lag = 0;\n",
           ["lag"]),
]
