/* SPDX-License-Identifier: BSD-2-Clause */
/* From the attributes of a scenario to the kernel's calls. */
#pragma once

#include "apps/sim/watch.h"

/* 0 or -errno. Context: thread. */
int attr_create(struct sim_thread *st, const struct change *c, void *(*entry)(void *));
/* -ESRCH: it has ended already. */
int attr_attach(struct sim_thread *st, int group);
int attr_set(struct sim_thread *st, const struct change *c);
/* The first thing that @st does itself: its deadline, if it has one. */
int attr_begin(struct sim_thread *st);
