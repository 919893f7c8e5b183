/* On-disk ternary encodings turned into the blocks of base/layout.h. Every encoding is first
 * unpacked to a run of codes (one byte each, 0 to 2) and then packed into rows, so that each needs
 * only its own unpacking loop; those loops are plain enough for the compiler to vectorise. */
#include "format/repack.h"

#include "format/repack_block.h"

#include <math.h>
#include <string.h>

#define CHUNK 1024 /* values converted at a time; a multiple of every block */

/* How far, relative to the largest magnitude, a value may lie from {-s, 0, s} or a block's scale
 * from the tensor's. */
#define TERNARY_TOLERANCE 1e-3f
#define SCALE_TOLERANCE   0x1p-10f

/* Packs a stream of codes into padded rows. */
typedef struct packer {
    uint8_t *out;
    int64_t cols, col; /* col: how far the current row is filled */
    ternary_packing packing;
    uint8_t block[TERNARY_BLOCK];
} packer;

static void flush_block(packer *p) {
    ternary_pack(p->packing, p->block, p->out);
    p->out += ternary_block_bytes(p->packing);
}

static void pack_codes(packer *p, const uint8_t *codes, int64_t count) {
    while (count) {
        int64_t filled = p->col % TERNARY_BLOCK, room = TERNARY_BLOCK - filled;
        int64_t n = p->cols - p->col < room ? p->cols - p->col : room;
        if (n > count) n = count;
        memcpy(p->block + filled, codes, (size_t)n);
        codes += n;
        count -= n;
        p->col += n;
        filled += n;
        if (p->col == p->cols) {
            memset(p->block + filled, 1, (size_t)(TERNARY_BLOCK - filled));
            flush_block(p);
            p->col = 0;
        } else if (filled == TERNARY_BLOCK) {
            flush_block(p);
        }
    }
}

static int check_matrix(const tensor_view *t, weft_error *err) {
    if (t->dim_count == 2) return WEFT_OK;
    return err_set(err, WEFT_ERR_FORMAT, "the tensor '%.100s' has %d dimensions, not 2", t->name,
                   t->dim_count);
}

static int check_scale(const char *name, float scale, weft_error *err) {
    if (!isfinite(scale))
        return err_set(err, WEFT_ERR_NUMERIC, "the scale of '%.100s' is not a finite number", name);
    if (scale < 0)
        return err_set(err, WEFT_ERR_FORMAT, "the scale of '%.100s' is negative: %g", name,
                       (double)scale);
    return WEFT_OK;
}

static int fail_code(weft_error *err, const char *name, int64_t row, int64_t col) {
    return err_set(err, WEFT_ERR_FORMAT,
                   "'%.100s' holds the code 3 at row %lld, column %lld; the file is damaged", name,
                   (long long)row, (long long)col);
}

static int fail_value(weft_error *err, const tensor_view *t, int64_t index, float value) {
    long long row = index / t->shape[1], col = index % t->shape[1];
    if (!isfinite(value))
        return err_set(err, WEFT_ERR_NUMERIC, "'%.100s' is not finite at row %lld, column %lld",
                       t->name, row, col);
    return err_set(err, WEFT_ERR_FORMAT,
                   "'%.100s' is not ternary: it holds %g at row %lld, column %lld", t->name,
                   (double)value, row, col);
}

bool repack_in_place(const tensor_view *t, ternary_matrix *w) {
    if (t->type != TENSOR_I2_S || t->dim_count != 2 || t->shape[1] % TERNARY_BLOCK) return false;
    *w = (ternary_matrix){t->data, t->shape[0], t->shape[1], repack_i2s_scale(t), TERNARY_FAST};
    return true;
}

/* Index of the first code above 2, or -1. Nearly always there is none, so that is asked first, in a
 * loop without a way out in the middle. */
static int find_code_3(const uint8_t *codes, int64_t count) {
    uint8_t seen = 0;
    for (int64_t i = 0; i < count; i++) seen |= codes[i] & codes[i] >> 1;
    for (int64_t i = 0; seen && i < count; i++)
        if (codes[i] > 2) return (int)i;
    return -1;
}

static int repack_i2s(const tensor_view *t, packer *p, float *scale, weft_error *err) {
    uint8_t unpacked[TERNARY_BLOCK];
    *scale = repack_i2s_scale(t);
    TRY(check_scale(t->name, *scale, err));
    int64_t blocks = tensor_count(t) / TERNARY_BLOCK;
    for (int64_t i = 0; i < blocks; i++) {
        repack_unpack_block(t->data + i * TERNARY_BLOCK_BYTES, unpacked);
        int bad = find_code_3(unpacked, TERNARY_BLOCK);
        if (bad >= 0) {
            int64_t index = i * TERNARY_BLOCK + bad;
            return fail_code(err, t->name, index / p->cols, index % p->cols);
        }
        pack_codes(p, unpacked, TERNARY_BLOCK);
    }
    return WEFT_OK;
}

static float block_scale(const tensor_view *t, int64_t block, size_t block_bytes) {
    const uint8_t *d = t->data + (size_t)(block + 1) * block_bytes - 2;
    return f16_to_f32((uint16_t)(d[0] | d[1] << 8));
}

/* The one scale of a TQ tensor. Blocks of zeros have d = 0. */
static int find_tq_scale(const tensor_view *t, size_t block_bytes, float *scale, weft_error *err) {
    int64_t blocks = tensor_count(t) / REPACK_TQ_BLOCK;
    float largest = 0;
    for (int64_t i = 0; i < blocks; i++) {
        float d = block_scale(t, i, block_bytes);
        TRY(check_scale(t->name, d, err));
        if (d > largest) largest = d;
    }
    for (int64_t i = 0; i < blocks; i++) {
        float d = block_scale(t, i, block_bytes);
        if (d != 0 && largest - d > largest * SCALE_TOLERANCE)
            return err_set(err, WEFT_ERR_FORMAT,
                           "'%.100s' has more than one scale: block %lld has %g, another %g; it is "
                           "not one ternary matrix",
                           t->name, (long long)i, (double)d, (double)largest);
    }
    *scale = largest;
    return WEFT_OK;
}

static int repack_tq(const tensor_view *t, packer *p, float *scale, weft_error *err) {
    bool is_tq1 = t->type == TENSOR_TQ1_0;
    size_t block_bytes = is_tq1 ? REPACK_TQ1_BYTES : REPACK_TQ2_BYTES;
    uint8_t unpacked[REPACK_TQ_BLOCK];
    TRY(find_tq_scale(t, block_bytes, scale, err));
    int64_t blocks = tensor_count(t) / REPACK_TQ_BLOCK;
    for (int64_t i = 0; i < blocks; i++) {
        const uint8_t *block = t->data + (size_t)i * block_bytes;
        if (is_tq1)
            repack_unpack_tq1(block, unpacked);
        else
            repack_unpack_tq2(block, unpacked);
        int bad = is_tq1 ? -1 : find_code_3(unpacked, REPACK_TQ_BLOCK);
        if (bad >= 0) {
            int64_t index = i * REPACK_TQ_BLOCK + bad;
            return fail_code(err, t->name, index / p->cols, index % p->cols);
        }
        if (block_scale(t, i, block_bytes) == 0) memset(unpacked, 1, sizeof unpacked);
        pack_codes(p, unpacked, REPACK_TQ_BLOCK);
    }
    return WEFT_OK;
}

/* A walk over the values of a float tensor, a chunk at a time. */
typedef struct walk {
    const tensor_view *t;
    int64_t first, next, total; /* the chunk holds values first .. next - 1 */
    float values[CHUNK];
} walk;

static void walk_begin(walk *w, const tensor_view *t) {
    w->t = t;
    w->first = w->next = 0;
    w->total = tensor_count(t);
}

static bool walk_next(walk *w) {
    if (w->next >= w->total) return false;
    w->first = w->next;
    w->next = w->total - w->first < CHUNK ? w->total : w->first + CHUNK;
    return repack_to_f32(w->t, w->first, w->next - w->first, w->values, NULL) == WEFT_OK;
}

static bool is_float(tensor_type type) {
    return type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_BF16;
}

static int find_magnitude(const tensor_view *t, float *largest, weft_error *err) {
    walk w;
    *largest = 0;
    for (walk_begin(&w, t); walk_next(&w);) {
        for (int64_t i = 0; i < w.next - w.first; i++) {
            float m = fabsf(w.values[i]);
            if (!isfinite(m)) return fail_value(err, t, w.first + i, m);
            if (m > *largest) *largest = m;
        }
    }
    return WEFT_OK;
}

static int repack_floats(const tensor_view *t, packer *p, float *scale, weft_error *err) {
    float s;
    TRY(find_magnitude(t, &s, err));
    uint8_t chunk[CHUNK];
    walk w;
    for (walk_begin(&w, t); walk_next(&w);) {
        for (int64_t i = 0; i < w.next - w.first; i++) {
            float v = w.values[i], m = fabsf(v);
            bool zero = m <= s * TERNARY_TOLERANCE, one = s - m <= s * TERNARY_TOLERANCE;
            if (!zero && !one) return fail_value(err, t, w.first + i, v);
            chunk[i] = zero ? 1 : v > 0 ? 2 : 0;
        }
        pack_codes(p, chunk, w.next - w.first);
    }
    *scale = s;
    return WEFT_OK;
}

int repack_ternary_as(const tensor_view *t, ternary_packing packing, uint8_t *codes, float *scale,
                      weft_error *err) {
    TRY(check_matrix(t, err));
    packer p = {.out = codes, .cols = t->shape[1], .packing = packing};
    if (t->type == TENSOR_I2_S) return repack_i2s(t, &p, scale, err);
    if (t->type == TENSOR_TQ1_0 || t->type == TENSOR_TQ2_0) return repack_tq(t, &p, scale, err);
    if (is_float(t->type)) return repack_floats(t, &p, scale, err);
    return err_set(err, WEFT_ERR_UNSUPPORTED,
                   "'%.100s' has type %s, which holds no ternary weights weft reads (I2_S, TQ1_0, "
                   "TQ2_0, F16, BF16 or F32)",
                   t->name, tensor_type_name(t->type));
}

void repack_tight(const ternary_matrix *fast, uint8_t *codes) {
    size_t blocks = (size_t)fast->rows * ternary_row_bytes(fast->cols) / TERNARY_BLOCK_BYTES;
    uint8_t unpacked[TERNARY_BLOCK];
    for (size_t i = 0; i < blocks; i++) {
        repack_unpack_block(fast->codes + i * TERNARY_BLOCK_BYTES, unpacked);
        ternary_pack_tight_block(unpacked, codes + i * TERNARY_TIGHT_BYTES);
    }
}

bool repack_is_ternary(const tensor_view *t) {
    if (t->dim_count != 2 || !is_float(t->type)) return false;
    float high = 0, low = INFINITY; /* magnitudes that are not zero */
    walk w;
    for (walk_begin(&w, t); walk_next(&w);) {
        for (int64_t i = 0; i < w.next - w.first; i++) {
            float m = fabsf(w.values[i]);
            if (!isfinite(m)) return false;
            if (m <= high * TERNARY_TOLERANCE) continue;
            if (m > high) high = m;
            if (m < low) low = m;
            if (high - low > high * TERNARY_TOLERANCE) return false;
        }
    }
    return true;
}

/* Byte row r, columns c .. c + n - 1 (n at most a block), to block c / 128 of its four output rows.
 */
static int repack_hf_block(const tensor_view *t, int64_t r, int64_t c, int64_t n, uint8_t *codes,
                           weft_error *err) {
    int64_t rows = t->shape[0], cols = t->shape[1];
    uint8_t packed[TERNARY_BLOCK], unpacked[TERNARY_BLOCK];
    memset(packed, TERNARY_ZERO_BYTE, sizeof packed);
    memcpy(packed, t->data + r * cols + c, (size_t)n);
    for (int quarter = 0; quarter < 4; quarter++) {
        int64_t row = quarter * rows + r;
        for (int i = 0; i < TERNARY_BLOCK; i++) unpacked[i] = packed[i] >> 2 * quarter & 3;
        int bad = find_code_3(unpacked, TERNARY_BLOCK);
        if (bad >= 0) return fail_code(err, t->name, row, c + bad);
        ternary_pack_block(unpacked, codes + (size_t)row * ternary_row_bytes(cols) + c / 4);
    }
    return WEFT_OK;
}

int repack_hf_packed(const tensor_view *t, uint8_t *codes, weft_error *err) {
    TRY(check_matrix(t, err));
    if (t->type != TENSOR_U8)
        return err_set(err, WEFT_ERR_FORMAT, "'%.100s' has type %s; packed weights are U8", t->name,
                       tensor_type_name(t->type));
    int64_t cols = t->shape[1];
    for (int64_t r = 0; r < t->shape[0]; r++)
        for (int64_t c = 0; c < cols; c += TERNARY_BLOCK)
            TRY(repack_hf_block(t, r, c, cols - c < TERNARY_BLOCK ? cols - c : TERNARY_BLOCK, codes,
                                err));
    return WEFT_OK;
}

static int find_mean(const tensor_view *t, float *mean, weft_error *err) {
    walk w;
    double sum = 0;
    for (walk_begin(&w, t); walk_next(&w);) {
        double part = 0;
        for (int64_t i = 0; i < w.next - w.first; i++) part += fabs((double)w.values[i]);
        for (int64_t i = 0; !isfinite(part) && i < w.next - w.first; i++)
            if (!isfinite(w.values[i])) return fail_value(err, t, w.first + i, w.values[i]);
        sum += part;
    }
    *mean = (float)(sum / (double)tensor_count(t));
    return WEFT_OK;
}

int repack_quantise(const tensor_view *t, uint8_t *codes, float *scale, weft_error *err) {
    TRY(check_matrix(t, err));
    if (!is_float(t->type))
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "'%.100s' has type %s; master weights are F32, F16 or BF16", t->name,
                       tensor_type_name(t->type));
    float mean = 0;
    TRY(find_mean(t, &mean, err));
    float s = 1.0f / (mean > 1e-5f ? mean : 1e-5f);
    packer p = {.out = codes, .cols = t->shape[1]};
    uint8_t chunk[CHUNK];
    walk w;
    for (walk_begin(&w, t); walk_next(&w);) {
        for (int64_t i = 0; i < w.next - w.first; i++) {
            /* Rounding half to even and clamping to one leaves just these two comparisons. */
            float x = w.values[i] * s;
            chunk[i] = (uint8_t)(1 + (x > 0.5f) - (x < -0.5f));
        }
        pack_codes(&p, chunk, w.next - w.first);
    }
    *scale = 1.0f / s;
    return WEFT_OK;
}

static bool has_code_3(ternary_packing packing, const uint8_t *codes, size_t size) {
    uint8_t seen = 0;
    if (packing == TERNARY_TIGHT) {
        for (size_t i = 0; i < size; i++) seen |= codes[i] > TERNARY_TIGHT_MAX;
        return seen;
    }
    for (size_t i = 0; i < size; i++) seen |= codes[i] & codes[i] >> 1;
    return seen & 0x55;
}

static int find_bad_code(const ternary_matrix *w, int64_t row, const char *name, weft_error *err) {
    for (int64_t col = 0; col < w->cols; col++)
        if (ternary_get(w, row, col) > 1) return fail_code(err, name, row, col);
    return err_set(err, WEFT_ERR_FORMAT, "'%.100s' holds the code 3 behind row %lld", name,
                   (long long)row);
}

int repack_check(const ternary_matrix *w, const char *name, weft_error *err) {
    TRY(check_scale(name, w->scale, err));
    size_t row_bytes = ternary_row_bytes_of(w->packing, w->cols);
    ternary_matrix padded = *w;
    padded.cols = ternary_padded(w->cols);
    for (int64_t row = 0; row < w->rows; row++) {
        if (has_code_3(w->packing, w->codes + (size_t)row * row_bytes, row_bytes))
            return find_bad_code(w, row, name, err);
        for (int64_t col = w->cols; col < padded.cols; col++)
            if (ternary_get(&padded, row, col))
                return err_set(err, WEFT_ERR_FORMAT,
                               "'%.100s' is not padded with zeros in row %lld", name,
                               (long long)row);
    }
    return WEFT_OK;
}
