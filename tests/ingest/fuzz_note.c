/* Notes of Obsidian from arbitrary bytes. */
#include "ingest/note.h"
#include "fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bytes clean = {0}, plain = {0};
    if (text_clean(&clean, (const char *)data, size)) {
        size_t front = note_front_matter(clean.data);
        if (front > clean.size) abort();
        if (note_plain(clean.data + front, &plain)) fuzz_text(plain.data);
        if (plain.size > clean.size) abort();
    }
    bytes_free(&clean);
    bytes_free(&plain);
    return 0;
}
