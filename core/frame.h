/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbered frames that share the UART with console text; docs/UART.md is the format:
 *
 *   0x00  COBS( channel u8 | sequence u16 LE | payload | CRC-32 LE )  0x00
 *
 * Pure functions over the caller's memory: any context, any lock held.
 */
#pragma once

#include "core/base.h"

/*
 * Channel numbers are control characters that console text never has: the host tells a frame
 * from text by its second byte. 7-13 and 27 (\a \b \t \n \v \f \r, escape) can never be channels.
 */
#define FRAME_CHANNEL_CONSOLE 0 /* plain text outside frames; never in a frame */
#define FRAME_CHANNEL_RESULT  1 /* records, see frame_record_chunk() */
#define FRAME_CHANNEL_TRACE   2
#define FRAME_CHANNEL_POLICY  3
#define FRAME_CHANNEL_MAX     6

#define FRAME_MAX_PAYLOAD 240
#define FRAME_OVERHEAD    7 /* channel, sequence, CRC */
#define FRAME_MAX_BODY    (FRAME_MAX_PAYLOAD + FRAME_OVERHEAD)
#define FRAME_MAX_BYTES   (FRAME_MAX_BODY + 3) /* one COBS byte, two delimiters */

struct frame {
	unsigned channel;
	uint16_t seq;
	size_t payload_bytes;
	uint8_t body[FRAME_MAX_BODY];
	const uint8_t *payload; /* into body */
};

/* CRC-32/ISO-HDLC: polynomial 0x04c11db7 reflected, start and final exclusive-or 0xffffffff. */
uint32_t frame_crc32(const void *data, size_t n);

/*
 * Writes one frame with both delimiters and returns its length, n + 10 bytes. Returns 0
 * and writes nothing if the channel is not 1..FRAME_CHANNEL_MAX, n > FRAME_MAX_PAYLOAD or
 * out_size < n + 10. The caller numbers: one counter for each channel from 0 at boot, counted up
 * for each frame that really goes out and not for one it had to discard.
 */
size_t frame_encode(uint8_t *out, size_t out_size, unsigned channel, uint16_t seq,
		    const void *payload, size_t n);

/*
 * Decodes the bytes between two delimiters. 0, -EMSGSIZE for an impossible length, -EINVAL for
 * bytes that are not COBS, -EBADMSG for a wrong CRC or channel. f->payload points into f.
 */
int frame_decode(struct frame *f, const uint8_t *in, size_t n);

/*
 * Cuts a record of the result channel into payloads: fills payload (FRAME_MAX_PAYLOAD bytes) from
 * text[*at..n), moves *at on and returns the payload's length; 0 when all was sent. The frames of
 * one record must have consecutive sequence numbers: hold the channel's lock across the loop.
 *
 *   for (at = 0; (size = frame_record_chunk(payload, text, n, &at)) > 0;)
 *           send(frame_encode(..., FRAME_CHANNEL_RESULT, seq++, payload, size));
 */
size_t frame_record_chunk(uint8_t *payload, const char *text, size_t n, size_t *at);
