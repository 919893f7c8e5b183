/* weft plan: what learning would take, measured and counted; nothing is learnt. */
#include "commands.h"
#include "learn.h"
#include "report.h"

#include <math.h>

int learn_plan(learn_run *r) {
    weft_error err;
    int rc = learn_estimate(r, &err);
    if (rc) return fail("plan", rc, &err);
    learn_show_plan(r);
    if (r->s.json || r->s.json_lines) return report_json(learn_json(r, "plan"), r->s.json_lines);
    return report_finish(EXIT_OK);
}

int cmd_plan(int argc, char **argv) {
    learn_run r = {
        .s = learn_settings_default(), .lock = -1, .replay_before = NAN, .replay_after = NAN};
    weft_error err;
    option_outcome outcome = options_parse(&plan_command, argc, argv, &r.s, &r.path);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    if (!r.path) {
        report_error("plan: PATH is missing: a file or folder to learn from\n"
                     "usage: weft plan %s",
                     plan_command.arguments);
        return EXIT_USAGE;
    }
    r.s.dry_run = true;
    r.out = r.s.quiet ? NULL : r.s.json || r.s.json_lines ? stderr : stdout;
    int rc = learn_prepare(&r, &err);
    int code = rc ? fail("plan", rc, &err) : learn_plan(&r);
    learn_close(&r);
    return code;
}
