/* Private matters in a text replaced by what they are: [key], [password], [card], [iban], [phone],
 * [email]. What has a check digit is checked, and a number must look like a telephone number to be
 * taken for one, so that order numbers, dates, versions and hashes stay. It is a help, no promise:
 * names, street addresses and numbers written as one run of digits are not found. */
#ifndef WEFT_INGEST_REDACT_H
#define WEFT_INGEST_REDACT_H

#include "base/bytes.h"
#include "ingest/ingest.h"

/* Append text to out with its private matters replaced, counting each kind. False: out of memory.
 * counts has INGEST_REDACTIONS places. */
bool redact_text(const char *text, bytes *out, uint64_t *counts);

#endif
