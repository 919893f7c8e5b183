/* The command weft: a table of subcommands. */
#include "commands.h"
#include "options.h"
#include "report.h"

#include <locale.h>
#include <signal.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"chat", cmd_chat, "talk with the model, with or without what it learnt"},
    {"learn", cmd_learn, "learn a person's writing from mail, text or JSON records"},
    {"plan", cmd_plan, "say what learning would take: memory, time, settings that fit"},
    {"data", cmd_data, "show what would be learnt from files, and what would not"},
    {"eval", cmd_eval, "measure what adapters changed: right answers, loss, samples"},
    {"audit", cmd_audit, "look for private strings that an adapter gives away"},
    {"bench", cmd_bench, "measure speed and memory beside what this machine can do"},
    {"devices", cmd_devices, "show what this machine can compute with"},
    {"list", cmd_list, "show the adapters that were learnt"},
    {"runs", cmd_runs, "show the history of learning: losses, curves, comparisons"},
    {"blend", cmd_blend, "make one adapter of several"},
    {"rename", cmd_rename, "give an adapter another name"},
    {"describe", cmd_describe, "say what an adapter is for"},
    {"remove", cmd_remove, "delete an adapter"},
    {"info", cmd_info, "show what is in a model or adapter"},
    {"import", cmd_import, "make one GGUF of a Hugging Face folder"},
    {"export", cmd_export, "write an adapter as GGUF or as a PEFT folder"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *out) {
    fprintf(out,
            "weft %s: a language model on your device that learns your own writing\n\n"
            "usage: weft COMMAND [options]\n\n",
            weft_version());
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nweft COMMAND --help explains each. To begin: weft chat\n");
}

static int unknown_command(const char *word) {
    const char *names[COMMAND_COUNT];
    for (int i = 0; i < COMMAND_COUNT; i++) names[i] = commands[i].name;
    const char *near = options_nearest(word, names, COMMAND_COUNT);
    report_error("there is no command '%s'%s%s%s", word, near ? "; did you mean " : "",
                 near ? near : "", near ? "?" : "");
    fprintf(stderr, "weft help lists them\n");
    return EXIT_USAGE;
}

static int run(const char *word, int argc, char **argv) {
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(commands[i].name, word)) return commands[i].run(argc, argv);
    return unknown_command(word);
}

int main(int argc, char **argv) {
    /* Characters follow the locale (line editing needs it); numbers keep the point. */
    setlocale(LC_CTYPE, "");
    /* Writing past a file size limit is an error like a full disk, not a reason to die. */
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        printf("weft %s\n", weft_version());
        return report_finish(EXIT_OK);
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        (!strcmp(argv[1], "help") && argc == 2)) {
        print_usage(stdout);
        return report_finish(EXIT_OK);
    }
    if (!strcmp(argv[1], "help")) return run(argv[2], 1, (char *[]){"--help", NULL});
    return run(argv[1], argc - 2, argv + 2);
}
