/* What several commands share: finding and loading the model and adapters, stopping on request. */
#ifndef WEFT_CLI_COMMON_H
#define WEFT_CLI_COMMON_H

#include "options.h"

#include "base/status.h"

#define PATH_BYTES 4096

typedef struct model_settings {
    const char *path; /* NULL = the default model */
    const char *device;
    uint64_t max_buffer; /* bytes */
    int gpu_tier;        /* as in weft_gpu_options */
    bool vulkan_validation, gpu_profile;
    int64_t threads, cpu_mask;
    int activations; /* 0 int8, 1 f32 */
    int packing;     /* a weft_packing */
} model_settings;

#define MODEL_SETTINGS_DEFAULT                                                                     \
    { .device = "auto", .cpu_mask = UINT32_MAX, .packing = WEFT_PACKING_AUTO }

/* Rows of an option table for a `model_settings` member. */
#define MODEL_OPTIONS(type, member)                                                                \
    {.kind = OPTION_HEADING, .help = "Model and machine"},                                         \
        {"model",     'm',                                                                         \
         OPTION_TEXT, offsetof(type, member.path),                                                 \
         "FILE",      0,                                                                           \
         0,           "model to use; without it $WEFT_MODEL or the model that comes with weft",    \
         false},                                                                                   \
        {"device", 0, OPTION_TEXT, offsetof(type, member.device),                                  \
         "NAME",   0, 0,           "where to compute: cpu, gpu, gpu:N (weft devices) or auto",     \
         true},                                                                                    \
        {"max-buffer",                                                                             \
         0,                                                                                        \
         OPTION_SIZE,                                                                              \
         offsetof(type, member.max_buffer),                                                        \
         "SIZE",                                                                                   \
         0,                                                                                        \
         0,                                                                                        \
         "GPU: largest storage buffer binding; 0 = the device's limit",                            \
         true},                                                                                    \
        {"gpu-tier",                                                                               \
         0,                                                                                        \
         OPTION_CHOICE,                                                                            \
         offsetof(type, member.gpu_tier),                                                          \
         "best|plain|dot|matrix",                                                                  \
         0,                                                                                        \
         0,                                                                                        \
         "GPU: what may multiply (to compare, not for use)",                                       \
         true},                                                                                    \
        {"vulkan-validation",                                                                      \
         0,                                                                                        \
         OPTION_FLAG,                                                                              \
         offsetof(type, member.vulkan_validation),                                                 \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         "GPU: what the Vulkan validation layer says is an error (for tests)",                     \
         true},                                                                                    \
        {"threads", 't', OPTION_WHOLE, offsetof(type, member.threads),                             \
         "N",       0,   1024,         "threads; 0 = one a core",                                  \
         true},                                                                                    \
        {"cpu-mask",   0,                                                                          \
         OPTION_WHOLE, offsetof(type, member.cpu_mask),                                            \
         "MASK",       0,                                                                          \
         UINT32_MAX,   "CPU levels that may be used; 0 = plain C (to compare, not for use)",       \
         false},                                                                                   \
        {"packing",                                                                                \
         0,                                                                                        \
         OPTION_CHOICE,                                                                            \
         offsetof(type, member.packing),                                                           \
         "auto|fast|tight",                                                                        \
         0,                                                                                        \
         0,                                                                                        \
         "weights in memory: 2 bits each, or 1.6 and slower; the same results",                    \
         true},                                                                                    \
    {                                                                                              \
        "activations", 0, OPTION_CHOICE, offsetof(type, member.activations), "int8|f32", 0, 0,     \
            "f32 leaves activations unrounded (to compare, not for use)", false                    \
    }

/* What several commands ask of data: what is taken from a path, and what is learnt of it. */
typedef struct reading_settings {
    const char *as, *owner, *sentence;
    int learn; /* a weft_learn */
    bool redact, keep_duplicates;
} reading_settings;

/* Rows of an option table for a `reading_settings` member. */
/* clang-format off */
#define READING_OPTIONS(type, member)                                                             \
    {"as", 0, OPTION_TEXT, offsetof(type, member.as), "KIND", 0, 0,                               \
     "read PATH as this kind (mbox, csv, pdf, ...); otherwise it is recognised", false},          \
    {"owner", 0, OPTION_TEXT, offsetof(type, member.owner), "NAME", 0, 0,                         \
     "mail and chats: whose messages are learnt; otherwise it is found out and said", false},     \
    {"template", 0, OPTION_TEXT, offsetof(type, member.sentence), "TEXT", 0, 0,                   \
     "tables: the sentence that a row becomes, such as \"On {date} I slept {hours} hours.\"",     \
     false},                                                                                      \
    {"redact", 0, OPTION_FLAG, offsetof(type, member.redact), NULL, 0, 0,                         \
     "replace keys, passwords, card numbers, IBANs, telephone numbers and mail addresses", false},\
    {"keep-duplicates", 0, OPTION_FLAG, offsetof(type, member.keep_duplicates), NULL, 0, 0,       \
     "take a document again that was there before", false},                                       \
    {"learn", 0, OPTION_CHOICE, offsetof(type, member.learn), "assistant|completion|all", 0, 0,   \
     "of conversations: the assistant's turns, its last turn, or every turn", false}
/* clang-format on */

/* As the library takes them; context, shares and seed stay at their defaults. */
weft_dataset_options reading_options(const reading_settings *settings);

/* Path of the model to use: the one given, $WEFT_MODEL, or the default one. */
int model_find(const char *given, char path[PATH_BYTES], weft_error *err);

/* cache_dir is put where the options point to. */
weft_model_options model_options(const model_settings *settings, char cache_dir[PATH_BYTES]);

/* Find and load; path receives where it was found. */
int model_open(const model_settings *settings, weft_model **model, char path[PATH_BYTES],
               weft_error *err);

typedef struct adapter_set {
    weft_adapter *items[OPTION_LIST_MAX];
    char names[OPTION_LIST_MAX][256];
    float scales[OPTION_LIST_MAX];
    size_t count;
} adapter_set;

/* Load NAME|PATH[:SCALE]. Fails with a message that names it. */
int adapters_add(adapter_set *set, const weft_model *model, const char *text, weft_error *err);
int adapters_open(adapter_set *set, const weft_model *model, const option_list *list,
                  weft_error *err);
void adapters_close(adapter_set *set);

/* Cut ":SCALE" off a name, if what follows the last colon is a number; 1 if there is none. */
float adapter_split_scale(char *text);

/* Path of a stored adapter's GGUF (or PEFT folder), or of a file of that name. */
int adapter_find(const char *text, char path[PATH_BYTES], weft_error *err);

/* The first SIGINT or SIGTERM after stop_arm only sets a flag; the second ends the process. */
void stop_arm(void);
int stop_requested(void); /* the signal's number, or 0 */

/* Report a failure and return the exit code for it. */
int fail(const char *command, int status, const weft_error *err);

#endif
