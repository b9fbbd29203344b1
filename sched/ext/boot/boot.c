/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In front of main() of an image that is made with `make POLICY=`. A policy that is refused ends the
 * run with status 2, since what follows would be about another scheduler.
 */
#include "core/main.h"
#include "sched/ext/ext.h"
#include "sched/ext/shadow.h"

int __real_main(int argc, char **argv);
int __wrap_main(int argc, char **argv);

int __wrap_main(int argc, char **argv)
{
	int status;

	if (ext_boot_load())
		system_exit(2);
	status = __real_main(argc, argv);
	ext_shadow_end(); /* says what it has counted, if there is one */
	return status;
}
