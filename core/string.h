/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory and string functions that the kernel and the compiler's generated code call. They use
 * general registers only and never access memory unaligned or outside the given bytes (the string
 * functions: outside the aligned word that holds a given byte), so they are safe in traps, in the
 * scheduler and on device memory. Applications get the same ones: they stand in front of the C
 * library's. Context: any. Meaning: as in ISO C and POSIX.
 */
#pragma once

#include <stddef.h>

void *memcpy(void *__restrict to, const void *__restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
