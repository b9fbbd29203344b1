# SPDX-License-Identifier: BSD-2-Clause
# One process of the machine that builds: virtual CPUs, virtual time, the host's C library. No image, no QEMU, no UART.
ARCH := host
# Of the kernel; in place of core/mem, the device tree, console and panic: arch/host.
HOST_KERNEL_SRC := $(addprefix core/,batch.c cpu.c event_queue.c event_source.c hotplug.c inherit.c irq.c irq_thread.c lock.c mutex.c mutex_special.c print.c rbtree.c sync.c thread.c time.c timer.c topology.c wait.c) \
	$(wildcard sched/*.c sched/ext/*.c) \
	$(wildcard arch/host/*.c) arch/host/switch.S
