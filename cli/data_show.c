/* Data sets shown to people and as JSON. */
#include "data_show.h"

#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BAR_COLUMNS      40
#define SHORT_CHARACTERS 600 /* of a document that is shown without its mask */

/* ---- kinds ---- */

static void show_kind(FILE *out, const weft_kind_report *k) {
    char files[REPORT_TEXT * 2], documents[REPORT_TEXT * 2], size[REPORT_TEXT], left[REPORT_TEXT];
    fprintf(out, "  %s: %s, %s, %s", k->title, report_plural((int64_t)k->file_count, "file", files),
            report_plural((int64_t)k->document_count, "document", documents),
            report_size(k->text_bytes, size));
    if (strcmp(k->kind, k->title)) fprintf(out, " (read as %s)", k->kind);
    if (k->skipped_count)
        fprintf(out, ", %s left out", report_count((int64_t)k->skipped_count, left));
    if (k->owner[0]) fprintf(out, "; written by %s", k->owner);
    fprintf(out, "\n");
}

void data_show_kinds(FILE *out, const weft_dataset_report *report) {
    bool replaced = false;
    for (size_t i = 0; i < report->kind_count; i++)
        if (report->kind_count > 1 || report->kinds[i].owner[0]) show_kind(out, &report->kinds[i]);
    for (size_t i = 0; i < WEFT_REDACTIONS_MAX; i++) {
        if (!report->redactions[i]) continue;
        char number[REPORT_TEXT];
        fprintf(out, "%s %s [%s]", replaced ? "," : "  replaced:",
                report_count((int64_t)report->redactions[i], number), weft_redaction_name(i));
        replaced = true;
    }
    if (replaced) fprintf(out, "\n");
}

json_t *data_kinds_json(const weft_dataset_report *report) {
    json_t *list = json_array();
    for (size_t i = 0; i < report->kind_count; i++) {
        const weft_kind_report *k = &report->kinds[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "kind", k->kind, "title",
                            k->title, "owner", k->owner, "files", (json_int_t)k->file_count,
                            "documents", (json_int_t)k->document_count, "text_bytes",
                            (json_int_t)k->text_bytes, "skipped", (json_int_t)k->skipped_count));
    }
    return list;
}

json_t *data_replaced_json(const weft_dataset_report *report) {
    json_t *object = json_object();
    for (size_t i = 0; i < WEFT_REDACTIONS_MAX; i++)
        json_object_set_new(object, weft_redaction_name(i),
                            json_integer((json_int_t)report->redactions[i]));
    return object;
}

/* ---- lengths ---- */

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The range of a length: 0 up to 16 tokens, 1 up to 32 ... */
static size_t range_of(int64_t tokens) {
    size_t range = 0;
    while (range + 1 < DATA_RANGES && tokens > INT64_C(16) << range) range++;
    return range;
}

bool data_lengths_find(const weft_dataset *data, data_lengths *out) {
    int64_t count = weft_dataset_document_count(data), sum = 0;
    *out = (data_lengths){.document_count = count};
    if (!count) return true;
    int64_t *lengths = malloc((size_t)count * sizeof *lengths);
    if (!lengths) return false;
    for (int64_t i = 0; i < count; i++) {
        lengths[i] = weft_dataset_document_tokens(data, i);
        out->counts[range_of(lengths[i])]++;
        sum += lengths[i];
    }
    qsort(lengths, (size_t)count, sizeof *lengths, compare);
    out->median = lengths[count / 2];
    out->longest = lengths[count - 1];
    out->mean = (sum + count / 2) / count;
    free(lengths);
    return true;
}

static void range_ends(size_t range, int64_t *from, int64_t *to) {
    *from = range ? (INT64_C(8) << range) + 1 : 1;
    *to = range + 1 < DATA_RANGES ? INT64_C(16) << range : INT64_MAX;
}

void data_show_lengths(FILE *out, const data_lengths *l) {
    char median[REPORT_TEXT], mean[REPORT_TEXT], longest[REPORT_TEXT], number[REPORT_TEXT];
    size_t last = range_of(l->longest);
    int64_t most = 1, from, to;
    fprintf(out, "%slength%s  median %s tokens, mean %s, longest %s\n", report_bold(out),
            report_plain(out), report_count(l->median, median), report_count(l->mean, mean),
            report_count(l->longest, longest));
    for (size_t i = 0; i < DATA_RANGES; i++)
        if (l->counts[i] > most) most = l->counts[i];
    for (size_t i = 0; i <= last && l->document_count; i++) {
        int64_t bar = (l->counts[i] * BAR_COLUMNS + most - 1) / most;
        char label[64];
        range_ends(i, &from, &to);
        if (to == INT64_MAX)
            snprintf(label, sizeof label, "over %" PRId64, from - 1);
        else
            snprintf(label, sizeof label, "%" PRId64 " to %" PRId64, from, to);
        fprintf(out, "  %14s ", label);
        for (int64_t k = 0; k < bar; k++) fprintf(out, "\xe2\x96\x88");
        fprintf(out, "%s%s\n", bar ? " " : "", report_count(l->counts[i], number));
    }
}

json_t *data_lengths_json(const data_lengths *l) {
    json_t *ranges = json_array();
    int64_t from, to;
    for (size_t i = 0; i < DATA_RANGES; i++) {
        range_ends(i, &from, &to);
        json_array_append_new(ranges, json_pack("{s:I, s:o, s:I}", "from", (json_int_t)from, "to",
                                                to == INT64_MAX ? json_null() : json_integer(to),
                                                "documents", (json_int_t)l->counts[i]));
    }
    return json_pack("{s:I, s:I, s:I, s:o}", "median", (json_int_t)l->median, "mean",
                     (json_int_t)l->mean, "longest", (json_int_t)l->longest, "ranges", ranges);
}

/* ---- documents ---- */

/* Bytes up to which the text is shown, at a whole character. */
static size_t shown_bytes(const char *text, size_t most) {
    size_t size = strlen(text);
    if (size <= most) return size;
    while (most && ((unsigned char)text[most] & 0xc0) == 0x80) most--;
    return most;
}

static void show_text(FILE *out, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool control = (c < 32 && c != '\n' && c != '\t') || c == 127;
        fputc(control ? '?' : c, out);
    }
}

static void show_masked(FILE *out, const weft_document *d) {
    bool colours = report_bold(out)[0] != 0;
    for (size_t i = 0; i < d->piece_count; i++) {
        bool learnt = d->pieces[i].learnt;
        fprintf(out, "%s", colours ? learnt ? "\033[32m" : report_dim(out) : learnt ? "{+" : "");
        show_text(out, d->pieces[i].text, strlen(d->pieces[i].text));
        fprintf(out, "%s", colours ? report_plain(out) : learnt ? "+}" : "");
    }
}

static void show_short(FILE *out, const weft_document *d) {
    size_t left = SHORT_CHARACTERS;
    for (size_t i = 0; i < d->piece_count && left; i++) {
        const char *text = d->pieces[i].text;
        size_t size = shown_bytes(text, left);
        show_text(out, text, size);
        left -= size;
        if (size == strlen(text) && (left || i + 1 == d->piece_count)) continue;
        fprintf(out, " ...");
        left = 0;
    }
}

void data_show_document(FILE *out, const weft_document *d, int64_t number, bool mask) {
    char tokens[REPORT_TEXT * 2], learnt[REPORT_TEXT];
    fprintf(out, "%sdocument %" PRId64 "%s  %s, %s, %s learnt%s\n", report_bold(out), number,
            report_plain(out), d->conversation ? "conversation" : "text",
            report_plural(d->token_count, "token", tokens), report_count(d->target_count, learnt),
            d->held_out ? ", held out" : "");
    if (mask)
        show_masked(out, d);
    else
        show_short(out, d);
    fprintf(out, "\n\n");
}

json_t *data_document_json(const weft_document *d, int64_t number) {
    json_t *pieces = json_array();
    for (size_t i = 0; i < d->piece_count; i++)
        json_array_append_new(pieces, json_pack("{s:s, s:b}", "text", d->pieces[i].text, "learnt",
                                                (int)d->pieces[i].learnt));
    return json_pack("{s:I, s:b, s:b, s:I, s:I, s:o}", "number", (json_int_t)number, "conversation",
                     (int)d->conversation, "held_out", (int)d->held_out, "tokens",
                     (json_int_t)d->token_count, "learnt", (json_int_t)d->target_count, "pieces",
                     pieces);
}
