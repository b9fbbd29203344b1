/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core/string.c against the host's C library, for every small length and every alignment of both
 * operands, and then at random. The buffers end where an unmapped page begins or begin where one
 * ends, so that one byte read or written too far is a fault. The file under test is included under
 * other names: under its own it would stand in for the host's.
 *
 * Flags: -fno-builtin
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define memcpy  our_memcpy
#define memmove our_memmove
#define memset  our_memset
#define memcmp  our_memcmp
#define strlen  our_strlen
#define strnlen our_strnlen
#define strcmp  our_strcmp
#define strncmp our_strncmp
#include "core/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp

#define ARENA  4096u
#define SHORT  200u /* all lengths below: past three rounds of 64 bytes */
#define RANDOM 20000

static uint8_t *low, *high, *model;

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * n >> 32);
}

/* ARENA bytes between two pages that fault. */
static uint8_t *arena_new(void)
{
	uint8_t *p = mmap(NULL, ARENA + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + 4096, ARENA, PROT_READ | PROT_WRITE), 0);
	return p + 4096;
}

static int setup(void **state)
{
	(void)state;
	low = arena_new();
	high = arena_new();
	model = malloc(ARENA);
	return model ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(model);
	return 0;
}

static void fill_random(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)random_below(256);
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

/*
 * Copies low[from..] to high[to..] and compares all of the arena, so that a byte beside the target
 * is seen as well.
 */
static void check_copy(size_t to, size_t from, size_t n)
{
	memcpy(model, high, ARENA);
	memcpy(model + to, low + from, n);
	assert_ptr_equal(our_memcpy(high + to, low + from, n), high + to);
	assert_memory_equal(high, model, ARENA);
}

static void copy_all_alignments(void **state)
{
	(void)state;
	for (size_t n = 0; n < SHORT; n++)
		for (size_t to = 0; to < 8; to++)
			for (size_t from = 0; from < 8; from++) {
				fill_random(low, 256);
				check_copy(to, from, n);
				check_copy(ARENA - n - to, ARENA - n - from, n);
			}
}

/* Blocks of exactly the size: the address sanitizer sees also what stays inside a page. */
static void copy_exact_blocks(void **state)
{
	(void)state;
	for (size_t n = 1; n < SHORT; n++)
		for (size_t to = 0; to < 8; to++)
			for (size_t from = 0; from < 8; from++) {
				uint8_t *a = malloc(n + to), *b = malloc(n + from);

				assert_true(a && b);
				fill_random(b, n + from);
				our_memcpy(a + to, b + from, n);
				assert_memory_equal(a + to, b + from, n);
				assert_int_equal(our_memcmp(a + to, b + from, n), 0);
				our_memset(a + to, 0, n);
				free(a);
				free(b);
			}
}

static void check_move(size_t to, size_t from, size_t n)
{
	memcpy(model, low, ARENA);
	memmove(model + to, model + from, n);
	assert_ptr_equal(our_memmove(low + to, low + from, n), low + to);
	assert_memory_equal(low, model, ARENA);
}

static void move_overlapping(void **state)
{
	(void)state;
	fill_random(low, ARENA);
	for (size_t n = 0; n < SHORT; n++)
		for (size_t distance = 0; distance < 80; distance++) {
			size_t at = n % 8;

			check_move(at, at + distance, n);
			check_move(at + distance, at, n);
			check_move(ARENA - n - distance, ARENA - n, n);
			check_move(ARENA - n, ARENA - n - distance, n);
		}
}

static void copy_and_move_random(void **state)
{
	(void)state;
	fill_random(low, ARENA);
	for (int i = 0; i < RANDOM; i++) {
		size_t n = random_below(ARENA + 1);

		check_move(random_below((uint32_t)(ARENA - n + 1)),
			   random_below((uint32_t)(ARENA - n + 1)), n);
		check_copy(random_below((uint32_t)(ARENA - n + 1)),
			   random_below((uint32_t)(ARENA - n + 1)), n);
	}
}

static void check_set(size_t to, int byte, size_t n)
{
	memcpy(model, low, ARENA);
	memset(model + to, byte, n);
	assert_ptr_equal(our_memset(low + to, byte, n), low + to);
	assert_memory_equal(low, model, ARENA);
}

static void set_all_alignments(void **state)
{
	(void)state;
	fill_random(low, ARENA);
	for (size_t n = 0; n < SHORT; n++)
		for (size_t to = 0; to < 8; to++) {
			check_set(to, (int)random_below(256), n);
			check_set(ARENA - n - to, -1, n);
			check_set(ARENA - n - to, 0x1ff - (int)n, n);
		}
}

/* Equal blocks, and blocks that differ in one byte, at every place of it, both ways round. */
static void compare_memory(void **state)
{
	(void)state;
	for (size_t n = 0; n < SHORT; n++)
		for (size_t skew = 0; skew < 8; skew++) {
			uint8_t *a = low + ARENA - n, *b = high + ARENA - n - skew;

			fill_random(a, n);
			memcpy(b, a, n);
			assert_int_equal(our_memcmp(a, b, n), 0);
			for (size_t i = 0; i < n; i++) {
				a[i] ^= 0x80;
				assert_int_equal(sign(our_memcmp(a, b, n)), sign(memcmp(a, b, n)));
				assert_int_equal(sign(our_memcmp(b, a, n)), sign(memcmp(b, a, n)));
				a[i] ^= 0x80;
			}
		}
}

/* The terminating 0 is the last byte before a page that faults. */
static void string_lengths(void **state)
{
	(void)state;
	for (size_t n = 0; n < SHORT; n++) {
		char *s = (char *)low + ARENA - n - 1;

		memset(s, 0x80 + (int)(n & 1), n);
		s[n] = 0;
		assert_int_equal(our_strlen(s), n);
		for (size_t max = 0; max < n + 20; max++)
			assert_int_equal(our_strnlen(s, max), max < n ? max : n);
		assert_int_equal(our_strnlen(s, SIZE_MAX), n);
		assert_int_equal(our_strnlen(s + 1, n), n ? n - 1 : 0);
	}
}

static void length_without_end(void **state)
{
	(void)state;
	memset(low, 'x', ARENA);
	for (size_t n = 0; n < SHORT; n++)
		assert_int_equal(our_strnlen((char *)low + ARENA - n, n), n);
}

static void check_strings(const char *a, const char *b, size_t n)
{
	assert_int_equal(sign(our_strcmp(a, b)), sign(strcmp(a, b)));
	assert_int_equal(sign(our_strcmp(b, a)), sign(strcmp(b, a)));
	assert_int_equal(sign(our_strncmp(a, b, n)), sign(strncmp(a, b, n)));
}

static void compare_strings(void **state)
{
	(void)state;
	for (int i = 0; i < RANDOM; i++) {
		size_t n = random_below(60), m = random_below(60);
		char *a = (char *)low + ARENA - n - 1 - random_below(9),
		     *b = (char *)high + ARENA - m - 1 - random_below(9);

		/* Few letters, so that long common beginnings are common; 0xc3 is above 127. */
		for (size_t j = 0; j < n; j++)
			a[j] = "a\xc3"[random_below(30) == 0];
		for (size_t j = 0; j < m; j++)
			b[j] = "a\xc3"[random_below(30) == 0];
		a[n] = b[m] = 0;
		check_strings(a, b, random_below(70));
		check_strings(a, a, random_below(70));
	}
}

static void compare_without_end(void **state)
{
	(void)state;
	memset(low, 'x', ARENA);
	memset(high, 'x', ARENA);
	for (size_t n = 0; n < 64; n++)
		assert_int_equal(our_strncmp((char *)low + ARENA - n, (char *)high + ARENA - n, n),
				 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copy_all_alignments), cmocka_unit_test(copy_exact_blocks),
		cmocka_unit_test(move_overlapping),    cmocka_unit_test(copy_and_move_random),
		cmocka_unit_test(set_all_alignments),  cmocka_unit_test(compare_memory),
		cmocka_unit_test(string_lengths),      cmocka_unit_test(length_without_end),
		cmocka_unit_test(compare_strings),     cmocka_unit_test(compare_without_end),
	};

	return cmocka_run_group_tests_name("string", tests, setup, teardown);
}
