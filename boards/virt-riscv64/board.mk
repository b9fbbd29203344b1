# SPDX-License-Identifier: BSD-2-Clause
# QEMU virt with RISC-V CPUs (rv64) under OpenSBI, PLIC, ACLINT software interrupts, NS16550.
ARCH := riscv
EMULATED := 1
