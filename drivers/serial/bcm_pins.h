/* SPDX-License-Identifier: BSD-2-Clause */
/* Pins of the Raspberry Pi 1 to 4 for the console. Context: boot. */
#pragma once

struct dt;

/*
 * Connects UART @node to GPIO 14 and 15, pins 8 and 10 of the header, when it is one of the two that
 * can be: the first PL011 or the mini UART. Anything else is left alone.
 */
void bcm_pins_for_uart(const struct dt *dt, int node);
