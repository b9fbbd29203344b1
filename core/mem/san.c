/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run-time half of the two sanitizers of builds with SAN=1; compiled without them itself.
 *
 * Address sanitizer: the compiler calls __asan_load8_noabort() and its like before each access. One
 * shadow byte stands for eight bytes of memory: 0 all may be touched, 1..7 only so many from the
 * first, else an enum san_kind. Shadow comes in blocks that each stand for 2 MiB and is found by a
 * table of two levels; memory that has none is not tracked: the image, device registers, and
 * everything before san_start(). Tracked are pages of the direct map, thread stacks and the heap.
 *
 * Undefined behaviour: the compiler has seen it and calls __ubsan_handle_...() with the place and
 * the values.
 *
 * Callers: any code, any context, any lock held: checks read the shadow and nothing else. Every
 * finding is a panic (but one: a plain access by NULL faults anyway), and from the first one on
 * checks are off, so that the report can read what it must. Blocks of shadow are added by
 * compare-and-swap and never taken away. What may never happen: instrumented code called from a
 * check that passes.
 */
#include "core/mem/san.h"
#include "core/atomic.h"
#include "core/mem/page.h"
#include "core/panic.h"
#include "core/print.h"

#define BLOCK_SHIFT  21
#define BLOCK_BYTES  (1ul << BLOCK_SHIFT)
#define BLOCK_ORDER  6 /* pages of shadow for a block: BLOCK_BYTES / 8 */
#define LEAF_ENTRIES (PAGE_SIZE / sizeof(uint8_t *))
#define LEAF_SHIFT   (BLOCK_SHIFT + 9)
#define ROOT_ENTRIES ((1ul << 38) >> LEAF_SHIFT) /* from DIRECT_MAP_BASE to the end of addresses */
#define HEAP_SCAN    (1ul << 20)                 /* how far a report looks for the heap block */

_Static_assert(LEAF_ENTRIES == 1ul << (LEAF_SHIFT - BLOCK_SHIFT), "a leaf is a page");
_Static_assert(PAGE_SIZE << BLOCK_ORDER == BLOCK_BYTES / 8, "one byte of shadow for eight");

typedef uint8_t *leaf_t[LEAF_ENTRIES];

static leaf_t *shadow_root[ROOT_ENTRIES]; /* [a] */
static bool checks_off;                   /* a report is being made */

void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int byte, size_t n);
int __real_memcmp(const void *a, const void *b, size_t n);
size_t __real_strlen(const char *s);

/* ---- shadow ---------------------------------------------------------------------------------- */

/* NULL: @va is not tracked. */
static inline uint8_t *shadow_of(uintptr_t va)
{
	uintptr_t offset = va - DIRECT_MAP_BASE;
	leaf_t *leaf;
	uint8_t *block;

	if (va < DIRECT_MAP_BASE)
		return NULL;
	leaf = __atomic_load_n(&shadow_root[offset >> LEAF_SHIFT], __ATOMIC_RELAXED);
	if (!leaf)
		return NULL;
	block = __atomic_load_n(&(*leaf)[(offset >> BLOCK_SHIFT) % LEAF_ENTRIES], __ATOMIC_RELAXED);
	return block ? &block[(offset & (BLOCK_BYTES - 1)) / 8] : NULL;
}

static leaf_t *leaf_make(uintptr_t va)
{
	leaf_t **at = &shadow_root[(va - DIRECT_MAP_BASE) >> LEAF_SHIFT],
	       *leaf = atomic_load_acquire(at), *none = NULL;

	if (leaf)
		return leaf;
	leaf = page_alloc_zero(0);
	if (leaf && !atomic_cas_acq_rel(at, &none, leaf)) {
		page_free(leaf, 0);
		return none;
	}
	return leaf;
}

static int block_make(uintptr_t va)
{
	leaf_t *leaf = leaf_make(va);
	uint8_t **at, *block, *none = NULL;

	if (!leaf)
		return -ENOMEM;
	at = &(*leaf)[((va - DIRECT_MAP_BASE) >> BLOCK_SHIFT) % LEAF_ENTRIES];
	if (atomic_load_acquire(at))
		return 0;
	block = page_alloc_zero(BLOCK_ORDER);
	if (!block)
		return -ENOMEM;
	if (!atomic_cas_acq_rel(at, &none, block))
		page_free(block, BLOCK_ORDER);
	return 0;
}

int san_cover(uintptr_t va, size_t bytes)
{
	int err = 0;

	for (uintptr_t at = ALIGN_DOWN(va, BLOCK_BYTES); at < va + bytes && !err; at += BLOCK_BYTES)
		err = block_make(at);
	return err;
}

/* @n granules of eight bytes from @va. */
static void shadow_fill(uintptr_t va, size_t n, uint8_t value)
{
	while (n) {
		size_t here = MIN(n, (BLOCK_BYTES - (va & (BLOCK_BYTES - 1))) / 8);
		uint8_t *shadow = shadow_of(va);

		if (shadow)
			__real_memset(shadow, value, here);
		va += here * 8;
		n -= here;
	}
}

void san_poison(const void *va, size_t bytes, enum san_kind kind)
{
	shadow_fill((uintptr_t)va, (bytes + 7) / 8, (uint8_t)kind);
}

void san_unpoison(const void *va, size_t bytes)
{
	shadow_fill((uintptr_t)va, bytes / 8, 0);
	if (bytes % 8)
		shadow_fill((uintptr_t)va + bytes / 8 * 8, 1, (uint8_t)(bytes % 8));
}

/* Takes every free page, largest blocks first, and frees it again: that poisons it. */
void san_start(void)
{
	struct taken {
		struct taken *next;
		unsigned order;
	} *taken = NULL, *block;

	for (unsigned order = PAGE_MAX_ORDER + 1; order-- > 0;)
		while ((block = page_alloc(order))) {
			*block = (struct taken){ taken, order };
			taken = block;
		}
	while ((block = taken)) {
		taken = block->next;
		page_free(block, block->order);
	}
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* How many of the granule's eight bytes may be touched. */
static inline unsigned granule_bytes(uint8_t shadow, bool library)
{
	if (!shadow || (library && shadow == SAN_HEAP_RETURNED))
		return 8;
	return shadow < 8 ? shadow : 0;
}

/*
 * The first byte of [va, end) that must not be touched; @end: none. @library: perhaps by the C
 * library's allocator.
 */
static inline uintptr_t first_bad(uintptr_t va, uintptr_t end, bool library)
{
	while (va < end) {
		const uint8_t *shadow = shadow_of(va);
		uintptr_t limit = ALIGN_DOWN(va, 8);

		if (!shadow) {
			va = ALIGN_DOWN(va, BLOCK_BYTES) + BLOCK_BYTES;
			if (!va)
				break; /* the last block there is */
			continue;
		}
		if (!(va % 64) && end - va >= 64 &&
		    !*(const uint64_t __attribute__((may_alias)) *)shadow) {
			va += 64;
			continue;
		}
		limit += granule_bytes(*shadow, library);
		if (limit < MIN(end, ALIGN_DOWN(va, 8) + 8))
			return MAX(va, limit);
		va = ALIGN_DOWN(va, 8) + 8;
	}
	return end;
}

static uint8_t kind_at(uintptr_t va)
{
	const uint8_t *shadow = shadow_of(va);

	return shadow ? *shadow : 0;
}

/*
 * The heap block that @va lies in, behind or before: the nearest red zone that ends below, or the
 * one it is in.
 */
static const struct san_heap_block *heap_block_near(uintptr_t va)
{
	uintptr_t stop = MAX(va - HEAP_SCAN, HEAP_AREA_BASE);

	va = ALIGN_DOWN(va, 8);
	while (kind_at(va) != SAN_HEAP_BEFORE) {
		if (va <= stop)
			return NULL;
		va -= 8;
	}
	while (kind_at(va) == SAN_HEAP_BEFORE)
		va += 8;
	return (const struct san_heap_block *)va - 1;
}

static const char *kind_text(uint8_t kind)
{
	switch (kind) {
	case SAN_FREED_PAGE:
	case SAN_FREED_STACK:
	case SAN_FREED_HEAP:
	case SAN_HEAP_RETURNED:
		return "use after free";
	case SAN_HEAP_BEFORE:
	case SAN_HEAP_AFTER:
		return "out of bounds";
	}
	return "bad access";
}

static __cold __noreturn void report_heap(const char *head, const struct san_heap_block *block,
					  uintptr_t bad)
{
	uintptr_t start = (uintptr_t)(block + 1);
	char by[64], freed[64];

	symbol_name(block->allocated_by, by, sizeof(by));
	if (block->freed_by)
		panic("%s\n  byte %ld of %zu, allocated by %s, freed by %s", head,
		      (long)(bad - start), block->bytes, by,
		      symbol_name(block->freed_by, freed, sizeof(freed)));
	panic("%s\n  byte %ld of %zu, allocated by %s", head, (long)(bad - start), block->bytes,
	      by);
}

/* Where it is no block of the heap. */
static const char *where_text(uint8_t kind)
{
	switch (kind) {
	case SAN_FREED_PAGE:
		return "in a page that is free";
	case SAN_FREED_STACK:
		return "in the stack of a thread that is gone";
	}
	return "in free memory of the heap";
}

static __cold __noreturn void report(uintptr_t va, size_t bytes, uintptr_t bad, bool write,
				     uintptr_t pc)
{
	const struct san_heap_block *block = NULL;
	uint8_t kind = kind_at(bad);
	char head[192], by[64];

	checks_off = true;
	if (kind < 8)
		/* behind the end of a block that does not end with a granule */
		kind = kind_at(bad + 8);
	fmt_buf(head, sizeof(head), "kasan: %s, %s of %zu byte%s at 0x%lx by %s", kind_text(kind),
		write ? "write" : "read", bytes, bytes == 1 ? "" : "s", (unsigned long)va,
		symbol_name(pc, by, sizeof(by)));
	if (kind == SAN_HEAP_BEFORE || kind == SAN_HEAP_AFTER || kind == SAN_FREED_HEAP)
		block = heap_block_near(bad);
	if (block)
		report_heap(head, block, bad);
	panic("%s\n  %s", head, where_text(kind));
}

static inline void check_for(uintptr_t va, size_t bytes, bool write, uintptr_t pc, bool library)
{
	uintptr_t bad;

	if (unlikely(checks_off) || va + bytes < va)
		return; /* one that goes around the end of addresses faults by itself */
	bad = first_bad(va, va + bytes, library);
	if (unlikely(bad != va + bytes))
		report(va, bytes, bad, write, pc);
}

static void check(uintptr_t va, size_t bytes, bool write, uintptr_t pc)
{
	check_for(va, bytes, write, pc, false);
}

#define CALLER ((uintptr_t)__builtin_return_address(0))

#define ASAN_ACCESS(n)                                \
	void __asan_load##n##_noabort(uintptr_t va);  \
	void __asan_store##n##_noabort(uintptr_t va); \
	void __asan_load##n##_noabort(uintptr_t va)   \
	{                                             \
		check(va, n, false, CALLER);          \
	}                                             \
	void __asan_store##n##_noabort(uintptr_t va)  \
	{                                             \
		check(va, n, true, CALLER);           \
	}

ASAN_ACCESS(1)
ASAN_ACCESS(2)
ASAN_ACCESS(4)
ASAN_ACCESS(8)
ASAN_ACCESS(16)

void __asan_loadN_noabort(uintptr_t va, size_t bytes);
void __asan_storeN_noabort(uintptr_t va, size_t bytes);
void __asan_handle_no_return(void);

void __asan_loadN_noabort(uintptr_t va, size_t bytes)
{
	check(va, bytes, false, CALLER);
}

void __asan_storeN_noabort(uintptr_t va, size_t bytes)
{
	check(va, bytes, true, CALLER);
}

/* Stack frames are not tracked. */
void __asan_handle_no_return(void)
{
}

/* ---- functions of core/string.c: the linker puts these in front (--wrap) --------------------- */

void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memset(void *to, int byte, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
size_t __wrap_strlen(const char *s);

static void check_string(uintptr_t va, size_t bytes, bool write, uintptr_t pc)
{
	check_for(va, bytes, write, pc, true);
}

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	check_string((uintptr_t)from, n, false, CALLER);
	check_string((uintptr_t)to, n, true, CALLER);
	return __real_memcpy(to, from, n);
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
	check_string((uintptr_t)from, n, false, CALLER);
	check_string((uintptr_t)to, n, true, CALLER);
	return __real_memmove(to, from, n);
}

void *__wrap_memset(void *to, int byte, size_t n)
{
	check_string((uintptr_t)to, n, true, CALLER);
	return __real_memset(to, byte, n);
}

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	check_string((uintptr_t)a, n, false, CALLER);
	check_string((uintptr_t)b, n, false, CALLER);
	return __real_memcmp(a, b, n);
}

size_t __wrap_strlen(const char *s)
{
	size_t n = __real_strlen(s);

	check_string((uintptr_t)s, n + 1, false, CALLER);
	return n;
}

/* ---- undefined behaviour --------------------------------------------------------------------- */

/* What the compiler hands over; the names are its run-time library's. */
struct place {
	const char *file;
	uint32_t line, column;
};

enum { TYPE_INTEGER, TYPE_FLOAT };

struct type {
	uint16_t kind;
	uint16_t info; /* of an integer: bit 0 signed, the rest log2 of its bits */
	char name[];   /* in quotes */
};

struct overflow_data {
	struct place place;
	const struct type *type;
};

struct shift_data {
	struct place place;
	const struct type *left, *right;
};

struct bounds_data {
	struct place place;
	const struct type *array, *index;
};

struct cast_data {
	struct place place;
	const struct type *from, *to;
};

struct mismatch_data {
	struct place place;
	const struct type *type;
	uint8_t log_alignment;
	uint8_t access; /* index into access_text */
};

struct conversion_data {
	struct place place;
	const struct type *from, *to;
	uint8_t kind;
};

struct argument_data {
	struct place place, attribute;
	int argument;
};

struct return_data {
	struct place attribute;
};

struct builtin_data {
	struct place place;
	uint8_t kind; /* 0: ctz, 1: clz */
};

static const char *const access_text[] = {
	"load of",
	"store to",
	"reference to",
	"member access within",
	"member call on",
	"constructor call on",
	"downcast of",
	"downcast of",
	"upcast of",
	"cast to virtual base of",
	"nonnull binding to",
	"dynamic operation on",
};

#define ACCESS_STORE 1 /* and 0 a load */
#define VALUE_BYTES  48

/* Integers of up to 64 bits lie in @value itself, wider ones where it points. */
static const char *value_text(const struct type *type, uintptr_t value, char *buf)
{
	unsigned bits = 1u << (type->info >> 1);

	if (type->kind != TYPE_INTEGER)
		fmt_buf(buf, VALUE_BYTES, "bits 0x%lx", (unsigned long)value);
	else if (bits > 64)
		fmt_buf(buf, VALUE_BYTES, "0x%lx%016lx", ((const unsigned long *)value)[1],
			((const unsigned long *)value)[0]);
	else if (type->info & 1)
		fmt_buf(buf, VALUE_BYTES, "%ld", (long)(value << (64 - bits)) >> (64 - bits));
	else
		fmt_buf(buf, VALUE_BYTES, "%lu",
			(unsigned long)(value << (64 - bits) >> (64 - bits)));
	return buf;
}

static __cold __noreturn __printf_like(2, 3) void ubsan_report(const struct place *place,
							       const char *fmt, ...)
{
	char text[192];
	va_list ap;

	checks_off = true;
	va_start(ap, fmt);
	fmt_vbuf(text, sizeof(text), fmt, ap);
	va_end(ap);
	panic("ubsan: %s\n  at %s:%u:%u", text, place->file, (unsigned)place->line,
	      (unsigned)place->column);
}

/* Prototype and head of a handler. */
#define UBSAN(name, ...)                                           \
	__cold __noreturn void __ubsan_handle_##name(__VA_ARGS__); \
	void __ubsan_handle_##name(__VA_ARGS__)

static __cold __noreturn void overflow(const struct overflow_data *d, uintptr_t a, const char *op,
				       uintptr_t b)
{
	char left[VALUE_BYTES], right[VALUE_BYTES];

	ubsan_report(&d->place, "integer overflow: %s %s %s in type %s",
		     value_text(d->type, a, left), op, value_text(d->type, b, right),
		     d->type->name);
}

UBSAN(add_overflow, const struct overflow_data *d, uintptr_t a, uintptr_t b)
{
	overflow(d, a, "+", b);
}

UBSAN(sub_overflow, const struct overflow_data *d, uintptr_t a, uintptr_t b)
{
	overflow(d, a, "-", b);
}

UBSAN(mul_overflow, const struct overflow_data *d, uintptr_t a, uintptr_t b)
{
	overflow(d, a, "*", b);
}

UBSAN(divrem_overflow, const struct overflow_data *d, uintptr_t a, uintptr_t b)
{
	char left[VALUE_BYTES], right[VALUE_BYTES];

	ubsan_report(&d->place, "division: %s / %s in type %s", value_text(d->type, a, left),
		     value_text(d->type, b, right), d->type->name);
}

UBSAN(negate_overflow, const struct overflow_data *d, uintptr_t a)
{
	char text[VALUE_BYTES];

	ubsan_report(&d->place, "integer overflow: -(%s) in type %s", value_text(d->type, a, text),
		     d->type->name);
}

UBSAN(pointer_overflow, const struct place *place, uintptr_t base, uintptr_t result)
{
	ubsan_report(place, "pointer overflow: 0x%lx became 0x%lx", (unsigned long)base,
		     (unsigned long)result);
}

UBSAN(shift_out_of_bounds, const struct shift_data *d, uintptr_t a, uintptr_t b)
{
	char left[VALUE_BYTES], right[VALUE_BYTES];

	ubsan_report(&d->place, "shift: %s of type %s by %s", value_text(d->left, a, left),
		     d->left->name, value_text(d->right, b, right));
}

UBSAN(out_of_bounds, const struct bounds_data *d, uintptr_t index)
{
	char text[VALUE_BYTES];

	ubsan_report(&d->place, "index %s out of bounds of type %s",
		     value_text(d->index, index, text), d->array->name);
}

UBSAN(vla_bound_not_positive, const struct overflow_data *d, uintptr_t bound)
{
	char text[VALUE_BYTES];

	ubsan_report(&d->place, "array of %s elements", value_text(d->type, bound, text));
}

/* -fsanitize=undefined leaves this and the next one out; for who adds them. */
UBSAN(float_cast_overflow, const struct cast_data *d, uintptr_t from)
{
	char text[VALUE_BYTES];

	ubsan_report(&d->place, "%s of type %s does not fit type %s",
		     value_text(d->from, from, text), d->from->name, d->to->name);
}

UBSAN(implicit_conversion, const struct conversion_data *d, uintptr_t from, uintptr_t to)
{
	char left[VALUE_BYTES], right[VALUE_BYTES];

	ubsan_report(&d->place, "%s of type %s became %s of type %s",
		     value_text(d->from, from, left), d->from->name, value_text(d->to, to, right),
		     d->to->name);
}

UBSAN(load_invalid_value, const struct overflow_data *d, uintptr_t value)
{
	char text[VALUE_BYTES];

	ubsan_report(&d->place, "%s is no value of type %s", value_text(d->type, value, text),
		     d->type->name);
}

__cold void __ubsan_handle_type_mismatch_v1(const struct mismatch_data *d, uintptr_t va);

/* A load or store by a NULL pointer is left to the hardware, whose report has the registers. */
void __ubsan_handle_type_mismatch_v1(const struct mismatch_data *d, uintptr_t va)
{
	const char *what = access_text[MIN((size_t)d->access, ARRAY_SIZE(access_text) - 1)];

	if (!va && d->access <= ACCESS_STORE)
		return;
	if (!va)
		ubsan_report(&d->place, "NULL dereference: %s type %s", what, d->type->name);
	if (va & ((1ul << d->log_alignment) - 1))
		ubsan_report(&d->place, "misaligned: %s type %s at 0x%lx", what, d->type->name,
			     (unsigned long)va);
	ubsan_report(&d->place, "object too small: %s type %s at 0x%lx", what, d->type->name,
		     (unsigned long)va);
}

UBSAN(alignment_assumption, const struct overflow_data *d, uintptr_t va, uintptr_t alignment,
      uintptr_t offset)
{
	ubsan_report(&d->place, "0x%lx is not %lu-aligned at offset %lu", (unsigned long)va,
		     (unsigned long)alignment, (unsigned long)offset);
}

UBSAN(nonnull_arg, const struct argument_data *d)
{
	ubsan_report(&d->place, "argument %d must not be NULL", d->argument);
}

UBSAN(nullability_arg, const struct argument_data *d)
{
	ubsan_report(&d->place, "argument %d must not be NULL", d->argument);
}

UBSAN(nonnull_return_v1, const struct return_data *d, const struct place *place)
{
	(void)d;
	ubsan_report(place, "NULL returned where it must not be");
}

UBSAN(nullability_return_v1, const struct return_data *d, const struct place *place)
{
	(void)d;
	ubsan_report(place, "NULL returned where it must not be");
}

UBSAN(builtin_unreachable, const struct place *place)
{
	ubsan_report(place, "unreachable code reached");
}

UBSAN(missing_return, const struct place *place)
{
	ubsan_report(place, "end of a function that returns a value");
}

UBSAN(invalid_builtin, const struct builtin_data *d)
{
	ubsan_report(&d->place, "%s of 0", d->kind ? "clz" : "ctz");
}

UBSAN(function_type_mismatch, const struct overflow_data *d, uintptr_t function)
{
	char name[64];

	ubsan_report(&d->place, "call of %s as type %s", symbol_name(function, name, sizeof(name)),
		     d->type->name);
}
