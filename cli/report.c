/* Formats for people and machines. */
#include "report.h"

#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void report_error(const char *format, ...) {
    va_list args;
    report_progress("");
    fputs("weft: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

const char *report_size(uint64_t bytes, char text[REPORT_TEXT]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(text, REPORT_TEXT, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

const char *report_count(int64_t count, char text[REPORT_TEXT]) {
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, count < 0 ? -count : count), out = 0;
    if (count < 0) text[out++] = '-';
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = '\0';
    return text;
}

const char *report_duration(double seconds, char text[REPORT_TEXT]) {
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e9) {
        snprintf(text, REPORT_TEXT, "?");
    } else if (seconds < 59.5) {
        snprintf(text, REPORT_TEXT, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
    } else {
        long whole = lround(seconds);
        if (whole < 3600)
            snprintf(text, REPORT_TEXT, "%ld min %02ld s", whole / 60, whole % 60);
        else
            snprintf(text, REPORT_TEXT, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
    }
    return text;
}

const char *report_plural(int64_t count, const char *noun, char text[REPORT_TEXT * 2]) {
    char number[REPORT_TEXT];
    snprintf(text, REPORT_TEXT * 2, "%s %s%s", report_count(count, number), noun,
             count == 1 ? "" : "s");
    return text;
}

/* ---- sparkline ---- */

/* Mean of the values that fall into place i of width. */
static float mean_at(const float *values, size_t count, size_t width, size_t i) {
    size_t begin = i * count / width, end = (i + 1) * count / width;
    float sum = 0;
    for (size_t k = begin; k < end; k++) sum += values[k];
    return sum / (float)(end - begin);
}

const char *report_sparkline(const float *values, size_t count, size_t width,
                             char text[REPORT_SPARK_MAX * 3 + 1]) {
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    float means[REPORT_SPARK_MAX], low = INFINITY, high = -INFINITY;
    if (width > REPORT_SPARK_MAX) width = REPORT_SPARK_MAX;
    if (width > count) width = count;
    for (size_t i = 0; i < width; i++) {
        means[i] = mean_at(values, count, width, i);
        low = fminf(low, means[i]);
        high = fmaxf(high, means[i]);
    }
    text[0] = '\0';
    for (size_t i = 0; i < width; i++) {
        float share = high > low ? (means[i] - low) / (high - low) : 0.0f;
        int level = share >= 0 && share <= 1 ? (int)(share * 7.0f + 0.5f) : 0;
        strcat(text, blocks[level]);
    }
    return text;
}

/* ---- the terminal ---- */

bool report_is_terminal(FILE *stream) {
    return isatty(fileno(stream)) == 1;
}

int report_columns(FILE *stream) {
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) || !size.ws_col) return 80;
    return size.ws_col;
}

static const char *escape(FILE *stream, const char *sequence) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    bool wanted = !(no && *no) && !(term && !strcmp(term, "dumb")) && report_is_terminal(stream);
    return wanted ? sequence : "";
}

const char *report_bold(FILE *stream) {
    return escape(stream, "\033[1m");
}
const char *report_dim(FILE *stream) {
    return escape(stream, "\033[2m");
}
const char *report_plain(FILE *stream) {
    return escape(stream, "\033[0m");
}

void report_progress(const char *line) {
    static bool shown; /* a line that is to be rewritten stands on the terminal */
    if (!report_is_terminal(stderr) || (!*line && !shown)) return;
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    shown = *line != '\0';
}

/* ---- JSON ---- */

json_t *report_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

int report_finish(int code) {
    if (!fflush(stdout) && !ferror(stdout)) return code;
    report_error("cannot write to the standard output: %s", strerror(errno));
    return EXIT_FAILED;
}

int report_json(json_t *root, bool compact) {
    size_t flags = JSON_REAL_PRECISION(9) | (compact ? JSON_COMPACT : JSON_INDENT(2));
    int failed = json_dumpf(root, stdout, flags);
    json_decref(root);
    if (failed) {
        report_error("cannot write to the standard output");
        return EXIT_FAILED;
    }
    putchar('\n');
    return report_finish(EXIT_OK);
}
