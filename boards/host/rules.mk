# SPDX-License-Identifier: BSD-2-Clause
# How a program of BOARD=host is built and run: the Makefile includes this in place of its rules for images. Expects Q, WARN, BOARD, APP, CPUS, ARGS, SAN, OUT,
# APP_DIR, APP_NAME and APP_SRC. SEED= is the seed of the run.

SEED ?= 1
HOST_CC ?= gcc
HOST_OBJ := $(OUT)/obj$(if $(filter 1,$(SAN)),-san)
HOST_BIN := $(OUT)/$(APP_NAME)/fairlead$(if $(filter 1,$(SAN)),-san)
HOST_SAN_1 := -fsanitize=address,undefined -DLOCK_DEBUG=1
HOST_CFLAGS := -std=gnu11 -O2 -g $(WARN) -I. -Iarch/host -fno-strict-aliasing -fno-omit-frame-pointer $(HOST_SAN_$(SAN))
HOST_SRC := $(HOST_KERNEL_SRC) posix/start.c $(APP_SRC)
HOST_RUN = FAIRLEAD_SEED=$(SEED) $(HOST_BIN) --cpus=$(CPUS) -- $(ARGS)
# The simulator reads its scenario before there is a machine, so its main() is the process's.
ifeq ($(APP_NAME),sim)
HOST_SRC := $(filter-out arch/host/main.c,$(HOST_KERNEL_SRC)) $(APP_SRC) apps/sim/host/process.c
HOST_RUN = $(HOST_BIN) $(ARGS)
endif
HOST_OBJECTS := $(patsubst %,$(HOST_OBJ)/%.o,$(HOST_SRC))
# The process has a main() of its own: arch/host/main.c.
HOST_RENAME = $(if $(filter posix/start.c $(filter-out apps/sim/%,$(APP_SRC)),$<),-Dmain=app_main -Wno-missing-prototypes)

$(HOST_OBJ)/%.o: % Makefile boards/host/rules.mk
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(HOST_RENAME) -MMD -MP -c $< -o $@

$(HOST_BIN): $(HOST_OBJECTS)
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(HOST_CC) $(HOST_SAN_$(SAN)) $^ -o $@

-include $(HOST_OBJECTS:.o=.d)

.PHONY: app run
app: app-check $(HOST_BIN)

# The last line and the exit status are those of every board.
run: app
	@$(HOST_RUN); status=$$?; echo "exit status $$status"; exit $$status
