# SPDX-License-Identifier: BSD-2-Clause
# Raspberry Pi 4 B and its relatives (BCM2711): four Cortex-A72, GIC-400, mini UART. Under QEMU: raspi4b.
ARCH := arm64
EMULATED := 1
QEMU_MACHINE := raspi4b
QEMU_SMP := 4
QEMU_MEMORY := 2G
# The tree's console is serial1, the mini UART.
QEMU_SERIAL := 1
QEMU_DTB := dtb-arm64 */bcm2711-rpi-4-b.dtb
