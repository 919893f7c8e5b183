/* The conversation on a terminal: line editing, history, and the words that begin with a slash. */
#include "chat.h"
#include "commands.h"
#include "report.h"

#include "base/os.h"

#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_MAX 1000

typedef struct editor {
    EditLine *line;
    History *history;
    HistEvent event;
    char history_path[PATH_BYTES]; /* "" = none is kept */
} editor;

static char *prompt_text(EditLine *line) {
    static char text[] = "> ";
    (void)line;
    return text;
}

/* STORE/history: adapters lie in STORE/adapters/NAME, which gives the store's place. */
static void find_history(editor *e) {
    weft_adapter_paths paths;
    weft_error err;
    e->history_path[0] = '\0';
    if (weft_store_adapter("x", false, &paths, &err)) return;
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(paths.dir, '/');
        if (!slash) return;
        *slash = '\0';
    }
    if (os_make_dirs(paths.dir, &err)) return;
    snprintf(e->history_path, sizeof e->history_path, "%s/history", paths.dir);
}

static bool open_editor(editor *e) {
    e->line = el_init("weft", stdin, stdout, stderr);
    e->history = history_init();
    if (!e->line || !e->history) return false;
    history(e->history, &e->event, H_SETSIZE, HISTORY_MAX);
    history(e->history, &e->event, H_SETUNIQUE, 1);
    el_set(e->line, EL_PROMPT, prompt_text);
    el_set(e->line, EL_EDITOR, "emacs");
    el_set(e->line, EL_HIST, history, e->history);
    find_history(e);
    if (e->history_path[0]) history(e->history, &e->event, H_LOAD, e->history_path);
    return true;
}

/* What was said is private: the file is made for its owner alone before anything is in it. */
static void close_editor(editor *e) {
    if (e->history && e->history_path[0]) {
        mode_t before = umask(0077);
        history(e->history, &e->event, H_SAVE, e->history_path);
        umask(before);
        chmod(e->history_path, 0600);
    }
    if (e->line) el_end(e->line);
    if (e->history) history_end(e->history);
}

static void print_help(void) {
    printf("/adapter NAME[:S] ...  answer with these adapters from now on; alone, with none\n"
           "/clear                 forget the conversation\n"
           "/help                  show this\n"
           "/quit                  leave (so does Ctrl-D); Ctrl-C stops an answer\n");
}

static void change_adapters(chat *c, char *text) {
    const char *words[OPTION_LIST_MAX + 1];
    size_t count = 0;
    weft_error err;
    for (char *word; count <= OPTION_LIST_MAX && (word = strsep(&text, " \t"));)
        if (*word) words[count++] = word;
    if (chat_use_adapters(c, words, count, &err)) {
        report_error("%s", err.message);
        return;
    }
    printf("answering with");
    for (size_t i = 0; i < c->adapters.count; i++)
        printf("%s %s:%g", i ? "," : "", c->adapters.names[i], (double)c->adapters.scales[i]);
    printf("%s\n", c->adapters.count ? "" : " the plain model");
}

/* A line that begins with a slash; false = leave. */
static bool obey(chat *c, char *line) {
    size_t n = strcspn(line, " \t");
    char *rest = line + n + strspn(line + n, " \t");
    if (!strncmp(line, "/quit", n) || !strncmp(line, "/exit", n)) return false;
    if (n == 8 && !strncmp(line, "/adapter", n))
        change_adapters(c, rest);
    else if (n == 6 && !strncmp(line, "/clear", n)) {
        conversation_clear(&c->turns);
        printf("forgotten\n");
    } else
        print_help();
    return true;
}

static void greet(const chat *c) {
    weft_model_info info;
    weft_model_get_info(c->model, &info);
    printf("%s%s%s", report_bold(stdout), info.name, report_plain(stdout));
    for (size_t i = 0; i < c->adapters.count; i++) printf(" + %s", c->adapters.names[i]);
    printf("%s  (/help lists commands, Ctrl-D leaves)%s\n", report_dim(stdout),
           report_plain(stdout));
}

/* A line without its end and surrounding blanks, to be freed; NULL when there are no more. A line
 * given up with Ctrl-C is "". */
static char *read_line(editor *e) {
    int count;
    stop_arm();
    const char *line = el_gets(e->line, &count);
    if (!line || count <= 0) {
        if (stop_requested() != SIGINT) return NULL;
        printf("\n(Ctrl-D leaves)\n");
        el_reset(e->line);
        return strdup("");
    }
    line += strspn(line, " \t");
    size_t n = strlen(line);
    while (n && strchr(" \t\r\n", line[n - 1])) n--;
    return strndup(line, n);
}

int chat_talk(chat *c) {
    editor e = {0};
    weft_error err;
    int rc = WEFT_OK;
    if (!open_editor(&e)) {
        close_editor(&e);
        report_error("chat: out of memory for line editing");
        return EXIT_FAILED;
    }
    greet(c);
    for (bool on = true; on && !ferror(stdout);) {
        char *line = read_line(&e);
        if (!line) break;
        if (*line) history(e.history, &e.event, H_ENTER, line);
        if (*line == '/') {
            on = obey(c, line);
        } else if (*line) {
            rc = chat_answer(c, line, &err);
            if (rc && rc != WEFT_ERR_INTERRUPTED) report_error("%s", err.message);
        }
        free(line);
        if (stop_requested() == SIGTERM) break;
    }
    close_editor(&e);
    putchar('\n');
    return report_finish(EXIT_OK);
}
