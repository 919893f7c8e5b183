/* What a mail's text says: what its sender wrote, what it quotes, what it is about. Knows nothing
 * of MIME; all input is clean UTF-8 (text_clean). Every function returns false when memory is
 * short. */
#ifndef WEFT_INGEST_MAIL_H
#define WEFT_INGEST_MAIL_H

#include "base/bytes.h"

#include <stdbool.h>

typedef struct mail_text {
    bytes own;    /* the sender's words, trimmed, without signature */
    bytes quoted; /* what they answer, unquoted and trimmed; older quotes inside it are dropped */
} mail_text;

/* Tell own words from quoted ones: lines with '>', the line "On ... wrote:" before them (of one or
 * two lines), everything after "-----Original Message-----", and a signature after "-- ". */
bool mail_split(const char *text, mail_text *out);
void mail_text_free(mail_text *m);

/* Join the lines of a format=flowed text (RFC 3676) to paragraphs; delsp drops the joining space.
 */
bool mail_unflow(const char *text, bool delsp, bytes *out);

/* Readable text of an HTML body; block quotes become lines with "> ". */
bool mail_from_html(const char *html, bytes *out);

/* The instruction a mail answers when it quotes nothing: "Write an email about: SUBJECT", with
 * "Re:", "Fwd:" and the like cut off; "Write an email" where nothing is left. */
bool mail_request(const char *subject, bytes *out);

#endif
