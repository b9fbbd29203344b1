/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flattened device tree reader (Devicetree Specification 0.4, chapters 2 and 5; version 17 blobs).
 * Rules: the blob is untrusted. Everything that is read from the structure block goes through
 * tag_at(), which hands out a tag only when it lies inside the block with all of its payload;
 * strings are bounded by the last NUL of the strings block. dt_open() rejects a broken tree early,
 * with a reason, but no other function depends on that for its bounds. No locks, no recursion, no
 * state and no tables of pointers. Every load is naturally aligned, so that it would be right even
 * before the MMU is on; a blob that does not lie at a multiple of four is rejected. What may never happen: a read outside [blob, blob + totalsize), or a loop
 * that does not advance.
 */
#include "core/fdt.h"
#include "core/string.h"

#define HEADER_BYTES (4 * HEADER_WORDS)
#define VERSION      17
#define PROP_HEADER  8 /* length and name offset behind the tag */

/* The words of the header. */
enum {
	MAGIC,
	TOTAL_SIZE,
	STRUCT_OFF,
	STRINGS_OFF,
	RESERVE_OFF,
	LAST_VERSION,
	OLDEST_COMPATIBLE,
	BOOT_CPU,
	STRINGS_BYTES,
	STRUCT_BYTES,
	HEADER_WORDS,
};

enum {
	TAG_BAD = 0,
	TAG_BEGIN_NODE = 1,
	TAG_END_NODE = 2,
	TAG_PROP = 3,
	TAG_NOP = 4,
	TAG_END = 9,
};

/* The blob, and in it tags, lengths and values, lie at multiples of four. */
static uint32_t be32(const uint8_t *p)
{
	return __builtin_bswap32(*(const uint32_t *)(const void *)p);
}

__noinline size_t dt_find_byte(const void *text, char byte, size_t max)
{
	const char *s = text;
	size_t i = 0;

	while (i < max && s[i] != byte)
		i++;
	return i;
}

/*
 * The tag at @off, with *next behind its payload. Anything that is not a whole tag reads as
 * TAG_BAD, which ends every loop; a name that TAG_BEGIN_NODE leads is known to be terminated and
 * the value of TAG_PROP to be inside the block.
 */
static uint32_t tag_at(const struct dt *dt, uint32_t off, uint32_t *next)
{
	const uint8_t *p = dt->blob + dt->struct_off;
	uint32_t room, tag, len = 0;

	if (off % 4 || off >= dt->struct_bytes)
		return TAG_BAD;
	tag = be32(p + off);
	off += 4;
	room = dt->struct_bytes - off;
	if (tag == TAG_BEGIN_NODE) {
		len = (uint32_t)strnlen((const char *)p + off, room) + 1;
	} else if (tag == TAG_PROP) {
		if (room < PROP_HEADER || be32(p + off) > room - PROP_HEADER)
			return TAG_BAD;
		len = PROP_HEADER + be32(p + off);
	} else if (tag != TAG_END_NODE && tag != TAG_NOP && tag != TAG_END) {
		return TAG_BAD;
	}
	if (ALIGN_UP(len, 4) > room)
		return TAG_BAD;
	*next = off + ALIGN_UP(len, 4);
	return tag;
}

static const char *prop_name(const struct dt *dt, uint32_t prop)
{
	uint32_t off = be32(dt->blob + dt->struct_off + prop + 8);

	return off < dt->strings_bytes ? (const char *)dt->blob + dt->strings_off + off : NULL;
}

static const char *check_reservations(const struct dt *dt)
{
	uint64_t addr, size;

	for (int i = 0; dt_memreserve(dt, i, &addr, &size) == 0; i++)
		if (16 * ((size_t)i + 2) > dt->size - dt->reserve_off)
			return "memory reservation block without an end";
	return NULL;
}

static const char *check_structure(const struct dt *dt)
{
	bool root = false, props = false; /* the root was seen; properties may stand here */
	uint32_t tag, next, off = 0;
	int depth = 0;

	while ((tag = tag_at(dt, off, &next)) != TAG_END) {
		if (tag == TAG_BAD)
			return "bad or truncated tag in the structure block";
		if (tag == TAG_BEGIN_NODE) {
			if (depth == 0 && root)
				return "more than one root node";
			if (++depth > DT_DEPTH_MAX)
				return "nodes nested too deeply";
			root = props = true;
		} else if (tag == TAG_END_NODE) {
			if (--depth < 0)
				return "end of a node that was not begun";
			props = false;
		} else if (tag == TAG_PROP) {
			if (!props)
				return "property outside a node or behind a subnode";
			if (!prop_name(dt, off))
				return "property name outside the strings block";
		}
		off = next;
	}
	if (depth > 0)
		return "node without an end";
	return root ? NULL : "no root node";
}

static bool misplaced(const struct dt *dt, size_t off, size_t bytes, size_t align)
{
	return off % align || off < HEADER_BYTES || off > dt->size || bytes > dt->size - off;
}

/* Fills @dt from the header; the reason when it is unfit. */
static const char *read_header(struct dt *dt, const uint8_t *blob, size_t max_bytes)
{
	uint32_t header[HEADER_WORDS];

	if (max_bytes < HEADER_BYTES)
		return "truncated header";
	if ((uintptr_t)blob % 4)
		return "not at a multiple of four";
	for (unsigned i = 0; i < HEADER_WORDS; i++)
		header[i] = be32(blob + 4 * i);
	if (header[MAGIC] != 0xd00dfeedu)
		return "bad magic";
	*dt = (struct dt){ .blob = blob,
			   .size = header[TOTAL_SIZE],
			   .struct_off = header[STRUCT_OFF],
			   .struct_bytes = ALIGN_DOWN(header[STRUCT_BYTES], 4), /* whole tags */
			   .strings_off = header[STRINGS_OFF],
			   .strings_bytes = header[STRINGS_BYTES],
			   .reserve_off = header[RESERVE_OFF] };
	if (dt->size < HEADER_BYTES || dt->size > INT32_MAX)
		return "impossible total size";
	if (dt->size > max_bytes)
		return "truncated tree";
	if (header[LAST_VERSION] < VERSION || header[OLDEST_COMPATIBLE] > VERSION)
		return "unsupported version, 17 is expected";
	if (misplaced(dt, dt->struct_off, dt->struct_bytes, 4))
		return "structure block misplaced";
	if (misplaced(dt, dt->strings_off, dt->strings_bytes, 1))
		return "strings block misplaced";
	if (misplaced(dt, dt->reserve_off, 16, 8))
		return "memory reservation block misplaced";
	return NULL;
}

int dt_open(struct dt *dt, const void *blob, size_t max_bytes, const char **why)
{
	const char *reason = read_header(dt, blob, max_bytes);

	if (!reason) {
		const uint8_t *strings = dt->blob + dt->strings_off;

		while (dt->strings_bytes > 0 && strings[dt->strings_bytes - 1] != '\0')
			dt->strings_bytes--;
		reason = check_reservations(dt);
	}
	if (!reason)
		reason = check_structure(dt);
	if (why)
		*why = reason;
	return reason ? -EINVAL : 0;
}

int dt_check(const void *blob, size_t max_bytes, const char **why)
{
	struct dt dt;

	return dt_open(&dt, blob, max_bytes, why);
}

int dt_memreserve(const struct dt *dt, int index, uint64_t *addr, uint64_t *size)
{
	const uint8_t *entry = dt->blob + dt->reserve_off;

	if (index < 0 || (size_t)index >= (dt->size - dt->reserve_off) / 16)
		return -ENOENT;
	*addr = dt_cells(entry + 16 * (size_t)index, 2);
	*size = dt_cells(entry + 16 * (size_t)index + 8, 2);
	return *addr || *size ? 0 : -ENOENT;
}

/* True with *body behind the name when @node is one. */
static bool node_body(const struct dt *dt, int node, uint32_t *body)
{
	return node >= 0 && tag_at(dt, (uint32_t)node, body) == TAG_BEGIN_NODE;
}

/* From @off, inside the body of a node at depth *depth, to the next node. */
static int walk(const struct dt *dt, uint32_t off, int *depth)
{
	uint32_t tag, next;

	while ((tag = tag_at(dt, off, &next)) != TAG_END && tag != TAG_BAD) {
		if (tag == TAG_BEGIN_NODE) {
			(*depth)++;
			return (int)off;
		}
		if (tag == TAG_END_NODE && --*depth < -1)
			break;
		off = next;
	}
	return -ENOENT;
}

/* From @node, at depth *depth, to the next node. */
static int walk_from(const struct dt *dt, int node, int *depth)
{
	uint32_t body;

	return node_body(dt, node, &body) ? walk(dt, body, depth) : -ENOENT;
}

int dt_next_node(const struct dt *dt, int node, int *depth)
{
	int unbounded = INT32_MAX / 2;

	if (!depth)
		depth = &unbounded;
	if (node != DT_START)
		return walk_from(dt, node, depth);
	*depth = -1;
	return walk(dt, 0, depth);
}

int dt_root(const struct dt *dt)
{
	return dt_next_node(dt, DT_START, NULL);
}

int dt_first_child(const struct dt *dt, int node)
{
	int depth = 0;

	node = walk_from(dt, node, &depth);
	return depth == 1 ? node : -ENOENT;
}

int dt_next_sibling(const struct dt *dt, int node)
{
	int depth = 0;

	do
		node = walk_from(dt, node, &depth);
	while (node >= 0 && depth > 0);
	return node;
}

int dt_ancestors(const struct dt *dt, int node, int chain[DT_DEPTH_MAX])
{
	int depth, at;

	for (at = dt_next_node(dt, DT_START, &depth); at >= 0; at = dt_next_node(dt, at, &depth)) {
		if (depth >= DT_DEPTH_MAX || at > node)
			break;
		chain[depth] = at;
		if (at == node)
			return depth;
	}
	return -ENOENT;
}

int dt_parent(const struct dt *dt, int node)
{
	int chain[DT_DEPTH_MAX];
	int depth = dt_ancestors(dt, node, chain);

	return depth > 0 ? chain[depth - 1] : -ENOENT;
}

const char *dt_name(const struct dt *dt, int node)
{
	uint32_t body;

	return node_body(dt, node, &body) ? (const char *)dt->blob + dt->struct_off + node + 4 :
					    NULL;
}

static int child_named(const struct dt *dt, int node, const char *want, size_t len)
{
	bool unit = dt_find_byte(want, '@', len) < len;

	for (node = dt_first_child(dt, node); node >= 0; node = dt_next_sibling(dt, node)) {
		const char *name = dt_name(dt, node);

		if (!strncmp(name, want, len) && (name[len] == '\0' || (name[len] == '@' && !unit)))
			return node;
	}
	return -ENOENT;
}

int dt_subpath(const struct dt *dt, int node, const char *path, size_t len)
{
	while (len > 0 && node >= 0) {
		size_t part = dt_find_byte(path, '/', len);

		if (part > 0)
			node = child_named(dt, node, path, part);
		part += part < len; /* the slash */
		path += part;
		len -= part;
	}
	return node;
}

int dt_path_node(const struct dt *dt, const char *path)
{
	return *path == '/' ? dt_subpath(dt, dt_root(dt), path, strlen(path)) : -ENOENT;
}

/* The property at @off has that name, of @len characters. */
static bool prop_is(const struct dt *dt, uint32_t off, const char *want, size_t len)
{
	const char *name = prop_name(dt, off);

	return name && !strncmp(name, want, len) && !name[len];
}

/* Its value, and its length. */
static const uint8_t *prop_value(const struct dt *dt, uint32_t off, int *len)
{
	const uint8_t *tag = dt->blob + dt->struct_off + off;

	*len = (int)be32(tag + 4);
	return tag + 4 + PROP_HEADER;
}

const uint8_t *dt_prop_n(const struct dt *dt, int node, const char *want, size_t want_len, int *len)
{
	uint32_t off, tag = TAG_NOP, next;

	if (node_body(dt, node, &next))
		while (tag == TAG_PROP || tag == TAG_NOP) {
			off = next;
			tag = tag_at(dt, off, &next);
			if (tag == TAG_PROP && prop_is(dt, off, want, want_len))
				return prop_value(dt, off, len);
		}
	*len = -ENOENT;
	return NULL;
}

static bool is_phandle(const struct dt *dt, uint32_t prop, uint32_t phandle)
{
	int len;
	const uint8_t *value = prop_value(dt, prop, &len);

	return len == 4 && be32(value) == phandle &&
	       (prop_is(dt, prop, "phandle", 7) || prop_is(dt, prop, "linux,phandle", 13));
}

/* One pass over all tags: asking node by node would read every property several times. */
int dt_phandle_node(const struct dt *dt, uint32_t phandle)
{
	uint32_t off = 0, tag, next;
	int node = -ENOENT;

	if (phandle == 0 || phandle == UINT32_MAX)
		return -ENOENT;
	for (; (tag = tag_at(dt, off, &next)) != TAG_END && tag != TAG_BAD; off = next) {
		if (tag == TAG_BEGIN_NODE)
			node = (int)off;
		if (tag == TAG_PROP && is_phandle(dt, off, phandle))
			return node;
	}
	return -ENOENT;
}

/* The property at or behind @off, before the node ends or a subnode begins. */
static int prop_from(const struct dt *dt, uint32_t off)
{
	uint32_t tag, next;

	while ((tag = tag_at(dt, off, &next)) == TAG_NOP)
		off = next;
	return tag == TAG_PROP ? (int)off : -ENOENT;
}

int dt_first_prop(const struct dt *dt, int node)
{
	uint32_t body;

	return node_body(dt, node, &body) ? prop_from(dt, body) : -ENOENT;
}

int dt_next_prop(const struct dt *dt, int prop)
{
	uint32_t next;

	if (prop < 0 || tag_at(dt, (uint32_t)prop, &next) != TAG_PROP)
		return -ENOENT;
	return prop_from(dt, next);
}

const uint8_t *dt_prop_at(const struct dt *dt, int prop, const char **name, int *len)
{
	const uint8_t *value;
	uint32_t next;

	if (prop < 0 || tag_at(dt, (uint32_t)prop, &next) != TAG_PROP)
		return NULL;
	*name = prop_name(dt, (uint32_t)prop);
	value = prop_value(dt, (uint32_t)prop, len);
	return *name ? value : NULL;
}

const uint8_t *dt_prop(const struct dt *dt, int node, const char *name, int *len)
{
	int unused;

	return dt_prop_n(dt, node, name, strlen(name), len ? len : &unused);
}

uint64_t dt_cells(const uint8_t *value, int cells)
{
	uint64_t number = 0;

	for (int i = 0; i < cells; i++)
		number = number << 32 | be32(value + 4 * i);
	return number;
}
