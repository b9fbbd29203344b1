/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's device tree reader against the host's libfdt, on trees that nobody meant to write.
 *
 * Every input is copied to a heap block of exactly its total size, so that a sanitizer sees each
 * byte that is read outside. Both readers judge it; what both accept is walked by both and
 * compared: nodes, depths, names, parents, properties, lookups by path, phandle, alias and
 * compatible string, string lists, cell counts, reservations. Then the calls that libfdt has no
 * counterpart for (registers, interrupts, console) are made for their bounds alone.
 *
 * Where the two may disagree, and why. Each is proved anew for the input at hand, else it fails.
 *
 * libfdt is not asked (too_much_for_them()): it would not come back, or crash.
 *
 * Only the kernel rejects (our_reason_holds()):
 *  - "unsupported version": libfdt reads version 16 too, which no boot loader makes any more.
 *  - "nodes nested too deeply": DT_DEPTH_MAX is ours; libfdt has no bound.
 *  - "property outside a node or behind a subnode": the specification puts properties first.
 *    libfdt's check does not care, but its lookups never see such a property.
 *  - "more than one root node", "no root node": libfdt's check does not care.
 *  - "memory reservation block ...": libfdt does not check its alignment.
 *  - "structure block misplaced": libfdt lets it start unaligned.
 *
 * Only libfdt rejects (their_reason_holds()):
 *  - FDT_ERR_BADSTRUCTURE for a root node with a name. The kernel never looks at that name.
 *
 * Both accept and the answers differ:
 *  - a leading FDT_NOP: libfdt's lookups by path and of parents take offset 0 for the root and
 *    fail; the kernel's root is the first node.
 *  - a node with two phandles: the kernel's dt_phandle_node() finds it by either.
 *  - #address-cells of 0, as interrupt controllers have: libfdt calls it an error.
 *  - a string list without its last NUL, or a search for "": libfdt compares a byte behind the
 *    property, and finds what is not there.
 *  - a reservation of no bytes: it ends libfdt's list; the specification ends it at two zeros.
 *
 * With -DFUZZ_STANDALONE this is a program of its own:
 *   fuzz_fdt [-n COUNT] [-s SEED] FILE_OR_DIRECTORY...
 * It first feeds the files as they are, then COUNT mutations of them, always the same for the same
 * COUNT and SEED.
 *
 * Sources: core/fdt.c core/fdt_value.c
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libfdt.h>

#include "core/fdt.h"

/* Fails the input at hand, and keeps it: feed the file back to see the failure alone. */
#define FAIL(...)                                               \
	do {                                                    \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
		fprintf(stderr, __VA_ARGS__);                   \
		fail();                                         \
	} while (0)

#define SAME_INT(a, b)                                                  \
	do {                                                            \
		long long _a = (a), _b = (b);                           \
		if (_a != _b)                                           \
			FAIL("%s is %lld, %s is %lld", #a, _a, #b, _b); \
	} while (0)

static const uint8_t *input;
static size_t input_bytes;

static void __attribute__((noreturn)) fail(void)
{
	FILE *f = fopen("failed-fdt.dtb", "wb");

	if (f && fwrite(input, 1, input_bytes, f) == input_bytes && fclose(f) == 0)
		fprintf(stderr, "; input kept in failed-fdt.dtb");
	fputc('\n', stderr);
	abort();
}

/* Verdicts, for the summary. */
static struct {
	unsigned long both_accept, both_reject, only_ours, only_theirs, not_asked;
} seen;

/* What is quadratic is done for every node of a small tree and for some nodes of a large one. */
#define SMALL_TREE 12
#define SAMPLE     3
#define NOT_ASKED  1 /* in place of libfdt's verdict */

/* What dt_xxx() and libfdt call "none" are different numbers. */
static int none_or(int value)
{
	return value < 0 ? -1 : value;
}

/* ---- Acceptance ---- */

static uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int their_depth(const void *fdt)
{
	int off = 0, next, depth = 0, deepest = 0;
	uint32_t tag;

	while ((tag = fdt_next_tag(fdt, off, &next)) != FDT_END && next >= 0) {
		depth += (tag == FDT_BEGIN_NODE) - (tag == FDT_END_NODE);
		deepest = MAX(deepest, depth);
		off = next;
	}
	return deepest;
}

/* Counts what stands where the specification has no place for it. */
static void their_oddities(const void *fdt, int *roots, int *stray_props)
{
	int off = 0, next, depth = 0;
	uint32_t tag, last = FDT_END_NODE;

	*roots = *stray_props = 0;
	while ((tag = fdt_next_tag(fdt, off, &next)) != FDT_END && next >= 0) {
		*roots += tag == FDT_BEGIN_NODE && depth == 0;
		*stray_props += tag == FDT_PROP && (last == FDT_END_NODE || depth == 0);
		depth += (tag == FDT_BEGIN_NODE) - (tag == FDT_END_NODE);
		if (tag != FDT_NOP)
			last = tag;
		off = next;
	}
}

static bool reservations_fit(const void *fdt)
{
	size_t off = fdt_off_mem_rsvmap(fdt), size = fdt_totalsize(fdt);
	const uint8_t *b = fdt;
	static const uint8_t end[16];

	if (off % 8)
		return false;
	for (; off + 16 <= size; off += 16)
		if (memcmp(b + off, end, 16) == 0)
			return true;
	return false;
}

/* True when @why is a true statement about a tree that libfdt accepts. */
static bool our_reason_holds(const void *fdt, const char *why)
{
	int roots, stray;

	if (strncmp(why, "unsupported version", 19) == 0)
		return fdt_version(fdt) < 17;
	if (strncmp(why, "memory reservation block", 24) == 0)
		return !reservations_fit(fdt);
	if (strcmp(why, "structure block misplaced") == 0)
		return fdt_off_dt_struct(fdt) % 4;
	if (strcmp(why, "nodes nested too deeply") == 0)
		return their_depth(fdt) > DT_DEPTH_MAX;
	their_oddities(fdt, &roots, &stray);
	if (strcmp(why, "more than one root node") == 0)
		return roots > 1;
	if (strcmp(why, "no root node") == 0)
		return roots == 0;
	if (strcmp(why, "property outside a node or behind a subnode") == 0)
		return stray > 0;
	return false;
}

/*
 * True when a walk meets a property length of 2 GiB or more. libfdt adds it to an int, so that it
 * steps back: into the middle of the property, or onto it again for ever.
 */
static bool length_wraps(const uint8_t *b, size_t bytes)
{
	uint32_t off = bytes >= 40 ? be32_at(b + 8) : 0, tag, len;

	while (off >= 40 && off < bytes && bytes - off >= 12) {
		tag = be32_at(b + off);
		len = 0;
		if (tag == FDT_BEGIN_NODE)
			len = (uint32_t)strnlen((const char *)b + off + 4, bytes - off - 4) + 1;
		else if (tag == FDT_PROP)
			len = be32_at(b + off + 4) + 8;
		else if (tag != FDT_NOP && tag != FDT_END_NODE)
			return false;
		if (tag == FDT_PROP && be32_at(b + off + 4) > INT32_MAX)
			return true;
		off += 4 + ALIGN_UP(len, 4);
	}
	return false;
}

/* Before version 16 a root node's name has to hold a slash, or libfdt reads through a null pointer.
 */
static bool too_much_for_them(const uint8_t *b, size_t bytes)
{
	return length_wraps(b, bytes) || (bytes >= 40 && be32_at(b + 20) < 16);
}

static bool their_reason_holds(const struct dt *dt, const void *fdt, int err)
{
	(void)fdt;
	return err == -FDT_ERR_BADSTRUCTURE && *dt_name(dt, dt_root(dt)) != '\0';
}

/* ---- Comparison ---- */

static bool list_terminated(const uint8_t *value, int len)
{
	return len > 0 && value[len - 1] == '\0';
}

static void same_strings(const struct dt *dt, const void *fdt, int node, const char *name,
			 const uint8_t *value, int len)
{
	int count = fdt_stringlist_count(fdt, node, name), i;

	if (!list_terminated(value, len))
		return;
	for (i = 0; i < count && i < 8; i++) {
		const char *theirs = fdt_stringlist_get(fdt, node, name, i, NULL);

		if (dt_string_at(dt, node, name, i) != theirs)
			FAIL("string %d of %s differs", i, name);
		if (!dt_stringlist_has(dt, node, name, theirs))
			FAIL("%s lacks its string %d", name, i);
	}
	if (count >= 0 && count < 8 && dt_string_at(dt, node, name, count))
		FAIL("%s has more than %d strings", name, count);
	SAME_INT(dt_stringlist_has(dt, node, name, "test,uart"),
		 fdt_stringlist_contains((const char *)value, len, "test,uart"));
}

/* @deep: also what costs a second walk over the node's properties for each of them. */
static void same_props(const struct dt *dt, const void *fdt, int node, bool deep)
{
	int ours = dt_first_prop(dt, node), theirs;

	fdt_for_each_property_offset(theirs, fdt, node)
	{
		const char *name, *their_name;
		int len, their_len, found_len, their_found_len;
		const uint8_t *value = dt_prop_at(dt, ours, &name, &len), *found;
		const void *their_value =
			fdt_getprop_by_offset(fdt, theirs, &their_name, &their_len);

		SAME_INT(ours, theirs);
		SAME_INT(len, their_len);
		if (value != their_value || name != their_name)
			FAIL("property at %d differs", ours);
		if (deep) {
			found = dt_prop(dt, node, name, &found_len);
			if (found != fdt_getprop(fdt, node, name, &their_found_len))
				FAIL("lookup of %s differs", name);
			SAME_INT(found_len, their_found_len);
			same_strings(dt, fdt, node, name, found, found_len);
		}
		ours = dt_next_prop(dt, ours);
	}
	SAME_INT(ours, -ENOENT);
}

static bool two_phandles(const void *fdt, int node)
{
	int prop, n = 0;

	fdt_for_each_property_offset(prop, fdt, node)
	{
		const char *name;

		fdt_getprop_by_offset(fdt, prop, &name, NULL);
		n += strcmp(name, "phandle") == 0 || strcmp(name, "linux,phandle") == 0;
	}
	return n > 1;
}

static void same_phandle(const struct dt *dt, const void *fdt, int node)
{
	uint32_t phandle = dt_phandle(dt, node);
	int ours = dt_phandle_node(dt, phandle);
	int theirs = fdt_node_offset_by_phandle(fdt, phandle);

	SAME_INT(phandle, fdt_get_phandle(fdt, node));
	if (none_or(ours) != none_or(theirs) && !(ours >= 0 && two_phandles(fdt, ours)))
		FAIL("phandle 0x%x leads to %d and %d", phandle, ours, theirs);
}

static void same_cells(const struct dt *dt, const void *fdt, int node)
{
	int ours = dt_address_cells(dt, node);

	if (ours == 0)
		ours = -1;
	SAME_INT(none_or(ours), none_or(fdt_address_cells(fdt, node)));
	SAME_INT(none_or(dt_size_cells(dt, node)), none_or(fdt_size_cells(fdt, node)));
}

/* The path as it is and without its unit addresses. */
static void same_path(const struct dt *dt, const void *fdt, int node)
{
	char path[1024], bare[1024];
	size_t n = 0;
	bool skip = false;

	if (fdt_get_path(fdt, node, path, sizeof(path)) != 0)
		return;
	SAME_INT(none_or(dt_path_node(dt, path)), none_or(fdt_path_offset(fdt, path)));
	for (const char *p = path; *p; p++) {
		skip = *p == '@' || (skip && *p != '/');
		if (!skip)
			bare[n++] = *p;
	}
	bare[n] = '\0';
	SAME_INT(none_or(dt_path_node(dt, bare)), none_or(fdt_path_offset(fdt, bare)));
	SAME_INT(none_or(dt_alias_node(dt, bare)), none_or(fdt_path_offset(fdt, bare)));
}

static void same_compatible(const struct dt *dt, const void *fdt, int node)
{
	const char *compatible = fdt_stringlist_get(fdt, node, "compatible", 0, NULL);
	int ours, theirs, len;
	const uint8_t *list;

	if (!compatible || *compatible == '\0')
		return;
	ours = none_or(dt_node_by_compatible(dt, node, compatible));
	theirs = none_or(fdt_node_offset_by_compatible(fdt, node, compatible));
	list = theirs < 0 ? NULL : fdt_getprop(fdt, theirs, "compatible", &len);
	if (ours != theirs && !(list && !list_terminated(list, len)))
		FAIL("the next %s is at %d and %d", compatible, ours, theirs);
}

static void same_node(const struct dt *dt, const void *fdt, int node, int parent)
{
	SAME_INT(none_or(dt_parent(dt, node)), parent);
	if (dt_root(dt) == 0) {
		SAME_INT(none_or(fdt_parent_offset(fdt, node)), parent);
		same_path(dt, fdt, node);
	}
	same_phandle(dt, fdt, node);
	same_compatible(dt, fdt, node);
}

static void same_aliases(const struct dt *dt, const void *fdt)
{
	int aliases = fdt_path_offset(fdt, "/aliases"), prop, n = 0;

	SAME_INT(none_or(dt_path_node(dt, "/aliases")), none_or(aliases));
	if (aliases < 0)
		return;
	fdt_for_each_property_offset(prop, fdt, aliases)
	{
		const char *name, *value;
		int len;

		value = fdt_getprop_by_offset(fdt, prop, &name, &len);
		/* libfdt follows an alias of an alias, and never comes back from a circle. */
		value = fdt_getprop(fdt, aliases, name, &len);
		if (++n > 8 || !list_terminated((const uint8_t *)value, len) || value[0] != '/' ||
		    name[0] == '/' || name[0] == '\0' || strchr(name, '/'))
			continue;
		SAME_INT(none_or(dt_alias_node(dt, name)), none_or(fdt_path_offset(fdt, name)));
	}
}

static void same_reservations(const struct dt *dt, const void *fdt)
{
	int count = fdt_num_mem_rsv(fdt), i = 0;
	uint64_t addr, size, their_addr, their_size;

	while (dt_memreserve(dt, i, &addr, &size) == 0) {
		SAME_INT(fdt_get_mem_rsv(fdt, i, &their_addr, &their_size), 0);
		SAME_INT((int64_t)addr, (int64_t)their_addr);
		SAME_INT((int64_t)size, (int64_t)their_size);
		i++;
	}
	/* libfdt ends the list at a size of 0, the specification only at two zeros. */
	if (i != count &&
	    !(count >= 0 && count < i && dt_memreserve(dt, count, &addr, &size) == 0 && size == 0))
		FAIL("%d reservations and %d", i, count);
}

/* Walks both trees side by side. */
static void same_tree(const struct dt *dt, const void *fdt, uint32_t sample)
{
	int chain[DT_DEPTH_MAX] = { 0 }, depth = -1, their_depth = -1, nodes = 0, total = 0, len;
	int theirs = fdt_next_node(fdt, -1, &their_depth), ours = dt_root(dt), at;

	for (at = ours; at >= 0; at = dt_next_node(dt, at, NULL))
		total++;
	for (depth = 0; ours >= 0 && theirs >= 0; nodes++) {
		bool deep = total <= SMALL_TREE ||
			    (nodes - sample % total + total) % total < SAMPLE;

		SAME_INT(ours, theirs);
		SAME_INT(depth, their_depth);
		if (dt_name(dt, ours) != fdt_get_name(fdt, theirs, &len))
			FAIL("name of the node at %d differs", ours);
		chain[depth] = ours;
		SAME_INT(none_or(dt_first_child(dt, ours)), none_or(fdt_first_subnode(fdt, ours)));
		same_cells(dt, fdt, ours);
		same_props(dt, fdt, ours, deep);
		if (deep) {
			SAME_INT(none_or(dt_next_sibling(dt, ours)),
				 depth ? none_or(fdt_next_subnode(fdt, ours)) : -1);
			same_node(dt, fdt, ours, depth > 0 ? chain[depth - 1] : -1);
		}
		ours = dt_next_node(dt, ours, &depth);
		theirs = fdt_next_node(fdt, theirs, &their_depth);
		if (their_depth < 0)
			theirs = -1;
	}
	SAME_INT(none_or(ours), none_or(theirs));
	if (dt_root(dt) == 0)
		same_aliases(dt, fdt);
	same_reservations(dt, fdt);
}

/* Results count for nothing here, but what is handed out must be inside the tree. */
static void inside(const struct dt *dt, const void *p)
{
	if (p && ((const uint8_t *)p < dt->blob || (const uint8_t *)p >= dt->blob + dt->size))
		FAIL("a pointer outside the tree was handed out");
}

static void poke_node(const struct dt *dt, int node)
{
	static const char *const lists[][2] = { { "clocks", "#clock-cells" },
						{ "interrupts-extended", "#interrupt-cells" } };
	uint32_t cells[DT_ARGS_MAX];
	uint64_t addr, size;
	struct dt_args args;
	int i, n, controller, depth = 0;

	for (i = -1; i < 5; i++) {
		if (dt_reg(dt, node, i, &addr, &size) == 0 && size && addr + (size - 1) < addr)
			FAIL("register block that wraps");
		dt_reg_raw(dt, node, i, &addr, &size);
		if (dt_interrupt(dt, node, i, cells, &n, &controller) == 0 &&
		    (n < 0 || n > DT_ARGS_MAX || !dt_name(dt, controller)))
			FAIL("interrupt of %d cells to %d", n, controller);
	}
	for (i = 0; i < 2; i++) {
		int err = dt_args_begin(dt, node, lists[i][0], lists[i][1], &args);

		while (err == 0 || err == -ENODEV)
			err = dt_args_next(dt, &args);
		dt_phandle_args(dt, node, lists[i][0], lists[i][1], 2, &args);
	}
	inside(dt, dt_string(dt, node, "compatible"));
	inside(dt, dt_name(dt, node));
	dt_status_ok(dt, node);
	dt_next_node(dt, node, &depth);
	dt_next_sibling(dt, node);
	dt_first_child(dt, node);
	dt_subpath(dt, node, "a/b", 3);
	dt_u32_at(dt, node, "reg", 3, cells);
	dt_u64(dt, node, "clock-frequency", &addr);
}

static void poke_tree(const struct dt *dt, uint32_t sample)
{
	const char *options = NULL;
	int node = dt_root(dt), i;

	inside(dt, dt_bootargs(dt));
	if (dt_stdout(dt, &options) >= 0)
		inside(dt, options);
	dt_alias_node(dt, "serial0/x");
	dt_path_node(dt, "//soc///serial@1000/");
	for (i = 0; node >= 0; node = dt_next_node(dt, node, NULL), i++)
		if ((sample + (uint32_t)i) % 16 == 0)
			poke_node(dt, node);
	/* Offsets that no call ever returned. */
	poke_node(dt, (int)(sample % (dt->struct_bytes + 8)));
	poke_node(dt, (int)sample);
	dt_next_prop(dt, (int)(sample % (dt->struct_bytes + 8) & ~3u));
	for (i = 0; i < 4; i++) {
		const char *name;
		int len, prop = (int)((sample >> i) % (dt->struct_bytes + 8) & ~3u);

		inside(dt, dt_prop_at(dt, prop, &name, &len) ? name : NULL);
	}
}

/* ---- One input ---- */

static uint32_t hash(const uint8_t *data, size_t size)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ data[i]) * 16777619u;
	return h;
}

static void judge(const uint8_t *data, size_t size)
{
	uint32_t total = size >= 40 ? be32_at(data + 4) : 0, sample;
	size_t bytes = total >= 40 && total < size ? total : size;
	uint8_t *blob = malloc(bytes ? bytes : 1);
	const char *why = "never set";
	struct dt dt;
	int err, theirs;

	input = data;
	input_bytes = size;
	memcpy(blob, data, bytes);
	sample = hash(data, bytes);
	err = dt_open(&dt, blob, bytes, &why);
	theirs = too_much_for_them(blob, bytes) ? NOT_ASKED : fdt_check_full(blob, bytes);
	if (theirs == NOT_ASKED) {
		seen.not_asked++;
		if (err == 0)
			FAIL("accepted what is too much for libfdt");
	} else if (err == 0 && theirs == 0) {
		seen.both_accept++;
		same_tree(&dt, blob, sample);
	} else if (err == 0) {
		seen.only_ours++;
		if (!their_reason_holds(&dt, blob, theirs))
			FAIL("only the kernel accepts it; libfdt: %s", fdt_strerror(theirs));
	} else if (theirs == 0) {
		seen.only_theirs++;
		if (!our_reason_holds(blob, why))
			FAIL("only libfdt accepts it; the kernel: %s", why);
	} else {
		seen.both_reject++;
	}
	if (err == 0)
		poke_tree(&dt, sample);
	if ((err == 0) != (why == NULL) || (err && err != -EINVAL))
		FAIL("result %d with the reason %s", err, why ? why : "(none)");
	free(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	judge(data, size);
	return 0;
}

#ifdef FUZZ_STANDALONE

#define MAX_SEEDS  256
#define MAX_BYTES  (1 << 20)
#define ROOM_BYTES 256 /* by which a mutation may grow a tree */

static struct {
	uint8_t *data;
	size_t size;
} seeds[MAX_SEEDS];
static int seed_count;
static uint8_t scratch[MAX_BYTES + ROOM_BYTES];
static uint64_t random_state;

static uint32_t rnd(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return below ? (uint32_t)(random_state >> 32) % below : 0;
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* A word that means something: a tag, a small count, an edge, or one from elsewhere in the tree. */
static uint32_t likely_word(size_t size)
{
	static const uint32_t edges[] = { 0,    1,          2,          3,
					  4,    9,          16,         17,
					  40,   0x7fffffff, 0x80000000, 0xffffffff,
					  0xff, 0x42,       0xfffffffc, 0xfffffff8 };

	switch (rnd(4)) {
	case 0:
		return edges[rnd(ARRAY_SIZE(edges))];
	case 1:
		return rnd(64);
	case 2:
		return be32_at(scratch + (rnd((uint32_t)size - 3) & ~3u));
	default:
		return rnd(UINT32_MAX);
	}
}

/* Takes whole words out of the structure block or puts some in, and keeps the header true to it. */
static size_t resize_structure(size_t size)
{
	uint32_t off = be32_at(scratch + 8), bytes = be32_at(scratch + 36), n = 4 * (1 + rnd(6));
	uint32_t at, strings = be32_at(scratch + 12);
	bool grow = rnd(2);

	if (off > size || bytes > size - off || bytes < 64)
		return size;
	at = off + (rnd(bytes - 32) & ~3u);
	if (grow) {
		memmove(scratch + at + n, scratch + at, size - at);
		if (rnd(2))
			for (uint32_t i = 0; i < n; i += 4)
				put32(scratch + at + i, FDT_NOP);
	} else {
		memmove(scratch + at, scratch + at + n, size - at - n);
	}
	size = grow ? size + n : size - n;
	put32(scratch + 4, (uint32_t)size);
	put32(scratch + 36, grow ? bytes + n : bytes - n);
	if (strings > at)
		put32(scratch + 12, grow ? strings + n : strings - n);
	return size;
}

/* Copies a piece of the structure block over another: subtrees and values in strange places. */
static void copy_piece(size_t size)
{
	uint32_t off = be32_at(scratch + 8), bytes = be32_at(scratch + 36), n = 4 * (1 + rnd(16));

	if (off > size || bytes > size - off || bytes < 256)
		return;
	memmove(scratch + off + (rnd(bytes - n) & ~3u), scratch + off + (rnd(bytes - n) & ~3u), n);
}

/* Gives a property the length or the name that another one has; both words are ones of the tree. */
static void change_property(size_t size)
{
	uint32_t off = be32_at(scratch + 8), bytes = be32_at(scratch + 36), at;

	if (off > size || bytes > size - off || bytes < 64)
		return;
	for (at = off + (rnd(bytes - 32) & ~3u); at + 12 < off + bytes; at += 4)
		if (be32_at(scratch + at) == FDT_PROP)
			break;
	if (at + 12 >= off + bytes)
		return;
	if (rnd(3) == 0)
		put32(scratch + at + 4, be32_at(scratch + at + 4) + rnd(9) - 4);
	else
		put32(scratch + at + 8, rnd(be32_at(scratch + 32) + 1));
}

static size_t mutate(size_t size)
{
	switch (rnd(8)) {
	case 0:
		scratch[rnd((uint32_t)size)] = (uint8_t)rnd(256);
		break;
	case 1:
		scratch[rnd((uint32_t)size)] ^= (uint8_t)(1 << rnd(8));
		break;
	case 2:
		put32(scratch + (rnd((uint32_t)size - 3) & ~3u), likely_word(size));
		break;
	case 3:
		if (rnd(4) == 0)
			put32(scratch + 4 * rnd(10), likely_word(size));
		break;
	case 4:
		return resize_structure(size);
	case 5:
		copy_piece(size);
		break;
	case 6:
		change_property(size);
		break;
	default:
		if (rnd(16) == 0)
			return 41 + rnd((uint32_t)size - 40);
		break;
	}
	return size;
}

static void add_file(const char *path)
{
	FILE *f = fopen(path, "rb");

	if (!f || seed_count == MAX_SEEDS) {
		fprintf(stderr, "%s: %s\n", path, f ? "too many seeds" : "cannot be read");
		exit(2);
	}
	seeds[seed_count].data = malloc(MAX_BYTES);
	seeds[seed_count].size = fread(seeds[seed_count].data, 1, MAX_BYTES, f);
	seed_count++;
	fclose(f);
}

static int is_blob(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 4 && strcmp(entry->d_name + n - 4, ".dtb") == 0;
}

static void add_path(const char *path)
{
	struct dirent **entries;
	struct stat st;
	char name[4096];
	int n;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		add_file(path);
		return;
	}
	n = scandir(path, &entries, is_blob, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		add_file(name);
		free(entries[i]);
	}
	free(entries);
}

static void summary(const char *what, unsigned long n)
{
	printf("%s %lu: both accept %lu, both reject %lu, only the kernel %lu, only libfdt %lu, "
	       "libfdt not asked %lu\n",
	       what, n, seen.both_accept, seen.both_reject, seen.only_ours, seen.only_theirs,
	       seen.not_asked);
	fflush(stdout);
}

/* Small seeds come up more often: more of their bytes mean something, and they are fast. */
static int pick_seed(void)
{
	int a = (int)rnd((uint32_t)seed_count), b = (int)rnd((uint32_t)seed_count);

	return rnd(4) && seeds[b].size < seeds[a].size ? b : a;
}

static void run(unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		int seed = pick_seed();
		size_t size = seeds[seed].size;

		memcpy(scratch, seeds[seed].data, size);
		for (uint32_t n = 1 + rnd(4); n > 0 && size > 80; n--)
			size = mutate(size);
		judge(scratch, size);
		if ((i + 1) % 100000 == 0)
			summary("mutated", i + 1);
	}
	summary("done, mutated", count);
}

int main(int argc, char **argv)
{
	unsigned long count = 100000;
	const char *value;

	random_state = 0x9e3779b97f4a7c15ull;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-n") && strcmp(argv[i], "-s")) {
			add_path(argv[i]);
			continue;
		}
		value = i + 1 < argc ? argv[i + 1] : "";
		if (argv[i++][1] == 'n')
			count = strtoul(value, NULL, 0);
		else
			random_state ^= strtoull(value, NULL, 0) * 0x2545f4914f6cdd1dull;
	}
	if (seed_count == 0) {
		fprintf(stderr, "usage: %s [-n COUNT] [-s SEED] FILE_OR_DIRECTORY...\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < seed_count; i++) {
		unsigned long before = seen.both_accept;

		judge(seeds[i].data, seeds[i].size);
		if (seen.both_accept == before)
			printf("seed %d is not accepted by both\n", i);
	}
	summary("seeds", (unsigned long)seed_count);
	run(count);
	return 0;
}

#endif
