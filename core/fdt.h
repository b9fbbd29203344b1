/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a flattened device tree. Every call stays inside the tree's own bytes, whatever they
 * hold, loads single bytes, needs neither heap nor MMU and is linear in the tree (a list of
 * phandles: in the tree, times the list). Context: any; the blob must not change while it is used.
 *
 * A node is an int: its offset in the structure block. A negative node means "none" and every call
 * takes it as such, so lookups can be nested without a check between them. Pointers that are
 * returned point into the blob. Errors: -ENOENT when the thing is not there, -EINVAL when it is
 * there and malformed.
 */
#pragma once

#include "core/base.h"

#define DT_START     (-1) /* "before the root": dt_next_node(), dt_node_by_compatible() */
#define DT_DEPTH_MAX 64   /* levels of nodes, the root included */
#define DT_ARGS_MAX  8    /* cells of one interrupt or one phandle argument list */

struct dt {
	const uint8_t *blob;
	size_t size; /* totalsize of the header: all bytes that may be read */
	uint32_t struct_off;
	uint32_t struct_bytes;
	uint32_t strings_off;
	uint32_t strings_bytes; /* up to and with the last NUL */
	uint32_t reserve_off;
};

/*
 * Checks header, reservations, structure and property names once; reads at most @max_bytes. -EINVAL
 * with *why set to a reason such as "bad magic". Before dt_open() has returned 0 no other call may
 * be made on @dt.
 */
int __must_check dt_open(struct dt *dt, const void *blob, size_t max_bytes, const char **why);
int __must_check dt_check(const void *blob, size_t max_bytes, const char **why);
/* Entry @index of the memory reservation block; -ENOENT behind the last. */
int dt_memreserve(const struct dt *dt, int index, uint64_t *addr, uint64_t *size);

/* Nodes. */
int dt_root(const struct dt *dt);
/*
 * Preorder. *depth (may be NULL) goes up and down with the nodes; the walk ends with -ENOENT at the
 * end of the tree, or where *depth would fall below 0: started with 0 it visits the node's
 * descendants (depth > 0), then its later siblings.
 */
int dt_next_node(const struct dt *dt, int node, int *depth);
int dt_first_child(const struct dt *dt, int node);
int dt_next_sibling(const struct dt *dt, int node);
int dt_parent(const struct dt *dt, int node);
/* Fills @chain from the root down to @node itself; returns the node's index in it, its depth. */
int dt_ancestors(const struct dt *dt, int node, int chain[DT_DEPTH_MAX]);
/* With the unit address; NULL when @node is none. The root's is "". */
const char *dt_name(const struct dt *dt, int node);
/* Absolute path. A component without "@unit" stands for the first child with that name. */
int dt_path_node(const struct dt *dt, const char *path);
/* The same from @node downwards with the first @len characters of @path. */
int dt_subpath(const struct dt *dt, int node, const char *path, size_t len);
/* "name" or "name/rest" through /aliases, or an absolute path. */
int dt_alias_node(const struct dt *dt, const char *path);
/* Looks for "phandle" and its old form "linux,phandle" alike. */
int dt_phandle_node(const struct dt *dt, uint32_t phandle);
/* 0 when the node has none. */
uint32_t dt_phandle(const struct dt *dt, int node);
/* The next node after @after (DT_START: the first) whose compatible list holds @compatible. */
int dt_node_by_compatible(const struct dt *dt, int after, const char *compatible);
bool dt_compatible(const struct dt *dt, int node, const char *compatible);
/* The node has no status, or "okay" or "ok". */
bool dt_status_ok(const struct dt *dt, int node);

/* Properties. *len may be NULL; it is -ENOENT with a NULL result, and 0 for an empty property. */
const uint8_t *dt_prop(const struct dt *dt, int node, const char *name, int *len);
const uint8_t *dt_prop_n(const struct dt *dt, int node, const char *name, size_t name_len,
			 int *len);
int dt_first_prop(const struct dt *dt, int node);
int dt_next_prop(const struct dt *dt, int prop);
const uint8_t *dt_prop_at(const struct dt *dt, int prop, const char **name, int *len);
/* Index of the first @byte in @text, or @max. */
size_t dt_find_byte(const void *text, char byte, size_t max);
/* Big-endian value of @cells (0..2) cells. */
uint64_t dt_cells(const uint8_t *value, int cells);
/* A property of exactly one cell; of one or two cells; cell @index of a list. */
int dt_u32(const struct dt *dt, int node, const char *name, uint32_t *out);
int dt_u64(const struct dt *dt, int node, const char *name, uint64_t *out);
int dt_u32_at(const struct dt *dt, int node, const char *name, int index, uint32_t *out);
/* First string of the property; NULL when it is absent or not terminated inside the property. */
const char *dt_string(const struct dt *dt, int node, const char *name);
/* String @index of a list, NULL behind the last. */
const char *dt_string_at(const struct dt *dt, int node, const char *name, int index);
bool dt_stringlist_has(const struct dt *dt, int node, const char *name, const char *string);

/* #address-cells (default 2) and #size-cells (default 1) for the children of @bus; at most 4. */
int dt_address_cells(const struct dt *dt, int bus);
int dt_size_cells(const struct dt *dt, int bus);
/*
 * Entry @index of reg, -ENOENT behind the last. dt_reg_raw() gives the numbers as they stand (the
 * id of a CPU); dt_reg() gives a CPU physical address, translated by the ranges of all ancestors
 * (empty: identity; absent: -EINVAL). -EINVAL as well for addresses of more than two cells (PCI)
 * and a block that wraps or leaves its range.
 */
int dt_reg_raw(const struct dt *dt, int node, int index, uint64_t *addr, uint64_t *size);
int dt_reg(const struct dt *dt, int node, int index, uint64_t *addr, uint64_t *size);

/*
 * A list of <phandle argument...> in which each target names its argument count in @cells_name
 * ("#clock-cells"). dt_args_next() fills target, n and cells: 0; -ENODEV for an entry that is left
 * empty (phandle 0); -ENOENT at the end; -EINVAL where the list cannot be read further.
 * dt_phandle_args() does the same for entry @index alone.
 */
struct dt_args {
	const uint8_t *rest; /* private: what is still to be read */
	int rest_bytes;
	const char *cells_name;
	int target;
	int n;
	uint32_t cells[DT_ARGS_MAX];
};
int dt_args_begin(const struct dt *dt, int node, const char *list, const char *cells_name,
		  struct dt_args *it);
int dt_args_next(const struct dt *dt, struct dt_args *it);
int dt_phandle_args(const struct dt *dt, int node, const char *list, const char *cells_name,
		    int index, struct dt_args *it);
/*
 * Interrupt @index of @node, by interrupts-extended or by interrupts and the inherited
 * interrupt-parent. -ENOENT behind the last, -ENOTSUP when the controller is a nexus
 * (interrupt-map).
 */
int dt_interrupt(const struct dt *dt, int node, int index, uint32_t cells[DT_ARGS_MAX], int *n,
		 int *controller);
/*
 * Entry @index of interrupts-extended, as dt_phandle_args(): for a PLIC, @index is the context. To
 * visit all of many entries use dt_args_begin(... "interrupts-extended", "#interrupt-cells" ...).
 */
int dt_interrupts_extended_at(const struct dt *dt, int node, int index, int *controller,
			      uint32_t cells[DT_ARGS_MAX], int *n);

/* /chosen. NULL when there are none. */
const char *dt_bootargs(const struct dt *dt);
/* The node of stdout-path. *options: what follows its ":", as in "115200n8", or NULL. */
int dt_stdout(const struct dt *dt, const char **options);
