/*
 * One grid of an emulated kernel: blocks one after the other, a block's threads as fibers that
 * change over at barriers and warp operations. A fiber that ended lends its stack to the next to
 * start, so kernels without barriers need one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <numeric>

#include "cuda_runtime.h"
#include "emu.h"

/* Saves the callee's registers on this stack, its pointer in *from, and goes on from `to`. */
extern "C" void emu_switch(void **from, void *to);
#if defined(__x86_64__)
enum { SAVED_WORDS = 6 };
__asm__(".text\n"
        ".globl emu_switch\n"
        ".type emu_switch, @function\n"
        "emu_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size emu_switch, .-emu_switch\n");
#elif defined(__aarch64__)
enum { SAVED_WORDS = 20, RETURN_WORD = 11 };
__asm__(".text\n"
        ".globl emu_switch\n"
        ".type emu_switch, %function\n"
        "emu_switch:\n"
        "  sub sp, sp, #160\n"
        "  stp x19, x20, [sp]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
        "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
        "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mov x2, sp\n  str x2, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
        "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
        "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
        "  add sp, sp, #160\n"
        "  ret\n"
        ".size emu_switch, .-emu_switch\n");
#else
#error "emu_switch: x86-64 and aarch64 alone"
#endif

namespace emu
{
where now;

enum { MOST_THREADS = 1024, WARP = 32, STACK_BYTES = 64 << 10 };
enum class state { start, run, at_barrier, at_warp, ended };

struct fiber {
    state st;
    void *stack, *sp;
    uint3 index;
    unsigned mask;                          /* of the warp operation */
    void (*together)(void *const mine[32]); /* a matrix operation; NULL: another */
    const char *what;                       /* its name */
    uint64_t gives;                         /* at a warp operation or barrier */
    uint64_t gets;                          /* what it gave, once all had met */
    bool met;                               /* it took part in the warp's last meeting */
};

static fiber fibers[MOST_THREADS];
static std::vector<void *> free_stacks;
static int count, current; /* threads of the block; the one that runs */
static int votes;          /* of the last barrier */
static void *scheduler_sp;
static const call *kernel;

static void to_scheduler(state st)
{
    fiber &f = fibers[current];
    f.st = st;
    emu_switch(&f.sp, scheduler_sp);
}

static void fiber_main()
{
    kernel->thread();
    to_scheduler(state::ended);
    die("a fiber that had ended went on");
}

static void start(fiber &f)
{
    if (free_stacks.empty()) {
        void *p = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (p == MAP_FAILED)
            die("no memory for a thread's stack");
        free_stacks.push_back(p);
    }
    f.stack = free_stacks.back();
    free_stacks.pop_back();
    void **top = (void **)((char *)f.stack + STACK_BYTES);
    void **sp = top - 2 - SAVED_WORDS; /* as emu_switch leaves it, then where it returns to */
    std::fill(sp, top, (void *)NULL);
#if defined(__aarch64__)
    sp[RETURN_WORD] = (void *)fiber_main;
#else
    sp[SAVED_WORDS] = (void *)fiber_main;
#endif
    f.sp = sp;
}

static void resume(int i)
{
    fiber &f = fibers[i];
    if (f.st == state::start)
        start(f);
    f.st = state::run;
    current = i;
    now.thread = f.index;
    emu_switch(&scheduler_sp, f.sp);
    if (f.st == state::ended)
        free_stacks.push_back(f.stack);
}

/* ---- what kernels call ---- */

void block_barrier()
{
    fibers[current].gives = 0;
    to_scheduler(state::at_barrier);
}

int block_count(bool vote)
{
    fibers[current].gives = vote;
    to_scheduler(state::at_barrier);
    return votes;
}

int lane()
{
    return current % WARP;
}

static void meet(unsigned mask, uint64_t gives)
{
    fiber &f = fibers[current];
    if (!(mask >> lane() & 1))
        die("kernel %s: thread %d is not in its own warp mask %08x", kernel->name, current, mask);
    f.mask = mask;
    f.gives = gives;
    to_scheduler(state::at_warp);
}

void together(const char *what, void (*run)(void *const mine[32]), void *mine)
{
    fiber &f = fibers[current];
    f.together = run;
    f.what = what;
    meet(UINT32_MAX, (uint64_t)(uintptr_t)mine);
    f.together = NULL;
}

static const char *matrix_operation; /* the one that runs */

void matrix_fault(const char *sentence)
{
    die("kernel %s: %s: %s", kernel->name, matrix_operation ? matrix_operation : "a matrix",
        sentence);
}

/* A lane that did not take part gives what hardware leaves undefined: NaN's bits. */
uint64_t exchange(unsigned mask, uint64_t bits, int from_lane)
{
    meet(mask, bits);
    int from = current / WARP * WARP + from_lane;
    return from < count && (mask >> from_lane & 1) && fibers[from].met ? fibers[from].gets
                                                                       : UINT64_MAX;
}

unsigned ballot(unsigned mask, bool vote)
{
    meet(mask, vote);
    unsigned all = 0;
    int first = current / WARP * WARP;
    for (int i = 0; i < WARP && first + i < count; i++)
        if ((mask >> i & 1) && fibers[first + i].met && fibers[first + i].gets)
            all |= 1u << i;
    return all;
}

void warp_barrier(unsigned mask)
{
    meet(mask, 0);
}

/* ---- the scheduler ---- */

/* A matrix operation, if the lanes of this warp wait at one: all of them at the same. */
static void run_matrix(int first)
{
    void *mine[WARP];
    bool any = false;
    for (int i = 0; i < WARP; i++)
        any |= first + i < count && fibers[first + i].st == state::at_warp &&
               fibers[first + i].together;
    if (!any)
        return;
    matrix_operation = NULL;
    for (int i = 0; i < WARP; i++) {
        if (first + i >= count || fibers[first + i].st != state::at_warp ||
            fibers[first + i].together != fibers[first].together)
            matrix_fault("not all lanes of a warp come to the same operation");
        mine[i] = (void *)(uintptr_t)fibers[first + i].gives;
    }
    matrix_operation = fibers[first].what;
    fibers[first].together(mine);
}

/* Releases the lanes of one mask if all that have not ended wait with that same mask. */
static bool release_mask(int first, unsigned mask)
{
    int lanes = std::min((int)WARP, count - first);
    for (int i = 0; i < lanes; i++) {
        const fiber &f = fibers[first + i];
        if ((mask >> i & 1) && f.st != state::ended && (f.st != state::at_warp || f.mask != mask))
            return false;
    }
    run_matrix(first);
    for (int i = 0; i < lanes; i++) {
        fiber &f = fibers[first + i];
        if (!(mask >> i & 1))
            continue;
        f.met = f.st == state::at_warp;
        f.gets = f.gives;
        if (f.met)
            f.st = state::run;
    }
    return true;
}

static bool release_warps()
{
    bool any = false;
    for (int i = 0; i < count; i++)
        if (fibers[i].st == state::at_warp)
            any |= release_mask(i / WARP * WARP, fibers[i].mask);
    return any;
}

/* Threads that ended do not hold a barrier up, as on hardware since Volta. */
static bool release_barrier()
{
    int sum = 0;
    for (int i = 0; i < count; i++) {
        if (fibers[i].st != state::at_barrier && fibers[i].st != state::ended)
            return false;
        if (fibers[i].st == state::at_barrier)
            sum += fibers[i].gives != 0;
    }
    votes = sum;
    for (int i = 0; i < count; i++)
        if (fibers[i].st == state::at_barrier)
            fibers[i].st = state::run;
    return true;
}

[[noreturn]] static void stuck()
{
    int at[(int)state::ended + 1] = {0};
    for (int i = 0; i < count; i++)
        at[(int)fibers[i].st]++;
    die("kernel %s, block (%u, %u, %u) of %d threads: %d wait at a barrier of the block, %d at "
        "one of the warp, %d have ended: a barrier that not all reach, or a wrong mask",
        kernel->name, now.block.x, now.block.y, now.block.z, count, at[(int)state::at_barrier],
        at[(int)state::at_warp], at[(int)state::ended]);
}

static void shuffle_order(std::vector<int> &v)
{
    for (size_t i = v.size(); i > 1; i--)
        std::swap(v[i - 1], v[random_below((unsigned)i)]);
}

/* Not memset, which ASan would stop at the guards between variables. */
__attribute__((no_sanitize("address", "undefined"))) static void poison(char *from, char *to)
{
    for (volatile uint64_t *p = (uint64_t *)from; p + 1 <= (uint64_t *)to; p++)
        *p = UINT64_MAX;
}

static void run_block(std::vector<int> &turns)
{
    for (int i = 0; i < count; i++) {
        fibers[i].st = state::start;
        fibers[i].met = false;
        fibers[i].together = NULL;
        unsigned x = now.block_dim.x, y = now.block_dim.y;
        fibers[i].index = {i % x, i / x % y, i / (x * y)};
    }
    for (;;) {
        if (set().threads == order::random)
            shuffle_order(turns);
        int ended = 0;
        for (int i : turns) {
            state st = fibers[i].st;
            if (st == state::start || st == state::run)
                resume(i);
            ended += fibers[i].st == state::ended;
        }
        if (ended == count)
            return;
        if (!release_warps() && !release_barrier())
            stuck();
    }
}

static std::vector<int> turns_of(size_t n)
{
    std::vector<int> turns(n);
    std::iota(turns.begin(), turns.end(), 0);
    if (set().threads == order::reverse)
        std::reverse(turns.begin(), turns.end());
    return turns;
}

void run_grid(const shape &s, const call &c)
{
    kernel = &c;
    now.block_dim = s.block;
    now.grid_dim = s.grid;
    count = (int)(s.block.x * s.block.y * s.block.z);
    std::vector<int> turns = turns_of((size_t)count);
    std::vector<int> blocks = turns_of((size_t)s.grid.x * s.grid.y * s.grid.z);
    if (set().threads == order::random)
        shuffle_order(blocks);
    /* Its own allocation, so that ASan sees a kernel leave it. */
    if (posix_memalign((void **)&now.dynamic_shared, 16, s.dynamic_bytes) != 0)
        die("no memory for shared memory");
    for (int b : blocks) {
        now.block = {b % s.grid.x, b / s.grid.x % s.grid.y, b / (s.grid.x * s.grid.y)};
        poison(s.shared, s.shared_end);
        memset(now.dynamic_shared, 0xff, s.dynamic_bytes);
        run_block(turns);
    }
    free(now.dynamic_shared);
}
} // namespace emu
