/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library's name for <signal.h>. */
#include <signal.h>
