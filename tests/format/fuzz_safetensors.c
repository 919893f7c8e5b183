/* Parse bytes as safetensors, then touch every tensor. */
#include "format/repack.h"
#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    safetensors_file *f;
    weft_error err;
    float values[64];
    if (safetensors_parse(data, size, &f, &err)) return 0;
    for (size_t i = 0; i < safetensors_count(f); i++) {
        const tensor_view *t = safetensors_find(f, safetensors_at(f, i)->name);
        int64_t count = tensor_count(t);
        repack_to_f32(t, 0, count < 64 ? count : 64, values, &err);
        repack_find_nonfinite(t);
        repack_is_ternary(t);
    }
    safetensors_metadata(f, "format");
    safetensors_close(&f);
    return 0;
}
