/* Errors inside the library. Every fallible function returns a weft_status (0 is success) and
 * writes the reason to the caller's weft_error, which may be NULL. Nothing here prints, exits or
 * aborts. */
#ifndef WEFT_BASE_STATUS_H
#define WEFT_BASE_STATUS_H

#include <stdint.h>
#include <weft.h>

#define WEFT_PRINTF(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))

/* Fill *err (NULL allowed) with a code and a printf-formatted message; gives the code, so that
 * `return err_set(err, WEFT_ERR_FORMAT, "...")` reads as one sentence. A message says what is
 * wrong, where, and what to do; it starts lower-case and has no full stop. err_set_at adds the
 * place: the byte offset (files) or line number (texts) at fault; err_set leaves it 0. Macros, so
 * that the compiler sees that the result is not 0. */
#define err_set(err, code, ...) err_set_at(err, code, 0, __VA_ARGS__)
#define err_set_at(err, code, offset, ...)                                                         \
    (err_write(err, code, offset, __VA_ARGS__), err_code(code))

static inline int err_code(weft_status code) {
    return (int)code;
}
void err_write(weft_error *err, weft_status code, uint64_t offset, const char *format, ...)
    WEFT_PRINTF(4, 5);

/* Put "prefix: " (a file name, a tensor name) in front of a message that a lower layer wrote. */
void err_prefix(weft_error *err, const char *format, ...) WEFT_PRINTF(2, 3);

/* Forward a failure to the caller. Use TRY_OR(expr, fail) where something must be freed first:
 * it stores the code in a local `int rc` and jumps. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        int try_status = (expr);                                                                   \
        if (try_status) return try_status;                                                         \
    } while (0)
#define TRY_OR(expr, label)                                                                        \
    do {                                                                                           \
        rc = (expr);                                                                               \
        if (rc) goto label;                                                                        \
    } while (0)

#endif
