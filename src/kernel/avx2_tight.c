/* Tight rows to fast rows in AVX2. The digits are taken off from the front without division: x mod
 * w of an x < 3 w is the least of x, x - w and x - 2 w as unsigned bytes. What was taken off, a
 * multiple of the weight, becomes bits by a mask or a table of its low four bits. */
#if defined(__x86_64__)
#include "kernel/avx2.h"

ALWAYS_INLINE __m256i rest_of(__m256i x, const int weight) {
    __m256i once = _mm256_sub_epi8(x, _mm256_set1_epi8((char)weight));
    __m256i twice = _mm256_sub_epi8(x, _mm256_set1_epi8((char)(2 * weight)));
    return _mm256_min_epu8(x, _mm256_min_epu8(once, twice));
}

/* The same 16 bytes in both lanes. */
ALWAYS_INLINE __m256i table_of(const int8_t entries[16]) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)entries));
}

/* The lanes hold bytes 0..15 and 10..25, so that nothing past the block is read, and so that the
 * digits e of four bytes in turn are one fast byte: lane 1 has bytes 26..29, lane 0 30 and 31. */
ALWAYS_INLINE void unpack_block(const uint8_t *block, uint8_t *out) {
    static const int8_t middle[16] = {0, 0, 8, 0, 20, 0, 32, 0, 40, 4, 0, 16, 0, 24, 0, 36};
    static const int8_t fourth[16] = {0, 0, 0, 1, 1, 1, 2, 2, 2};
    static const int8_t fifth[16] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
    __m256i x = _mm256_loadu2_m128i((const __m128i *)(block + 10), (const __m128i *)block);
    __m256i below81 = rest_of(x, 81);
    __m256i below9 = rest_of(rest_of(below81, 27), 9);
    __m256i a = _mm256_and_si256(_mm256_sub_epi8(x, below81), _mm256_set1_epi8((char)0xc0));
    __m256i bc = _mm256_shuffle_epi8(table_of(middle), _mm256_sub_epi8(below81, below9));
    __m256i d = _mm256_shuffle_epi8(table_of(fourth), below9);
    __m256i e = _mm256_shuffle_epi8(table_of(fifth), below9);
    __m256i fast = _mm256_or_si256(_mm256_or_si256(a, bc), d);
    _mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(fast));
    _mm_storeu_si128((__m128i *)(out + 10), _mm256_extracti128_si256(fast, 1));

    __m256i pairs = _mm256_maddubs_epi16(e, _mm256_set1_epi32(0x01041040)); /* 64, 16, 4, 1 */
    __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    __m128i words =
        _mm_packus_epi32(_mm256_extracti128_si256(fours, 1), _mm256_castsi256_si128(fours));
    uint64_t six = (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(words, words));
    memcpy(out + TERNARY_TIGHT_BYTES, &six, TERNARY_TIGHT_SPREAD);
}

void avx2_ternary_unpack_rows(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                              int64_t col_begin, int64_t col_end, uint8_t *out) {
    size_t row_bytes = ternary_row_bytes_of(TERNARY_TIGHT, w->cols);
    size_t first = (size_t)(col_begin / TERNARY_BLOCK) * TERNARY_TIGHT_BYTES;
    for (int64_t row = row_begin; row < row_end; row++) {
        const uint8_t *block = w->codes + (size_t)row * row_bytes + first;
        for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
            unpack_block(block, out);
            block += TERNARY_TIGHT_BYTES;
            out += TERNARY_BLOCK_BYTES;
        }
    }
}
#endif
