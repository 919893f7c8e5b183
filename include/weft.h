#ifndef WEFT_H
#define WEFT_H

#include <stdint.h>

typedef enum weft_status {
    WEFT_OK = 0,
    WEFT_ERR_ARGUMENT,    /* the caller's argument is wrong */
    WEFT_ERR_IO,          /* a file could not be read or written */
    WEFT_ERR_FORMAT,      /* a file's content is damaged or not what it claims */
    WEFT_ERR_UNSUPPORTED, /* well-formed, but not something weft does */
    WEFT_ERR_MEMORY,      /* out of memory */
    WEFT_ERR_RANGE,       /* a count or size over a limit */
    WEFT_ERR_DEVICE,      /* the compute device failed */
    WEFT_ERR_NUMERIC,     /* NaN or infinity where a number must be */
    WEFT_ERR_STATE,       /* not possible now (wrong order, mismatched checkpoint) */
    WEFT_ERR_INTERRUPTED  /* stopped on request; what was done is saved */
} weft_status;

typedef struct weft_error {
    weft_status code;
    uint64_t offset; /* byte offset or line at fault, where there is one; else 0 */
    char message[512];
} weft_error;

#endif
