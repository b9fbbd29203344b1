# SPDX-License-Identifier: BSD-2-Clause
# StarFive VisionFive 2, Milk-V Mars (JH7110): four U74 under OpenSBI, PLIC. QEMU has no such machine.
ARCH := riscv
