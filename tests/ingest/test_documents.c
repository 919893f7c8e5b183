/* Documents: what comes out of the samples, exactly; what is refused, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "ingest/note.h"
#include "ingest/pdf_lines.h"
#include "ingest/sources.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLES WEFT_ROOT "/tests/ingest/samples/"

/* All documents of one read, a "|" after each. */
static struct {
    bytes seen;
    ingest_report report;
    weft_error err;
    int rc;
} last;

static int collect(void *context, const ingest_document *d, weft_error *err) {
    (void)context, (void)err;
    assert_true(text_is_utf8(d->text, strlen(d->text)));
    bytes_printf(&last.seen, "%s|", d->text);
    return WEFT_OK;
}

static void read_path(const char *path) {
    bytes_free(&last.seen);
    memset(&last, 0, sizeof last);
    bytes_add(&last.seen, "", 0);
    last.rc = ingest_path(path, NULL, collect, NULL, &last.report, &last.err);
}

static void expect(const char *sample, const char *kind, const char *seen) {
    char path[512];
    snprintf(path, sizeof path, SAMPLES "%s", sample);
    read_path(path);
    if (last.rc) print_error("%s: %s\n", sample, last.err.message);
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.seen.data, seen);
    assert_string_equal(last.report.kind, kind);
}

/* The sample yields nothing, and this is said. */
static void expect_refusal(const char *sample, const char *part) {
    char path[512];
    snprintf(path, sizeof path, SAMPLES "%s", sample);
    read_path(path);
    assert_int_equal(last.rc, WEFT_ERR_FORMAT);
    if (!strstr(last.err.message, part)) print_error("got: %s\n", last.err.message);
    assert_non_null(strstr(last.err.message, part));
}

/* The bytes as a source reads them; first is the reason of the first skip, or "". */
static void expect_bytes(const ingest_source *source, const void *data, size_t size,
                         const char *seen, const char *first) {
    bytes_free(&last.seen);
    memset(&last, 0, sizeof last);
    bytes_add(&last.seen, "", 0);
    ingest_reader r = {.sink = collect, .report = &last.report, .path = "x", .err = &last.err};
    FILE *file = fmemopen((void *)(uintptr_t)data, size, "rb");
    assert_non_null(file);
    assert_int_equal(source->read(&r, file), WEFT_OK);
    fclose(file);
    assert_string_equal(last.seen.data, seen);
    assert_string_equal(last.report.skip_count ? last.report.skips[0].reason : "", first);
}

static void html_page(void **state) {
    (void)state;
    expect("page.html", "html",
           "How to mend a boat\n\nFirst, dry the wood.\nIt takes two days & a night.\n\n"
           "What you need\n\n- Tar\n- Rope, not string:\n  1. thick\n  2. thin\n\n"
           "Part | Price\nTar | 4 \u20ac\nRope\n\n"
           "\"A boat that is mended is a boat that is loved.\"\n\n"
           "10 PRINT \"AHOY\"\n   20 GOTO 10\n\nThe caf\u00e9 opens at nine.|");
}

static void expect_html(const char *html, const char *seen) {
    expect_bytes(&source_html, html, strlen(html), seen, "");
}

static void html_pieces(void **state) {
    (void)state;
    expect_html("<html><body>a<br><br>b<hr>c", "a\n\nb\n\nc|");
    /* A table that lays the page out is not data. */
    expect_html("<table><tr><td><p>one</p></td><td><table><tr><td>x</td><td></td><td>y</td></tr>"
                "</table></td></tr></table>",
                "one\n\nx | | y|");
    expect_html("<article>a</article><article>b</article><div>c</div>", "a\n\nb\n\nc|");
    expect_html("<div>menu</div><article><header>h</header>text</article>", "h\n\ntext|");
    expect_html("<meta charset=iso-8859-1><p>caf\xe9</p>", "caf\xc3\xa9|");
    expect_html("<p>caf\xc3\xa9 &bogus; &lt; &amp;amp;</p>", "caf\xc3\xa9 &bogus; < &amp;|");
    expect_html("<!DOCTYPE html [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><p>a&x;b",
                "]>\n\na&x;b|");
    expect_bytes(&source_html, "<html><script>1</script>", 24, "", "empty text");
}

static void html_is_not_nested_without_end(void **state) {
    (void)state;
    bytes html = {0};
    bytes_add_text(&html, "<html><body>start");
    for (int i = 0; i < 100000; i++) bytes_add_text(&html, "<ul><li>");
    bytes_add_text(&html, "deep");
    FILE *file = fmemopen(html.data, html.size, "rb");
    ingest_reader r = {.sink = collect, .report = &last.report, .path = "x", .err = &last.err};
    assert_int_equal(source_html.read(&r, file), WEFT_OK);
    fclose(file);
    bytes_free(&html);
}

static void word(void **state) {
    (void)state;
    expect("letter.docx", "docx",
           "The boat\n\nIt was cold, windy & late.[1]\n\nWe took:\n\n- rope\n  - the thick one\n"
           "- tar\n\nLeft right\nbelow\n\nPart | Price\nTar | 4\n\nThe end.\n\n[1] By an hour.|");
}

static void open_document(void **state) {
    (void)state;
    expect("letter.odt", "odt",
           "The boat\n\nIt was cold, windy & late.[1]\n\nWe took:\n\n- rope\n  - the thick one\n"
           "- tar\n\nLeft right\nbelow\n\nPart | Price\n\nThe end.\n\n[1] By an hour.|");
}

static void book(void **state) {
    (void)state;
    expect("book.epub", "epub",
           "One\n\nThey left at dawn \u2014 early.\n\nNobody saw.|Two\n\nThey came home.|");
    assert_int_equal(last.report.skip_count, 2);
    assert_string_equal(last.report.skips[0].reason, "table of contents");
    assert_string_equal(last.report.skips[1].reason, "chapter that is not in the book");
    assert_non_null(strstr(last.report.skips[1].first, "book.epub: chapter 4"));
}

static void pdf(void **state) {
    (void)state;
    expect("paper.pdf", "pdf",
           "On boats\n\nThe boat had been standing in the yard since the great storm, and nobody "
           "had looked after it. So the wood was dry, the paint was coming off, and the mice had "
           "moved in.\n\nIn spring we began to mend it. We had little money and much time, which "
           "is the best way.\n\n- tar\n- rope, and a lot of it, because the old one was rotten "
           "through and through\n\nBy the end of May it floated, to the wonder of all who had come "
           "to see it sink, and we were very proud of it and of all the work that we had done.\n\n"
           "The end.|");
    expect_refusal("scan.pdf", "PDF without text: its pages are pictures");
    expect_refusal("locked.pdf", "protected with a password");
    expect_bytes(&source_pdf, "%PDF-1.4\nnothing", 16, "", "damaged PDF file");
}

static void vault(void **state) {
    (void)state;
    expect("vault", "folder",
           "# Boats\n\nI like Anna's boat, see Harbour and Costs. boats sea/wood\n It costs #1 in "
           "100 pounds.\n\n> Remember\n> Tar the `[[hull]]` in spring.\n\n```\n#not a tag [[nor a "
           "link]]\n```\nMail me at x#y. Done.|Rain all day.|");
    assert_string_equal(last.report.kinds[0].kind, "obsidian");
    static const char *const reasons[][2] = {{"hidden file", ".obsidian"},
                                             {"drawing", "Drawing.md"},
                                             {"empty text", "Empty.md"},
                                             {"template", "New.md"},
                                             {"file of a vault that is not a note", "photo.png"}};
    assert_int_equal(last.report.skip_count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(last.report.skips[i].reason, reasons[i][0]);
        assert_non_null(strstr(last.report.skips[i].first, reasons[i][1]));
    }
    assert_int_equal(last.report.skips[3].count, 2);
}

static void expect_note(const char *note, const char *plain) {
    bytes out = {0};
    assert_true(note_plain(note + note_front_matter(note), &out));
    assert_string_equal(out.data, plain);
    bytes_free(&out);
}

static void notes(void **state) {
    (void)state;
    expect_note("", "");
    expect_note("---\n\nA break, no front matter.\n---\n",
                "---\n\nA break, no front matter.\n---\n");
    expect_note("---\na: b\n", "---\na: b\n");
    expect_note("---\na: b\n...\ntext", "text");
    expect_note("[[not\nclosed]] [[open", "[[not\nclosed]] [[open");
    expect_note("[[a/b/Note]] [[Note#^x1|y]] [[#^x1]]", "Note y x1");
    expect_note("~~~\n`````\n#a\n~~~~\n#b", "~~~\n`````\n#a\n~~~~\nb");
    expect_note("> [!tip]\n> Go.\n> [!x no", "> Go.\n> [!x no");
    expect_note("%%open #2024 #2024a `[[x", "%%open #2024 2024a `[[x");
}

static void markdown(void **state) {
    (void)state;
    expect("vault/Daily/2024-03-01.md", "text", "Rain all day.|");
}

static void detection(void **state) {
    (void)state;
    static const struct {
        const char *path, *data;
        const ingest_source *want;
    } cases[] = {
        {"x", "%PDF-1.7\n", &source_pdf},
        {"x.pdf", "MZ\1\n%PDF-1.7\n", &source_pdf},
        {"x.txt", "On %PDF-1.7 files\n", &source_text},
        {"x", " \n<!DOCTYPE HTML PUBLIC>", &source_html},
        {"x", "<?xml version='1.0'?>\n<html xmlns='x'>", &source_html},
        {"x.html", "no tag at all", &source_html},
        {"x", "<?xml?><!DOCTYPE HealthData [", &source_health},
        {"x.txt", "Cycle start time,Cycle end time\n", &source_whoop},
        {"x.CSV", "a;b\n", &source_csv},
        {"x.md", "a,b\n", &source_text},
        {"x.docx", "PK\3\4.............................................", &source_docx},
        {"x.epub", "PK\3\4.............................................", &source_epub},
        {"x.zip", "PK\3\4.............................................", NULL},
        {"x", "PK\3\4..........................[Content_Types].xml...PK\3\4...xl/a", &source_xlsx},
        {"x", "PK\3\4..........................mimetypeapplication/epub+zipPK", &source_epub},
        {"x", "PK\3\4..........................mimetypeapplication/epub+zipper", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *why = "";
        const ingest_source *found =
            source_of_file(cases[i].path, cases[i].data, strlen(cases[i].data), &why);
        if (found != cases[i].want) print_error("case %zu\n", i);
        assert_ptr_equal(found, cases[i].want);
    }
}

/* Lines of 10 points' height; a page number before each, then left, right and top. */
static void expect_lines(const char *const *texts, const double (*places)[4], size_t count,
                         int page_count, const char *seen) {
    pdf_lines lines = {.page_count = page_count};
    bytes out = {0};
    for (size_t i = 0; i < count; i++) {
        const double *p = places[i];
        pdf_line line = {NULL, (int)p[0], p[1], p[2], p[3], p[3] + 10, false};
        assert_true(pdf_lines_add(&lines, texts[i], strlen(texts[i]), line));
    }
    assert_true(pdf_lines_join(&lines, &out));
    assert_string_equal(out.data, seen);
    bytes_free(&out);
    pdf_lines_free(&lines);
}

static void lines_of_pages(void **state) {
    (void)state;
    static const char *const column[] = {"The left column ends in a sentence that",
                                         "goes on in the right one. Soft\u00ad",
                                         "ware is.",
                                         "\u2022",
                                         "an item",
                                         "Title"};
    static const double columns[][4] = {{0, 10, 100, 50},  {0, 110, 200, 10}, {0, 110, 150, 22},
                                        {0, 110, 112, 34}, {0, 120, 160, 34}, {0, 10, 40, 60}};
    expect_lines(column, columns, 6, 1,
                 "The left column ends in a sentence that goes on in the right one. Software is."
                 "\n\n- an item\n\nTitle");
    /* A chapter's header on three of twenty pages. */
    static const char *const pages[] = {
        "Chapter 1: Boats", "One.", "Chapter 1: Boats", "Two.", "Chapter 1: Boats", "7", "Three."};
    static const double tops[][4] = {{1, 0, 90, 10}, {1, 0, 90, 30}, {2, 0, 90, 10}, {2, 0, 90, 30},
                                     {3, 0, 90, 10}, {3, 0, 90, 30}, {3, 0, 90, 50}};
    expect_lines(pages, tops, 7, 20, "One.\n\nTwo.\n\nThree.");
    static const char *const alone[] = {"12"};
    expect_lines(alone, tops, 1, 1, "12");
}

static void damaged_packages(void **state) {
    (void)state;
    static const char cut[] = "PK\3\4 and then nothing";
    expect_bytes(&source_docx, cut, sizeof cut, "", "damaged zip file");
    expect_bytes(&source_odt, cut, sizeof cut, "", "damaged zip file");
    expect_bytes(&source_epub, cut, sizeof cut, "", "damaged zip file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(html_page),
        cmocka_unit_test(html_pieces),
        cmocka_unit_test(html_is_not_nested_without_end),
        cmocka_unit_test(word),
        cmocka_unit_test(open_document),
        cmocka_unit_test(book),
        cmocka_unit_test(pdf),
        cmocka_unit_test(damaged_packages),
        cmocka_unit_test(vault),
        cmocka_unit_test(detection),
        cmocka_unit_test(lines_of_pages),
        cmocka_unit_test(notes),
        cmocka_unit_test(markdown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    bytes_free(&last.seen);
    return failed;
}
