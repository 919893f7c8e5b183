/* Asks a model one question and prints the answer as it appears: hello [MODEL.gguf [QUESTION]]. */
#include <stdio.h>
#include <weft.h>

static int print_piece(void *context, const char *text, size_t size) {
    (void)context;
    return fwrite(text, 1, size, stdout) != size; /* non-zero stops the reply */
}

int main(int argc, char **argv) {
    weft_error err;
    weft_model *model = NULL;
    weft_session *session = NULL;
    weft_message question = {"user", argc > 2 ? argv[2] : "What colour is the sky?"};
    weft_generate_options options = WEFT_GENERATE_OPTIONS_DEFAULT;
    options.max_tokens = 60;

    int status = weft_model_load(argc > 1 ? argv[1] : "models/weft-42m.gguf", NULL, &model, &err);
    if (!status) status = weft_session_create(model, NULL, &session, &err);
    if (!status) status = weft_chat(session, &question, 1, &options, print_piece, NULL, NULL, &err);
    puts("");
    if (status) fprintf(stderr, "hello: %s\n", err.message);
    weft_session_free(&session);
    weft_model_free(&model);
    return status != WEFT_OK;
}
