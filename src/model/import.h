/* Hugging Face directories turned into one GGUF file. */
#ifndef WEFT_MODEL_IMPORT_H
#define WEFT_MODEL_IMPORT_H

#include "base/status.h"
#include "format/tensor.h"

typedef struct import_options {
    tensor_type ternary_type; /* TENSOR_I2_S, TQ1_0, TQ2_0, F16, BF16 or F32 */
    const char *name;         /* general.name; NULL = the folder's name */
    const char *license;      /* general.license; NULL = the one that README.md's header names */
} import_options;

/* Read dir (config.json, safetensors, tokenizer files, chat template) and write out_path. Packed
 * uint8 weights with weight_scale of either meaning (autobitlinear multiplies, bitlinear divides:
 * by quantization_config.linear_class, absent = bitlinear) and master weights in bf16/f16/f32
 * (quantised on import) are read. Embedding, head and norms keep their precision (norms as F32).
 * For `llama` the q and k rows are permuted as llama.cpp does. A file type that the shape does not
 * fit falls back to one that does, said in *note (256 bytes, "" without one; NULL allowed). Extra
 * and missing tensors are errors that name them. */
int import_hf(const char *dir, const char *out_path, const import_options *options, char *note,
              weft_error *err);

#endif
