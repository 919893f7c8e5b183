/* Source of an X (Twitter) archive: the account's own posts, each a text. Reposts and posts of a
 * link or picture alone are left out and counted. In the folder or archive only the posts are read.
 */
#include "ingest/json_records.h"

#include <string.h>
#include <strings.h>

/* "window.YTD.tweets.part0 = " stands in front of the array. False: there is no array. */
static bool skip_assignment(FILE *file) {
    int c = 0;
    for (int i = 0; i < 256 && c != EOF; i++) {
        c = getc(file);
        if (c == '[') return ungetc(c, file) != EOF;
    }
    return false;
}

static size_t mention_bytes(const char *s) {
    if (*s != '@') return 0;
    size_t size =
        1 + strspn(s + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return size > 1 && (s[size] == ' ' || !s[size]) ? size + (s[size] == ' ') : 0;
}

/* Short links are replaced by what they stand for; NULL: left out (a picture of the post itself).
 */
static const char *expand(json_t *post, const char *link, size_t size) {
    json_t *urls = json_object_get(json_object_get(post, "entities"), "urls");
    for (size_t i = 0; i < json_array_size(urls); i++) {
        json_t *url = json_array_get(urls, i);
        const char *short_form = json_text(url, "url");
        if (strlen(short_form) == size && !memcmp(short_form, link, size))
            return json_text(url, "expanded_url");
    }
    return "";
}

static bool add_character(bytes *out, const char **at) {
    static const char *const marks[][2] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t size = strlen(marks[i][0]);
        if (strncmp(*at, marks[i][0], size)) continue;
        *at += size;
        return bytes_add_text(out, marks[i][1]);
    }
    return bytes_add_char(out, *(*at)++);
}

/* What the person wrote: no names of those who are answered in front, and no short links. words is
 * false where nothing but links is left. */
static bool post_text(json_t *post, const char *raw, bytes *out, bool *words) {
    bool reply = json_text(post, "in_reply_to_screen_name")[0];
    for (size_t n = 1; reply && n; raw += n) n = mention_bytes(raw);
    *words = false;
    while (*raw) {
        size_t link = strncmp(raw, "https://t.co/", 13) ? 0 : strcspn(raw, " \n\t");
        if (link) {
            if (!bytes_add_text(out, expand(post, raw, link))) return false;
            raw += link;
            continue;
        }
        if (!strchr(" \n\t", *raw)) *words = true;
        if (!add_character(out, &raw)) return false;
    }
    text_trim(out);
    return bytes_add(out, "", 0);
}

static int take_post(void *context, ingest_reader *r, json_t *record, uint64_t line) {
    (void)context;
    json_t *inner = json_object_get(record, "tweet"), *post = inner ? inner : record;
    const char *full = json_text(post, "full_text"), *raw = *full ? full : json_text(post, "text");
    if (text_is_blank(raw)) return reader_skip(r, "line", line, "no text in the post", ""), WEFT_OK;
    if (!strncmp(raw, "RT @", 4)) return reader_skip(r, "line", line, "repost", ""), WEFT_OK;
    bytes clean = {0}, text = {0};
    bool words,
        ok = text_clean(&clean, raw, strlen(raw)) && post_text(post, clean.data, &text, &words);
    int rc = WEFT_OK;
    if (!ok)
        rc = reader_no_memory(r);
    else if (!words)
        reader_skip(r, "line", line, "link or picture alone", "");
    else
        rc = reader_text(r, text.data, line);
    bytes_free(&clean);
    bytes_free(&text);
    return rc;
}

static int read_posts(ingest_reader *r, FILE *file) {
    reader_kind(r, "x");
    if (!skip_assignment(file))
        return reader_skip(r, "line", 0, "no list of posts in the file", ""), WEFT_OK;
    return json_each(r, file, take_post, NULL);
}

static bool looks_like_posts(const ingest_head *head) {
    static const char *const begins[] = {"window.YTD.tweets.part", "window.YTD.tweet.part"};
    for (size_t i = 0; i < 2; i++)
        if (!strncmp(head->data, begins[i], strlen(begins[i]))) return true;
    return false;
}

/* ---- the archive ---- */

/* "data/tweets.js", "data/tweets-part1.js", and "tweet" in older ones. */
static bool is_posts_name(const char *name) {
    if (!strncmp(name, "data/", 5)) name += 5;
    if (strncmp(name, "tweet", 5)) return false;
    name += 5 + (name[5] == 's');
    if (!strncmp(name, "-part", 5)) name += 5 + strspn(name + 5, "0123456789");
    return !strcmp(name, ".js");
}

static bool is_x_archive(const ingest_folder *folder) {
    return folder_has(folder, "data/tweets.js") || folder_has(folder, "data/tweet.js");
}

static int read_x_archive(ingest_reader *r, const ingest_folder *folder) {
    for (size_t i = 0; i < folder_count(folder); i++) {
        FILE *file;
        if (!is_posts_name(folder_name(folder, i))) {
            reader_skip(r, "line", 0, "file of the archive that holds no posts",
                        folder_name(folder, i));
            continue;
        }
        TRY(reader_open(r, folder, i, &file));
        int rc = file ? read_posts(r, file) : WEFT_OK;
        reader_close(r, folder, file);
        TRY(rc);
    }
    return WEFT_OK;
}

const ingest_source source_x = {.name = "x",
                                .title = "X (Twitter) archive",
                                .unit = "line",
                                .detects = looks_like_posts,
                                .read = read_posts,
                                .detects_folder = is_x_archive,
                                .read_folder = read_x_archive};
