/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the parser of scenarios: words.c reads words, parse.c the lines of the file, and each of the
 * others the lines that are about one thing. A mistake ends the reading: whoever finds one calls
 * in_bad() or in_mistake(), which do not return.
 */
#pragma once

#include <setjmp.h>

#include "apps/sim/scenario.h"

#define WORD_BYTES 64

extern struct in {
	struct scenario *s;
	const char *file;
	const char *at; /* what has not been read yet */
	int line;
	char word[WORD_BYTES]; /* the last one read; "" at the end of a line */
	unsigned cpus;         /* from the command line, 0: none */
	void (*say)(const char *message);
	jmp_buf give_up;
} in;

/* "file:line: field: 'value': expected ..."; in_bad(): the last word of this line. */
__noreturn void in_mistake(int line, const char *field, const char *value, const char *expected);
__noreturn void in_bad(const char *field, const char *expected);
__noreturn void in_bad_number(const char *field, const char *unit, int64_t low, int64_t high);
/* Room for one more in an array of @n, which grows by powers of two. */
void *in_grow(void *array, unsigned n, size_t size);

#define ADD(array, n)                                              \
	({                                                         \
		(array) = in_grow((array), (n), sizeof(*(array))); \
		&(array)[(n)++];                                   \
	})

/* The next word or sign of this line into in.word; "" at its end. */
const char *in_next(void);
/* The first character of what in_next() would return. */
char in_peek(void);
bool in_is(const char *word);
void in_want(const char *field, const char *word);
/* Any of the words of @list, which are parted by blanks. Its place; a mistake when it is none. */
unsigned in_one_of(const char *field, const char *list);

/* Of @word, which is in in.word; the next word. */
uint64_t in_word_time(const char *field, const char *word);
uint64_t in_time_of(const char *field);
int64_t in_number_of(const char *field, int64_t low, int64_t high);
int64_t in_percent_of(const char *field);
/* "1ms" or "1ms..3ms" */
void in_time_range(const char *field, uint64_t *low, uint64_t *high);
/* "0-3,5", the first word of it in in.word, into @cpus; @words: what else may stand there. */
void in_cpu_list(struct cpumask *cpus, const char *words);

void in_new_name(const char *field, char *name);
/* The next word is the name of one of these. */
unsigned in_find_named(const char *field, const struct named *list, unsigned n);
/* -1, NO_GROUP: there is none of that name. */
int in_find_spec(const char *name, size_t n);
int in_group_named(const char *name, size_t n);
/* The group that in.word names. */
int in_find_group(const char *field, const char *expected);
/* Of threads and groups: expectations name both alike. */
bool in_is_taken(const char *name);
/* "[3]", if it comes; -1 */
int in_instance_of(int spec);
/* NAME or NAME[3]; the name in in.word, or the next word. */
struct target in_this_target(const char *field);
struct target in_target(const char *field);

/* ---- the lines: the first word has been read ------------------------------------------------- */

void line_thread(void);                     /* parse_thread.c */
void parse_change(struct op *op, int line); /* attributes, up to the end of the statement */
void line_group(void);                      /* parse_machine.c */
void line_cluster(void);
void parse_group_event(struct op *op, int group); /* attributes of a group */
void check_clusters(void);                        /* at the end of the file */
void line_expect(void);                           /* parse_expect.c */
