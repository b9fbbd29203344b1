/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Binding drivers to nodes: the linker collects the DRIVER() lines of all files, and the tree's
 * compatible strings choose.
 *
 * Callers: the boot CPU; nothing here is locked. A node's compatible strings go from special to
 * general, so the first string that a driver of the class names decides, and a driver that declines
 * (-ENODEV) leaves the node to the next string. What a driver cannot do with a node is bad input
 * and never a panic: one message that names the node, and the next node.
 */
#include "core/device.h"
#include "core/console.h"
#include "core/fdt.h"
#include "core/mem/mem.h"
#include "core/print.h"
#include "core/string.h"

extern const struct driver __start_drivers[], __stop_drivers[];

/* A driver whose name for compatible nodes begins so has this one name, and no node. */
static bool is_fallback(const char *compatible)
{
	return !strncmp(compatible, "fallback,", 9);
}

static bool driver_names(const struct driver *driver, const char *compatible)
{
	for (const char *const *name = driver->compatible; *name; name++)
		if (!strcmp(*name, compatible))
			return true;
	return false;
}

bool device_enabled(const struct dt *dt, int node)
{
	int chain[DT_DEPTH_MAX], depth = dt_ancestors(dt, node, chain);

	for (int i = 0; i <= depth; i++)
		if (!dt_status_ok(dt, chain[i]))
			return false;
	return true;
}

const char *device_path(const struct dt *dt, int node, char *buf, size_t size)
{
	int chain[DT_DEPTH_MAX], depth = dt_ancestors(dt, node, chain);
	size_t at = 0;

	fmt_buf(buf, size, node < 0 ? "(no node)" : "/");
	for (int i = 1; i <= depth && at < size; i++)
		at += (size_t)fmt_buf(buf + at, size - at, "/%s", dt_name(dt, chain[i]));
	return buf;
}

/* Probes @node with @d. *@err keeps the last error other than "declined". */
static bool driver_try(const struct dt *dt, int node, const struct driver *d, int *err)
{
	char path[DEVICE_PATH_BYTES];
	int result = d->probe(dt, node);

	if (result == 0)
		return true;
	if (result != -ENODEV) {
		*err = result;
		printk("%s: driver %s failed (error %d)\n",
		       device_path(dt, node, path, sizeof(path)), d->name, result);
	}
	return false;
}

/*
 * Every node that some driver names, with that driver: one walk through the tree serves all
 * classes. A node with several compatible strings has its pairs in their order, best first. Whether
 * it is enabled is asked only for these, since it takes a walk from the root.
 */
#define CANDIDATES_MAX 256

static struct candidate {
	int node;
	const struct driver *driver;
} candidates[CANDIDATES_MAX];
static unsigned candidate_count;

static void candidates_add(int node, const char *compatible)
{
	for (const struct driver *d = __start_drivers;
	     d < __stop_drivers && candidate_count < CANDIDATES_MAX; d++)
		if (driver_names(d, compatible))
			candidates[candidate_count++] = (struct candidate){ node, d };
}

static void candidates_find(const struct dt *dt)
{
	static const struct dt *found_in;
	const char *compatible;

	if (found_in == dt)
		return;
	found_in = dt;
	for (int node = dt_next_node(dt, DT_START, NULL); node >= 0;
	     node = dt_next_node(dt, node, NULL))
		for (int i = 0; (compatible = dt_string_at(dt, node, "compatible", i)); i++)
			candidates_add(node, compatible);
	if (candidate_count == CANDIDATES_MAX)
		printk("device: more than %d nodes with a driver; the rest is left alone\n",
		       CANDIDATES_MAX);
}

int device_probe_node(const struct dt *dt, int node, enum driver_class class)
{
	int err = -ENODEV;

	if (node == DEVICE_FALLBACK) {
		for (const struct driver *d = __start_drivers; d < __stop_drivers; d++)
			if (d->class == class && is_fallback(d->compatible[0]) &&
			    driver_try(dt, node, d, &err))
				return 0;
		return err;
	}
	candidates_find(dt);
	for (unsigned i = 0; i < candidate_count; i++) {
		const struct candidate *c = &candidates[i];

		if (c->node == node && c->driver->class == class && device_enabled(dt, node) &&
		    driver_try(dt, node, c->driver, &err))
			return 0;
	}
	return err;
}

int device_probe_class(const struct dt *dt, enum driver_class class)
{
	int bound = 0, last = -1;

	candidates_find(dt);
	for (unsigned i = 0; i < candidate_count; i++) {
		const struct candidate *c = &candidates[i];

		if (c->driver->class != class || c->node == last)
			continue;
		last = c->node;
		if (device_probe_node(dt, c->node, class) == 0)
			bound++;
	}
	return bound;
}

void device_list_supported(enum driver_class class)
{
	for (const struct driver *d = __start_drivers; d < __stop_drivers; d++)
		for (const char *const *name = d->compatible; d->class == class && *name; name++)
			if (!is_fallback(*name))
				printk(" %s", *name);
	printk("\n");
}

volatile void *device_map_reg(const struct dt *dt, int node, int index, size_t *bytes)
{
	char path[DEVICE_PATH_BYTES];
	volatile void *base;
	uint64_t pa, size;
	int err = dt_reg(dt, node, index, &pa, &size);

	if (err || size == 0) {
		printk("%s: reg entry %d is %s; expected address and size of device registers\n",
		       device_path(dt, node, path, sizeof(path)), index,
		       err == -ENOENT ? "missing" :
		       err            ? "malformed" :
					"empty");
		return NULL;
	}
	base = mmio_map(pa, size);
	if (!base)
		printk("%s: cannot map 0x%llx bytes of registers at 0x%llx\n",
		       device_path(dt, node, path, sizeof(path)), (unsigned long long)size,
		       (unsigned long long)pa);
	else if (bytes)
		*bytes = size;
	return base;
}
