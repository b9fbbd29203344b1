/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Binding drivers to device-tree nodes. A driver is one file with one DRIVER() line; adding one
 * changes no other file. Probing runs once at boot, class by class: interrupt controllers, then
 * inter-processor interrupts, then the rest.
 */
#pragma once

#include "core/base.h"

struct dt;

enum driver_class { DRIVER_IRQCHIP, DRIVER_IPI, DRIVER_SERIAL, DRIVER_TIMER, DRIVER_POWER,
		    DRIVER_RTC };

struct driver {
	const char *name;
	enum driver_class class;
	const char *const *compatible; /* NULL-terminated */
	/* 0; -ENODEV to decline; other -errno is reported */
	int (*probe)(const struct dt *dt, int node);
};

/*
 * The node of what needs none: drivers with a compatible string "fallback,..." are probed with it,
 * after all others declined.
 */
#define DEVICE_FALLBACK (-1)

/* DRIVER(pl011, DRIVER_SERIAL, pl011_probe, "arm,pl011"); */
#define DRIVER(ident, cls, fn, ...)                                                    \
	static const char *const ident##_compatible[] = { __VA_ARGS__, NULL };         \
	static const struct driver ident##_driver                                      \
		__attribute__((used, section("drivers"), aligned(8))) = { #ident, cls, \
									  ident##_compatible, fn }

/*
 * Probes every node with an enabled status that a driver of @class names. Returns how many were
 * bound. Context: boot.
 */
int device_probe_class(const struct dt *dt, enum driver_class class);
/*
 * Probes one node, or DEVICE_FALLBACK, against @class; -ENODEV when no driver names it, the
 * driver's -errno when none took it.
 */
int device_probe_node(const struct dt *dt, int node, enum driver_class class);
/* Prints the compatible strings that drivers of @class name, for error messages. */
void device_list_supported(enum driver_class class);

/* The node and all its parents have an enabled status. */
bool device_enabled(const struct dt *dt, int node);
/* "/soc/serial@10000000" into @buf, cut if need be, for messages. Returns buf. */
#define DEVICE_PATH_BYTES 128
const char *device_path(const struct dt *dt, int node, char *buf, size_t size);

/*
 * Maps device registers (reg entry @index of @node), uncached; NULL with a message. Context: boot,
 * thread.
 */
volatile void *device_map_reg(const struct dt *dt, int node, int index, size_t *bytes);

static inline uint32_t mmio_read32(const volatile void *base, size_t off)
{
	return *(const volatile uint32_t *)((const volatile char *)base + off);
}

static inline void mmio_write32(volatile void *base, size_t off, uint32_t v)
{
	*(volatile uint32_t *)((volatile char *)base + off) = v;
}

static inline uint64_t mmio_read64(const volatile void *base, size_t off)
{
	return *(const volatile uint64_t *)((const volatile char *)base + off);
}

static inline void mmio_write64(volatile void *base, size_t off, uint64_t v)
{
	*(volatile uint64_t *)((volatile char *)base + off) = v;
}

static inline uint8_t mmio_read8(const volatile void *base, size_t off)
{
	return *((const volatile uint8_t *)base + off);
}

static inline void mmio_write8(volatile void *base, size_t off, uint8_t v)
{
	*((volatile uint8_t *)base + off) = v;
}
