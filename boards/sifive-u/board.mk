# SPDX-License-Identifier: BSD-2-Clause
# QEMU sifive_u, after the HiFive Unleashed: one E51 without an MMU, which is left alone, and four U54 under OpenSBI; PLIC, SiFive UART,
# no Sstc. It can reset itself but not switch off. The rehearsal for boards of the same shape.
ARCH := riscv
EMULATED := 1
QEMU_MACHINE := sifive_u
QEMU_SMP := 5
QEMU_CPUS := 4
QEMU_MEMORY := 1G
