/* The peaks of this machine: loops of nothing but the instructions that the products are made of,
 * and a pass over memory that is in no cache. They stand apart from the table of kernels, so that
 * what a kernel reaches can be given as a share of what the processor can do. check_kernels runs
 * the loops on one thread, `weft bench` on all. */
#ifndef WEFT_KERNEL_PEAK_H
#define WEFT_KERNEL_PEAK_H

#include "base/pool.h"

#include <stdint.h>

typedef enum peak_kind {
    PEAK_INT8, /* 8-bit multiply-add as the level has it: maddubs and a 16-bit addition, vpdpbusd */
    PEAK_INT16, /* 16-bit multiply-add into 32 bits: madd and an addition */
    PEAK_F32,   /* float32 FMA */
    PEAK_COMPUTE_COUNT
} peak_kind;

/* A loop of independent chains. ops a round: a multiply and an add count as two. */
typedef struct peak_loop {
    void (*run)(int64_t rounds);
    int ops;
    const char *name; /* the instruction: "maddubs" */
} peak_loop;

/* The fastest loops of one level; each overwrites what a lower level put there. */
typedef struct peak_loops {
    peak_loop of[PEAK_COMPUTE_COUNT];
} peak_loops;

/* The loops of the best level in flags & cpu_flags(), as kernels_init chooses. */
void peak_find(peak_loops *loops, uint32_t flags);

void peak_find_avx2(peak_loops *loops);                   /* x86-64 only */
void peak_find_avx512(peak_loops *loops, uint32_t flags); /* x86-64 only; looks for CPU_VNNI */
void peak_find_neon(peak_loops *loops, uint32_t flags);   /* AArch64 only; CPU_DOTPROD, CPU_I8MM */

/* Operations a second of all threads of the pool together; 0 when there is no memory for it. */
double peak_measure(const peak_loop *loop, pool *threads);

/* Bytes a second, the best of several passes, that all threads together read from a block far
 * larger than the caches (which is allocated for the call); 0 when there is no memory for it. */
double peak_measure_read(pool *threads);

#endif
