/* The forward pass in plain double precision, smooth (no rounding), for one prompt: the yardstick
 * of oracle_check where a directory has no stored answer. Slow, simple, and no code shared with the
 * engine but the unpacking of weights. */
#ifndef ORACLE_REFERENCE_H
#define ORACLE_REFERENCE_H

#include "model/adapter.h"
#include "model/model.h"

/* params: the adapter's parameters on the host, or NULL for the plain model. logits receives vocab
 * doubles for the last token. Returns false when memory is short or a weight is not readable. */
bool reference_logits(const gguf_file *file, const config *c, const adapter *a, const float *params,
                      const int32_t *ids, int64_t count, double *logits);

#endif
