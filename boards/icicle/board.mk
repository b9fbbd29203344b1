# SPDX-License-Identifier: BSD-2-Clause
# Microchip PolarFire SoC Icicle Kit: one E51 without an MMU, which is left alone, and four U54 under OpenSBI; PLIC, 16550s with registers of
# 32 bits, no Sstc. Under QEMU: microchip-icicle-kit, which can neither reset itself nor switch off.
ARCH := riscv
EMULATED := 1
QEMU_MACHINE := microchip-icicle-kit
QEMU_SMP := 5
QEMU_CPUS := 4
# The tree has 1 GiB at 0x1040000000, and QEMU lays what is above the first GiB from 0x1000000000 on.
QEMU_MEMORY := 3G
QEMU_BIOS := opensbi-riscv64-generic-fw_dynamic.bin
# The tree's console is its second UART that QEMU connects.
QEMU_SERIAL := 1
QEMU_DTB := dtb-riscv64 */mpfs-icicle-kit.dtb
