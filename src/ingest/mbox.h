/* Messages as they lie in files, shared by the sources of mail. */
#ifndef WEFT_INGEST_MBOX_H
#define WEFT_INGEST_MBOX_H

#include "ingest/sources.h"

/* Read a file that is one message: count its sender in the first pass, learn it in the second. */
int mail_read_file(ingest_reader *r, FILE *file);

#define MAIL_FAMILY "mail" /* of senders */

#endif
