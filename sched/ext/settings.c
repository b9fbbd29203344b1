/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy's settings: its `const volatile` variables, which boot arguments of the form
 * policy.<name>=value set when it is loaded. tools/policy.py declares each of them as a boot
 * argument whose value is a text; the first of a name has the text for all policies that have it.
 * Whoever loads a policy may give others; what the policy has of its own is kept, and set again when
 * nobody says otherwise.
 *
 * Linux's loaders set some of them to what the machine has; here that is done for nr_cpu_ids, and
 * for slice_ns if it has no value of its own.
 */
#include "core/bootargs.h"
#include "core/console.h"
#include "core/string.h"
#include "core/topology.h"
#include "sched/ext/ext.h"
#include "sched/ext/policy.h"

/* There are none on arch/host. */
extern const struct boot_param __start_boot_params[] __attribute__((weak));
extern const struct boot_param __stop_boot_params[] __attribute__((weak));

#define PREFIX "policy."

static const char *text_of(const struct ext_setting *s)
{
	for (const struct boot_param *p = __start_boot_params; p < __stop_boot_params; p++)
		if (!strncmp(p->name, PREFIX, sizeof(PREFIX) - 1) &&
		    !strcmp(p->name + sizeof(PREFIX) - 1, s->name))
			return p->value;
	return "";
}

static void put(const struct ext_setting *s, u64 value)
{
	memcpy(s->value, &value, s->bytes); /* little endian, both architectures */
}

u64 ext_setting_get(const struct ext_setting *s)
{
	u64 value = 0;

	memcpy(&value, s->value, s->bytes);
	return value;
}

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 'a' - 'A';
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
}

/* Decimal or 0x hexadecimal. */
static bool parse(const char *text, u64 *value)
{
	unsigned base = text[0] == '0' && (text[1] | 32) == 'x' ? 16 : 10;

	*value = 0;
	if (base == 16)
		text += 2;
	do {
		unsigned digit = digit_of(*text);

		if (digit >= base || __builtin_mul_overflow(*value, (u64)base, value) ||
		    __builtin_add_overflow(*value, (u64)digit, value))
			return false;
	} while (*++text);
	return true;
}

static u64 most(const struct ext_setting *s)
{
	if (s->is_bool)
		return 1;
	return ~0ull >> (64 - 8 * s->bytes + s->is_signed);
}

/* As many bits as the setting has. */
static int value_of(const struct sched_ext_ops *ops, const struct ext_setting *s, const char *text,
		    u64 *value)
{
	bool minus = s->is_signed && text[0] == '-';
	u64 limit = most(s) + minus;

	if (!parse(text + minus, value) || *value > limit) {
		printk("scx: policy %s: %s%s=%s: a number %s%llu..%llu expected\n", ops->name,
		       PREFIX, s->name, text, s->is_signed ? "-" : "",
		       s->is_signed ? (unsigned long long)most(s) + 1 : 0ull,
		       (unsigned long long)most(s));
		return -EINVAL;
	}
	if (minus)
		*value = -*value;
	return 0;
}

/* What a load sets @s to. */
static int wanted(const struct sched_ext_ops *ops, struct ext_setting *s, u64 *value)
{
	const char *text = text_of(s);

	if (!s->known)
		s->initial = ext_setting_get(s);
	s->known = true;
	*value = s->given ? s->next : s->initial;
	if (s->given)
		return 0;
	if (text[0])
		return value_of(ops, s, text, value);
	if (!strcmp(s->name, "nr_cpu_ids"))
		*value = cpu_count;
	else if (!strcmp(s->name, "slice_ns") && !s->initial)
		*value = SCX_SLICE_DFL;
	return 0;
}

int ext_settings_apply(struct sched_ext_ops *ops)
{
	u64 value;
	int err = 0;

	for (u32 i = 0; ops->data && i < ops->data->nr_settings && !err; i++) {
		struct ext_setting *s = &ops->data->settings[i];

		err = wanted(ops, s, &value);
		if (!err)
			put(s, value);
	}
	return err;
}

struct ext_setting *ext_setting_find(const struct sched_ext_ops *ops, const char *name)
{
	for (u32 i = 0; ops->data && i < ops->data->nr_settings; i++)
		if (!strcmp(ops->data->settings[i].name, name))
			return &ops->data->settings[i];
	return NULL;
}

int ext_setting_give(struct sched_ext_ops *ops, const char *name, const char *value)
{
	struct ext_setting *s = ext_setting_find(ops, name);
	int err;

	if (!s) {
		printk("scx: policy %s: no setting %s; there are:", ops->name, name);
		for (u32 i = 0; ops->data && i < ops->data->nr_settings; i++)
			printk(" %s", ops->data->settings[i].name);
		printk("\n");
		return -ENOENT;
	}
	err = value_of(ops, s, value, &s->next);
	s->given = !err;
	return err;
}

void ext_settings_forget(struct sched_ext_ops *ops)
{
	for (u32 i = 0; ops->data && i < ops->data->nr_settings; i++)
		ops->data->settings[i].given = false;
}

int ext_load_in_place(struct sched_ext_ops *ops, int (*load)(struct sched_ext_ops *ops))
{
	struct ext_setting *s = ext_setting_find(ops, "central_cpu");
	struct cpumask before = thread_current()->affinity, one = { 0 };
	u64 cpu = 0;
	int err = s ? wanted(ops, s, &cpu) : 0;

	if (err || !s)
		return err ? err : load(ops);
	if (cpu < cpu_count)
		cpumask_set(&one, (unsigned)cpu);
	err = thread_set_affinity(thread_current(), &one);
	if (err) {
		printk("scx: policy %s: setting central_cpu: no cpu %lld\n", ops->name,
		       (long long)cpu);
		return err;
	}
	err = load(ops);
	thread_set_affinity(thread_current(), &before);
	return err;
}

int ext_policy_begin(struct sched_ext_ops *ops, unsigned side)
{
	int err = ext_settings_apply(ops);

	return err ? err : ext_maps_begin(ops, side);
}

void ext_policy_end(unsigned side)
{
	ext_timers_end(side);
	ext_cpumasks_end(side);
}
