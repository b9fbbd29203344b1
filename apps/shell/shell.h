/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell on the UART: an application of its own (APP=shell), or a thread beside another one
 * (WITH=shell). A command is a row of a table and a function.
 *
 * Everything runs in one thread, which is fair like others unless it is told otherwise: a policy
 * schedules it, too. It writes by console_write() and not by printf(), so that it shares no lock with
 * the program beside it.
 */
#pragma once

#include "core/thread.h"

struct command {
	const char *name;
	const char *usage; /* what follows the name */
	const char *help;
	int (*run)(int argc, char **argv); /* argv[0] is the name; 0: done */
};

extern const struct command commands[]; /* ended by one without a name */

/* Reads and runs commands until exit; the status that was given. */
int shell_run(void);
/* Ends it when the command is done. */
void shell_exit(int status);
/* Is there a key? Takes all that were typed. */
bool shell_key(void);
/* Finds @argv[0] in @table and runs it; 127: there is no such one, said with @prefix. */
int command_run(const struct command *table, const char *prefix, int argc, char **argv);
/* "NAME: usage: NAME ..." of the command of that name; returns 2. */
int command_usage(const char *name);

/* ---- output ---------------------------------------------------------------------------------- */

void say(const char *fmt, ...) __printf_like(1, 2);
/* "name: ...\n"; returns 1. */
int complain(const char *name, const char *fmt, ...) __printf_like(2, 3);
/* What an error of the kernel's calls means. */
const char *error_text(int err);

/* ---- threads --------------------------------------------------------------------------------- */

/* A thread as it was. */
struct row {
	int32_t tid;
	char name[THREAD_NAME_BYTES];
	uint8_t policy, state, priority;
	int8_t nice;
	uint16_t rank, cpu;
	bool runs;
	uint64_t runtime_ns;
	struct cpumask affinity;
};

struct rows {
	struct row *row; /* in order of tid */
	unsigned n, room, order;
};

/* 0, -ENOMEM; then rows_free(). */
int rows_take(struct rows *rows);
void rows_free(struct rows *rows);
const struct row *row_of(const struct rows *rows, int32_t tid);
/* Of a policy's number, as ps shows it; and chrt. */
const char *policy_name(unsigned policy);
const char *policy_constant(unsigned policy);
const char *state_name(const struct row *row);
/* Where the rank puts it. */
const char *class_name(const struct row *row);

/*
 * The thread that @text names, which cannot go away until thread_let_go(); NULL: there is none,
 * said for the command @name. Meanwhile this thread is FIFO 99, since whoever waits for the end of
 * a thread that is held does so at the CPU.
 */
struct thread *thread_hold(const char *name, const char *text);
void thread_let_go(struct thread *t);

/* ---- commands -------------------------------------------------------------------------------- */

int run_ps(int argc, char **argv);
int run_top(int argc, char **argv);
int run_nice(int argc, char **argv);
int run_chrt(int argc, char **argv);
int run_taskset(int argc, char **argv);
int run_policy(int argc, char **argv);
int run_cpu(int argc, char **argv);
int run_log(int argc, char **argv);
