/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `make run APP=shell`: nothing but the shell.
 */
#include "shell.h"

int main(void)
{
	return shell_run();
}
