/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The beginning and the end of the system.
 */
#pragma once

#include "core/base.h"

struct boot_info {
	uint64_t entry_cycles;        /* arch_counter() at the first instruction of the image */
	uint64_t first_thread_cycles; /* and at the first of the first thread */
	int argc;
	char **argv; /* of the application; argv[argc] is NULL */
};

struct dt;

extern struct boot_info boot_info; /* [i] after boot */
extern struct dt boot_dt;          /* [i] after boot: the tree that firmware gave */

/* Supplied by the application layer: what the first thread runs. */
void *app_start(void *arg);

/* Writes out the console and powers off; @status reaches the host. Context: thread. */
__noreturn void system_exit(int status);
