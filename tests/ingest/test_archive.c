/* Archives: read like folders, within limits, whatever their names claim. The archives are made
 * here with libarchive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/os.h"
#include "ingest/ingest.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[64];
static bytes seen;
static ingest_report report;
static weft_error err;

static int collect(void *context, const ingest_document *d, weft_error *e) {
    (void)context, (void)e;
    const char *name = strrchr(d->source, '.');
    if (d->text) bytes_printf(&seen, "%s:%s|", name ? name : "", d->text);
    for (size_t i = 0; i < d->message_count; i++)
        bytes_printf(&seen, "%c=%s|", d->messages[i].role[0], d->messages[i].content);
    bytes_add_char(&seen, '\n');
    return WEFT_OK;
}

static const char *in_folder(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int read_path(const char *path) {
    bytes_clear(&seen);
    bytes_add(&seen, "", 0);
    return ingest_path(path, NULL, collect, NULL, &report, &err);
}

static uint64_t skipped(const char *reason) {
    for (size_t i = 0; i < report.skip_count; i++)
        if (!strcmp(report.skips[i].reason, reason)) return report.skips[i].count;
    return 0;
}

/* ---- making archives ---- */

static struct archive *create(const char *path, bool tar) {
    struct archive *a = archive_write_new();
    if (tar) {
        archive_write_set_format_pax_restricted(a);
        archive_write_add_filter_gzip(a);
    } else {
        archive_write_set_format_zip(a);
    }
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

static void add(struct archive *a, const char *name, const void *data, size_t size) {
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0600);
    archive_entry_set_size(e, (la_int64_t)size);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, data, size), (la_ssize_t)size);
    archive_entry_free(e);
}

static void add_text(struct archive *a, const char *name, const char *text) {
    add(a, name, text, strlen(text));
}

static void add_link(struct archive *a, const char *name, const char *target) {
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFLNK);
    archive_entry_set_symlink(e, target);
    archive_entry_set_perm(e, 0600);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    archive_entry_free(e);
}

static void finish(struct archive *a) {
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/weft-archive-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    bytes_free(&seen);
    return os_remove_tree(folder, NULL);
}

/* ---- tests ---- */

static void members_are_read_in_order(void **state) {
    (void)state;
    for (int tar = 0; tar < 2; tar++) {
        const char *path = in_folder(tar ? "a.tgz" : "a.zip");
        struct archive *a = create(path, tar);
        add_text(a, "notes/b.txt", "second");
        add_text(a, "notes/a.jsonl", "{\"text\":\"first\"}\n{\"text\":\"too\"}\n");
        add_text(a, "notes/photo.jpg", "not unpacked");
        add_text(a, ".hidden", "x");
        add_text(a, "__MACOSX/notes/._b.txt", "x");
        finish(a);
        assert_int_equal(read_path(path), WEFT_OK);
        assert_string_equal(seen.data, ".jsonl:first|\n.jsonl:too|\n.txt:second|\n");
        assert_string_equal(report.kind, "archive");
        assert_int_equal(report.kind_count, 2);
        assert_int_equal(skipped("hidden file"), 2);
        assert_int_equal(skipped("picture, sound, film or font"), 1);
    }
}

static void exports_are_known_inside(void **state) {
    (void)state;
    struct archive *a = create(in_folder("slack.zip"), false);
    add_text(a, "general/2024-01-02.json",
             "[{\"type\":\"message\",\"user\":\"U2\",\"text\":\"Tea?\",\"ts\":\"1704103200.1\"},"
             "{\"type\":\"message\",\"user\":\"U1\",\"text\":\"Soup.\",\"ts\":\"1704103201.1\"}]");
    add_text(a, "users.json",
             "[{\"id\":\"U1\",\"name\":\"bruno\"},{\"id\":\"U2\",\"name\":\"a\"}]");
    finish(a);
    ingest_options options = {.owner = "bruno"};
    bytes_clear(&seen);
    assert_int_equal(ingest_path(in_folder("slack.zip"), &options, collect, NULL, &report, &err),
                     WEFT_OK);
    assert_string_equal(seen.data, "u=Tea?|a=Soup.|\n");
    assert_string_equal(report.kinds[0].title, "Slack export");
}

/* Names that point elsewhere are labels and nothing else: no file appears, and links stay closed.
 */
static void names_are_only_labels(void **state) {
    (void)state;
    struct archive *a = create(in_folder("names.tgz"), true);
    char far[160];
    snprintf(far, sizeof far, "../../../../../..%s/escaped.txt", folder);
    add_text(a, far, "one");
    add_text(a, "/absolute.txt", "two");
    add_text(a, "bell\a.txt", "three");
    add_link(a, "link.txt", "/etc/passwd");
    finish(a);
    assert_int_equal(read_path(in_folder("names.tgz")), WEFT_OK);
    assert_int_equal(report.document_count, 3 - skipped("hidden file"));
    assert_int_equal(skipped("a link or device in the archive"), 1);
    assert_false(os_is_file(in_folder("escaped.txt")));
}

static void a_bomb_is_refused_by_name(void **state) {
    (void)state;
    size_t size = 80u << 20;
    char *zeros = calloc(1, size);
    assert_non_null(zeros);
    struct archive *a = create(in_folder("bomb.zip"), false);
    add_text(a, "a.txt", "text");
    add(a, "zeros.txt", zeros, size);
    finish(a);
    free(zeros);
    assert_int_equal(read_path(in_folder("bomb.zip")), WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "bomb.zip: unpacks to over 200 times its size"));
    /* Beside good files it is left out, and said. */
    assert_int_equal(os_write_file(in_folder("good.txt"), "good", 4, NULL), WEFT_OK);
    assert_int_equal(read_path(folder), WEFT_OK);
    assert_int_equal(skipped("archive over a limit"), 1);
}

static void broken_and_nested_ones(void **state) {
    (void)state;
    char zip[4096];
    struct archive *a = create(in_folder("inner.zip"), false);
    add_text(a, "a.txt", "inside");
    finish(a);
    FILE *file = fopen(in_folder("inner.zip"), "rb");
    size_t size = fread(zip, 1, sizeof zip, file);
    fclose(file);
    a = create(in_folder("outer.zip"), false);
    add(a, "inner.zip", zip, size);
    add_text(a, "b.txt", "beside");
    finish(a);
    assert_int_equal(read_path(in_folder("outer.zip")), WEFT_OK);
    assert_string_equal(seen.data, ".txt:beside|\n");
    assert_int_equal(skipped("archive inside an archive"), 1);
    assert_int_equal(os_write_file(in_folder("cut.zip"), zip, 20, NULL), WEFT_OK);
    assert_int_equal(read_path(in_folder("cut.zip")), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "cut.zip: damaged archive"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read_in_order), cmocka_unit_test(exports_are_known_inside),
        cmocka_unit_test(names_are_only_labels),     cmocka_unit_test(a_bomb_is_refused_by_name),
        cmocka_unit_test(broken_and_nested_ones),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
