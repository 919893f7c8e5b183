/* Source of Obsidian vaults: each note is a document. Left out: templates, drawings, and files that
 * are not notes. */
#include "base/os.h"
#include "ingest/file.h"
#include "ingest/note.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SETTINGS_BYTES_MAX (64u << 10)

static bool is_note(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (!strcasecmp(dot, ".md") || !strcasecmp(dot, ".markdown"));
}

/* Whether a folder on the way to the file is called so; a path from the top where it has a '/'. */
static bool lies_in(const char *name, const char *folder) {
    size_t size = strlen(folder);
    if (!size) return false;
    if (strchr(folder, '/')) return !strncmp(name, folder, size) && name[size] == '/';
    for (const char *part = name, *end; (end = strchr(part, '/')); part = end + 1)
        if ((size_t)(end - part) == size && !strncasecmp(part, folder, size)) return true;
    return false;
}

/* The folder of templates as the vault's settings name it; "" where they do not. Only a vault that
 * lies in a folder, not in an archive, is asked. */
static bool templates_folder(const ingest_folder *folder, bytes *out) {
    size_t size = 0, at = folder_find(folder, ".obsidian/");
    char *data = NULL;
    bytes path = {0};
    bool ok = bytes_add(out, "", 0);
    if (ok && at != SIZE_MAX && !tree_is_archive(folder->tree)) {
        const char *name = folder_name(folder, at) - folder->prefix_bytes;
        ok = bytes_printf(&path, "%s/%stemplates.json", tree_path(folder->tree), name);
        if (ok) os_read_file(path.data, SETTINGS_BYTES_MAX, &data, &size, NULL);
    }
    json_t *settings = data ? json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *found = json_string_value(json_object_get(settings, "folder"));
    if (ok && found) ok = bytes_add_text(out, found);
    json_decref(settings);
    bytes_free(&path);
    free(data);
    return ok;
}

/* Why a file is not read; NULL if it is a note to learn. */
static const char *refuse(const char *name, const char *templates) {
    static const char *const usual[] = {"templates", "template", "_templates"};
    if (name[0] == '.' || strstr(name, "/.")) return "hidden file";
    if (!is_note(name)) return "file of a vault that is not a note";
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (lies_in(name, usual[i])) return "template";
    return lies_in(name, templates) ? "template" : NULL;
}

static int learn_note(ingest_reader *r, const char *text) {
    size_t front = note_front_matter(text);
    const char *drawing = strstr(text, "excalidraw-plugin");
    if (drawing && drawing < text + front) return reader_skip(r, "line", 0, "drawing", ""), WEFT_OK;
    bytes plain = {0};
    bool ok = note_plain(text + front, &plain);
    if (ok) text_trim(&plain);
    int rc = ok ? reader_text(r, plain.data, 1) : reader_no_memory(r);
    bytes_free(&plain);
    return rc;
}

static int read_note(ingest_reader *r, FILE *file) {
    bytes data = {0}, clean = {0};
    bool fits;
    int rc = file_read(r, file, INGEST_TEXT_BYTES_MAX, &data, &fits);
    if (!rc && !fits)
        reader_skip(r, "line", 0, "note over 4 MiB", "");
    else if (!rc && !text_clean(&clean, data.data, data.size))
        rc = reader_no_memory(r);
    else if (!rc)
        rc = learn_note(r, clean.data);
    bytes_free(&data);
    bytes_free(&clean);
    return rc;
}

static int read_vault(ingest_reader *r, const ingest_folder *folder) {
    bytes templates = {0};
    reader_kind(r, "obsidian");
    int rc = templates_folder(folder, &templates) ? WEFT_OK : reader_no_memory(r);
    for (size_t i = 0; !rc && i < folder_count(folder); i++) {
        const char *name = folder_name(folder, i), *why = refuse(name, templates.data);
        FILE *file;
        if (why) {
            reader_skip(r, "line", 0, why, name);
            continue;
        }
        rc = reader_open(r, folder, i, &file);
        if (rc) break;
        if (file) rc = read_note(r, file);
        reader_close(r, folder, file);
    }
    bytes_free(&templates);
    return rc;
}

static bool is_vault(const ingest_folder *folder) {
    return folder_has(folder, ".obsidian/");
}

const ingest_source source_obsidian = {.name = "obsidian",
                                       .title = "Obsidian vault",
                                       .detects_folder = is_vault,
                                       .read_folder = read_vault};
