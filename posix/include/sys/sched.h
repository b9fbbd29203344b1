/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library's name for <sched.h>. */
#include <sched.h>
