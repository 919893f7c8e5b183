/* One import under way. Private to import*.c. */
#ifndef WEFT_MODEL_IMPORT_PARTS_H
#define WEFT_MODEL_IMPORT_PARTS_H

#include "format/hf.h"
#include "model/config.h"
#include "model/import.h"

typedef struct importer {
    hf_dir *hf;
    config cfg;
    gguf_writer *w;
    tensor_type ternary_type; /* wanted; single tensors may fall back */
    bool scale_multiplies;    /* weight_scale: autobitlinear multiplies by it, bitlinear divides */
    const tensor_view **used; /* tensors of the folder that have been read */
    size_t used_count;
    void **owned; /* encoded tensors, which the writer borrows */
    size_t owned_count;
    size_t fallbacks;        /* tensors that are not of ternary_type */
    char fallback_text[160]; /* the first of them */
} importer;

/* Hand every tensor of the folder to the writer, under GGUF's names; refuses missing and extra
 * ones. */
int import_tensors(importer *im, weft_error *err);
/* The lists that import_tensors fills; freed with free after the writer has saved. */
int import_lists_create(importer *im, weft_error *err);
void import_lists_free(importer *im);

#endif
