/* Exports of Apple Health from arbitrary bytes. */
#include "fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_source(&source_health, data, size, NULL);
    return 0;
}
