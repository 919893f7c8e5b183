/* The beginning of a message in a WhatsApp export: date, time, sender, in the forms of its apps. */
#ifndef WEFT_INGEST_WHATSAPP_LINE_H
#define WEFT_INGEST_WHATSAPP_LINE_H

#include <stdbool.h>

/* Numbers as they stand: which of a and b is the day depends on the phone's country. */
typedef struct whatsapp_line {
    int a, b, c; /* "31/12/2023": 31, 12, 2023 */
    bool year_first, twelve_hours;
    int hour, minute, second; /* 0 to 23 */
    const char *rest;         /* behind the date and its mark: "Anna: Hi" */
} whatsapp_line;

/* Read "[31/12/2023, 21:41:05] " or "12/31/23, 9:41 PM - " off a line of clean UTF-8; false: it
 * does not begin so, and goes on with the message before it. */
bool whatsapp_line_read(const char *line, whatsapp_line *out);

#endif
