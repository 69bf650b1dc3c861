/*
 * The driver of every product: packs what is worth packing, cuts C into blocks for the pool and
 * walks each block: panel of B after panel of B, each kept in L1 while the rows of A pass. Blocks
 * are cut for the caches and for the number of threads; the bits of C know neither.
 */
#include "base/err.h"
#include "kernels/cpu/gemm.h"

enum {
    MC = 240,               /* rows of a block: its KC columns of A stay in L2 */
    NC = 1024,              /* columns of a block whose C is summed in place */
    NC_SCRATCH = 256,       /* and of one summed in scratch, which shares L2 with A */
    LINE = 16,              /* floats of a cache line */
    PACK_FLOATS = 32 << 10, /* what one packing job copies, about */
    JOBS_A_THREAD = 6,      /* wanted, so that a thread that comes late costs little */
    JOB_FLOPS = 1 << 20,    /* but smaller jobs do not pay for their start */
    LOCAL_B_AT = (GEMM_LOCAL_ROWS + MR) *
                 NC_SCRATCH, /* in the worker's scratch: C before it, B from this float on */
};

struct run {
    const struct gemm *g;
    struct pool *pool;
    int mc, nc, nmb, nnb; /* block sizes, numbers of blocks */
    int nchunk, chunk;
    int in_place; /* C is summed where it belongs */
    ptrdiff_t ld_part;
    float *a, *b, *part; /* in work: packed A, packed B, the chunks' sums */
    int a_jobs, a_rows, b_jobs, b_cols;
};

static int is_line(const struct axis *x)
{
    return x->d2 == INT_MAX;
}

static int kblocks(const struct gemm *g)
{
    return g->k > 0 ? (g->k + KC - 1) / KC : 1;
}

static int chunks(const struct gemm *g)
{
    return g->chunk > 0 && g->k > 0 ? (g->k + g->chunk - 1) / g->chunk : 1;
}

static int batch(const struct gemm *g)
{
    return g->batch > 0 ? g->batch : 1;
}

/* Of one product of a batch. */
static size_t a_floats(const struct gemm *g)
{
    return g->pack_a ? ((size_t)gemm_round_up(g->m, MR) * (size_t)g->k + 15) / 16 * 16 : 0;
}

static size_t b_floats(const struct gemm *g)
{
    return g->local_b || g->packed_b ? 0 : gemm_packed_floats(g->n, g->k);
}

static size_t part_floats(const struct gemm *g)
{
    int n = chunks(g);
    return n > 1 ? (size_t)n * (size_t)g->m * (size_t)gemm_round_up(g->n, VL) : 0;
}

size_t CPU(gemm_bytes)(const struct gemm *g)
{
    return (a_floats(g) * (size_t)batch(g) + b_floats(g) + part_floats(g)) * sizeof(float);
}

/*
 * A tile's rows of C are wanted in L1 when its sum is done, and of the next panel of B each tile
 * asks for its share into L2: else the first tile of a panel waits for all of it.
 */
static inline void ask_ahead(const float *c, ptrdiff_t ldc, int rows, const float *b, int lines)
{
    for (int y = 0; y < rows; y++)
        __builtin_prefetch(c + y * ldc, 1, 3);
    for (int u = 0; u < lines; u++)
        __builtin_prefetch(b + u * LINE, 0, 2);
}

/*
 * c (mm, nn), rows ldc apart, = or += alpha * A's rows from i0 * packed B. pad: c's rows have room
 * for whole vectors.
 */
static void multiply(const struct run *r, int item, int p0, int kc, const float *b, int i0, int mm,
                     int nn, float *c, ptrdiff_t ldc, int pad, int add)
{
    const struct gemm *g = r->g;
    ptrdiff_t idx[KC], off[MC];
    const float *base[MC + MR];
    if (g->pack_a) {
        for (int p = 0; p < kc; p++)
            idx[p] = p * MR;
        const float *panel =
            r->a + (size_t)item * a_floats(g) + (size_t)gemm_round_up(g->m, MR) * (size_t)p0;
        for (int i = 0; i < mm; i++)
            base[i] = panel + (size_t)((i0 + i) / MR) * (size_t)(kc * MR) + (i0 + i) % MR;
    } else {
        CPU(axis_fill)(&g->a.col, p0, kc, idx);
        CPU(axis_fill)(&g->a.row, i0, mm, off);
        for (int i = 0; i < mm; i++)
            base[i] = g->a.data + item * g->a_batch + off[i];
    }
    for (int j = 0; j < nn; j += NR) {
        int have = gemm_min(NR, nn - j), nv = (have + VL - 1) / VL;
        const float *next = b + kc * nv * VL;
        int lines = kc * nv * VL / LINE / (mm / MR + 1) + 1;
        for (int i = 0; i < mm; i += MR) {
            int rows = gemm_min(MR, mm - i);
            tile_fn *tile = CPU(gemm_tile)[rows - 1][nv - 1];
            float *to = c + i * ldc + j;
            ask_ahead(to, ldc, rows, next, lines);
            next += lines * LINE;
            if (pad || have == nv * VL) {
                tile(kc, base + i, idx, b, to, ldc, g->alpha, add);
                continue;
            }
            float t[MR * NR];
            tile(kc, base + i, idx, b, t, NR, 1, 0);
            for (int y = 0; y < rows; y++)
                for (int x = 0; x < have; x++)
                    to[y * ldc + x] = g->alpha * t[y * NR + x] + (add ? to[y * ldc + x] : 0);
        }
        b += kc * nv * VL;
    }
}

/* A block's rows i0 .. and columns j0 .., steps p0 to p1 of k, of one product of the batch. */
static void block(const struct run *r, int item, int p0, int p1, int i0, int mm, int j0, int nn,
                  float *c, ptrdiff_t ldc, int pad, int add, float *local)
{
    const struct gemm *g = r->g;
    const float *packed = r->b;
    int rows = g->rows ? g->rows : MC;
    if (g->packed_b)
        packed = g->packed_b + (size_t)item * gemm_packed_floats(g->n, g->k);
    for (int p = p0; p < p1 || p == p0; p += KC) {
        int kc = gemm_min(KC, p1 - p);
        const float *b = local;
        if (local)
            CPU(gemm_pack_b)(local, &g->b, p, kc, j0, nn);
        else
            b = packed + (size_t)gemm_round_up(g->n, VL) * (size_t)p + (size_t)j0 * (size_t)kc;
        for (int i = 0; i < mm; i += rows)
            multiply(r, item, p, kc, b, i0 + i, gemm_min(rows, mm - i), nn, c + i * ldc, ldc, pad,
                     add || p > p0);
    }
}

static void run_block(void *arg, int job, int worker)
{
    const struct run *r = arg;
    const struct gemm *g = r->g;
    int mb = job % r->nmb, nb = job / r->nmb % r->nnb, rest = job / r->nmb / r->nnb;
    int i0 = mb * r->mc, mm = gemm_min(r->mc, g->m - i0);
    int j0 = nb * r->nc, nn = gemm_min(r->nc, g->n - j0);
    float *scratch = pool_scratch(r->pool, worker);
    float *local = g->local_b ? scratch + LOCAL_B_AT : NULL;
    if (r->nchunk > 1) {
        int p0 = rest * r->chunk, p1 = gemm_min(g->k, p0 + r->chunk);
        float *c = r->part + (size_t)rest * (size_t)g->m * (size_t)r->ld_part +
                   (size_t)i0 * (size_t)r->ld_part + j0;
        block(r, 0, p0, p1, i0, mm, j0, nn, c, r->ld_part, 1, 0, local);
    } else if (r->in_place) {
        float *c = g->c + rest * g->c_batch + (size_t)i0 * (size_t)g->c_row.s2 + j0;
        block(r, rest, 0, g->k, i0, mm, j0, nn, c, g->c_row.s2, 0, g->add, local);
    } else {
        float *c = scratch;
        ptrdiff_t ld = gemm_round_up(nn, VL);
        block(r, 0, 0, g->k, i0, mm, j0, nn, c, ld, 1, 0, local);
        CPU(gemm_store)(g, c, ld, i0, mm, j0, nn);
    }
}

/* Adds the chunks' sums up, first to last, and stores them. */
static void reduce_rows(void *arg, int job, int worker)
{
    const struct run *r = arg;
    const struct gemm *g = r->g;
    int i0 = job * MR, mm = gemm_min(MR, g->m - i0);
    size_t count = (size_t)mm * (size_t)r->ld_part;
    float *sum = r->part + (size_t)i0 * (size_t)r->ld_part;
    for (int chunk = 1; chunk < r->nchunk; chunk++) {
        const float *from = sum + (size_t)chunk * (size_t)g->m * (size_t)r->ld_part;
        for (size_t i = 0; i < count; i++)
            sum[i] += from[i];
    }
    CPU(gemm_store)(g, sum, r->ld_part, i0, mm, 0, g->n);
}

/* Jobs 0 .. a_jobs - 1 pack rows of A, the others columns of B. */
static void run_pack(void *arg, int job, int worker)
{
    const struct run *r = arg;
    const struct gemm *g = r->g;
    int nk = kblocks(g), is_a = job < r->a_jobs;
    if (!is_a)
        job -= r->a_jobs;
    int p0 = job % nk * KC, kc = gemm_min(KC, g->k - p0);
    if (is_a) {
        int groups = (g->m + r->a_rows - 1) / r->a_rows;
        int i0 = job / nk % groups * r->a_rows, item = job / nk / groups;
        struct matrix a = {g->a.data + item * g->a_batch, g->a.row, g->a.col};
        float *dst = r->a + (size_t)item * a_floats(g) +
                     (size_t)gemm_round_up(g->m, MR) * (size_t)p0 + (size_t)i0 * (size_t)kc;
        CPU(gemm_pack_a)(dst, &a, i0, gemm_min(r->a_rows, g->m - i0), p0, kc);
    } else {
        int j0 = job / nk * r->b_cols;
        float *dst = r->b + (size_t)gemm_round_up(g->n, VL) * (size_t)p0 + (size_t)j0 * (size_t)kc;
        CPU(gemm_pack_b)(dst, &g->b, p0, kc, j0, gemm_min(r->b_cols, g->n - j0));
    }
}

/* Halves the blocks until every thread has its share of jobs, or jobs get too small. */
static void cut_blocks(struct run *r)
{
    const struct gemm *g = r->g;
    int threads = pool_threads(r->pool);
    double flops = 2.0 * g->m * g->n * g->k * batch(g);
    int want = threads == 1 ? 1 : threads * JOBS_A_THREAD;
    if (want > flops / JOB_FLOPS)
        want = (int)(flops / JOB_FLOPS);
    int nc = r->in_place ? NC : NC_SCRATCH, mc = g->local_b ? gemm_round_up(g->m, MR) : MC;
    for (;;) {
        r->nmb = (g->m + mc - 1) / mc;
        r->nnb = (g->n + nc - 1) / nc;
        if (r->nmb * r->nnb * r->nchunk * batch(g) >= want)
            break;
        if (nc / 2 >= NR && (nc > 2 * mc || mc <= 4 * MR || g->local_b))
            nc = gemm_round_up(nc / 2, NR);
        else if (mc > 4 * MR && !g->local_b)
            mc = gemm_round_up(mc / 2, MR);
        else
            break;
    }
    r->mc = gemm_round_up((g->m + r->nmb - 1) / r->nmb, MR);
    r->nc = gemm_round_up((g->n + r->nnb - 1) / r->nnb, NR);
    r->nmb = (g->m + r->mc - 1) / r->mc;
    r->nnb = (g->n + r->nc - 1) / r->nc;
}

void CPU(gemm_run)(struct pool *pool, const struct gemm *g, void *work)
{
    if (g->m <= 0 || g->n <= 0)
        return;
    struct run r = {.g = g, .pool = pool, .nchunk = chunks(g), .chunk = g->chunk};
    r.ld_part = gemm_round_up(g->n, VL);
    r.in_place = is_line(&g->c_row) && is_line(&g->c_col) && g->c_col.s2 == 1 && !g->bias &&
                 g->act == ACT_NONE;
    CHECK(g->act != ACT_SIGMOID && g->chunk % KC == 0 && g->rows % MR == 0 && g->rows <= MC);
    CHECK(!g->local_b || r.in_place || r.nchunk > 1 || g->m <= GEMM_LOCAL_ROWS);
    CHECK(batch(g) == 1 || (r.in_place && r.nchunk == 1 && (g->packed_b || g->k == 0)));
    r.a = work;
    r.b = r.a + a_floats(g) * (size_t)batch(g);
    r.part = r.b + b_floats(g);
    int nk = kblocks(g), kc = gemm_min(KC, g->k);
    if (kc > 0 && g->pack_a) {
        r.a_rows = gemm_round_up(gemm_min(g->m, PACK_FLOATS / kc + 1), MR);
        r.a_jobs = (g->m + r.a_rows - 1) / r.a_rows * nk * batch(g);
    }
    if (kc > 0 && !g->local_b && !g->packed_b) {
        r.b_cols = gemm_round_up(gemm_min(g->n, PACK_FLOATS / kc + 1), NR);
        r.b_jobs = (g->n + r.b_cols - 1) / r.b_cols * nk;
    }
    pool_run(pool, r.a_jobs + r.b_jobs, run_pack, &r);
    cut_blocks(&r);
    pool_run(pool, r.nmb * r.nnb * r.nchunk * batch(g), run_block, &r);
    if (r.nchunk > 1)
        pool_run(pool, (g->m + MR - 1) / MR, reduce_rows, &r);
}
