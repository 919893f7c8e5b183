/* UTF-8, one character at a time, over bytes that may be ill-formed. */
#ifndef WEFT_TEXT_UTF8_H
#define WEFT_TEXT_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* What stands at p (size >= 1 bytes left):
 *   n > 0: a well-formed character of n bytes (no surrogates, no overlong forms, up to U+10FFFF);
 *   0:     a proper beginning of a character that the bytes at hand do not finish;
 *   n < 0: -n bytes (the maximal subpart of Unicode 3.9) that no further byte can make a character.
 */
static inline int utf8_check(const char *text, size_t size) {
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return -1;
    int length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    unsigned low = 0x80, high = 0xbf; /* of the second byte; the rest are always 80..bf */
    if (p[0] == 0xe0) low = 0xa0;
    if (p[0] == 0xed) high = 0x9f;
    if (p[0] == 0xf0) low = 0x90;
    if (p[0] == 0xf4) high = 0x8f;
    for (int i = 1; i < length; i++) {
        if ((size_t)i == size) return 0;
        if (p[i] < low || p[i] > high) return -i;
        low = 0x80, high = 0xbf;
    }
    return length;
}

/* The code point of a well-formed character of `length` bytes. */
static inline uint32_t utf8_read(const char *text, int length) {
    const unsigned char *p = (const unsigned char *)text;
    if (length == 1) return p[0];
    uint32_t c = p[0] & (0x7fu >> length);
    for (int i = 1; i < length; i++) c = c << 6 | (p[i] & 0x3f);
    return c;
}

/* Write c (a Unicode scalar value) at out (4 bytes of room); returns its length. */
static inline int utf8_write(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(c | (0xf00u >> length & 0xff));
    return length;
}

#endif
