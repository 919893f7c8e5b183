/* Every dense or quantised file type to float32, and the search for NaN and infinity. */
#include "format/repack.h"

#include "format/repack_block.h"

#include <math.h>
#include <string.h>

#define BLOCK_VALUES_MAX 256

static uint16_t load_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static float load_f16(const uint8_t *p) {
    return f16_to_f32(load_u16(p));
}

/* 32 values: f16 scale, 32 signed bytes. */
static void decode_q8_0(const uint8_t *block, float *out) {
    float d = load_f16(block);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)block[2 + i];
}

/* 32 values: f16 scale, 16 bytes whose low halves come first; stored plus 8. */
static void decode_q4_0(const uint8_t *block, float *out) {
    float d = load_f16(block);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((block[2 + i] & 15) - 8);
        out[16 + i] = d * (float)((block[2 + i] >> 4) - 8);
    }
}

/* 256 values of six bits, stored plus 32: 128 bytes of low halves, 64 of high bit pairs, 16 signed
 * scales, f16 scale of those. Each half of 128 values has four groups of 32: the low bits of groups
 * 0 and 2 (1 and 3) share a byte, the high bits of all four do. */
static void decode_q6_k(const uint8_t *block, float *out) {
    float d = load_f16(block + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, group = i / 32 % 4, lane = i % 32;
        int low = block[64 * half + 32 * (group & 1) + lane] >> 4 * (group >> 1) & 15;
        int high = block[128 + 32 * half + lane] >> 2 * group & 3;
        int8_t scale = (int8_t)block[192 + i / 16];
        out[i] = d * (float)scale * (float)((low | high << 4) - 32);
    }
}

static void decode_codes(const uint8_t *codes, int count, float scale, float *out) {
    for (int i = 0; i < count; i++) out[i] = scale * (float)(codes[i] - 1);
}

/* One block of a block type; scale is that of an I2_S tensor. */
static void decode_block(tensor_type type, const uint8_t *block, float scale, float *out) {
    uint8_t codes[BLOCK_VALUES_MAX];
    if (type == TENSOR_Q8_0) {
        decode_q8_0(block, out);
    } else if (type == TENSOR_Q4_0) {
        decode_q4_0(block, out);
    } else if (type == TENSOR_Q6_K) {
        decode_q6_k(block, out);
    } else if (type == TENSOR_TQ1_0) {
        repack_unpack_tq1(block, codes);
        decode_codes(codes, REPACK_TQ_BLOCK, load_f16(block + REPACK_TQ1_BYTES - 2), out);
    } else if (type == TENSOR_TQ2_0) {
        repack_unpack_tq2(block, codes);
        decode_codes(codes, REPACK_TQ_BLOCK, load_f16(block + REPACK_TQ2_BYTES - 2), out);
    } else {
        repack_unpack_block(block, codes);
        decode_codes(codes, TERNARY_BLOCK, scale, out);
    }
}

static void decode_blocks(const tensor_view *t, int64_t first, int64_t count, float *out) {
    int64_t values = tensor_block_values(t->type);
    size_t block_bytes = tensor_bytes(t->type, values, values);
    float scale = 0, partial[BLOCK_VALUES_MAX];
    if (t->type == TENSOR_I2_S) {
        block_bytes -= TENSOR_I2_S_TRAILER;
        scale = repack_i2s_scale(t);
    }
    const uint8_t *block = t->data + (size_t)(first / values) * block_bytes;
    for (; count >= values; count -= values, out += values, block += block_bytes)
        decode_block(t->type, block, scale, out);
    if (!count) return;
    decode_block(t->type, block, scale, partial);
    memcpy(out, partial, (size_t)count * sizeof *out);
}

static void decode_f64(const uint8_t *data, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, data + 8 * i, 8);
        out[i] = (float)value;
    }
}

static bool is_readable(tensor_type type) {
    return type == TENSOR_F32 || type == TENSOR_F64 || type == TENSOR_F16 || type == TENSOR_BF16 ||
           tensor_block_values(type) > 1;
}

int repack_to_f32(const tensor_view *t, int64_t first, int64_t count, float *out, weft_error *err) {
    if (!is_readable(t->type))
        return err_set(err, WEFT_ERR_UNSUPPORTED, "'%.100s' has type %s, which is no kind of float",
                       t->name, tensor_type_name(t->type));
    int64_t total = tensor_count(t);
    if (first < 0 || count < 0 || first > total || count > total - first ||
        first % tensor_block_values(t->type))
        return err_set(err, WEFT_ERR_ARGUMENT, "'%.100s' has no values %lld to %lld", t->name,
                       (long long)first, (long long)first + (long long)count - 1);
    const uint8_t *data = t->data;
    if (t->type == TENSOR_F32)
        memcpy(out, data + 4 * first, 4 * (size_t)count);
    else if (t->type == TENSOR_F16)
        for (int64_t i = 0; i < count; i++) out[i] = load_f16(data + 2 * (first + i));
    else if (t->type == TENSOR_BF16)
        for (int64_t i = 0; i < count; i++) out[i] = bf16_to_f32(load_u16(data + 2 * (first + i)));
    else if (t->type == TENSOR_F64)
        decode_f64(data + 8 * first, count, out);
    else
        decode_blocks(t, first, count, out);
    return WEFT_OK;
}

/* First 16-bit float whose exponent bits (mask) are all set; a float32 is searched by its upper
 * half, which lies `offset` bytes into each `stride`. */
static int64_t find_exponent(const uint8_t *data, int64_t count, int stride, int offset,
                             uint16_t mask) {
    for (int64_t i = 0; i < count; i++)
        if ((load_u16(data + i * stride + offset) & mask) == mask) return i;
    return -1;
}

int64_t repack_find_nonfinite(const tensor_view *t) {
    int64_t total = tensor_count(t);
    if (!is_readable(t->type)) return -1;
    if (t->type == TENSOR_F32) return find_exponent(t->data, total, 4, 2, 0x7f80);
    if (t->type == TENSOR_BF16) return find_exponent(t->data, total, 2, 0, 0x7f80);
    if (t->type == TENSOR_F16) return find_exponent(t->data, total, 2, 0, 0x7c00);
    if (t->type == TENSOR_F64) return find_exponent(t->data, total, 8, 6, 0x7ff0);
    float values[BLOCK_VALUES_MAX];
    int64_t step = tensor_block_values(t->type);
    for (int64_t first = 0; first < total; first += step) {
        int64_t count = total - first < step ? total - first : step;
        if (repack_to_f32(t, first, count, values, NULL)) return first;
        for (int64_t i = 0; i < count; i++)
            if (!isfinite(values[i])) return first + i;
    }
    return -1;
}
