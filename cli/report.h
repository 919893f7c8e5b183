/* How weft shows things to people and machines: numbers, sizes, durations, a sparkline, a progress
 * line, JSON. Colours and rewritten lines appear on a terminal only. */
#ifndef WEFT_CLI_REPORT_H
#define WEFT_CLI_REPORT_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define REPORT_TEXT      32
#define REPORT_SPARK_MAX 40

/* "weft: MESSAGE" on stderr. */
void report_error(const char *format, ...) WEFT_PRINTF(1, 2);

/* Texts in the caller's buffer, which they return. */
const char *report_size(uint64_t bytes, char text[REPORT_TEXT]); /* "48.3 MiB" */
const char *report_count(int64_t count, char text[REPORT_TEXT]); /* "12,345" */
const char *report_duration(double seconds,
                            char text[REPORT_TEXT]); /* "2 min 05 s"; "?" if unknown */

/* "one document", "12 documents": plain English plurals in -s. */
const char *report_plural(int64_t count, const char *noun, char text[REPORT_TEXT * 2]);

/* Losses as at most width Unicode blocks, scaled between their least and largest. */
const char *report_sparkline(const float *values, size_t count, size_t width,
                             char text[REPORT_SPARK_MAX * 3 + 1]);

bool report_is_terminal(FILE *stream);
int report_columns(FILE *stream); /* 80 where unknown */

/* Escape sequences, or "" where colours are not wanted (no terminal, NO_COLOR). */
const char *report_bold(FILE *stream);
const char *report_dim(FILE *stream);
const char *report_plain(FILE *stream);

/* One line on stderr that is rewritten, for terminals. An empty line removes it. */
void report_progress(const char *line);

/* A JSON number, null where it is NaN or infinite. */
json_t *report_number(double value);

/* One object and a newline on stdout; takes root over. Returns the command's exit code: EXIT_FAILED
 * when stdout cannot take it. */
int report_json(json_t *root, bool compact);

/* Flush stdout; on failure (a full disk) say so and return EXIT_FAILED, else code. */
int report_finish(int code);

#endif
