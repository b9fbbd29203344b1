/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy's maps: BPF's names and meanings over static storage (policy.h). No call of these waits
 * or allocates in a step or a timer's callback. A pointer to a value holds as long as the policy
 * does; what a deleted entry of a hash had may become another's.
 *
 * Locks: the map's own, for hashes, queues and task storage. Arrays have none: who changes a value
 * that others see uses bpf_spin_lock or an atomic operation, as with BPF.
 */
#include "core/console.h"
#include "core/mem/page.h"
#include "core/string.h"
#include "sched/ext/ext.h"
#include "sched/ext/include/scx/maps.bpf.h"
#include "sched/ext/policy.h"
#include "sched/ext/shadow.h"

/* Where a map's variable leads; an error of the policy if that is no map. */
static struct ext_map *map_of(void *var, const char *call)
{
	struct ext_map *map = var && !((uintptr_t)var % 8) ? *(struct ext_map **)var : NULL;

	if (map && map->var == var)
		return map;
	ext_exit(SCX_EXIT_ERROR, 0, "%s(): %p is no map", call, var);
	return NULL;
}

static void wrong_type(const struct ext_map *map, const char *call)
{
	ext_exit(SCX_EXIT_ERROR, 0, "%s(): not for map %s of type %u", call, map->name, map->type);
}

/*
 * A wild pointer faults here, where the callback is to blame: before anything is locked, and before
 * the window of the budget's timer is closed.
 */
static void touch(const void *p, size_t bytes)
{
	const volatile char *at = p;

	for (size_t i = 0; i < bytes; i += PAGE_SIZE)
		(void)at[i];
	if (bytes)
		(void)at[bytes - 1];
}

static void touch_writable(void *p, size_t bytes)
{
	volatile char *at = p;

	for (size_t i = 0; i < bytes; i += PAGE_SIZE)
		at[i] = at[i];
	if (bytes)
		at[bytes - 1] = at[bytes - 1];
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static void *percpu_value(const struct ext_map *map, u32 i, u32 cpu)
{
	return (char *)map->data + EXT_PERCPU_STRIDE(map->value_size, map->max_entries) * cpu +
	       EXT_ROUND8(map->value_size) * i;
}

static void *array_lookup(const struct ext_map *map, const void *key)
{
	u32 i;

	memcpy(&i, key, sizeof(i));
	if (i >= map->max_entries)
		return NULL;
	if (map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
		return ((void **)map->data)[i];
	if (map->type == BPF_MAP_TYPE_PERCPU_ARRAY)
		return percpu_value(map, i,
				    ext_in_shadow() ? ext_shadow_cpu() : arch_cpu_self()->index);
	return (char *)map->data + EXT_ROUND8(map->value_size) * i;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

/* Chains by index + 1; `next` of a free entry is the next free one. */
struct entry {
	u32 next, used;
	char key[];
};

static struct entry *entry_at(const struct ext_map *map, u32 i)
{
	char *entries = (char *)map->data + EXT_ROUND8(4ull * map->max_entries);

	return (struct entry *)(void *)(entries +
					EXT_HASH_ENTRY_BYTES(map->key_size, map->value_size) * i);
}

static void *value_of(const struct ext_map *map, struct entry *e)
{
	return e->key + EXT_ROUND8(map->key_size);
}

/* Fowler, Noll and Vo's hash, 1a. */
static u32 *bucket(const struct ext_map *map, const void *key)
{
	u32 hash = 2166136261u;

	for (u32 i = 0; i < map->key_size; i++)
		hash = (hash ^ ((const unsigned char *)key)[i]) * 16777619u;
	return (u32 *)map->data + hash % map->max_entries;
}

/* The link that leads to @key's entry, or the one at the end of its chain. map->lock held. */
static u32 *hash_link(const struct ext_map *map, const void *key)
{
	u32 *link = bucket(map, key);

	while (*link && memcmp(entry_at(map, *link - 1)->key, key, map->key_size))
		link = &entry_at(map, *link - 1)->next;
	return link;
}

static LOCK_UNCHECKED void *hash_lookup(struct ext_map *map, const void *key)
{
	touch(key, map->key_size);
	EXT_HELPER;
	unsigned long flags = spin_lock_irqsave(&map->lock);
	u32 at = *hash_link(map, key);

	spin_unlock_irqrestore(&map->lock, flags);
	return at ? value_of(map, entry_at(map, at - 1)) : NULL;
}

/* map->lock held. head: the first free one + 1, of those that were used before; nr: never used. */
static int hash_add(struct ext_map *map, u32 *link, const void *key, const void *value)
{
	u32 at = map->head;
	struct entry *e;

	if (at)
		map->head = entry_at(map, at - 1)->next;
	else if (map->nr < map->max_entries)
		at = ++map->nr;
	else
		return -E2BIG;
	e = entry_at(map, at - 1);
	e->next = 0;
	e->used = 1;
	memcpy(e->key, key, map->key_size);
	memcpy(value_of(map, e), value, map->value_size);
	*link = at;
	return 0;
}

static LOCK_UNCHECKED int hash_update(struct ext_map *map, const void *key, const void *value,
				      u64 how)
{
	touch(key, map->key_size);
	touch(value, map->value_size);
	EXT_HELPER;
	unsigned long flags = spin_lock_irqsave(&map->lock);
	u32 *link = hash_link(map, key);
	int err = 0;

	if (*link && how == BPF_NOEXIST)
		err = -EEXIST;
	else if (!*link && how == BPF_EXIST)
		err = -ENOENT;
	else if (*link)
		memcpy(value_of(map, entry_at(map, *link - 1)), value, map->value_size);
	else
		err = hash_add(map, link, key, value);
	spin_unlock_irqrestore(&map->lock, flags);
	return err;
}

static LOCK_UNCHECKED int hash_delete(struct ext_map *map, const void *key)
{
	touch(key, map->key_size);
	EXT_HELPER;
	unsigned long flags = spin_lock_irqsave(&map->lock);
	u32 *link = hash_link(map, key), at = *link;

	if (at) {
		struct entry *e = entry_at(map, at - 1);

		*link = e->next;
		e->used = 0;
		e->next = map->head;
		map->head = at;
	}
	spin_unlock_irqrestore(&map->lock, flags);
	return at ? 0 : -ENOENT;
}

/* ---- by key ---------------------------------------------------------------------------------- */

void *bpf_map_lookup_elem(void *var, const void *key)
{
	struct ext_map *map = map_of(var, "bpf_map_lookup_elem");

	if (!map)
		return NULL;
	switch (map->type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		return array_lookup(map, key);
	case BPF_MAP_TYPE_HASH:
		return hash_lookup(map, key);
	}
	wrong_type(map, "bpf_map_lookup_elem");
	return NULL;
}

void *bpf_map_lookup_percpu_elem(void *var, const void *key, u32 cpu)
{
	struct ext_map *map = map_of(var, "bpf_map_lookup_percpu_elem");
	u32 i;

	if (!map)
		return NULL;
	if (map->type != BPF_MAP_TYPE_PERCPU_ARRAY) {
		wrong_type(map, "bpf_map_lookup_percpu_elem");
		return NULL;
	}
	memcpy(&i, key, sizeof(i));
	return i < map->max_entries && cpu < cpu_count ? percpu_value(map, i, cpu) : NULL;
}

/* A timer that was made is in the value of @key, which can be neither overwritten nor deleted. */
static bool keeps_a_timer(struct ext_map *map, const void *key)
{
	void *value = NULL;

	if (likely(!ext_timers_any()))
		return false;
	if (map->type == BPF_MAP_TYPE_HASH)
		value = hash_lookup(map, key);
	else if (map->type == BPF_MAP_TYPE_ARRAY)
		value = array_lookup(map, key);
	if (!value || !ext_timer_within(value, map->value_size))
		return false;
	ext_exit(SCX_EXIT_ERROR, 0, "map %s: the value has a timer, and is to be changed in place",
		 map->name);
	return true;
}

long bpf_map_update_elem(void *var, const void *key, const void *value, u64 flags)
{
	struct ext_map *map = map_of(var, "bpf_map_update_elem");
	void *to;

	if (!map || flags > BPF_EXIST || (flags != BPF_NOEXIST && keeps_a_timer(map, key)))
		return -EINVAL;
	if (map->type == BPF_MAP_TYPE_HASH)
		return hash_update(map, key, value, flags);
	if (map->type != BPF_MAP_TYPE_ARRAY && map->type != BPF_MAP_TYPE_PERCPU_ARRAY) {
		wrong_type(map, "bpf_map_update_elem");
		return -EINVAL;
	}
	if (flags == BPF_NOEXIST)
		return -EEXIST;
	to = array_lookup(map, key);
	if (!to)
		return -E2BIG;
	memcpy(to, value, map->value_size);
	return 0;
}

long bpf_map_delete_elem(void *var, const void *key)
{
	struct ext_map *map = map_of(var, "bpf_map_delete_elem");

	if (map && map->type == BPF_MAP_TYPE_HASH && !keeps_a_timer(map, key))
		return hash_delete(map, key);
	return -EINVAL; /* an array has all its entries, always */
}

void *ext_map_key_of(void *var, void *value, u32 *array_key)
{
	struct ext_map *map = map_of(var, "bpf_timer_init");
	size_t at;

	if (!map || (char *)value < (char *)map->data ||
	    (char *)value >= (char *)map->data + map->bytes)
		return NULL;
	at = (size_t)((char *)value - (char *)map->data);
	if (map->type == BPF_MAP_TYPE_ARRAY) {
		*array_key = (u32)(at / EXT_ROUND8(map->value_size));
		return array_key;
	}
	if (map->type != BPF_MAP_TYPE_HASH)
		return NULL;
	at = (at - EXT_ROUND8(4ull * map->max_entries)) /
	     EXT_HASH_ENTRY_BYTES(map->key_size, map->value_size);
	return entry_at(map, (u32)at)->key;
}

/* ---- queues and stacks ----------------------------------------------------------------------- */

static void *place(const struct ext_map *map, u32 n)
{
	return (char *)map->data +
	       EXT_ROUND8(map->value_size) * ((map->head + n) % map->max_entries);
}

static struct ext_map *queue_of(void *var, const char *call)
{
	struct ext_map *map = map_of(var, call);

	if (map && map->type != BPF_MAP_TYPE_QUEUE && map->type != BPF_MAP_TYPE_STACK) {
		wrong_type(map, call);
		return NULL;
	}
	return map;
}

LOCK_UNCHECKED long bpf_map_push_elem(void *var, const void *value, u64 flags)
{
	struct ext_map *map = queue_of(var, "bpf_map_push_elem");
	unsigned long irq;
	bool full;

	if (!map || (flags && flags != BPF_EXIST))
		return -EINVAL;
	touch(value, map->value_size);
	EXT_HELPER;
	irq = spin_lock_irqsave(&map->lock);
	full = map->nr == map->max_entries;
	if (full && flags == BPF_EXIST) { /* the oldest gives way */
		map->head = (map->head + 1) % map->max_entries;
		map->nr--;
		full = false;
	}
	if (!full)
		memcpy(place(map, map->nr++), value, map->value_size);
	spin_unlock_irqrestore(&map->lock, irq);
	return full ? -E2BIG : 0;
}

static LOCK_UNCHECKED long take(void *var, void *value, bool keep, const char *call)
{
	struct ext_map *map = queue_of(var, call);
	unsigned long irq;
	bool there, last;

	if (!map)
		return -EINVAL;
	touch_writable(value, map->value_size);
	EXT_HELPER;
	last = map->type == BPF_MAP_TYPE_STACK;
	irq = spin_lock_irqsave(&map->lock);
	there = map->nr;
	if (there) {
		memcpy(value, place(map, last ? map->nr - 1 : 0), map->value_size);
		if (!keep && !last)
			map->head = (map->head + 1) % map->max_entries;
		map->nr -= !keep;
	}
	spin_unlock_irqrestore(&map->lock, irq);
	return there ? 0 : -ENOENT;
}

long bpf_map_pop_elem(void *var, void *value)
{
	return take(var, value, false, "bpf_map_pop_elem");
}

long bpf_map_peek_elem(void *var, void *value)
{
	return take(var, value, true, "bpf_map_peek_elem");
}

/* ---- task storage ---------------------------------------------------------------------------- */

static struct ext_map *slots[2 * EXT_STORAGE_MAX]; /* by ext_map.slot; NULL: unused */

/* Free values are linked by their first word. map->lock held. */
static void *value_take(struct ext_map *map)
{
	void *value = map->free;

	if (value)
		map->free = *(void **)value;
	return value;
}

static LOCK_UNCHECKED void value_give(struct ext_map *map, void *value)
{
	unsigned long irq = spin_lock_irqsave(&map->lock);

	*(void **)value = map->free;
	map->free = value;
	spin_unlock_irqrestore(&map->lock, irq);
}

static bool values_add_page(struct ext_map *map)
{
	char *page = page_alloc(0);
	size_t bytes = EXT_ROUND8(map->value_size);

	for (size_t at = 0; page && at + bytes <= PAGE_SIZE; at += bytes)
		value_give(map, page + at);
	return page;
}

static LOCK_UNCHECKED void *value_new(struct ext_map *map)
{
	for (;;) {
		unsigned long irq = spin_lock_irqsave(&map->lock);
		void *value = value_take(map);

		spin_unlock_irqrestore(&map->lock, irq);
		if (value)
			memset(value, 0, map->value_size);
		/* with interrupts masked this is a step, or a timer */
		if (value || !arch_irq_enabled() || !values_add_page(map))
			return value;
	}
}

void *bpf_task_storage_get(void *var, struct task_struct *p, void *value, u64 flags)
{
	struct ext_map *map = map_of(var, "bpf_task_storage_get");
	struct ext_task *e = ext_task_of(p);
	void **at;

	if (!map || !ext_task_valid(e))
		return NULL;
	if (map->type != BPF_MAP_TYPE_TASK_STORAGE) {
		wrong_type(map, "bpf_task_storage_get");
		return NULL;
	}
	if (value)
		touch(value, map->value_size);
	EXT_HELPER;
	at = &e->storage[map->slot];
	if (!*at && flags & BPF_LOCAL_STORAGE_GET_F_CREATE) {
		*at = value_new(map);
		if (*at && value)
			memcpy(*at, value, map->value_size);
	}
	return *at;
}

long bpf_task_storage_delete(void *var, struct task_struct *p)
{
	struct ext_map *map = map_of(var, "bpf_task_storage_delete");
	struct ext_task *e = ext_task_of(p);
	void *value;

	if (!map || !ext_task_valid(e) || map->type != BPF_MAP_TYPE_TASK_STORAGE)
		return -EINVAL;
	EXT_HELPER;
	value = e->storage[map->slot];
	if (!value)
		return -ENOENT;
	e->storage[map->slot] = NULL;
	value_give(map, value);
	return 0;
}

void ext_storage_free(struct ext_task *e, unsigned side)
{
	for (u32 i = side * EXT_STORAGE_MAX; i < (side + 1) * EXT_STORAGE_MAX; i++)
		if (e->storage[i] && slots[i]) {
			value_give(slots[i], e->storage[i]);
			e->storage[i] = NULL;
		}
}

/* ---- loading --------------------------------------------------------------------------------- */

unsigned ext_map_side(void *map)
{
	return (*(struct ext_map **)map)->side;
}

static int map_begin(struct ext_map *map, u32 *slot, unsigned side)
{
	if (map->type == BPF_MAP_TYPE_TASK_STORAGE) {
		if (*slot == (side + 1) * EXT_STORAGE_MAX || map->value_size > PAGE_SIZE ||
		    map->value_size < 1) {
			printk("scx: map %s: at most %d maps of task storage, values of 1..%d bytes\n",
			       map->name, EXT_STORAGE_MAX, (int)PAGE_SIZE);
			return -EINVAL;
		}
		slots[*slot] = map;
		map->slot = (*slot)++;
	} else if (!map->max_entries || !map->value_size) {
		if (map->type != BPF_MAP_TYPE_ARRAY_OF_MAPS) {
			printk("scx: map %s: max_entries and a value of at least 1 byte expected\n",
			       map->name);
			return -EINVAL;
		}
	} else if (map->type != BPF_MAP_TYPE_ARRAY_OF_MAPS) {
		memset(map->data, 0, map->bytes);
	}
	spin_init(&map->lock, LOCK_EXT);
	map->head = map->nr = 0;
	map->side = side;
	*(struct ext_map **)map->var = map;
	return 0;
}

int ext_maps_begin(struct sched_ext_ops *ops, unsigned side)
{
	u32 slot = side * EXT_STORAGE_MAX;
	int err = 0;

	for (u32 i = 0; i < EXT_STORAGE_MAX; i++)
		slots[slot + i] = NULL;
	for (u32 i = 0; ops->data && i < ops->data->nr_maps && !err; i++)
		err = map_begin(&ops->data->maps[i], &slot, side);
	return err;
}
