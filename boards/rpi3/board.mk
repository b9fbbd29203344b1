# SPDX-License-Identifier: BSD-2-Clause
# Raspberry Pi 3 B and its relatives (BCM2837): four Cortex-A53, interrupt controllers of its own, mini UART. Under QEMU: raspi3b.
ARCH := arm64
EMULATED := 1
QEMU_MACHINE := raspi3b
QEMU_SMP := 4
QEMU_MEMORY := 1G
# The tree's console is serial1, the mini UART.
QEMU_SERIAL := 1
QEMU_DTB := dtb-arm64 */bcm2837-rpi-3-b.dtb
