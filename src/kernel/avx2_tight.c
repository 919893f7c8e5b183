/* Tight rows to fast rows in AVX2, with tables of 16 entries instead of divisions. A byte x = 16 h
 * + l leaves x mod 9 = 3 d + e, which is 7 h mod 9 + l mod 9, less 9 if that is above 8. The rest,
 * 9 (9 a + 3 b + c), has low halves that all differ up to 126, and again from 135 to 234. */
#if defined(__x86_64__)
#include "kernel/avx2.h"

/* The same 16 bytes in both lanes. */
ALWAYS_INLINE __m256i table_of(const uint8_t entries[16]) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)entries));
}

/* x mod 9. */
ALWAYS_INLINE __m256i low_digits(__m256i x) {
    static const uint8_t of_high[16] = {0, 7, 5, 3, 1, 8, 6, 4, 2, 0, 7, 5, 3, 1, 8, 6};
    static const uint8_t of_low[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6};
    const __m256i half = _mm256_set1_epi8(15);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), half);
    __m256i sum = _mm256_add_epi8(_mm256_shuffle_epi8(table_of(of_high), high),
                                  _mm256_shuffle_epi8(table_of(of_low), _mm256_and_si256(x, half)));
    return _mm256_min_epu8(sum, _mm256_sub_epi8(sum, _mm256_set1_epi8(9)));
}

/* The bits of a, b and c where 9 a + 3 b + c = n. */
#define ABC(n) ((n) / 9 << 6 | (n) / 3 % 3 << 4 | (n) % 3 << 2)

/* Those bits from 9 n. A table answers 0 where the top bit of the index is set. */
ALWAYS_INLINE __m256i high_digits(__m256i nines) {
    static const uint8_t below_15[16] = {ABC(0),  ABC(9), ABC(2),  ABC(11), ABC(4),  ABC(13),
                                         ABC(6),  0,      ABC(8),  ABC(1),  ABC(10), ABC(3),
                                         ABC(12), ABC(5), ABC(14), ABC(7)};
    static const uint8_t from_15[16] = {ABC(16), ABC(25), ABC(18), 0,       ABC(20), 0,
                                        ABC(22), ABC(15), ABC(24), ABC(17), ABC(26), ABC(19),
                                        0,       ABC(21), 0,       ABC(23)};
    __m256i flipped = _mm256_xor_si256(nines, _mm256_set1_epi8((char)0x80));
    return _mm256_or_si256(_mm256_shuffle_epi8(table_of(below_15), nines),
                           _mm256_shuffle_epi8(table_of(from_15), flipped));
}

/* The lanes hold bytes 0..15 and 10..25, so that nothing past the block is read, and so that the
 * digits e of four bytes in turn are one fast byte: lane 1 has bytes 26..29, lane 0 30 and 31. */
ALWAYS_INLINE void unpack_block(const uint8_t *block, uint8_t *out) {
    static const uint8_t fourth[16] = {0, 0, 0, 1, 1, 1, 2, 2, 2};
    static const uint8_t fifth[16] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
    const __m256i to_places =
        _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, /* lane 1: */
                         6, 7, 8, 9, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1);
    const __m256i to_end =
        _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                         -1, -1, -1, -1, -1, -1, -1, 0, 2, 4, 6, 8, 10);
    __m256i x = _mm256_loadu2_m128i((const __m128i *)(block + 10), (const __m128i *)block);
    __m256i de = low_digits(x);
    __m256i d = _mm256_shuffle_epi8(table_of(fourth), de);
    __m256i e = _mm256_shuffle_epi8(table_of(fifth), de);
    __m256i fast = _mm256_or_si256(high_digits(_mm256_sub_epi8(x, de)), d);

    __m256i pairs = _mm256_maddubs_epi16(e, _mm256_set1_epi32(0x01041040)); /* 64, 16, 4, 1 */
    __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    __m256i six = _mm256_packus_epi32(fours, _mm256_permute4x64_epi64(fours, 0x4e));
    _mm256_storeu_si256((__m256i *)out, _mm256_or_si256(_mm256_shuffle_epi8(fast, to_places),
                                                        _mm256_shuffle_epi8(six, to_end)));
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
