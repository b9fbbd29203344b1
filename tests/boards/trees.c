/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel's reader finds in device trees that it has to know to boot: CPUs, memory, console,
 * interrupt controller, timer. One line of JSON a file; tests/boards/test_trees.py asks libfdt the same.
 *
 *   trees FILE...
 *
 * Each tree is read from a heap block of exactly its size, so that a sanitizer sees every byte that
 * is read outside. Numbers are written as they are, what cannot be had as null.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fdt.h"

typedef unsigned long long ull;

static const char *const arm_timers[] = { "arm,armv8-timer", "arm,armv7-timer" };
static const char *const plics[] = { "sifive,plic-1.0.0", "riscv,plic0", "thead,c900-plic" };

static void put_string(const char *s)
{
	if (!s) {
		printf("null");
		return;
	}
	putchar('"');
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			printf("\\u%04x", (unsigned char)*s);
		else
			putchar(*s);
	putchar('"');
}

static void put_path(const struct dt *dt, int node)
{
	char path[4096] = "/";
	int chain[DT_DEPTH_MAX], depth = dt_ancestors(dt, node, chain);

	for (int i = 1, at = 0; i <= depth; i++)
		at += snprintf(path + at, sizeof(path) - (size_t)at, "/%s", dt_name(dt, chain[i]));
	put_string(node < 0 ? NULL : path);
}

static void put_reg(const struct dt *dt, int node, int index)
{
	uint64_t addr, size;

	if (dt_reg(dt, node, index, &addr, &size))
		printf("null");
	else
		printf("[%llu,%llu]", (ull)addr, (ull)size);
}

/* "path", where, and compatible: what a driver is found by. */
static void put_device(const struct dt *dt, int node)
{
	printf("{\"path\":");
	put_path(dt, node);
	printf(",\"reg\":");
	put_reg(dt, node, 0);
	printf(",\"compatible\":");
	put_string(dt_string(dt, node, "compatible"));
	putchar('}');
}

static void put_cpus(const struct dt *dt)
{
	const char *separator = "";
	uint64_t id, size;

	printf("\"cpus\":[");
	for (int node = dt_first_child(dt, dt_path_node(dt, "/cpus")); node >= 0;
	     node = dt_next_sibling(dt, node)) {
		const char *type = dt_string(dt, node, "device_type");

		if (!type || strcmp(type, "cpu") || dt_reg_raw(dt, node, 0, &id, &size))
			continue;
		printf("%s{\"id\":%llu,\"ok\":%s,\"enable\":", separator, (ull)id,
		       dt_status_ok(dt, node) ? "true" : "false");
		put_string(dt_string(dt, node, "enable-method"));
		printf(",\"mmu\":");
		put_string(dt_string(dt, node, "mmu-type"));
		putchar('}');
		separator = ",";
	}
	printf("]");
}

static void put_memory(const struct dt *dt)
{
	const char *separator = "";
	uint64_t addr, size;

	printf(",\"memory\":[");
	for (int node = dt_first_child(dt, dt_root(dt)); node >= 0;
	     node = dt_next_sibling(dt, node)) {
		const char *type = dt_string(dt, node, "device_type");

		if (!type || strcmp(type, "memory"))
			continue;
		for (int i = 0; dt_reg(dt, node, i, &addr, &size) == 0; i++, separator = ",")
			printf("%s[%llu,%llu]", separator, (ull)addr, (ull)size);
	}
	printf("],\"reserved\":[");
	separator = "";
	for (int i = 0; dt_memreserve(dt, i, &addr, &size) == 0; i++, separator = ",")
		printf("%s[%llu,%llu]", separator, (ull)addr, (ull)size);
	printf("]");
}

static void put_console(const struct dt *dt)
{
	const char *options = NULL;
	int node = dt_stdout(dt, &options);

	printf(",\"console\":");
	if (node < 0) {
		printf("null,\"options\":null");
		return;
	}
	put_device(dt, node);
	printf(",\"options\":");
	put_string(options);
}

static void put_interrupts(const struct dt *dt, int timer)
{
	const char *separator = "";
	uint32_t cells[DT_ARGS_MAX];
	int n, controller;

	printf("[");
	for (int i = 0; dt_interrupt(dt, timer, i, cells, &n, &controller) == 0;
	     i++, separator = ",") {
		printf("%s{\"to\":", separator);
		put_device(dt, controller);
		printf(",\"cells\":[");
		for (int cell = 0; cell < n; cell++)
			printf("%s%" PRIu32, cell ? "," : "", cells[cell]);
		printf("]}");
	}
	printf("]");
}

static void put_arm(const struct dt *dt)
{
	int timer = -1;

	for (size_t i = 0; i < sizeof(arm_timers) / sizeof(*arm_timers) && timer < 0; i++)
		timer = dt_node_by_compatible(dt, DT_START, arm_timers[i]);
	printf(",\"timer\":");
	put_path(dt, timer);
	printf(",\"interrupts\":");
	put_interrupts(dt, timer);
}

static void put_riscv(const struct dt *dt)
{
	const char *separator = "";
	uint32_t hz;
	int plic = -1;
	struct dt_args it;

	if (dt_u32(dt, dt_path_node(dt, "/cpus"), "timebase-frequency", &hz))
		printf(",\"timebase\":null");
	else
		printf(",\"timebase\":%" PRIu32, hz);
	for (size_t i = 0; i < sizeof(plics) / sizeof(*plics) && plic < 0; i++)
		plic = dt_node_by_compatible(dt, DT_START, plics[i]);
	printf(",\"plic\":");
	put_device(dt, plic);
	printf(",\"contexts\":[");
	if (plic >= 0 &&
	    dt_args_begin(dt, plic, "interrupts-extended", "#interrupt-cells", &it) == 0) {
		for (int err; (err = dt_args_next(dt, &it)) == 0 || err == -ENODEV;
		     separator = ",") {
			uint64_t id = 0, size;

			if (err || dt_reg_raw(dt, dt_parent(dt, it.target), 0, &id, &size))
				printf("%snull", separator);
			else
				printf("%s[%llu,%" PRIu32 "]", separator, (ull)id, it.cells[0]);
		}
	}
	printf("]");
}

static void put_tree(const struct dt *dt)
{
	int root = dt_root(dt), cpus = dt_path_node(dt, "/cpus"), first = dt_first_child(dt, cpus);

	printf("\"model\":");
	put_string(dt_string(dt, root, "model"));
	putchar(',');
	put_cpus(dt);
	put_memory(dt);
	put_console(dt);
	while (first >= 0 && strncmp(dt_name(dt, first), "cpu@", 4))
		first = dt_next_sibling(dt, first);
	(dt_prop(dt, first, "riscv,isa", NULL) || dt_prop(dt, first, "riscv,isa-base", NULL) ?
		 put_riscv :
		 put_arm)(dt);
}

static int put_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *blob;
	long bytes;
	const char *why = NULL;
	struct dt dt;

	if (!file || fseek(file, 0, SEEK_END) || (bytes = ftell(file)) < 0 ||
	    fseek(file, 0, SEEK_SET)) {
		perror(path);
		return 1;
	}
	blob = malloc((size_t)bytes);
	if (!blob || fread(blob, 1, (size_t)bytes, file) != (size_t)bytes) {
		perror(path);
		return 1;
	}
	printf("{\"file\":");
	put_string(path);
	putchar(',');
	if (dt_open(&dt, blob, (size_t)bytes, &why)) {
		printf("\"error\":");
		put_string(why);
	} else {
		put_tree(&dt);
	}
	printf("}\n");
	free(blob);
	return fclose(file);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (put_file(argv[i]))
			return 1;
	return 0;
}
