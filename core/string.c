/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memcpy and its family; core/string.h says what callers may rely on.
 *
 * The plan of all of them: bytes up to the first aligned word of the destination, 64-byte rounds,
 * words, bytes. Where source and destination are misaligned against each other, the copy reads
 * aligned words of the source and shifts each pair together; it starts after eight bytes were
 * copied singly and ends before the last word that is not whole, so that no byte outside of the
 * source is read.
 *
 * What may never happen: the compiler recognising a loop as memcpy or memset and calling the
 * function from itself. GCC is told so below; Clang must be given -fno-builtin or -ffreestanding.
 *
 * Both architectures are little endian; the shifts depend on it.
 */
#include "core/string.h"

#include "core/base.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-tree-loop-distribute-patterns", "no-tree-vectorize")
#endif

/*
 * The string functions look at whole words, up to seven bytes past the end but never past the page.
 */
#define READS_WHOLE_WORDS __attribute__((no_sanitize_address))

typedef uint64_t __attribute__((may_alias)) word_t;

#define WORD_BYTES  sizeof(word_t)
#define ROUND_BYTES (8 * WORD_BYTES)
#define ONES        0x0101010101010101ull
#define HIGH_BITS   0x8080808080808080ull

static inline bool same_alignment(const void *a, const void *b)
{
	return (((uintptr_t)a ^ (uintptr_t)b) & (WORD_BYTES - 1)) == 0;
}

static inline size_t bytes_to_word(const void *p)
{
	return -(uintptr_t)p & (WORD_BYTES - 1);
}

static inline void copy_bytes(uint8_t *to, const uint8_t *from, size_t n)
{
	while (n--)
		*to++ = *from++;
}

/*
 * All loads of a round come before its stores: this is what makes it right for overlapping blocks
 * too.
 */
static inline void copy_round(word_t *to, const word_t *from)
{
	word_t a = from[0], b = from[1], c = from[2], d = from[3];
	word_t e = from[4], f = from[5], g = from[6], h = from[7];

	to[0] = a, to[1] = b, to[2] = c, to[3] = d;
	to[4] = e, to[5] = f, to[6] = g, to[7] = h;
}

/* Copies whole words between aligned addresses; returns the bytes done. */
static inline size_t copy_words(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t at = 0;

	for (; n - at >= ROUND_BYTES; at += ROUND_BYTES)
		copy_round((word_t *)(to + at), (const word_t *)(from + at));
	for (; n - at >= WORD_BYTES; at += WORD_BYTES)
		*(word_t *)(to + at) = *(const word_t *)(from + at);
	return at;
}

/* The same for a misaligned @from, before which at least seven bytes of the source lie. */
static inline size_t copy_shifted(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t behind = (uintptr_t)from & (WORD_BYTES - 1), at = 0;
	unsigned right = (unsigned)behind * 8, left = 64 - right;
	const word_t *next = (const word_t *)(from - behind);
	word_t have = *next++;

	for (; n - at >= 5 * WORD_BYTES; at += 4 * WORD_BYTES, next += 4) {
		word_t a = next[0], b = next[1], c = next[2], d = next[3],
		       *out = (word_t *)(to + at);

		out[0] = have >> right | a << left;
		out[1] = a >> right | b << left;
		out[2] = b >> right | c << left;
		out[3] = c >> right | d << left;
		have = d;
	}
	for (; n - at >= 2 * WORD_BYTES; at += WORD_BYTES, next++) {
		word_t a = *next;

		*(word_t *)(to + at) = have >> right | a << left;
		have = a;
	}
	return at;
}

/* Lowest address first. Right for blocks that overlap when @to lies below @from. */
static inline void copy_up(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t head = bytes_to_word(to), done;

	if (n >= 4 * WORD_BYTES) {
		bool same = same_alignment(to, from);

		if (!same)
			head += WORD_BYTES;
		copy_bytes(to, from, head);
		to += head, from += head, n -= head;
		done = same ? copy_words(to, from, n) : copy_shifted(to, from, n);
		to += done, from += done, n -= done;
	}
	copy_bytes(to, from, n);
}

/* Highest address first, for blocks that overlap the other way. */
static inline void copy_down(uint8_t *to, const uint8_t *from, size_t n)
{
	if (same_alignment(to, from)) {
		for (; n && !IS_ALIGNED((uintptr_t)to + n, WORD_BYTES); n--)
			to[n - 1] = from[n - 1];
		for (; n >= ROUND_BYTES; n -= ROUND_BYTES)
			copy_round((word_t *)(to + n - ROUND_BYTES),
				   (const word_t *)(from + n - ROUND_BYTES));
		for (; n >= WORD_BYTES; n -= WORD_BYTES)
			*(word_t *)(to + n - WORD_BYTES) = *(const word_t *)(from + n - WORD_BYTES);
	}
	for (; n; n--)
		to[n - 1] = from[n - 1];
}

void *memcpy(void *__restrict to, const void *__restrict from, size_t n)
{
	copy_up(to, from, n);
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	/* One compare: @to outside of [from, from + n). */
	if ((uintptr_t)to - (uintptr_t)from >= n)
		copy_up(to, from, n);
	else
		copy_down(to, from, n);
	return to;
}

static inline void set_round(word_t *to, word_t w)
{
	to[0] = w, to[1] = w, to[2] = w, to[3] = w;
	to[4] = w, to[5] = w, to[6] = w, to[7] = w;
}

void *memset(void *to, int byte, size_t n)
{
	word_t w = (uint8_t)byte * ONES;
	uint8_t *p = to;

	if (n >= 2 * WORD_BYTES) {
		for (; !IS_ALIGNED((uintptr_t)p, WORD_BYTES); n--)
			*p++ = (uint8_t)byte;
		for (; n >= ROUND_BYTES; n -= ROUND_BYTES, p += ROUND_BYTES)
			set_round((word_t *)p, w);
		for (; n >= WORD_BYTES; n -= WORD_BYTES, p += WORD_BYTES)
			*(word_t *)p = w;
	}
	while (n--)
		*p++ = (uint8_t)byte;
	return to;
}

static inline int compare_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i])
			return a[i] - b[i];
	return 0;
}

int memcmp(const void *va, const void *vb, size_t n)
{
	const uint8_t *a = va, *b = vb;
	size_t head = bytes_to_word(a);
	int diff;

	if (n >= 4 * WORD_BYTES && same_alignment(a, b)) {
		diff = compare_bytes(a, b, head);
		if (diff)
			return diff;
		/* Stops at the first word that differs; the bytes below find out where. */
		for (a += head, b += head, n -= head; n >= WORD_BYTES; n -= WORD_BYTES) {
			if (*(const word_t *)a != *(const word_t *)b)
				break;
			a += WORD_BYTES, b += WORD_BYTES;
		}
	}
	return compare_bytes(a, b, n);
}

/* Not 0 when a byte of @w is 0; the lowest set bit is right, those above may be false. */
static inline word_t zero_bytes(word_t w)
{
	return (w - ONES) & ~w & HIGH_BITS;
}

READS_WHOLE_WORDS size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	for (; n < max && !IS_ALIGNED((uintptr_t)s + n, WORD_BYTES); n++)
		if (!s[n])
			return n;
	while (max - n >= WORD_BYTES && !zero_bytes(*(const word_t *)(s + n)))
		n += WORD_BYTES;
	while (n < max && s[n])
		n++;
	return n;
}

size_t strlen(const char *s)
{
	return strnlen(s, SIZE_MAX);
}

READS_WHOLE_WORDS int strcmp(const char *a, const char *b)
{
	if (same_alignment(a, b)) {
		for (; !IS_ALIGNED((uintptr_t)a, WORD_BYTES); a++, b++)
			if (*a != *b || !*a)
				return (uint8_t)*a - (uint8_t)*b;
		while (*(const word_t *)a == *(const word_t *)b && !zero_bytes(*(const word_t *)a))
			a += WORD_BYTES, b += WORD_BYTES;
	}
	for (; *a == *b && *a; a++, b++)
		;
	return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++)
		if (*a != *b || !*a)
			return (uint8_t)*a - (uint8_t)*b;
	return 0;
}
