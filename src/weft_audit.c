/* The public functions about the leak check. */
#include "weft_impl.h"

#include "eval/canary.h"
#include "eval/exposure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAWN_P 0.01 /* a string that likely appears in so large a share of answers is drawn out   \
                      */

_Static_assert((int)WEFT_SECRET_CANARY == SECRET_CANARY &&
                   (int)WEFT_SECRET_NUMBER == SECRET_NUMBER &&
                   (int)WEFT_SECRET_ADDRESS == SECRET_ADDRESS &&
                   (int)WEFT_SECRET_NAME == SECRET_NAME,
               "one numbering");

char *weft_canary(uint64_t seed, int64_t index) {
    char text[CANARY_BYTES];
    canary_write(seed, index, text);
    return strdup(text);
}

typedef struct auditor {
    const weft_model *model;
    const weft_dataset *data;
    weft_audit_options options;
    scorer *plain, *adapted;
    secret *list;
    size_t count;
    weft_audit_callback callback;
    void *context;
} auditor;

/* The end of what stands before a string, at most as much as the result holds. */
static int write_before(const auditor *a, const secret *s, char before[64], weft_error *err) {
    dataset_example e = dataset_document(a->data->d, s->document);
    bytes text = {0};
    token_stream stream = {0};
    int rc = WEFT_OK;
    for (int64_t i = s->token > 12 ? s->token - 12 : 0; !rc && i < s->token; i++)
        rc = token_stream_add(&stream, a->data->tok, e.prompt[i], &text, err);
    if (!rc && !bytes_add_text(&text, s->lead)) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
    size_t skip = text.size > 63 ? text.size - 63 : 0;
    while (skip && ((unsigned char)text.data[skip] & 0xc0) == 0x80) skip++;
    if (!rc) snprintf(before, 64, "%s", text.data + skip);
    bytes_free(&text);
    return rc;
}

static int audit_one(const auditor *a, const secret *s, weft_secret *out, weft_error *err) {
    exposure with, without;
    const dataset *d = a->data->d;
    TRY(exposure_measure(d, s, a->adapted, a->options.variants, a->options.seed, &with, err));
    TRY(exposure_measure(d, s, a->plain, a->options.variants, a->options.seed, &without, err));
    *out = (weft_secret){.kind = (weft_secret_kind)s->kind,
                         .log_p = with.log_p,
                         .plain_log_p = without.log_p,
                         .exposure = with.bits,
                         .plain_exposure = without.bits,
                         .rank = with.rank,
                         .plain_rank = without.rank,
                         .greedy = with.greedy};
    snprintf(out->text, sizeof out->text, "%s", s->text);
    bool said_before = without.greedy || exp(without.log_p) >= DRAWN_P;
    out->drawn = (with.greedy || exp(with.log_p) >= DRAWN_P) && !said_before;
    out->recognised = !out->drawn && with.rank == 1 && without.rank > 1;
    return write_before(a, s, out->before, err);
}

static int audit_all(const auditor *a, weft_audit *out, weft_error *err) {
    out->limit_bits = log2((double)a->options.variants + 1);
    out->secrets = calloc(a->count ? a->count : 1, sizeof *out->secrets);
    if (!out->secrets) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < a->count; i++) {
        weft_secret *s = &out->secrets[i];
        TRY(audit_one(a, &a->list[i], s, err));
        bool own = s->kind != WEFT_SECRET_CANARY;
        out->secret_count++;
        out->canary_count += !own;
        out->drawn_count += s->drawn;
        out->recognised_count += s->recognised;
        out->own_drawn_count += own && s->drawn;
        out->own_recognised_count += own && s->recognised;
        if (a->callback && a->callback(a->context, (int64_t)i + 1, (int64_t)a->count))
            return err_set(err, WEFT_ERR_INTERRUPTED, "stopped");
    }
    return WEFT_OK;
}

static int prepare(auditor *a, const weft_adapter *const *adapters, const float *scales,
                   size_t count, weft_error *err) {
    adapter_use uses[FORWARD_ADAPTERS_MAX];
    const weft_model *m = a->model;
    int64_t context = 2 * (SECRET_CONTEXT_MAX + SECRET_BYTES);
    if (!count) return err_set(err, WEFT_ERR_ARGUMENT, "no adapter to look into: name one");
    if (a->options.variants < 1 || a->options.variants > EXPOSURE_VARIANTS_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "%lld variants; it must be 1 to %d",
                       (long long)a->options.variants, EXPOSURE_VARIANTS_MAX);
    TRY(adapter_uses(adapters, scales, count, uses, err));
    TRY(scorer_create(m->m, m->smooth, context, NULL, 0, &a->plain, err));
    TRY(scorer_create(m->m, m->smooth, context, uses, count, &a->adapted, err));
    return secrets_find(a->data->d, m->m->tok, a->options.strings, a->options.seed, &a->list,
                        &a->count, err);
}

int weft_audit_run(const weft_model *base, const weft_dataset *data,
                   const weft_audit_options *options, const weft_adapter *const *adapters,
                   const float *scales, size_t count, weft_audit_callback callback, void *context,
                   weft_audit *out, weft_error *err) {
    static const weft_audit_options standard = WEFT_AUDIT_OPTIONS_DEFAULT;
    auditor a = {.model = base,
                 .data = data,
                 .options = options ? *options : standard,
                 .callback = callback,
                 .context = context};
    *out = (weft_audit){0};
    int rc = prepare(&a, adapters, scales, count, err);
    if (!rc) rc = audit_all(&a, out, err);
    if (rc) weft_audit_free(out);
    scorer_free(&a.plain);
    scorer_free(&a.adapted);
    free(a.list);
    return rc;
}

void weft_audit_free(weft_audit *audit) {
    free(audit->secrets);
    *audit = (weft_audit){0};
}
