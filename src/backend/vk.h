/* What the Vulkan files share: one device, its memory, and the recording of dispatches.
 *
 * Operations (backend_vk_*.c) describe dispatches; vk_run (vk_record.c) turns them into
 * commands with the barriers that they need. Commands are gathered in segments: a segment that is
 * the same as an earlier one, word for word, is submitted again instead of recorded again, so that
 * a training step and a decoded token are recorded once and replayed. What changes from step to
 * step must therefore lie in buffers, not in push constants, wherever it changes often.
 *
 * Device addresses are views (backend.h): a buffer and a byte offset, a multiple of 4. A binding
 * shows a window of a buffer of at most limits.window_bytes: operations on more are cut by rows
 * (vk_window_rows). Everything is float32 or 32-bit words unless an operation says otherwise.
 *
 * Every file of operations is written against this header: it may grow, but what is here stays. */
#ifndef WEFT_BACKEND_VK_H
#define WEFT_BACKEND_VK_H

#include "backend/backend_impl.h"
#include "backend/backend_vk.h"

#define VK_NO_PROTOTYPES
#include <volk.h>

/* One enumerator a shader: shaders/NAME.comp is VK_SHADER_NAME. The list is made by the build;
 * names ending in _coop need cooperative matrices, and a compiler that knows them. */
typedef enum vk_shader {
#define X(name) VK_SHADER_##name,
#include "vk_shader_list.inc"
#undef X
    VK_SHADER_COUNT
} vk_shader;

typedef struct vk_limits {
    vk_tier tier;              /* in use: the device's, or less if options.tier_max says so */
    uint64_t window_bytes;     /* largest binding: the device's limit or options.max_buffer */
    uint64_t allocation_bytes; /* largest buffer */
    uint32_t offset_alignment; /* of a binding; a power of two, at most 256 */
    uint32_t shared_bytes;     /* of a work group */
    uint32_t invocations;      /* of a work group */
    uint32_t subgroup_size;    /* the one shaders run with */
    uint32_t groups_max;       /* in x; y and z take at least 65535 */
    bool coherent;             /* device memory is visible to the host (integrated devices) */
    bool subgroup_arithmetic;  /* subgroupAdd, subgroupMax in compute shaders */
    uint32_t coop_m[2], coop_n[2], coop_k[2]; /* [0] int8, [1] f16; 0: none */
} vk_limits;

typedef struct vk_backend vk_backend; /* starts with a backend */

static inline vk_backend *vk_of(backend *be) {
    return (vk_backend *)(void *)be;
}
const vk_limits *vk_limits_of(const vk_backend *vk);
/* True if the shader was compiled in and the tier in use allows it. */
bool vk_has_shader(const vk_backend *vk, vk_shader shader);

/* ---- dispatches ---- */

#define VK_BINDINGS_MAX  8
#define VK_CONSTANTS_MAX 12
#define VK_PUSH_MAX      96 /* bytes of an operation's own push constants */

typedef enum vk_access { VK_READ = 1, VK_WRITE = 2, VK_READ_WRITE = 3 } vk_access;

typedef struct vk_binding {
    view at;
    size_t bytes;
    vk_access access;
} vk_binding;

/* Binding i of the shader is bindings[i]; a shader finds its first element base[i] 32-bit words
 * into what is bound (shaders/weft.glsl). A view aligned to offset_alignment bytes has base 0; one
 * aligned to 16 bytes has a base that is a multiple of 4, so vec4 loads are allowed there. */
typedef struct vk_dispatch {
    const char *op; /* for errors and the profile: "op_rmsnorm" */
    vk_shader shader;
    uint32_t constants[VK_CONSTANTS_MAX]; /* specialisation constants 0, 1, ... */
    uint32_t constant_count;
    vk_binding bindings[VK_BINDINGS_MAX];
    uint32_t binding_count;
    const void *push; /* the operation's own push constants, words */
    uint32_t push_bytes;
    uint32_t groups[3];
    double operations, bytes; /* what it computes and moves, for the profile's shares; 0 unknown */
} vk_dispatch;

/* Record one dispatch, between begin and submit. Fails the backend on any error (a shader that the
 * driver refuses, a window or group count over the limit, no memory). After a failure it does
 * nothing. Dispatches that touch the same bytes of a buffer, one of them writing, run in order;
 * others may overlap. The view of bindings[].at may be in any buffer of this backend. */
void vk_run(vk_backend *vk, const vk_dispatch *d);

/* A one-dimensional grid of n groups as x, y that respect the limits; shaders use GROUP_INDEX and
 * must check it against their own count. */
void vk_groups(const vk_backend *vk, uint64_t n, uint32_t groups[3]);

/* How many rows of row_bytes one binding may show, at most `rows`; 0 after failing the backend if
 * not even one fits ("op: a row of ... does not fit --max-buffer ..."). */
int64_t vk_window_rows(vk_backend *vk, const char *op, size_t row_bytes, int64_t rows);

/* ---- memory ---- */

/* The device memory of a weight's rows, row_bytes each (a multiple of 4), uploaded at creation. */
typedef struct vk_weight {
    buffer *buf;
    size_t row_bytes;
} vk_weight;

/* Scratch of the backend: at least `bytes` until the next call with the same slot; its contents
 * are those of nobody. NULL after failing the backend. Counted in backend_bytes. A slot that must
 * grow while commands are recorded waits for them first. */
typedef enum vk_scratch_slot {
    VK_SCRATCH_GRADIENT, /* gradients as int8 planes, and their scales */
    VK_SCRATCH_PARTIAL,  /* partial sums */
    VK_SCRATCH_HALF,     /* operands in half precision */
    VK_SCRATCH_COUNT
} vk_scratch_slot;
bool vk_scratch(vk_backend *vk, const char *op, vk_scratch_slot slot, size_t bytes, view *out);

/* What each slot comes to hold in training steps of this extent, for plans of memory: each function
 * raises the entries that its operations need. */
typedef struct vk_scratch_plan {
    size_t bytes[VK_SCRATCH_COUNT];
} vk_scratch_plan;
static inline void vk_plan_raise(vk_scratch_plan *plan, vk_scratch_slot slot, size_t size) {
    if (size > plan->bytes[slot]) plan->bytes[slot] = size;
}
void vk_plan_dense(const vk_backend *vk, const training_extent *e, vk_scratch_plan *plan);
void vk_plan_lora(const training_extent *e, vk_scratch_plan *plan);
void vk_plan_attention(const vk_backend *vk, const training_extent *e, vk_scratch_plan *plan);

/* ---- what only the data can tell ---- */

/* Shaders report bad data by atomicMin(fault[KIND], place) on this buffer, and go on with a value
 * that is in range; submit and read turn the smallest place into the error of FORMATS: "op: message
 * (place N)", WEFT_ERR_RANGE. The kinds and their messages stand in vk_record.c. */
typedef enum vk_fault {
    VK_FAULT_ID,       /* op_embed: an id outside the matrix */
    VK_FAULT_POSITION, /* op_rope: a position outside the table */
    VK_FAULT_KEYS,     /* op_attention: a key range outside the keys */
    VK_FAULT_DOCUMENT, /* op_attention_backward: first and last are not documents */
    VK_FAULT_TARGET,   /* op_head_loss: a target outside the vocabulary */
    VK_FAULT_ROW,      /* op_gather, op_scatter: a row outside the buffer */
    VK_FAULT_COUNT
} vk_fault;
vk_binding vk_fault_binding(vk_backend *vk); /* VK_FAULT_COUNT words, read-write, no ordering */

/* ---- operations, by file ---- */

/* backend_vk_rows.c, backend_vk_values.c; copy and fill in backend_vk.c */
void vk_embed(backend *be, const dense_weight *w, view ids, int64_t tokens, view out);
void vk_rmsnorm(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps, view y);
void vk_rmsnorm_backward(backend *be, view x, view gamma, view dy, int64_t tokens, int64_t n,
                         float eps, view dx, bool add);
void vk_quantise(backend *be, view x, int64_t tokens, int64_t n, view q8);
void vk_dropout(backend *be, view x, int64_t count, float p, uint64_t seed, view y, bool add);
void vk_rope(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
             int64_t head_dim, bool interleaved, bool inverse);
void vk_rope_scatter(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
                     int64_t head_dim, bool interleaved, view rows, view y, int64_t row_count);
void vk_glu_rmsnorm_quantise(backend *be, activation act, view gate, view up, view gamma,
                             int64_t tokens, int64_t n, float eps, view out, view y, view q8);
void vk_glu(backend *be, activation act, view gate, view up, int64_t count, view out);
void vk_glu_backward(backend *be, activation act, view gate, view up, view dout, int64_t count,
                     view dgate, view dup);
void vk_add(backend *be, view a, view b, int64_t count, view out);
void vk_gather(backend *be, view x, int64_t row_count, view rows, int64_t count, int64_t n, view y);
void vk_scatter(backend *be, view x, view rows, int64_t count, int64_t n, view y,
                int64_t row_count);
void vk_copy(backend *be, view from, view to, size_t bytes);
void vk_fill_zero(backend *be, view to, size_t bytes);
void vk_sum_squares(backend *be, view x, int64_t count, view out);
void vk_adamw(backend *be, const adamw_settings *settings, int64_t count, view p, view g, view m,
              view v);

/* Each row of dy (T, n) rounded to 16 bits as kernel.h's gradient_row does, the same bits, in two
 * planes of int8: q = 256 high + low. planes: high (T, ternary_padded(n)), low (the same), zeros
 * past n; then float scale (T); without gaps. A row that is not finite has zeros and a scale that
 * is NaN. `op` is the operation that it is a part of. */
size_t vk_gradient_planes_bytes(int64_t tokens, int64_t n);
void vk_gradient_planes(vk_backend *vk, const char *op, view dy, int64_t tokens, int64_t n,
                        view planes);
/* vk_rmsnorm and vk_quantise of its result in one dispatch; y may be x. */
void vk_rmsnorm_quantise(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps,
                         view y, view q8);

/* backend_vk_ternary.c */
void vk_ternary_matmul(backend *be, const ternary_weight *w, view q8, int64_t tokens, view y);
void vk_ternary_matmul_add(backend *be, const ternary_weight *w, view q8, int64_t tokens, view base,
                           view y);
void vk_ternary_matmul_lora(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                            const view *base, const lora_term *term, view y);
void vk_ternary_matmul_f32(backend *be, const ternary_weight *w, view x, int64_t tokens, view y);
void vk_ternary_matmul_t(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                         precision grade, view dx, bool add);

/* backend_vk_dense.c */
void vk_dense_matmul(backend *be, const dense_weight *w, view x, int64_t tokens, precision grade,
                     view y);
size_t vk_head_loss_scratch_bytes(const backend *be, const dense_weight *w);
void vk_head_loss(backend *be, const dense_weight *w, view x, view targets, int64_t tokens,
                  float grad_scale, precision grade, view losses, view dx, view scratch);

/* backend_vk_lora.c */
void vk_lora_down(backend *be, view x, view a, int64_t tokens, int64_t k, int64_t r, view h);
void vk_lora_up(backend *be, view h, view b, int64_t tokens, int64_t n, int64_t r, float scale,
                view y);
void vk_lora_backward(backend *be, const lora_backward_args *args);

/* backend_vk_attention.c */
void vk_attention(backend *be, const attention_args *args);
void vk_attention_backward(backend *be, const attention_args *args, view dout, view dq, view dk,
                           view dv);

#endif
