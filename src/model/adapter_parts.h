/* What the files adapter*.c share: an adapter put together from the tensors of a file,
 * and taken apart into tensors for one. Private to adapter*.c. */
#ifndef WEFT_MODEL_ADAPTER_PARTS_H
#define WEFT_MODEL_ADAPTER_PARTS_H

#include "format/tensor.h"
#include "model/adapter.h"

#define ADAPTER_NAME_MAX 96 /* bytes of a tensor's name, its NUL included */

/* Where one pair comes from: tensors (r, K) and (N, r) of a file; both NULL = the pair is absent.
 */
typedef struct adapter_source {
    const tensor_view *a, *b;
    float scale;
} adapter_source;

/* How a file names the matrices of a pair, and which order the rows of B have in it. */
typedef struct adapter_form {
    void (*name)(int64_t layer, target t, bool is_b, char name[ADAPTER_NAME_MAX]);
    bool hf_rows;
} adapter_form;

/* sources[layer * TARGET_COUNT + target]. Checks shapes, ranks and values, and moves them to the
 * device. alpha and rslora of the result are the caller's to set. */
int adapter_assemble(const config *c, backend *be, const adapter_source *sources,
                     const adapter_form *form, adapter **out, weft_error *err);

/* The matrices as float32 tensors under the form's names, in the order of params. Pair i's B is
 * multiplied by fold[i] where fold is given. */
typedef struct adapter_tensors {
    tensor_view *views;
    size_t count;
    char (*names)[ADAPTER_NAME_MAX];
    float *values;
} adapter_tensors;
int adapter_tensors_make(const adapter *a, const config *c, const adapter_form *form,
                         const float *fold, adapter_tensors *out, weft_error *err);
void adapter_tensors_free(adapter_tensors *t);

/* An adapter for a model of shape c without pairs; then, their ranks given, their places (fills
 * targets and param_count); then their parameters moved to a device buffer. */
int adapter_begin(const config *c, backend *be, adapter **out, weft_error *err);
void adapter_place_pairs(adapter *a, const config *c);
int adapter_finish(adapter *a, const float *params, weft_error *err);

/* alpha / rank, or alpha / sqrt(rank). */
float adapter_scale(double alpha, int32_t rank, bool rslora);

/* Read a name made of `prefix`, a layer, '.', a projection and `suffix_a` or `suffix_b`. projection
 * is target_module or target_tensor. False if it is no such name or the layer is not one of c. */
typedef struct adapter_name {
    int64_t layer;
    target which;
    bool is_b;
} adapter_name;
bool adapter_name_parse(const char *text, const char *prefix, const char *(*projection)(target),
                        const char *suffix_a, const char *suffix_b, const config *c,
                        adapter_name *out);
/* Put t into its place in sources; a second one there is WEFT_ERR_FORMAT. */
int adapter_source_put(adapter_source *sources, const adapter_name *name, const tensor_view *t,
                       weft_error *err);

int adapter_load_peft(const char *dir, const config *c, backend *be, adapter **out,
                      weft_error *err);
int adapter_load_gguf(const char *path, const config *c, backend *be, adapter **out,
                      weft_error *err);

/* adapter_config.json, as far as it decides what the tensors mean. */
typedef struct peft_config peft_config;
int peft_config_parse(const char *text, size_t size, peft_config **out, weft_error *err);
void peft_config_free(peft_config **p);
/* Rank and scale of a module ("model.layers.0.self_attn.q_proj"), patterns included. */
int peft_config_pair(const peft_config *p, const char *module, int32_t *rank, float *scale,
                     weft_error *err);
void peft_config_base(const peft_config *p, int32_t *rank, float *alpha, bool *rslora);

#endif
