/* Sources of messages: what comes out of each sample, word for word, and what is left out and why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "ingest/ingest.h"

#include <stdio.h>
#include <string.h>

#define SAMPLES WEFT_ROOT "/tests/ingest/samples/chats/"

static bytes seen;
static ingest_report report;
static weft_error err;

static int collect(void *context, const ingest_document *d, weft_error *e) {
    (void)context, (void)e;
    if (d->text) bytes_printf(&seen, "%s|", d->text);
    for (size_t i = 0; i < d->message_count; i++)
        bytes_printf(&seen, "%c=%s|", d->messages[i].role[0], d->messages[i].content);
    bytes_add_char(&seen, '\n');
    return WEFT_OK;
}

static uint64_t skipped(const char *reason) {
    for (size_t i = 0; i < report.skip_count; i++)
        if (!strcmp(report.skips[i].reason, reason)) return report.skips[i].count;
    return 0;
}

/* Read a sample; its documents, its kind, its owner ("" for none). */
static void expect(const char *name, const char *owner_given, const char *kind, const char *owner,
                   const char *documents) {
    char path[512];
    ingest_options options = {.owner = owner_given};
    snprintf(path, sizeof path, SAMPLES "%s", name);
    bytes_clear(&seen);
    bytes_add(&seen, "", 0);
    int rc = ingest_path(path, &options, collect, NULL, &report, &err);
    if (rc) print_error("%s: %s\n", name, err.message);
    assert_int_equal(rc, WEFT_OK);
    assert_string_equal(seen.data, documents);
    assert_string_equal(report.kinds[0].kind, kind);
    assert_string_equal(report.owner, owner);
}

/* Every reason and how often, "reason=count;" in the order they were met. */
static void expect_skips(const char *text) {
    bytes all = {0};
    bytes_add(&all, "", 0);
    for (size_t i = 0; i < report.skip_count; i++)
        bytes_printf(&all, "%s=%d;", report.skips[i].reason, (int)report.skips[i].count);
    assert_string_equal(all.data, text);
    bytes_free(&all);
}

static void whatsapp_of_android(void **state) {
    (void)state;
    expect("whatsapp_android.txt", NULL, "whatsapp", "Bruno",
           "u=Barely.\nIs it snowing?\nLook outside: really?|"
           "a=Ahoy! Up to the window.\nThe goat loves it.|\n"
           "u=Happy new year|a=And to you, by my boots!|\n");
    expect_skips("notice of the app=1;media left out of the export=1;deleted message=1;"
                 "opening words that answer nothing=1;conversation without an answer=1;");
    assert_string_equal(report.kinds[0].title, "WhatsApp chat export");
    expect("whatsapp_android.txt", "anna", "whatsapp", "anna",
           "u=Morning! Anyone awake?|a=Barely.\nIs it snowing?\nLook outside: really?|\n");
    assert_int_equal(skipped("opening words that answer nothing"), 2);
}

static void whatsapp_of_ios(void **state) {
    (void)state;
    expect("whatsapp_ios.txt", "Bruno", "whatsapp", "Bruno",
           "u=Maud: Who brings the soup?\nAnna: I brought it last time.|"
           "a=I do. Two pots:\none red, one green.|u=Maud: Bless you|a=Good night|\n");
    expect_skips("media or notice of the app=2;");
}

static void whatsapp_of_other_countries(void **state) {
    (void)state;
    expect("WhatsApp Chat with Anna.txt", NULL, "whatsapp", "Bruno",
           "u=Kommst du?|a=Ja, gleich.|\n");
    expect_skips("media left out of the export=1;");
}

static void telegram(void **state) {
    (void)state;
    expect("telegram_one.json", NULL, "telegram", "Bruno Tarrow",
           "u=Are you at the shop?|a=Yes, see https://clocks.example.org for the hours\n"
           "Bring the goat.|\n");
    expect_skips("service message=1;media without words=1;forwarded message=1;");
    expect("telegram_all.json", NULL, "telegram", "Bruno Tarrow", "u=Hi\nTea?\nHello?|a=Soup.|\n");
    expect_skips("channel, not a conversation=1;");
}

static void signal_chats(void **state) {
    (void)state;
    expect("signal/data.json", NULL, "signal", "Me",
           "u=Is the clock ready?|a=Nearly.\nIt ticks, it does not tock.|\n");
    expect_skips("deleted message=1;notice of a call=1;media without words=1;"
                 "opening words that answer nothing=1;");
    expect("signal/chat.md", NULL, "signal", "Me",
           "u=Is the clock ready?|a=Nearly.\nIt ticks,\nit does not tock.|\n");
    expect_skips("media without words=2;");
    expect("signal", NULL, "signal", "Me",
           "u=Is the clock ready?|a=Nearly.\nIt ticks, it does not tock.|\n");
    assert_int_equal(skipped("beside data.json"), 1);
}

static void slack(void **state) {
    (void)state;
    expect("slack", NULL, "slack", "Bruno",
           "u=Who fixes the door, @Bruno? <soon>|a=I do, tomorrow.\nDoor fixed.|\n"
           "u=Lunch at the soup place?|a=Me & the goat|\n");
    expect_skips("list about the export=1;service message=1;message of a bot=1;"
                 "opening words that answer nothing=1;");
    assert_int_equal(report.file_count, 3);
}

static void x_archive(void **state) {
    (void)state;
    expect("x", NULL, "x", "",
           "Clocks go forward.\nGoats do not.|\n"
           "Ahoy! Snow & soup today https://clocks.example.org/soup|\nThe goat is innocent.|\n");
    expect_skips("file of the archive that holds no posts=1;repost=1;link or picture alone=1;");
    expect("x/data/tweets-part1.js", NULL, "x", "", "Clocks go forward.\nGoats do not.|\n");
}

static void chatgpt(void **state) {
    (void)state;
    expect("chatgpt.json", NULL, "chatgpt", "",
           "u=Why do clocks tick?|a=The escapement stops the wheel.\n\nThat is the sound.|"
           "u=Thanks. And tocks?|a=The other way.|\n");
    expect_skips("what a tool was asked or said=2;not a conversation=1;");
    expect("chatgpt.json", "me", "chatgpt", "me",
           "u=The escapement stops the wheel.\n\nThat is the sound.|a=Thanks. And tocks?|\n");
}

static void claude(void **state) {
    (void)state;
    expect("claude.json", NULL, "claude", "",
           "u=How long do leeks cook?|a=Twenty minutes.|u=And turnips?|a=Thirty.|\n");
    expect_skips("conversation without words=1;");
}

static void mail_files(void **state) {
    (void)state;
    expect("one.eml", NULL, "eml", "bruno@example.org", "u=Where is my scarf?|a=She ate it.|\n");
    expect("maildir", NULL, "maildir", "bruno@example.org",
           "u=Write an email about: hello|a=Ahoy.|\nu=Write an email about: clock|a=It ticks.|\n");
    assert_int_equal(skipped("draft"), 1);
    assert_int_equal(skipped("mail marked as deleted"), 1);
    assert_int_equal(skipped("not sent by the owner"), 2);
    assert_int_equal(skipped("mail still being delivered"), 1);
    assert_int_equal(skipped("file of the mail program"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatsapp_of_android),
        cmocka_unit_test(whatsapp_of_ios),
        cmocka_unit_test(whatsapp_of_other_countries),
        cmocka_unit_test(telegram),
        cmocka_unit_test(signal_chats),
        cmocka_unit_test(slack),
        cmocka_unit_test(x_archive),
        cmocka_unit_test(chatgpt),
        cmocka_unit_test(claude),
        cmocka_unit_test(mail_files),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    bytes_free(&seen);
    return failures;
}
