# SPDX-License-Identifier: BSD-2-Clause
# Fairlead's build: one file, no recursion. `make help` lists the targets. Everything that is made lies under build/.

BOARD  ?= virt-arm64
APP    ?= latency
CPUS   ?= 4
ARGS   ?=
SAN    ?= 0
LLVM   ?= 0
LARGE  ?= 0
METER  ?= 0
ICOUNT ?= 0
BAUD   ?=
WITH   ?=
INPUT  ?= $(if $(filter shell,$(APP) $(WITH)),shell)
TIMEOUT ?= $(if $(filter shell,$(APP)),86400,120)
PYTHON ?= /usr/bin/python3
V      ?= 0

ifeq ($(wildcard boards/$(BOARD)/board.mk),)
$(error BOARD=$(BOARD) is unknown; boards: $(notdir $(patsubst %/,%,$(wildcard boards/*/))))
endif
include boards/$(BOARD)/board.mk

Q := $(if $(filter 1,$(V)),,@)
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# ---- tools and flags by architecture --------------------------------------------------------------------------------

ifeq ($(ARCH),host)
CC := gcc
else ifeq ($(ARCH),arm64)
CROSS    := $(if $(CROSS_COMPILE),$(CROSS_COMPILE),aarch64-linux-gnu-)
TRIPLE   := aarch64-none-elf
PICOLIBC ?= /usr/lib/picolibc/aarch64-linux-gnu
LIBC     := $(PICOLIBC)/lib/release/libc.a
ARCHFLAGS := -mcpu=cortex-a53 -mcmodel=small -mstrict-align -mno-outline-atomics
# Errata of the Cortex-A53: docs/HARDWARE.md. lld knows one of them, clang the other.
ERRATA := --fix-cortex-a53-843419
ERRATA += $(if $(filter 1,$(LLVM)),,--fix-cortex-a53-835769)
ARCHFLAGS += $(if $(filter 1,$(LLVM)),-mfix-cortex-a53-835769)
# The kernel reaches its data within 1 MiB, by one instruction instead of two; but for what lies behind the program's .bss.
KERNELFLAGS := -mgeneral-regs-only $(if $(filter 1,$(LARGE) $(SAN)),,-mcmodel=tiny)
else
CROSS    := $(if $(CROSS_COMPILE),$(CROSS_COMPILE),riscv64-unknown-elf-)
TRIPLE   := riscv64-unknown-elf
PICOLIBC ?= /usr/lib/picolibc/riscv64-unknown-elf
# The library's folder for rv64gc/lp64d has another name in each release.
LIBC     := $(firstword $(wildcard $(PICOLIBC)/lib/release/$(shell $(CROSS)gcc -march=rv64gc -mabi=lp64d \
	-print-multi-directory 2>/dev/null)/libc.a $(PICOLIBC)/lib/release/rv64imafd*/lp64d/libc.a \
	$(PICOLIBC)/lib/release/rv64iafd/lp64d/libc.a))
ARCHFLAGS := -march=rv64gc -mabi=lp64d -mcmodel=medany
# clang 14 has no -mstrict-align here, and its linker does not shorten calls.
ARCHFLAGS += $(if $(filter 1,$(LLVM)),-mno-relax,-mstrict-align)
KERNELFLAGS :=
endif

ifeq ($(LLVM),1)
LLVM_SUFFIX ?= $(shell command -v clang-19 >/dev/null && echo -19)
CC := clang$(LLVM_SUFFIX) --target=$(TRIPLE)
LD := ld.lld$(LLVM_SUFFIX)
else
CC := $(CROSS)gcc
LD := $(CROSS)ld
endif
NM      := $(CROSS)nm
OBJCOPY := $(CROSS)objcopy
OBJDUMP := $(CROSS)objdump
LIBGCC   = $(shell $(CROSS)gcc $(filter -m%,$(ARCHFLAGS)) -print-libgcc-file-name)
CCINCLUDE := $(shell $(CC) -print-file-name=include 2>/dev/null)
CCFIXED := $(shell $(CC) -print-file-name=include-fixed 2>/dev/null)

# SAN=1: address sanitizer (kernel flavour, outlined) and undefined-behaviour sanitizer with our own reports; larger stacks; checks of
# lock order. Clang has no address sanitizer for bare metal: with LLVM=1 only memcpy() and its like, free() and the other sanitizer check.
KASANFLAGS := $(if $(filter 1,$(LLVM)),,-fsanitize=kernel-address \
	--param asan-instrumentation-with-call-threshold=0 --param asan-stack=0 --param asan-globals=0)
SANFLAGS_1 := $(KASANFLAGS) -fsanitize=undefined -fno-sanitize=alignment -DFAIRLEAD_SAN=1
SANFLAGS := $(SANFLAGS_$(SAN))
DEBUGFLAGS_1 := -DLOCK_DEBUG=1
# METER=1: the longest stretch with interrupts masked is counted: core/meter.h.
METERFLAGS_1 := -DMASK_METER=1
VARIANT := $(if $(filter 1,$(SAN)),-san)$(if $(filter 1,$(METER)),-meter)$(if $(filter 1,$(LLVM)),-llvm)

OUT  := build/$(BOARD)
OBJ  := $(OUT)/obj$(VARIANT)

# GNU objcopy does not know the relocations of what clang writes for debuggers since DWARF 5.
LLVMDEBUG_1 := -gdwarf-4

WARN := -Wall -Wextra -Werror -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes
CFLAGS := -std=gnu11 -O2 -g $(WARN) -ffreestanding -nostdinc -isystem $(PICOLIBC)/include -isystem $(CCINCLUDE) -isystem $(CCFIXED) \
	-I. -Iarch/$(ARCH) $(ARCHFLAGS) -fno-pic -fno-pie -ffunction-sections -fdata-sections -fno-common \
	-fno-strict-aliasing -fno-omit-frame-pointer -ftls-model=local-exec -fno-stack-protector \
	-fno-asynchronous-unwind-tables $(SANFLAGS) $(DEBUGFLAGS_$(SAN)) $(METERFLAGS_$(METER)) $(LLVMDEBUG_$(LLVM))
# What an assembler file says about distances holds: the linker leaves it as it is.
ASFLAGS := $(filter-out -std=gnu11,$(CFLAGS)) $(if $(filter riscv,$(ARCH)),-mno-relax) -D__ASSEMBLY__

# POSIX's headers go before the C library's.
PROGRAMFLAGS := -Iposix/include
# What is not marked PX_API is no name for programs.
HIDDENFLAGS := -fvisibility=hidden

# Without a frame pointer: what a backtrace begins in, or passes by. It names the caller all the same; with SAN=1 it names everybody.
HOT = $(filter-out core/panic.c arch/$(ARCH)/trap.c,$(filter arch/% core/% sched/%,$(KERNEL_SRC))) \
	$(addprefix posix/,cond.c mutex.c sem.c sleep.c wait.c) $(wildcard drivers/irqchip/*.c drivers/timer/*.c)
HOTFLAGS := $(if $(filter 1,$(SAN)),,-fomit-frame-pointer)
# No room is left before loops; what GCC copies to save a jump or a call: less, where that costs nothing on the ways that count.
ifneq ($(LLVM),1)
HOTFLAGS += -fno-align-loops -fno-align-jumps -fno-align-labels
$(foreach file,sched/sched.c core/mutex.c core/sync.c core/thread.c core/timer.c,$(eval FLAGS_$(file) := --param max-grow-copy-bb-insns=4))
FLAGS_core/timer.c += $(if $(filter arm64,$(ARCH)),-fno-partial-inlining)
$(foreach file,core/mutex.c core/sync.c,$(eval FLAGS_$(file) += -fno-inline-functions))
FLAGS_core/mutex.c += -fno-thread-jumps
endif
# Run once or seldom: small rather than quick.
COLD := $(addprefix core/,alarm.c bootargs.c console.c console_init.c cpu.c device.c fdt.c fdt_value.c frame.c hotplug.c inherit.c irq.c lock.c main.c mutex_special.c panic.c print.c \
	rbtree.c record.c string.c symbol.c time.c topology.c topology_dt.c wait.c mem/heap.c mem/mem.c mem/mmio.c mem/page.c mem/stack.c mem/vm.c) \
	$(addprefix sched/,attr.c balance.c deadline.c deadline_admit.c deadline_global.c deadline_lend.c deadline_reclaim.c deadline_server.c eevdf.c eevdf_member.c group.c group_balance.c hotplug.c monitor.c rebalance.c rt.c server.c sporadic.c util.c wake_many.c) $(addprefix arch/$(ARCH)/,firmware.c trap.c cache.c mmu.c) \
	$(wildcard drivers/serial/*.c)
COLDFLAGS := -Os $(if $(filter 1,$(LLVM)),,-fno-move-loop-invariants -fno-shrink-wrap)
# And what no row of `make bench` comes by: without what makes two copies of a path to save a jump.
SLOW := $(filter-out core/irq.c core/lock.c core/rbtree.c core/string.c core/wait.c core/mem/stack.c \
	$(addprefix sched/,eevdf.c rt.c util.c),$(COLD))
SLOWFLAGS := -DBUILT_SMALL=1 $(if $(filter 1,$(LLVM)),,-fno-thread-jumps -fno-tree-tail-merge -fno-guess-branch-probability -fno-tree-loop-ivcanon -fno-tree-loop-im \
	--param uninlined-function-insns=0 --param max-inline-insns-size=2)
# These run where a report could not be made, touch what is free (links of free pages and stacks), or are the sanitizer.
NOSAN := core/string.c core/panic.c core/symbol.c core/lock.c core/mem/page.c core/mem/stack.c core/mem/vm.c core/mem/san.c \
	posix/malloc_san.c $(wildcard arch/$(ARCH)/*.c)
# The linker puts checked ones in front of these functions: core/mem/san.c, posix/malloc_san.c.
WRAP_1 := $(addprefix --wrap=,memcpy memmove memset memcmp strlen malloc free cfree calloc realloc memalign aligned_alloc \
	malloc_usable_size)
# And counting ones in front of these: core/meter.c.
METER_WRAP_1 := $(addprefix --wrap=,trap_irq trap_timer trap_ipi trap_exit arch_cpu_idle arch_cpu_stop)

# ---- sources ----------------------------------------------------------------------------------------------------------

# A driver for one architecture only says so in its head comment: "Only for: arm64".
DRIVERS_ALL := $(wildcard drivers/*/*.c)
DRIVERS := $(filter-out $(shell grep -l 'Only for: ' /dev/null $(DRIVERS_ALL)),$(DRIVERS_ALL)) \
	$(shell grep -l 'Only for: $(ARCH)$$' /dev/null $(DRIVERS_ALL))
SAN_SRC := core/mem/san.c posix/malloc_san.c
KERNEL_SRC := $(wildcard arch/$(ARCH)/*.S arch/$(ARCH)/*.c) $(filter-out $(SAN_SRC) $(if $(filter 1,$(METER)),,core/meter.c),$(wildcard core/*.c core/mem/*.c)) \
	$(if $(filter 1,$(SAN)),$(filter core/%,$(SAN_SRC))) $(wildcard sched/*.c sched/ext/*.c) $(DRIVERS)
POSIX_SRC := $(filter-out $(SAN_SRC),$(wildcard posix/*.c)) $(if $(filter 1,$(SAN)),$(filter posix/%,$(SAN_SRC)))
APP_DIR := $(if $(wildcard apps/$(APP)/*.c),apps/$(APP),$(APP))
APP_NAME := $(notdir $(APP_DIR))
APP_SRC := $(wildcard $(APP_DIR)/*.c)
# The target tests are an application like any other, whose parts lie with the tests.
APP_SRC += $(if $(filter selftest,$(APP_NAME)),$(wildcard tests/target/*.c))

# Policies: names in sched/ext/policies, or files, separated by commas; the first one is loaded at boot.
POLICY ?=
REMOTE ?=
comma := ,
POLICY_SRC := $(foreach name,$(subst $(comma), ,$(POLICY)),$(firstword $(wildcard sched/ext/policies/$(name).bpf.c sched/ext/policies/$(name).c $(name)) missing/$(name)))

missing/%:
	@echo "make: POLICY: $*: neither a name in sched/ext/policies nor a file" >&2; exit 2

# A folder of one's own whose files include nothing of the kernel's is a POSIX program: built by ./fairlead-cc, with no more warnings than asked for.
POSIX_APP := $(if $(filter apps/%,$(APP_DIR))$(filter host,$(ARCH)),,$(if $(APP_SRC),$(if $(shell grep -lE '^ *\# *include *"(core|sched)/' $(APP_SRC)),,1)))

# boards/host has rules of its own: a program of this machine, no image.
ifeq ($(ARCH),host)
.PHONY: app-check
include boards/host/rules.mk
else

KERNEL_OBJ := $(patsubst %,$(OBJ)/%.o,$(KERNEL_SRC))
POSIX_OBJ  := $(patsubst %,$(OBJ)/%.o,$(POSIX_SRC))
APP_OBJ    := $(patsubst %,$(OBJ)/%.o,$(APP_SRC))

# The simulator in an image: a kernel on virtual CPUs within a thread of this one. See apps/sim/image.mk.
ifeq ($(APP_NAME),sim)
include apps/sim/image.mk
endif

APP_OUT := $(OUT)/$(APP_NAME)

POLICY_OBJ := $(patsubst %,$(APP_OUT)/policy/%.o,$(POLICY_SRC))
# A shell on the UART: APP=shell, or WITH=shell beside another application. And what a policy, or the shell, needs of the console.
SHELL_IN := $(if $(filter shell,$(APP_NAME) $(WITH)),1)
WITH_SRC := $(if $(filter shell,$(WITH)),$(filter-out apps/shell/main.c $(APP_SRC),$(wildcard apps/shell/*.c)))
WITH_OBJ := $(patsubst %,$(OBJ)/%.o,$(WITH_SRC))
POLICY_WRAP := $(addprefix --wrap=,$(if $(POLICY),main) $(if $(POLICY)$(SHELL_IN),console_bind console_irq) \
	$(if $(SHELL_IN),printk console_panic_takeover) $(if $(WITH_SRC),app_start))
KERNEL_OBJ += $(addprefix $(OBJ)/sched/ext/boot/,$(if $(POLICY),boot.c.o load.c.o) $(if $(POLICY)$(SHELL_IN),keys.c.o keys_feed.c.o))
ELF     := $(APP_OUT)/fairlead$(VARIANT).elf
IMAGE   := $(APP_OUT)/Image$(VARIANT)

# ---- rules ------------------------------------------------------------------------------------------------------------

IN_KERNEL = $(filter arch/% core/% sched/% drivers/%,$<)
PER_FILE = $(if $(IN_KERNEL),$(KERNELFLAGS)) $(if $(filter posix/%,$<),$(HIDDENFLAGS)) $(if $(filter $(HOT),$<),$(HOTFLAGS)) $(FLAGS_$<) $(if $(filter $(COLD),$<),$(COLDFLAGS)) $(if $(filter $(SLOW),$<),$(SLOWFLAGS)) $(if $(filter $(NOSAN),$<),-fno-sanitize=all)

POLICY_CFLAGS = $(filter-out -Werror -Wmissing-prototypes -Wstrict-prototypes -Wextra -Wshadow,$(CFLAGS)) -Isched/ext/include $(KERNELFLAGS) -Wno-format $(if $(filter 1,$(SAN)),-fno-sanitize=bounds)
# Twice: tools/policy.py says what its maps and settings are. Its names stay its own: policies may have the same ones.
$(APP_OUT)/policy/%.o: % $(OBJ)/.flags tools/policy.py
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(POLICY_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@.first
	$(Q)$(PYTHON) tools/policy.py --readelf $(CROSS)readelf --object $@.first $< > $@.c
	$(Q)$(CC) $(POLICY_CFLAGS) -w -c $@.c -o $@.second
	$(Q)$(OBJCOPY) --keep-global-symbol=none_of_them $@.second $@

# Linked anew when other policies are asked for, or the shell is.
$(APP_OUT)/.policy: FORCE
	@mkdir -p $(@D)
	@echo '$(POLICY_SRC) $(WITH_SRC)' | cmp -s - $@ || echo '$(POLICY_SRC) $(WITH_SRC)' > $@

# Objects are made anew when the tools or their flags change.
FLAGS_NOW := $(CC) $(CFLAGS) $(KERNELFLAGS) $(PROGRAMFLAGS) $(HOTFLAGS) $(HOT) $(foreach file,$(HOT),$(FLAGS_$(file))) $(COLDFLAGS) $(COLD) $(SLOWFLAGS)
$(OBJ)/.flags: FORCE
	@command -v $(firstword $(CC)) >/dev/null || { echo "make: $(firstword $(CC)) is missing: run ./setup.sh" >&2; exit 127; }
	@mkdir -p $(@D)
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' > $@
FORCE:

$(OBJ)/%.c.o: %.c $(OBJ)/.flags
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(if $(IN_KERNEL),,$(PROGRAMFLAGS)) $(CFLAGS) $(PER_FILE) -MMD -MP -c $< -o $@

$(OBJ)/%.S.o: %.S $(OBJ)/.flags
	@mkdir -p $(@D)
	$(if $(Q),@echo "  AS    $<")
	$(Q)$(CC) $(ASFLAGS) -MMD -MP -c $< -o $@

LINK = $(LD) $(ERRATA) -static -nostdlib --gc-sections --build-id=none -z noexecstack -z max-page-size=4096 \
	$(if $(filter 1,$(LLVM)),,--no-warn-rwx-segments) $(WRAP_$(SAN)) $(METER_WRAP_$(METER)) $(POLICY_WRAP) -T arch/$(ARCH)/link.ld
OBJECTS = $(KERNEL_OBJ) $(POSIX_OBJ) $(APP_OBJ) $(POLICY_OBJ) $(WITH_OBJ)
LIBS = --start-group $(LIBC) $(LIBGCC) --end-group

# Two links: the second one adds the table of function names behind everything that has an address in it.
$(ELF): $(OBJECTS) $(APP_OUT)/.policy arch/$(ARCH)/link.ld tools/symbols.py
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(PYTHON) tools/symbols.py --empty > $@.sym0.S
	$(Q)$(CC) $(ARCHFLAGS) -c $@.sym0.S -o $@.sym0.o
	$(Q)$(LINK) -o $@.pass1 $(OBJECTS) $@.sym0.o $(LIBS) 2> $@.errors || { cat $@.errors >&2; grep -qE 'truncated to fit|out of range' $@.errors && \
		echo "make: $(APP_NAME): code and data are larger than 1 MiB: build with LARGE=1" >&2; exit 1; }
	$(Q)$(NM) -n $@.pass1 | $(PYTHON) tools/symbols.py > $@.sym1.S
	$(Q)$(CC) $(ARCHFLAGS) -c $@.sym1.S -o $@.sym1.o
	$(Q)$(LINK) -Map=$@.map -o $@ $(OBJECTS) $@.sym1.o $(LIBS)
	@rm -f $@.sym* $@.pass1 $@.errors

# ---- POSIX programs ---------------------------------------------------------------------------------------------------

# Everything but the program, as one object whose only global names are POSIX's (and may be overridden), so that a program can call its own
# functions what it likes. ./fairlead-cc links programs with it. The path is one that the linker script takes for the kernel's.
BASE      := $(OUT)/obj-posix$(VARIANT)$(if $(POLICY),-policy)$(addprefix -,$(WITH))
BASE_OBJ  := $(patsubst %,$(OBJ)/%.o,$(filter-out posix/start.c,$(POSIX_SRC)) posix/program/start.c)
BASE_KEEP := $(BASE)/names
PROGRAM_CFLAGS = -O2 -g -nostdinc -isystem posix/include -isystem $(PICOLIBC)/include \
	-isystem $(CCINCLUDE) -isystem $(CCFIXED) $(ARCHFLAGS) -fno-pic -fno-pie -ffunction-sections -fdata-sections \
	-fno-strict-aliasing -fno-omit-frame-pointer -ftls-model=local-exec -fno-stack-protector -fno-asynchronous-unwind-tables $(SANFLAGS)
# What the compiler and the linker call by themselves for SAN=1: the programs' calls, too, go there.
BASE_KEEP_1 := | cat - && $(NM) -g --defined-only $(filter %/san.c.o %/malloc_san.c.o,$(KERNEL_OBJ) $(BASE_OBJ)) | grep -oE '__(wrap|asan|ubsan)_\w+$$'

$(BASE)/core/base.o: $(KERNEL_OBJ) $(BASE_OBJ) $(POLICY_OBJ) $(WITH_OBJ) $(APP_OUT)/.policy tools/posix_names.py
	@mkdir -p $(@D)
	$(if $(Q),@echo "  BASE  $@")
	$(Q)($(OBJDUMP) -t $(BASE_OBJ) | $(PYTHON) tools/posix_names.py $(BASE_KEEP_$(SAN))) > $(BASE_KEEP)
	$(Q)$(LD) -r --unique $(POLICY_WRAP) -o $@.all $(KERNEL_OBJ) $(BASE_OBJ) $(POLICY_OBJ) $(WITH_OBJ)
	$(Q)$(OBJCOPY) --keep-global-symbols=$(BASE_KEEP) --weaken-symbols=$(BASE_KEEP) $@.all $@
	@rm -f $@.all

$(BASE)/tools: $(OBJ)/.flags
	@mkdir -p $(@D)
	@printf '%s\n' 'cc=$(CC)' 'cflags=$(PROGRAM_CFLAGS)' 'link=$(filter-out $(POLICY_WRAP),$(LINK))' 'libs=$(LIBS)' 'nm=$(NM)' 'objcopy=$(OBJCOPY)' 'archflags=$(ARCHFLAGS)' > $@

.PHONY: posix-base
posix-base: $(BASE)/core/base.o $(BASE)/tools

-include $(OBJECTS:.o=.d) $(OBJ)/posix/program/start.c.d

ifeq ($(POSIX_APP),1)
.PHONY: $(IMAGE)
$(IMAGE): app-check
	@mkdir -p $(@D)
	$(if $(Q),@echo "  APP   $(APP_DIR)")
	$(Q)./fairlead-cc -b $(BOARD) $(APP_SRC) -o $(APP_OUT)/$(APP_NAME).img && cp $(APP_OUT)/$(APP_NAME).img $@
else
$(IMAGE): $(ELF)
	$(Q)$(OBJCOPY) -O binary $< $@
endif

app: app-check $(IMAGE) compile_commands.json

run: app
	@$(PYTHON) tools/run.py --board $(BOARD) --app $(APP_NAME) --image $(IMAGE) --out $(APP_OUT) --cpus $(CPUS) \
		--args '$(ARGS)' --boot '$(BOOT)' --icount $(ICOUNT) --timeout $(TIMEOUT) --baud '$(BAUD)' --policy '$(POLICY)' --remote '$(REMOTE)' --input '$(INPUT)'

endif

# ---- targets ----------------------------------------------------------------------------------------------------------

.PHONY: help run test test-boards search soak bench masked posix-suite sim sim-program policy-test crimes fairness deadline image app gdb lint clean compile_commands host-tests app-check

app-check:
	@test -z "$(filter-out shell,$(WITH))" || { echo "make: WITH=$(WITH): shell expected" >&2; exit 2; }
	@test -z "$(and $(filter shell,$(APP_NAME) $(WITH)),$(filter host,$(ARCH)))" || { echo "make: the shell is not for BOARD=host, which has no UART" >&2; exit 2; }
	@test -z "$(and $(filter shell,$(APP_NAME) $(WITH)),$(filter remote,$(subst $(comma), ,$(POLICY))))" || { echo "make: the shell and POLICY=remote would both read the UART" >&2; exit 2; }
	@test -n "$(APP_SRC)" || { echo "make: APP=$(APP): neither a name under apps/ nor a folder with C files" >&2; exit 2; }

image: $(if $(wildcard boards/$(BOARD)/image.toml),app)
	@$(PYTHON) tools/image.py --board $(BOARD) --app '$(APP_NAME)' --kernel '$(IMAGE)' --out '$(OUT)/fairlead-$(BOARD).img' \
		--args '$(ARGS)' --boot '$(if $(BAUD),baud=$(BAUD))'

BOARD_GIVEN := $(if $(filter command% environment%,$(origin BOARD)),$(BOARD))

# A suite of POSIX programs that this tree does not have: tools/posix_suite.py --help.
posix-suite:
	$(if $(SUITE),,@echo "make: posix-suite needs SUITE=folder: docs/POSIX.md says where there is one" >&2; exit 2)
	@$(PYTHON) tools/posix_suite.py '$(SUITE)' $(addprefix --board ,$(BOARD_GIVEN)) $(SUITE_ARGS)

bench:
	@$(PYTHON) tools/bench.py --out build/bench $(addprefix --board ,$(BOARD_GIVEN))

masked:
	@$(PYTHON) tools/masked.py --out build/masked $(addprefix --board ,$(BOARD_GIVEN))

# The simulator is a program of this machine, whatever BOARD is. What is given on the command line goes before the scenario's own.
SCENARIO ?=
SIM_PROGRAM := build/host/sim$(if $(POLICY),/policy/$(subst /,_,$(POLICY)))/fairlead
SIM_RUN = $(PYTHON) tools/sim.py --program '$(SIM_PROGRAM)' --policy '$(POLICY)' --boot '$(BOOT)' --seed '$(if $(filter command% environment%,$(origin SEED)),$(SEED))' \
	--cpus '$(if $(filter command% environment%,$(origin CPUS)),$(CPUS))'

sim-program:
	@$(MAKE) BOARD=host APP=sim SAN=0 app

sim: sim-program
	@$(SIM_RUN) --out build/sim $(if $(SCENARIO),'$(SCENARIO)')

policy-test:
	$(if $(POLICY),,@echo "make: policy-test needs POLICY=name or file: a name under sched/ext/policies, or a C file" >&2; exit 2)
	@$(MAKE) -s sim-program
	@$(PYTHON) tools/policy_test.py --program '$(SIM_PROGRAM)' --policy '$(POLICY)' --boot '$(BOOT)' --seed '$(call GIVEN,SEED)' --cpus '$(call GIVEN,CPUS)'

crimes:
	@$(PYTHON) tools/crimes.py --out build/crimes $(addprefix --board ,$(BOARD_GIVEN))

# The simulator, then QEMU for both boards; BOARD= given: that one alone (host: the simulator).
fairness: $(if $(filter-out host,$(BOARD_GIVEN)),,sim-program)
	$(if $(SCENARIO),$(if $(filter-out host,$(BOARD_GIVEN)),@echo "make: SCENARIO=$(SCENARIO): for the simulator only (BOARD=host, or none)" >&2; exit 2))
	$(if $(filter-out host,$(BOARD_GIVEN)),,@$(SIM_RUN) --out build/fairness \
		$(if $(SCENARIO),'$(SCENARIO)',$(sort $(wildcard tests/sim/*.scn tests/sim/long/*.scn))))
	$(if $(filter host,$(BOARD_GIVEN))$(SCENARIO),,@$(PYTHON) tools/fairness.py --out build/fairness $(addprefix --board ,$(BOARD_GIVEN)))

# Random sets of threads with deadlines: the simulator, then QEMU for both boards; BOARD= given: that one alone (host: the simulator).
deadline: $(if $(filter-out host,$(BOARD_GIVEN)),,sim-program)
	@$(PYTHON) tools/deadline.py --out build/deadline $(addprefix --board ,$(BOARD_GIVEN))

test:
	@$(PYTHON) tests/run_all.py --san $(SAN)

# Fetches firmware and device trees, 210 MB, once.
test-boards:
	@$(PYTHON) tests/run_all.py --boards

# The first is a part of `make test`; the second takes hours.
search:
	@$(PYTHON) tests/search/run.py
soak:
	@$(PYTHON) tests/search/run.py --soak

gdb: app
	@$(PYTHON) tools/gdb.py --board $(BOARD) --image $(IMAGE) --elf $(ELF) --cpus $(CPUS) --args '$(ARGS)'

lint:
	@$(PYTHON) tools/lint.py

# ---- boards -----------------------------------------------------------------------------------------------------------

PORT ?=
DEV  ?=
.PHONY: capture flash
GIVEN = $(if $(filter command% environment%,$(origin $1)),$($1))

capture:
	@$(PYTHON) tools/capture.py --port '$(PORT)' --baud='$(BAUD)' --timeout='$(call GIVEN,TIMEOUT)' --app '$(APP_NAME)' \
		--board '$(or $(BOARD_GIVEN),board)' --out 'build/$(or $(BOARD_GIVEN),board)/$(APP_NAME)' --remote '$(REMOTE)'

flash: image
	@$(PYTHON) tools/flash.py --dev '$(DEV)' --yes '$(YES)' $(OUT)/fairlead-$(BOARD).img

# For clangd and other tools: made from the very commands of this build.
compile_commands.json: Makefile $(KERNEL_SRC) $(POSIX_SRC) $(APP_SRC)
	@$(PYTHON) tools/compile_commands.py --out $@ --cc '$(CC)' --flags '$(CFLAGS) $(KERNELFLAGS)' $(filter %.c,$(KERNEL_SRC) $(POSIX_SRC) $(APP_SRC))

clean:
	rm -rf build compile_commands.json

help:
	@echo "Fairlead: a kernel that exists for scheduling. Targets:"
	@echo
	@echo "  make run     build APP for BOARD, boot it in QEMU, capture the UART, report"
	@echo "  make test    all tests, both architectures (SAN=1: with KASAN and UBSan in the image)"
	@echo "  make test-boards  images of all boards and their boot chains under QEMU; device trees (fetches 210 MB of Debian packages, once)"
	@echo "  make search  interleavings of the scheduler, explored up to a bound (part of make test)"
	@echo "  make soak    the same with higher bounds and more seeds: hours"
	@echo "  make bench   counted instructions of the hot paths, beside the peers and the limits"
	@echo "  make masked  the longest stretch with interrupts masked, under a load that tries everything"
	@echo "  make sim     scenarios in the simulator (SCENARIO=file SEED=number CPUS=number POLICY=name), docs/SIM.md"
	@echo "  make policy-test POLICY=name  what a policy keeps of what is required, and how fair and quick it is (SEED= CPUS=), docs/POLICY.md"
	@echo "  make crimes  what bad policies do to FIFO and deadline threads, and how soon they are gone [BOARD=]"
	@echo "  make deadline  random sets of threads with deadlines: misses, responses; the simulator and QEMU [BOARD=]"
	@echo "  make fairness  the same with the long ones (300 and 10,000 virtual seconds), then busy threads in QEMU"
	@echo "               (BOARD=host: the simulator alone; BOARD=virt-arm64, virt-riscv64: that one alone)"
	@echo "  make posix-suite SUITE=folder  programs of a POSIX test suite, unmodified, on both boards (SUITE_ARGS='--only ...')"
	@echo "  make image   the disk image of APP for BOARD, to be flashed: build/BOARD/fairlead-BOARD.img, .bmap, .sha256"
	@echo "  make gdb     boot stopped and attach a debugger"
	@echo "  make lint    layering, style, kernel objects, lock annotations"
	@echo "  make clean   remove build/"
	@echo "  make flash DEV=/dev/...  write that image to a memory card, and read it back (YES=1: without asking)"
	@echo "  make capture PORT=/dev/ttyUSB0 [BAUD=115200]  what make run does, for a board on a serial port: docs/BRINGUP.md"
	@echo
	@echo "  BOARD=$(BOARD)   of: $(notdir $(patsubst %/,%,$(wildcard boards/*/)))"
	@echo "  APP=$(APP)         of: $(notdir $(patsubst %/,%,$(wildcard apps/*/))), or a folder of C files"
	@echo "  make run BOARD=host APP=hello   the same kernel inside one process of this machine (SEED=1)"
	@echo "  WITH=shell  a shell on the UART beside APP; APP=shell: alone  INPUT=1  what is typed goes to the UART"
	@echo "  CPUS=$(CPUS)  ARGS='…' for the application  TIMEOUT=$(TIMEOUT) seconds  ICOUNT=1 virtual time (1 instruction = 1 ns)"
	@echo "  CROSS_COMPILE=prefix-  LLVM=1 (clang, lld)  SAN=1  LARGE=1 (programs over 1 MiB, arm64)  METER=1 (APP=masked)  V=1 (show commands)"
