/* Writing and reading checkpoint files. The file's own structure is safetensors'; what is checked
 * here is that it is ours, whole, and of this very run. Tensors without elements are left out of
 * the file. */
#include "train/checkpoint.h"

#include "train/hash.h"

#include "format/safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_COUNT 4 /* format, step, tokens, evaluations */

/* The tensors of a checkpoint, in the order of the file. */
enum { PARAMS, MOMENT1, MOMENT2, BEST, LOSSES, EVAL_STEPS, EVAL_LOSSES, PIECE_COUNT };

typedef struct piece {
    const char *name;
    tensor_type type;
    size_t item_bytes;
} piece;

static const piece pieces[PIECE_COUNT] = {
    [PARAMS] = {"params", TENSOR_F32, 4},           [MOMENT1] = {"moment1", TENSOR_F32, 4},
    [MOMENT2] = {"moment2", TENSOR_F32, 4},         [BEST] = {"best_params", TENSOR_F32, 4},
    [LOSSES] = {"losses", TENSOR_F32, 4},           [EVAL_STEPS] = {"eval_steps", TENSOR_I64, 8},
    [EVAL_LOSSES] = {"eval_losses", TENSOR_F64, 8},
};

/* The whole numbers kept as metadata. */
static const char *const state_names[STATE_COUNT] = {"format", "step", "tokens seen",
                                                     "evaluations"};

typedef struct extent {
    void **data; /* the checkpoint's field */
    int64_t count;
} extent;

/* Where each piece lies and how many items it must have; `best` exists from the first evaluation
 * on. */
static void list_extents(checkpoint *c, extent *out) {
    int64_t params = (int64_t)c->param_count;
    out[PARAMS] = (extent){(void **)&c->params, params};
    out[MOMENT1] = (extent){(void **)&c->moment1, params};
    out[MOMENT2] = (extent){(void **)&c->moment2, params};
    out[BEST] = (extent){(void **)&c->best, c->eval_count ? params : 0};
    out[LOSSES] = (extent){(void **)&c->losses, c->step};
    out[EVAL_STEPS] = (extent){(void **)&c->eval_steps, c->eval_count};
    out[EVAL_LOSSES] = (extent){(void **)&c->eval_losses, c->eval_count};
}

static uint64_t hash_pair(uint64_t hash, const char *name, const char *value) {
    return hash_text(hash_text(hash, name), value);
}

static uint64_t hash_tensor(uint64_t hash, const tensor_view *t) {
    return hash_bytes(hash_text(hash, t->name), t->data, t->size_bytes);
}

/* ------------------------------------------------------------------ writing */

static size_t list_tensors(checkpoint *c, tensor_view *out) {
    extent extents[PIECE_COUNT];
    list_extents(c, extents);
    size_t count = 0;
    for (int i = 0; i < PIECE_COUNT; i++) {
        if (!extents[i].count) continue;
        tensor_view *t = &out[count++];
        memset(t, 0, sizeof *t);
        t->name = pieces[i].name;
        t->type = pieces[i].type;
        t->dim_count = 1;
        t->shape[0] = extents[i].count;
        t->data = *extents[i].data;
        t->size_bytes = (size_t)extents[i].count * pieces[i].item_bytes;
    }
    return count;
}

int checkpoint_save(const char *path, const checkpoint *c, const checkpoint_setting *settings,
                    size_t setting_count, weft_error *err) {
    checkpoint copy = *c; /* the fields, so that list_extents may serve reading and writing */
    tensor_view tensors[PIECE_COUNT];
    size_t tensor_total = list_tensors(&copy, tensors);
    const char *metadata[2 * (STATE_COUNT + CHECKPOINT_SETTINGS_MAX + 1)];
    size_t pairs = 0;
    uint64_t hash = HASH_START;
    char state[STATE_COUNT][24], checksum[24];
    const int64_t values[STATE_COUNT] = {CHECKPOINT_FORMAT, c->step, c->tokens_seen, c->eval_count};
    for (int i = 0; i < STATE_COUNT; i++) {
        snprintf(state[i], sizeof state[i], "%" PRId64, values[i]);
        metadata[2 * pairs] = state_names[i];
        metadata[2 * pairs++ + 1] = state[i];
    }
    if (setting_count > CHECKPOINT_SETTINGS_MAX)
        return err_set(err, WEFT_ERR_RANGE, "a checkpoint of %zu settings", setting_count);
    for (size_t i = 0; i < setting_count; i++) {
        metadata[2 * pairs] = settings[i].name;
        metadata[2 * pairs++ + 1] = settings[i].value;
    }
    for (size_t i = 0; i < pairs; i++) hash = hash_pair(hash, metadata[2 * i], metadata[2 * i + 1]);
    for (size_t i = 0; i < tensor_total; i++) hash = hash_tensor(hash, &tensors[i]);
    snprintf(checksum, sizeof checksum, "%016" PRIx64, hash);
    metadata[2 * pairs] = "checksum";
    metadata[2 * pairs++ + 1] = checksum;
    return safetensors_save(path, tensors, tensor_total, metadata, pairs, err);
}

/* ------------------------------------------------------------------ reading */

typedef struct reader {
    const char *path;
    const safetensors_file *file;
    const checkpoint_setting *settings;
    size_t setting_count;
    checkpoint *out;
    weft_error *err;
} reader;

static int fail_damaged(const reader *r, const char *what) {
    return err_set(r->err, WEFT_ERR_FORMAT,
                   "checkpoint %s is damaged (%s); delete it to start the run again", r->path,
                   what);
}

static int read_count(const reader *r, const char *name, int64_t *out) {
    const char *text = safetensors_metadata(r->file, name);
    if (!text) return fail_damaged(r, name);
    char *end, again[24];
    *out = strtoll(text, &end, 10);
    snprintf(again, sizeof again, "%" PRId64, *out);
    if (*out < 0 || strcmp(again, text)) return fail_damaged(r, name);
    return WEFT_OK;
}

static int read_state(const reader *r) {
    if (!safetensors_metadata(r->file, "format") || !safetensors_metadata(r->file, "checksum"))
        return err_set(r->err, WEFT_ERR_FORMAT, "%s is no checkpoint of a training run", r->path);
    int64_t format;
    TRY(read_count(r, state_names[0], &format));
    if (format != CHECKPOINT_FORMAT)
        return err_set(r->err, WEFT_ERR_FORMAT,
                       "checkpoint %s has format %" PRId64 "; this program reads format %d",
                       r->path, format, CHECKPOINT_FORMAT);
    TRY(read_count(r, state_names[1], &r->out->step));
    TRY(read_count(r, state_names[2], &r->out->tokens_seen));
    return read_count(r, state_names[3], &r->out->eval_count);
}

/* The same sum as checkpoint_save's, from what the file holds. */
static int verify_checksum(const reader *r) {
    uint64_t hash = HASH_START;
    for (int i = 0; i < STATE_COUNT; i++)
        hash = hash_pair(hash, state_names[i], safetensors_metadata(r->file, state_names[i]));
    for (size_t i = 0; i < r->setting_count; i++) {
        const char *value = safetensors_metadata(r->file, r->settings[i].name);
        if (!value) return fail_damaged(r, r->settings[i].name);
        hash = hash_pair(hash, r->settings[i].name, value);
    }
    size_t known = 0;
    for (int i = 0; i < PIECE_COUNT; i++) {
        const tensor_view *t = safetensors_find(r->file, pieces[i].name);
        if (!t) continue; /* read_piece knows which may be absent */
        hash = hash_tensor(hash, t);
        known++;
    }
    if (known != safetensors_count(r->file)) return fail_damaged(r, "an unknown tensor");
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    if (strcmp(text, safetensors_metadata(r->file, "checksum")))
        return fail_damaged(r, "its checksum does not match");
    return WEFT_OK;
}

static int compare_settings(const reader *r) {
    for (size_t i = 0; i < r->setting_count; i++) {
        const char *value = safetensors_metadata(r->file, r->settings[i].name);
        if (strcmp(value, r->settings[i].value))
            return err_set(r->err, WEFT_ERR_STATE,
                           "checkpoint %s is of another run: its %s is %.40s, this run's is %s",
                           r->path, r->settings[i].name, value, r->settings[i].value);
    }
    return WEFT_OK;
}

static int read_piece(const reader *r, const piece *p, const extent *e) {
    const tensor_view *t = safetensors_find(r->file, p->name);
    if (!e->count) return t ? fail_damaged(r, p->name) : WEFT_OK;
    if (!t || t->type != p->type || t->dim_count != 1 || t->shape[0] != e->count ||
        t->size_bytes / p->item_bytes != (size_t)e->count)
        return fail_damaged(r, p->name);
    *e->data = malloc(t->size_bytes);
    if (!*e->data)
        return err_set(r->err, WEFT_ERR_MEMORY, "out of memory reading checkpoint %s", r->path);
    memcpy(*e->data, t->data, t->size_bytes);
    return WEFT_OK;
}

static bool are_finite(const float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* A checksum can be right over wrong numbers: nothing senseless may reach the run. */
static int verify_values(const reader *r, const extent *extents) {
    for (int i = 0; i <= LOSSES; i++)
        if (!are_finite(*extents[i].data, extents[i].count)) return fail_damaged(r, pieces[i].name);
    const checkpoint *c = r->out;
    int64_t before = -1;
    for (int64_t i = 0; i < c->eval_count; i++) {
        if (c->eval_steps[i] <= before || c->eval_steps[i] > c->step ||
            !isfinite(c->eval_losses[i]))
            return fail_damaged(r, pieces[EVAL_STEPS].name);
        before = c->eval_steps[i];
    }
    return WEFT_OK;
}

static int read_all(const reader *r) {
    TRY(read_state(r));
    TRY(verify_checksum(r));
    TRY(compare_settings(r));
    extent extents[PIECE_COUNT];
    list_extents(r->out, extents);
    for (int i = 0; i < PIECE_COUNT; i++) TRY(read_piece(r, &pieces[i], &extents[i]));
    return verify_values(r, extents);
}

int checkpoint_load(const char *path, const checkpoint_setting *settings, size_t setting_count,
                    checkpoint *c, weft_error *err) {
    *c = (checkpoint){.param_count = c->param_count};
    if (!os_is_file(path))
        return err_set(err, WEFT_ERR_IO, "there is no checkpoint %s to resume from", path);
    safetensors_file *file;
    TRY(safetensors_open(path, &file, err));
    reader r = {path, file, settings, setting_count, c, err};
    int rc = read_all(&r);
    safetensors_close(&file);
    if (rc) checkpoint_free(c);
    return rc;
}

void checkpoint_free(checkpoint *c) {
    extent extents[PIECE_COUNT];
    list_extents(c, extents);
    for (int i = 0; i < PIECE_COUNT; i++) free(*extents[i].data);
    *c = (checkpoint){.param_count = c->param_count};
}
