/*
 * CUDA's warp matrix operations for g++: the shapes that our .cu files use, 16 x 16 x 16 of halves
 * and 16 x 16 x 8 of TF32, summed in float. A warp's lanes meet at each operation, which is then
 * done once for all of them; lanes that do not come, or come with other arguments, end the process
 * with a sentence, and so do addresses that are not 32-byte aligned, rows that are no multiple of
 * 16 bytes, floats in the place of TF32 that nobody rounded, and a GPU that lacks the operation.
 *
 * Faithful: the rounding of what is converted, exact products, sums rounded towards zero once an
 * operation (Fasi and others, "Numerical behavior of NVIDIA tensor cores", 2021, found that). Not:
 * which lane holds what, which no kernel may know; how sums are cut within an operation.
 */
#ifndef TESTS_EMU_MMA_H
#define TESTS_EMU_MMA_H

#include "cuda_fp16.h"

namespace emu
{
/* All 32 lanes of the warp meet with the same `run`, which is called once, with what each gave. */
void together(const char *what, void (*run)(void *const mine[32]), void *mine);
/* Ends the process: kernel, operation, sentence. */
[[noreturn]] void matrix_fault(const char *sentence);
int capability(); /* 10 * the emulated GPU's */
} // namespace emu

namespace nvcuda
{
namespace wmma
{
struct row_major;
struct col_major;
struct matrix_a;
struct matrix_b;
struct accumulator;
namespace precision
{
struct tf32;
}
enum layout_t { mem_row_major, mem_col_major };

static inline float __float_to_tf32(float v)
{
    /* cvt.rna: to nearest, halves away from zero; 10 bits of mantissa stay */
    unsigned bits = __float_as_uint(v);
    if ((bits & 0x7f800000u) == 0x7f800000u)
        return (bits & 0x7fffffu) ? __uint_as_float(0x7fffe000u) : v;
    return __uint_as_float((bits + 0x1000u) & 0xffffe000u);
}

/* What of a piece each kind of element is in memory, and as a float. */
template <class T> struct element_of {
    typedef T memory;
};
template <> struct element_of<precision::tf32> {
    typedef float memory;
};
static inline float value_of(__half v)
{
    return __half2float(v);
}
static inline float value_of(float v)
{
    return v;
}

template <class Use, int m, int n, int k> struct extent_of;
template <int m, int n, int k> struct extent_of<matrix_a, m, n, k> {
    enum { ROWS = m, COLUMNS = k };
};
template <int m, int n, int k> struct extent_of<matrix_b, m, n, k> {
    enum { ROWS = k, COLUMNS = n };
};
template <int m, int n, int k> struct extent_of<accumulator, m, n, k> {
    enum { ROWS = m, COLUMNS = n };
};

/* Element e of lane l is number (e, some lane) of the piece, row by row. */
static inline int place(int lane, int e)
{
    return 32 * e + (lane * 13 + 7 * e) % 32;
}

template <class Use, int m, int n, int k, class T, class Layout = void> class fragment
{
  public:
    typedef typename element_of<T>::memory element;
    enum {
        ROWS = extent_of<Use, m, n, k>::ROWS,
        COLUMNS = extent_of<Use, m, n, k>::COLUMNS,
        num_elements = ROWS * COLUMNS / 32
    };
    element x[num_elements];

    fragment()
    {
        memset(x, 0xff, sizeof(x)); /* as registers that nobody set: NaN */
    }
};

/* What touches lanes' pieces alone goes without the sanitizers' checks: it is most of the time. */
#define EMU_UNCHECKED __attribute__((no_sanitize("address", "undefined")))

template <class F>
EMU_UNCHECKED void spread(void *const lanes[32], const typename F::element *piece)
{
    for (int l = 0; l < 32; l++)
        for (int e = 0; e < F::num_elements; e++)
            ((F *)lanes[l])->x[e] = piece[place(l, e)];
}

template <class F>
EMU_UNCHECKED void gather(typename F::element *piece, const void *const lanes[32])
{
    for (int l = 0; l < 32; l++)
        for (int e = 0; e < F::num_elements; e++)
            piece[place(l, e)] = ((const F *)lanes[l])->x[e];
}

/* Of a load or a store: what a lane came with. */
struct transfer {
    void *fragment;
    void *memory;
    unsigned row;
    int by_column;
};

template <class E> const transfer &same_transfer(void *const mine[32], void *fragments[32])
{
    const transfer &t = *(const transfer *)mine[0];
    for (int l = 0; l < 32; l++) {
        const transfer &other = *(const transfer *)mine[l];
        if (other.memory != t.memory || other.row != t.row || other.by_column != t.by_column)
            emu::matrix_fault("the lanes of a warp give different addresses or rows");
        fragments[l] = other.fragment;
    }
    if ((uintptr_t)t.memory % 32 != 0)
        emu::matrix_fault("an address that is no multiple of 32");
    if (t.row * sizeof(E) % 16 != 0)
        emu::matrix_fault("rows whose length is no multiple of 16 bytes");
    return t;
}

template <class F> void run_load(void *const mine[32])
{
    typedef typename F::element element;
    void *fragments[32];
    element piece[F::ROWS * F::COLUMNS];
    const transfer &t = same_transfer<element>(mine, fragments);
    for (int i = 0; i < F::ROWS; i++)
        for (int j = 0; j < F::COLUMNS; j++)
            piece[i * F::COLUMNS + j] =
                ((const element *)t.memory)[t.by_column ? (size_t)j * t.row + (size_t)i
                                                        : (size_t)i * t.row + (size_t)j];
    spread<F>(fragments, piece);
}

template <class F> void run_store(void *const mine[32])
{
    typedef typename F::element element;
    void *fragments[32];
    element piece[F::ROWS * F::COLUMNS];
    const transfer &t = same_transfer<element>(mine, fragments);
    gather<F>(piece, fragments);
    for (int i = 0; i < F::ROWS; i++)
        for (int j = 0; j < F::COLUMNS; j++)
            ((element *)t.memory)[t.by_column ? (size_t)j * t.row + (size_t)i
                                              : (size_t)i * t.row + (size_t)j] =
                piece[i * F::COLUMNS + j];
}

template <class T> void check_capability()
{
    if (emu::capability() < (std::is_same<T, precision::tf32>::value ? 80 : 70))
        emu::matrix_fault("this GPU has no such matrix operation");
}

template <class Use, int m, int n, int k, class T, class Layout>
void load_matrix_sync(fragment<Use, m, n, k, T, Layout> &f, const typename element_of<T>::memory *p,
                      unsigned row)
{
    check_capability<T>();
    transfer t = {&f, (void *)p, row, std::is_same<Layout, col_major>::value};
    emu::together("load_matrix_sync", run_load<fragment<Use, m, n, k, T, Layout>>, &t);
}

template <int m, int n, int k, class T>
void store_matrix_sync(T *p, const fragment<accumulator, m, n, k, T> &f, unsigned row,
                       layout_t layout)
{
    transfer t = {(void *)&f, p, row, layout == mem_col_major};
    emu::together("store_matrix_sync", run_store<fragment<accumulator, m, n, k, T>>, &t);
}

template <class F, class V> void fill_fragment(F &f, V v)
{
    for (int e = 0; e < F::num_elements; e++)
        f.x[e] = (typename F::element)v;
}

struct multiplication {
    void *d;
    const void *a, *b, *c;
};

static inline float towards_zero(double v)
{
    float f = (float)v;
    return fabs((double)f) > fabs(v) ? nextafterf(f, 0) : f;
}

template <class T> void check_rounded(const float *, int)
{
}
template <> inline void check_rounded<precision::tf32>(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (x[i] == x[i] && (__float_as_uint(x[i]) & 0x1fff))
            emu::matrix_fault("a float that was not rounded to TF32");
}

/* c (M, N) += x (M, K) * y (K, N) */
template <int M, int N, int K> EMU_UNCHECKED void multiply(float *c, const float *x, const float *y)
{
    for (int i = 0; i < M; i++) {
        double sum[N];
        for (int j = 0; j < N; j++)
            sum[j] = c[i * N + j];
        for (int p = 0; p < K; p++) {
            const double of_x = x[i * K + p];
            for (int j = 0; j < N; j++)
                sum[j] += of_x * (double)y[p * N + j];
        }
        for (int j = 0; j < N; j++)
            c[i * N + j] = towards_zero(sum[j]);
    }
}

template <class T, class D, class A, class B> EMU_UNCHECKED void run_mma(void *const mine[32])
{
    enum { M = D::ROWS, N = D::COLUMNS, K = A::COLUMNS };
    typename A::element a[M * K];
    typename B::element b[K * N];
    float c[M * N], x[M * K], y[K * N];
    const void *from[32];
    void *to[32];
    for (int l = 0; l < 32; l++)
        from[l] = ((const multiplication *)mine[l])->a;
    gather<A>(a, from);
    for (int l = 0; l < 32; l++)
        from[l] = ((const multiplication *)mine[l])->b;
    gather<B>(b, from);
    for (int l = 0; l < 32; l++) {
        from[l] = ((const multiplication *)mine[l])->c;
        to[l] = ((const multiplication *)mine[l])->d;
    }
    gather<D>(c, from);
    for (int i = 0; i < M * K; i++)
        x[i] = value_of(a[i]);
    for (int i = 0; i < K * N; i++)
        y[i] = value_of(b[i]);
    check_rounded<T>(x, M * K);
    check_rounded<T>(y, K * N);
    multiply<M, N, K>(c, x, y);
    spread<D>(to, c);
}

template <int m, int n, int k, class T, class LA, class LB>
void mma_sync(fragment<accumulator, m, n, k, float> &d, const fragment<matrix_a, m, n, k, T, LA> &a,
              const fragment<matrix_b, m, n, k, T, LB> &b,
              const fragment<accumulator, m, n, k, float> &c)
{
    check_capability<T>();
    multiplication x = {&d, &a, &b, &c};
    emu::together("mma_sync",
                  run_mma<T, fragment<accumulator, m, n, k, float>,
                          fragment<matrix_a, m, n, k, T, LA>, fragment<matrix_b, m, n, k, T, LB>>,
                  &x);
}
} // namespace wmma
} // namespace nvcuda

#endif
