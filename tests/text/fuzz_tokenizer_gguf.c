/* GGUF metadata: any bytes. What is accepted must encode and decode. */
#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = "ab <|e|> abc\n\xff 12 \xe6\x9d\xb1";
    gguf_file *file;
    tokenizer *t;
    weft_error err;
    if (gguf_parse(data, size, &file, &err)) return 0;
    int rc = tokenizer_from_gguf(file, &t, &err);
    gguf_close(&file);
    if (rc) return 0;
    tokenizer_options options = {.add_bos = true, .parse_special = true};
    token_span *tokens;
    size_t count;
    bytes out = {0};
    if (!tokenizer_encode(t, text, sizeof text - 1, &options, &tokens, &count, &err)) {
        for (size_t i = 0; i < count; i++)
            if (tokenizer_decode(t, tokens[i].id, true, &out, &err)) abort();
        free(tokens);
    }
    bytes_free(&out);
    tokenizer_free(&t);
    return 0;
}
