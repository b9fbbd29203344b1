/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device tree reader, call by call, on trees whose answers are written down here
 * (fdt_seeds/bus.dts, irq.dts and names.dts), on the trees of QEMU's machines, on trees built one
 * word at a time, and on damaged ones: every header field, every length, every single byte. Blobs
 * lie in heap blocks of their exact size, so a sanitizer sees any byte that is read outside.
 * fuzz_fdt.c compares with libfdt.
 *
 * Sources: core/fdt.c core/fdt_value.c
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/fdt.h"

/* From the directory in which the tests are started: the root of the source tree. */
#ifndef FDT_SEEDS
#define FDT_SEEDS "tests/host/fdt_seeds"
#endif

static uint8_t *blob;
static size_t blob_bytes;
static struct dt tree;
static const struct dt *dt = &tree;

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void load(const char *name)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dtb", FDT_SEEDS, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s cannot be opened: start the test in the source tree's root", path);
	fseek(f, 0, SEEK_END);
	blob_bytes = (size_t)ftell(f);
	rewind(f);
	free(blob);
	blob = malloc(blob_bytes);
	assert_int_equal(fread(blob, 1, blob_bytes, f), blob_bytes);
	fclose(f);
}

static void open_tree(void)
{
	const char *why = "never set";

	if (dt_open(&tree, blob, blob_bytes, &why) != 0)
		fail_msg("not accepted: %s", why);
	assert_null(why);
}

static void open_seed(const char *name)
{
	load(name);
	open_tree();
}

static void rejected(const char *reason)
{
	const char *why = NULL;

	assert_int_equal(dt_check(blob, blob_bytes, &why), -EINVAL);
	assert_string_equal(why, reason);
	assert_int_equal(dt_check(blob, blob_bytes, NULL), -EINVAL);
}

static int at(const char *path)
{
	int node = dt_path_node(dt, path);

	if (node < 0)
		fail_msg("%s is not found", path);
	return node;
}

/* ---- Trees built by hand ---- */

#define STRINGS "a\0phandle\0linux,phandle"

static size_t built_words;

static void begin_blob(void)
{
	free(blob);
	blob = calloc(1, 65536);
	built_words = 0;
}

static void word(uint32_t w)
{
	put32(blob + 56 + 4 * built_words++, w);
}

static void node(void)
{
	word(1);
	word(0);
}

static void prop(uint32_t name_off, uint32_t value)
{
	word(3);
	word(4);
	word(name_off);
	word(value);
}

/* Header, an empty reservation block, the words, the strings; shrunk to the exact size. */
static void end_blob(void)
{
	size_t strings = 56 + 4 * built_words;
	const uint32_t header[] = { 0xd00dfeed,
				    (uint32_t)(strings + sizeof(STRINGS)),
				    56,
				    (uint32_t)strings,
				    40,
				    17,
				    16,
				    0,
				    sizeof(STRINGS),
				    (uint32_t)(4 * built_words) };

	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		put32(blob + 4 * i, header[i]);
	memcpy(blob + strings, STRINGS, sizeof(STRINGS));
	blob_bytes = strings + sizeof(STRINGS);
	blob = realloc(blob, blob_bytes);
}

static void nested(int levels)
{
	begin_blob();
	for (int i = 0; i < levels; i++)
		node();
	for (int i = 0; i < levels; i++)
		word(2);
	word(9);
	end_blob();
}

static void structure_rules(void **state)
{
	(void)state;
	begin_blob();
	node(), word(2), word(9), end_blob(), open_tree();
	assert_int_equal(dt_root(dt), 0);
	assert_int_equal(dt_first_child(dt, 0), -ENOENT);
	begin_blob();
	word(4), node(), word(4), prop(0, 7), word(4), word(2), word(4), word(9);
	end_blob(), open_tree();
	assert_int_equal(dt_root(dt), 4);
	assert_non_null(dt_prop(dt, 4, "a", NULL));

	begin_blob(), word(9), end_blob(), rejected("no root node");
	begin_blob(), node(), word(2), node(), word(2), word(9), end_blob();
	rejected("more than one root node");
	begin_blob(), node(), word(9), end_blob(), rejected("node without an end");
	begin_blob(), node(), word(2), word(2), word(9), end_blob();
	rejected("end of a node that was not begun");
	begin_blob(), prop(0, 7), node(), word(2), word(9), end_blob();
	rejected("property outside a node or behind a subnode");
	begin_blob(), node(), node(), word(2), prop(0, 7), word(2), word(9), end_blob();
	rejected("property outside a node or behind a subnode");
	begin_blob(), node(), prop(sizeof(STRINGS), 7), word(2), word(9), end_blob();
	rejected("property name outside the strings block");
	begin_blob(), node(), prop(UINT32_MAX, 7), word(2), word(9), end_blob();
	rejected("property name outside the strings block");
	begin_blob(), node(), word(5), word(2), word(9), end_blob();
	rejected("bad or truncated tag in the structure block");
	begin_blob(), node(), word(2), end_blob();
	rejected("bad or truncated tag in the structure block");
	begin_blob(), end_blob(), rejected("bad or truncated tag in the structure block");
}

static void property_lengths(void **state)
{
	static const uint32_t bad[] = { 9,          10,         0x7fffffff, 0x80000000,
					0xfffffff4, 0xfffffff8, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		begin_blob();
		node(), word(3), word(bad[i]), word(0), word(2), word(9), end_blob();
		rejected("bad or truncated tag in the structure block");
	}
}

static void unterminated_texts(void **state)
{
	(void)state;
	begin_blob(), word(1), word(0x41414141), end_blob();
	rejected("bad or truncated tag in the structure block");
	/* Without its last NUL the strings block ends where the NUL before it is. */
	begin_blob(), node(), prop(0, 7), word(2), word(9), end_blob();
	blob[blob_bytes - 1] = 'x';
	open_tree();
	assert_non_null(dt_prop(dt, 0, "a", NULL));
	begin_blob(), node(), prop(10, 7), word(2), word(9), end_blob();
	blob[blob_bytes - 1] = 'x';
	rejected("property name outside the strings block");
}

static void depth_limit(void **state)
{
	int chain[DT_DEPTH_MAX], n, depth, deepest;

	(void)state;
	nested(DT_DEPTH_MAX);
	open_tree();
	for (n = deepest = dt_root(dt), depth = 0; n >= 0; n = dt_next_node(dt, n, &depth))
		deepest = n;
	assert_int_equal(dt_ancestors(dt, deepest, chain), DT_DEPTH_MAX - 1);
	assert_int_equal(chain[DT_DEPTH_MAX - 1], deepest);
	assert_int_equal(dt_parent(dt, deepest), deepest - 8);
	nested(DT_DEPTH_MAX + 1);
	rejected("nodes nested too deeply");
}

static void both_phandle_names(void **state)
{
	(void)state;
	begin_blob();
	node();
	node(), prop(10, 5), word(2);             /* linux,phandle */
	node(), prop(10, 6), prop(2, 7), word(2); /* both */
	node(), prop(0, 8), word(2);
	word(2), word(9), end_blob(), open_tree();
	assert_int_equal(dt_phandle_node(dt, 5), 8);
	assert_int_equal(dt_phandle(dt, 8), 5);
	assert_int_equal(dt_phandle(dt, dt_next_sibling(dt, 8)), 7);
	assert_int_equal(dt_phandle_node(dt, 7), dt_next_sibling(dt, 8));
	assert_int_equal(dt_phandle_node(dt, 6), dt_next_sibling(dt, 8));
	assert_int_equal(dt_phandle_node(dt, 8), -ENOENT);
	assert_int_equal(dt_phandle_node(dt, 0), -ENOENT);
	begin_blob();
	node(), word(3), word(8), word(2), word(5), word(5), word(2), word(9), end_blob(),
		open_tree();
	assert_int_equal(dt_phandle(dt, 0), 0);
	assert_int_equal(dt_phandle_node(dt, 5), -ENOENT); /* two cells are no phandle */
	nested(1), open_tree();
	assert_int_equal(dt_phandle_node(dt, UINT32_MAX), -ENOENT);
}

/* ---- Damage ---- */

static void header_field(size_t field, uint32_t value, const char *reason)
{
	load("names");
	put32(blob + 4 * field, value);
	rejected(reason);
}

static void header_rules(void **state)
{
	(void)state;
	load("names");
	header_field(0, 0xd00dfeee, "bad magic");
	header_field(0, 0xedfe0dd0, "bad magic");
	header_field(1, 39, "impossible total size");
	header_field(1, 0, "impossible total size");
	header_field(1, 0x80000000, "impossible total size");
	header_field(1, (uint32_t)blob_bytes + 1, "truncated tree");
	header_field(2, 36, "structure block misplaced");
	header_field(2, 58, "structure block misplaced");
	header_field(2, 0xfffffffc, "structure block misplaced");
	header_field(2, (uint32_t)blob_bytes & ~3u, "structure block misplaced");
	header_field(3, 39, "strings block misplaced");
	header_field(3, 0xffffffff, "strings block misplaced");
	header_field(3, (uint32_t)blob_bytes, "strings block misplaced");
	header_field(4, 32, "memory reservation block misplaced");
	header_field(4, 44, "memory reservation block misplaced");
	header_field(4, 0xfffffff8, "memory reservation block misplaced");
	header_field(4, ((uint32_t)blob_bytes - 8) & ~7u, "memory reservation block misplaced");
	header_field(5, 16, "unsupported version, 17 is expected");
	header_field(6, 18, "unsupported version, 17 is expected");
	header_field(8, 0xffffffff, "strings block misplaced");
	header_field(8, (uint32_t)blob_bytes, "strings block misplaced");
	header_field(9, 0xffffffff, "structure block misplaced");
	header_field(9, 0, "bad or truncated tag in the structure block");
	header_field(8, 0, "property name outside the strings block");
	/* A later version that an old reader may read. */
	load("names");
	put32(blob + 20, 18);
	open_tree();
}

/* A reservation list that runs into the end of the tree. */
static void reservations_without_end(void **state)
{
	(void)state;
	load("names");
	blob = realloc(blob, blob_bytes + 64);
	blob_bytes = ALIGN_UP(blob_bytes, 8);
	put32(blob + 16, (uint32_t)blob_bytes);
	memset(blob + blob_bytes, 0x11, 32);
	blob_bytes += 32;
	put32(blob + 4, (uint32_t)blob_bytes);
	rejected("memory reservation block without an end");
	blob_bytes += 8;
	memset(blob + blob_bytes - 8, 0, 8);
	put32(blob + 4, (uint32_t)blob_bytes);
	rejected("memory reservation block without an end");
	memset(blob + blob_bytes - 24, 0, 24);
	blob_bytes -= 8;
	put32(blob + 4, (uint32_t)blob_bytes);
	open_tree();
}

/* Makes all calls for all nodes: they must come back, and stay inside. */
static unsigned call_everything(void)
{
	unsigned calls = 0;
	uint32_t cells[DT_ARGS_MAX];
	uint64_t a, b;
	const char *options;
	int n, i, c, count;

	for (n = dt_root(dt); n >= 0; n = dt_next_node(dt, n, NULL), calls++) {
		for (i = 0; i < 6; i++) {
			dt_reg(dt, n, i, &a, &b);
			dt_interrupt(dt, n, i, cells, &count, &c);
			dt_string_at(dt, n, "compatible", i);
		}
		dt_parent(dt, n);
		dt_status_ok(dt, n);
		dt_phandle_node(dt, dt_phandle(dt, n));
	}
	dt_stdout(dt, &options);
	dt_bootargs(dt);
	dt_alias_node(dt, "serial0");
	for (i = 0; dt_memreserve(dt, i, &a, &b) == 0; i++)
		calls++;
	return calls;
}

static void truncated_everywhere(void **state)
{
	static const char *const names[] = { "bus", "irq", "names" };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
		load(names[k]);
		for (size_t n = 0; n < blob_bytes; n++) {
			uint8_t *part = malloc(n ? n : 1);
			const char *why = NULL;

			memcpy(part, blob, n);
			assert_int_equal(dt_open(&tree, part, n, &why), -EINVAL);
			assert_string_equal(why, n < 40 ? "truncated header" : "truncated tree");
			/* The header agrees with the cut: now the blocks stick out. */
			if (n >= 40)
				put32(part + 4, (uint32_t)n);
			assert_int_equal(dt_open(&tree, part, n, &why), -EINVAL);
			free(part);
		}
	}
}

/* Every byte takes every one of a few values; accepted or not, all calls stay inside. */
static void every_byte_damaged(void **state)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x09, 0x7f, 0x80, 0xff };
	unsigned accepted = 0;

	(void)state;
	load("names");
	for (size_t i = 0; i < blob_bytes; i++) {
		uint8_t was = blob[i];

		for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
			blob[i] = values[k];
			if (dt_open(&tree, blob, blob_bytes, NULL) == 0)
				accepted += call_everything() > 0;
		}
		blob[i] = was;
	}
	assert_true(accepted > blob_bytes);
	open_tree();
}

/* ---- Nodes ---- */

static void walking(void **state)
{
	int depth = -7, n, soc, count = 0;

	(void)state;
	open_seed("names");
	assert_int_equal(dt_next_node(dt, DT_START, &depth), dt_root(dt));
	assert_int_equal(depth, 0);
	for (n = dt_root(dt); n >= 0; n = dt_next_node(dt, n, &depth))
		count++;
	assert_int_equal(count, 10);
	assert_int_equal(n, -ENOENT);

	soc = at("/soc");
	for (depth = 0, count = 0, n = dt_next_node(dt, soc, &depth); n >= 0 && depth > 0;
	     n = dt_next_node(dt, n, &depth))
		count++;
	assert_int_equal(count, 5);
	assert_int_equal(n, at("/strings"));
	assert_int_equal(depth, 0);
	assert_int_equal(dt_next_node(dt, n, &depth), -ENOENT);

	for (count = 0, n = dt_first_child(dt, soc); n >= 0; n = dt_next_sibling(dt, n), count++)
		assert_int_equal(dt_parent(dt, n), soc);
	assert_int_equal(count, 5);
	assert_string_equal(dt_name(dt, dt_first_child(dt, soc)), "serial@1000");
	assert_string_equal(dt_name(dt, dt_root(dt)), "");
	assert_int_equal(dt_parent(dt, dt_root(dt)), -ENOENT);
	assert_int_equal(dt_next_sibling(dt, dt_root(dt)), -ENOENT);
}

static void no_node(void **state)
{
	static const int none[] = { -1, -ENOENT, -EINVAL, INT32_MIN, 2, 4, 0x7ffffffc, INT32_MAX };
	uint32_t u, cells[DT_ARGS_MAX];
	uint64_t a, b;
	int len, n, c;

	(void)state;
	open_seed("names");
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		len = 5;
		assert_null(dt_name(dt, none[i]));
		assert_null(dt_prop(dt, none[i], "model", &len));
		assert_int_equal(len, -ENOENT);
		assert_int_equal(dt_first_child(dt, none[i]), -ENOENT);
		assert_int_equal(dt_next_sibling(dt, none[i]), -ENOENT);
		assert_int_equal(dt_parent(dt, none[i]), -ENOENT);
		assert_int_equal(dt_subpath(dt, none[i], "soc", 3),
				 none[i] < 0 ? none[i] : -ENOENT);
		assert_int_equal(dt_first_prop(dt, none[i]), -ENOENT);
		assert_int_equal(dt_next_prop(dt, none[i]), -ENOENT);
		assert_int_equal(dt_u32(dt, none[i], "model", &u), -ENOENT);
		assert_int_equal(dt_phandle(dt, none[i]), 0);
		assert_false(dt_status_ok(dt, none[i]));
		assert_false(dt_compatible(dt, none[i], "test,uart"));
		assert_true(dt_reg(dt, none[i], 0, &a, &b) < 0);
		assert_int_equal(dt_reg_raw(dt, none[i], 0, &a, &b), -ENOENT);
		assert_int_equal(dt_interrupt(dt, none[i], 0, cells, &n, &c), -ENOENT);
		if (none[i] != DT_START)
			assert_int_equal(dt_next_node(dt, none[i], NULL), -ENOENT);
	}
}

static void paths(void **state)
{
	int soc;

	(void)state;
	open_seed("names");
	soc = at("/soc");
	assert_int_equal(at("/"), dt_root(dt));
	assert_int_equal(at("//soc//"), soc);
	assert_string_equal(dt_name(dt, at("/soc/serial@2000")), "serial@2000");
	assert_string_equal(dt_name(dt, at("/soc/serial@2000,1")), "serial@2000,1");
	assert_string_equal(dt_name(dt, at("/soc/serial-x")), "serial-x");
	/* The first with this name, though a later one has no unit address at all. */
	assert_string_equal(dt_name(dt, at("/soc/serial")), "serial@1000");
	assert_int_equal(dt_path_node(dt, "/soc/seria"), -ENOENT);
	assert_int_equal(dt_path_node(dt, "/soc/serial@"), -ENOENT);
	assert_int_equal(dt_path_node(dt, "/soc/serial@2000,"), -ENOENT);
	assert_int_equal(dt_path_node(dt, "/soc/serial@1000/x"), -ENOENT);
	assert_int_equal(dt_path_node(dt, "soc"), -ENOENT);
	assert_int_equal(dt_path_node(dt, ""), -ENOENT);
	assert_int_equal(dt_subpath(dt, soc, "serial@2000,1", 11), at("/soc/serial@2000"));
	/* What has a unit address is never taken for a name without one. */
	memcpy(blob + (dt_name(dt, at("/soc/serial@2000,1")) - (char *)blob), "serial@2000@1", 13);
	memcpy(blob + (dt_name(dt, at("/soc/serial@2000")) - (char *)blob), "serial@2222", 11);
	assert_int_equal(dt_path_node(dt, "/soc/serial@2000"), -ENOENT);
	assert_int_equal(at("/soc/serial@2000@1"), dt_next_sibling(dt, at("/soc/serial@2222")));
}

static void aliases(void **state)
{
	(void)state;
	open_seed("names");
	assert_int_equal(dt_alias_node(dt, "serial0"), at("/soc/serial@1000"));
	assert_int_equal(dt_alias_node(dt, "serial1"), at("/soc/serial@2000"));
	assert_int_equal(dt_alias_node(dt, "soc/serial-x"), at("/soc/serial-x"));
	assert_int_equal(dt_alias_node(dt, "soc/"), at("/soc"));
	assert_int_equal(dt_alias_node(dt, "/soc"), at("/soc"));
	assert_int_equal(dt_alias_node(dt, "serial"), -ENOENT);
	assert_int_equal(dt_alias_node(dt, "serial00"), -ENOENT);
	assert_int_equal(dt_alias_node(dt, "gone"), -ENOENT);
	assert_int_equal(dt_alias_node(dt, "loop"), -ENOENT);
	assert_int_equal(dt_alias_node(dt, "chain"), -ENOENT);
	assert_int_equal(dt_alias_node(dt, "raw"), -ENOENT);
	assert_int_equal(dt_alias_node(dt, ""), -ENOENT);
}

static void compatibles(void **state)
{
	int n;

	(void)state;
	open_seed("names");
	n = dt_node_by_compatible(dt, DT_START, "test,uart");
	assert_int_equal(n, at("/soc/serial@1000"));
	n = dt_node_by_compatible(dt, n, "test,uart");
	assert_int_equal(n, at("/soc/serial@2000"));
	assert_int_equal(dt_node_by_compatible(dt, n, "test,uart"), -ENOENT);
	n = dt_node_by_compatible(dt, DT_START, "test,uart-b");
	assert_int_equal(dt_node_by_compatible(dt, n, "test,uart-b"), at("/soc/serial@2000,1"));
	assert_int_equal(dt_node_by_compatible(dt, DT_START, "uart"), -ENOENT);
	assert_int_equal(dt_node_by_compatible(dt, DT_START, ""), -ENOENT);
	assert_false(dt_compatible(dt, at("/soc/serial-x"), "test,uart"));
	assert_true(dt_compatible(dt, at("/soc/serial-x"), "test,uar"));
	assert_int_equal(dt_phandle_node(dt, 0x42), at("/soc/serial@2000"));
	assert_int_equal(dt_phandle(dt, at("/soc/serial@2000")), 0x42);
}

static void statuses(void **state)
{
	(void)state;
	open_seed("names");
	assert_true(dt_status_ok(dt, at("/soc")));
	assert_true(dt_status_ok(dt, at("/soc/serial@1000")));
	assert_true(dt_status_ok(dt, at("/soc/serial@2000")));
	assert_false(dt_status_ok(dt, at("/soc/serial@2000,1")));
	assert_false(dt_status_ok(dt, at("/soc/serial-x")));
	assert_false(dt_status_ok(dt, dt_next_sibling(dt, at("/soc/serial-x"))));
}

/* ---- Properties ---- */

static void strings(void **state)
{
	int n, len;

	(void)state;
	open_seed("names");
	n = at("/strings");
	assert_string_equal(dt_string(dt, dt_root(dt), "model"), "Names");
	assert_string_equal(dt_string(dt, n, "list"), "one");
	assert_string_equal(dt_string_at(dt, n, "list", 1), "");
	assert_string_equal(dt_string_at(dt, n, "list", 2), "three");
	assert_null(dt_string_at(dt, n, "list", 3));
	assert_null(dt_string_at(dt, n, "list", -1));
	assert_string_equal(dt_string(dt, n, "tail"), "abc");
	assert_null(dt_string_at(dt, n, "tail", 1));
	assert_null(dt_string(dt, n, "none"));
	assert_null(dt_string(dt, n, "empty"));
	assert_null(dt_string(dt, n, "absent"));
	assert_non_null(dt_prop(dt, n, "empty", &len));
	assert_int_equal(len, 0);
	assert_true(dt_stringlist_has(dt, n, "list", "three"));
	assert_true(dt_stringlist_has(dt, n, "list", ""));
	assert_false(dt_stringlist_has(dt, n, "list", "thre"));
	assert_false(dt_stringlist_has(dt, n, "list", "three3"));
	assert_true(dt_stringlist_has(dt, n, "tail", "abc"));
	assert_false(dt_stringlist_has(dt, n, "tail", "def"));
	assert_false(dt_stringlist_has(dt, n, "none", "abc"));
	assert_false(dt_stringlist_has(dt, n, "empty", ""));
}

static void numbers(void **state)
{
	uint32_t u = 0;
	uint64_t v = 0;
	int n;

	(void)state;
	open_seed("names");
	n = at("/strings");
	assert_int_equal(dt_u32(dt, n, "one-cell", &u), 0);
	assert_int_equal(u, 0x12345678);
	assert_int_equal(dt_u64(dt, n, "one-cell", &v), 0);
	assert_int_equal(v, 0x12345678);
	assert_int_equal(dt_u64(dt, n, "two-cells", &v), 0);
	assert_true(v == 0x123456789abcdef0);
	assert_int_equal(dt_u32(dt, n, "two-cells", &u), -EINVAL);
	assert_int_equal(dt_u64(dt, n, "three-cells", &v), -EINVAL);
	assert_int_equal(dt_u32(dt, n, "empty", &u), -EINVAL);
	assert_int_equal(dt_u64(dt, n, "empty", &v), -EINVAL);
	assert_int_equal(dt_u32(dt, n, "absent", &u), -ENOENT);
	assert_int_equal(dt_u32_at(dt, n, "three-cells", 2, &u), 0);
	assert_int_equal(u, 3);
	assert_int_equal(dt_u32_at(dt, n, "three-cells", 3, &u), -ENOENT);
	assert_int_equal(dt_u32_at(dt, n, "three-cells", -1, &u), -ENOENT);
	assert_int_equal(dt_u32_at(dt, n, "bytes", 0, &u), -EINVAL);
	assert_int_equal(dt_u32_at(dt, n, "absent", 0, &u), -ENOENT);
	assert_int_equal(dt_cells(blob, 0), 0);
}

static void property_walk(void **state)
{
	static const char *const names[] = { "list",     "tail",      "none",        "empty",
					     "one-cell", "two-cells", "three-cells", "bytes" };
	static const int lengths[] = { 11, 7, 3, 0, 4, 8, 12, 5 };
	const char *name;
	size_t i = 0;
	int p, len;

	(void)state;
	open_seed("names");
	for (p = dt_first_prop(dt, at("/strings")); p >= 0; p = dt_next_prop(dt, p), i++) {
		assert_true(i < ARRAY_SIZE(names));
		assert_non_null(dt_prop_at(dt, p, &name, &len));
		assert_string_equal(name, names[i]);
		assert_int_equal(len, lengths[i]);
	}
	assert_int_equal(i, ARRAY_SIZE(names));
	assert_null(dt_prop(dt, at("/strings"), "lis", NULL));
	assert_null(dt_prop(dt, at("/strings"), "list0", NULL));
	assert_non_null(dt_prop_n(dt, at("/strings"), "list0", 4, &len));
	assert_int_equal(dt_first_prop(dt, at("/soc")), -ENOENT);
}

static void chosen(void **state)
{
	const char *options = NULL;
	uint8_t *path;
	int len;

	(void)state;
	open_seed("names");
	assert_string_equal(dt_bootargs(dt), "baud=115200 quiet");
	assert_int_equal(dt_stdout(dt, &options), at("/soc/serial@2000"));
	assert_string_equal(options, "115200n8");
	assert_int_equal(dt_stdout(dt, NULL), at("/soc/serial@2000"));

	path = blob + (dt_prop(dt, at("/chosen"), "stdout-path", &len) - blob);
	assert_int_equal(len, sizeof("serial1:115200n8"));
	memset(path, 0, (size_t)len);
	strcpy((char *)path, "/soc/serial@1000");
	assert_int_equal(dt_stdout(dt, &options), at("/soc/serial@1000"));
	assert_null(options);
	memset(path, 0, (size_t)len);
	strcpy((char *)path, "serial0:");
	assert_int_equal(dt_stdout(dt, &options), at("/soc/serial@1000"));
	assert_string_equal(options, "");
	strcpy((char *)path, ":9600");
	assert_int_equal(dt_stdout(dt, &options), -ENOENT);
	strcpy((char *)path, "ttyS0:9600");
	assert_int_equal(dt_stdout(dt, &options), -ENOENT);
	assert_string_equal(options, "9600");
	memset(path, 'x', (size_t)len);
	assert_int_equal(dt_stdout(dt, &options), -ENOENT);

	open_seed("irq");
	assert_null(dt_bootargs(dt));
	options = "";
	assert_int_equal(dt_stdout(dt, &options), -ENOENT);
	assert_null(options);
}

/* ---- Addresses ---- */

static void reg_is(const char *path, int index, uint64_t addr, uint64_t size)
{
	uint64_t a = ~0ull, s = ~0ull;
	int err = dt_reg(dt, at(path), index, &a, &s);

	if (err || a != addr || s != size)
		fail_msg("%s %d: %d, 0x%llx 0x%llx", path, index, err, (unsigned long long)a,
			 (unsigned long long)s);
}

static void reg_fails(const char *path, int index, int expected)
{
	uint64_t a, s;

	if (dt_reg(dt, at(path), index, &a, &s) != expected)
		fail_msg("%s %d: not %d", path, index, expected);
}

static void registers(void **state)
{
	(void)state;
	open_seed("bus");
	reg_is("/memory@40000000", 0, 0x40000000, 0x10000000);
	reg_is("/memory@40000000", 1, 0x100000000, 0x80000000);
	reg_fails("/memory@40000000", 2, -ENOENT);
	reg_fails("/memory@40000000", -1, -ENOENT);
	reg_is("/memory@200000000", 0, 0x200000000, 0x100000000);
	reg_is("/pcie@c0000000", 0, 0xfd500000, 0x9310);
	reg_is("/wrapping", 0, 0xfffffffffffff000, 0x1000);
	reg_fails("/wrapping", 1, -EINVAL);
	reg_fails("/short-reg", 0, -EINVAL);
	reg_fails("/", 0, -EINVAL);
	reg_fails("/cpus", 0, -ENOENT);
}

static void translation(void **state)
{
	(void)state;
	open_seed("bus");
	reg_is("/soc/serial", 0, 0xfe201000, 0x200);
	reg_is("/soc/serial", 1, 0x1ff800100, 0x10);
	reg_fails("/soc/serial", 2, -EINVAL); /* in no range */
	reg_fails("/soc/serial", 3, -EINVAL); /* sticks out of one */
	reg_is("/soc/i2c", 0, 0xfe205000, 0x20);
	reg_fails("/soc/i2c/rtc", 0, -EINVAL); /* no ranges */
	reg_is("/soc/inner/timer", 0, 0xfe300020, 0x40);
	reg_is("/soc/inner/wide/deep", 0, 0xfe300810, 0x8);
	reg_fails("/soc/inner/wide/deep", 1, -EINVAL);
	reg_is("/soc/plain/rng", 0, 0xfe104000, 0x10);
	reg_fails("/pcie/usb", 0, -EINVAL);
	reg_fails("/cpus/cpu@0", 0, -EINVAL);
	reg_fails("/wrapping/defaults", 0, -EINVAL); /* two cells and one */
}

static void untranslated(void **state)
{
	uint64_t a, s = 9;

	(void)state;
	open_seed("bus");
	assert_int_equal(dt_reg_raw(dt, at("/cpus/cpu@100"), 0, &a, &s), 0);
	assert_int_equal(a, 0x100);
	assert_int_equal(s, 0);
	assert_int_equal(dt_reg_raw(dt, at("/cpus/cpu@100"), 1, &a, &s), -ENOENT);
	assert_int_equal(dt_reg_raw(dt, at("/soc/serial"), 0, &a, &s), 0);
	assert_int_equal(a, 0x7e201000);
	assert_int_equal(dt_u64(dt, at("/cpus/cpu@0"), "cpu-release-addr", &a), 0);
	assert_int_equal(a, 0xd8);
	assert_int_equal(dt_u64(dt, at("/cpus/cpu@100"), "cpu-release-addr", &a), 0);
	assert_int_equal(a, 0xe0);
}

static void cell_counts(void **state)
{
	uint8_t *cells;

	(void)state;
	open_seed("bus");
	assert_int_equal(dt_address_cells(dt, at("/")), 2);
	assert_int_equal(dt_size_cells(dt, at("/")), 2);
	assert_int_equal(dt_address_cells(dt, at("/pcie")), 3);
	assert_int_equal(dt_size_cells(dt, at("/cpus")), 0);
	assert_int_equal(dt_address_cells(dt, at("/wrapping")), 2);
	assert_int_equal(dt_size_cells(dt, at("/wrapping")), 1);
	cells = blob + (dt_prop(dt, at("/cpus"), "#address-cells", NULL) - blob);
	put32(cells, 5);
	assert_int_equal(dt_address_cells(dt, at("/cpus")), -EINVAL);
	put32(cells, 0);
	assert_int_equal(dt_address_cells(dt, at("/cpus")), 0);
	reg_fails("/cpus/cpu@0", 0, -EINVAL);
}

static void wrapping_ranges(void **state)
{
	uint8_t *ranges;

	(void)state;
	open_seed("bus");
	ranges = blob + (dt_prop(dt, at("/soc"), "ranges", NULL) - blob);
	assert_int_equal(get32(ranges + 4), 0);
	put32(ranges + 4, 0xffffffff);
	put32(ranges + 8, 0xff000000);
	reg_fails("/soc/serial", 0, -EINVAL);
	put32(ranges + 8, 0xfe800000);
	reg_is("/soc/serial", 0, 0xfffffffffea01000, 0x200);
	/* Children's addresses that run over the end. */
	open_seed("bus");
	ranges = blob + (dt_prop(dt, at("/soc/inner/wide"), "ranges", NULL) - blob);
	memset(ranges, 0xff, 20);
	put32(ranges + 4, 0xfffff800);
	put32(ranges + 8, 0);
	reg_fails("/soc/inner/wide/deep", 0, -EINVAL);
	/* A length that is no multiple of an entry. */
	ranges = blob + (dt_prop(dt, at("/soc"), "ranges", NULL) - blob);
	reg_is("/soc/serial", 0, 0xfe201000, 0x200);
	put32(ranges - 8, 31);
	reg_fails("/soc/serial", 0, -EINVAL);
}

static void reservations(void **state)
{
	uint64_t a, s;

	(void)state;
	open_seed("bus");
	assert_int_equal(dt_memreserve(dt, 0, &a, &s), 0);
	assert_int_equal(a, 0);
	assert_int_equal(s, 0x1000);
	assert_int_equal(dt_memreserve(dt, 1, &a, &s), 0);
	assert_int_equal(a, 0x123400000);
	assert_int_equal(s, 0x20000);
	assert_int_equal(dt_memreserve(dt, 2, &a, &s), -ENOENT);
	assert_int_equal(dt_memreserve(dt, -1, &a, &s), -ENOENT);
	assert_int_equal(dt_memreserve(dt, INT32_MAX, &a, &s), -ENOENT);
}

/* ---- Interrupts and other phandle lists ---- */

static void irq_is(const char *path, int index, const char *to, int n, uint32_t c0, uint32_t c1,
		   uint32_t c2)
{
	uint32_t cells[DT_ARGS_MAX] = { 0 };
	int count = -1, controller = -1;
	int err = dt_interrupt(dt, at(path), index, cells, &count, &controller);

	if (err || count != n || controller != at(to) || cells[0] != c0 || cells[1] != c1 ||
	    cells[2] != c2)
		fail_msg("%s %d: %d, %d cells <%u %u %u> to %d", path, index, err, count, cells[0],
			 cells[1], cells[2], controller);
}

static void irq_fails(const char *path, int index, int expected)
{
	uint32_t cells[DT_ARGS_MAX];
	int n, controller, err = dt_interrupt(dt, at(path), index, cells, &n, &controller);

	if (err != expected)
		fail_msg("%s %d: %d, not %d", path, index, err, expected);
}

static void interrupts(void **state)
{
	(void)state;
	open_seed("irq");
	irq_is("/timer", 0, "/gic", 3, 1, 13, 4);
	irq_is("/timer", 3, "/gic", 3, 1, 10, 4);
	irq_fails("/timer", 4, -ENOENT);
	irq_fails("/timer", -1, -ENOENT);
	irq_is("/gic", 0, "/gic", 3, 1, 9, 4);
	irq_is("/soc/uart", 0, "/plic", 1, 10, 0, 0);
	irq_is("/soc/bus/spi", 1, "/plic", 1, 6, 0, 0);
	irq_is("/soc/bus/own", 0, "/gic", 3, 0, 33, 4);
	irq_is("/soc/both", 0, "/gic", 3, 0, 1, 4);
	irq_is("/combiner/child", 1, "/combiner", 2, 3, 4, 0);
	irq_fails("/soc", 0, -ENOENT);
	irq_fails("/nexus/slot", 0, -ENOTSUP);
	irq_fails("/square", 0, -EINVAL);
	irq_fails("/lost", 0, -EINVAL);
	irq_fails("/ragged", 0, -EINVAL);
	irq_is("/cut", 0, "/gic", 3, 0, 1, 4);
	irq_fails("/cut", 1, -EINVAL);
	irq_fails("/toomany/user", 0, -EINVAL);
}

static void plic_contexts(void **state)
{
	static const char *const cpus[] = { "/cpus/cpu@0", "/cpus/cpu@0", NULL, "/cpus/cpu@1",
					    "/cpus/cpu@1" };
	static const uint32_t sources[] = { 0xffffffff, 9, 0, 11, 9 };
	uint32_t cells[DT_ARGS_MAX];
	struct dt_args it;
	int controller, n, i;

	(void)state;
	open_seed("irq");
	assert_int_equal(
		dt_args_begin(dt, at("/plic"), "interrupts-extended", "#interrupt-cells", &it), 0);
	for (i = 0; i < 5; i++) {
		int expected = cpus[i] ? 0 : -ENODEV;

		assert_int_equal(dt_args_next(dt, &it), expected);
		assert_int_equal(dt_interrupts_extended_at(dt, at("/plic"), i, &controller, cells,
							   &n),
				 expected);
		if (expected)
			continue;
		assert_int_equal(n, 1);
		assert_int_equal(cells[0], sources[i]);
		assert_int_equal(it.cells[0], sources[i]);
		assert_int_equal(controller, it.target);
		assert_int_equal(dt_parent(dt, controller), at(cpus[i]));
	}
	assert_int_equal(dt_args_next(dt, &it), -ENOENT);
	assert_int_equal(dt_args_next(dt, &it), -ENOENT);
	assert_int_equal(dt_interrupts_extended_at(dt, at("/plic"), 5, &controller, cells, &n),
			 -ENOENT);
	assert_int_equal(dt_interrupts_extended_at(dt, at("/gic"), 0, &controller, cells, &n),
			 -ENOENT);
}

static int clock_of(const char *path, int index, struct dt_args *it)
{
	return dt_phandle_args(dt, at(path), "clocks", "#clock-cells", index, it);
}

static void clocks(void **state)
{
	struct dt_args it;
	uint32_t hz;

	(void)state;
	open_seed("irq");
	assert_int_equal(clock_of("/timer", 0, &it), 0);
	assert_int_equal(it.target, at("/fixed-clock"));
	assert_int_equal(it.n, 0);
	assert_int_equal(dt_u32(dt, it.target, "clock-frequency", &hz), 0);
	assert_int_equal(hz, 24000000);
	assert_int_equal(clock_of("/timer", 1, &it), 0);
	assert_int_equal(it.target, at("/pll"));
	assert_int_equal(it.n, 2);
	assert_int_equal(it.cells[0], 3);
	assert_int_equal(it.cells[1], 7);
	assert_int_equal(clock_of("/timer", 2, &it), -ENODEV);
	assert_int_equal(clock_of("/timer", 3, &it), 0);
	assert_int_equal(it.target, at("/fixed-clock"));
	assert_int_equal(clock_of("/timer", 4, &it), -ENOENT);
	assert_int_equal(clock_of("/timer", INT32_MIN, &it), -ENOENT);
	assert_int_equal(clock_of("/toomany/user", 0, &it), -EINVAL);
	assert_int_equal(clock_of("/gic", 0, &it), -ENOENT);
}

/* ---- Machines ---- */

static int cpu_count(void)
{
	int n, count = 0;

	for (n = dt_first_child(dt, at("/cpus")); n >= 0; n = dt_next_sibling(dt, n)) {
		const char *type = dt_string(dt, n, "device_type");

		count += type && strcmp(type, "cpu") == 0;
	}
	return count;
}

static void qemu_arm64(void **state)
{
	static const char *const seeds[] = { "qemu-arm64-gicv2", "qemu-arm64-gicv3" };
	static const char *const gics[] = { "arm,cortex-a15-gic", "arm,gic-v3" };
	static const uint64_t second[] = { 0x8010000, 0x80a0000 };
	int out, timer, gic;

	(void)state;
	for (int i = 0; i < 2; i++) {
		char path[64];

		open_seed(seeds[i]);
		out = dt_stdout(dt, NULL);
		assert_true(dt_compatible(dt, out, "arm,pl011"));
		snprintf(path, sizeof(path), "/%s", dt_name(dt, out));
		reg_is(path, 0, 0x9000000, 0x1000);
		reg_is("/memory", 0, 0x40000000, 0x20000000);
		gic = dt_node_by_compatible(dt, DT_START, gics[i]);
		snprintf(path, sizeof(path), "/%s", dt_name(dt, gic));
		reg_is(path, 0, 0x8000000, 0x10000);
		reg_is(path, 1, second[i], i ? 0xf60000 : 0x10000);
		irq_is("/pl011", 0, path, 3, 0, 1, 4);
		timer = dt_node_by_compatible(dt, DT_START, "arm,armv8-timer");
		snprintf(path, sizeof(path), "/%s", dt_name(dt, timer));
		irq_is(path, 2, dt_name(dt, gic)[0] ? "/intc" : "", 3, 1, 11, i ? 4 : 0x304);
		assert_string_equal(dt_string(dt, at("/psci"), "method"), "hvc");
		assert_int_equal(cpu_count(), i ? 18 : 2);
	}
}

static void qemu_riscv64(void **state)
{
	static const char *const seeds[] = { "qemu-riscv64", "qemu-riscv64-aia" };
	const char *options;
	uint32_t hz;

	(void)state;
	for (int i = 0; i < 2; i++) {
		open_seed(seeds[i]);
		assert_true(dt_compatible(dt, dt_stdout(dt, &options), "ns16550a"));
		reg_is("/soc/serial", 0, 0x10000000, 0x100);
		reg_is("/memory", 0, 0x80000000, 0x20000000);
		assert_int_equal(dt_u32(dt, at("/cpus"), "timebase-frequency", &hz), 0);
		assert_int_equal(hz, 10000000);
		assert_int_equal(cpu_count(), 2);
	}
	open_seed("qemu-riscv64");
	irq_is("/soc/serial", 0, "/soc/plic", 1, 10, 0, 0);
	irq_is("/soc/plic", 1, "/cpus/cpu@0/interrupt-controller", 1, 9, 0, 0);
	irq_is("/soc/plic", 3, "/cpus/cpu@1/interrupt-controller", 1, 9, 0, 0);
	irq_fails("/soc/plic", 4, -ENOENT);
	open_seed("qemu-riscv64-sifive");
	assert_int_equal(cpu_count(), 5);
	assert_true(dt_compatible(dt, dt_stdout(dt, NULL), "sifive,uart0"));
}

static int drop_blob(void **state)
{
	(void)state;
	free(blob);
	blob = NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structure_rules),
		cmocka_unit_test(property_lengths),
		cmocka_unit_test(unterminated_texts),
		cmocka_unit_test(depth_limit),
		cmocka_unit_test(both_phandle_names),
		cmocka_unit_test(header_rules),
		cmocka_unit_test(reservations_without_end),
		cmocka_unit_test(truncated_everywhere),
		cmocka_unit_test(every_byte_damaged),
		cmocka_unit_test(walking),
		cmocka_unit_test(no_node),
		cmocka_unit_test(paths),
		cmocka_unit_test(aliases),
		cmocka_unit_test(compatibles),
		cmocka_unit_test(statuses),
		cmocka_unit_test(strings),
		cmocka_unit_test(numbers),
		cmocka_unit_test(property_walk),
		cmocka_unit_test(chosen),
		cmocka_unit_test(registers),
		cmocka_unit_test(translation),
		cmocka_unit_test(untranslated),
		cmocka_unit_test(cell_counts),
		cmocka_unit_test(wrapping_ranges),
		cmocka_unit_test(reservations),
		cmocka_unit_test(interrupts),
		cmocka_unit_test(plic_contexts),
		cmocka_unit_test(clocks),
		cmocka_unit_test(qemu_arm64),
		cmocka_unit_test(qemu_riscv64),
	};

	return cmocka_run_group_tests(tests, NULL, drop_blob);
}
