/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tools/policy.py writes down of a policy's source, so that its maps have storage and its
 * settings can be set: one struct ext_policy_data for each policy.
 *
 * A map is declared as for BPF: a structure of pointers whose types say everything, with no room
 * for values. The room is static storage beside it, of the size that its type, key, value and
 * max_entries give. The first word of the policy's variable leads to the struct ext_map. Only the
 * values of task storage come from pages, since the number of threads is not known: in init_task(),
 * never in a step.
 */
#pragma once

#include "core/lock.h"
#include "sched/ext/ops.h"

enum ext_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

struct ext_map {
	void *var; /* [i] the policy's variable */
	const char *name;
	u32 type, key_size, value_size, max_entries; /* [i] */
	void *data;                                  /* [i]; task storage: none */
	size_t bytes;                                /* [i] of data */
	struct spinlock lock;                        /* rank LOCK_EXT: of hash, queue, storage */
	u32 head, nr;                                /* lock; queue: first and number; hash: used */
	u32 slot;                                    /* of struct ext_task.storage, while loaded */
	u32 side;                                    /* ext_side() when it was loaded */
	void *free; /* lock: values of task storage that nobody has */
};

/* A `const volatile` variable of the policy. */
struct ext_setting {
	const char *name;
	void *value;
	u32 bytes; /* 1, 2, 4, 8 */
	bool is_signed, is_bool;
	/* of settings.c, ext.mutex held: what it was at first; what the next load is to set, if so */
	bool known, given;
	u64 initial, next;
};

struct ext_policy_data {
	struct ext_map *maps;
	struct ext_setting *settings;
	u32 nr_maps, nr_settings;
};

/* ---- sizes, for what tools/policy.py writes --------------------------------------------------- */

#define EXT_ROUND8(n)              (((n) + 7ull) & ~7ull)
#define EXT_PERCPU_STRIDE(v, max)  ((EXT_ROUND8(v) * (max) + 63) & ~63ull)
#define EXT_HASH_ENTRY_BYTES(k, v) (8 + EXT_ROUND8(k) + EXT_ROUND8(v))
/* Of a map's storage; at least 1, since C has no empty arrays. */
#define EXT_MAP_BYTES(t, k, v, max)                                                       \
	((t) == BPF_MAP_TYPE_ARRAY        ? EXT_ROUND8(v) * (max) :                       \
	 (t) == BPF_MAP_TYPE_PERCPU_ARRAY ? EXT_PERCPU_STRIDE(v, max) * ARCH_CPU_MAX :    \
	 (t) == BPF_MAP_TYPE_HASH         ? EXT_ROUND8(4ull * (max)) +                    \
					    EXT_HASH_ENTRY_BYTES(k, v) * (max) :          \
	 (t) == BPF_MAP_TYPE_QUEUE || (t) == BPF_MAP_TYPE_STACK ? EXT_ROUND8(v) * (max) : \
								  1)

/* ---- for load.c ------------------------------------------------------------------------------- */

struct ext_task;

/*
 * Empties the maps of @ops and applies the boot arguments policy.<name>=. -EINVAL: said on the
 * console. Context: thread.
 */
int ext_policy_begin(struct sched_ext_ops *ops, unsigned side);
/*
 * Of the policy of that side: its timers stop, its masks are free again. No callback runs any more.
 * Context: thread.
 */
void ext_policy_end(unsigned side);
/* settings.c: of @ops, by name; NULL: it has none of that name. */
struct ext_setting *ext_setting_find(const struct sched_ext_ops *ops, const char *name);
/* Its value; as many bits as it has. */
u64 ext_setting_get(const struct ext_setting *s);
/*
 * What the next loads of @ops set: given ones, else boot arguments, else what it has of its own.
 * ext_setting_give(): -ENOENT, -EINVAL: said on the console, with what was expected.
 * ext_settings_forget(): none is given any more. Context: thread, the one that loads @ops next.
 */
int ext_setting_give(struct sched_ext_ops *ops, const char *name, const char *value);
void ext_settings_forget(struct sched_ext_ops *ops);
int ext_settings_apply(struct sched_ext_ops *ops);
/*
 * load(@ops) in a thread of the CPU that the setting central_cpu of @ops names, if it has one: some
 * policies start timers where init() runs. What load() returns; -EINVAL: no such CPU. Context: thread.
 */
int ext_load_in_place(struct sched_ext_ops *ops, int (*load)(struct sched_ext_ops *ops));
/* maps.c */
int ext_maps_begin(struct sched_ext_ops *ops, unsigned side);
/* The side of the policy whose map it is. */
unsigned ext_map_side(void *map);
/* The key of @value, which lies in the storage of @map; NULL: it does not. */
void *ext_map_key_of(void *map, void *value, u32 *array_key);
/* What maps of that side keep of @e goes. Context: thread or step. */
void ext_storage_free(struct ext_task *e, unsigned side);
/* bpf_timer.c, bpf_cpumask.c */
void ext_timers_end(unsigned side);
/* A policy has made one; one that was made lies in there. */
bool ext_timers_any(void);
bool ext_timer_within(const void *from, size_t bytes);
/* In shadow mode: one whose time has come, which does not come again by itself; NULL: none. */
struct bpf_timer;
struct bpf_timer *ext_timer_due(unsigned side);
void ext_cpumasks_end(unsigned side);
