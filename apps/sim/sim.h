/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator: one scenario, once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sim_options {
	const char *file, *text;
	unsigned cpus; /* 0: the scenario's */
	uint64_t seed;
	const char *boot; /* boot arguments, of programs with policies; NULL: none */
	bool strict;      /* limits hold for policies, too */
	bool log;         /* every event of the scheduler to standard output */
	void (*progress)(uint64_t now_ns, uint64_t end_ns); /* NULL: none */
};

/*
 * Prints the result of each expectation and the hash to standard output. 0: all hold; 1: one does
 * not; 2: the scenario has a mistake and nothing ran.
 */
int sim_run(const struct sim_options *options);

/* What is around the simulator: host/process.c, target/process.c. */
const char *process_read(const char *path); /* the file's text; NULL: said why */
void process_progress(uint64_t now_ns, uint64_t end_ns);
void process_catch_faults(void); /* in callbacks of policies */
int64_t process_cpu_ns(void);    /* that it has used so far; INT64_MIN: not known */

/* Scenarios in the image; the last one has no name. */
struct sim_scenario {
	const char *file, *text;
};
extern const struct sim_scenario sim_scenarios[];
