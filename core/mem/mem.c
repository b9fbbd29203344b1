/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the device tree to memory that can be used. Two lists are made first: RAM (the memory nodes,
 * sorted and merged) and what must not be touched (image, device tree, reserved-memory, memory
 * reservation block). Then the RAM is walked in pieces that end where a region of the second list
 * begins or ends:
 *
 *   free               mapped writable, given to the page allocator
 *   reserved           mapped writable: devices and firmware talk to us there
 *   reserved, no-map   not mapped: a speculative access may be an error
 *   device tree        mapped read-only, also where it does not lie in RAM
 *   image              not mapped: text must not be writable under a second address
 *
 * The tree is read before the first change to the direct map, because the boot window through which
 * it is read goes.
 *
 * Callers: the boot CPU, once, alone; no lock but those inside vm_map() and page_add_range(). What
 * may never happen: a page of the image, of the tree or of a reservation in the allocator; memory
 * lost without a line that says so.
 */
#include "core/console.h"
#include "core/fdt.h"
#include "core/mem/mem.h"
#include "core/mem/san.h"
#include "core/print.h"
#include "core/string.h"

#define RAM_MAX      64
#define REGION_MAX   128
#define BLOCK_BYTES  (1ul << 21) /* boot code maps the tree in blocks of this size */
#define GIB          (1ull << 30)
#define FIRST_ENOUGH (16ul << 20) /* in the allocator: enough for all further tables */

/* In order of precedence where regions overlap. */
enum region_kind { REGION_FREE, REGION_RESERVED, REGION_NOMAP, REGION_TREE, REGION_IMAGE };

/* All of this file's data is used by mem_init() only. */
struct region {
	pa_t start, end;
	enum region_kind kind;
};

static struct region ram_table[RAM_MAX]; /* apart from each other */
static unsigned ram_count;
static struct region region_table[REGION_MAX];
static unsigned region_count;
static char why_text[160];

#define FAIL(err, ...) (fmt_buf(why_text, sizeof(why_text), __VA_ARGS__), (err))

/* ---- the two lists --------------------------------------------------------------------------- */

/* Ranges that touch or overlap become one. */
static bool ram_insert(pa_t start, pa_t end)
{
	for (struct region *r = ram_table + ram_count; r-- > ram_table;)
		if (r->start <= end && r->end >= start) {
			start = MIN(start, r->start);
			end = MAX(end, r->end);
			*r = ram_table[--ram_count];
		}
	if (ram_count == RAM_MAX)
		return false;
	ram_table[ram_count++] = (struct region){ .start = start, .end = end };
	return true;
}

static void ram_unused(pa_t start, pa_t end, const char *reason)
{
	printk("memory: 0x%llx..0x%llx stays unused: %s\n", (unsigned long long)start,
	       (unsigned long long)end - 1, reason);
}

/* One entry of a memory node, less what cannot be used of it. */
static void ram_add(pa_t start, uint64_t bytes)
{
	pa_t end = start + bytes;

	if (end > DIRECT_MAP_BYTES) {
		ram_unused(MAX(start, (pa_t)DIRECT_MAP_BYTES), end,
			   "above the 128 GiB that the kernel maps");
		end = DIRECT_MAP_BYTES;
	}
	if (start < end && !ram_insert(start, end))
		ram_unused(start, end, "more than 64 separate ranges of memory");
}

/* Whole pages: a page that is reserved in part is reserved. */
static int region_add(pa_t start, uint64_t bytes, enum region_kind kind)
{
	pa_t end = start + bytes < start || start + bytes > DIRECT_MAP_BYTES ? DIRECT_MAP_BYTES :
									       start + bytes;

	if (!bytes || start >= DIRECT_MAP_BYTES)
		return 0;
	if (region_count == REGION_MAX)
		return FAIL(-EINVAL, "more than %d reserved regions of memory", REGION_MAX);
	region_table[region_count++] = (struct region){
		.start = ALIGN_DOWN(start, PAGE_SIZE),
		.end = ALIGN_UP(end, PAGE_SIZE),
		.kind = kind,
	};
	return 0;
}

/* What lies at @pa, and in *end (in and out) up to where nothing changes. */
static enum region_kind region_at(pa_t pa, pa_t *end)
{
	enum region_kind kind = REGION_FREE;

	for (const struct region *r = region_table; r < region_table + region_count; r++) {
		if (r->end <= pa)
			continue;
		if (r->start <= pa)
			kind = MAX(kind, r->kind);
		*end = MIN(*end, r->start <= pa ? r->end : r->start);
	}
	return kind;
}

/* ---- what the tree says ---------------------------------------------------------------------- */

static bool is_memory_node(const struct dt *dt, int node)
{
	const char *name = dt_name(dt, node), *type = dt_string(dt, node, "device_type");
	bool named = !strncmp(name, "memory", 6) && (!name[6] || name[6] == '@');

	return (named || (type && !strcmp(type, "memory"))) && dt_status_ok(dt, node);
}

static int read_memory_node(const struct dt *dt, int node)
{
	uint64_t addr, bytes;
	int err, i = 0;

	while (!(err = dt_reg(dt, node, i, &addr, &bytes))) {
		ram_add(addr, bytes);
		i++;
	}
	if (err == -ENOENT && i)
		return 0;
	return FAIL(-EINVAL, "memory node /%s: %s", dt_name(dt, node),
		    err == -ENOENT ? "no reg" : "malformed reg");
}

static int read_memory_nodes(const struct dt *dt)
{
	bool found = false;

	for (int node = dt_first_child(dt, dt_root(dt)); node >= 0;
	     node = dt_next_sibling(dt, node)) {
		int err = is_memory_node(dt, node) ? read_memory_node(dt, node) : -ENOENT;

		if (err && err != -ENOENT)
			return err;
		found |= !err;
	}
	if (!found)
		return FAIL(-EINVAL, "no memory node");
	return ram_count ? 0 : FAIL(-EINVAL, "the memory nodes are empty");
}

/* A child without reg asks for memory anywhere; nobody here serves that, so it has none. */
static int read_reserved_node(const struct dt *dt, int node)
{
	int map_len, err;
	uint64_t addr, bytes;

	dt_prop(dt, node, "no-map", &map_len);
	for (int i = 0; !(err = dt_reg_raw(dt, node, i, &addr, &bytes)); i++) {
		err = region_add(addr, bytes, map_len < 0 ? REGION_RESERVED : REGION_NOMAP);
		if (err)
			return err;
	}
	if (err != -ENOENT)
		return FAIL(-EINVAL, "node /reserved-memory/%s: malformed reg", dt_name(dt, node));
	return 0;
}

static int read_reservations(const struct dt *dt)
{
	int node = dt_first_child(dt, dt_path_node(dt, "/reserved-memory")), err = 0;
	uint64_t addr, bytes;

	for (; node >= 0 && !err; node = dt_next_sibling(dt, node))
		if (dt_status_ok(dt, node))
			err = read_reserved_node(dt, node);
	for (int i = 0; !err && !dt_memreserve(dt, i, &addr, &bytes); i++)
		err = region_add(addr, bytes, REGION_RESERVED);
	return err;
}

static int reserve_image_and_tree(pa_t fdt_pa, size_t fdt_bytes)
{
	pa_t image_pa = arch_pa(image_start);
	size_t image_bytes = (size_t)(IMAGE_END_FAR - image_start);
	int err;

	if (fdt_pa < image_pa + image_bytes && image_pa < fdt_pa + fdt_bytes)
		return FAIL(-EINVAL, "device tree at 0x%llx overlaps the image at 0x%llx..0x%llx",
			    (unsigned long long)fdt_pa, (unsigned long long)image_pa,
			    (unsigned long long)image_pa + image_bytes - 1);
	err = region_add(image_pa, image_bytes, REGION_IMAGE);
	return err ? err : region_add(fdt_pa, fdt_bytes, REGION_TREE);
}

/* ---- the direct map -------------------------------------------------------------------------- */

static int direct_map(pa_t start, pa_t end, unsigned prot)
{
	if (!vm_map((uintptr_t)direct_va(start), start, end - start, prot))
		return 0;
	return FAIL(-ENOMEM, "no translation tables for memory at 0x%llx..0x%llx",
		    (unsigned long long)start, (unsigned long long)end - 1);
}

static void give_to_allocator(pa_t start, pa_t end)
{
	int err = page_add_range(start, end);

	if (err)
		ram_unused(start, end,
			   err == -ENOSPC ? "too many separate pieces of free memory" :
					    "too small a piece");
}

static int use_piece(pa_t start, pa_t end, enum region_kind kind)
{
	int err;

	if (kind > REGION_RESERVED)
		return 0;
	err = direct_map(start, end, MAP_READ | MAP_WRITE);
	if (!err && kind == REGION_FREE)
		give_to_allocator(start, end);
	return err;
}

static void cut_to_pages(struct region *ram)
{
	pa_t start = ALIGN_UP(ram->start, PAGE_SIZE), end = ALIGN_DOWN(ram->end, PAGE_SIZE);

	if (start >= end)
		start = end = ram->end;
	if (ram->start < start)
		ram_unused(ram->start, start, "not a whole page");
	if (end < ram->end)
		ram_unused(end, ram->end, "not a whole page");
	ram->start = start;
	ram->end = end;
}

/*
 * The first pieces end at the next GiB, so that they need few tables: those come from a small
 * static pool. Tables for the rest come from the memory that the first pieces brought.
 */
static int use_ram(struct region *ram)
{
	enum region_kind kind;
	pa_t next;
	int err = 0;

	cut_to_pages(ram);
	for (pa_t pa = ram->start; pa < ram->end && !err; pa = next) {
		next = page_total_bytes() < FIRST_ENOUGH ? MIN(ram->end, ALIGN_UP(pa + 1, GIB)) :
							   ram->end;
		kind = region_at(pa, &next);
		err = use_piece(pa, next, kind);
	}
	return err;
}

/*
 * Builds with SAN=1: memory of its own for the sanitizer, an eighth of all, and free pages
 * poisoned.
 */
static int sanitize_ram(void)
{
	for (const struct region *ram = ram_table; ram < ram_table + ram_count; ram++)
		if (san_cover((uintptr_t)direct_va(ram->start), ram->end - ram->start))
			return FAIL(-ENOMEM, "no room for the sanitizer's shadow");
	san_start();
	return 0;
}

static int replace_boot_window(pa_t fdt_pa, size_t fdt_bytes)
{
	pa_t block = ALIGN_DOWN(fdt_pa, BLOCK_BYTES);

	arch_unmap((uintptr_t)direct_va(block), FDT_BOOT_WINDOW);
	return direct_map(ALIGN_DOWN(fdt_pa, PAGE_SIZE), ALIGN_UP(fdt_pa + fdt_bytes, PAGE_SIZE),
			  MAP_READ);
}

int mem_init(const struct dt *dt, pa_t fdt_pa, size_t fdt_bytes, const char **why)
{
	int err;

	*why = why_text;
	err = reserve_image_and_tree(fdt_pa, fdt_bytes);
	if (!err)
		err = read_memory_nodes(dt);
	if (!err)
		err = read_reservations(dt);
	if (!err)
		err = replace_boot_window(fdt_pa, fdt_bytes);
	for (unsigned i = 0; i < ram_count && !err; i++)
		err = use_ram(&ram_table[i]);
	if (!err && !page_total_bytes())
		err = FAIL(
			-ENOMEM,
			"no memory is left beside the image, the device tree and reserved regions");
	return err ? err : sanitize_ram();
}
