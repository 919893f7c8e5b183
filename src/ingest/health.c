/* Source of Apple Health exports (export.xml): records gathered by day as they stream by, each day
 * a sentence. What lies within workouts and correlations is left out, as the export has it twice.
 */
#include "ingest/health_days.h"
#include "ingest/xml.h"

#include <libxml/xmlreader.h>
#include <string.h>

#define PROLOGUE_BYTES_MAX (1u << 20)
#define ROOT               "<HealthData"

/* Pass over declaration and document type, which some versions of the export have malformed, up to
 * the root element. False where there is none. */
static bool find_root(FILE *file) {
    char window[sizeof ROOT] = "";
    for (size_t i = 0; i < PROLOGUE_BYTES_MAX; i++) {
        int byte = getc(file);
        if (byte == EOF) return false;
        memmove(window, window + 1, sizeof window - 2);
        window[sizeof window - 2] = (char)byte;
        if (!memcmp(window, ROOT, sizeof ROOT - 1))
            return !fseeko(file, -(off_t)(sizeof ROOT - 1), SEEK_CUR);
    }
    return false;
}

static int read_some(void *file, char *buffer, int size) {
    size_t n = fread(buffer, 1, (size_t)size, file);
    return ferror(file) ? -1 : (int)n;
}

static const char *text_of(const xmlNode *node, const char *name) {
    const char *value = node ? xml_attribute(node, name) : NULL;
    return value ? value : "";
}

static health_outcome add_element(health_days *d, const xmlNode *node) {
    if (xml_is(node, "Workout"))
        return health_days_add_workout(d, text_of(node, "workoutActivityType"),
                                       text_of(node, "duration"), text_of(node, "durationUnit"),
                                       text_of(node, "startDate"));
    if (!xml_is(node, "Record")) return HEALTH_TAKEN; /* who and when; summaries of what follows */
    health_record r = {text_of(node, "type"),      text_of(node, "sourceName"),
                       text_of(node, "unit"),      text_of(node, "value"),
                       text_of(node, "startDate"), text_of(node, "endDate")};
    return health_days_add(d, &r);
}

static int count_outcome(ingest_reader *r, health_outcome outcome, const xmlNode *node,
                         uint64_t number) {
    static const char *const reasons[] = {
        [HEALTH_UNKNOWN] = "type of record that is not summarised",
        [HEALTH_BAD_DATE] = "record without a date",
        [HEALTH_BAD_VALUE] = "record without a sensible value",
        [HEALTH_BAD_UNIT] = "record in another unit than those before",
    };
    if (outcome == HEALTH_NO_MEMORY) return reader_no_memory(r);
    if (outcome != HEALTH_TAKEN)
        reader_skip(r, "record", number, reasons[outcome],
                    text_of(node, xml_is(node, "Record") ? "type" : "workoutActivityType"));
    return WEFT_OK;
}

static int read_records(ingest_reader *r, xmlTextReader *xml, health_days *d) {
    uint64_t number = 0;
    int got;
    while ((got = xmlTextReaderRead(xml)) == 1) {
        if (xmlTextReaderNodeType(xml) != XML_READER_TYPE_ELEMENT) continue;
        if (xmlTextReaderDepth(xml) != 1) continue;
        const xmlNode *node = xmlTextReaderCurrentNode(xml);
        if (!node) break;
        TRY(count_outcome(r, add_element(d, node), node, ++number));
    }
    if (got < 0) reader_skip(r, "record", number + 1, "damaged here: the rest is not read", "");
    return WEFT_OK;
}

static int read_export(ingest_reader *r, FILE *file, health_days *d) {
    int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    xmlTextReader *xml = xmlReaderForIO(read_some, NULL, file, NULL, "UTF-8", options);
    if (!xml) return reader_no_memory(r);
    int rc = read_records(r, xml, d);
    xmlFreeTextReader(xml);
    records t = {.r = r};
    if (!rc) rc = health_days_tell(d, &t);
    return records_end(&t, rc);
}

static int read_health(ingest_reader *r, FILE *file) {
    reader_kind(r, "health");
    if (!find_root(file))
        return reader_skip(r, "record", 0, "not an export of Apple Health", ""), WEFT_OK;
    health_days *d = health_days_create();
    int rc = d ? read_export(r, file, d) : reader_no_memory(r);
    health_days_free(d);
    return rc;
}

static bool detects(const ingest_head *head) {
    return head->text && (strstr(head->data, "<!DOCTYPE HealthData") || strstr(head->data, ROOT));
}

const ingest_source source_health = {.name = "health",
                                     .title = "Apple Health export",
                                     .unit = "day",
                                     .detects = detects,
                                     .read = read_health};
