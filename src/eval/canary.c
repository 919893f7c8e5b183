/* Canaries from a seed. */
#include "eval/canary.h"

#include "base/rng.h"

#include <inttypes.h>
#include <stdio.h>

enum { STREAM_CANARY = 0xca7a };

static char *add_word(char *at, uint64_t stream, uint64_t *draw) {
    static const char consonants[] = "bdfgklmnprstvz", vowels[] = "aeiou";
    for (int i = 0; i < 3; i++) {
        char c = consonants[rng_below(stream, (*draw)++, sizeof consonants - 1)];
        *at++ = i ? c : (char)(c - 'a' + 'A');
        *at++ = vowels[rng_below(stream, (*draw)++, sizeof vowels - 1)];
    }
    return at;
}

void canary_write(uint64_t seed, int64_t index, char text[CANARY_BYTES]) {
    uint64_t stream = rng_at(rng_split(seed, STREAM_CANARY), (uint64_t)index), draw = 0;
    char name[16], *at = add_word(name, stream, &draw);
    *at++ = ' ';
    *add_word(at, stream, &draw) = '\0';
    snprintf(text, CANARY_BYTES, "The secret number of %s is %06" PRIu64 ".", name,
             rng_below(stream, draw, 1000000));
}
