/* SPDX-License-Identifier: BSD-2-Clause */
/* The invariants of sched/ext/ on a virtual machine. */
#pragma once

struct runqueue;

/* For check_class (host_seeds.h): where the policy framework has the threads of @rq. */
unsigned check_ext(struct runqueue *rq);
