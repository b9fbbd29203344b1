/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the search share: search.c decides and goes back, memory.c sees every access of
 * the kernel to memory, configurations.c says what is searched. README.md tells the whole.
 */
#pragma once

#include "arch/host/host.h"
#include "core/base.h"

#define CPUS_MAX 4

struct configuration {
	const char *name;
	const char *what;    /* one line for people */
	void (*run)(void);   /* warm-up, search_begin(), the race, search_end() */
	unsigned cpus;       /* 1..CPUS_MAX */
	unsigned bound;      /* preemptions in one run, in `make test` */
	unsigned weak_bound; /* the same with store buffers */
	unsigned soak_bound; /* both, in `make soak` */
	bool timers; /* the clock may move while CPUs have work, at the price of a preemption */
	bool stacks; /* what lies on stacks is shared: queues and timers of posix/ */
	/* why it is known to fail, until that is cured: then it is an error if it passes */
	const char *open;
};
extern const struct configuration configurations[]; /* of the scheduler */
extern const unsigned configurations_n;
/* Of posix/: tests/search/posix.h. The linker says where they begin and end. */
extern const struct configuration *const __start_scenes[], *const __stop_scenes[];

/* ---- for configurations ---------------------------------------------------------------------- */

/* All before it is run once, all behind it in every order. */
void search_begin(void);
/* 0..n-1: each is tried. */
unsigned search_choice(unsigned n);
/* Ends a run: everybody has done what it had to. */
__noreturn void search_end(void);

/* ---- search.c for memory.c ------------------------------------------------------------------- */

extern bool search_on;    /* behind search_begin(), and nobody looks at the machine */
extern bool search_weak;  /* stores wait in buffers */
extern bool search_races; /* plain accesses are looked at */
extern bool search_tracing;
extern bool search_stacks; /* what lies on stacks is shared as well */
/* An atomic access comes: whoever may go first does. */
void search_yield(void);
/* @granule has been written: whoever spins on it may look again. */
void search_written(uint64_t granule);

/* ---- memory.c for search.c ------------------------------------------------------------------- */

/* @bytes of zeros at @at, or the end of the process. */
void memory_map(uintptr_t at, size_t bytes);
void memory_init(uintptr_t from, uintptr_t to); /* the kernel's variables */
void memory_reset(void);                        /* a new run begins */
uint64_t memory_signature(
	void); /* of all that happened, whatever the order of what is independent */
void memory_note(enum host_note what, unsigned cpu, unsigned arg);
bool memory_spins_in_vain(unsigned cpu); /* it relaxed, and what it looked at did not change */
void memory_forgive_spinners(void);
/* No other CPU has stores in its buffer: what lies in memory is a state of the kernel's own. */
bool memory_is_whole(void);
/* Stores of the CPU that runs which nobody else has seen. */
unsigned memory_buffered(void);
void memory_drain(void);
/* How many of the newest stores may be visible before all others; makes one of these so. */
unsigned memory_overtakers(void);
void memory_overtake(unsigned back);
unsigned memory_races(void); /* found so far */
/* Allocation: everything a run may change lies in here. */
struct memory_range {
	uintptr_t from;
	size_t bytes;
};
unsigned memory_ranges(struct memory_range *out, unsigned max);
