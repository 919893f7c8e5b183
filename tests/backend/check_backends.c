/* check_backends [--device gpu|gpu:N] [--gpu-tier 1|2|3] [--max-buffer BYTES] [--validate]
 *     [--brief] [--bench] [--only NAME]
 * Each operation of backend.h on Vulkan devices (all that can be used, or the one that is named)
 * against the scalar CPU backend: the same bits where kernel.h defines them, else within a bound
 * from the magnitudes; at every tier, at aligned and odd places, with bindings as the device allows
 * and of 1 MiB. --brief leaves out the latter and what slow drivers need long for. --bench prints
 * afterwards where the device's time went, with the share of its measured peaks. Exit 77: no
 * device. */
#include "backend/check_pair.h"

enum { CHECKS_MAX = 64, SKIPPED = 77, SMALL_BINDING = 1 << 20 };

typedef struct settings {
    int device, tier; /* -1: all */
    uint64_t max_buffer;
    bool validate, brief, bench;
    const char *only;
} settings;

static int usage(void) {
    fprintf(stderr, "usage: check_backends [--device gpu|gpu:N] [--gpu-tier 1|2|3] [--max-buffer "
                    "BYTES] [--validate] [--brief] [--bench] [--only NAME]\n");
    return 2;
}

static bool parse(int argc, char **argv, settings *s) {
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--validate"))
            s->validate = true;
        else if (!strcmp(argv[i], "--brief"))
            s->brief = true;
        else if (!strcmp(argv[i], "--bench"))
            s->bench = true;
        else if (!strcmp(argv[i], "--only") && more)
            s->only = argv[++i];
        else if (!strcmp(argv[i], "--gpu-tier") && more)
            s->tier = atoi(argv[++i]) - 1;
        else if (!strcmp(argv[i], "--max-buffer") && more)
            s->max_buffer = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--device") && more && !strncmp(argv[i + 1], "gpu", 3)) {
            i++;
            s->device = argv[i][3] == ':' ? atoi(argv[i] + 4) : -1;
        } else
            return false;
    }
    return true;
}

/* ---- running ---- */

typedef struct task {
    pair *p;
    const pair_check *check;
} task;

static void run_task(void **state) {
    const task *t = *state;
    bool once = (t->check->when & CHECK_ONCE) != 0;
    bool odd_only = t->p->brief || (once && t->p->windowed);
    for (int lead = odd_only ? PAIR_GUARD_WORDS : 0; lead <= PAIR_GUARD_WORDS;
         lead += PAIR_GUARD_WORDS) {
        t->p->lead = lead;
        t->check->body(t->p);
        pair_clear(t->p);
        if (once) break;
    }
}

/* All checks that are for all the flags of `when`, and, if brief, are not CHECK_FULL. */
static int run_checks(pair *p, const char *title, unsigned when) {
    const pair_check *lists[] = {rows_checks, ternary_checks, math_checks};
    struct CMUnitTest tests[CHECKS_MAX];
    task tasks[CHECKS_MAX];
    size_t count = 0;
    for (int i = 0; i < 3; i++)
        for (const pair_check *c = lists[i]; c->name; c++) {
            if ((c->when & when) != when || (p->brief && (c->when & CHECK_FULL))) continue;
            if (count == CHECKS_MAX) return 1;
            tasks[count] = (task){p, c};
            tests[count] = (struct CMUnitTest){c->name, run_task, NULL, NULL, &tasks[count]};
            count++;
        }
    int failed = _cmocka_run_group_tests(title, tests, count, NULL, NULL);
    pair_release(p); /* of a check that failed half-way */
    return failed;
}

static int open_pair(const settings *s, int device, vk_tier tier, uint64_t max_buffer, pair *p) {
    weft_error err;
    backend_options cpu = {1, 0};
    vk_options vk = {.device = device,
                     .tier_max = tier,
                     .max_buffer = max_buffer,
                     .validate = s->validate,
                     .profile = s->bench};
    *p = (pair){.windowed = max_buffer == SMALL_BINDING, .brief = s->brief};
    int rc = backend_create_cpu(&cpu, &p->be[0], &err);
    if (!rc) rc = backend_create_vk(&vk, &p->be[1], &err);
    if (rc == WEFT_ERR_UNSUPPORTED && s->validate) {
        printf("without validation: %s\n", err.message);
        vk.validate = false;
        rc = backend_create_vk(&vk, &p->be[1], &err);
    }
    if (rc) fprintf(stderr, "check_backends: %s\n", err.message);
    return rc;
}

/* ---- times ---- */

static double share(double amount, double seconds, double peak) {
    return peak > 0 && seconds > 0 ? 100 * amount / seconds / peak : 0;
}

static void print_times(const backend *be, const vk_peak *peak_of) {
    const vk_peak peak = *peak_of;
    int count;
    const vk_profile_entry *list = vk_profile_read(be, &count);
    printf("peaks: %.1f GB/s, %.1f TOPS (%s), %.1f TFLOPS (%s), %.1f TFLOPS float32\n",
           peak.read_bytes_per_s * 1e-9, peak.int8_ops_per_s * 1e-12,
           peak.int8_name ? peak.int8_name : "?", peak.half_ops_per_s * 1e-12,
           peak.half_name ? peak.half_name : "?", peak.f32_ops_per_s * 1e-12);
    printf("%-26s %-20s %8s %10s %10s %7s %10s %7s\n", "operation", "shader", "calls", "ms", "GB/s",
           "share", "GOPS", "share");
    for (int i = 0; i < count; i++) {
        double seconds = (double)list[i].ns * 1e-9;
        bool rounded = !strcmp(list[i].op, "op_ternary_matmul");
        double most = rounded ? peak.int8_ops_per_s : peak.f32_ops_per_s;
        printf("%-26s %-20s %8llu %10.3f %10.2f %6.1f%% %10.2f %6.1f%%\n", list[i].op,
               list[i].shader, (unsigned long long)list[i].calls, seconds * 1e3,
               list[i].bytes / seconds * 1e-9, share(list[i].bytes, seconds, peak.read_bytes_per_s),
               list[i].operations / seconds * 1e-9, share(list[i].operations, seconds, most));
    }
}

/* ---- devices ---- */

static int run_pair(const settings *s, int device, vk_tier tier, uint64_t max_buffer,
                    unsigned when) {
    pair p;
    char title[200];
    int failed = 1;
    vk_peak peak = {0};
    weft_error err;
    if (!open_pair(s, device, tier, max_buffer, &p)) {
        if (s->bench && backend_vk_peak(p.be[1], &peak, &err))
            printf("no peaks: %s\n", err.message);
        if (s->bench) vk_profile_clear(p.be[1]);
        snprintf(title, sizeof title, "%s%s", backend_name(p.be[1]),
                 p.windowed ? ", bindings of 1 MiB" : "");
        failed = run_checks(&p, title, when);
        if (s->bench) print_times(p.be[1], &peak);
    }
    for (int i = 0; i < 2; i++) backend_free(&p.be[i]);
    return failed;
}

static int run_device(const settings *s, int device, vk_tier best) {
    if (s->tier >= 0 && s->tier < (int)best) best = (vk_tier)s->tier;
    int failed = run_pair(s, device, best, s->max_buffer, CHECK_WHOLE);
    if (s->tier < 0)
        for (int tier = (int)best - 1; tier >= 0; tier--)
            failed += run_pair(s, device, (vk_tier)tier, s->max_buffer, CHECK_WHOLE | CHECK_TIERS);
    if (!s->max_buffer && !s->brief)
        failed += run_pair(s, device, best, SMALL_BINDING, CHECK_WINDOWS);
    return failed;
}

int main(int argc, char **argv) {
    settings s = {.device = -1, .tier = -1};
    vk_device_info list[VK_DEVICES_MAX];
    int count, best, failed = 0, used = 0;
    weft_error err;
    if (!parse(argc, argv, &s)) return usage();
    if (s.only) cmocka_set_test_filter(s.only);
    if (vk_devices_list(list, &count, &best, &err)) {
        fprintf(stderr, "check_backends: %s\n", err.message);
        return 1;
    }
    for (int device = 0; device < count; device++) {
        if (list[device].unusable || (s.device >= 0 && s.device != device)) continue;
        failed += run_device(&s, device, list[device].tier);
        used++;
    }
    if (!used) printf("skipped: no Vulkan device, or built without Vulkan\n");
    return !used ? SKIPPED : failed != 0;
}
