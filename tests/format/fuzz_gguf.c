/* Parse bytes as GGUF, then touch every key, element and tensor. */
#include "base/bytes.h"
#include "format/gguf.h"
#include "format/repack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch_key(const gguf_file *f, size_t index) {
    bytes text = {0};
    gguf_cursor cursor;
    gguf_text element;
    int64_t whole;
    double real;
    const char *key = gguf_key_at(f, index, NULL);
    gguf_describe(f, index, &text, NULL);
    if (gguf_array_begin(f, key, &cursor))
        while (gguf_next_text(&cursor, &element) || gguf_next_i64(&cursor, &whole) ||
               gguf_next_f64(&cursor, &real)) {
        }
    bytes_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf_file *f;
    weft_error err;
    float values[64];
    if (gguf_parse(data, size, &f, &err)) return 0;
    for (size_t i = 0; i < gguf_key_count(f); i++) touch_key(f, i);
    for (size_t i = 0; i < gguf_tensor_count(f); i++) {
        const tensor_view *t = gguf_tensor(f, gguf_tensor_at(f, i)->name);
        int64_t count = tensor_count(t);
        repack_to_f32(t, 0, count < 64 ? count : 64, values, &err);
        if (count < 1 << 20) repack_find_nonfinite(t);
    }
    gguf_close(&f);
    return 0;
}
