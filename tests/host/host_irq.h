/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices for tests on virtual CPUs: a few interrupt lines, levels, over a controller that keeps a
 * line which is masked. Each is taken by one CPU, the first one until it is moved.
 */
#pragma once

#include "core/base.h"

#define HOST_LINES 4 /* hwirq 0..3 */

/* Makes it the root controller. Context: thread, before anybody has an interrupt. */
void host_lines_init(void);
/* The device asks for service, and does so until it is taken back. Context: any. */
void host_line_raise(unsigned hwirq);
void host_line_lower(unsigned hwirq);
bool host_line_is_high(unsigned hwirq);
