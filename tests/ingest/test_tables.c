/* Tables: separators, headers and quotes; what becomes of rows, with a template and without; what
 * is left out, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/os.h"
#include "ingest/records.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLES WEFT_ROOT "/tests/ingest/samples/"

/* All documents of one read: texts, or "role=content|", a "|" after each, labels in brackets. */
static struct {
    bytes seen;
    uint64_t line; /* of the last document */
    ingest_report report;
    weft_error err;
    int rc;
} last;

static int collect(void *context, const ingest_document *d, weft_error *err) {
    (void)context, (void)err;
    last.line = d->line;
    if (d->text) bytes_printf(&last.seen, "%s|", d->text);
    for (size_t i = 0; i < d->message_count; i++)
        bytes_printf(&last.seen, "%s=%s|", d->messages[i].role, d->messages[i].content);
    if (d->label) bytes_printf(&last.seen, "[%s]", d->label);
    return WEFT_OK;
}

static void read_path(const char *path, const char *template) {
    bytes_free(&last.seen);
    memset(&last, 0, sizeof last);
    bytes_add(&last.seen, "", 0);
    ingest_options options = {.template = template};
    last.rc = ingest_path(path, &options, collect, NULL, &last.report, &last.err);
    if (last.rc && !template) print_error("%s\n", last.err.message);
}

static void expect_sample(const char *sample, const char *kind, const char *seen) {
    char path[512];
    snprintf(path, sizeof path, SAMPLES "%s", sample);
    read_path(path, NULL);
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.seen.data, seen);
    assert_string_equal(last.report.kind, kind);
}

static void read_bytes(const void *data, size_t size, const char *template) {
    char path[] = "/tmp/weft-table-XXXXXX.csv";
    int file = mkstemps(path, 4);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(os_write_file(path, data, size, NULL), WEFT_OK);
    read_path(path, template);
    unlink(path);
}

static void expect(const char *csv, const char *seen) {
    read_bytes(csv, strlen(csv), NULL);
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.seen.data, seen);
}

/* A row beside good ones is left out for this reason, and said to be at this line. */
static void expect_skip(size_t index, const char *reason, uint64_t count, const char *place) {
    assert_true(index < last.report.skip_count);
    const ingest_skip *skip = &last.report.skips[index];
    assert_string_equal(skip->reason, reason);
    assert_int_equal(skip->count, count);
    assert_non_null(strstr(skip->first, place));
}

static void rows_to_sentences(void **state) {
    (void)state;
    expect_sample("days.csv", "csv",
                  "On 2024-03-01, steps: 10432; sleep hours: 7.25; mood: good; note: Walked to the "
                  "harbour, and back.\nOn 2024-03-02, steps: 8211; mood: tired.\nOn 2024-03-03, "
                  "sleep hours: 8; note: It rained. I read \"The Boat\" all day.\n"
                  "On 2024-03-05, steps: 7654; sleep hours: 7; mood: calm; note: Quiet.|");
    assert_int_equal(last.line, 2);
    assert_int_equal(last.report.skip_count, 1);
    expect_skip(0, "row with another number of cells than the header", 1, "days.csv: line 6");
}

static void separators_and_titles(void **state) {
    (void)state;
    expect_sample("bank.csv", "csv",
                  "On 01.03.2024, Payee: Harbour Cafe; Amount: -4,50.\n"
                  "On 02.03.2024, Payee: Rope & Tar; Amount: -31,20.|");
    expect_skip(0, "line above the table", 2, "line 2");
    expect("a|b\r1|2\r3|4", "A: 1; b: 2.\nA: 3; b: 4.|");
    expect("\xef\xbb\xbfname, age\r\n\"Ada\" ,\"36\"\r\n", "Name: Ada; age: 36.|");
    expect(",x\n0,1\n1,2\n", "X: 1.\nX: 2.|");
    expect("1,2\n3,4\n", "1; 2.\n3; 4.|");
    expect("note\nonly one column\n", "Note: only one column.|");
}

static void pairs_and_labels(void **state) {
    (void)state;
    expect_sample("questions.tsv", "csv", "user=What floats?|assistant=A boat.|");
    assert_int_equal(last.report.skip_count, 2);
    expect_skip(0, "empty question", 1, "line 3");
    expect_skip(1, "no assistant turn", 1, "line 4");
    expect_sample("labels.csv", "csv",
                  "user=The tea was lovely.|assistant=positive|[positive]"
                  "user=Cold soup, again.|assistant=negative|[negative]");
    expect("Instruction,Input,Output\nAdd.,1 and 2,3\nGreet.,,Ahoy!\n",
           "user=Add.\n\n1 and 2|assistant=3|user=Greet.|assistant=Ahoy!|");
    expect("id,text\n1,One.\n2,Two.\n", "One.|Two.|");
    expect("date,text\n2024-03-01,Rain\n", "On 2024-03-01, text: Rain.|");
}

static void templates(void **state) {
    (void)state;
    read_path(SAMPLES "days.csv", "On {date} I slept { Sleep_Hours } hours {{or so}}.");
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.seen.data,
                        "On 2024-03-01 I slept 7.25 hours {or so}.\nOn 2024-03-03 I slept 8 hours "
                        "{or so}.\nOn 2024-03-05 I slept 7 hours {or so}.|");
    expect_skip(0, "row without a value that the template names", 1, "line 3");
    read_path(SAMPLES "days.csv", "On {date} I ate {cakes} cakes.");
    assert_int_equal(last.rc, WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(last.err.message,
                           "days.csv: the template names {cakes}, but the columns are: date, "
                           "steps, sleep_hours, mood, note"));
    read_path(SAMPLES "days.csv", "No column.");
    assert_int_equal(last.rc, WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(last.err.message, "the template names no column: write {column}"));
    read_path(SAMPLES "page.html", "On {date}.");
    assert_int_equal(last.rc, WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(last.err.message, "there is no table in it"));
    read_bytes("1,2\n3,4\n", 8, "{column 2} after {column 1} [kept]");
    assert_string_equal(last.seen.data, "2 after 1 [kept]\n4 after 3 [kept]|");
}

static void whoop(void **state) {
    (void)state;
    expect_sample("physiological_cycles.csv", "whoop (cycles)",
                  "On 2024-03-01 22:51:13 my recovery was 72%, with a resting heart rate of 52 and "
                  "a heart rate variability of 68 ms. The day's strain was 11.4, and I burned 2310 "
                  "kcal. I slept 431 minutes, 95 of them deep and 104 in REM.\n"
                  "On 2024-03-02 23:10:00 my recovery was 41%, with a resting heart rate of 57 and "
                  "a heart rate variability of 44 ms.|");
    expect_sample("sleeps.csv", "whoop (sleeps)",
                  "From 2024-03-01 22:51:13 to 2024-03-02 06:40:21 I slept 431 minutes, 95 of them "
                  "deep and 104 in REM, with a sleep performance of 84%.|");
    expect_sample("workouts.csv", "whoop (workouts)",
                  "On 2024-03-02 07:30:00 I did a workout: Running, 32 minutes, a strain of 9.8, "
                  "301 kcal, a heart rate of 139 on average and 161 at most.|");
    /* Another table that begins like one of Whoop's. */
    expect("Cycle start time,Steps\n2024-03-01,7\n", "Cycle start time: 2024-03-01; Steps: 7.|");
}

static void spreadsheets(void **state) {
    (void)state;
    expect_sample("sleep.xlsx", "xlsx",
                  "On 2024-03-01, hours: 7.2; walked: yes.\n"
                  "On 2024-03-02 12:00, note: woke early; walked: no.|");
    assert_int_equal(last.line, 2);
    expect_sample("sleep.ods", "ods",
                  "On 2024-03-01, hours: 7.25; mood: calm.\nOn 2024-03-02, mood: tired.|");
    read_path(SAMPLES "sleep.xlsx", "{day}: {hours} hours");
    assert_string_equal(last.seen.data, "2024-03-01: 7.2 hours|");
    expect_skip(0, "row without a value that the template names", 1, "sleep.xlsx: row 4");
}

static void health(void **state) {
    (void)state;
    static const char days[] =
        "On 2024-03-01 I took 1220 steps, went 0.9 km on foot, had a heart rate of 61 to 141 (101 "
        "on average), had a blood oxygen of 97% and slept 7 hours.\nOn 2024-03-03 I took 77 steps, "
        "was mindful for 12 minutes and trained: traditional strength training (32 min).|";
    expect_sample("export.xml", "health", days);
    assert_int_equal(last.report.skip_count, 4);
    expect_skip(0, "record in another unit than those before", 1, "export.xml: record 8");
    expect_skip(1, "record without a sensible value", 1, "record 11");
    expect_skip(2, "type of record that is not summarised", 1, "HeadphoneAudioExposure");
    expect_skip(3, "record without a date", 1, "BodyMass");
    /* As the telephone hands it over. */
    expect_sample("export.zip", "archive", days);
    expect_skip(4, "no known form", 1, "export_cda.xml");
    static const char cut[] =
        "<HealthData><Record type='HKQuantityTypeIdentifierStepCount' unit='count' value='5' "
        "startDate='2024-12-31 10:00:00 +0000'/><Record type=";
    read_bytes(cut, sizeof cut - 1, NULL);
    assert_string_equal(last.seen.data, "On 2024-12-31 I took 5 steps.|");
    expect_skip(0, "damaged here: the rest is not read", 1, "record 2");
}

static void quotes(void **state) {
    (void)state;
    expect("a,b\n1,say \"hi\" now\n2,\"x\" y\n", "A: 1; b: say \"hi\" now.\nA: 2; b: xy.|");
    expect("a,b\n1,2\n\"3,4\n5,6\n", "A: 1; b: 2.\nA: 5; b: 6.|");
    expect_skip(0, "a quote that is not closed", 1, "line 3");
    expect("a,b\n1,2\n3,\"4", "A: 1; b: 2.|");
    expect_skip(0, "a quote that is not closed", 1, "line 3");
    read_bytes("a,b\n", 4, "{a}");
    expect_skip(0, "table without rows", 1, "line 2");
    expect("a,b\n1,caf\xe9\n", "A: 1; b: caf\xef\xbf\xbd.|");
}

static void utf16(void **state) {
    (void)state;
    static const char little[] = "\xff\xfe"
                                 "a\0,\0b\0\n\0"
                                 "1\0,\0=\xd8\x00\xde\n\0";
    read_bytes(little, sizeof little - 1, NULL);
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.seen.data, "A: 1; b: \U0001f600.|");
    static const char big[] = "\xfe\xff\0a\0,\0b\0\n\0"
                              "1\0,\0\xe9\xd8\0";
    read_bytes(big, sizeof big - 1, NULL);
    assert_string_equal(last.seen.data, "A: 1; b: \u00e9\ufffd.|");
}

static void rows_are_gathered(void **state) {
    (void)state;
    bytes csv = {0};
    bytes_add_text(&csv, "date,note\n");
    for (int i = 0; i < 100; i++)
        bytes_printf(&csv, "2024-03-01,this is the note of number %03d\n", i);
    read_bytes(csv.data, csv.size, NULL);
    assert_int_equal(last.rc, WEFT_OK);
    /* "On 2024-03-01, note: this is the note of number 000." and a line end are 53 bytes. */
    assert_int_equal(last.report.document_count, 4);
    assert_int_equal(last.report.text_bytes, 100 * 53 - 4);
    assert_int_equal(last.line, 2 + 3 * (RECORDS_GROUP_BYTES + 1) / 53);
    bytes_free(&csv);
}

static void limits(void **state) {
    (void)state;
    bytes csv = {0};
    bytes_add_text(&csv, "a,b\n1,2\n3,");
    while (csv.size < (1u << 20) + 100) bytes_add_text(&csv, "0123456789abcdef");
    bytes_add_text(&csv, "\n");
    for (int i = 0; i < 1024; i++) bytes_add_text(&csv, "1,");
    bytes_add_text(&csv, "\n4,5\n");
    expect(csv.data, "A: 1; b: 2.\nA: 4; b: 5.|");
    expect_skip(0, "cell over 1 MiB", 1, "line 3");
    expect_skip(1, "row of over 1024 cells", 1, "line 4");
    bytes_free(&csv);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_to_sentences),
        cmocka_unit_test(separators_and_titles),
        cmocka_unit_test(pairs_and_labels),
        cmocka_unit_test(templates),
        cmocka_unit_test(whoop),
        cmocka_unit_test(quotes),
        cmocka_unit_test(utf16),
        cmocka_unit_test(rows_are_gathered),
        cmocka_unit_test(limits),
        cmocka_unit_test(health),
        cmocka_unit_test(spreadsheets),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    bytes_free(&last.seen);
    return failed;
}
