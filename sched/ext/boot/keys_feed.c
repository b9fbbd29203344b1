/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ctrl-] Ctrl-] S among received bytes. Nothing else sends it: two bytes 0x1d in a row are no text,
 * and no key of a terminal. Bytes of frames (docs/UART.md: between two bytes 0, at most 250) are
 * neither looked at nor kept back.
 */
#include "sched/ext/boot/keys.h"

#define FRAME_MAX 250

/* A delimiter that was lost costs what follows for as long as a frame may be. */
static bool in_frame(struct ext_keys *k, uint8_t byte)
{
	if (!k->in_frame) {
		k->in_frame = byte == 0;
		return byte == 0;
	}
	k->in_frame++;
	if (byte == 0 || k->in_frame > FRAME_MAX)
		k->in_frame = 0;
	return true;
}

int ext_keys_feed(struct ext_keys *k, uint8_t byte, bool *complete)
{
	uint8_t seen = k->seen;

	*complete = false;
	k->seen = 0;
	if (in_frame(k, byte))
		return byte;
	if (byte == EXT_KEY) {
		k->seen = seen < 2 ? seen + 1 : 2;
		return -1;
	}
	*complete = seen == 2 && (byte | 0x20) == EXT_KEYS_END;
	return *complete ? -1 : byte;
}
