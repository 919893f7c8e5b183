/* Rows of tables turned into sentences, questions and answers. */
#include "ingest/records.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NONE SIZE_MAX

/* ---- what a cell holds ---- */

bool records_is_number(const char *text) {
    text += strspn(text, " +-\xc2\xa3\xa4$\xe2\x82\xac");
    bool digits = *text >= '0' && *text <= '9';
    text += strspn(text, "0123456789.,' %eE+-");
    return digits && !*text;
}

/* Digits, a separator, digits, the same separator, digits: and one part that can be a year. */
bool records_is_date(const char *text) {
    size_t part[3];
    for (int i = 0; i < 3; i++) {
        part[i] = strspn(text, "0123456789");
        if (!part[i] || part[i] > 4) return false;
        text += part[i];
        if (i < 2 && !strchr("-/.", *text)) return false;
        if (i < 2) text++;
    }
    if (part[0] != 4 && part[2] != 4 && part[2] != 2) return false;
    return !*text || *text == ' ' || *text == 'T' || *text == ',';
}

/* Every name is there once, and none is a value. A first column without a name counts rows. */
bool records_is_header(const bytes *cells, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *name = cells[i].data;
        if (i && text_is_blank(name)) return false;
        if (records_is_number(name) || records_is_date(name) || cells[i].size > 200) return false;
    }
    for (size_t i = 0; i < count && count <= RECORDS_COLUMNS_MAX; i++)
        for (size_t k = 0; k < i; k++)
            if (!strcmp(cells[i].data, cells[k].data)) return false;
    return count > 0;
}

/* ---- which form ---- */

static size_t find_column(const records *t, const char *name, size_t length) {
    for (size_t i = 0; i < t->column_count; i++)
        if (t->columns[i].size == length && !memcmp(t->columns[i].data, name, length)) return i;
    for (size_t i = 0; i < t->column_count; i++)
        if (t->columns[i].size == length && !strncasecmp(t->columns[i].data, name, length))
            return i;
    return NONE;
}

static size_t find_any(const records *t, const char *const *names) {
    for (; *names; names++) {
        size_t i = find_column(t, *names, strlen(*names));
        if (i != NONE) return i;
    }
    return NONE;
}

static bool find_pair(records *t) {
    static const char *const pairs[][3] = {{"question", "answer"},
                                           {"questions", "answers"},
                                           {"prompt", "completion"},
                                           {"prompt", "response"},
                                           {"instruction", "output", "input"},
                                           {"instruction", "response", "input"},
                                           {"question", "response"},
                                           {"input", "output"},
                                           {"user", "assistant"},
                                           {"front", "back"},
                                           {"q", "a"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        for (size_t k = 0; k < 3; k++)
            t->pair[k] = pairs[i][k] ? find_column(t, pairs[i][k], strlen(pairs[i][k])) : NONE;
        if (t->pair[0] != NONE && t->pair[1] != NONE) return true;
    }
    return false;
}

/* A text is what the table is about only if nothing stands beside it but its label and marks that
 * tell rows apart. */
static bool find_text(records *t) {
    static const char *const texts[] = {"text", "sentence", "content", "body", NULL};
    static const char *const labels[] = {"label",  "class",  "category", "sentiment",
                                         "target", "intent", NULL};
    static const char *const marks[] = {"", "id", "index", "source", "url", "idx", "row", NULL};
    t->pair[0] = find_any(t, texts);
    t->pair[1] = find_any(t, labels);
    if (t->pair[0] == NONE) return false;
    size_t known = 1 + (t->pair[1] != NONE);
    for (size_t i = 0; marks[i]; i++) known += find_column(t, marks[i], strlen(marks[i])) != NONE;
    return known == t->column_count;
}

static size_t find_date(const records *t) {
    static const char *const names[] = {"date",  "day",     "datetime",   "timestamp",
                                        "time",  "datum",   "start date", "start_date",
                                        "start", "created", NULL};
    return find_any(t, names);
}

/* ---- templates ---- */

/* The length of the placeholder "{name}" at text, 0 = none; *name and *length are its name,
 * trimmed. */
static size_t placeholder(const char *text, const char **name, size_t *length) {
    *name = NULL;
    *length = 0;
    const char *end = *text == '{' ? strpbrk(text + 1, "{}\n") : NULL;
    if (!end || *end != '}') return 0;
    *name = text + 1 + strspn(text + 1, " ");
    *length = (size_t)(end - *name);
    while (*length && (*name)[*length - 1] == ' ') --*length;
    return *length ? (size_t)(end + 1 - text) : 0;
}

static int missing_column(records *t, const char *name, size_t length) {
    bytes list = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < t->column_count && list.size < 300; i++)
        ok = bytes_printf(&list, "%s%s", i ? ", " : "", t->columns[i].data);
    int rc = !ok ? reader_no_memory(t->r)
                 : err_set(t->r->err, WEFT_ERR_ARGUMENT,
                           "%s: the template names {%.*s}, but the columns are: %.300s%s",
                           t->r->path, length > 100 ? 100 : (int)length, name, list.data,
                           list.size >= 300 ? " ..." : "");
    bytes_free(&list);
    return rc;
}

/* Each column that the template names must be there; at least one must be named. */
static int check_template(records *t) {
    size_t count = 0;
    for (const char *p = t->template; *p;) {
        const char *name;
        size_t length, size = placeholder(p, &name, &length);
        if (!strncmp(p, "{{", 2) || !strncmp(p, "}}", 2)) {
            p += 2;
        } else if (size) {
            if (find_column(t, name, length) == NONE) return missing_column(t, name, length);
            count++;
            p += size;
        } else {
            p++;
        }
    }
    if (count) return WEFT_OK;
    return err_set(t->r->err, WEFT_ERR_ARGUMENT,
                   "the template names no column: write {column} where a value belongs, as in \"On "
                   "{date} I slept {hours} hours.\"");
}

/* A value within a sentence: on one line, without white space around it. */
static bool add_value(bytes *out, const bytes *cell) {
    const char *p = cell->data + strspn(cell->data, " \t\n");
    size_t size = strlen(p);
    while (size && strchr(" \t\n", p[size - 1])) size--;
    size_t begin = out->size;
    if (!bytes_add(out, p, size)) return false;
    for (size_t i = begin; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\t') out->data[i] = ' ';
    return true;
}

/* Fill the template up to its end or, in a clause, to ']'; *rest is what follows. *empty: a column
 * that it names has no value in this row. */
static bool fill(const records *t, const char *p, bool in_clause, const bytes *cells, bytes *out,
                 const char **rest, bool *empty) {
    *empty = false;
    while (*p && !(in_clause && *p == ']')) {
        const char *name = "";
        size_t length, size = placeholder(p, &name, &length);
        bool ok = true;
        if (t->clauses && !in_clause && *p == '[') {
            size_t begin = out->size;
            bool left_out;
            ok = fill(t, p + 1, true, cells, out, &p, &left_out);
            if (ok && left_out) out->data[out->size = begin] = 0;
            p += *p == ']';
        } else if (!strncmp(p, "{{", 2) || !strncmp(p, "}}", 2)) {
            ok = bytes_add_char(out, *p);
            p += 2;
        } else if (size) {
            const bytes *cell = &cells[find_column(t, name, length)];
            if (text_is_blank(cell->data)) *empty = true;
            ok = add_value(out, cell);
            p += size;
        } else {
            ok = bytes_add_char(out, *p++);
        }
        if (!ok) return false;
    }
    *rest = p;
    return bytes_add(out, "", 0);
}

/* ---- sentences ---- */

/* "sleep_hours" as "sleep hours". */
static bool add_name(bytes *out, const bytes *name, bool first) {
    size_t begin = out->size;
    if (!add_value(out, name)) return false;
    for (size_t i = begin; i < out->size; i++)
        if (out->data[i] == '_') out->data[i] = ' ';
    char *c = &out->data[begin];
    if (first && *c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
    return bytes_add_text(out, ": ");
}

/* "On 2024-03-01, steps: 10432; mood: good." or "Name: Ada; age: 36." A column without a name is
 * left out: it numbers rows. */
static bool automatic(const records *t, const bytes *cells, bytes *out) {
    size_t parts = 0;
    bool dated = t->date != NONE && !text_is_blank(cells[t->date].data), ok = true;
    if (dated) {
        const char *value = cells[t->date].data + strspn(cells[t->date].data, " \t\n");
        bool on = value[0] >= '0' && value[0] <= '9';
        ok = (!on || bytes_add_text(out, "On ")) && add_value(out, &cells[t->date]);
    }
    for (size_t i = 0; ok && i < t->column_count; i++) {
        if (i == t->date || !t->columns[i].size || text_is_blank(cells[i].data)) continue;
        ok = bytes_add_text(out, parts   ? "; "
                                 : dated ? ", "
                                         : "") &&
             (!t->named || add_name(out, &t->columns[i], !parts && !dated)) &&
             add_value(out, &cells[i]);
        parts++;
    }
    if (!parts) bytes_clear(out);
    if (!ok || !parts) return ok;
    return strchr(".!?", out->data[out->size - 1]) || bytes_add_char(out, '.');
}

static int flush(records *t) {
    if (!t->group.size) return WEFT_OK;
    int rc = reader_text(t->r, t->group.data, t->group_line);
    bytes_clear(&t->group);
    return rc;
}

int records_sentence(records *t, const char *text, uint64_t number) {
    if (t->group.size && t->group.size + strlen(text) + 1 > RECORDS_GROUP_BYTES) TRY(flush(t));
    if (!t->group.size) t->group_line = number;
    bool ok =
        (!t->group.size || bytes_add_char(&t->group, '\n')) && bytes_add_text(&t->group, text);
    return ok ? WEFT_OK : reader_no_memory(t->r);
}

static void skip(records *t, uint64_t number, const char *reason) {
    reader_skip(t->r, t->r->unit ? t->r->unit : "line", number, reason, "");
}

static int add_sentence(records *t, const bytes *cells, uint64_t number) {
    bytes text = {0};
    const char *rest;
    bool empty = false;
    bool ok = t->form == RECORDS_TEMPLATE ? fill(t, t->template, false, cells, &text, &rest, &empty)
                                          : automatic(t, cells, &text);
    int rc = ok ? WEFT_OK : reader_no_memory(t->r);
    if (!rc && empty)
        skip(t, number, "row without a value that the template names");
    else if (!rc && !text.size)
        skip(t, number, "empty row");
    else if (!rc)
        rc = records_sentence(t, text.data, number);
    bytes_free(&text);
    return rc;
}

/* ---- conversations ---- */

static int add_exchange(records *t, const bytes *cells, uint64_t number) {
    const bytes *question = &cells[t->pair[0]], *answer = &cells[t->pair[1]];
    const bytes *input = t->pair[2] == NONE ? NULL : &cells[t->pair[2]];
    if (text_is_blank(question->data)) return skip(t, number, "empty question"), WEFT_OK;
    if (!input || text_is_blank(input->data))
        return reader_exchange(t->r, question->data, answer->data, number);
    bytes both = {0};
    bool ok = bytes_printf(&both, "%s\n\n%s", question->data, input->data);
    int rc = ok ? reader_exchange(t->r, both.data, answer->data, number) : reader_no_memory(t->r);
    bytes_free(&both);
    return rc;
}

static int add_label(records *t, const bytes *cells, uint64_t number) {
    const char *label = cells[t->pair[1]].data;
    ingest_message turns[2] = {{"user", cells[t->pair[0]].data}, {"assistant", label}};
    if (text_is_blank(turns[0].content)) return skip(t, number, "empty text"), WEFT_OK;
    return reader_labelled(t->r, turns, 2, number, label);
}

int records_row(records *t, const bytes *cells, uint64_t number) {
    if (t->form == RECORDS_EXCHANGE) return add_exchange(t, cells, number);
    if (t->form == RECORDS_LABEL) return add_label(t, cells, number);
    if (t->form == RECORDS_TEXT) return reader_text(t->r, cells[t->pair[0]].data, number);
    return add_sentence(t, cells, number);
}

/* ---- begin and end ---- */

static bool copy_columns(records *t, const bytes *names, size_t count, bool header) {
    t->columns = calloc(count ? count : 1, sizeof *t->columns);
    if (!t->columns) return false;
    t->column_count = count;
    t->named = header;
    for (size_t i = 0; i < count; i++) {
        bool ok = header ? add_value(&t->columns[i], &names[i])
                         : bytes_printf(&t->columns[i], "column %zu", i + 1);
        if (!ok) return false;
    }
    return true;
}

int records_begin(records *t, ingest_reader *r, const bytes *names, size_t count, bool header,
                  const char *template) {
    *t = (records){.r = r, .date = NONE, .template = template, .clauses = template != NULL};
    if (!copy_columns(t, names, count, header)) return reader_no_memory(r);
    if (r->template) {
        t->template = r->template;
        t->clauses = false;
        r->template_count++;
    }
    if (t->template) {
        t->form = RECORDS_TEMPLATE;
        return check_template(t);
    }
    t->form = find_pair(t)         ? RECORDS_EXCHANGE
              : !find_text(t)      ? RECORDS_AUTOMATIC
              : t->pair[1] != NONE ? RECORDS_LABEL
                                   : RECORDS_TEXT;
    t->date = find_date(t);
    return WEFT_OK;
}

int records_end(records *t, int rc) {
    if (!rc) rc = flush(t);
    for (size_t i = 0; t->columns && i < t->column_count; i++) bytes_free(&t->columns[i]);
    free(t->columns);
    bytes_free(&t->group);
    *t = (records){0};
    return rc;
}
