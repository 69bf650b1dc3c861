# sparse-engine: `make help` lists what there is. Modes (release, asan, ubsan, tsan, and emu: an
# emulated GPU, for tests) build side by side under build/. Source files are found by folder: a new file, test or bench needs no line here.

MODE ?= release
ifeq ($(filter release asan ubsan tsan emu fuzz,$(MODE)),)
$(error MODE=$(MODE): the modes are release, asan, ubsan, tsan and emu)
endif
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := $(if $(findstring clang,$(CC)),$(subst clang,clang++,$(CC)),$(patsubst %gcc,%g++,$(CC)))
endif
Q := $(if $(V),,@)
BUILD ?= build
PREFIX ?= /usr/local
VERSION := 0.1.0

# ---- what the compiler and this machine offer ----

CC_VERSION := $(shell $(CC) --version 2>/dev/null | head -n 1)
ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
ISAS_x86_64 := plain avx2 avx512
ISAS_aarch64 := plain neon
ISAS := $(if $(filter emu,$(MODE)),plain,$(or $(ISAS_$(ARCH)),plain))
ISA_FLAGS_avx2 := -mavx2 -mfma -mf16c
ISA_FLAGS_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c \
	-mprefer-vector-width=512

# The io_uring transport wants a liburing that knows zero-copy sends (2.3 or newer). Without it, or
# with URING=0, the poll transport alone is built.
HAVE_LIBURING := $(if $(filter 0,$(URING)),0,$(shell scripts/have_liburing.sh $(CC) && echo 1 || echo 0))

# Of the monitor, --http wants libmicrohttpd. Without it, or with HTTP=0, the rest is built.
HAVE_MICROHTTPD := $(if $(filter 0,$(HTTP)),0,$(shell scripts/have_microhttpd.sh $(CC) && echo 1 || echo 0))

# CUDA: release builds hold it where nvcc is, in PATH or under /usr/local/cuda, or NVCC; not with
# CUDA=0. MODE=emu compiles the same sources with g++ against the emulated GPU of tests/emu.
NVCC ?= $(or $(shell command -v nvcc),$(wildcard /usr/local/cuda/bin/nvcc))
HAVE_CUDA := $(strip $(if $(filter 0,$(CUDA)),,$(if $(filter release,$(MODE)),$(if $(NVCC),nvcc), \
	$(filter emu,$(MODE)))))
ifeq ($(HAVE_CUDA),nvcc)
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))
CUDART := $(firstword $(wildcard $(CUDA_HOME)/lib64/libcudart_static.a \
	$(CUDA_HOME)/targets/*/lib/libcudart_static.a /usr/lib/*/libcudart_static.a))
CUDA_CODE := $(shell scripts/cuda_flags.sh $(NVCC) '$(CUDA_ARCHS)')
CUDA_TENSOR_CODE := $(shell scripts/cuda_flags.sh $(NVCC) '$(CUDA_ARCHS)' '70 80' 2>/dev/null)
ifeq ($(CUDA_CODE),)
$(error nvcc cannot be used: see above, or build with CUDA=0)
endif
NVCCFLAGS := -std=c++14 -O3 -g -lineinfo -Xcompiler -fPIE,-Wall,-Wextra \
	-Xcompiler -fno-exceptions,-fno-rtti,-fno-threadsafe-statics,-Wno-unused-parameter $(if $(WERROR),-Werror all-warnings)
CUDA_INCLUDE := -isystem $(CUDA_HOME)/include
CUDA_LIBS := $(CUDART) -lrt
else ifeq ($(HAVE_CUDA),emu)
CUDA_INCLUDE := -Itests/emu -DEMULATED -DPLAIN_ONLY
CUDA_LIBS := -lstdc++
endif

SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_emu := $(SAN_asan)
SAN_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SAN_tsan := -fsanitize=thread
SAN_fuzz := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
SAN := $(SAN_$(MODE))
# What sanitizers make compilers say: clang of loops that it cannot vectorise, gcc of ranges it lost.
SAN_WARNINGS := $(if $(SAN),$(if $(findstring clang,$(CC_VERSION)),-Wno-pass-failed, \
	-Wno-format-truncation -Wno-maybe-uninitialized -Wno-stringop-overflow))
HARDEN := -fPIE -fstack-protector-strong $(if $(SAN),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)

CPPFLAGS += -I. $(CUDA_INCLUDE) -D_GNU_SOURCE -DSPARSE_VERSION='"$(VERSION)"' \
	-DHAVE_LIBURING=$(HAVE_LIBURING) -DHAVE_MICROHTTPD=$(HAVE_MICROHTTPD) $(if $(SAN),-DSANITIZED)
CFLAGS += -std=gnu11 -g $(if $(SAN),-O1,-O2) -Wall -Wextra -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wno-unused-parameter $(SAN_WARNINGS) \
	$(if $(WERROR),-Werror) -ffile-prefix-map=$(CURDIR)=. $(HARDEN) -pthread $(SAN)
LDFLAGS += -pie -Wl,-z,relro,-z,now -pthread $(SAN) $(if $(filter emu,$(MODE)),-rdynamic)
LDLIBS += $(if $(filter 1,$(HAVE_LIBURING)),-luring) \
	$(if $(filter 1,$(HAVE_MICROHTTPD)),-lmicrohttpd) -ljansson -ljpeg -lpng -lz $(CUDA_LIBS) -ldl -lm

# ---- files ----

OUT := $(BUILD)/$(MODE)
BIN := $(if $(filter release,$(MODE)),$(BUILD)/sparse-engine,$(OUT)/sparse-engine)

# kernels/cpu: these two once, every other file once an instruction set.
CPU_ONCE := kernels/cpu/pool.c kernels/cpu/device_cpu.c
CPU_ISA := $(filter-out $(CPU_ONCE),$(wildcard kernels/cpu/*.c))
SRC := $(wildcard base/*.c kernels/*.c kernels/ref/*.c layers/*.c models/*.c datasets/*.c net/*.c \
	monitor/*.c engine/*.c) $(CPU_ONCE)
# kernels/cuda: no_cuda.c in a build without CUDA, else all the others.
NO_CUDA := kernels/cuda/no_cuda.c
CUDA_SRC := $(if $(HAVE_CUDA),$(filter-out $(NO_CUDA),$(wildcard kernels/cuda/*.c)),$(NO_CUDA))
CUDA_OBJ := $(CUDA_SRC:%.c=$(OUT)/%.o) $(if $(HAVE_CUDA), \
	$(patsubst %.cu,$(OUT)/%.cu.o,$(wildcard kernels/cuda/*.cu)))
EMU_OBJ := $(if $(filter emu,$(HAVE_CUDA)), \
	$(patsubst %.cpp,$(OUT)/%.o,$(wildcard tests/emu/*.cpp)))
OBJ := $(SRC:%.c=$(OUT)/%.o) $(CUDA_OBJ) $(EMU_OBJ) $(foreach i,$(ISAS),$(CPU_ISA:%.c=$(OUT)/$(i)/%.o))
LIB_OBJ := $(filter-out $(OUT)/engine/main.o,$(OBJ))
TESTS := $(patsubst tests/%.c,$(OUT)/tests/%,$(if $(filter tsan,$(MODE)), \
	$(shell scripts/thread_tests.sh),$(if $(filter emu,$(MODE)),$(shell scripts/gpu_tests.sh), \
	$(filter-out $(if $(HAVE_CUDA),,tests/test_cuda_%),$(wildcard tests/test_*.c)))))
BENCHES := $(patsubst bench/%.c,$(OUT)/bench/%,$(wildcard bench/bench_*.c))
FUZZERS := $(patsubst tests/%.c,$(OUT)/tests/%,$(wildcard tests/fuzz_*.c))
# Files beside tests/test_*.c and tests/fuzz_*.c are what several of them share.
TEST_SHARED := $(patsubst %.c,$(OUT)/%.o,$(filter-out tests/test_%.c tests/fuzz_%.c, \
	$(wildcard tests/*.c))) $(if $(HAVE_CUDA),$(OUT)/tests/check_waiting.o)

# A target for users runs make again with all cores, unless -j was given.
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
SUBMAKE = +$(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

# The words of the make line that reach the program: MODEL=small BATCHES=100 ARGS="--lr 0.01".
MODEL_ARGS = $(if $(MODEL),--model $(MODEL)) $(if $(BATCH_SIZE),--batch-size $(BATCH_SIZE)) $(ARGS)
RUN_ARGS = $(if $(BATCHES),--batches $(BATCHES)) $(if $(EPOCHS),--epochs $(EPOCHS)) $(MODEL_ARGS)
BACKGROUND = scripts/background.sh start
TRAIN = $(BUILD)/sparse-engine train
INFER_ARGS = $(if $(INFERENCES),--inferences $(INFERENCES)) $(MODEL_ARGS)
INFER = $(BUILD)/sparse-engine infer
# Published weights and pictures are fetched where the words name none; FETCH=0: they are not.
INFER_FILES = $$(FETCH=$(FETCH) scripts/detector_files.sh $(1) $(INFER_ARGS))

.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
.SUFFIXES:
.SECONDARY: # keep test objects, so that a change relinks and no more

##@ Build and run

.PHONY: all
all: deps ## Install what is missing and build build/sparse-engine
	$(SUBMAKE) build
	$(Q)mkdir -p $${SPARSE_DATA_DIR:-data}

.PHONY: run
run: run-learning-aio ## The same as run-learning-aio

.PHONY: run-learning-aio
run-learning-aio: all ## Train the whole model on this machine
	$(Q)$(TRAIN) --role aio $(RUN_ARGS)

.PHONY: run-learning-data-source
run-learning-data-source: all ## Feed a worker with training data, its port 50007
	$(Q)$(TRAIN) --role source $(RUN_ARGS)

.PHONY: run-learning-unsplit
run-learning-unsplit: all ## Background worker that trains the whole model, port 50007
	$(Q)WORKER_LISTEN_ADDRESS=$${WORKER_LISTEN_ADDRESS:-0.0.0.0} \
		$(BACKGROUND) learning_unsplit_final -- $(TRAIN) --role final --layers 0: $(MODEL_ARGS)

.PHONY: run-learning-split
run-learning-split: ## The next two: background workers for both parts
	$(Q)$(MAKE) --no-print-directory run-learning-split-final
	$(Q)$(MAKE) --no-print-directory run-learning-split-intermediate

.PHONY: run-learning-split-final
run-learning-split-final: all ## Background worker that trains the last part, port 50008
	$(Q)WORKER_LISTEN_ADDRESS=$${WORKER_LISTEN_ADDRESS:-0.0.0.0} \
		WORKER_LISTEN_PORT=$${WORKER_LISTEN_PORT:-50008} \
		$(BACKGROUND) learning_split_final -- $(TRAIN) --role final $(MODEL_ARGS)

.PHONY: run-learning-split-intermediate
run-learning-split-intermediate: all ## Background worker that trains the first part, port 50007
	$(Q)WORKER_LISTEN_ADDRESS=$${WORKER_LISTEN_ADDRESS:-0.0.0.0} \
		MASTER_UPSTREAM_PORT=$${MASTER_UPSTREAM_PORT:-50008} \
		$(BACKGROUND) learning_split_intermediate -- $(TRAIN) --role intermediate $(MODEL_ARGS)

.PHONY: run-learning-split-client
run-learning-split-client: all ## Train the first part here, the rest on the worker at port 50008
	$(Q)MASTER_UPSTREAM_PORT=$${MASTER_UPSTREAM_PORT:-50008} $(TRAIN) --role client $(RUN_ARGS)

.PHONY: run-inference-aio
run-inference-aio: all ## Infer with the whole model on this machine
	$(Q)$(INFER) --role aio $(INFER_ARGS) $(call INFER_FILES,both)

.PHONY: run-inference-data-source
run-inference-data-source: all ## Send a worker what it is to infer, its port 50007
	$(Q)$(INFER) --role source $(INFER_ARGS) $(call INFER_FILES,samples)

.PHONY: run-inference-unsplit
run-inference-unsplit: all ## Background worker that infers with the whole model, port 50007
	$(Q)WORKER_LISTEN_ADDRESS=$${WORKER_LISTEN_ADDRESS:-0.0.0.0} \
		$(BACKGROUND) inference_unsplit_final -- $(INFER) --role final --layers 0: $(MODEL_ARGS) $(call INFER_FILES,weights)

.PHONY: run-inference-split
run-inference-split: ## The next two: background workers for both parts
	$(Q)$(MAKE) --no-print-directory run-inference-split-final
	$(Q)$(MAKE) --no-print-directory run-inference-split-intermediate

.PHONY: run-inference-split-final
run-inference-split-final: all ## Background worker that infers with the last part, port 50008
	$(Q)WORKER_LISTEN_ADDRESS=$${WORKER_LISTEN_ADDRESS:-0.0.0.0} \
		WORKER_LISTEN_PORT=$${WORKER_LISTEN_PORT:-50008} \
		$(BACKGROUND) inference_split_final -- $(INFER) --role final $(MODEL_ARGS) $(call INFER_FILES,weights)

.PHONY: run-inference-split-intermediate
run-inference-split-intermediate: all ## Background worker for the first part, port 50007
	$(Q)WORKER_LISTEN_ADDRESS=$${WORKER_LISTEN_ADDRESS:-0.0.0.0} \
		MASTER_UPSTREAM_PORT=$${MASTER_UPSTREAM_PORT:-50008} \
		$(BACKGROUND) inference_split_intermediate -- $(INFER) --role intermediate $(MODEL_ARGS) $(call INFER_FILES,weights)

.PHONY: run-inference-split-client
run-inference-split-client: all ## The first part here, the rest on the worker at port 50008
	$(Q)MASTER_UPSTREAM_PORT=$${MASTER_UPSTREAM_PORT:-50008} $(INFER) --role client $(INFER_ARGS) $(call INFER_FILES,both)

.PHONY: run-sparse-monitor
run-sparse-monitor: all ## Background monitor: statistics of the runs, as CSV under data/stats
	$(Q)$(BACKGROUND) sparse_monitor_server -- $(BUILD)/sparse-engine monitor $(ARGS)

.PHONY: stop
stop: ## Stop the background workers and the monitor
	$(Q)scripts/background.sh stop

.PHONY: clean
clean: stop ## Stop the workers, remove what was built; data sets and results stay
	$(Q)rm -rf $(BUILD) $${SPARSE_DATA_DIR:-data}/run

##@ Install

.PHONY: install
install: all ## Install under PREFIX (/usr/local), or below DESTDIR
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -m 755 $(BUILD)/sparse-engine $(DESTDIR)$(PREFIX)/bin/
	$(Q)install -m 644 docs/sparse-engine.1 $(DESTDIR)$(PREFIX)/share/man/man1/

.PHONY: uninstall
uninstall: ## Remove what `make install` put there
	$(Q)rm -f $(DESTDIR)$(PREFIX)/bin/sparse-engine \
		$(DESTDIR)$(PREFIX)/share/man/man1/sparse-engine.1

##@ Test and measure

# asan holds the undefined-behaviour checks too; ubsan, without the address checks, is for who waits.
TEST_MODES ?= release asan tsan emu

.PHONY: test
test: deps-test ## Build and run all tests; TEST=gemm for some, TEST_MODES="release asan"
	$(SUBMAKE) $(TEST_MODES:%=tests-%)
	$(Q)scripts/run_tests.sh $(if $(TEST),--only '$(TEST)') $(TEST_MODES)

.PHONY: $(TEST_MODES:%=tests-%)
$(TEST_MODES:%=tests-%): tests-%:
	+$(Q)$(MAKE) --no-print-directory MODE=$* build tests

.PHONY: test-long
test-long: all ## YOLOv3 split at every legal cut, at its real size: some ten minutes
	$(Q)DETECTOR=yolov3 tests/test_split_detector.sh

.PHONY: bench
bench: all ## Build and run bench/bench_*: JSON lines; BENCH=gemm for some
	$(SUBMAKE) benches
	$(Q)scripts/bench.sh $(filter $(OUT)/bench/bench_$(if $(BENCH),$(BENCH),%),$(BENCHES)) \
		$(filter bench/bench_$(if $(BENCH),$(BENCH),%).sh,$(wildcard bench/bench_*.sh))

.PHONY: gpu-check check-cuda11
gpu-check: all deps-test ## On a machine with a GPU: all it has to show, in ten minutes
	$(SUBMAKE) MODE=release tests benches
	$(Q)scripts/gpu_check.sh
check-cuda11: ## Compile the kernels with CUDA 11.8 for Jetsons; fetches 900 MB
	$(Q)scripts/check_cuda11.sh

.PHONY: test-peers bench-peers
test-peers: all deps-peers ## Compare numbers with PyTorch's and darknet's
	$(Q)tests/peers.sh
bench-peers: all deps-peers ## Compare speed with PyTorch's
	$(Q)bench/peers.sh
	$(Q)bench/peers_split.sh

FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: deps-fuzz ## Fuzz the parsers, FUZZ_SECONDS (60) in all; FUZZ=wire for one
	$(SUBMAKE) CC=clang MODE=fuzz fuzzers
	$(Q)scripts/fuzz.sh $(FUZZ_SECONDS) $(filter $(BUILD)/fuzz/tests/fuzz_$(if $(FUZZ),$(FUZZ),%),$(FUZZERS:$(OUT)/%=$(BUILD)/fuzz/%))

##@ Check the source

SOURCES = $(shell git ls-files '*.c' '*.h' '*.cu' '*.cpp' 2>/dev/null)

.PHONY: lint
lint: deps-lint ## All checks of the source
	$(Q)scripts/lint.sh

.PHONY: format
format: ## Format the C sources in place (clang-format 14)
	$(Q)$(or $(shell command -v clang-format-14),clang-format) -i $(SOURCES)

##@ Help

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z][a-z -]*:.*## / {printf "  %-33s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\n%s\n%s\n' 'On the make line: MODEL, BATCH_SIZE, BATCHES, EPOCHS, INFERENCES, ARGS="--lr 0.01" reach the program;' \
		'MODE (release, asan, ubsan, tsan), CC, V=1, WERROR=1, URING=0, HTTP=0 reach the build; FETCH=0: no downloads.'

# ---- what the targets above stand on ----

.PHONY: deps deps-test deps-peers deps-lint deps-fuzz
deps:
	$(Q)scripts/install_deps.sh run
deps-test deps-peers deps-lint deps-fuzz: deps-%:
	$(Q)scripts/install_deps.sh $*

.PHONY: build tests benches fuzzers cuda cuda-note
build: cuda-note $(BIN)
tests: $(TESTS)
benches: $(BENCHES)
fuzzers: $(FUZZERS)

cuda: $(filter %.cu.o,$(CUDA_OBJ)) # the kernels alone

# What was found, once a build that has something to do.
cuda-note:
ifeq ($(MODE),release)
	@$(if $(wildcard $(BIN)),:,echo "  CUDA  $(if $(HAVE_CUDA),$(NVCC) for$(subst -gencode arch=, ,$(CUDA_CODE)),none: $(if $(filter 0,$(CUDA)),CUDA=0,no nvcc in PATH or under /usr/local/cuda))")
endif

$(BIN): $(OBJ)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(OUT)/libsparse.a: $(LIB_OBJ)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcsD $@ $^

# Changed flags or another compiler rebuild; an unchanged file keeps its time, a moved tree its objects.
$(OUT)/flags: force
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(subst $(CURDIR),.,$(CC_VERSION) $(CPPFLAGS) $(CFLAGS) $(NVCCFLAGS) \
		$(CUDA_CODE) $(CUDA_TENSOR_CODE)))' >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
.PHONY: force
force:

# fill.c: the same random numbers on every instruction set.
CONTRACT := fast
$(foreach i,$(ISAS),$(OUT)/$(i)/kernels/cpu/fill.o): CONTRACT := off

# In sanitizer builds the kernels keep -O1: -O3 takes minutes there and finds nothing more.
define isa_rule
$(OUT)/$(1)/kernels/cpu/%.o: kernels/cpu/%.c $(OUT)/flags
	@mkdir -p $$(@D)
	@echo "  CC    $$< ($(1))"
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) $(if $(SAN),,-O3) -ffp-contract=$$(CONTRACT) \
		-fno-math-errno -fno-trapping-math -DISA=$(1) -DISA_$(1) $$(ISA_FLAGS_$(1)) -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

# C++ is for tests alone.
CXXFLAGS += -std=c++14 -g -O1 -Wall -Wextra -Wshadow -Wno-unused-parameter -Wno-unknown-pragmas \
	$(if $(WERROR),-Werror) -fno-exceptions -fno-rtti -ffp-contract=off $(HARDEN) -pthread $(SAN)
$(OUT)/tests/%.o: tests/%.cpp $(OUT)/flags
	@mkdir -p $(@D)
	@echo "  CXX   $<"
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -DEMU_UNIT=none -MMD -MP -c -o $@ $<

# Kernels whose bits are the CPU's: a * b + c stays two roundings.
NO_FMAD := fill dropout
ifeq ($(HAVE_CUDA),nvcc)
$(NO_FMAD:%=$(OUT)/kernels/cuda/%.cu.o): NVCCFLAGS += -fmad=false
# Kernels that hold more, the newer the architecture is that they are compiled for.
$(OUT)/kernels/cuda/gemm_tensor_%.cu.o $(OUT)/bench/%.cu.o: CUDA_CODE := $(CUDA_TENSOR_CODE)
$(OUT)/%.cu.o: %.cu $(OUT)/flags
	@mkdir -p $(@D)
	@echo "  NVCC  $<"
	$(Q)$(NVCC) $(NVCCFLAGS) $(CUDA_CODE) -I. -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@ $<
else
$(OUT)/%.cu.o: %.cu $(OUT)/flags
	@mkdir -p $(@D)
	@echo "  EMU   $<"
	$(Q)$(CXX) -x c++ $(CPPFLAGS) $(CXXFLAGS) -DEMU_UNIT=$(basename $(notdir $<)) \
		$(if $(findstring clang,$(CC_VERSION)),,-fsanitize-sections='emu_shared_*') \
		-MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@ $<
endif

$(OUT)/kernels/ref/%.o: CFLAGS += -ffp-contract=off
$(OUT)/%.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# What base/embed.h puts into them.
$(OUT)/monitor/page.o: monitor/page.html
$(OUT)/models/shapes_yolo.o: models/shapes-yolo.cfg models/shapes-yolo.weights

$(OUT)/tests/test_%: $(OUT)/tests/test_%.o $(TEST_SHARED) $(OUT)/libsparse.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(TEST_LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
# Tests named *_alloc stand in the place of malloc and its kin, to count calls and to refuse some.
$(OUT)/tests/test_%_alloc: TEST_LDFLAGS := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free \
	-Wl,--wrap=aligned_alloc,--wrap=posix_memalign,--wrap=mmap,--wrap=munmap
$(OUT)/tests/emu/test_%: $(OUT)/tests/emu/test_%.o $(OUT)/tests/emu/faults.cu.o $(EMU_OBJ)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
$(OUT)/tests/fuzz_%: $(OUT)/tests/fuzz_%.o $(OUT)/libsparse.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)
$(filter $(OUT)/bench/bench_cuda_% $(OUT)/bench/bench_train,$(BENCHES)): \
	$(if $(HAVE_CUDA),$(patsubst %.cu,$(OUT)/%.cu.o,$(wildcard bench/*.cu)))
$(OUT)/bench/bench_%: $(OUT)/bench/bench_%.o $(OUT)/libsparse.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(OBJ:.o=.d) $(TESTS:=.d) $(BENCHES:=.d) $(FUZZERS:=.d) $(TEST_SHARED:.o=.d) \
	$(patsubst %.cu,$(OUT)/%.cu.d,$(wildcard bench/*.cu tests/emu/*.cu))
