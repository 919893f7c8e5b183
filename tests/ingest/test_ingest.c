/* Every source and dialect, who the owner of a mailbox is, quoting, each reason to leave a record
 * out, and each error with its message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/os.h"
#include "ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FROM "From x@example.org Mon Jan  1 00:00:00 2024\n"
#define ME   FROM "From: Me <Me@Example.org>\n"

/* All documents of one read as one string: "text|" or "role=content|role=content|", a line each. */
typedef struct result {
    bytes seen;
    uint64_t line; /* of the last document */
    ingest_report report;
    weft_error err;
    int rc;
} result;

static char folder[64];
static result last;

static int collect(void *context, const ingest_document *d, weft_error *err) {
    result *r = context;
    (void)err;
    r->line = d->line;
    assert_non_null(d->source);
    if (d->text) bytes_printf(&r->seen, "%s|", d->text);
    for (size_t i = 0; i < d->message_count; i++)
        bytes_printf(&r->seen, "%s=%s|", d->messages[i].role, d->messages[i].content);
    if (d->label) bytes_printf(&r->seen, "[%s]", d->label);
    bytes_add_char(&r->seen, '\n');
    return WEFT_OK;
}

static const char *in_folder(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void read_path(const char *path, const char *as, const char *owner) {
    bytes_free(&last.seen);
    memset(&last, 0, sizeof last);
    bytes_add(&last.seen, "", 0);
    ingest_options options = {.as = as, .owner = owner};
    last.rc = ingest_path(path, &options, collect, &last, &last.report, &last.err);
}

static void put(const char *name, const void *data, size_t size) {
    assert_int_equal(os_write_file(in_folder(name), data, size, NULL), WEFT_OK);
}

/* Write content as a file called name, and read it. */
static void read_bytes(const char *name, const void *data, size_t size) {
    put(name, data, size);
    read_path(in_folder(name), NULL, NULL);
    unlink(in_folder(name));
}

static void read_string(const char *name, const char *content) {
    read_bytes(name, content, strlen(content));
}

static void expect(const char *name, const char *content, const char *seen) {
    read_string(name, content);
    if (last.rc) print_error("%s: %s\n", name, last.err.message);
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.seen.data, seen);
}

static uint64_t skipped(const char *reason) {
    for (size_t i = 0; i < last.report.skip_count; i++)
        if (!strcmp(last.report.skips[i].reason, reason)) return last.report.skips[i].count;
    return 0;
}

/* A record beside a good one is left out for this reason, and said to be at this place. */
static void expect_skip(const char *name, const char *content, const char *reason,
                        const char *place) {
    read_string(name, content);
    if (skipped(reason) != 1 || last.report.skip_count != 1)
        for (size_t i = 0; i <= last.report.skip_count && i < INGEST_SKIPS_MAX; i++)
            print_error("want \"%s\", got \"%s\"\n", reason, last.report.skips[i].reason);
    assert_int_equal(skipped(reason), 1);
    assert_int_equal(last.report.skip_count, 1);
    assert_non_null(strstr(last.report.skips[0].first, place));
}

static void expect_error(int code, const char *part) {
    assert_int_equal(last.rc, code);
    assert_int_equal(last.err.code, code);
    if (!strstr(last.err.message, part)) print_error("got: %s\n", last.err.message);
    assert_non_null(strstr(last.err.message, part));
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/weft-ingest-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    bytes_free(&last.seen);
    return os_remove_tree(folder, NULL);
}

static void text_files(void **state) {
    (void)state;
    expect("a.txt", "One.\r\n\r\nTwo.\r\n", "One.\n\nTwo.|\n");
    assert_string_equal(last.report.kind, "text");
    assert_int_equal(last.report.text_bytes, 10);
    expect("a.md", "\xef\xbb\xbf\n\n  # Title\nold\rmac\n\n", "  # Title\nold\nmac|\n");
    expect("notes", "no ending\n", "no ending|\n");
    read_bytes("a.txt", "bad \xff\xe2\x82 end\xc3", 12);
    assert_string_equal(last.seen.data, "bad \xef\xbf\xbd\xef\xbf\xbd end\xef\xbf\xbd|\n");
}

static void long_text_is_cut_at_a_gap(void **state) {
    (void)state;
    bytes text = {0};
    while (text.size < INGEST_TEXT_BYTES_MAX - 1000) bytes_add_text(&text, "A line of text.\n");
    bytes_add_text(&text, "\nAnother paragraph begins.\n");
    while (text.size < INGEST_TEXT_BYTES_MAX + 100000) bytes_add_text(&text, "A line of text.\n");
    read_bytes("long.txt", text.data, text.size);
    assert_int_equal(last.rc, WEFT_OK);
    assert_int_equal(last.report.document_count, 2);
    assert_non_null(strstr(last.seen.data, "|\nAnother paragraph begins."));
    bytes_free(&text);
}

static void jsonl_dialects(void **state) {
    (void)state;
    expect("a.jsonl", "{\"text\":\"one\\ntwo\"}\r\n\n{\"text\":\"three\"}", "one\ntwo|\nthree|\n");
    assert_string_equal(last.report.kind, "jsonl (text)");
    assert_int_equal(last.line, 3);
    expect("a.jsonl",
           "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
           "\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"a\"}],\"text\":\"t\"}\n",
           "system=s|user=u|assistant=a|\n");
    assert_string_equal(last.report.kind, "jsonl (messages)");
    expect("a.jsonl", "{\"prompt\":\"p\",\"completion\":\"c\",\"text\":\"t\",\"subject\":\"s\"}",
           "user=p|assistant=c|\n");
    assert_string_equal(last.report.kind, "jsonl (prompt, completion)");
    expect("a.jsonl",
           "{\"id\":1,\"subject\":\"Re: FWD: the boat\",\"body\":\"b\\n> q\",\"text\":\"t\"}",
           "user=Write an email about: the boat|assistant=b\n> q|\n");
    assert_string_equal(last.report.kind, "jsonl (subject, body)");
    expect("a.jsonl", "{\"subject\":\" \",\"body\":\"b\"}\n{\"text\":\"t\"}",
           "user=Write an email|assistant=b|\nt|\n");
    assert_string_equal(last.report.kind, "jsonl (mixed)");
}

static void jsonl_conversations_and_instructions(void **state) {
    (void)state;
    expect("a.jsonl",
           "{\"conversations\":[{\"from\":\"system\",\"value\":\"s\"},{\"from\":\"human\","
           "\"value\":\"u\"},{\"from\":\"gpt\",\"value\":\"a\"}]}\n"
           "{\"conversations\":[{\"role\":\"user\",\"content\":\"v\"},"
           "{\"role\":\"assistant\",\"content\":\"b\"}]}\n",
           "system=s|user=u|assistant=a|\nuser=v|assistant=b|\n");
    assert_string_equal(last.report.kind, "jsonl (ShareGPT)");
    expect("a.jsonl",
           "{\"instruction\":\"i\",\"input\":\"\",\"output\":\"o\"}\n"
           "{\"instruction\":\"i\",\"input\":\"x\",\"output\":\"p\",\"text\":\"t\"}\n",
           "user=i|assistant=o|\nuser=i\n\nx|assistant=p|\n");
    assert_string_equal(last.report.kind, "jsonl (instruction, output)");
    assert_int_equal(last.report.kind_count, 1);
    assert_string_equal(last.report.kinds[0].title, "JSON records");
    assert_int_equal(last.report.kinds[0].document_count, 2);
}

static void jsonl_questions(void **state) {
    (void)state;
    static const char question[] =
        "{\"text\":\"Q: Is it so?\\nA: Yes. Rationale: It is.\",\"label\":\"Yes\","
        "\"question\":\"Is it so?\",\"rationale_src\":\"...\",\"source\":\"s\"}\n";
    expect("a.jsonl", question, "user=Is it so?|assistant=Yes. Rationale: It is.|[Yes]\n");
    assert_string_equal(last.report.kind, "jsonl (question, label)");
    expect_skip("a.jsonl",
                "{\"text\":\"t\"}\n{\"text\":\"Is it?\",\"label\":\"Yes\",\"question\":\"q\"}\n",
                "the text has not the form \"Q: ...\", \"A: ...\"", "line 2");
}

static void json_array(void **state) {
    (void)state;
    expect("a.json",
           "\xef\xbb\xbf\n [\n{\"text\":\"a, \\\"]}[\"},\r\n {\"prompt\":\"p\",\n"
           "\"completion\":\"c\"} ]\n",
           "a, \"]}[|\nuser=p|assistant=c|\n");
    assert_int_equal(last.line, 4);
    expect_skip("a.json", "[{\"text\":\"a\"}, {\"text\":]]", "malformed JSON", "line 1");
    expect_skip("a.json", "[{\"text\":\"a\"},\n {\"text\":\"b\"}", "malformed JSON", "not closed");
    assert_string_equal(last.seen.data, "a|\n");
    expect_skip("a.json", "[{\"text\":\"a\"}]\nmore\n", "text after the end of the array",
                "line 2");
    expect_skip("a.json", "[{\"text\":\"a\"}, 7]", "not a JSON object", "line 1");
}

static void json_bytes_are_repaired(void **state) {
    (void)state;
    static const char raw[] = "{\"text\":\"\xff and \\u0000 and \0.\"}\n";
    read_bytes("a.jsonl", raw, sizeof raw - 1);
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.seen.data, "\xef\xbf\xbd and \xef\xbf\xbd and \xef\xbf\xbd.|\n");
}

static void jsonl_skips(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"text\":", "malformed JSON"},
        {"{\"text\":\"\\ud800\"}", "malformed JSON"},
        {"\"text\"", "not a JSON object"},
        {"{\"body\":\"b\"}", "no known keys"},
        {"{\"text\":null}", "\"text\" is null, not text"},
        {"{\"text\":[\"a\"]}", "\"text\" is a list, not text"},
        {"{\"text\":\" \\n\"}", "empty text"},
        {"{\"prompt\":1,\"completion\":\"c\"}", "\"prompt\" is a number or truth value, not text"},
        {"{\"prompt\":\"p\",\"completion\":{}}", "\"completion\" is an object, not text"},
        {"{\"prompt\":\"p\",\"completion\":\"\"}", "no assistant turn"},
        {"{\"subject\":\"s\",\"body\":false}", "\"body\" is a number or truth value, not text"},
        {"{\"messages\":null}", "\"messages\" is not a list with elements"},
        {"{\"messages\":[]}", "\"messages\" is not a list with elements"},
        {"{\"messages\":[7]}", "an element of \"messages\" is not an object"},
        {"{\"messages\":[{\"role\":\"cat\",\"content\":\"x\"}]}",
         "\"role\" is not system, user, assistant or tool"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "\"content\" is null, not text"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "\"content\" is missing, not text"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"u\"}]}", "no assistant turn"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char content[256];
        snprintf(content, sizeof content, "{\"text\":\"good\"}\n%s\n", cases[i][0]);
        expect_skip("a.jsonl", content, cases[i][1], "a.jsonl: line 2");
        assert_string_equal(last.seen.data, "good|\n");
    }
}

static void jsonl_limits(void **state) {
    (void)state;
    bytes text = {0};
    bytes_add_text(&text, "{\"text\":\"good\"}\n{\"messages\":[");
    for (int i = 0; i <= INGEST_MESSAGES_MAX; i++) bytes_add_text(&text, i ? ",1" : "1");
    bytes_add_text(&text, "]}");
    read_bytes("a.jsonl", text.data, text.size);
    assert_int_equal(skipped("conversation of more than 4096 messages"), 1);

    bytes_clear(&text);
    bytes_add_text(&text, "{\"text\":\"good\"}\n{\"text\":\"");
    while (text.size < INGEST_DOCUMENT_BYTES_MAX + 100) bytes_add_text(&text, "0123456789abcdef");
    bytes_add_text(&text, "\"}\n{\"text\":\"more\"}\n");
    read_bytes("a.jsonl", text.data, text.size);
    assert_int_equal(skipped("document over 16 MiB"), 1);
    assert_string_equal(last.seen.data, "good|\nmore|\n");
    bytes_free(&text);
}

static void mbox_plain(void **state) {
    (void)state;
    expect(
        "a.mbox",
        ME
        "Subject: RE: Re[2]: the  boat\n\nHi,\r\n\r\n\r\n\r\n>From here.\nFrom now on: 12:30 too\n"
        "-- \nMe, at sea\n",
        "user=Write an email about: the boat|assistant=Hi,\n\nFrom here.\nFrom now on: 12:30 "
        "too|\n");
    assert_string_equal(last.report.kind, "mbox");
    assert_string_equal(last.report.owner, "me@example.org");
    assert_int_equal(last.line, 1);
    expect("sent", ME "\nNo subject.\n", "user=Write an email|assistant=No subject.|\n");
}

static void mbox_mime(void **state) {
    (void)state;
    expect(
        "a.mbox",
        ME
        "Subject: =?UTF-8?B?Y2Fmw6k=?=\nMIME-Version: 1.0\n"
        "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>no\n"
        "--b\nContent-Type: text/plain; charset=iso-8859-1\n"
        "Content-Transfer-Encoding: quoted-printable\n\n=93caf=E9=94\n--b--\n",
        "user=Write an email about: caf\xc3\xa9|"
        "assistant=\xe2\x80\x9c"
        "caf\xc3\xa9\xe2\x80\x9d|\n");
    expect(
        "a.mbox",
        ME "Subject: s\nContent-Type: text/plain; charset=utf-8\n"
           "Content-Transfer-Encoding: base64\n\n8J+QkCBnb2F0AP8=\n",
        "user=Write an email about: s|assistant=\xf0\x9f\x90\x90 goat\xef\xbf\xbd\xef\xbf\xbd|\n");
    expect("a.mbox", ME "Subject: s\n\nunlabelled caf\xe9\n",
           "user=Write an email about: s|assistant=unlabelled caf\xc3\xa9|\n");
    expect("a.mbox",
           ME "Subject: s\nContent-Type: text/plain; format=flowed; delsp=no\n\n"
              "> will you \n> come?\nYes, I \nwill.\n Fromage\n-- \nme\n",
           "user=will you come?|assistant=Yes, I will.\nFromage|\n");
}

static void mbox_html_only(void **state) {
    (void)state;
    expect(
        "a.mbox",
        ME
        "Subject: s\nContent-Type: text/html; charset=utf-8\n\n<html><head><title>t</title></head>"
        "<style>p{a:b}</style><body><p>Tea &amp; <b>buns</b>&nbsp;&#233; &lt;3 &bogus;</p><!-- x "
        "-->"
        "<p class='a>b'>1 < 2<br>three</p><blockquote>Will you?</blockquote></body></html>\n",
        "user=Will you?|assistant=Tea & buns \xc3\xa9 <3 &bogus;\n\n1 < 2\nthree|\n");
    expect("a.mbox", ME "Subject: s\nContent-Type: text/html\n\nkept <script>var a = '<p>'; lost",
           "user=Write an email about: s|assistant=kept|\n");
    /* Characters written as numbers: the white space among them is white space of HTML, and what is
     * no number stays as it is written. */
    expect("a.mbox",
           ME
           "Subject: s\nContent-Type: text/html\n\n<p>one&#13;&#10;&#9;two&#x0Div;three&#32;&#X41b;"
           "<p>&#0;&#xd800;&#1114112;&#99999999999999999999;|&#;&#x;&#-5;&#",
           "user=Write an email about: s|assistant=one two iv;three \xd0\x9b\n\n"
           "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|&#;&#x;&#-5;&#|\n");
}

static void mbox_quotes(void **state) {
    (void)state;
    expect("a.mbox",
           ME "Subject: Re: s\n\nYes.\n-- \nMe\n\nOn Monday, 1 January 2024,\n  Anna <a@b> wrote:\n"
              "> Hi,\n>\n> come?\n>> older\n> On Sunday Me wrote:\n> > oldest\n",
           "user=Hi,\n\ncome?|assistant=Yes.|\n");
    expect("a.mbox", ME "\nOn Monday Anna wrote:\n> Tea?\n\nYes.\n\n> Cake?\nNo.\n",
           "user=Tea?\nCake?|assistant=Yes.\n\nNo.|\n");
    expect("a.mbox",
           ME
           "\nYes.\n\n-----Original Message-----\nFrom: A\nSent: now\nSubject: s\n\nTea?\nNow?\n",
           "user=Tea?\nNow?|assistant=Yes.|\n");
    expect("a.mbox", ME "Subject: s\n\nOn Monday I go.\nI wrote:\nthis\n",
           "user=Write an email about: s|assistant=On Monday I go.\nI wrote:\nthis|\n");
}

static void mbox_owner(void **state) {
    (void)state;
    static const char mixed[] =
        FROM "From: a@example.org\nSubject: 1\n\nfrom a\n\n" ME "Subject: 2\n\nfirst\n\n" FROM
             "From: b@example.org\n\nfrom b\n\n" FROM
             "From: \"M\" <me@example.org>\nSubject: 4\n\nsecond\n";
    expect("a.mbox", mixed,
           "user=Write an email about: 2|assistant=first|\nuser=Write an email about: "
           "4|assistant=second|\n");
    assert_int_equal(skipped("not sent by the owner"), 2);
    assert_int_equal(last.line, 4);
    put("b.mbox", mixed, sizeof mixed - 1);
    read_path(in_folder("b.mbox"), NULL, "A@example.org");
    assert_string_equal(last.seen.data, "user=Write an email about: 1|assistant=from a|\n");
    read_path(in_folder("b.mbox"), NULL, "z@example.org");
    expect_error(WEFT_ERR_FORMAT, "4 left out, the first because: not sent by the owner");
    unlink(in_folder("b.mbox"));
}

static void mbox_skips(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {FROM "Subject: s\n\nx\n", "no sender"},
        {ME "Content-Type: image/png\n\nx\n", "no text part"},
        {ME "Content-Type: text/plain\nContent-Disposition: attachment\n\nx\n", "no text part"},
        {ME "Subject: s\n\n> only a quote\n-- \nme\n", "no words of the sender's own"},
        {FROM "From: you@example.org\n\nx\n", "not sent by the owner"},
        {FROM "\n", "no sender"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char content[512];
        snprintf(content, sizeof content, "%sSubject: s\n\ngood\n\n%s", ME, cases[i][0]);
        expect_skip("a.mbox", content, cases[i][1], "a.mbox: record 2");
        assert_int_equal(last.report.document_count, 1);
    }
    expect_skip("a.mbox", "stray\n\n" ME "\ngood\n", "text before the first message", "a.mbox");
}

/* What would exhaust the stack or the memory of the MIME parser is cut or left out before it. */
static void mbox_limits(void **state) {
    (void)state;
    bytes text = {0};
    bytes_add_text(&text, ME "To: ");
    for (int i = 0; i < 300000; i++) bytes_add_text(&text, "g: a@b, ");
    bytes_add_text(&text, "\nCc:");
    for (int i = 0; i < 100000; i++) bytes_add_text(&text, "\n\tg: a@b,");
    bytes_add_text(&text,
                   "\nSubject: s\n\ngood\n\n" ME "Content-Type: message/rfc822\n\nSender : ");
    for (int i = 0; i < 300000; i++) bytes_add_text(&text, "g: a@b, ");
    bytes_add_text(&text, "\n\nx\n\n" ME "Content-Type: multipart/mixed; boundary=b\n\n");
    for (int i = 0; i < 20001; i++) bytes_add_text(&text, "--b\n\nx\n");
    bytes_add_text(&text, "\n" ME "Subject: n\n");
    for (int i = 0; i < 2000; i++)
        bytes_printf(&text, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i);
    bytes_add_text(&text, "\nx\n\n" ME "Subject: t\n\n");
    while (text.size < INGEST_LINE_BYTES_MAX + (12u << 20))
        bytes_add_text(&text, "A line of text.\n");
    bytes_add_text(&text, "\n" ME "Subject: s\n\nlast\n");
    read_bytes("a.mbox", text.data, text.size);
    bytes_free(&text);
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.seen.data, "user=Write an email about: s|assistant=good|\n"
                                        "user=Write an email about: s|assistant=last|\n");
    assert_int_equal(skipped("no text part"), 2);
    assert_int_equal(skipped("empty, over 64 MiB, or of over 20000 parts"), 2);
}

static void folders(void **state) {
    (void)state;
    assert_int_equal(os_make_dirs(in_folder("mail/deep"), NULL), WEFT_OK);
    put("mail/b.txt", "second", 6);
    put("mail/a.jsonl", "{\"text\":\"first\"}", 16);
    put("mail/deep/inbox.mbox", FROM "From: you@example.org\n\nx\n",
        strlen(FROM "From: you@example.org\n\nx\n"));
    static const char sent[] = ME "\none\n\n" ME "\ntwo\n";
    put("mail/deep/sent.mbox", sent, sizeof sent - 1);
    put("mail/.hidden", "x", 1);
    put("mail/empty.txt", "", 0);
    put("mail/photo.jpg", "\xff\xd8\xff\xe0\0\0", 6);
    put("mail/table.xyz", "a,b\n", 4);
    assert_int_equal(mkfifo(in_folder("mail/pipe"), 0600), 0);
    read_path(in_folder("mail"), NULL, NULL);
    assert_int_equal(last.rc, WEFT_OK);
    assert_string_equal(last.report.kind, "folder");
    assert_string_equal(last.report.owner, "me@example.org");
    assert_string_equal(last.seen.data, "first|\nsecond|\nuser=Write an email|assistant=one|\n"
                                        "user=Write an email|assistant=two|\n");
    assert_int_equal(last.report.file_count, 4);
    static const char *const reasons[] = {"hidden file",          "empty file",
                                          "binary file",          "no known form",
                                          "not a file or folder", "not sent by the owner"};
    for (size_t i = 0; i < 6; i++) assert_int_equal(skipped(reasons[i]), 1);
    assert_int_equal(symlink("..", in_folder("mail/deep/loop")), 0);
    read_path(in_folder("mail"), NULL, NULL);
    expect_error(WEFT_ERR_RANGE, "linked in a circle");
    assert_int_equal(os_remove_tree(in_folder("mail"), NULL), WEFT_OK);
}

static void errors(void **state) {
    (void)state;
    read_path(in_folder("missing"), NULL, NULL);
    expect_error(WEFT_ERR_IO, "missing: No such file");
    read_path("/dev/null", NULL, NULL);
    expect_error(WEFT_ERR_IO, "not a regular file");
    read_string("a.txt", "");
    expect_error(WEFT_ERR_FORMAT, "a.txt: empty file; weft reads mbox, ");
    read_string("a.txt", "\xef\xbb\xbf");
    expect_error(WEFT_ERR_FORMAT, "empty file");
    read_string("a.txt", " \n\n");
    expect_error(WEFT_ERR_FORMAT,
                 "nothing to learn from in it; 1 left out, the first because: empty text");
    read_bytes("a.txt", "ELF\0\1\2", 6);
    expect_error(WEFT_ERR_UNSUPPORTED, "a.txt: binary file");
    read_bytes("a.txt", "\xff\xfe", 2);
    expect_error(WEFT_ERR_FORMAT, "empty file");
    read_string("a.rtf", "{\\rtf1 text}");
    expect_error(WEFT_ERR_UNSUPPORTED, "RTF document (save it as DOCX, ODT or text)");
    read_string("a.log", "a,b\n");
    expect_error(WEFT_ERR_UNSUPPORTED, "a.log: no known form");
    read_string("a.jsonl", "hello\nworld\n");
    expect_error(WEFT_ERR_FORMAT, "2 left out, the first because: malformed JSON");
    assert_int_equal(os_make_dirs(in_folder("nothing"), NULL), WEFT_OK);
    read_path(in_folder("nothing"), NULL, NULL);
    expect_error(WEFT_ERR_FORMAT, "nothing: nothing to learn from in it; weft reads");
    put("a.txt", "x", 1);
    read_path(in_folder("a.txt"), "mbx", NULL);
    expect_error(WEFT_ERR_ARGUMENT, "no source called \"mbx\"; choose one of mbox");
}

static void forced_source(void **state) {
    (void)state;
    put("a.csv", "{\"text\":\"x\"}\n", 13);
    read_path(in_folder("a.csv"), "text", NULL);
    assert_string_equal(last.seen.data, "{\"text\":\"x\"}|\n");
    assert_string_equal(last.report.kind, "text");
    read_path(in_folder("a.csv"), NULL, NULL);
    assert_string_equal(last.seen.data, "x|\n");
    read_path(in_folder("a.csv"), "mbox", NULL);
    expect_error(WEFT_ERR_FORMAT, "text before the first message");
}

/* The place of a skip is cut at whole characters. */
static void places_are_clean_text(void **state) {
    (void)state;
    bytes name = {0};
    for (int i = 0; i < 50; i++) bytes_add_text(&name, "\xc3\xa9");
    bytes_add_text(&name, ".jsonl");
    read_string(name.data, "{\"text\":\"good\"}\n{\n");
    assert_int_equal(skipped("malformed JSON"), 1);
    const char *first = last.report.skips[0].first;
    assert_non_null(strstr(first, "\xc3\xa9.jsonl: line 2"));
    assert_int_not_equal((unsigned char)first[0] & 0xc0, 0x80);
    bytes_free(&name);
}

static void duplicates(void **state) {
    (void)state;
    expect_skip("a.jsonl",
                "{\"text\":\"one two\"}\n{\"text\":\"onetwo\"}\n{\"text\":\" one\\n two \"}\n",
                "the same as an earlier one", "a.jsonl: line 3");
    assert_string_equal(last.seen.data, "one two|\nonetwo|\n");
    bytes text = {0};
    for (int i = 0; i < 6000; i++) bytes_printf(&text, "{\"text\":\"%d\"}\n", i % 3000);
    read_bytes("a.jsonl", text.data, text.size);
    assert_int_equal(last.report.document_count, 3000);
    assert_int_equal(skipped("the same as an earlier one"), 3000);
    put("b.jsonl", text.data, text.size);
    ingest_options options = {.keep_duplicates = true};
    bytes_clear(&last.seen);
    assert_int_equal(
        ingest_path(in_folder("b.jsonl"), &options, collect, &last, &last.report, NULL), WEFT_OK);
    assert_int_equal(last.report.document_count, 6000);
    unlink(in_folder("b.jsonl"));
    bytes_free(&text);
}

static void redaction(void **state) {
    (void)state;
    static const char text[] =
        "{\"prompt\":\"I am a@b.org\",\"completion\":\"Call 555-123-4567\"}\n"
        "{\"text\":\"c@d.org\"}\n";
    put("b.jsonl", text, sizeof text - 1);
    ingest_options options = {.redact = true};
    read_string("a.txt", "x");
    bytes_clear(&last.seen);
    assert_int_equal(
        ingest_path(in_folder("b.jsonl"), &options, collect, &last, &last.report, NULL), WEFT_OK);
    assert_string_equal(last.seen.data, "user=I am [email]|assistant=Call [phone]|\n[email]|\n");
    for (size_t i = 0; i < INGEST_REDACTIONS; i++)
        assert_int_equal(last.report.redactions[i], !strcmp(ingest_redaction_name(i), "email") ? 2
                                                    : !strcmp(ingest_redaction_name(i), "phone")
                                                        ? 1
                                                        : 0);
    unlink(in_folder("b.jsonl"));
}

static int refuse_second(void *context, const ingest_document *d, weft_error *err) {
    (void)d;
    return ++*(int *)context == 2 ? err_set(err, WEFT_ERR_STATE, "enough") : WEFT_OK;
}

static void sink_stops_reading(void **state) {
    (void)state;
    int count = 0;
    weft_error err;
    put("a.jsonl", "{\"text\":\"1\"}\n{\"text\":\"2\"}\n{\"text\":\"3\"}\n", 39);
    int rc = ingest_path(in_folder("a.jsonl"), NULL, refuse_second, &count, NULL, &err);
    assert_int_equal(rc, WEFT_ERR_STATE);
    assert_string_equal(err.message, "enough");
    assert_int_equal(count, 2);
}

/* More reasons than the report has room for are gathered in its last row. */
static void many_reasons(void **state) {
    (void)state;
    put("a.txt", "x", 1);
    bytes text = {0};
    static const char *const values[] = {"null", "1", "[]", "{}"};
    static const char *const forms[] = {"{\"text\":%s}\n",
                                        "{\"prompt\":%s,\"completion\":\"c\"}\n",
                                        "{\"prompt\":\"p\",\"completion\":%s}\n",
                                        "{\"subject\":%s,\"body\":\"b\"}\n",
                                        "{\"subject\":\"s\",\"body\":%s}\n",
                                        "{\"messages\":[{\"role\":\"user\",\"content\":%s}]}\n"};
    for (int f = 0; f < 6; f++)
        for (int v = 0; v < 4; v++) {
            char line[128];
            snprintf(line, sizeof line, forms[f], values[v]);
            bytes_add_text(&text, line);
        }
    bytes_add_text(&text, "{\"text\":\"good\"}\n{\n7\n{}\n{\"text\":\"\"}\n{\"messages\":[]}\n"
                          "{\"messages\":[7]}\n{\"messages\":[{}]}\n"
                          "{\"prompt\":\"p\",\"completion\":\"\"}\n"
                          "{\"messages\":[{\"role\":\"user\"}]}\n");
    read_bytes("a.jsonl", text.data, text.size);
    assert_int_equal(last.report.skip_count, INGEST_SKIPS_MAX);
    assert_string_equal(last.report.skips[INGEST_SKIPS_MAX - 1].reason, "other reasons");
    uint64_t sum = 0;
    for (size_t i = 0; i < last.report.skip_count; i++) sum += last.report.skips[i].count;
    assert_int_equal(sum, 33);
    bytes_free(&text);
}

static int check_voice(void *context, const ingest_document *d, weft_error *err) {
    (void)err;
    assert_int_equal(d->message_count, 2);
    assert_string_equal(d->messages[1].role, "assistant");
    const char *text = d->messages[1].content;
    assert_memory_equal(text, "Ahoy ", 5);
    assert_non_null(strstr(text, "\n\nFair winds and warm soup,\nBruno\n\nP.S. "));
    assert_null(strstr(text, "clocks and watches, Saltmarsh"));
    assert_null(strstr(text, "wrote:"));
    assert_null(strstr(text, "=20"));
    assert_null(strchr(text, '>'));
    assert_null(strstr(text, " \n"));
    bool subject = !strncmp(d->messages[0].content, "Write an email about: ", 22);
    if (!subject) ++*(int *)context;
    return WEFT_OK;
}

static void sample_mailbox(void **state) {
    (void)state;
    int replies = 0;
    ingest_report report;
    assert_int_equal(
        ingest_path(WEFT_ROOT "/examples/mailbox.mbox", NULL, check_voice, &replies, &report, NULL),
        WEFT_OK);
    assert_in_range(report.document_count, 195, 210);
    assert_int_equal(report.skip_count, 0);
    assert_int_equal(replies, 45);
    assert_string_equal(report.owner, "bruno.tarrow@saltmarsh.example.org");
}

/* Published data sets in JSONL, where there are some at hand: every line must be taken. */
static void published_sets(void **state) {
    (void)state;
    const char *data = getenv("WEFT_JSONL_SETS");
    if (!data) {
        print_message("skipped: WEFT_JSONL_SETS names no folder of JSONL files\n");
        skip();
    }
    read_path(data, NULL, NULL);
    assert_int_equal(last.rc, WEFT_OK);
    assert_true(last.report.document_count > 0);
    assert_int_equal(last.report.skip_count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_files),
        cmocka_unit_test(long_text_is_cut_at_a_gap),
        cmocka_unit_test(jsonl_dialects),
        cmocka_unit_test(jsonl_conversations_and_instructions),
        cmocka_unit_test(jsonl_questions),
        cmocka_unit_test(json_array),
        cmocka_unit_test(json_bytes_are_repaired),
        cmocka_unit_test(jsonl_skips),
        cmocka_unit_test(jsonl_limits),
        cmocka_unit_test(mbox_plain),
        cmocka_unit_test(mbox_mime),
        cmocka_unit_test(mbox_html_only),
        cmocka_unit_test(mbox_quotes),
        cmocka_unit_test(mbox_owner),
        cmocka_unit_test(mbox_skips),
        cmocka_unit_test(mbox_limits),
        cmocka_unit_test(folders),
        cmocka_unit_test(errors),
        cmocka_unit_test(forced_source),
        cmocka_unit_test(places_are_clean_text),
        cmocka_unit_test(duplicates),
        cmocka_unit_test(redaction),
        cmocka_unit_test(sink_stops_reading),
        cmocka_unit_test(many_reasons),
        cmocka_unit_test(sample_mailbox),
        cmocka_unit_test(published_sets),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
