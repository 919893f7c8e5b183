/* GGUF values as text for people: short, one line, and safe for a terminal whatever the file holds.
 */
#include "format/gguf.h"

#include "base/bytes.h"

#include <string.h>

#define TEXT_BYTES_SHOWN 72
#define ELEMENTS_SHOWN   4

static const char *type_name(gguf_type type) {
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    return names[type];
}

/* Where to cut a text at about `limit` bytes without splitting a UTF-8 character. */
static size_t cut_at(gguf_text text, size_t limit) {
    if (text.size <= limit) return text.size;
    size_t n = limit;
    while (n > limit - 4 && ((unsigned char)text.data[n] & 0xc0) == 0x80) n--;
    return n;
}

/* Is byte i part of an encoded C1 control character, which 8-bit terminals obey? */
static bool is_c1(gguf_text text, size_t i) {
    const unsigned char *p = (const unsigned char *)text.data;
    if (p[i] == 0xc2) return i + 1 < text.size && (p[i + 1] & 0xe0) == 0x80;
    return (p[i] & 0xe0) == 0x80 && i > 0 && p[i - 1] == 0xc2;
}

/* Control characters are written as escapes: a file must not steer the terminal. */
static bool add_text(bytes *out, gguf_text text) {
    size_t shown = cut_at(text, TEXT_BYTES_SHOWN);
    bool ok = bytes_add_char(out, '"');
    for (size_t i = 0; ok && i < shown; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '\n')
            ok = bytes_add_text(out, "\\n");
        else if (c == '"' || c == '\\')
            ok = bytes_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || is_c1(text, i))
            ok = bytes_printf(out, "\\x%02x", c);
        else
            ok = bytes_add_char(out, (char)c);
    }
    ok = ok && bytes_add_char(out, '"');
    if (ok && shown < text.size) ok = bytes_printf(out, "... (%zu bytes)", text.size);
    return ok;
}

static bool add_scalar(const gguf_file *file, const char *key, gguf_type type, bytes *out) {
    bool truth;
    double real;
    int64_t whole;
    uint64_t large;
    gguf_text text;
    if (type == GGUF_STRING && gguf_get_text(file, key, &text)) return add_text(out, text);
    if (gguf_get_bool(file, key, &truth)) return bytes_add_text(out, truth ? "true" : "false");
    if (gguf_get_f64(file, key, &real)) return bytes_printf(out, "%.7g", real);
    if (gguf_get_i64(file, key, &whole)) return bytes_printf(out, "%lld", (long long)whole);
    if (gguf_get_u64(file, key, &large))
        return bytes_printf(out, "%llu", (unsigned long long)large);
    return false;
}

static bool add_element(gguf_cursor *cursor, bytes *out) {
    gguf_text text;
    int64_t whole;
    double real;
    if (gguf_next_text(cursor, &text)) return add_text(out, text);
    if (gguf_next_i64(cursor, &whole)) return bytes_printf(out, "%lld", (long long)whole);
    if (gguf_next_f64(cursor, &real)) return bytes_printf(out, "%.7g", real);
    cursor->left = 0; /* arrays of arrays are only counted */
    return bytes_add_text(out, "...");
}

static bool add_array(const gguf_file *file, const char *key, bytes *out) {
    gguf_cursor cursor;
    if (!gguf_array_begin(file, key, &cursor)) return false;
    uint64_t count = cursor.left;
    bool ok = bytes_printf(out, "[%llu %s]", (unsigned long long)count, type_name(cursor.element));
    for (int i = 0; ok && i < ELEMENTS_SHOWN && cursor.left; i++)
        ok = bytes_add_text(out, i ? ", " : " ") && add_element(&cursor, out);
    if (ok && cursor.left) ok = bytes_add_text(out, ", ...");
    return ok;
}

int gguf_describe(const gguf_file *file, size_t index, bytes *out, weft_error *err) {
    gguf_type type;
    const char *key = gguf_key_at(file, index, &type);
    bool ok = type == GGUF_ARRAY ? add_array(file, key, out) : add_scalar(file, key, type, out);
    return ok ? WEFT_OK : err_set(err, WEFT_ERR_MEMORY, "out of memory describing '%.100s'", key);
}
