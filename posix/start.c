/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the first thread to the program's main(), and from its return to the power switch: exit()
 * runs what atexit() registered, writes out the streams and ends in system_exit().
 */
#include <stdlib.h>

#include "core/main.h"

int main(int argc, char **argv);

void *app_start(void *arg)
{
	(void)arg;
	exit(main(boot_info.argc, boot_info.argv));
}
