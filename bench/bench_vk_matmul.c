/* The ternary products of one Vulkan device, tile by tile: that each gives the CPU's bits, and how
 * fast it is.
 *
 *     bench_vk_matmul [--device N] [--peak TOPS] [--check-only] [--tiers plain,dot,coop]
 *
 * A device that has waited runs on a low clock: each set of figures begins with work that is not
 * timed. Times are the device's own, of the product alone; the rounding of gradients is shown
 * apart. Operations are two for each weight and token, also where gradients are two planes of
 * bytes. */
#define BENCH_NAME "bench_vk_matmul"
#include "bench_vk.h"

#include "backend/vk_ternary.h"
enum { REPEATS = 8, TOKENS_MAX = 8192, WARM_TOKENS = 2048, WARM_SUBMITS = 8, WARM_PRODUCTS = 40 };

typedef struct bench {
    backend *be, *cpu;
    double peak;
    bool check_only;
    bool tiers[VK_TIER_COOP + 1];
} bench;

static float *random_floats(uint64_t seed, int64_t count) {
    float *x = allocate((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = 2 * rng_uniform(seed, (uint64_t)i) - 1;
    return x;
}

static uint8_t *random_codes(uint64_t seed, int64_t rows, int64_t cols) {
    uint8_t *codes = allocate((size_t)rows * ternary_row_bytes(cols));
    int64_t across = ternary_padded(cols) / TERNARY_BLOCK;
    uint8_t values[TERNARY_BLOCK];
    for (int64_t i = 0; i < rows * across; i++) {
        for (int64_t c = 0; c < TERNARY_BLOCK; c++) {
            bool inside = i % across * TERNARY_BLOCK + c < cols;
            uint64_t at = (uint64_t)(i * TERNARY_BLOCK + c);
            values[c] = inside ? (uint8_t)rng_below(seed, at, 3) : 1;
        }
        ternary_pack_block(values, codes + i * TERNARY_BLOCK_BYTES);
    }
    return codes;
}

/* ---- the same bits ---- */

typedef struct results {
    float *y, *dx;
} results;

/* Both products on one backend; tile is for the Vulkan one. */
static results products(backend *be, bool vulkan, const ternary_matrix *m, const float *x,
                        const float *dy, int64_t tokens, const vk_ternary_tile *tile) {
    size_t x_bytes = (size_t)(tokens * m->cols) * 4, y_bytes = (size_t)(tokens * m->rows) * 4;
    buffer *bx = buffer_of(be, x_bytes), *by = buffer_of(be, y_bytes);
    buffer *bq = buffer_of(be, quantised_bytes(tokens, m->cols));
    results r = {allocate(y_bytes), allocate(x_bytes)};
    view vx = view_of(bx), vy = view_of(by), vq = view_of(bq);
    ternary_weight *w;
    weft_error err;
    if (ternary_weight_create(be, m, &w, &err)) fail("weight", &err);
    memset(r.y, 0, y_bytes);
    memset(r.dx, 0, x_bytes);
    backend_begin(be);
    backend_write(be, vx, x, x_bytes);
    op_quantise(be, vx, tokens, m->cols, vq);
    if (!vulkan)
        op_ternary_matmul(be, w, vq, tokens, vy);
    else if (vk_ternary_tile_fits(vk_of(be), tile, false, tokens))
        vk_ternary_product(be, w, vq, tokens, tile, vy);
    if (backend_read(be, vy, r.y, y_bytes, &err)) fail("forward", &err);
    backend_write(be, vy, dy, y_bytes);
    if (!vulkan)
        op_ternary_matmul_t(be, w, vy, tokens, PRECISION_ROUNDED, vx, true);
    else if (vk_ternary_tile_fits(vk_of(be), tile, true, tokens))
        vk_ternary_product_t(be, w, vy, tokens, tile, NULL, vx, true);
    if (backend_read(be, vx, r.dx, x_bytes, &err)) fail("backward", &err);
    submit(be);
    ternary_weight_free(be, &w);
    buffer_free(be, &bx);
    buffer_free(be, &by);
    buffer_free(be, &bq);
    return r;
}

static void describe(const vk_ternary_tile *t, char *text, size_t size) {
    static const char *const tiers[] = {"plain", "dot", "coop"};
    if (t->lanes)
        snprintf(text, size, "%s %u lanes, %u rows", tiers[t->tier], t->lanes, t->each);
    else if (t->tier == VK_TIER_COOP)
        snprintf(text, size, "coop %ux%u (%ux%u) %u/%u", t->tokens, t->features, t->block_tokens,
                 t->block_features, 16 * t->units, t->splits);
    else
        snprintf(text, size, "%s %u", tiers[t->tier], t->tokens);
}

static int64_t differences(const float *a, const float *b, int64_t count, int64_t *first) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) && !n++) *first = i;
    return n;
}

static void compare(const char *what, const float *want, const float *got, int64_t count,
                    int64_t width) {
    int64_t first = 0, n = differences(want, got, count, &first);
    if (!n)
        printf("  %s the same", what);
    else
        printf("  %s WRONG: %lld of %lld, first at token %lld, feature %lld: %.9g, not %.9g", what,
               (long long)n, (long long)count, (long long)(first / width),
               (long long)(first % width), (double)got[first], (double)want[first]);
}

static void check_shape(bench *b, int64_t tokens, int64_t rows, int64_t cols) {
    int count;
    const vk_ternary_tile *tiles = vk_ternary_tiles(&count);
    uint8_t *codes = random_codes(1, rows, cols);
    ternary_matrix m = {codes, rows, cols, 0.0371f, TERNARY_FAST};
    float *x = random_floats(2, tokens * cols), *dy = random_floats(3, tokens * rows);
    results want = products(b->cpu, false, &m, x, dy, tokens, NULL);
    printf("check: %lld tokens, weight %lld x %lld\n", (long long)tokens, (long long)rows,
           (long long)cols);
    for (int i = 0; i < count; i++) {
        const vk_ternary_tile *tile = &tiles[i];
        bool forward = vk_ternary_tile_fits(vk_of(b->be), tile, false, tokens);
        bool backward = vk_ternary_tile_fits(vk_of(b->be), tile, true, tokens);
        char name[64];
        if (!b->tiers[tile->tier] || (!forward && !backward)) continue;
        results got = products(b->be, true, &m, x, dy, tokens, tile);
        describe(tile, name, sizeof name);
        printf("  %-26s", name);
        if (forward) compare("forward", want.y, got.y, tokens * rows, rows);
        if (backward) compare("backward", want.dx, got.dx, tokens * cols, cols);
        printf("\n");
        fflush(stdout);
        free(got.y);
        free(got.dx);
    }
    free(want.y);
    free(want.dx);
    free(codes);
    free(x);
    free(dy);
}

/* ---- speed ---- */

typedef struct speed_case {
    ternary_weight *w;
    int64_t rows, cols;
    view x, q8, y; /* of TOKENS_MAX tokens */
} speed_case;

static void run_once(bench *b, const speed_case *c, bool backward, int64_t tokens,
                     const vk_ternary_tile *tile) {
    if (backward)
        vk_ternary_product_t(b->be, c->w, c->y, tokens, tile, NULL, c->x, false);
    else
        vk_ternary_product(b->be, c->w, c->q8, tokens, tile, c->y);
}

/* Long enough that the clock rises. */
static void warm(bench *b, const speed_case *c) {
    for (int i = 0; i < WARM_SUBMITS; i++) {
        backend_begin(b->be);
        for (int n = 0; n < WARM_PRODUCTS; n++) run_once(b, c, false, WARM_TOKENS, NULL);
        submit(b->be);
    }
}

/* Seconds of the product, and of the rounding before it. */
static double seconds_of(bench *b, const speed_case *c, bool backward, int64_t tokens,
                         const vk_ternary_tile *tile, double *rounding) {
    double product = 0;
    *rounding = 0;
    backend_begin(b->be);
    run_once(b, c, backward, tokens, tile);
    submit(b->be);
    vk_profile_clear(b->be);
    backend_begin(b->be);
    for (int i = 0; i < REPEATS; i++) run_once(b, c, backward, tokens, tile);
    submit(b->be);
    int count;
    const vk_profile_entry *entries = vk_profile_read(b->be, &count);
    for (int i = 0; i < count; i++) {
        double seconds = (double)entries[i].ns * 1e-9 / REPEATS;
        if (strncmp(entries[i].shader, "ternary", 7) == 0)
            product += seconds;
        else
            *rounding += seconds;
    }
    return product;
}

static void print_speed(const bench *b, const speed_case *c, int64_t tokens, const char *name,
                        double seconds, double rounding) {
    double work = 2.0 * (double)tokens * (double)c->rows * (double)c->cols / seconds * 1e-12;
    double weight_bytes = (double)c->rows * (double)ternary_row_bytes(c->cols);
    printf("  %-26s %10.1f us %8.2f TOP/s", name, seconds * 1e6, work);
    if (b->peak > 0) printf(" %5.1f%%", 100 * work / b->peak);
    printf("  %7.0f GB/s of weights", weight_bytes / seconds * 1e-9);
    if (rounding > 0) printf("  (rounding %.1f us)", rounding * 1e6);
    printf("\n");
    fflush(stdout);
}

static void speed_of_tiles(bench *b, const speed_case *c, bool backward, int64_t tokens) {
    int count;
    const vk_ternary_tile *tiles = vk_ternary_tiles(&count);
    warm(b, c);
    double rounding, seconds = seconds_of(b, c, backward, tokens, NULL, &rounding);
    printf("%s, %lld tokens, weight %lld x %lld\n", backward ? "backward" : "forward",
           (long long)tokens, (long long)c->rows, (long long)c->cols);
    print_speed(b, c, tokens, "chosen", seconds, rounding);
    for (int i = 0; i < count; i++) {
        const vk_ternary_tile *tile = &tiles[i];
        char name[64];
        if (!b->tiers[tile->tier] || tile->tokens > 4 * tokens) continue;
        if (!tile->lanes && (int64_t)tile->tokens * 8 < tokens && tile->tokens < 64) continue;
        if (tile->tier == VK_TIER_PLAIN && tokens > 512) continue;
        if (!vk_ternary_tile_fits(vk_of(b->be), tile, backward, tokens)) continue;
        describe(tile, name, sizeof name);
        seconds = seconds_of(b, c, backward, tokens, tile, &rounding);
        print_speed(b, c, tokens, name, seconds, rounding);
    }
}

static void speed_of_shape(bench *b, int64_t rows, int64_t cols) {
    static const int64_t tokens[] = {1, 8, 16, 64, 128, 512, 2048, 8192};
    uint8_t *codes = random_codes(4, rows, cols);
    ternary_matrix m = {codes, rows, cols, 0.0371f, TERNARY_FAST};
    int64_t most = rows > cols ? rows : cols;
    size_t bytes = (size_t)(TOKENS_MAX * most) * sizeof(float);
    buffer *x = buffer_of(b->be, bytes), *y = buffer_of(b->be, bytes);
    buffer *q8 = buffer_of(b->be, quantised_bytes(TOKENS_MAX, cols));
    float *values = random_floats(5, TOKENS_MAX * most);
    speed_case c = {NULL, rows, cols, view_of(x), view_of(q8), view_of(y)};
    weft_error err;
    if (ternary_weight_create(b->be, &m, &c.w, &err)) fail("weight", &err);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        for (int backward = 0; backward < 2; backward++) {
            backend_begin(b->be);
            backend_write(b->be, c.x, values, (size_t)(tokens[i] * cols) * sizeof(float));
            op_quantise(b->be, c.x, tokens[i], cols, c.q8);
            backend_write(b->be, c.y, values, (size_t)(tokens[i] * rows) * sizeof(float));
            submit(b->be);
            speed_of_tiles(b, &c, backward, tokens[i]);
        }
    }
    ternary_weight_free(b->be, &c.w);
    buffer_free(b->be, &x);
    buffer_free(b->be, &y);
    buffer_free(b->be, &q8);
    free(values);
    free(codes);
}

static void parse_tiers(bench *b, const char *list) {
    static const char *const names[] = {"plain", "dot", "coop"};
    for (int i = 0; i < 3; i++) b->tiers[i] = strstr(list, names[i]) != NULL;
}

int main(int argc, char **argv) {
    bench b = {.tiers = {true, true, true}};
    vk_options options = {.device = -1, .tier_max = VK_TIER_BEST, .profile = true};
    weft_error err;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (more && strcmp(argv[i], "--device") == 0)
            options.device = atoi(argv[++i]);
        else if (more && strcmp(argv[i], "--peak") == 0)
            b.peak = atof(argv[++i]);
        else if (more && strcmp(argv[i], "--tiers") == 0)
            parse_tiers(&b, argv[++i]);
        else if (strcmp(argv[i], "--check-only") == 0)
            b.check_only = true;
        else
            fail("use --device N, --peak TOPS, --tiers LIST or --check-only", NULL);
    }
    if (backend_create_vk(&options, &b.be, &err)) fail("Vulkan", &err);
    if (backend_create_cpu(&(backend_options){1, 0}, &b.cpu, &err)) fail("cpu", &err);
    printf("%s\n", backend_name(b.be));
    check_shape(&b, 5, 130, 200);
    check_shape(&b, 141, 261, 400);
    check_shape(&b, 300, 640, 2560);
    if (!b.check_only) {
        speed_of_shape(&b, 2560, 2560);
        speed_of_shape(&b, 640, 2560);
        speed_of_shape(&b, 6912, 2560);
        speed_of_shape(&b, 2560, 6912);
    }
    backend_free(&b.be);
    backend_free(&b.cpu);
    return 0;
}
