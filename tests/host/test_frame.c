/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Framing: known bytes, round trips over every payload length, every single-bit error found, and
 * bad arguments refused without a write outside the buffer (the address sanitizer watches).
 *
 * Sources: core/frame.c
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/frame.h"

static uint32_t random_state = 2463534242u;

static uint32_t random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static void crc_of_the_check_string(void **state)
{
	(void)state;
	assert_int_equal(frame_crc32("123456789", 9), 0xcbf43926u);
	assert_int_equal(frame_crc32("", 0), 0);
}

static void known_frame(void **state)
{
	/* The example of docs/UART.md. */
	static const uint8_t expected[] = {
		0x00, 0x03, 0x01, 0x05, 0x08, 0x2e, 0x7b, 0x7d, 0x20, 0x3b, 0xd2, 0x62, 0x00,
	};
	uint8_t out[FRAME_MAX_BYTES];

	(void)state;
	assert_int_equal(frame_encode(out, sizeof(out), FRAME_CHANNEL_RESULT, 5, ".{}", 3),
			 sizeof(expected));
	assert_memory_equal(out, expected, sizeof(expected));
}

static void fill(uint8_t *payload, size_t n, unsigned kind)
{
	size_t i;

	for (i = 0; i < n; i++)
		payload[i] = kind == 0 ? 0 :
			     kind == 1 ? 0xff :
			     kind == 2 ? (uint8_t)(random_u32() & 1) :
					 (uint8_t)random_u32();
}

static void every_length_round_trips(void **state)
{
	uint8_t payload[FRAME_MAX_PAYLOAD];
	struct frame f;
	uint8_t *out;
	unsigned kind, channel;
	size_t n, size, i;
	uint16_t seq;

	(void)state;
	for (n = 0; n <= FRAME_MAX_PAYLOAD; n++) {
		for (kind = 0; kind < 4; kind++) {
			fill(payload, n, kind);
			seq = (uint16_t)random_u32();
			channel = 1 + random_u32() % FRAME_CHANNEL_MAX;
			out = malloc(n + 10); /* exactly the promised size */
			size = frame_encode(out, n + 10, channel, seq, payload, n);
			assert_int_equal(size, n + 10);
			assert_int_equal(out[0], 0);
			assert_int_equal(out[size - 1], 0);
			assert_int_equal(out[2], channel); /* what tells a frame from text */
			for (i = 1; i < size - 1; i++)
				assert_int_not_equal(out[i], 0);
			assert_int_equal(frame_decode(&f, out + 1, size - 2), 0);
			assert_int_equal(f.channel, channel);
			assert_int_equal(f.seq, seq);
			assert_int_equal(f.payload_bytes, n);
			assert_memory_equal(f.payload, payload, n);
			free(out);
		}
	}
}

static void every_single_bit_error_is_found(void **state)
{
	uint8_t payload[64], out[FRAME_MAX_BYTES];
	struct frame f;
	size_t size, bit;

	(void)state;
	fill(payload, sizeof(payload), 2);
	size = frame_encode(out, sizeof(out), FRAME_CHANNEL_TRACE, 0x0100, payload,
			    sizeof(payload));
	for (bit = 8; bit < 8 * (size - 1); bit++) {
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(frame_decode(&f, out + 1, size - 2), 0);
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(frame_decode(&f, out + 1, size - 2), 0);
}

static void bad_arguments_are_refused(void **state)
{
	uint8_t payload[FRAME_MAX_PAYLOAD + 1] = { 0 }, out[FRAME_MAX_BYTES + 8];

	(void)state;
	memset(out, 0xaa, sizeof(out));
	assert_int_equal(frame_encode(out, sizeof(out), FRAME_CHANNEL_CONSOLE, 0, payload, 1), 0);
	assert_int_equal(frame_encode(out, sizeof(out), FRAME_CHANNEL_MAX + 1, 0, payload, 1), 0);
	assert_int_equal(frame_encode(out, sizeof(out), 1, 0, payload, FRAME_MAX_PAYLOAD + 1), 0);
	assert_int_equal(frame_encode(out, 13, 1, 0, payload, 4), 0);
	assert_int_equal(out[0], 0xaa);
	assert_int_equal(frame_encode(out, 14, 1, 0, payload, 4), 14);
	assert_int_equal(out[14], 0xaa);
	assert_int_equal(frame_encode(out, FRAME_MAX_BYTES, 1, 0, payload, FRAME_MAX_PAYLOAD),
			 FRAME_MAX_BYTES);
}

static void bad_input_is_named(void **state)
{
	uint8_t in[FRAME_MAX_BYTES] = { 0 };
	struct frame f;
	size_t size;

	(void)state;
	assert_int_equal(frame_decode(&f, in, 7), -EMSGSIZE);
	assert_int_equal(frame_decode(&f, in, FRAME_MAX_BODY + 2), -EMSGSIZE);
	assert_int_equal(frame_decode(&f, in, 8), -EINVAL); /* a zero inside */
	memset(in, 9, 8);
	assert_int_equal(frame_decode(&f, in, 8), -EINVAL); /* the run goes past the end */
	memset(in, 1, 8);
	assert_int_equal(frame_decode(&f, in, 8), -EBADMSG);
	size = frame_encode(in, sizeof(in), 1, 0, "abcd", 4);
	assert_int_equal(frame_decode(&f, in + 1, size - 3), -EINVAL); /* cut */
}

static void noise_never_decodes(void **state)
{
	uint8_t in[FRAME_MAX_BYTES];
	struct frame f;
	size_t n, i;
	int round, good = 0;

	(void)state;
	for (round = 0; round < 50000; round++) {
		n = random_u32() % (sizeof(in) + 1);
		for (i = 0; i < n; i++)
			in[i] = (uint8_t)(random_u32() % (round % 2 ? 256 : 6));
		good += frame_decode(&f, in, n) == 0;
	}
	assert_int_equal(good, 0);
}

static void records_are_cut_and_put_together(void **state)
{
	static const size_t lengths[] = { 1, 238, 239, 240, 478, 479, 1000 };
	uint8_t payload[FRAME_MAX_PAYLOAD];
	char text[1000], joined[1000];
	size_t i, at, size, n, parts;

	(void)state;
	for (i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		n = 0;
		parts = 0;
		for (at = 0; (size = frame_record_chunk(payload, text, lengths[i], &at)) > 0;
		     parts++) {
			assert_int_equal(payload[0], at < lengths[i] ? '+' : '.');
			memcpy(joined + n, payload + 1, size - 1);
			n += size - 1;
		}
		assert_int_equal(n, lengths[i]);
		assert_int_equal(parts, (lengths[i] + 238) / 239);
		assert_memory_equal(joined, text, n);
	}
	at = 0;
	assert_int_equal(frame_record_chunk(payload, text, 0, &at), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_of_the_check_string),
		cmocka_unit_test(known_frame),
		cmocka_unit_test(every_length_round_trips),
		cmocka_unit_test(every_single_bit_error_is_found),
		cmocka_unit_test(bad_arguments_are_refused),
		cmocka_unit_test(bad_input_is_named),
		cmocka_unit_test(noise_never_decodes),
		cmocka_unit_test(records_are_cut_and_put_together),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
