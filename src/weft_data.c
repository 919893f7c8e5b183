/* The public functions about data sets: reading, and looking at what was read. */
#include "weft_impl.h"

#include "base/bytes.h"
#include "eval/canary.h"
#include "ingest/ingest.h"
#include "ingest/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_WINDOW 512

const char *weft_source_names(void) {
    return ingest_source_names();
}

const char *weft_redaction_name(size_t kind) {
    return ingest_redaction_name(kind);
}

_Static_assert(WEFT_SKIPS_MAX >= INGEST_SKIPS_MAX && WEFT_KINDS_MAX >= INGEST_KINDS_MAX &&
                   WEFT_REDACTIONS_MAX == INGEST_REDACTIONS,
               "every reason and kind fits the report");

static void fill_kinds(weft_dataset_report *out, const ingest_report *found) {
    out->kind_count = found->kind_count;
    for (size_t i = 0; i < found->kind_count; i++) {
        const ingest_kind *from = &found->kinds[i];
        weft_kind_report *to = &out->kinds[i];
        snprintf(to->kind, sizeof to->kind, "%s", from->kind);
        snprintf(to->title, sizeof to->title, "%s", from->title);
        snprintf(to->owner, sizeof to->owner, "%s", from->owner);
        to->file_count = from->file_count;
        to->document_count = from->document_count;
        to->text_bytes = from->text_bytes;
        to->skipped_count = from->skipped_count;
    }
}

static void fill_report(weft_dataset_report *out, const ingest_report *found, const dataset *d) {
    *out = (weft_dataset_report){.file_count = found->file_count,
                                 .document_count = found->document_count,
                                 .text_bytes = found->text_bytes,
                                 .skip_count = found->skip_count};
    snprintf(out->kind, sizeof out->kind, "%s", found->kind);
    for (size_t i = 0; i < found->skip_count; i++) {
        snprintf(out->skips[i].reason, sizeof out->skips[i].reason, "%s", found->skips[i].reason);
        snprintf(out->skips[i].first, sizeof out->skips[i].first, "%s", found->skips[i].first);
        out->skips[i].count = found->skips[i].count;
    }
    snprintf(out->owner, sizeof out->owner, "%s", found->owner);
    for (size_t i = 0; i < INGEST_REDACTIONS; i++) out->redactions[i] = found->redactions[i];
    fill_kinds(out, found);
    if (!d) return;
    dataset_stats s = dataset_statistics(d);
    out->train_tokens = s.train_tokens;
    out->train_targets = s.train_targets;
    out->eval_tokens = s.eval_tokens;
    out->eval_targets = s.eval_targets;
    out->empty_documents = s.empty_count;
    out->cut_documents = s.cut_count;
    out->dropped_windows = s.dropped_windows;
    out->longest_tokens = s.longest_tokens;
    out->train_documents = s.train_documents;
    out->eval_documents = s.eval_documents;
}

static int add_canaries(dataset *d, uint64_t seed, int64_t count, weft_error *err) {
    char text[CANARY_BYTES];
    if (count) dataset_pin(d);
    for (int64_t i = 0; i < count; i++) {
        canary_write(seed, i, text);
        TRY(dataset_add(d, &(ingest_document){.text = text}, err));
    }
    return WEFT_OK;
}

int weft_dataset_read(const weft_model *base, const char *path, const weft_dataset_options *options,
                      weft_dataset **out, weft_dataset_report *report, weft_error *err) {
    static const weft_dataset_options standard = WEFT_DATASET_OPTIONS_DEFAULT;
    const weft_dataset_options *o = options ? options : &standard;
    static const loss_mask masks[] = {LOSS_ASSISTANT, LOSS_COMPLETION, LOSS_ALL};
    const struct model *m = base->m;
    ingest_report found = {0};
    *out = NULL;
    if (!m->tok) return err_set(err, WEFT_ERR_STATE, "the model file holds no tokenizer");
    if ((unsigned)o->learn > WEFT_LEARN_ALL)
        return err_set(err, WEFT_ERR_ARGUMENT, "there is no way to learn number %d", (int)o->learn);
    int64_t standard_window = m->cfg.context < DEFAULT_WINDOW ? m->cfg.context : DEFAULT_WINDOW;
    dataset_options settings = {.context = o->context ? o->context : standard_window,
                                .mask = o->all_turns ? LOSS_ALL : masks[o->learn],
                                .eval_share = o->eval_share,
                                .seed = o->seed};
    if (settings.context > m->cfg.context)
        return err_set(err, WEFT_ERR_ARGUMENT, "a context of %lld is over the model's %lld",
                       (long long)settings.context, (long long)m->cfg.context);
    if (o->canaries < 0 || o->canaries > CANARIES_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "%lld canaries; it must be 0 to %d",
                       (long long)o->canaries, CANARIES_MAX);
    ingest_options sources = {.as = o->as,
                              .owner = o->owner,
                              .template = o->sentence,
                              .redact = o->redact,
                              .keep_duplicates = o->keep_duplicates};
    weft_dataset *d = calloc(1, sizeof *d);
    if (!d) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    d->context = settings.context;
    d->context_given = o->context != 0;
    d->tok = m->tok;
    int rc = dataset_create(m->tok, m->chat, &settings, &d->d, err);
    if (!rc) rc = ingest_path(path, &sources, dataset_add, d->d, &found, err);
    if (!rc) rc = add_canaries(d->d, o->seed, o->canaries, err);
    if (!rc) rc = dataset_finish(d->d, err);
    if (report) fill_report(report, &found, rc ? NULL : d->d);
    if (report) report->context = settings.context;
    if (rc) weft_dataset_free(&d);
    *out = d;
    return rc;
}

void weft_dataset_free(weft_dataset **handle) {
    weft_dataset *d = *handle;
    if (!d) return;
    dataset_free(&d->d);
    free(d);
    *handle = NULL;
}

/* ---- documents ---- */

int64_t weft_dataset_document_count(const weft_dataset *data) {
    return dataset_document_count(data->d);
}

int64_t weft_dataset_document_tokens(const weft_dataset *data, int64_t index) {
    if (index < 0 || index >= dataset_document_count(data->d)) return 0;
    return dataset_document_row(data->d, index).token_count;
}

/* Whether the document's token i is learnt: it is the target of the one before it. */
static bool is_learnt(const dataset_row *row, int64_t i) {
    return i > 0 && row->targets[i - 1] != NO_TARGET;
}

/* The tokens [begin, end) as clean text: a character that is cut at an end becomes U+FFFD. */
static char *piece_text(const tokenizer *tok, const dataset_row *row, int64_t begin, int64_t end,
                        weft_error *err) {
    bytes out = {0};
    int rc = WEFT_OK;
    for (int64_t i = begin; i < end && !rc; i++)
        rc = tokenizer_decode(tok, row->ids[i], true, &out, err);
    bytes clean = {0};
    if (!rc && !text_clean(&clean, out.data ? out.data : "", out.size))
        rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
    bytes_free(&out);
    if (rc) bytes_free(&clean);
    return clean.data;
}

static int fill_document(const tokenizer *tok, const dataset_row *row, weft_document *out,
                         weft_error *err) {
    size_t capacity = 1;
    for (int64_t i = 1; i < row->token_count; i++)
        capacity += is_learnt(row, i) != is_learnt(row, i - 1);
    out->pieces = calloc(capacity, sizeof *out->pieces);
    if (!out->pieces) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (int64_t begin = 0, end; begin < row->token_count; begin = end) {
        bool learnt = is_learnt(row, begin);
        for (end = begin + 1; end < row->token_count && is_learnt(row, end) == learnt;) end++;
        struct weft_document_piece *piece = &out->pieces[out->piece_count];
        weft_error failure;
        piece->text = piece_text(tok, row, begin, end, &failure);
        if (!piece->text) return err_set(err, failure.code, "%s", failure.message);
        piece->learnt = learnt;
        out->piece_count++;
        if (learnt) out->target_count += end - begin;
    }
    return WEFT_OK;
}

int weft_dataset_document(const weft_dataset *data, int64_t index, weft_document *out,
                          weft_error *err) {
    *out = (weft_document){0};
    if (index < 0 || index >= dataset_document_count(data->d))
        return err_set(err, WEFT_ERR_RANGE, "there is no document %lld", (long long)index);
    dataset_row row = dataset_document_row(data->d, index);
    dataset_example example = dataset_document(data->d, index);
    out->token_count = row.token_count;
    out->conversation = example.conversation;
    out->held_out = example.held_out;
    int rc = fill_document(data->tok, &row, out, err);
    if (rc) weft_document_free(out);
    return rc;
}

void weft_document_free(weft_document *document) {
    for (size_t i = 0; i < document->piece_count; i++) free(document->pieces[i].text);
    free(document->pieces);
    *document = (weft_document){0};
}
