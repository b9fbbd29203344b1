/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Power management of the Raspberry Pi 1 to 4: its watchdog resets the chip, and the boot firmware
 * reads in a register that survives the reset from which partition to boot. Partition 63 means
 * "halt", which is the nearest to power-off that these boards have.
 * Only for: arm64
 *
 * Callers: arch_system_off(), anything may be held. No lock. Every write carries the password.
 */
#include "core/arch.h"
#include "core/device.h"

#define PM_RSTC 0x1c
#define PM_RSTS 0x20
#define PM_WDOG 0x24

#define PM_PASSWORD      0x5a000000u
#define RSTC_CONFIG_MASK 0x00000030u
#define RSTC_FULL_RESET  0x00000020u
#define RSTS_PARTITION   0x00000555u /* six bits, every other one */
#define WDOG_TICKS       10u         /* of 16 us */
#define PM_BYTES         (PM_WDOG + 4)
/* The reset comes within 160 us; a counter of 54 MHz at most says when it should have. */
#define RESET_WAIT_CYCLES 10000000u

static volatile void *pm; /* [i] */

static void pm_write(size_t reg, uint32_t value)
{
	mmio_write32(pm, reg, PM_PASSWORD | value);
}

static void pm_off(void)
{
	uint64_t start = arch_counter();

	pm_write(PM_RSTS, (mmio_read32(pm, PM_RSTS) & 0x00ffffff) | RSTS_PARTITION);
	pm_write(PM_WDOG, WDOG_TICKS);
	pm_write(PM_RSTC,
		 (mmio_read32(pm, PM_RSTC) & 0x00ffffff & ~RSTC_CONFIG_MASK) | RSTC_FULL_RESET);
	while (arch_counter() - start < RESET_WAIT_CYCLES)
		arch_cpu_relax();
}

static int pm_probe(const struct dt *dt, int node)
{
	size_t bytes;
	volatile void *regs = device_map_reg(dt, node, 0, &bytes);

	if (!regs || bytes < PM_BYTES)
		return -EINVAL;
	pm = regs;
	arch_board_off = pm_off;
	return 0;
}

DRIVER(bcm2835_pm, DRIVER_POWER, pm_probe, "brcm,bcm2835-pm", "brcm,bcm2835-pm-wdt");
