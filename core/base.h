/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every file may use: integer types, compiler shorthands, alignment arithmetic, container_of
 * and ASSERT. Includes nothing of the project and nothing that needs a C library at run time.
 */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Some C libraries' headers, read above, have these too, spelt in other ways. */
#undef __noreturn
#undef __noinline
#undef __must_check

#define likely(x)    __builtin_expect(!!(x), 1)
#define unlikely(x)  __builtin_expect(!!(x), 0)
#define __must_check __attribute__((warn_unused_result))
#define __noreturn   __attribute__((noreturn))
#define __noinline \
	__attribute__((__noinline__)) /* as the C library spells it: both may be included */
#define __cold              __attribute__((cold, noinline))
#define __always_inline_fn  static inline __attribute__((always_inline))
#define __aligned_to(n)     __attribute__((aligned(n)))
#define __printf_like(f, a) __attribute__((format(printf, f, a)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                       \
	({                              \
		__typeof__(a) _a = (a); \
		__typeof__(b) _b = (b); \
		_a < _b ? _a : _b;      \
	})
#define MAX(a, b)                       \
	({                              \
		__typeof__(a) _a = (a); \
		__typeof__(b) _b = (b); \
		_a > _b ? _a : _b;      \
	})
#define ABS(a)                          \
	({                              \
		__typeof__(a) _x = (a); \
		_x < 0 ? -_x : _x;      \
	})

/* @n must be a power of two. */
#define ALIGN_UP(x, n)   (((x) + ((__typeof__(x))(n)-1)) & ~((__typeof__(x))(n)-1))
#define ALIGN_DOWN(x, n) ((x) & ~((__typeof__(x))(n)-1))
#define IS_ALIGNED(x, n) (((x) & ((__typeof__(x))(n)-1)) == 0)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define NSEC_PER_USEC 1000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_SEC  1000000000ull

/* Physical addresses are integers, so that nobody dereferences one. */
typedef uint64_t pa_t;

/*
 * ASSERT checks an invariant of ours, never an input. It is on in every build; the failing branch
 * is out of line and ends in a panic that prints the expression, the place, the CPU, the thread,
 * registers and a backtrace.
 */
struct assert_place {
	const char *expr, *file;
	int line;
};

__cold __noreturn void assert_failed(const struct assert_place *at);
#define ASSERT(expr)                                                                             \
	do {                                                                                     \
		if (unlikely(!(expr))) {                                                         \
			static const struct assert_place _place = { #expr, __FILE__, __LINE__ }; \
			assert_failed(&_place);                                                  \
		}                                                                                \
	} while (0)
