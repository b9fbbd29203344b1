/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names that helpers have or had in some version of Linux, from 6.12 on.
 */
#pragma once

#include "sched/ext/ops.h"

/* Up to 6.12. */
#define scx_bpf_dispatch(p, dsq, slice, flags) scx_bpf_dsq_insert(p, dsq, slice, flags)
#define scx_bpf_dispatch_vtime(p, dsq, slice, vtime, flags) \
	scx_bpf_dsq_insert_vtime(p, dsq, slice, vtime, flags)
#define scx_bpf_consume(dsq)                               scx_bpf_dsq_move_to_local(dsq)
#define scx_bpf_dispatch_from_dsq(it, p, dsq, flags)       scx_bpf_dsq_move(it, p, dsq, flags)
#define scx_bpf_dispatch_vtime_from_dsq(it, p, dsq, flags) scx_bpf_dsq_move_vtime(it, p, dsq, flags)
#define scx_bpf_dispatch_from_dsq_set_slice(it, slice)     scx_bpf_dsq_move_set_slice(it, slice)
#define scx_bpf_dispatch_from_dsq_set_vtime(it, vtime)     scx_bpf_dsq_move_set_vtime(it, vtime)
#define scx_ops_error(fmt, ...)                            scx_bpf_error(fmt, ##__VA_ARGS__)

/* For policies that run on several versions. */
#define __COMPAT_scx_bpf_dispatch_from_dsq           scx_bpf_dsq_move
#define __COMPAT_scx_bpf_dispatch_vtime_from_dsq     scx_bpf_dsq_move_vtime
#define __COMPAT_scx_bpf_dispatch_from_dsq_set_slice scx_bpf_dsq_move_set_slice
#define __COMPAT_scx_bpf_dispatch_from_dsq_set_vtime scx_bpf_dsq_move_set_vtime
#define __COMPAT_scx_bpf_dsq_move                    scx_bpf_dsq_move
#define __COMPAT_scx_bpf_dsq_move_vtime              scx_bpf_dsq_move_vtime
#define __COMPAT_scx_bpf_dsq_move_set_slice          scx_bpf_dsq_move_set_slice
#define __COMPAT_scx_bpf_dsq_move_set_vtime          scx_bpf_dsq_move_set_vtime
#define __COMPAT_scx_bpf_events                      scx_bpf_events
#define __COMPAT_is_enq_cpu_selected(flags)          (((flags)&SCX_ENQ_CPU_SELECTED) != 0)

/* Without hardware threads and NUMA nodes. */
#define __COMPAT_scx_bpf_nr_node_ids()                         scx_bpf_nr_node_ids()
#define __COMPAT_scx_bpf_cpu_node(cpu)                         0
#define __COMPAT_scx_bpf_get_idle_cpumask_node(node)           scx_bpf_get_idle_cpumask()
#define __COMPAT_scx_bpf_get_idle_smtmask_node(node)           scx_bpf_get_idle_smtmask()
#define __COMPAT_scx_bpf_pick_idle_cpu_node(cpus, node, flags) scx_bpf_pick_idle_cpu(cpus, flags)
#define __COMPAT_scx_bpf_pick_any_cpu_node(cpus, node, flags)  scx_bpf_pick_any_cpu(cpus, flags)

#define SCX_CPUPERF_ONE              1024
#define SCX_EV_ENQ_SLICE_DFL         SCX_EV_REFILL_SLICE_DFL
#define scx_read_event(events, name) ((events)->name)
