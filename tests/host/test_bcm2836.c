/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The BCM2836's interrupt controllers against registers that are memory: what QEMU hides is in which
 * order the route of the timer and the CPU's mask for FIQs change. The driver is included.
 *
 * Sources: core/fdt.c core/fdt_value.c tests/host/host_stub.c
 * Flags: -Iarch/host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/arch.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

static uint8_t local_regs[0x100], armctrl_regs[0x200];
static uint64_t test_daif = 0xc0;   /* interrupts and FIQs masked */
static unsigned dispatched, ipis;   /* the last one's number; how many */
static bool fiq_route_changed_open; /* a route changed while FIQs were not masked */
static struct cpu self;

void irq_dispatch(unsigned long hwirq)
{
	dispatched = (unsigned)hwirq;
}

void trap_ipi(void)
{
	ipis++;
}

void (*ipi_send)(struct cpu *target);
const char *ipi_name;

void irq_root_set(const struct irq_chip *chip)
{
	(void)chip;
}

const struct irq_chip *irq_root(void)
{
	return NULL;
}

volatile void *device_map_reg(const struct dt *dt, int node, int index, size_t *bytes)
{
	(void)dt, (void)node, (void)index, (void)bytes;
	return NULL;
}

static struct cpu *test_cpu_self(void)
{
	return &self;
}

static void test_write32(volatile void *base, size_t off, uint32_t v)
{
	volatile uint32_t *reg = (volatile uint32_t *)((volatile char *)base + off);

	if ((volatile uint8_t *)reg >= local_regs + 0x40 &&
	    (volatile uint8_t *)reg < local_regs + 0x50 && ((*reg ^ v) & 0x80) &&
	    !(test_daif & 0x40))
		fiq_route_changed_open = true;
	*reg = v;
}

#define arch_cpu_self                  test_cpu_self
#define mmio_write32                   test_write32
#define arch_device_reg_read(name)     (test_daif)
#define arch_device_reg_write(name, v) (test_daif = (v))
#undef DRIVER
#define DRIVER(ident, cls, fn, ...)                        \
	int ident##_unused(const struct dt *dt, int node); \
	int ident##_unused(const struct dt *dt, int node)  \
	{                                                  \
		return fn(dt, node);                       \
	}
#include "drivers/irqchip/bcm2836.c"

static void put(uint8_t *regs, size_t off, uint32_t v)
{
	memcpy(regs + off, &v, 4);
}

static uint32_t get(const uint8_t *regs, size_t off)
{
	uint32_t v;

	memcpy(&v, regs + off, 4);
	return v;
}

static int setup(void **state)
{
	(void)state;
	memset(local_regs, 0, sizeof(local_regs));
	memset(armctrl_regs, 0, sizeof(armctrl_regs));
	local = local_regs;
	armctrl = armctrl_regs;
	local_node = 100;
	armctrl_node = 200;
	self.hwid = 2;
	bcm2836_cpu_init(&self);
	bcm2836_unmask(SOURCE_CNTV);
	bcm2836_unmask(1);
	test_daif = 0xc0;
	dispatched = ipis = 0;
	fiq_route_changed_open = false;
	return 0;
}

#define CONTROL get(local_regs, TIMER_CONTROL + 4 * 2)

/* Thread with IRQs masked, FIQs as ever: open and closed again. */
static void test_window_in_a_thread(void **state)
{
	unsigned long was;

	(void)state;
	test_daif = 0x80;
	was = bcm2836_timer_only(true, 0);
	assert_int_equal(CONTROL,
			 0x82); /* the timer as an FIQ; CNTP stays an IRQ, which is masked */
	assert_int_equal(test_daif, 0x80);
	assert_int_not_equal(bcm2836_timer_only(false, was), was);
	assert_int_equal(CONTROL, 0x0a);
	assert_int_equal(test_daif, 0x80);
	assert_false(fiq_route_changed_open);
}

/* In a handler FIQs are masked; the window lets them through and masks them again. */
static void test_window_in_a_handler(void **state)
{
	unsigned long was;

	(void)state;
	test_daif = 0x3c0;
	was = bcm2836_timer_only(true, 0);
	assert_int_equal(test_daif, 0x380);
	assert_int_not_equal(bcm2836_timer_only(false, was), was);
	assert_int_equal(test_daif, 0x3c0);
	assert_int_equal(CONTROL, 0x0a);
	assert_false(fiq_route_changed_open);
}

/* The inner one, in the timer's FIQ, leaves the route to the outer one. */
static void test_window_in_a_window(void **state)
{
	unsigned long outer, inner;

	(void)state;
	test_daif = 0x80;
	outer = bcm2836_timer_only(true, 0);
	test_daif = 0x3c0; /* the FIQ is taken */
	inner = bcm2836_timer_only(true, 0);
	assert_int_equal(test_daif, 0x380);
	assert_int_equal(bcm2836_timer_only(false, inner), inner);
	assert_int_equal(CONTROL, 0x82);
	assert_int_equal(test_daif, 0x3c0);
	test_daif = 0x80; /* it returns */
	assert_int_not_equal(bcm2836_timer_only(false, outer), outer);
	assert_int_equal(CONTROL, 0x0a);
	assert_false(fiq_route_changed_open);
}

static void take(uint32_t sources, uint32_t basic, uint32_t bank1, uint32_t bank2)
{
	dispatched = 0;
	put(local_regs, IRQ_SOURCE + 4 * 2, sources);
	put(armctrl_regs, 0, basic);
	put(armctrl_regs, 4, bank1);
	put(armctrl_regs, 8, bank2);
	bcm2836_handle();
}

/* The basic register announces a bank, or shows one of its lines and does not announce it. */
static void test_what_is_pending_is_found(void **state)
{
	(void)state;
	take(1 << 3, 0, 0, 0);
	assert_int_equal(dispatched, 3);
	take(1 << 8, 1 << 8, 1 << 29, 0);
	assert_int_equal(dispatched, 32 + 32 + 29);
	take(1 << 8, 1 << 9, 0, 1u << 31);
	assert_int_equal(dispatched, 32 + 64 + 31);
	take(1 << 8, 1 << 19, 0, 1 << 25); /* the PL011 */
	assert_int_equal(dispatched, 32 + 64 + 25);
	take(1 << 8, 1 << 10, 1 << 7, 0);
	assert_int_equal(dispatched, 32 + 32 + 7);
	take(1 << 8, 1 << 2, 0, 0);
	assert_int_equal(dispatched, 32 + 2);
	take(1 << 8 | 1 << 3, 1 << 9, 0, 1); /* the timer before devices */
	assert_int_equal(dispatched, 3);
	take(0, 1 << 9, 0, 1); /* nothing for this core */
	assert_int_equal(dispatched, 0);
	take(1 << 8, 0, 0, 0); /* gone before it was looked at */
	assert_int_equal(dispatched, 0);
}

static void test_ipi_is_acknowledged_first(void **state)
{
	(void)state;
	take(1 << 4 | 1 << 8, 1 << 9, 0, 1);
	assert_int_equal(ipis, 1);
	assert_int_equal(dispatched, 0);
	assert_int_equal(get(local_regs, MBOX0_CLEAR + 16 * 2), 1);
}

static void test_specifiers(void **state)
{
	static const struct {
		uint32_t cells[2];
		int n, controller, err;
		unsigned hwirq;
	} cases[] = {
		{ { 3, 4 }, 2, 100, 0, 3 },        { { 9, 4 }, 2, 100, 0, 9 },
		{ { 10, 4 }, 2, 100, -EINVAL, 0 }, { { 2, 25 }, 2, 200, 0, 32 + 64 + 25 },
		{ { 2, 25 }, 2, 100, 0, 2 },       { { 0, 7 }, 2, 200, 0, 32 + 7 },
		{ { 0, 8 }, 2, 200, -EINVAL, 0 },  { { 3, 0 }, 2, 200, -EINVAL, 0 },
		{ { 1, 32 }, 2, 200, -EINVAL, 0 }, { { 1, 1 }, 2, 300, -EINVAL, 0 },
		{ { 1, 1 }, 1, 200, -EINVAL, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned hwirq = 0;

		assert_int_equal(bcm2836_translate(cases[i].cells, cases[i].n, cases[i].controller,
						   &hwirq),
				 cases[i].err);
		assert_int_equal(hwirq, cases[i].hwirq);
	}
}

static void test_masks(void **state)
{
	static const struct {
		unsigned hwirq;
		size_t on, off;
		uint32_t bit;
	} lines[] = {
		{ 32 + 5, 0x18, 0x24, 1 << 5 },
		{ 64 + 29, 0x10, 0x1c, 1 << 29 },
		{ 96 + 25, 0x14, 0x20, 1 << 25 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		bcm2836_unmask(lines[i].hwirq);
		assert_int_equal(get(armctrl_regs, lines[i].on), lines[i].bit);
		bcm2836_mask(lines[i].hwirq);
		assert_int_equal(get(armctrl_regs, lines[i].off), lines[i].bit);
	}
	bcm2836_mask(SOURCE_CNTV);
	assert_int_equal(CONTROL, 0x02);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_window_in_a_thread, setup),
		cmocka_unit_test_setup(test_window_in_a_handler, setup),
		cmocka_unit_test_setup(test_window_in_a_window, setup),
		cmocka_unit_test_setup(test_what_is_pending_is_found, setup),
		cmocka_unit_test_setup(test_ipi_is_acknowledged_first, setup),
		cmocka_unit_test_setup(test_specifiers, setup),
		cmocka_unit_test_setup(test_masks, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
