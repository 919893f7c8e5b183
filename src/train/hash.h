/* A 64-bit hash that tells apart what differs by accident: fingerprints and checksums of files that
 * nobody forges. Every step is a bijection of the state, so a change within one 8-byte word always
 * shows. Words are taken in little-endian order, as all of weft's files are. */
#ifndef WEFT_TRAIN_HASH_H
#define WEFT_TRAIN_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_START UINT64_C(0x243f6a8885a308d3)

static inline uint64_t hash_word(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* Adds the size too, so that pieces cannot run into each other. */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t size) {
    const unsigned char *at = data;
    size_t left = size;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = hash_word(hash, word);
    }
    uint64_t tail = 0;
    if (left) memcpy(&tail, at, left);
    return hash_word(hash_word(hash, tail), size);
}

static inline uint64_t hash_text(uint64_t hash, const char *text) {
    return hash_bytes(hash, text, strlen(text));
}

static inline uint64_t hash_f64(uint64_t hash, double value) {
    uint64_t word;
    memcpy(&word, &value, 8);
    return hash_word(hash, word);
}

#endif
