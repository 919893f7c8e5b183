/* The rules of the house, read from the sources: data flows one way, and the pieces stay small. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LINES_MAX     800
#define FUNCTION_LINES_MAX 70
#define LINE_COLUMNS_MAX   100

/* What each folder may include, besides itself, <weft.h> and the system's headers. */
static const struct {
    const char *folder, *allowed;
} layers[] = {
    {"src/base", ""},
    {"src/format", "base"},
    {"src/text", "format base"},
    {"src/kernel", "base"},
    {"src/backend", "kernel base"},
    {"src/model", "backend kernel text format base"},
    {"src/ingest", "text base"}, /* text/utf8.h */
    {"src/train", "ingest model backend kernel text format base"},
    {"src/eval", "train ingest model backend kernel text format base"},
    {"src/store", "base"},
    {"src", "store eval train ingest model backend kernel text format base"},
    {"cli", "base"},
    {"include", ""},
};

static int faults;

static int allowed(const char *list, const char *name, size_t size) {
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == size && strncmp(at, name, size) == 0) return 1;
    return 0;
}

static void check_include(size_t layer, const char *path, int line, const char *text) {
    if (strncmp(text, "#include \"", 10) != 0) return;
    const char *name = text + 10, *slash = strpbrk(name, "/\"");
    if (!slash || *slash == '"') return; /* its own folder */
    size_t size = (size_t)(slash - name);
    const char *own = strrchr(layers[layer].folder, '/');
    own = own ? own + 1 : layers[layer].folder;
    if (strlen(own) == size && strncmp(own, name, size) == 0) return;
    int good = allowed(layers[layer].allowed, name, size);
    if (good && strcmp(layers[layer].folder, "cli") == 0)
        good = strncmp(name, "base/status.h\"", 14) == 0 || strncmp(name, "base/os.h\"", 10) == 0;
    if (good) return;
    print_error("%s:%d: %s may not include %s", path, line, layers[layer].folder, name);
    faults++;
}

static size_t columns(const char *text) {
    size_t n = 0;
    for (; *text && *text != '\n'; text++) n += (*text & 0xc0) != 0x80;
    return n;
}

static void check_file(size_t layer, const char *path) {
    static char text[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int line = 0, start = 0;
    while (fgets(text, sizeof text, f)) {
        line++;
        check_include(layer, path, line, text);
        if (columns(text) > LINE_COLUMNS_MAX) {
            print_error("%s:%d: %zu columns\n", path, line, columns(text));
            faults++;
        }
        size_t end = strcspn(text, "\n");
        if (strncmp(text, "typedef", 7) && strncmp(text, "struct", 6) && end &&
            text[end - 1] == '{' && text[0] != ' ' && text[0] != '}' && text[0] != '#' &&
            !strchr(text, '='))
            start = line;
        if (text[0] == '}' && start) {
            if (line - start > FUNCTION_LINES_MAX) {
                print_error("%s:%d: a function of %d lines\n", path, start, line - start);
                faults++;
            }
            start = 0;
        }
    }
    fclose(f);
    if (line > FILE_LINES_MAX) {
        print_error("%s: %d lines\n", path, line);
        faults++;
    }
}

static void test_layers_and_sizes(void **state) {
    (void)state;
    int files = 0;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        char path[1024];
        snprintf(path, sizeof path, WEFT_ROOT "/%s", layers[i].folder);
        DIR *dir = opendir(path);
        if (!dir) continue;
        for (struct dirent *e; (e = readdir(dir));) {
            size_t n = strlen(e->d_name);
            if (n < 3 || (strcmp(e->d_name + n - 2, ".c") && strcmp(e->d_name + n - 2, ".h")))
                continue;
            snprintf(path, sizeof path, WEFT_ROOT "/%s/%s", layers[i].folder, e->d_name);
            check_file(i, path);
            files++;
        }
        closedir(dir);
    }
    assert_true(files > 20);
    assert_int_equal(faults, 0);
}

/* Each public function has a comment right above it. */
static int check_documentation(const char *name) {
    static char text[4096], before[4096];
    char path[1024];
    snprintf(path, sizeof path, WEFT_ROOT "/include/%s", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int functions = 0, line = 0;
    while (fgets(text, sizeof text, f)) {
        line++;
        if (strncmp(text, "WEFT_API ", 9) == 0) {
            functions++;
            int family = strstr(text, "_free(") != NULL; /* covered by the rule at the top */
            if (!family && !strstr(before, "*/") && strncmp(before, "WEFT_API ", 9) != 0) {
                print_error("%s:%d: no comment: %s", name, line, text);
                faults++;
            }
        }
        memcpy(before, text, sizeof before);
    }
    fclose(f);
    return functions;
}

static void test_public_functions_are_documented(void **state) {
    (void)state;
    assert_true(check_documentation("weft.h") > 20);
    assert_true(check_documentation("weft_eval.h") > 5);
    assert_true(check_documentation("weft_store.h") > 5);
    assert_int_equal(faults, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layers_and_sizes),
                                       cmocka_unit_test(test_public_functions_are_documented)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
