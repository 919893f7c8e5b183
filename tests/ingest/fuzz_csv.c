/* Tables from arbitrary bytes. Where there is a NUL, what stands before it is the template. */
#include "fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *end = size ? memchr(data, 0, size) : NULL;
    if (!end) {
        fuzz_source(&source_csv, data, size, NULL);
        return 0;
    }
    size_t length = (size_t)(end - (const char *)data) + 1;
    bytes template = {0};
    if (text_clean(&template, (const char *)data, length - 1))
        fuzz_source(&source_csv, data + length, size - length, template.data);
    bytes_free(&template);
    return 0;
}
