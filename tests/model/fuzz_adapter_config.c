/* adapter_config.json from anyone: parsed, then asked about modules. */
#include "model/adapter_parts.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const modules[] = {"model.layers.0.self_attn.q_proj",
                                          "model.layers.31.mlp.down_proj", "q_proj", ""};
    peft_config *p;
    if (peft_config_parse((const char *)data, size, &p, NULL)) return 0;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        int32_t rank = 0;
        float scale = 0;
        if (!peft_config_pair(p, modules[i], &rank, &scale, NULL) &&
            (rank < 1 || rank > ADAPTER_RANK_MAX || !(scale > 0)))
            __builtin_trap();
    }
    peft_config_free(&p);
    return 0;
}
