/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What property values in a device tree mean: numbers, strings, aliases, register blocks as the CPU
 * sees them, argument lists behind phandles, and where interrupts go (Devicetree Specification 0.4,
 * chapters 2 and 3).
 * Rules: built on the public calls of core/fdt.c, which hand out a property only with all of its
 * bytes inside the blob; here every count and string is measured against that length before it
 * moves a pointer. No locks, no state, no recursion; usable before the MMU is on.
 * What may never happen: an address that wraps, or a walk along phandles without a bound.
 */
#include "core/fdt.h"
#include "core/string.h"

/* A property of one cell, or of @max_bytes. */
static int number(const struct dt *dt, int node, const char *name, int max_bytes, uint64_t *out)
{
	int len;
	const uint8_t *value = dt_prop(dt, node, name, &len);

	if (!value)
		return -ENOENT;
	if (len != 4 && len != max_bytes)
		return -EINVAL;
	*out = dt_cells(value, len / 4);
	return 0;
}

int dt_u64(const struct dt *dt, int node, const char *name, uint64_t *out)
{
	return number(dt, node, name, 8, out);
}

int dt_u32(const struct dt *dt, int node, const char *name, uint32_t *out)
{
	uint64_t value;
	int err = number(dt, node, name, 4, &value);

	if (!err)
		*out = (uint32_t)value;
	return err;
}

int dt_u32_at(const struct dt *dt, int node, const char *name, int index, uint32_t *out)
{
	int len;
	const uint8_t *value = dt_prop(dt, node, name, &len);

	if (!value || len % 4)
		return value ? -EINVAL : -ENOENT;
	if (index < 0 || index >= len / 4)
		return -ENOENT;
	*out = (uint32_t)dt_cells(value + 4 * index, 1);
	return 0;
}

uint32_t dt_phandle(const struct dt *dt, int node)
{
	uint32_t phandle;

	if (dt_u32(dt, node, "phandle", &phandle) && dt_u32(dt, node, "linux,phandle", &phandle))
		return 0;
	return phandle;
}

/* Takes a terminated string off the front of a list; NULL: there is none. */
static const char *next_string(const uint8_t **list, int *len)
{
	const char *string = (const char *)*list;
	int n = string && *len > 0 ? (int)dt_find_byte(string, '\0', (size_t)*len) : *len;

	if (n >= *len)
		return NULL;
	*len -= n + 1;
	*list += n + 1;
	return string;
}

const char *dt_string_at(const struct dt *dt, int node, const char *name, int index)
{
	int len;
	const uint8_t *list = dt_prop(dt, node, name, &len);
	const char *string;

	do
		string = index < 0 ? NULL : next_string(&list, &len);
	while (string && index-- > 0);
	return string;
}

const char *dt_string(const struct dt *dt, int node, const char *name)
{
	return dt_string_at(dt, node, name, 0);
}

bool dt_stringlist_has(const struct dt *dt, int node, const char *name, const char *string)
{
	int len;
	const uint8_t *list = dt_prop(dt, node, name, &len);
	const char *entry;

	do
		entry = next_string(&list, &len);
	while (entry && strcmp(entry, string));
	return entry != NULL;
}

bool dt_compatible(const struct dt *dt, int node, const char *compatible)
{
	return dt_stringlist_has(dt, node, "compatible", compatible);
}

int dt_node_by_compatible(const struct dt *dt, int after, const char *compatible)
{
	do
		after = dt_next_node(dt, after, NULL);
	while (after >= 0 && !dt_compatible(dt, after, compatible));
	return after;
}

bool dt_status_ok(const struct dt *dt, int node)
{
	const char *status = dt_string(dt, node, "status");

	if (!status)
		return dt_name(dt, node) && !dt_prop(dt, node, "status", NULL);
	return !strcmp(status, "okay") || !strcmp(status, "ok");
}

static int cell_count(const struct dt *dt, int bus, const char *name, int fallback)
{
	uint32_t cells;
	int err = dt_u32(dt, bus, name, &cells);

	if (err)
		return err == -ENOENT ? fallback : err;
	return cells <= 4 ? (int)cells : -EINVAL;
}

int dt_address_cells(const struct dt *dt, int bus)
{
	return cell_count(dt, bus, "#address-cells", 2);
}

int dt_size_cells(const struct dt *dt, int bus)
{
	return cell_count(dt, bus, "#size-cells", 1);
}

/* Entry @index of reg in a child of @bus. */
static int read_reg(const struct dt *dt, int bus, int node, int index, uint64_t *addr,
		    uint64_t *size)
{
	int ac = dt_address_cells(dt, bus), sc = dt_size_cells(dt, bus), len;
	const uint8_t *reg = dt_prop(dt, node, "reg", &len);

	if (!reg)
		return -ENOENT;
	if (ac < 1 || ac > 2 || sc < 0 || sc > 2 || len % (4 * (ac + sc)))
		return -EINVAL;
	if (index < 0 || index >= len / (4 * (ac + sc)))
		return -ENOENT;
	reg += 4 * (ac + sc) * index;
	*addr = dt_cells(reg, ac);
	*size = dt_cells(reg + 4 * ac, sc);
	return *size && *size - 1 > UINT64_MAX - *addr ? -EINVAL : 0;
}

int dt_reg_raw(const struct dt *dt, int node, int index, uint64_t *addr, uint64_t *size)
{
	return read_reg(dt, dt_parent(dt, node), node, index, addr, size);
}

/* From an address on @bus to one on @outer, the bus that @bus hangs on. */
static int translate(const struct dt *dt, int bus, int outer, uint64_t *addr, uint64_t size)
{
	int ac = dt_address_cells(dt, bus), sc = dt_size_cells(dt, bus), len;
	int oc = dt_address_cells(dt, outer), step = 4 * (ac + oc + sc);
	const uint8_t *range = dt_prop(dt, bus, "ranges", &len);

	if (!range || len == 0)
		return range ? 0 : -EINVAL;
	if (ac < 1 || ac > 2 || oc < 1 || oc > 2 || sc < 1 || sc > 2 || len % step)
		return -EINVAL;
	for (; len > 0; len -= step, range += step) {
		uint64_t span = dt_cells(range + 4 * (ac + oc), sc);
		uint64_t in = *addr - dt_cells(range, ac), to = dt_cells(range + 4 * ac, oc);

		if (in >= span || size > span - in || *addr < in)
			continue;
		if (span - 1 > UINT64_MAX - to)
			return -EINVAL;
		*addr = to + in;
		return 0;
	}
	return -EINVAL;
}

int dt_reg(const struct dt *dt, int node, int index, uint64_t *addr, uint64_t *size)
{
	int chain[DT_DEPTH_MAX];
	int depth = dt_ancestors(dt, node, chain), err;

	if (depth < 1)
		return -EINVAL;
	err = read_reg(dt, chain[depth - 1], node, index, addr, size);
	for (int bus = depth - 1; bus > 0 && !err; bus--)
		err = translate(dt, chain[bus], chain[bus - 1], addr, *size);
	return err;
}

static void copy_cells(uint32_t *to, const uint8_t *from, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = (uint32_t)dt_cells(from + 4 * i, 1);
}

int dt_args_begin(const struct dt *dt, int node, const char *list, const char *cells_name,
		  struct dt_args *it)
{
	it->cells_name = cells_name;
	it->rest = dt_prop(dt, node, list, &it->rest_bytes);
	return it->rest ? 0 : -ENOENT;
}

int dt_args_next(const struct dt *dt, struct dt_args *it)
{
	uint32_t phandle, cells = 0;

	if (it->rest_bytes < 4)
		return it->rest_bytes > 0 ? -EINVAL : -ENOENT;
	phandle = (uint32_t)dt_cells(it->rest, 1);
	it->target = dt_phandle_node(dt, phandle);
	if (phandle && (dt_u32(dt, it->target, it->cells_name, &cells) || cells > DT_ARGS_MAX))
		return -EINVAL;
	it->n = (int)cells;
	if (it->n > it->rest_bytes / 4 - 1)
		return -EINVAL;
	copy_cells(it->cells, it->rest + 4, it->n);
	it->rest += 4 * (1 + it->n);
	it->rest_bytes -= 4 * (1 + it->n);
	return phandle ? 0 : -ENODEV;
}

int dt_phandle_args(const struct dt *dt, int node, const char *list, const char *cells_name,
		    int index, struct dt_args *it)
{
	int err = index < 0 ? -ENOENT : dt_args_begin(dt, node, list, cells_name, it);

	if (err)
		return err;
	do
		err = dt_args_next(dt, it);
	while (index-- > 0 && (err == 0 || err == -ENODEV));
	return err;
}

static int extended_interrupt(const struct dt *dt, int node, int index, struct dt_args *it)
{
	return dt_phandle_args(dt, node, "interrupts-extended", "#interrupt-cells", index, it);
}

static void interrupt_copy(const struct dt_args *it, uint32_t *cells, int *n, int *controller)
{
	*controller = it->target;
	*n = it->n;
	for (int i = 0; i < it->n; i++)
		cells[i] = it->cells[i];
}

int dt_interrupts_extended_at(const struct dt *dt, int node, int index, int *controller,
			      uint32_t cells[DT_ARGS_MAX], int *n)
{
	struct dt_args it;
	int err = extended_interrupt(dt, node, index, &it);

	if (!err)
		interrupt_copy(&it, cells, n, controller);
	return err;
}

/*
 * What @node's interrupts go to: the nearest node with #interrupt-cells on the way up, where an
 * interrupt-parent replaces the parent. Phandles can form a circle, hence the bound.
 */
static int interrupt_parent(const struct dt *dt, int node)
{
	for (int hop = 0; hop < DT_DEPTH_MAX && node >= 0; hop++) {
		uint32_t phandle;
		int err = dt_u32(dt, node, "interrupt-parent", &phandle);

		if (err == -EINVAL)
			break;
		node = err ? dt_parent(dt, node) : dt_phandle_node(dt, phandle);
		if (dt_prop(dt, node, "#interrupt-cells", NULL))
			return node;
	}
	return -EINVAL;
}

static int plain_interrupt(const struct dt *dt, int node, int index, struct dt_args *it)
{
	int len, bytes;
	const uint8_t *list = dt_prop(dt, node, "interrupts", &len);
	uint32_t count;

	it->target = interrupt_parent(dt, node);
	if (!list)
		return -ENOENT;
	if (dt_u32(dt, it->target, "#interrupt-cells", &count) || count < 1 ||
	    count > DT_ARGS_MAX || len % (int)(4 * count))
		return -EINVAL;
	it->n = (int)count;
	bytes = 4 * it->n;
	if (index < 0 || index >= len / bytes)
		return -ENOENT;
	copy_cells(it->cells, list + bytes * index, it->n);
	return 0;
}

int dt_interrupt(const struct dt *dt, int node, int index, uint32_t cells[DT_ARGS_MAX], int *n,
		 int *controller)
{
	struct dt_args it;
	int err = dt_prop(dt, node, "interrupts-extended", NULL) ?
			  extended_interrupt(dt, node, index, &it) :
			  plain_interrupt(dt, node, index, &it);

	if (err)
		return err;
	interrupt_copy(&it, cells, n, controller);
	return dt_prop(dt, it.target, "interrupt-map", NULL) ? -ENOTSUP : 0;
}

/* The first @len characters: a path, or an alias (which must lead to a path) and what follows. */
static int resolve(const struct dt *dt, const char *path, size_t len)
{
	size_t name_len = dt_find_byte(path, '/', len);
	const uint8_t *alias;
	const char *target;
	int aliases, bytes;

	if (len == 0)
		return -ENOENT;
	if (name_len == 0)
		return dt_subpath(dt, dt_root(dt), path, len);
	aliases = dt_path_node(dt, "/aliases");
	alias = dt_prop_n(dt, aliases, path, name_len, &bytes);
	target = next_string(&alias, &bytes);
	return target ? dt_subpath(dt, dt_path_node(dt, target), path + name_len, len - name_len) :
			-ENOENT;
}

int dt_alias_node(const struct dt *dt, const char *path)
{
	return resolve(dt, path, strlen(path));
}

const char *dt_bootargs(const struct dt *dt)
{
	return dt_string(dt, dt_path_node(dt, "/chosen"), "bootargs");
}

int dt_stdout(const struct dt *dt, const char **options)
{
	int chosen = dt_path_node(dt, "/chosen");
	const char *path = dt_string(dt, chosen, "stdout-path");
	size_t len;

	if (!path)
		path = dt_string(dt, chosen, "linux,stdout-path");
	len = path ? dt_find_byte(path, ':', strlen(path)) : 0;
	if (options)
		*options = path && path[len] == ':' ? path + len + 1 : NULL;
	return path ? resolve(dt, path, len) : -ENOENT;
}
