/* Any bytes as text: the first says which way of splitting and where literal text begins.
 * Byte-level tokens must give the bytes back, one after another. */
#include "text/fuzz_models.h"
#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static tokenizer *models[FUZZ_MODELS];
    if (size < 2) return 0;
    int which = data[0] % FUZZ_MODELS;
    if (!models[which]) models[which] = fuzz_model(which);
    const char *text = (const char *)data + 2;
    size -= 2;
    byte_range literal = {data[1], (size_t)data[1] + 8};
    tokenizer_options options = {
        .parse_special = true, .literal = &literal, .literal_count = data[1] & 1};
    token_span *tokens;
    size_t count;
    bytes out = {0};
    if (tokenizer_encode(models[which], text, size, &options, &tokens, &count, NULL)) abort();
    for (size_t i = 0; i < count; i++) {
        if (tokens[i].end > size || tokens[i].begin > tokens[i].end) abort();
        if (tokenizer_decode(models[which], tokens[i].id, true, &out, NULL)) abort();
    }
    if (fuzz_model_is_exact(which) && (out.size != size || (size && memcmp(out.data, text, size))))
        abort();
    bytes_free(&out);
    free(tokens);
    return 0;
}
