/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Firmware and device tree of the virtual machine. The tree has CPUs and nothing else: node n + 1
 * is CPU n, and the few walks that core/ makes over it are answered here instead of by core/fdt.c.
 * No driver binds to it. Power-off is the end of the process.
 */
#include "arch/host/host.h"
#include "core/arch.h"
#include "core/device.h"
#include "core/fdt.h"

int dt_path_node(const struct dt *dt, const char *path)
{
	(void)dt;
	(void)path;
	return 0;
}

int dt_first_child(const struct dt *dt, int node)
{
	(void)dt;
	(void)node;
	return 1;
}

int dt_next_sibling(const struct dt *dt, int node)
{
	(void)dt;
	return node < (int)host_nr_cpus ? node + 1 : -ENOENT;
}

int arch_cpu_node(const struct dt *dt, int node, uint64_t *hwid)
{
	(void)dt;
	*hwid = (uint64_t)node - 1;
	return 0;
}

int dt_interrupt(const struct dt *dt, int node, int index, uint32_t cells[DT_ARGS_MAX], int *n,
		 int *controller)
{
	(void)dt, (void)node, (void)index, (void)cells, (void)n, (void)controller;
	return -ENOENT;
}

int device_probe_class(const struct dt *dt, enum driver_class class)
{
	(void)dt, (void)class;
	return 0;
}

void device_list_supported(enum driver_class class)
{
	(void)class;
}

int arch_firmware_init(const struct dt *dt, const char **why)
{
	(void)dt, (void)why;
	return 0;
}

void arch_system_off(int status, bool semihosting)
{
	(void)semihosting;
	host_die(status);
}
