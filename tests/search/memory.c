/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's memory as the search sees it. The kernel's sources are compiled with
 * -fsanitize=thread but linked with the functions below in place of the sanitizer's, so that every
 * access of theirs, plain or atomic, comes here with its address, its size and its memory order,
 * and the sources need not know.
 *
 * Signature. Each access is an event whose hash is made of the hash of the CPU's event before it
 * and of those at the same place that it must come after: the last write, and for a write also the
 * reads since. Two runs that differ in the order of independent steps only have the same hashes,
 * and stand in the same state. A place is 8 bytes.
 *
 * Store buffer (search_weak). A CPU works with its own stores applied. When it is left for another
 * CPU, those that nobody else may see yet are taken back, newest first, and applied again when it
 * goes on. Plain stores are delayed as well as atomic ones. Stores become visible in order, but one
 * that is no release may overtake. A read-modify-write makes all stores before it visible; its own
 * write may be delayed: readers miss it, writers do not. A fence, an inter-processor
 * interrupt, idling and spinning empty the buffer.
 *
 * Races (search_races). Vector clocks say which accesses of two CPUs are not ordered by locks or
 * atomics. Reported, with both places in the source, are a plain read beside any write, and two
 * writes one of which is plain, and a plain write beside an atomic read but where is_peeked() knows
 * of it: under a lock the kernel writes some words plainly that others read without it.
 */
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/cpu.h"
#include "core/thread.h"
#include "tests/search/search.h"

#define ARENA       0x200000000000ull
#define STACKS      0x300000000000ull
#define ARENA_BYTES (64ull << 20)
#define STACKS_EACH (256ull << 10)
#define STACKS_MAX  256
/* of a stack, what is saved: the upper end, with the thread itself and the machine's record */
#define STACK_TOP    8192ul
#define STACK_RECORD 64ul
#define PAGES        0x210000000000ull
#define PAGES_BYTES  HOST_ARENA_BYTES
#define PAGES_SPARE  (64ul << 10) /* for what a run allocates */

#define PLACES     (1u << 14)
#define BUFFER     64
#define WATCHED    4
#define OVERTAKERS 3

struct place {
	uint64_t key; /* address / 8 */
	uint64_t run; /* valid in this run */
	uint64_t write, reads;
};

struct store {
	uintptr_t addr;
	unsigned size;
	bool release; /* visible after all before it */
	bool change;  /* of a read-modify-write: visible before anybody else writes there */
	uint64_t value, old, hash;
};

struct seen {
	uint64_t hash;    /* of the CPU's last event */
	uint64_t drained; /* of the last of its stores that became visible */
	bool spins;
	unsigned n_read;
	uint64_t read[WATCHED]; /* places it read last */
	unsigned n;
	struct store buffer[BUFFER];
};

static struct {
	uintptr_t from, to; /* the program's variables */
	uintptr_t arena_next;
	bool pages;
	unsigned stacks;
	size_t stack_bytes[STACKS_MAX];
	uint64_t run;
	struct seen cpu[CPUS_MAX];
	struct place places[PLACES];
} * m;

/* ---- where memory comes from ----------------------------------------------------------------- */

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void __wrap_free(void *p);

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	uintptr_t at = ALIGN_UP(m->arena_next, align);

	m->arena_next = at + bytes;
	ASSERT(m->arena_next < ARENA + ARENA_BYTES);
	return (void *)at;
}

void *__wrap_malloc(size_t bytes)
{
	return __wrap_aligned_alloc(64, bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return memset(__wrap_malloc(n * bytes), 0, n * bytes);
}

void __wrap_free(void *p)
{
	(void)p;
}

static uintptr_t stack_at(unsigned i)
{
	return STACKS + i * STACKS_EACH;
}

/*
 * In place of arch/host/linux.c: stacks, and one block of pages, which is the one that is large. A
 * run that makes a thread finds the same memory as the run before it.
 */
void *host_memory_map(size_t bytes)
{
	uintptr_t base = stack_at(m->stacks);

	if (bytes > 2 * STACKS_EACH) {
		ASSERT(bytes <= PAGES_BYTES && !m->pages);
		m->pages = true;
		return (void *)PAGES;
	}
	ASSERT(m->stacks + 2 <= STACKS_MAX);
	m->stack_bytes[m->stacks] = bytes;
	m->stacks += bytes > STACKS_EACH ? 2 : 1;
	if (search_on)
		memset((void *)(base + bytes - STACK_TOP), 0, STACK_TOP);
	return (void *)base;
}

void host_memory_unmap(void *va, size_t bytes)
{
	(void)va, (void)bytes;
}

int host_memory_protect(void *va, size_t bytes, unsigned prot)
{
	(void)va, (void)bytes, (void)prot;
	return 0;
}

/* Nobody hands wild pointers on here. */
bool host_memory_is_mapped(const void *va)
{
	return va;
}

int host_call_chain(void **pc, int n)
{
	return backtrace(pc, n);
}

void host_die(int status)
{
	host_dies(status);
	fflush(NULL);
	_exit(status);
}

void memory_map(uintptr_t at, size_t bytes)
{
	void *p = mmap((void *)at, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)at) {
		perror("search: mmap");
		exit(2);
	}
	madvise(p, bytes, MADV_HUGEPAGE); /* the table of states is looked into at random */
}

/* The thread in stack @i, if there is one: below the machine's record of the stack. */
static struct thread *thread_in(unsigned i)
{
	return (void *)(stack_at(i) + m->stack_bytes[i] - STACK_RECORD - HOST_THREAD_BYTES);
}

static void check_place(struct thread *t, void *arg)
{
	(void)arg;
	ASSERT(t == thread_in((unsigned)(((uintptr_t)t - STACKS) / STACKS_EACH)));
}

static size_t pages_used(void)
{
	size_t n = PAGES_BYTES / sizeof(uint64_t);

	while (n && !((uint64_t *)PAGES)[n - 1])
		n--;
	return MIN(ALIGN_UP(n * sizeof(uint64_t), 4096ul) + PAGES_SPARE, PAGES_BYTES);
}

unsigned memory_ranges(struct memory_range *out, unsigned max)
{
	unsigned n = 0;

	out[n++] = (struct memory_range){ m->from, m->to - m->from };
	out[n++] = (struct memory_range){ ARENA, m->arena_next - ARENA };
	/* what was allocated when */
	out[n++] = (struct memory_range){ (uintptr_t)&m->arena_next,
					  offsetof(__typeof__(*m), run) -
						  offsetof(__typeof__(*m), arena_next) };
	out[n++] = (struct memory_range){ PAGES, pages_used() };
	for (unsigned i = 0; i < m->stacks; i++) {
		if (!m->stack_bytes[i])
			continue;
		ASSERT(n < max && m->stack_bytes[i] >= STACK_TOP);
		out[n++] = (struct memory_range){ stack_at(i) + m->stack_bytes[i] - STACK_TOP,
						  STACK_TOP };
	}
	host_each_thread(check_place, NULL);
	return n;
}

/*
 * The kernel's shared memory: not the machine's registers. What lies on a stack (struct thread is
 * above it in the same mapping) only where the configuration says that others look at it.
 */
static bool is_shared(uintptr_t a)
{
	if (a - m->from < m->to - m->from)
		return a - (uintptr_t)&host_self >= 8 && a - (uintptr_t)&host_now_ns >= 8 &&
		       a - (uintptr_t)&host_sched_event >= 8;
	if (a - ARENA < ARENA_BYTES)
		return a - (uintptr_t)host_cpus >= host_nr_cpus * sizeof(*host_cpus);
	if (a - STACKS < STACKS_MAX * STACKS_EACH) {
		unsigned i = (unsigned)((a - STACKS) / STACKS_EACH);

		/* the first is the boot CPU's, which holds no thread, and may take two places */
		return i && m->stack_bytes[i] && (search_stacks || a >= (uintptr_t)thread_in(i));
	}
	return a - PAGES < PAGES_BYTES;
}

static bool in_member(uintptr_t a, uintptr_t member, size_t bytes)
{
	return a - member < bytes;
}

/*
 * What is written under a lock without an atomic operation and read without the lock: a store there
 * is a moment at which others may go first, like an atomic access. --races finds what is missing
 * here.
 */
static bool is_peeked(uintptr_t a)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		struct runqueue *rq = &cpu_at(i)->rq;

		if (in_member(a, (uintptr_t)&cpu_at(i)->lock_node, sizeof(struct lock_node)) ||
		    in_member(a, (uintptr_t)&cpu_at(i)->timers.armed_ns, sizeof(uint64_t)) ||
		    in_member(a, (uintptr_t)&cpu_at(i)->server.timer.armed, sizeof(bool)) ||
		    in_member(a, (uintptr_t)&cpu_at(i)->timers.trees,
			      sizeof(cpu_at(i)->timers.trees)))
			return true;
		if (a - (uintptr_t)rq < sizeof(*rq))
			return in_member(a, (uintptr_t)&rq->nr_ready, sizeof(rq->nr_ready)) ||
			       in_member(a, (uintptr_t)&rq->curr, sizeof(rq->curr)) ||
			       in_member(a, (uintptr_t)&rq->resched, sizeof(rq->resched)) ||
			       in_member(a, (uintptr_t)&rq->rt.unserved, sizeof(rq->rt.unserved)) ||
			       in_member(a, (uintptr_t)&rq->outgoing, sizeof(rq->outgoing));
	}
	if (a - STACKS < STACKS_MAX * STACKS_EACH) {
		struct thread *t = thread_in((unsigned)((a - STACKS) / STACKS_EACH));

		return in_member(a, (uintptr_t)&t->sched.cpu, sizeof(t->sched.cpu)) ||
		       in_member(a, (uintptr_t)&t->sched.rank, sizeof(t->sched.rank));
	}
	return false;
}

/* The same, but only to guess: whoever reads it looks again with the lock, or need not. */
static bool is_guessed(uintptr_t a)
{
	for (unsigned i = 0; i < cpu_count; i++)
		if (in_member(a, (uintptr_t)&cpu_at(i)->rq.fair.W, sizeof(uint64_t)) ||
		    in_member(a, (uintptr_t)&cpu_at(i)->rq.rt.highest, sizeof(uint32_t)))
			return true;
	return is_peeked(a);
}

/*
 * What a CPU sets for itself without the lock, in its timer's interrupt, and others set with it and
 * then interrupt that CPU: whichever comes last, it looks again at who is to run, with the lock.
 */
static bool is_nudge(uintptr_t a)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		struct runqueue *rq = &cpu_at(i)->rq;

		if (in_member(a, (uintptr_t)&rq->resched, sizeof(rq->resched)) ||
		    in_member(a, (uintptr_t)&rq->slice_end_ns, sizeof(rq->slice_end_ns)))
			return true;
	}
	return false;
}

/* ---- events ---------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static struct place *place_of(uint64_t key)
{
	unsigned i = (unsigned)((key * 0x9e3779b97f4a7c15ull) >> 50);

	for (;; i = (i + 1) % PLACES) {
		struct place *p = &m->places[i];

		if (p->run == m->run && p->key == key)
			return p;
		if (p->run != m->run) {
			*p = (struct place){ .key = key, .run = m->run };
			return p;
		}
	}
}

static struct seen *self_seen(void)
{
	return &m->cpu[host_self - host_cpus];
}

static void event_read(uint64_t key)
{
	struct seen *c = self_seen();
	struct place *p = place_of(key);

	c->hash = mix(mix(c->hash, key * 2), p->write);
	p->reads += c->hash;
	c->read[c->n_read++ % WATCHED] = key;
}

static void event_visible(uint64_t *hash, uint64_t key)
{
	struct place *p = place_of(key);

	*hash = mix(mix(mix(*hash, key * 2 + 1), p->write), p->reads);
	p->write = *hash;
	p->reads = 0;
	for (unsigned i = 0; i < host_nr_cpus; i++)
		if (m->cpu[i].spins && &m->cpu[i] != self_seen())
			for (unsigned k = 0; k < WATCHED; k++)
				if (m->cpu[i].read[k] == key)
					m->cpu[i].spins = false;
}

static void event_write(uint64_t key)
{
	event_visible(&self_seen()->hash, key);
}

/* Pseudo-places of the machine. */
static uint64_t key_ipi(unsigned cpu)
{
	return 0x1000 + cpu;
}

uint64_t memory_signature(void)
{
	uint64_t s = (uint64_t)(host_self - host_cpus);

	for (unsigned i = 0; i < host_nr_cpus; i++) {
		const struct seen *c = &m->cpu[i];

		s = mix(mix(s, c->hash), c->drained);
		s = mix(s, c->n * 4u + host_cpu_can_run(i) * 2u + c->spins);
	}
	return s;
}

bool memory_spins_in_vain(unsigned cpu)
{
	return m->cpu[cpu].spins;
}

void memory_forgive_spinners(void)
{
	for (unsigned i = 0; i < host_nr_cpus; i++)
		m->cpu[i].spins = false;
}

/* ---- store buffers --------------------------------------------------------------------------- */

static uint64_t value_at(uintptr_t a, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, (void *)a, size);
	return v;
}

static void visible(struct seen *c, const struct store *s)
{
	uint64_t hash = mix(c->drained, s->hash);

	event_visible(&hash, s->addr / 8);
	c->drained = hash;
}

static void take_back(struct seen *c)
{
	for (unsigned i = c->n; i-- > 0;) {
		struct store *s = &c->buffer[i];

		s->value = value_at(s->addr, s->size);
		memcpy((void *)s->addr, &s->old, s->size);
	}
}

static void apply(struct seen *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct store *s = &c->buffer[i];

		s->old = value_at(s->addr, s->size);
		memcpy((void *)s->addr, &s->value, s->size);
	}
}

/* A change is always the oldest store of its buffer. */
static bool has_change(const struct seen *c, uintptr_t addr)
{
	return c->n && c->buffer[0].change && c->buffer[0].addr / 8 == addr / 8;
}

static void forget(struct seen *c, unsigned at, unsigned n)
{
	c->n -= n;
	memmove(c->buffer + at, c->buffer + at + n, (c->n - at) * sizeof(c->buffer[0]));
}

/*
 * A write of the CPU that runs is to be visible at @addr: changes that others made there come
 * first, since nothing comes between their read and their write.
 */
static void drain_changes(uintptr_t addr)
{
	for (unsigned k = 0; k < host_nr_cpus; k++) {
		struct seen *c = &m->cpu[k];

		if (c == self_seen() || !has_change(c, addr))
			continue;
		take_back(self_seen());
		memcpy((void *)c->buffer[0].addr, &c->buffer[0].value, c->buffer[0].size);
		visible(c, &c->buffer[0]);
		forget(c, 0, 1);
		apply(self_seen());
	}
}

/* The CPU that runs: its first @n stores are seen by all. Memory has them already. */
static void drain(struct seen *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		drain_changes(c->buffer[i].addr);
		visible(c, &c->buffer[i]);
	}
	forget(c, 0, n);
}

void memory_drain(void)
{
	drain(self_seen(), self_seen()->n);
}

bool memory_is_whole(void)
{
	for (unsigned i = 0; i < host_nr_cpus; i++)
		if (m->cpu[i].n && &m->cpu[i] != self_seen())
			return false;
	return true;
}

unsigned memory_buffered(void)
{
	return self_seen()->n;
}

/*
 * May the newest store but @back be visible before older ones to other places? Not if it is a
 * release. Those to its own place go with it, in order.
 */
static bool may_overtake(const struct seen *c, unsigned back)
{
	const struct store *s;
	bool others = false;

	if (back + 1 >= c->n)
		return false;
	s = &c->buffer[c->n - 1 - back];
	if (s->release)
		return false;
	for (unsigned i = 0; i < c->n - 1 - back; i++) {
		bool same = c->buffer[i].addr / 8 == s->addr / 8;

		if (same && c->buffer[i].release && others)
			return false;
		others |= !same;
	}
	return others;
}

unsigned memory_overtakers(void)
{
	unsigned n = 0;

	while (n < OVERTAKERS && may_overtake(self_seen(), n))
		n++;
	return n;
}

void memory_overtake(unsigned back)
{
	struct seen *c = self_seen();
	unsigned at = c->n - 1 - back;
	uintptr_t addr = c->buffer[at].addr;

	drain_changes(addr);
	for (unsigned i = 0; i <= at;) {
		if (c->buffer[i].addr / 8 != addr / 8) {
			i++;
			continue;
		}
		visible(c, &c->buffer[i]);
		forget(c, i, 1);
		at--;
	}
}

/* Before the store itself. */
static void buffer_store(uintptr_t addr, unsigned size, bool release, bool change)
{
	struct seen *c = self_seen();

	if (c->n == BUFFER)
		drain(c, 1);
	c->hash = mix(c->hash, addr * 8 + size);
	c->buffer[c->n++] = (struct store){ .addr = addr,
					    .size = size,
					    .release = release,
					    .change = change,
					    .old = value_at(addr, size),
					    .hash = c->hash };
}

/* ---- races ----------------------------------------------------------------------------------- */

#define RACE_PLACES (1u << 15)
#define RACES_MAX   256

struct clock {
	uint32_t at[CPUS_MAX];
};

struct race_place {
	uintptr_t addr; /* of a byte */
	struct clock wrote, read;
	const void *wrote_pc[CPUS_MAX], *read_pc[CPUS_MAX];
	bool wrote_plain[CPUS_MAX], read_plain[CPUS_MAX];
	struct clock sync; /* of an atomic variable: what an acquire learns */
};

static struct {
	struct clock cpu[CPUS_MAX], ipi[CPUS_MAX], fence;
	struct race_place places[RACE_PLACES];
	unsigned found;
	const void *pairs[RACES_MAX][2];
} * races;

static unsigned self_index(void)
{
	return (unsigned)(host_self - host_cpus);
}

static void join(struct clock *into, const struct clock *other)
{
	for (unsigned i = 0; i < CPUS_MAX; i++)
		into->at[i] = MAX(into->at[i], other->at[i]);
}

static struct race_place *race_place(uintptr_t addr)
{
	unsigned i = (unsigned)((addr * 0x9e3779b97f4a7c15ull) >> 49);

	for (;; i = (i + 1) % RACE_PLACES) {
		if (races->places[i].addr == addr)
			return &races->places[i];
		if (!races->places[i].addr) {
			races->places[i].addr = addr;
			return &races->places[i];
		}
	}
}

static void race_found(const void *a, const void *b, uintptr_t addr)
{
	const void *first = a < b ? a : b, *second = a < b ? b : a;

	for (unsigned i = 0; i < races->found; i++)
		if (races->pairs[i][0] == first && races->pairs[i][1] == second)
			return;
	if (races->found == RACES_MAX)
		return;
	races->pairs[races->found][0] = first;
	races->pairs[races->found++][1] = second;
	printf("race: {%p} and {%p} at %#lx\n", first, second, (unsigned long)addr);
}

static void race_byte(uintptr_t addr, bool write, bool plain, const void *pc)
{
	struct race_place *p = race_place(addr);
	unsigned me = self_index();
	const struct clock *now = &races->cpu[me];

	for (unsigned i = 0; i < host_nr_cpus; i++) {
		if (i == me)
			continue;
		if (p->wrote.at[i] > now->at[i] &&
		    (plain || (p->wrote_plain[i] && (write || !is_guessed(addr)))))
			race_found(pc, p->wrote_pc[i], addr);
		if (write && p->read.at[i] > now->at[i] &&
		    (p->read_plain[i] || (plain && !is_guessed(addr))))
			race_found(pc, p->read_pc[i], addr);
	}
	(write ? &p->wrote : &p->read)->at[me] = now->at[me];
	(write ? p->wrote_pc : p->read_pc)[me] = pc;
	(write ? p->wrote_plain : p->read_plain)[me] = plain;
}

static void race_access(uintptr_t addr, size_t bytes, bool write, bool plain, const void *pc)
{
	for (size_t i = 0; i < bytes && !is_nudge(addr); i++)
		race_byte(addr + i, write, plain, pc);
}

static void race_release(struct clock *sync)
{
	join(sync, &races->cpu[self_index()]);
	races->cpu[self_index()].at[self_index()]++;
}

static void race_reset(void)
{
	memset(races, 0, offsetof(__typeof__(*races), found));
	for (unsigned i = 0; i < CPUS_MAX; i++)
		races->cpu[i].at[i] = 1;
}

unsigned memory_races(void)
{
	return races ? races->found : 0;
}

static bool races_on(void)
{
	return search_races;
}

/* ---- start ----------------------------------------------------------------------------------- */

void memory_init(uintptr_t from, uintptr_t to)
{
	memory_map(ARENA, ARENA_BYTES);
	memory_map(PAGES, PAGES_BYTES);
	memory_map(STACKS, STACKS_MAX * STACKS_EACH);
	m = (void *)(ARENA + ARENA_BYTES * 2);
	memory_map((uintptr_t)m, ALIGN_UP(sizeof(*m), 4096));
	m->from = from;
	m->to = to;
	m->arena_next = ARENA;
	races = (void *)(ARENA + ARENA_BYTES * 3);
	memory_map((uintptr_t)races, ALIGN_UP(sizeof(*races), 4096));
}

void memory_reset(void)
{
	m->run++;
	if (search_races)
		race_reset();
	memset(m->cpu, 0, sizeof(m->cpu));
}

/* ---- the machine's own events ---------------------------------------------------------------- */

void memory_note(enum host_note what, unsigned cpu, unsigned arg)
{
	struct seen *c = &m->cpu[cpu];

	switch (what) {
	case HOST_NOTE_GOTO:
		take_back(self_seen());
		apply(c);
		break;
	case HOST_NOTE_ASIDE:
		memory_drain();
		c->hash = mix(c->hash, 3);
		break;
	case HOST_NOTE_RELAX:
		memory_drain();
		c->spins = true;
		break;
	case HOST_NOTE_IPI_SEND:
		memory_drain();
		event_write(key_ipi(cpu));
		c->spins = false;
		if (races_on())
			race_release(&races->ipi[cpu]);
		break;
	case HOST_NOTE_INTERRUPT:
		c->hash = mix(c->hash, 5 + arg);
		if (arg)
			break;
		event_write(key_ipi(cpu));
		if (races_on())
			join(&races->cpu[cpu], &races->ipi[cpu]);
		break;
	case HOST_NOTE_TIME:
		memory_forgive_spinners();
		for (unsigned i = 0; i < host_nr_cpus; i++)
			m->cpu[i].hash = mix(m->cpu[i].hash, host_now_ns);
		break;
	}
}

static void trace(const char *what, uintptr_t a, unsigned size, const void *pc)
{
	printf("%5llu cpu %u %s %#lx = %llx at {%p}\n", (unsigned long long)host_steps(),
	       self_index(), what, (unsigned long)a, (unsigned long long)value_at(a, size), pc);
}

/* ---- plain accesses -------------------------------------------------------------------------- */

static void plain(void *a, size_t bytes, bool write, const void *pc)
{
	uintptr_t from = (uintptr_t)a;

	if (!search_on || !is_shared(from))
		return;
	if (write && is_peeked(from)) {
		if (search_tracing)
			trace("stores plainly to", from, (unsigned)MIN(bytes, 8ul), pc);
		search_yield();
	}
	if (races_on())
		race_access(from, bytes, write, true, pc);
	for (uintptr_t at = from; at < from + bytes;) {
		unsigned size = (unsigned)MIN(8 - at % 8, from + bytes - at);

		if (!write)
			event_read(at / 8);
		else if (search_weak)
			drain_changes(at), buffer_store(at, size, false, false);
		else
			event_write(at / 8);
		at += size;
	}
}

#define PLAIN(n)                                                 \
	void __tsan_read##n(void *a);                            \
	void __tsan_write##n(void *a);                           \
	void __tsan_unaligned_read##n(void *a);                  \
	void __tsan_unaligned_write##n(void *a);                 \
	void __tsan_read##n(void *a)                             \
	{                                                        \
		plain(a, n, false, __builtin_return_address(0)); \
	}                                                        \
	void __tsan_write##n(void *a)                            \
	{                                                        \
		plain(a, n, true, __builtin_return_address(0));  \
	}                                                        \
	void __tsan_unaligned_read##n(void *a)                   \
	{                                                        \
		plain(a, n, false, __builtin_return_address(0)); \
	}                                                        \
	void __tsan_unaligned_write##n(void *a)                  \
	{                                                        \
		plain(a, n, true, __builtin_return_address(0));  \
	}

PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_read_range(void *a, size_t bytes);
void __tsan_write_range(void *a, size_t bytes);
void __tsan_atomic_thread_fence(int order);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
	(void)pc;
}

void __tsan_func_exit(void)
{
}

void __tsan_read_range(void *a, size_t bytes)
{
	plain(a, bytes, false, __builtin_return_address(0));
}

void __tsan_write_range(void *a, size_t bytes)
{
	plain(a, bytes, true, __builtin_return_address(0));
}

/* ---- atomic accesses ------------------------------------------------------------------------- */

static bool is_acquire(int order)
{
	return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool is_release(int order)
{
	return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static void race_atomic(uintptr_t a, unsigned size, bool write, int order, const void *pc)
{
	struct clock *sync = &race_place(a)->sync;

	race_access(a, size, write, false, pc);
	if (is_acquire(order))
		join(&races->cpu[self_index()], sync);
	if (write && is_release(order))
		race_release(sync);
}

/* Before any atomic access: others may go first. True: it is to be taken down. */
static bool before(uintptr_t a, unsigned size, const char *what, bool yields, bool writes,
		   const void *pc)
{
	if (!search_on || !is_shared(a))
		return false;
	if (yields)
		search_yield();
	if (search_weak && writes)
		drain_changes(a);
	if (search_tracing)
		trace(what, a, size, pc);
	return true;
}

/* spin_held(), which asks about this CPU itself, is the one 16-bit relaxed load: no yield. */
static void before_load(uintptr_t a, unsigned size, int order, const void *pc)
{
	if (!before(a, size, "loads", size != 2 || order != __ATOMIC_RELAXED, false, pc))
		return;
	if (races_on())
		race_atomic(a, size, false, order, pc);
	event_read(a / 8);
}

static void before_store(uintptr_t a, unsigned size, int order, const void *pc)
{
	if (!before(a, size, "stores to", true, true, pc))
		return;
	if (races_on())
		race_atomic(a, size, true, order, pc);
	if (order == __ATOMIC_SEQ_CST)
		memory_drain();
	if (search_weak)
		buffer_store(a, size, is_release(order), false);
	else
		event_write(a / 8);
}

/* It reads what is there now; what it writes may be seen later, but all before it is seen now. */
static void change_buffered(uintptr_t a, unsigned size, bool release)
{
	memory_drain();
	event_read(a / 8);
	buffer_store(a, size, release, true);
}

/* After the yield, before the operation, which is one step with it. @writes: it will succeed. */
static void before_change(uintptr_t a, unsigned size, int order, bool writes, const void *pc)
{
	if (races_on())
		race_atomic(a, size, writes, writes ? order : __ATOMIC_RELAXED, pc);
	if (!writes)
		event_read(a / 8);
	else if (search_weak && order != __ATOMIC_SEQ_CST)
		change_buffered(a, size, is_release(order));
	else
		event_write(a / 8);
}

/* Relaxed loads and stores: the compiler tells before the access. */
#define RELAXED(n)                                                                            \
	void __tsan_volatile_read##n(void *a);                                                \
	void __tsan_volatile_read##n(void *a)                                                 \
	{                                                                                     \
		before_load((uintptr_t)a, n, __ATOMIC_RELAXED, __builtin_return_address(0));  \
	}                                                                                     \
	void __tsan_volatile_write##n(void *a);                                               \
	void __tsan_volatile_write##n(void *a)                                                \
	{                                                                                     \
		before_store((uintptr_t)a, n, __ATOMIC_RELAXED, __builtin_return_address(0)); \
	}

RELAXED(1)
RELAXED(2)
RELAXED(4)
RELAXED(8)

void __tsan_atomic_thread_fence(int order)
{
	if (!search_on)
		return;
	search_yield();
	memory_drain();
	self_seen()->hash = mix(self_seen()->hash, 7);
	if (races_on() && order == __ATOMIC_SEQ_CST) {
		join(&races->cpu[self_index()], &races->fence);
		race_release(&races->fence);
	}
}

#define PC __builtin_return_address(0)

#define CHANGE(n, type, name, op)                                                   \
	type __tsan_atomic##n##_##name(volatile type *a, type v, int order);        \
	type __tsan_atomic##n##_##name(volatile type *a, type v, int order)         \
	{                                                                           \
		type old;                                                           \
                                                                                    \
		if (before((uintptr_t)a, sizeof(type), #name, true, true, PC))      \
			before_change((uintptr_t)a, sizeof(type), order, true, PC); \
		old = *a;                                                           \
		*a = (type)(op);                                                    \
		return old;                                                         \
	}

#define ATOMIC(n, type)                                                                          \
	type __tsan_atomic##n##_load(const volatile type *a, int order);                         \
	void __tsan_atomic##n##_store(volatile type *a, type v, int order);                      \
	int __tsan_atomic##n##_compare_exchange_strong(volatile type *a, type *expected, type v, \
						       int order, int failed);                   \
	type __tsan_atomic##n##_load(const volatile type *a, int order)                          \
	{                                                                                        \
		before_load((uintptr_t)a, sizeof(type), order, PC);                              \
		return *a;                                                                       \
	}                                                                                        \
	void __tsan_atomic##n##_store(volatile type *a, type v, int order)                       \
	{                                                                                        \
		before_store((uintptr_t)a, sizeof(type), order, PC);                             \
		*a = v;                                                                          \
	}                                                                                        \
	int __tsan_atomic##n##_compare_exchange_strong(volatile type *a, type *expected, type v, \
						       int order, int failed)                    \
	{                                                                                        \
		(void)failed;                                                                    \
		if (before((uintptr_t)a, sizeof(type), "cas", true, true, PC))                   \
			before_change((uintptr_t)a, sizeof(type), order, *a == *expected, PC);   \
		if (*a != *expected) {                                                           \
			*expected = *a;                                                          \
			return 0;                                                                \
		}                                                                                \
		*a = v;                                                                          \
		return 1;                                                                        \
	}                                                                                        \
	CHANGE(n, type, exchange, v)                                                             \
	CHANGE(n, type, fetch_add, old + v)                                                      \
	CHANGE(n, type, fetch_sub, old - v)                                                      \
	CHANGE(n, type, fetch_or, old | v)                                                       \
	CHANGE(n, type, fetch_and, old &v)                                                       \
	CHANGE(n, type, fetch_xor, old ^ v)

ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)
