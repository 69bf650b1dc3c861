/*
 * The kernel table whose every entry is another's with a wait behind, for check_cuda.c: C++,
 * because a template writes the same function for every signature. In builds with CUDA alone.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "kernels/entries.h"
#include "tests/check_cuda.h"

static const struct kernels *real;

/* Entry E: the real one, then a wait. Entries that answer how much scratch they want need none. */
template <class F, F kernels::*E> struct waiting {
    static constexpr F call(F f)
    {
        return f;
    }
};
template <class... A, void (*kernels::*E)(device *, A...)>
struct waiting<void (*)(device *, A...), E> {
    static void run(device *d, A... a)
    {
        (real->*E)(d, a...);
        if (device_sync(d) < 0) {
            fprintf(stderr, "%s\n", err_text());
            abort();
        }
    }
    static constexpr void (*call(void (*)(device *, A...)))(device *, A...)
    {
        return run;
    }
};

void check_cuda_waiting(struct kernels *out, const struct kernels *of)
{
    struct kernels t = *of;
    real = of;
#define WAITING(entry) \
    CHECK(of->entry);  \
    t.entry = waiting<decltype(kernels::entry), &kernels::entry>::call(of->entry);
    KERNELS_EACH(WAITING)
    *out = t;
}
