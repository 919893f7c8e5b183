/* Days of the Gregorian calendar as numbers, and back. */
#ifndef WEFT_INGEST_CALENDAR_H
#define WEFT_INGEST_CALENDAR_H

#include <stdio.h>

#define CALENDAR_DATE_BYTES 16

/* Days from the calendar's beginning, March being the first month of a year (from year 0 on). */
static inline int calendar_day(int year, int month, int day_of_month) {
    year -= month <= 2;
    int from_march = (month + 9) % 12;
    return year * 365 + year / 4 - year / 100 + year / 400 + (from_march * 306 + 5) / 10 +
           day_of_month - 1;
}

/* Write day `number` (of a year from 1 to 9999) as "2024-03-01". */
static inline void calendar_date(int number, char out[CALENDAR_DATE_BYTES]) {
    int year = number / 366, month = 12; /* then forward to the right one */
    while (calendar_day(year + 1, 1, 1) <= number) year++;
    while (month > 1 && calendar_day(year, month, 1) > number) month--;
    int day = number - calendar_day(year, month, 1) + 1;
    snprintf(out, CALENDAR_DATE_BYTES, "%04u-%02u-%02u", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)day % 100);
}

#endif
