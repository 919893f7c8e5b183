// Arrays of floats, read and written four values at a time.
//
// VALUES(B, X) declares binding B as X_read(first, i, n): values 4 i .. 4 i + 3 of the n that begin
// at word `first`, zeros past n. VALUES_OUT(B, X) has X_write(first, i, n, v) too, which writes none
// past n. With VECTOR they move whole vectors where they can: every base, first and so every row must
// then be a multiple of 4 words. An output may be an input in place: read a value before it is
// written.
#ifndef VALUES_GLSL
#define VALUES_GLSL

// Defined as true where VECTOR also says that n is a multiple of 4: then there is no rest to be
// moved one by one, and a shader that runs once has less code to fetch.
#ifndef WHOLE_VECTORS
#define WHOLE_VECTORS false
#endif

layout(constant_id = 0) const uint VECTOR = 0;

#define VALUES(B, X) VALUES_READ(B, X, readonly)
#define VALUES_READ(B, X, ACCESS)                                                          \
    layout(set = 0, binding = B) ACCESS buffer X##_single { float X##_1[]; };              \
    layout(set = 0, binding = B) ACCESS buffer X##_vector { vec4 X##_4[]; };               \
    vec4 X##_read(uint first, uint i, uint n) {                                            \
        uint at = BASE(B) + first + 4 * i;                                                 \
        if (VECTOR != 0 && WHOLE_VECTORS) return 4 * i < n ? X##_4[at / 4] : vec4(0);      \
        if (VECTOR != 0 && 4 * i + 3 < n) return X##_4[at / 4];                            \
        vec4 v = vec4(0);                                                                  \
        if (4 * i + 0 < n) v.x = X##_1[at + 0];                                            \
        if (4 * i + 1 < n) v.y = X##_1[at + 1];                                            \
        if (4 * i + 2 < n) v.z = X##_1[at + 2];                                            \
        if (4 * i + 3 < n) v.w = X##_1[at + 3];                                            \
        return v;                                                                          \
    }

#define VALUES_OUT(B, X)                                                                   \
    VALUES_READ(B, X, )                                                                    \
    void X##_write(uint first, uint i, uint n, vec4 v) {                                   \
        uint at = BASE(B) + first + 4 * i;                                                 \
        if (VECTOR != 0 && WHOLE_VECTORS) {                                                \
            if (4 * i < n) X##_4[at / 4] = v;                                              \
        } else if (VECTOR != 0 && 4 * i + 3 < n) {                                         \
            X##_4[at / 4] = v;                                                             \
        } else {                                                                           \
            if (4 * i + 0 < n) X##_1[at + 0] = v.x;                                        \
            if (4 * i + 1 < n) X##_1[at + 1] = v.y;                                        \
            if (4 * i + 2 < n) X##_1[at + 2] = v.z;                                        \
            if (4 * i + 3 < n) X##_1[at + 3] = v.w;                                        \
        }                                                                                  \
    }

#endif
