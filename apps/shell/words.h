/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a typed line consists of: words, numbers, sets of CPUs. Knows nothing of the kernel but what
 * a set of CPUs is.
 */
#pragma once

#include "core/cpumask.h"

#define WORDS_MAX 32

/*
 * Cuts @line into words in place: white space separates them, double quotes keep it. How many;
 * -EINVAL: a quote is not closed; -E2BIG: more than WORDS_MAX.
 */
int words_split(char *line, char **words);
/* Decimal or 0x hexadecimal, all of @text. */
bool word_number(const char *text, uint64_t *value);
/* The same with a sign, within @min..@max. */
bool word_integer(const char *text, long min, long max, long *value);
/* Seconds with a point: 0.5; in ns. */
bool word_seconds(const char *text, uint64_t *ns);
/* taskset's: hexadecimal, with 0x or without. CPUs up to 63. */
bool word_mask(const char *text, struct cpumask *mask);
/* 0,2-5. CPUs up to 63. */
bool word_list(const char *text, struct cpumask *mask);
/* The same the other way round, into @buf of @size bytes, cut if need be; returns @buf. */
char *list_of_cpus(const struct cpumask *mask, char *buf, size_t size);
