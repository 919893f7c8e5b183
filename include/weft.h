/* weft: run BitNet (ternary) language models and teach them a person's own writing with LoRA, on
 * the device at hand. A program that answers one question:
 *
 *     weft_error err;
 *     weft_model *model;
 *     weft_session *session;
 *     if (weft_model_load("weft-42m.gguf", NULL, &model, &err) ||
 *         weft_session_create(model, NULL, &session, &err)) { puts(err.message); return 1; }
 *     weft_message question = {"user", "What colour is the sky?"};
 *     weft_chat(session, &question, 1, NULL, print_piece, NULL, NULL, &err);
 *     weft_session_free(&session);
 *     weft_model_free(&model);
 *
 * Rules that hold for every function. A result of 0 (WEFT_OK) is success; otherwise it is a
 * weft_status and *err, where given (it may always be NULL), says what, where and what to do.
 * Out-parameters are set to NULL on failure. Functions named free take the address of a handle,
 * accept NULL in it, and clear it. The library never prints, exits or aborts. A model and
 * everything made from it may be used by one thread at a time; different models are independent.
 * Strings are UTF-8 and NUL-terminated, and are copied unless said otherwise. */
#ifndef WEFT_H
#define WEFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#else
#define WEFT_API
#endif

/* ---- Errors -------------------------------------------------------------------------------- */

typedef enum weft_status {
    WEFT_OK = 0,
    WEFT_ERR_ARGUMENT,    /* the caller's argument is wrong */
    WEFT_ERR_IO,          /* a file could not be read or written */
    WEFT_ERR_FORMAT,      /* a file's content is damaged or not what it claims */
    WEFT_ERR_UNSUPPORTED, /* well-formed, but not something weft does */
    WEFT_ERR_MEMORY,      /* out of memory */
    WEFT_ERR_RANGE,       /* a count or size over a limit */
    WEFT_ERR_DEVICE,      /* the compute device failed */
    WEFT_ERR_NUMERIC,     /* NaN or infinity where a number must be */
    WEFT_ERR_STATE,       /* not possible now (wrong order, mismatched checkpoint) */
    WEFT_ERR_INTERRUPTED  /* stopped on request; what was done is saved */
} weft_status;

typedef struct weft_error {
    weft_status code;
    uint64_t offset; /* byte offset or line at fault, where there is one; else 0 */
    char message[512];
} weft_error;

/** Version of the library, "0.1.0". Thread-safe; static memory. */
WEFT_API const char *weft_version(void);

/** Free memory that the library handed out as "the caller's" (texts, token arrays). NULL is
 * allowed. */
WEFT_API void weft_free(void *memory);

/* ---- Devices ------------------------------------------------------------------------------- */

#define WEFT_DEVICES_MAX 17

typedef struct weft_device {
    char id[16]; /* for weft_model_options.device: "cpu", "gpu:0" ... */
    char name[256];
    char type[16];    /* "cpu"; "discrete", "integrated", "virtual", "software", "other" */
    char driver[256]; /* and its version; "" for the CPU */
    char tier[32];    /* what multiplies: "avx2"; "plain", "dot products", "cooperative matrices" */
    char unusable[160];                /* why weft cannot use it; "" = it can */
    bool best;                         /* the one that "gpu" means */
    uint64_t memory_bytes, free_bytes; /* its own memory, and what is free of it; 0 = unknown */
    /* GPU: largest storage buffer binding and buffer, shared memory and invocations of a work
     * group, invocations of a subgroup. */
    uint64_t max_buffer_bytes, max_allocation_bytes;
    uint32_t shared_bytes, invocations, subgroup_size;
} weft_device;

/**
 * List what this machine can compute with: the CPU first, then each GPU with a Vulkan driver.
 *
 * @param list   Receives at most WEFT_DEVICES_MAX devices.
 * @param count  Receives how many.
 * @return WEFT_OK (no driver is no error); WEFT_ERR_DEVICE, _MEMORY.
 */
WEFT_API int weft_devices(weft_device list[WEFT_DEVICES_MAX], int *count, weft_error *err);

/* How a GPU is used. All zero is the default. */
typedef struct weft_gpu_options {
    uint64_t
        max_buffer_bytes;  /* largest storage buffer binding, from 1 MiB; 0 = the device's limit */
    int tier_max;          /* 0 = the best; 1 plain, 2 with dot products, 3 with matrices */
    bool validate;         /* errors for what the Vulkan validation layer says: for tests */
    bool profile;          /* time every dispatch (weft_profile): a little slower */
    const char *cache_dir; /* where compiled shaders are kept between runs; NULL = nowhere */
} weft_gpu_options;

/* ---- Models -------------------------------------------------------------------------------- */

typedef struct weft_model weft_model; /* what was loaded; never changes */

/* How ternary weights lie in memory. The results are the same bits. */
typedef enum weft_packing {
    WEFT_PACKING_AUTO, /* fast, or tight if fast would fill more than half of the memory */
    WEFT_PACKING_FAST, /* 2 bits a weight; I2_S files are used where they are mapped */
    WEFT_PACKING_TIGHT /* 1.625 bits a weight, slower */
} weft_packing;

typedef struct weft_model_options {
    int thread_count;  /* 0 = one a core */
    uint32_t cpu_mask; /* CPU levels that may be used: bit 0 AVX2; UINT32_MAX = all, 0 = scalar C */
    bool smooth;       /* activations are not rounded to int8: for comparisons, not for use */
    weft_packing packing;
    /* "cpu"; "gpu", the best one, or "gpu:N" (weft_devices); "auto": whichever is faster in a trial
     * product, and the CPU if the model does not fit the GPU. NULL = "cpu". */
    const char *device;
    weft_gpu_options gpu;
} weft_model_options;

#define WEFT_MODEL_OPTIONS_DEFAULT                                                                 \
    {                                                                                              \
        0, UINT32_MAX, false, WEFT_PACKING_AUTO, NULL, {                                           \
            0, 0, false, false, NULL                                                               \
        }                                                                                          \
    }

/**
 * Load a GGUF model (BitNet or ternary Llama). Weights are mapped from the file where its layout
 * allows.
 *
 * @param path     The file.
 * @param options  NULL = WEFT_MODEL_OPTIONS_DEFAULT.
 * @param model    Receives the model; the caller frees it after all sessions, adapters, data sets
 * and trainers made from it.
 * @return WEFT_OK; WEFT_ERR_IO, _FORMAT (damaged, a tensor missing or misshapen), _UNSUPPORTED
 * (another architecture; no Vulkan), _NUMERIC (NaN in weights), _ARGUMENT (no such device),
 * _DEVICE, _MEMORY. The message names the file and the tensor.
 */
WEFT_API int weft_model_load(const char *path, const weft_model_options *options,
                             weft_model **model, weft_error *err);
WEFT_API void weft_model_free(weft_model **model);

typedef struct weft_model_info {
    char name[128], architecture[32], activation[16];
    char device[320];      /* "cpu (avx2, 2 threads)", "gpu (NVIDIA H200, cooperative matrices)" */
    char device_note[320]; /* why "auto" took it, or "" */
    char note[256];        /* a guess that was made while loading, or "" */
    int64_t layer_count, hidden, ffn, heads, kv_heads, head_dim, vocab, context;
    int64_t ternary_count;   /* weights in ternary matrices */
    int64_t dense_count;     /* embedding, and head if it is not the same */
    uint64_t mapped_bytes;   /* used from the mapped file */
    uint64_t resident_bytes; /* allocated for repacked weights and norms */
    uint64_t ternary_bytes;  /* of the ternary matrices, mapped or allocated */
    weft_packing packing;    /* in use: FAST or TIGHT */
    bool tied_head, has_tokenizer, has_chat_template;
} weft_model_info;

/** Fill *info; texts are copied, nothing can fail. */
WEFT_API void weft_model_get_info(const weft_model *model, weft_model_info *info);

/* Time that a GPU spent on one kind of dispatch, summed. */
typedef struct weft_profile_entry {
    char op[48], shader[48];
    uint64_t calls;
    double seconds;
    double operations, bytes; /* done and moved at the least; 0 = not counted */
} weft_profile_entry;

#define WEFT_PROFILE_MAX 128

/** What the GPU did since the model was loaded or the last call: by operation and shader, the
 * longest first. Returns the number of entries, at most WEFT_PROFILE_MAX; 0 without
 * weft_gpu_options.profile. */
WEFT_API int weft_model_profile(const weft_model *model, weft_profile_entry list[WEFT_PROFILE_MAX]);

/** A number that tells models apart: made of the shape and both ends of every tensor. */
WEFT_API uint64_t weft_model_fingerprint(const weft_model *model);

/**
 * Describe any GGUF or safetensors file (model or adapter) without loading it.
 *
 * @param path  The file.
 * @param json  Receives one JSON object, the caller's (weft_free): {"kind": "gguf" | "safetensors",
 *              "version", "size_bytes", "keys": [{"name", "type", "value"}], "tensors": [{"name",
 * "type", "shape" (slowest first), "size_bytes"}]}.
 * @return WEFT_OK; WEFT_ERR_IO, _FORMAT, _RANGE, _MEMORY.
 */
WEFT_API int weft_file_describe(const char *path, char **json, weft_error *err);

/**
 * Turn a Hugging Face directory of a BitNet model into one GGUF file.
 *
 * @param dir   Folder with config.json, safetensors and the tokenizer's files.
 * @param out   The file to write; whole or not at all.
 * @param type  Encoding of the ternary matrices: "i2_s" (NULL means it), "tq1_0", "tq2_0", "f16",
 * "bf16", "f32".
 * @param name  general.name of the model; NULL = the folder's name.
 * @param note  Receives up to 255 characters about a choice that was made, or ""; may be NULL.
 * @return WEFT_OK; WEFT_ERR_IO, _FORMAT, _UNSUPPORTED, _NUMERIC, _ARGUMENT (unknown type), _MEMORY.
 */
WEFT_API int weft_import(const char *dir, const char *out, const char *type, const char *name,
                         char note[256], weft_error *err);

/* ---- Text ---------------------------------------------------------------------------------- */

typedef struct weft_message {
    const char *role, *content; /* "system", "user", "assistant"; borrowed for the call */
} weft_message;

/**
 * Text to token ids.
 *
 * @param add_bos        Begin with the model's begin token, if it has one.
 * @param parse_special  Special tokens written out in the text become their ids.
 * @param tokens         Receives count ids, the caller's (weft_free).
 * @return WEFT_OK; WEFT_ERR_STATE (the model has no tokenizer), _RANGE, _MEMORY.
 */
WEFT_API int weft_tokenize(const weft_model *model, const char *text, size_t size, bool add_bos,
                           bool parse_special, int32_t **tokens, size_t *count, weft_error *err);

/** Token ids to text (the caller's, weft_free). Special tokens are left out unless show_special. */
WEFT_API int weft_detokenize(const weft_model *model, const int32_t *tokens, size_t count,
                             bool show_special, char **text, weft_error *err);

/**
 * A conversation through the model's chat template.
 *
 * @param text    Receives the rendered text (weft_free), if not NULL.
 * @param tokens  Receives its token ids (weft_free), if not NULL.
 * @return WEFT_OK; WEFT_ERR_STATE (no template), _ARGUMENT (the template refuses the messages),
 * _MEMORY.
 */
WEFT_API int weft_chat_render(const weft_model *model, const weft_message *messages, size_t count,
                              bool add_generation_prompt, char **text, int32_t **tokens,
                              size_t *token_count, weft_error *err);

/* ---- Adapters ------------------------------------------------------------------------------ */

typedef struct weft_adapter weft_adapter;

typedef enum weft_adapter_format { WEFT_ADAPTER_PEFT, WEFT_ADAPTER_GGUF } weft_adapter_format;

/** Load a LoRA adapter for a model: a PEFT folder or a GGUF file. A mismatch names the tensor. */
WEFT_API int weft_adapter_load(const weft_model *model, const char *path, weft_adapter **adapter,
                               weft_error *err);

/** Save as a PEFT folder or a GGUF file; base_name is recorded as the model it belongs to. */
WEFT_API int weft_adapter_save(const weft_adapter *adapter, const weft_model *model,
                               weft_adapter_format format, const char *path, const char *base_name,
                               weft_error *err);
WEFT_API void weft_adapter_free(weft_adapter **adapter);

/**
 * Several adapters as one, whose effect is the weighted sum of theirs.
 *
 * @param adapters  1 to 8, loaded for this model; projections that one lacks are absent in it.
 * @param weights   One each; 1 = as trained.
 * @param rank      0: exact, the ranks add up. Otherwise the nearest adapter of at most that rank
 *                  (singular value decomposition).
 * @param error     Receives what is lost of the sum's Frobenius norm, 0 to 1; may be NULL.
 * @return WEFT_OK; WEFT_ERR_ARGUMENT (a weight that is no number, another model's adapter), _RANGE
 * (the ranks add up to over 1024), _MEMORY.
 */
WEFT_API int weft_adapter_blend(const weft_model *model, const weft_adapter *const *adapters,
                                const float *weights, size_t count, int32_t rank,
                                weft_adapter **blended, double *error, weft_error *err);

typedef struct weft_adapter_info {
    int32_t rank;
    float alpha;
    bool rslora;
    char targets[160]; /* "q_proj, k_proj, ..." */
    uint64_t param_count;
} weft_adapter_info;

/** Fill *info; rank and alpha are those given at its making. Nothing can fail. */
WEFT_API void weft_adapter_get_info(const weft_adapter *adapter, weft_adapter_info *info);

/* ---- Sessions ------------------------------------------------------------------------------ */

typedef struct weft_session weft_session; /* one mutable timeline of tokens */

typedef struct weft_session_options {
    int64_t context; /* tokens it can hold; 0 = the model's, at most 4096 */
    int64_t batch;   /* tokens evaluated at once; 0 = 256 */
} weft_session_options;

/**
 * A session for a model; all its memory is taken here.
 *
 * @param options  NULL = the defaults.
 * @return WEFT_OK; WEFT_ERR_ARGUMENT (negative sizes), _RANGE (a context over the model's),
 * _MEMORY.
 */
WEFT_API int weft_session_create(const weft_model *model, const weft_session_options *options,
                                 weft_session **session, weft_error *err);
WEFT_API void weft_session_free(weft_session **session);

/**
 * Use these adapters, each with a scale (1 = as trained), from the next token on; count 0 = none.
 * They must outlive the session or be replaced. Clears the session: what was cached was computed
 * with other weights.
 */
WEFT_API int weft_session_set_adapters(weft_session *session, const weft_adapter *const *adapters,
                                       const float *scales, size_t count, weft_error *err);

/** Forget everything from position on (0 = all). */
WEFT_API void weft_session_truncate(weft_session *session, int64_t position);
WEFT_API int64_t weft_session_position(const weft_session *session);
WEFT_API int64_t weft_session_context(const weft_session *session);

/**
 * Evaluate tokens and advance the session.
 *
 * @param tokens  Ids below the vocabulary; read only, not kept.
 * @param count   1 .. what is left of the context.
 * @param logits  Receives vocab floats for the last token; may be NULL.
 * @return WEFT_OK; WEFT_ERR_ARGUMENT (a bad id), _RANGE (no room): the session is unchanged;
 *         WEFT_ERR_NUMERIC, _DEVICE, _MEMORY.
 */
WEFT_API int weft_session_eval(weft_session *session, const int32_t *tokens, size_t count,
                               float *logits, weft_error *err);

typedef struct weft_generate_options {
    int64_t max_tokens;       /* 0 = until the model ends or the context is full */
    float temperature;        /* 0 = always the likeliest */
    int32_t top_k;            /* 0 = off */
    float top_p;              /* 1 = off */
    float min_p;              /* 0 = off */
    float repetition_penalty; /* 1 = off */
    uint64_t seed;
} weft_generate_options;

#define WEFT_GENERATE_OPTIONS_DEFAULT                                                              \
    { 0, 0.7f, 40, 0.95f, 0.05f, 1.1f, 0 }

/** Receives text as it appears, always whole UTF-8 characters; non-zero stops the generation. */
typedef int (*weft_text_callback)(void *context, const char *text, size_t size);

typedef struct weft_generate_stats {
    int64_t prompt_tokens, cached_tokens,
        generated_tokens; /* cached: of the prompt, kept from before */
    double prefill_seconds, decode_seconds;
    bool ended; /* the model ended by itself */
    bool full;  /* the context was full */
} weft_generate_stats;

/**
 * Continue a prompt. The session keeps what its cache shares with tokens and evaluates the rest.
 *
 * @param options  NULL = WEFT_GENERATE_OPTIONS_DEFAULT.
 * @param on_text  May be NULL.
 * @param stats    May be NULL.
 * @return WEFT_OK; WEFT_ERR_INTERRUPTED when on_text stopped it; WEFT_ERR_RANGE when the prompt
 * does not fit the context; WEFT_ERR_ARGUMENT, _NUMERIC, _DEVICE, _MEMORY.
 */
WEFT_API int weft_generate(weft_session *session, const int32_t *tokens, size_t count,
                           const weft_generate_options *options, weft_text_callback on_text,
                           void *context, weft_generate_stats *stats, weft_error *err);

/** The next reply of a conversation: weft_chat_render and weft_generate. */
WEFT_API int weft_chat(weft_session *session, const weft_message *messages, size_t count,
                       const weft_generate_options *options, weft_text_callback on_text,
                       void *context, weft_generate_stats *stats, weft_error *err);

/* ---- Data ---------------------------------------------------------------------------------- */

typedef struct weft_dataset weft_dataset;

/* What is learnt of a conversation; plain text is always learnt whole. */
typedef enum weft_learn {
    WEFT_LEARN_ASSISTANT,  /* the assistant's turns */
    WEFT_LEARN_COMPLETION, /* the assistant's last turn */
    WEFT_LEARN_ALL         /* every turn, and what the chat template puts between them */
} weft_learn;

typedef struct weft_dataset_options {
    int64_t
        context; /* longest example in tokens; 0 = 512 or the model's context, whichever is less */
    bool all_turns;       /* the same as learn = WEFT_LEARN_ALL */
    double eval_share;    /* of the documents held out, 0 .. 0.5 */
    uint64_t seed;        /* chooses them */
    const char *as;       /* source by name (see weft_source_names); NULL = detect */
    const char *owner;    /* mail, chats: address or name of whose messages are learnt; NULL = found
                           * out, see weft_kind_report.owner */
    const char *sentence; /* tables: what each row becomes, as "On {date} I slept {hours} hours.";
                           * NULL = by the columns */
    weft_learn learn;
    bool redact; /* replace keys, passwords, card numbers, IBANs, telephone numbers and mail
                  * addresses by "[key]", "[card]" ... */
    bool keep_duplicates; /* otherwise a document that was there before is left out */
    int64_t canaries;     /* made-up sentences to learn too, for weft_audit_run; of the same seed */
} weft_dataset_options;

#define WEFT_DATASET_OPTIONS_DEFAULT                                                               \
    { 0, false, 0.1, 0, NULL, NULL, NULL, WEFT_LEARN_ASSISTANT, false, false, 0 }

#define WEFT_SKIPS_MAX      32
#define WEFT_KINDS_MAX      32
#define WEFT_REDACTIONS_MAX 6

/* What came of the files of one kind. */
typedef struct weft_kind_report {
    char kind[32], title[48]; /* "mbox", "mailbox" */
    char owner[256];          /* whose messages were taken; "" where that is no question */
    uint64_t file_count, document_count, text_bytes, skipped_count;
} weft_kind_report;

typedef struct weft_dataset_report {
    char kind[32]; /* what was found: "mbox", "jsonl (messages)", "folder" ... */
    uint64_t file_count, document_count, text_bytes;
    struct {
        char reason[96], first[160]; /* why, and where the first one was */
        uint64_t count;
    } skips[WEFT_SKIPS_MAX]; /* what was left out: nothing is dropped silently */
    size_t skip_count;
    char owner[256]; /* of the first kind that has one */
    weft_kind_report kinds[WEFT_KINDS_MAX];
    size_t kind_count;
    uint64_t redactions[WEFT_REDACTIONS_MAX];             /* see weft_redaction_name */
    int64_t context;                                      /* longest window in tokens */
    int64_t train_documents, train_tokens, train_targets; /* targets: tokens that are learnt */
    int64_t eval_documents, eval_tokens, eval_targets;
    int64_t empty_documents, cut_documents; /* nothing to learn in it; longer than the context */
    int64_t dropped_windows;                /* pieces of cut documents that hold nothing to learn */
    int64_t longest_tokens;
} weft_dataset_report;

/**
 * Read a person's files for a model: a file, or a folder or archive of such files.
 *
 * @param options  NULL = WEFT_DATASET_OPTIONS_DEFAULT.
 * @param report   Receives what was found; may be NULL; filled on failure too, as far as it went.
 * @return WEFT_OK; WEFT_ERR_IO, _FORMAT (no known form), _ARGUMENT (nothing to learn), _STATE (the
 * model has no tokenizer, or no chat template for conversations), _MEMORY.
 */
WEFT_API int weft_dataset_read(const weft_model *model, const char *path,
                               const weft_dataset_options *options, weft_dataset **dataset,
                               weft_dataset_report *report, weft_error *err);
WEFT_API void weft_dataset_free(weft_dataset **dataset);
WEFT_API const char *weft_source_names(void); /* "mbox, text, jsonl"; static */

/** What is replaced on request: "key", "password", "card", "iban", "phone", "email"; "" from
 * WEFT_REDACTIONS_MAX on. Static. */
WEFT_API const char *weft_redaction_name(size_t kind);

/* A document as the model sees it in training: pieces, each learnt or only read. */
typedef struct weft_document {
    struct weft_document_piece {
        char *text; /* special tokens are written out */
        bool learnt;
    } * pieces;
    size_t piece_count;
    int64_t token_count, target_count; /* target: a token that is learnt */
    bool conversation, held_out;
} weft_document;

/** How many documents with something to learn a data set has. */
WEFT_API int64_t weft_dataset_document_count(const weft_dataset *dataset);

/** Tokens of document number index; 0 if there is none. */
WEFT_API int64_t weft_dataset_document_tokens(const weft_dataset *dataset, int64_t index);

/**
 * Document number index (from 0), in the order of the files.
 *
 * @param out  Receives it; the caller frees it with weft_document_free.
 * @return WEFT_OK; WEFT_ERR_RANGE (no such document), _MEMORY.
 */
WEFT_API int weft_dataset_document(const weft_dataset *dataset, int64_t index, weft_document *out,
                                   weft_error *err);
WEFT_API void weft_document_free(weft_document *document); /* a cleared one is allowed */

/* ---- Training ------------------------------------------------------------------------------ */

typedef struct weft_trainer weft_trainer;

typedef enum weft_schedule { WEFT_COSINE, WEFT_LINEAR, WEFT_CONSTANT } weft_schedule;
typedef enum weft_recompute {
    WEFT_RECOMPUTE_AUTO,
    WEFT_RECOMPUTE_ON,
    WEFT_RECOMPUTE_OFF
} weft_recompute;

typedef struct weft_train_options {
    int64_t steps; /* optimiser updates; 0 = from epochs */
    double epochs;
    int64_t micro_tokens; /* tokens evaluated at once */
    int64_t accumulate;   /* micro-batches a step */
    double rate;          /* peak learning rate */
    double beta1, beta2, epsilon, weight_decay, clip;
    weft_schedule schedule;
    int64_t warmup_steps;
    double final_rate_share; /* of rate, at the end */
    int32_t rank;
    double alpha;
    double dropout;
    bool rslora;
    const char *targets; /* "all", "attn", "mlp" or a list of names */
    uint64_t seed;
    int64_t eval_every, patience, checkpoint_every; /* steps; evaluations; steps. 0 = off */
    weft_recompute
        recompute; /* keep layer inputs only and compute the rest again; auto: if memory asks */
    const struct weft_adapter *from;   /* begin with these parameters and this shape, instead of a
                                        * fresh adapter of rank, alpha, rslora and targets; NULL =
                                        * do not; borrowed for the call */
    const struct weft_dataset *replay; /* general text mixed in against forgetting, or NULL;
                                        * outlives the trainer */
    double replay_share;               /* of the micro-batches, above 0 to 0.9 */
    uint64_t memory_bytes;             /* that the run may take in all, the weights included, on a
                                        * GPU of its memory; 0 = nine tenths of what is free */
} weft_train_options;

/** What `weft learn` does without options. Thread-safe. */
WEFT_API weft_train_options weft_train_options_default(void);

/* What a run will take, before anything of it is allocated. */
typedef struct weft_plan {
    int64_t step_count, steps_per_epoch, trainable_count;
    double trainable_share; /* of all weights */
    uint64_t weight_bytes, adapter_bytes, optimiser_bytes, activation_bytes;
    uint64_t scratch_bytes; /* of single operations */
    uint64_t host_bytes;    /* best parameters so far, the writing of checkpoints, batches */
    uint64_t data_bytes;    /* the tokens of the data set */
    uint64_t base_bytes;    /* what the process held already: program, tokenizer, stacks */
    uint64_t total_bytes;   /* all of them, or the peak so far if that was more */
    uint64_t limit_bytes;   /* what total_bytes was to stay under; 0 = nobody knows */
    bool on_gpu;            /* total_bytes is the device's memory, without the last three */
    bool recompute;
    int64_t micro_tokens, accumulate;
    int64_t context;             /* tokens of the longest window */
    weft_packing packing;        /* of the weights: FAST or TIGHT */
    bool load_again, read_again; /* the model is to be loaded with this packing, the data set to be
                                  * read with this context, and both to be planned again */
    uint64_t adapter_file_bytes;
} weft_plan;

/**
 * Plan a run without allocating it: choose, among the settings that were left open, those that fit
 * options->memory_bytes and cost least speed. In this order: micro-batches are made smaller and
 * more of them accumulated, so that a step sees as many tokens (if options->micro_tokens is 0);
 * layers are computed twice (if options->recompute is AUTO); weights are packed tightly (if the
 * model was loaded with WEFT_PACKING_AUTO, on the CPU); the context is shortened (if the data set
 * was read with context 0).
 *
 * @param options     NULL = weft_train_options_default().
 * @param checkpoint  Whether the run will write checkpoints.
 * @param chosen      Receives the options to train with; may be NULL.
 * @param plan        Receives the plan, without step_count and steps_per_epoch.
 * @return WEFT_OK; WEFT_ERR_MEMORY if nothing fits: plan and chosen then hold what takes least, and
 * the message says what would fit; WEFT_ERR_ARGUMENT naming a senseless option.
 */
WEFT_API int weft_plan_make(const weft_model *model, const weft_dataset *dataset,
                            const weft_train_options *options, bool checkpoint,
                            weft_train_options *chosen, weft_plan *plan, weft_error *err);

typedef enum weft_event_kind {
    WEFT_EVENT_STEP,
    WEFT_EVENT_EVALUATION,
    WEFT_EVENT_CHECKPOINT,
    WEFT_EVENT_RESUMED,
    WEFT_EVENT_EARLY_STOP
} weft_event_kind;

typedef struct weft_train_event {
    weft_event_kind kind;
    int64_t step, step_count;
    double epoch, loss, best_loss, grad_norm, rate, tokens_per_s, seconds_left;
    double replay_loss; /* as loss, of the replayed text; NaN where there was none */
} weft_train_event;

/** Called after each event; non-zero stops: the state is saved and the run returns
 * WEFT_ERR_INTERRUPTED. */
typedef int (*weft_train_callback)(void *context, const weft_train_event *event);

/**
 * Prepare a run. Model and data set are borrowed and outlive the trainer. Of the settings only
 * recomputation is chosen here (AUTO); weft_plan_make chooses the others and refuses what does not
 * fit, which here only a full GPU does (WEFT_ERR_MEMORY).
 *
 * @param options     NULL = weft_train_options_default(). A senseless value is WEFT_ERR_ARGUMENT
 * naming it.
 * @param checkpoint  File for crash-safe checkpoints; NULL = none.
 * @param plan        Receives the plan; may be NULL.
 */
WEFT_API int weft_trainer_create(const weft_model *model, const weft_dataset *dataset,
                                 const weft_train_options *options, const char *checkpoint,
                                 weft_trainer **trainer, weft_plan *plan, weft_error *err);
WEFT_API void weft_trainer_free(weft_trainer **trainer);

/** Time one micro-batch, forward and backward, and forget it: trained tokens a second. */
WEFT_API int weft_trainer_measure(weft_trainer *trainer, double *tokens_per_s, weft_error *err);

/**
 * Continue from the checkpoint. WEFT_ERR_IO if there is none, _FORMAT if it is damaged, _STATE if
 * it belongs to another model, data set or other options (the message names which).
 */
WEFT_API int weft_trainer_resume(weft_trainer *trainer, weft_error *err);

/**
 * Run to the end. The same options, data and device give the same adapter, bit for bit, however
 * often the run was killed and resumed. Afterwards the adapter holds the parameters with the best
 * held-out loss.
 *
 * @return WEFT_OK; WEFT_ERR_INTERRUPTED (saved); WEFT_ERR_NUMERIC (the loss became NaN; the last
 *         checkpoint is good); WEFT_ERR_IO (a checkpoint could not be written; the old one is
 * intact).
 */
WEFT_API int weft_trainer_run(weft_trainer *trainer, weft_train_callback callback, void *context,
                              weft_error *err);

/** The adapter in training, owned by the trainer: save it or use it before the trainer is freed. */
WEFT_API const weft_adapter *weft_trainer_adapter(const weft_trainer *trainer);

typedef struct weft_history {
    int64_t step_count, eval_count, best_step, tokens_seen;
    const float *losses;       /* (step_count), borrowed from the trainer */
    const int64_t *eval_steps; /* (eval_count) */
    const double *eval_losses;
    double first_eval, best_eval; /* NaN where nothing was held out */
} weft_history;
/** Losses so far. Arrays are the trainer's, valid until it runs again or is freed. */
WEFT_API weft_history weft_trainer_history(const weft_trainer *trainer);

typedef struct weft_evaluation {
    double loss;       /* mean -log p a target token, natural logarithm */
    double perplexity; /* exp(loss) */
    int64_t token_count, target_count;
    double seconds;
} weft_evaluation;

/**
 * Loss of a data set under a model with adapters (count 0 = the plain model).
 *
 * @param held_out  Only the held-out part; otherwise every document.
 */
WEFT_API int weft_evaluate(const weft_model *model, const weft_dataset *dataset, bool held_out,
                           const weft_adapter *const *adapters, const float *scales, size_t count,
                           weft_evaluation *out, weft_error *err);

/* ---- Speed --------------------------------------------------------------------------------- */

typedef struct weft_shape {
    int64_t hidden, layer_count, heads, kv_heads, ffn, vocab;
} weft_shape;

/** A shape by name ("125m", "700m", "2b4t", "8b", "13b") or as six numbers "hidden,layers,heads,
 * kv_heads,ffn,vocab". Anything else is WEFT_ERR_ARGUMENT naming it. Thread-safe. */
WEFT_API int weft_shape_parse(const char *text, weft_shape *shape, weft_error *err);

/**
 * A model of this shape with random ternary weights, as BitNet b1.58 2B-4T is built (sub-norms,
 * squared ReLU, tied F16 embedding, context 4096) and without a tokenizer: to measure with.
 *
 * @param options  NULL = WEFT_MODEL_OPTIONS_DEFAULT.
 * @param model    Receives the model, the caller's; the same for the same shape.
 * @return WEFT_OK; WEFT_ERR_FORMAT or _RANGE (numbers that do not fit together), _MEMORY.
 */
WEFT_API int weft_model_synthesise(const weft_shape *shape, const weft_model_options *options,
                                   weft_model **model, weft_error *err);

typedef struct weft_bench_options {
    bool decode, prefill, train; /* what to measure */
    double seconds;              /* for each; one round is always finished */
    int64_t prompt_tokens;       /* before decoding */
    int64_t decode_tokens;       /* of a round */
    int64_t prefill_tokens;      /* of a round */
    int64_t row_tokens;          /* of each row of a training step */
    int64_t row_count;           /* of a training step, which is one micro-batch */
    int32_t rank;                /* LoRA on all seven projections */
    weft_recompute recompute;    /* AUTO: once with, and once without where memory allows */
    uint64_t memory_bytes;       /* train once, with what weft_plan_make would choose to fit; 0 = no
                                  * limit */
} weft_bench_options;

/** Everything, 5 seconds each: 64 tokens after 16, 512 tokens, one row of 512 with rank 8.
 * Thread-safe. */
WEFT_API weft_bench_options weft_bench_options_default(void);

/* One measurement. The limit follows from the machine's peaks in the same run and from what must be
 * read and computed at the least (docs/SPEED.md, Limits). */
typedef struct weft_speed {
    int64_t rounds;      /* that count; 0 = not measured */
    double tokens_per_s; /* median round */
    double best_tokens_per_s;
    double limit_tokens_per_s, share; /* share = tokens_per_s / limit */
    double processor_share;           /* of the threads' time that the process was given */
    uint64_t peak_bytes;              /* highest resident memory, the model included; on a GPU
                                       * the device memory taken */
    uint64_t plan_bytes;              /* training: what the plan had said; else 0 */
} weft_speed;

/* What the machine can do with the threads and the CPU level of the model, or its GPU; a multiply
 * and an add are two operations. On a GPU 16-bit products are two of 8 bits, and what the CPU
 * computes in float32 runs on half-precision matrices where there are such. */
typedef struct weft_machine {
    int thread_count;
    double read_bytes_per_s;
    double int8_ops_per_s, int16_ops_per_s, f32_ops_per_s;
    char int8_name[32], int16_name[32], f32_name[32]; /* what computes */
} weft_machine;

typedef struct weft_bench_report {
    weft_machine machine;
    weft_speed decode, prefill, train; /* train: with recomputation */
    weft_speed train_kept;             /* all activations kept; the limit is train's */
} weft_bench_report;

/**
 * Measure a model's speed and the machine's. Takes seconds to minutes; peaks of memory are right
 * only if nothing else in the process grows meanwhile, and on systems other than Linux they are
 * those of the whole process.
 *
 * @param options  NULL = weft_bench_options_default().
 * @return WEFT_OK; WEFT_ERR_ARGUMENT (a senseless option), _RANGE (longer than the context),
 * _MEMORY, _DEVICE, _NUMERIC.
 */
WEFT_API int weft_bench(const weft_model *model, const weft_bench_options *options,
                        weft_bench_report *report, weft_error *err);

#ifdef __cplusplus
}
#endif

#include <weft_eval.h>
#include <weft_store.h>

#endif
