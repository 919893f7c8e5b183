/* A template of any bytes with a fixed conversation. */
#include "text/chat.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const chat_message chat[] = {{"system", "Be <b>brief</b>."},
                                        {"user", " W\xc3\xa4r's? \xff\n"},
                                        {"assistant", "<think>\nhm</think> a, b <|eot_id|>"}};
    chat_options options = {.bos_text = "<s>", .eos_text = "</s>", .now = 1};
    chat_template *t = NULL;
    chat_text text;
    weft_error err;
    if (chat_template_compile((const char *)data, size, &t, &err)) return 0;
    for (size_t count = 0; count <= 3; count += 3) {
        options.add_generation_prompt = count == 0;
        if (chat_render(t, chat, count, &options, &text, &err)) continue;
        for (size_t i = 0; i < text.content_count; i++)
            if (text.content[i].begin >= text.content[i].end ||
                text.content[i].end > text.text.size)
                abort();
        chat_text_free(&text);
    }
    chat_template_free(&t);
    return 0;
}
