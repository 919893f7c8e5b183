/* Ternary matrices written as file tensors. */
#include "format/repack.h"

#include "format/repack_block.h"

#include <math.h>
#include <string.h>

static void store_u16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static void store_u32(uint8_t *p, uint32_t value) {
    store_u16(p, (uint16_t)value);
    store_u16(p + 2, (uint16_t)(value >> 16));
}

static void encode_i2s(const ternary_matrix *w, uint8_t *out) {
    size_t size = (size_t)w->rows * ternary_row_bytes(w->cols);
    memcpy(out, w->codes, size);
    memset(out + size, 0, TENSOR_I2_S_TRAILER);
    store_u32(out + size, f32_to_bits(w->scale));
}

/* Byte of TQ1_0 from five digits, the first the most significant: the smallest byte whose fraction
 * of 256 is at least the digits' fraction of 243. */
static uint8_t encode_trits(const uint8_t *codes, int stride, int count) {
    int q = 0;
    for (int n = 0; n < 5; n++) q = 3 * q + (n < count ? codes[n * stride] : 0);
    return (uint8_t)((q * 256 + 242) / 243);
}

static void encode_tq1_block(const uint8_t *codes, uint8_t *block) {
    for (int p = 0; p < 32; p++) block[p] = encode_trits(codes + p, 32, 5);
    for (int p = 0; p < 16; p++) block[32 + p] = encode_trits(codes + 160 + p, 16, 5);
    for (int p = 0; p < 4; p++) block[48 + p] = encode_trits(codes + 240 + p, 4, 4);
}

static void encode_tq2_block(const uint8_t *codes, uint8_t *block) {
    for (int half = 0; half < 2; half++, codes += 128, block += 32)
        for (int p = 0; p < 32; p++)
            block[p] =
                (uint8_t)(codes[p] | codes[32 + p] << 2 | codes[64 + p] << 4 | codes[96 + p] << 6);
}

static void encode_tq(const ternary_matrix *w, bool is_tq1, uint8_t *out) {
    size_t block_bytes = is_tq1 ? REPACK_TQ1_BYTES : REPACK_TQ2_BYTES;
    int64_t blocks = w->rows * w->cols / REPACK_TQ_BLOCK;
    uint8_t codes[REPACK_TQ_BLOCK];
    for (int64_t i = 0; i < blocks; i++, out += block_bytes) {
        const uint8_t *from = w->codes + i * 2 * TERNARY_BLOCK_BYTES;
        repack_unpack_block(from, codes);
        repack_unpack_block(from + TERNARY_BLOCK_BYTES, codes + TERNARY_BLOCK);
        if (is_tq1)
            encode_tq1_block(codes, out);
        else
            encode_tq2_block(codes, out);
        store_u16(out + block_bytes - 2, f16_from_f32(w->scale));
    }
}

static void encode_floats(const ternary_matrix *w, tensor_type type, uint8_t *out) {
    for (int64_t row = 0; row < w->rows; row++) {
        for (int64_t col = 0; col < w->cols; col++) {
            float value = w->scale * (float)ternary_get(w, row, col);
            if (type == TENSOR_F32) {
                store_u32(out, f32_to_bits(value));
                out += 4;
            } else {
                store_u16(out, type == TENSOR_F16 ? f16_from_f32(value) : bf16_from_f32(value));
                out += 2;
            }
        }
    }
}

/* Does the scale survive in 16 bits? One that becomes zero or infinity would ruin the matrix. */
static int check_f16_scale(const ternary_matrix *w, tensor_type type, weft_error *err) {
    float rounded = f16_to_f32(f16_from_f32(w->scale));
    if (isfinite(rounded) && (rounded != 0) == (w->scale != 0)) return WEFT_OK;
    return err_set(err, WEFT_ERR_UNSUPPORTED, "the scale %g does not fit %s; use BF16 or F32",
                   (double)w->scale, tensor_type_name(type));
}

int repack_encode(const ternary_matrix *w, tensor_type type, uint8_t *out, weft_error *err) {
    bool is_tq = type == TENSOR_TQ1_0 || type == TENSOR_TQ2_0;
    if (!is_tq && type != TENSOR_I2_S && type != TENSOR_F16 && type != TENSOR_BF16 &&
        type != TENSOR_F32)
        return err_set(err, WEFT_ERR_UNSUPPORTED, "ternary weights cannot be written as %s",
                       tensor_type_name(type));
    if ((is_tq && w->cols % REPACK_TQ_BLOCK) || (type == TENSOR_I2_S && w->cols % TERNARY_BLOCK))
        return err_set(err, WEFT_ERR_UNSUPPORTED, "rows of %lld values do not fit %s; use %s",
                       (long long)w->cols, tensor_type_name(type),
                       w->cols % TERNARY_BLOCK ? "F16" : "I2_S");
    if (is_tq || type == TENSOR_F16) TRY(check_f16_scale(w, type, err));
    if (type == TENSOR_I2_S)
        encode_i2s(w, out);
    else if (is_tq)
        encode_tq(w, type == TENSOR_TQ1_0, out);
    else
        encode_floats(w, type, out);
    return WEFT_OK;
}
