/* Seeded random numbers that are the same on every machine: a counter-based generator (the
 * SplitMix64 finaliser, Steele et al. 2014), so the n-th number of a stream needs no state. */
#ifndef WEFT_BASE_RNG_H
#define WEFT_BASE_RNG_H

#include <stdint.h>

/* Number `index` of stream `seed`: 64 well-mixed bits. */
static inline uint64_t rng_at(uint64_t seed, uint64_t index) {
    uint64_t z = seed * 0x9e3779b97f4a7c15u + (index + 1) * 0xd1342543de82ef95u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A seed for a named sub-stream, so that streams of one run never coincide. */
static inline uint64_t rng_split(uint64_t seed, uint64_t name) {
    return rng_at(seed ^ 0x5eed, name);
}

/* Uniform in [0, 1) with 24 bits: exact in float32. */
static inline float rng_uniform(uint64_t seed, uint64_t index) {
    return (float)(rng_at(seed, index) >> 40) * 0x1p-24f;
}

/* Uniform integer in [0, bound), bound >= 1, by multiplication (bias below 2^-32 for bound < 2^32).
 */
static inline uint64_t rng_below(uint64_t seed, uint64_t index, uint64_t bound) {
    return (uint64_t)(((unsigned __int128)rng_at(seed, index) * bound) >> 64);
}

#endif
