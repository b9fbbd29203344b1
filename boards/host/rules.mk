# SPDX-License-Identifier: BSD-2-Clause
# How a program of BOARD=host is built and run: the Makefile includes this in place of its rules for images. Expects Q, WARN, BOARD, APP, CPUS, ARGS, SAN, OUT,
# APP_DIR, APP_NAME, APP_SRC and POLICY_SRC. SEED= is the seed of the run, BOOT= boot arguments, which only programs with POLICY= have.

SEED ?= 1
HOST_CC ?= gcc
HOST_OBJ := $(OUT)/obj$(if $(filter 1,$(SAN)),-san)
# Each list of policies makes a program of its own, so that two runs at once do not meet.
HOST_OUT := $(OUT)/$(APP_NAME)$(if $(POLICY),/policy/$(subst /,_,$(POLICY)))
HOST_BIN := $(HOST_OUT)/fairlead$(if $(filter 1,$(SAN)),-san)
HOST_SAN_1 := -fsanitize=address,undefined -DLOCK_DEBUG=1
HOST_CFLAGS := -std=gnu11 -O2 -g $(WARN) -I. -Iarch/host -fno-strict-aliasing -fno-omit-frame-pointer $(HOST_SAN_$(SAN))
HOST_SRC := $(HOST_KERNEL_SRC) posix/start.c $(APP_SRC)
HOST_RUN = FAIRLEAD_SEED=$(SEED) $(HOST_BIN) --cpus=$(CPUS) $(if $(BOOT),--boot='$(BOOT)') -- $(ARGS)
# The simulator reads its scenario before there is a machine, so its main() is the process's.
ifeq ($(APP_NAME),sim)
HOST_SRC := $(filter-out arch/host/main.c,$(HOST_KERNEL_SRC)) $(APP_SRC) apps/sim/host/process.c
HOST_RUN = $(HOST_BIN) $(ARGS)
endif
HOST_POLICY_SRC := $(if $(POLICY),core/bootargs.c sched/ext/boot/load.c $(if $(filter sim,$(APP_NAME)),,sched/ext/boot/boot.c))
HOST_SRC += $(HOST_POLICY_SRC)
HOST_POLICY_OBJ := $(patsubst %,$(HOST_OBJ)/policy/%.o,$(POLICY_SRC))
HOST_OBJECTS := $(HOST_POLICY_OBJ) $(patsubst %,$(HOST_OBJ)/%.o,$(HOST_SRC))
# The process has a main() of its own: arch/host/main.c.
HOST_RENAME = $(if $(filter posix/start.c $(filter-out apps/sim/%,$(APP_SRC)),$<),-Dmain=app_main -Wno-missing-prototypes) \
	$(if $(filter sched/ext/boot/boot.c,$<),-D__wrap_main=__wrap_app_main -D__real_main=__real_app_main)
HOST_WRAP = $(if $(filter sched/ext/boot/boot.c,$(HOST_SRC)),-Wl$(comma)--wrap=app_main)
HOST_POLICY_CFLAGS = $(filter-out -Werror -Wmissing-prototypes -Wstrict-prototypes -Wextra -Wshadow,$(HOST_CFLAGS)) -Isched/ext/include -Wno-format

# Twice, as for boards: see the Makefile.
$(HOST_OBJ)/policy/%.o: % Makefile boards/host/rules.mk tools/policy.py
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(HOST_CC) $(HOST_POLICY_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@.first
	$(Q)$(PYTHON) tools/policy.py --object $@.first $< > $@.c
	$(Q)$(HOST_CC) $(HOST_POLICY_CFLAGS) -w -c $@.c -o $@.second
	$(Q)objcopy --keep-global-symbol=none_of_them $@.second $@

$(HOST_OBJ)/%.o: % Makefile boards/host/rules.mk
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(HOST_RENAME) -MMD -MP -c $< -o $@

$(HOST_BIN): $(HOST_OBJECTS)
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(HOST_CC) $(HOST_SAN_$(SAN)) $(HOST_WRAP) $^ -o $@

-include $(HOST_OBJECTS:.o=.d)

.PHONY: app run
app: app-check $(HOST_BIN)

# The last line and the exit status are those of every board.
run: app
	@$(HOST_RUN); status=$$?; echo "exit status $$status"; exit $$status
