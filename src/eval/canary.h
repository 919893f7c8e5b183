/* Canaries: made-up sentences with a random number, put into training data to measure what an
 * adapter keeps word for word. */
#ifndef WEFT_EVAL_CANARY_H
#define WEFT_EVAL_CANARY_H

#include <stddef.h>
#include <stdint.h>

#define CANARY_BYTES  96
#define CANARY_DIGITS 6
#define CANARIES_MAX  1000

/* Canary number index of a seed: "The secret number of Kavodu Pelira is 482913." */
void canary_write(uint64_t seed, int64_t index, char text[CANARY_BYTES]);

#endif
