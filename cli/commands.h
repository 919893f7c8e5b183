/* The commands of weft: each takes the arguments after its name and returns the exit code. */
#ifndef WEFT_CLI_COMMANDS_H
#define WEFT_CLI_COMMANDS_H

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

int cmd_learn(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_rename(int argc, char **argv);
int cmd_describe(int argc, char **argv);
int cmd_remove(int argc, char **argv);
int cmd_blend(int argc, char **argv);
int cmd_runs(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_export(int argc, char **argv);

#endif
