/* weft devices: the processor and the GPUs that can compute, with the limits that matter. */
#include "commands.h"
#include "options.h"
#include "report.h"

#include <weft.h>

#include <string.h>

typedef struct devices_settings {
    bool json;
} devices_settings;

static const option_spec devices_table[] = {
    {"json", 0, OPTION_FLAG, offsetof(devices_settings, json), NULL, 0, 0, "one JSON object",
     false},
};

static const command_spec devices_command = {
    .name = "devices",
    .arguments = "[options]",
    .summary = "Show what this machine can compute with; --device of other commands takes the id.",
    .options = devices_table,
    .option_count = 1,
    .argument_max = 0};

static json_t *describe(const weft_device *d) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:i, s:i, s:i}", "id",
                     d->id, "name", d->name, "type", d->type, "driver", d->driver, "tier", d->tier,
                     "unusable", d->unusable, "best", d->best, "memory_bytes",
                     (json_int_t)d->memory_bytes, "free_bytes", (json_int_t)d->free_bytes,
                     "max_buffer_bytes", (json_int_t)d->max_buffer_bytes, "max_allocation_bytes",
                     (json_int_t)d->max_allocation_bytes, "shared_bytes", (int)d->shared_bytes,
                     "invocations", (int)d->invocations, "subgroup_size", (int)d->subgroup_size);
}

static void show(const weft_device *d) {
    char memory[REPORT_TEXT], room[REPORT_TEXT], shared[REPORT_TEXT];
    printf("%s%-6s%s %s, %s\n", report_bold(stdout), d->id, report_plain(stdout), d->name,
           report_size(d->memory_bytes, memory));
    if (!strcmp(d->type, "cpu")) return;
    printf("       %s, driver %s%s\n", d->type, d->driver, d->best ? "; `gpu` means this one" : "");
    if (d->unusable[0]) {
        printf("       cannot be used: %s\n", d->unusable);
        return;
    }
    printf(
        "       multiplies with: %s; buffers to %s, work groups of %u with %s, subgroups of %u\n",
        d->tier, report_size(d->max_buffer_bytes, room), d->invocations,
        report_size(d->shared_bytes, shared), d->subgroup_size);
    if (d->free_bytes)
        printf("       %s of its memory can be used now\n", report_size(d->free_bytes, room));
}

int cmd_devices(int argc, char **argv) {
    devices_settings s = {0};
    weft_device list[WEFT_DEVICES_MAX];
    weft_error err;
    int count;
    option_outcome outcome = options_parse(&devices_command, argc, argv, &s, NULL);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    int rc = weft_devices(list, &count, &err);
    if (rc) {
        report_error("devices: %s", err.message);
        return EXIT_FAILED;
    }
    if (s.json) {
        json_t *rows = json_array();
        for (int i = 0; i < count; i++) json_array_append_new(rows, describe(&list[i]));
        return report_json(json_pack("{s:o}", "devices", rows), false);
    }
    for (int i = 0; i < count; i++) show(&list[i]);
    if (count == 1) printf("no GPU: no Vulkan driver was found (libvulkan.so.1 and a driver)\n");
    return report_finish(EXIT_OK);
}
