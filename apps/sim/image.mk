# SPDX-License-Identifier: BSD-2-Clause
# The simulator as an application of an image: arch/host, core/ and sched/ as they are on virtual CPUs, and apps/sim, compiled for this processor and
# linked into one object of which nothing but main() is seen from outside. So there are two kernels in the image, which know nothing of each other.
# The Makefile includes this for APP=sim on boards.

BOARD_ARCH := $(ARCH)
include boards/host/board.mk
ARCH := $(BOARD_ARCH)

SIM_OBJ := $(OUT)/obj-sim
SIM_TEXTS := $(wildcard tests/sim/*.scn)
SIM_SRC := $(filter-out arch/host/main.c arch/host/linux.c,$(HOST_KERNEL_SRC)) $(APP_SRC) apps/sim/target/process.c
SIM_OBJECTS := $(patsubst %,$(SIM_OBJ)/%.o,$(SIM_SRC)) $(SIM_OBJ)/scenarios.c.o
SIM_CFLAGS := $(filter-out -Iarch/% $(SANFLAGS) $(DEBUGFLAGS_$(SAN)),$(CFLAGS)) -Iarch/host $(PROGRAMFLAGS) -DHOST_ARENA_BYTES=4194304ul
APP_OBJ := $(SIM_OBJ)/machine.o

$(SIM_OBJ)/scenarios.c: $(SIM_TEXTS) tools/scenarios.py
	@mkdir -p $(@D)
	$(Q)$(PYTHON) tools/scenarios.py $(SIM_TEXTS) > $@

$(SIM_OBJ)/scenarios.c.o: $(SIM_OBJ)/scenarios.c
	$(Q)$(CC) $(SIM_CFLAGS) -MMD -MP -c $< -o $@

$(SIM_OBJ)/%.c.o: %.c $(OBJ)/.flags
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $< (virtual)")
	$(Q)$(CC) $(SIM_CFLAGS) -MMD -MP -c $< -o $@

$(SIM_OBJ)/%.S.o: %.S $(OBJ)/.flags
	@mkdir -p $(@D)
	$(if $(Q),@echo "  AS    $< (virtual)")
	$(Q)$(CC) $(SIM_CFLAGS) -D__ASSEMBLY__ -MMD -MP -c $< -o $@

$(APP_OBJ): $(SIM_OBJECTS)
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(LD) -r -o $@.all $^
	$(Q)$(OBJCOPY) --keep-global-symbol=main $@.all $@
	@rm -f $@.all

-include $(SIM_OBJECTS:.o=.d)
