# sparse-engine. `make help` lists the targets; a target first installs what is missing and builds.
# Modes (release, asan, ubsan, tsan) build side by side: `make MODE=asan` never rebuilds the others.
MODE ?= release
CC ?= gcc
Q := $(if $(V),,@)

ARCH := $(shell uname -m)
ISAS_x86_64 := plain avx2 avx512
ISAS_aarch64 := plain neon
ISAS := $(or $(ISAS_$(ARCH)),plain)
ISA_FLAGS_avx2 := -mavx2 -mfma -mf16c
ISA_FLAGS_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512

SAN_asan := -fsanitize=address -fno-omit-frame-pointer
SAN_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SAN_tsan := -fsanitize=thread
SAN := $(SAN_$(MODE))
OPT := $(if $(filter release,$(MODE)),-O2,-O1)

VERSION := 0.1.0
CPPFLAGS += -I. -D_GNU_SOURCE -DSPARSE_VERSION='"$(VERSION)"'
CFLAGS += -std=gnu11 -g $(OPT) -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter \
	-pthread $(SAN) $(if $(WERROR),-Werror)
LDFLAGS += -pthread $(SAN)
LDLIBS += -luring -ljansson -lz -lm

OUT := build/$(MODE)
BIN := $(if $(filter release,$(MODE)),build/sparse-engine,$(OUT)/sparse-engine)

# kernels/cpu: these two once, every other file once an instruction set.
CPU_ONCE := kernels/cpu/pool.c kernels/cpu/device_cpu.c
CPU_ISA := $(filter-out $(CPU_ONCE),$(wildcard kernels/cpu/*.c))
SRC := $(wildcard base/*.c kernels/*.c kernels/ref/*.c layers/*.c models/*.c datasets/*.c net/*.c monitor/*.c engine/*.c) $(CPU_ONCE)
OBJ := $(SRC:%.c=$(OUT)/%.o) $(foreach i,$(ISAS),$(CPU_ISA:%.c=$(OUT)/$(i)/%.o))
LIB_OBJ := $(filter-out $(OUT)/engine/main.o,$(OBJ))
TESTS := $(patsubst tests/%.c,$(OUT)/tests/%,$(wildcard tests/test_*.c))
BENCHES := $(patsubst bench/%.c,$(OUT)/bench/%,$(wildcard bench/bench_*.c))

.DELETE_ON_ERROR:
.PHONY: build tests benches
build: $(BIN)
tests: $(TESTS)
benches: $(BENCHES)

$(BIN): $(OBJ)
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(OUT)/libsparse.a: $(LIB_OBJ)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

define isa_rule
$(OUT)/$(1)/kernels/cpu/%.o: kernels/cpu/%.c
	@mkdir -p $$(@D)
	@echo "  CC   $$< ($(1))"
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -DISA=$(1) -DISA_$(1) $$(ISA_FLAGS_$(1)) -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

$(OUT)/kernels/ref/%.o: CFLAGS += -ffp-contract=off
$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/tests/test_%: $(OUT)/tests/test_%.o $(OUT)/libsparse.a
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka $(TEST_LDFLAGS)
$(OUT)/bench/bench_%: $(OUT)/bench/bench_%.o $(OUT)/libsparse.a
	@echo "  LINK $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(OBJ:.o=.d) $(TESTS:=.d) $(BENCHES:=.d)
