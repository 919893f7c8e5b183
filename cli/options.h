/* One table-driven option parser for all commands: the same table parses, documents and saves the
 * options. It prints usage errors itself, and refuses what it does not know. */
#ifndef WEFT_CLI_OPTIONS_H
#define WEFT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTION_LIST_MAX 8

typedef enum option_kind {
    OPTION_HEADING, /* no option: a title in the help */
    OPTION_FLAG,    /* bool */
    OPTION_TEXT,    /* const char * */
    OPTION_WHOLE,   /* int64_t; decimal or 0x */
    OPTION_NUMBER,  /* double */
    OPTION_SIZE,    /* uint64_t bytes; K, M, G for powers of 1024 */
    OPTION_CHOICE,  /* int: the index among value's names */
    OPTION_LIST     /* option_list: may be given several times */
} option_kind;

typedef struct option_list {
    const char *items[OPTION_LIST_MAX]; /* borrowed */
    size_t count;
} option_list;

typedef struct option_spec {
    const char *name; /* without dashes */
    char letter;      /* the short form, or 0 */
    option_kind kind;
    size_t offset;     /* of the variable in the command's settings */
    const char *value; /* its name in the help; choices: "one|two" */
    double low, high;  /* of numbers */
    const char *help;
    bool transient; /* says how to run, not what: left out of saved runs */
} option_spec;

/* A command's face. Positional arguments beyond argument_max are refused. */
typedef struct command_spec {
    const char *name, *arguments, *summary; /* arguments: "PATH --name NAME" */
    const option_spec *options;
    size_t option_count;
    size_t argument_max;
} command_spec;

typedef enum option_outcome { OPTIONS_GO, OPTIONS_HELP, OPTIONS_WRONG } option_outcome;

/* Parse argv[0 .. argc) (the command's name left out) into settings, which holds the defaults, and
 * arguments (argument_max places; NULL where not given). Prints the help for --help, and an error
 * for what is wrong. Texts are borrowed from argv. */
option_outcome options_parse(const command_spec *command, int argc, char **argv, void *settings,
                             const char **arguments);

/* Set one option from text; false with the reason in why. */
bool option_set(const option_spec *option, const char *text, void *settings, char why[256]);

/* The value as text that option_set takes back; false for one that is not set (NULL text) or that
 * has no value of its own (headings, lists). */
bool option_text(const option_spec *option, const void *settings, char *text, size_t size);

/* The candidate nearest to a mistyped word, or NULL if none is near. */
const char *options_nearest(const char *word, const char *const *candidates, size_t count);

#endif
