/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The magic key sequence: what is told from the bytes that a UART receives.
 */
#pragma once

#include "core/base.h"

#define EXT_KEY      0x1d /* Ctrl-] */
#define EXT_KEYS_END 's'  /* after it twice, or 'S' */

struct ext_keys {
	uint16_t in_frame; /* bytes of a frame so far; 0: in none */
	uint8_t seen;      /* EXT_KEY so often in a row */
};

/*
 * The next byte. What the reader is to have: the byte, or -1, as it belongs to the sequence;
 * *@complete: it ends one.
 */
int ext_keys_feed(struct ext_keys *k, uint8_t byte, bool *complete);
