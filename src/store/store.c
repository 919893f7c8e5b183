/* Paths of the store. */
#include "store/store.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 64

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int store_root(char *path, size_t size, weft_error *err) {
    const char *home;
    int n;
    if ((home = variable("WEFT_HOME")))
        n = snprintf(path, size, "%s", home);
    else if ((home = variable("XDG_DATA_HOME")))
        n = snprintf(path, size, "%s/weft", home);
    else if ((home = variable("HOME")))
        n = snprintf(path, size, "%s/.local/share/weft", home);
    else
        return err_set(err, WEFT_ERR_IO, "no place for the store: set WEFT_HOME to a folder");
    if (n < 0 || (size_t)n >= size)
        return err_set(err, WEFT_ERR_RANGE, "the path of the store is too long: %.60s...", home);
    return WEFT_OK;
}

static int check_name(const char *name, weft_error *err) {
    size_t n = name ? strlen(name) : 0;
    bool good = n >= 1 && n <= NAME_MAX_BYTES && name[0] != '.';
    for (size_t i = 0; good && i < n; i++)
        good = isalnum((unsigned char)name[i]) || strchr("._-", name[i]);
    if (good) return WEFT_OK;
    return err_set(err, WEFT_ERR_ARGUMENT,
                   "'%.80s' is no adapter name: use 1 to %d letters, digits, '.', '_' and '-'",
                   name ? name : "", NAME_MAX_BYTES);
}

int store_adapter(const char *name, bool create, weft_adapter_paths *p, weft_error *err) {
    char root[sizeof p->dir];
    TRY(check_name(name, err));
    TRY(store_root(root, sizeof root, err));
    int n = snprintf(p->dir, sizeof p->dir, "%.900s/adapters/%s", root, name);
    if (n < 0 || (size_t)n >= sizeof p->dir || strlen(root) > 900)
        return err_set(err, WEFT_ERR_RANGE, "the path of the store is too long: %.60s...", root);
    snprintf(p->peft, sizeof p->peft, "%s/peft", p->dir);
    snprintf(p->gguf, sizeof p->gguf, "%s/%s.gguf", p->dir, name);
    snprintf(p->checkpoint, sizeof p->checkpoint, "%s/checkpoint.safetensors", p->dir);
    snprintf(p->run, sizeof p->run, "%s/run.json", p->dir);
    return create ? os_make_dirs(p->dir, err) : WEFT_OK;
}

int store_list(os_list *list, weft_error *err) {
    char root[900], path[1024];
    *list = (os_list){0};
    TRY(store_root(root, sizeof root, err));
    snprintf(path, sizeof path, "%s/adapters", root);
    return os_is_dir(path) ? os_list_dir(path, list, err) : WEFT_OK;
}
