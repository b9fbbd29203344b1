/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `policy`: those that are built in by POLICY=, and the one that is loaded. What is wrong about one is
 * said by the framework, on the console; the one that is loaded stays as it is then.
 */
#include <string.h>

#include "sched/ext/ext.h"
#include "sched/ext/policy.h"
#include "sched/ext/shadow.h"
#include "shell.h"

static bool is_loaded(const struct sched_ext_ops *ops)
{
	return ops && atomic_load_acquire(&ext.ops) == ops;
}

static int64_t signed_value(const struct ext_setting *s)
{
	unsigned unused_bits = 64 - 8 * s->bytes;

	return (int64_t)(ext_setting_get(s) << unused_bits) >> unused_bits;
}

static int list(int argc, char **argv)
{
	struct sched_ext_ops *ops;

	if (argc != 1)
		return command_usage("policy");
	(void)argv;
	for (unsigned i = 0; (ops = ext_policy_at(i)); i++) {
		say("%s%s", ops->name, is_loaded(ops) ? " (loaded)" : "");
		for (u32 k = 0; ops->data && k < ops->data->nr_settings; k++) {
			const struct ext_setting *s = &ops->data->settings[k];

			if (s->is_signed)
				say(" %s=%lld", s->name, (long long)signed_value(s));
			else
				say(" %s=%llu", s->name, (unsigned long long)ext_setting_get(s));
		}
		say("\n");
	}
	if (!ext_policy_at(0))
		say("none is built in: make run POLICY=name,...\n");
	return 0;
}

static struct sched_ext_ops *find(const char *name)
{
	struct sched_ext_ops *ops = ext_policy_find(name);

	if (ops)
		return ops;
	say("policy: no %s is built in; there are:", name);
	for (unsigned i = 0; ext_policy_at(i); i++)
		say(" %s", ext_policy_at(i)->name);
	say("\n");
	return NULL;
}

/* All of them are right, or none is taken. */
static int give_settings(struct sched_ext_ops *ops, int n, char **words)
{
	int err = 0;

	ext_settings_forget(ops);
	for (int i = 0; i < n && !err; i++) {
		char *equal = strchr(words[i], '=');

		if (!equal || !equal[1])
			return complain("policy", "'%s': SETTING=VALUE expected", words[i]);
		*equal = '\0';
		err = ext_setting_give(ops, words[i], equal + 1) ? -EINVAL : 0;
	}
	return err;
}

/* What the framework has not said already. */
static const char *reason(int err, int (*how)(struct sched_ext_ops *ops))
{
	switch (err) {
	case -ENOMEM:
		return ": out of memory";
	case -ENOENT:
		return how == ext_swap   ? ": there is none that it could replace" :
		       how == ext_shadow ? ": none is loaded" :
					   "";
	case -EBUSY:
		return how == ext_shadow ? ": there is a shadow, see policy shadow off" : "";
	case -ECANCELED:
		return ": an error came in between";
	}
	return "";
}

static int begin(int argc, char **argv, int (*how)(struct sched_ext_ops *ops))
{
	struct sched_ext_ops *ops;
	int err;

	if (argc < 2)
		return command_usage("policy");
	ops = find(argv[1]);
	if (!ops)
		return 1;
	if (is_loaded(ops))
		return complain("policy", "%s is loaded already", ops->name);
	err = give_settings(ops, argc - 2, argv + 2);
	if (!err)
		err = ext_load_in_place(ops, how);
	if (err)
		ext_settings_forget(ops);
	if (err < 0)
		return complain("policy", "%s is not loaded%s", ops->name, reason(err, how));
	return err;
}

static int load(int argc, char **argv)
{
	return begin(argc, argv, ext_load);
}

static int swap(int argc, char **argv)
{
	return begin(argc, argv, ext_swap);
}

static int unload(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return command_usage("policy");
	return ext_unload() ? complain("policy", "none is loaded") : 0;
}

static int stats(int argc, char **argv)
{
	struct scx_event_stats events;
	const struct sched_ext_ops *ops = atomic_load_acquire(&ext.ops);
	const char *name;
	s64 value;

	(void)argv;
	if (argc != 1)
		return command_usage("policy");
	say("policy: %s%s, %llu threads rejected, CPUs changed %llu times\n",
	    ops ? ops->name : "none is loaded", ops && ext.partial ? " (for SCHED_EXT only)" : "",
	    (unsigned long long)ext.nr_rejected, (unsigned long long)ext.hotplug_seq);
	scx_bpf_events(&events, sizeof(events));
	for (unsigned i = 0; ops && (name = ext_event(&events, i, &value)); i++)
		say("%12lld %s\n", (long long)value, name);
	return 0;
}

static int dump(int argc, char **argv)
{
	struct ext_dump_text text;
	int err;

	(void)argv;
	if (argc != 1)
		return command_usage("policy");
	err = ext_dump_now(&text);
	if (err)
		return complain("policy", "%s",
				err == -ENOENT ? "none is loaded" : error_text(err));
	say("%s", text.text);
	ext_dump_free(&text);
	return 0;
}

static int shadow_stats(void)
{
	struct ext_shadow_counts c;
	const char *name = ext_shadow_counts(&c);

	if (!name)
		return complain("policy", "there was no shadow yet: policy shadow NAME");
	say("shadow: %s%s\n", name, ext_shadow_is_on() ? "" : ", ended");
	for (unsigned i = 0; i < EXT_SHADOW_COUNTS; i++)
		say("%12llu %s\n", (unsigned long long)((uint64_t *)&c)[i],
		    ext_shadow_count_name(i));
	return 0;
}

static int shadow(int argc, char **argv)
{
	if (argc == 1)
		return shadow_stats();
	if (strcmp(argv[1], "off"))
		return begin(argc, argv, ext_shadow);
	return ext_shadow_end() ? complain("policy", "there is no shadow") : 0;
}

static const struct command verbs[] = {
	{ "list", "", "", list },     { "load", "", "", load },   { "swap", "", "", swap },
	{ "unload", "", "", unload }, { "stats", "", "", stats }, { "dump", "", "", dump },
	{ "shadow", "", "", shadow }, { NULL, NULL, NULL, NULL },
};

int run_policy(int argc, char **argv)
{
	if (argc < 2)
		return command_usage(argv[0]);
	return command_run(verbs, "policy", argc - 1, argv + 1);
}
