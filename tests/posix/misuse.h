/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows of misuse: a call, the error that it has to give, and that nothing was changed by it. Every
 * function that the library exports has a row in one of misuse*.c, or is among those of
 * test_misuse.py that cannot fail; the name stands first in a row, so that this can be checked.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "test.h"

/* What no row may change until it is let go: guard(NULL, 0). */
static const void *guarded;
static size_t guarded_bytes;
static unsigned char guarded_copy[1024];

static inline void guard(const void *object, size_t bytes)
{
	guarded = object;
	guarded_bytes = bytes;
	if (object)
		memcpy(guarded_copy, object, bytes);
}

static inline void row(const char *file, int line, const char *call, long got, int error, long want,
		       int expected)
{
	bool whole = !guarded || !memcmp(guarded, guarded_copy, guarded_bytes);

	test_checks++;
	if (got == want && error == expected && whole)
		return;
	test_failures++;
	printf("FAILED %s:%d: %s is %ld, errno %d; expected %ld, errno %d%s\n", file, line, call,
	       got, error, want, expected, whole ? "" : "; and it changed the object");
}

/* It returns @error. */
#define ROW(name, args, error) row(__FILE__, __LINE__, #name #args, name args, 0, error, 0)
/* It returns -1 (or what @value says), with @error in errno. */
#define ROW_VALUE(name, args, value, error)                                              \
	do {                                                                             \
		long _got;                                                               \
		errno = 0;                                                               \
		_got = (long)(name args);                                                \
		row(__FILE__, __LINE__, #name #args, _got, errno, (long)(value), error); \
	} while (0)
#define ROW_ERRNO(name, args, error) ROW_VALUE(name, args, -1, error)
