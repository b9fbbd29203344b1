/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COBS + CRC-32 frames: the encoder the kernel sends with, and the decoder the tests check it by.
 *
 * Callers: any context; memory is the caller's, nothing is kept between calls, no lock is taken.
 * Who owns a channel's sequence counter also owns the order on the wire: number and queue a frame
 * under one lock, or the host will see losses that never happened.
 *
 * COBS writes a block of bytes without zeros: each zero is replaced by the distance to the next
 * one, with one byte in front for the first. A body has at most FRAME_MAX_BODY bytes, fewer than
 * the 254 after which COBS would need another length byte, so the overhead is exactly one byte
 * and no code byte may ever be 0xff.
 */
#include "core/frame.h"

_Static_assert(FRAME_MAX_BODY < 254, "a body must fit one COBS run");

#define FRAME_HEADER_BYTES 3
#define FRAME_CRC_BYTES    4

/* Sixteen entries, a nibble at a time: 64 bytes of table instead of 1024. */
static uint32_t crc32_step(uint32_t crc, uint8_t byte)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	crc ^= byte;
	crc = (crc >> 4) ^ table[crc & 15];
	return (crc >> 4) ^ table[crc & 15];
}

uint32_t frame_crc32(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t crc = 0xffffffff;

	while (n-- > 0)
		crc = crc32_step(crc, *p++);
	return ~crc;
}

struct encoder {
	uint8_t *out;
	size_t at;      /* next byte to write */
	size_t code_at; /* the code byte of the open run */
	uint32_t crc;
};

static void encode_byte(struct encoder *e, uint8_t byte)
{
	e->crc = crc32_step(e->crc, byte);
	if (byte != 0) {
		e->out[e->at++] = byte;
		return;
	}
	e->out[e->code_at] = (uint8_t)(e->at - e->code_at);
	e->code_at = e->at++;
}

size_t frame_encode(uint8_t *out, size_t out_size, unsigned channel, uint16_t seq,
		    const void *payload, size_t n)
{
	struct encoder e = { .out = out, .at = 2, .code_at = 1, .crc = 0xffffffff };
	const uint8_t *p = payload;
	uint32_t crc;
	size_t i;

	if (channel == FRAME_CHANNEL_CONSOLE || channel > FRAME_CHANNEL_MAX ||
	    n > FRAME_MAX_PAYLOAD || out_size < n + FRAME_OVERHEAD + 3)
		return 0;
	encode_byte(&e, (uint8_t)channel);
	encode_byte(&e, (uint8_t)seq);
	encode_byte(&e, (uint8_t)(seq >> 8));
	for (i = 0; i < n; i++)
		encode_byte(&e, p[i]);
	crc = ~e.crc;
	for (i = 0; i < FRAME_CRC_BYTES; i++)
		encode_byte(&e, (uint8_t)(crc >> (8 * i)));
	out[e.code_at] = (uint8_t)(e.at - e.code_at);
	out[0] = 0;
	out[e.at++] = 0;
	return e.at;
}

/* Returns the length of the body, or -EINVAL. The caller has checked that n - 1 bytes fit. */
static int cobs_decode(uint8_t *body, const uint8_t *in, size_t n)
{
	size_t at = 0, left = 0, out = 0;

	for (; at < n; at++) {
		if (in[at] == 0)
			return -EINVAL;
		if (left == 0) {
			if (at > 0)
				body[out++] = 0;
			left = in[at];
		} else {
			body[out++] = in[at];
		}
		left--;
	}
	return left == 0 ? (int)out : -EINVAL;
}

static uint32_t read_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int frame_decode(struct frame *f, const uint8_t *in, size_t n)
{
	int size;

	if (n < FRAME_OVERHEAD + 1 || n > FRAME_MAX_BODY + 1)
		return -EMSGSIZE;
	size = cobs_decode(f->body, in, n);
	if (size < 0)
		return size;
	f->channel = f->body[0];
	f->seq = (uint16_t)(f->body[1] | f->body[2] << 8);
	f->payload = f->body + FRAME_HEADER_BYTES;
	f->payload_bytes = (size_t)size - FRAME_OVERHEAD;
	if (frame_crc32(f->body, (size_t)size - FRAME_CRC_BYTES) !=
		    read_le32(f->body + size - FRAME_CRC_BYTES) ||
	    f->channel == FRAME_CHANNEL_CONSOLE || f->channel > FRAME_CHANNEL_MAX)
		return -EBADMSG;
	return 0;
}

size_t frame_record_chunk(uint8_t *payload, const char *text, size_t n, size_t *at)
{
	size_t size = n - *at, i;

	if (size == 0)
		return 0;
	payload[0] = '.'; /* the last or only part */
	if (size > FRAME_MAX_PAYLOAD - 1) {
		size = FRAME_MAX_PAYLOAD - 1;
		payload[0] = '+'; /* more follows */
	}
	for (i = 0; i < size; i++)
		payload[1 + i] = (uint8_t)text[*at + i];
	*at += size;
	return size + 1;
}
