/* SPDX-License-Identifier: BSD-2-Clause */
/* What a UART driver's probe asks about the line's speed. Context: boot. */
#pragma once

#include "core/base.h"

struct dt;

/*
 * The boot argument `baud=` was given: the line's speed is to be set although firmware has set one.
 */
bool uart_speed_given(void);
/*
 * The divisor, in @steps-ths of its 16-fold clock, for the speed that is wanted
 * (`baud=`, the options of stdout-path, 115200); 0 when the tree gives no clock or the speed cannot
 * be met within 3 % up to @max; said when `baud=` asked.
 */
uint32_t uart_divisor(const struct dt *dt, int node, uint32_t steps, uint32_t max);
