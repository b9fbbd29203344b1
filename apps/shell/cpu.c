/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `cpu`: which there are; off and on.
 */
#include <string.h>

#include "core/cpu.h"
#include "core/hotplug.h"
#include "shell.h"
#include "words.h"

static int list(void)
{
	for (unsigned i = 0; i < cpu_count; i++)
		say("cpu %u: %s, hardware id 0x%llx\n", i,
		    cpumask_atomic_test(&cpu_online_mask, i) ? "online" : "off",
		    (unsigned long long)cpu_at(i)->hwid);
	return 0;
}

int run_cpu(int argc, char **argv)
{
	long cpu;
	bool on;
	int err;

	if (argc == 1)
		return list();
	on = !strcmp(argv[1], "on");
	if (argc != 3 || (!on && strcmp(argv[1], "off")))
		return command_usage(argv[0]);
	if (!word_integer(argv[2], 0, (long)cpu_count - 1, &cpu))
		return complain(argv[0], "cpu '%s': 0..%u expected", argv[2], cpu_count - 1);
	err = on ? cpu_online((unsigned)cpu) : cpu_offline((unsigned)cpu);
	if (err == -EBUSY && !on)
		return complain(argv[0],
				"cpu %ld stays: it is the last one, or admitted deadlines need it, "
				"or another change is under way",
				cpu);
	if (err)
		return complain(argv[0], "cpu %ld: %s", cpu, error_text(err));
	say("cpu %ld is %s\n", cpu, on ? "online" : "off");
	return 0;
}
