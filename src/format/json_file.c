/* JSON documents from outside. jansson itself limits the depth (2048) and refuses bad UTF-8. */
#include "format/json_file.h"

#include "base/os.h"

#include <stdlib.h>

int json_file_parse(const char *data, size_t size, json_t **root, weft_error *err) {
    json_error_t fault;
    *root = json_loadb(size ? data : "", size, JSON_REJECT_DUPLICATES, &fault);
    if (!*root) {
        if (json_error_code(&fault) == json_error_out_of_memory)
            return err_set(err, WEFT_ERR_MEMORY, "out of memory reading JSON (%zu bytes)", size);
        uint64_t at = fault.position < 0 ? 0 : (uint64_t)fault.position;
        return err_set_at(err, WEFT_ERR_FORMAT, at, "not valid JSON: %.200s (byte %llu)",
                          fault.text, (unsigned long long)at);
    }
    if (json_is_object(*root)) return WEFT_OK;
    json_decref(*root);
    *root = NULL;
    return err_set(err, WEFT_ERR_FORMAT, "not a JSON object");
}

int json_file_read(const char *path, size_t limit, json_t **root, weft_error *err) {
    char *data;
    size_t size;
    *root = NULL;
    TRY(os_read_file(path, limit, &data, &size, err));
    int rc = json_file_parse(data, size, root, err);
    if (rc) err_prefix(err, "%s", path);
    free(data);
    return rc;
}
