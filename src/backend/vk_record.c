/* What operations tell the device to do, checked and appended to the stream; and what comes back:
 * errors of the driver, complaints of the validation layer, faults in the data. */
#include "backend/vk_core.h"
#include "backend/vk_shader.h"

#include "base/os.h"

#include <stdlib.h>

/* Commands of the first segment after a wait, so that the device begins early, and of later ones.
 */
#define SEGMENT_FIRST 64
#define SEGMENT_LATER VK_SEGMENT_COMMANDS

const vk_limits *vk_limits_of(const vk_backend *vk) {
    return &vk->device.limits;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

bool vk_has_shader(const vk_backend *vk, vk_shader shader) {
    const vk_shader_code *code = vk_shader_find(shader);
    vk_tier tier = vk->device.limits.tier;
    if (!code->words) return false;
    if (ends_with(code->name, "_coop")) return tier >= VK_TIER_COOP;
    return !ends_with(code->name, "_dot") || tier >= VK_TIER_DOT;
}

/* ---- errors ---- */

static const char lost_text[] =
    "the device was lost: what a run has learned is saved up to its last checkpoint and can be "
    "resumed, also with --device cpu";

int vk_error(vk_backend *vk, const char *what, VkResult result, weft_error *err) {
    const char *name = vk->device.facts.info.name;
    if (result == VK_ERROR_DEVICE_LOST) {
        vk->lost = true;
        return err_set(err, WEFT_ERR_DEVICE, "%s: %s", name, lost_text);
    }
    bool memory = result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
    return err_set(err, memory ? WEFT_ERR_MEMORY : WEFT_ERR_DEVICE, "%s: %s (%s)", name, what,
                   vk_result_text(result));
}

void vk_fail(vk_backend *vk, const char *op, const char *what, VkResult result) {
    weft_error err;
    vk_error(vk, what, result, &err);
    backend_fail(&vk->base, op, err.code, "%s", err.message);
}

void vk_check(vk_backend *vk, const char *op) {
    vk_instance *instance = &vk->device.instance;
    if (vk->lost) vk_fail(vk, op, "", VK_ERROR_DEVICE_LOST);
    if (!instance->messenger) return;
    pthread_mutex_lock(&instance->lock);
    if (instance->complaint[0])
        backend_fail(&vk->base, op, WEFT_ERR_STATE, "Vulkan validation: %s", instance->complaint);
    instance->complaint[0] = 0;
    pthread_mutex_unlock(&instance->lock);
}

/* ---- faults ---- */

static const struct {
    const char *op, *text;
} fault_texts[VK_FAULT_COUNT] = {
    [VK_FAULT_ID] = {"op_embed", "an id is outside the matrix"},
    [VK_FAULT_POSITION] = {"op_rope", "a position is outside the table"},
    [VK_FAULT_KEYS] = {"op_attention", "a token's keys are not within 0 .. keys - 1"},
    [VK_FAULT_DOCUMENT] = {"op_attention_backward", "first and last do not describe documents"},
    [VK_FAULT_TARGET] = {"op_head_loss", "a target is outside the vocabulary"},
    [VK_FAULT_ROW] = {"op_gather", "a row is outside its buffer"},
};

void vk_faults_reset(vk_backend *vk) {
    memset(vk->fault_memory.mapped, 0xff, VK_FAULT_COUNT * sizeof(uint32_t));
}

void vk_faults_check(vk_backend *vk) {
    uint32_t places[VK_FAULT_COUNT];
    memcpy(places, vk->fault_memory.mapped, sizeof places);
    for (int i = 0; i < VK_FAULT_COUNT; i++) {
        if (places[i] == UINT32_MAX) continue;
        backend_fail(&vk->base, fault_texts[i].op, WEFT_ERR_RANGE, "%s (place %u)",
                     fault_texts[i].text, places[i]);
        vk_faults_reset(vk);
    }
}

vk_binding vk_fault_binding(vk_backend *vk) {
    return (vk_binding){view_of(&vk->faults), VK_FAULT_COUNT * sizeof(uint32_t), VK_READ_WRITE};
}

/* ---- windows and groups ---- */

void vk_groups(const vk_backend *vk, uint64_t n, uint32_t groups[3]) {
    uint64_t most = vk->device.limits.groups_max;
    uint64_t rows = n ? (n - 1) / most + 1 : 0;
    groups[0] = rows ? (uint32_t)((n - 1) / rows + 1) : 0;
    groups[1] = (uint32_t)rows;
    groups[2] = 1;
}

int64_t vk_window_rows(vk_backend *vk, const char *op, size_t row_bytes, int64_t rows) {
    const vk_limits *l = &vk->device.limits;
    uint64_t room = l->window_bytes - l->offset_alignment; /* a window begins aligned */
    if (backend_has_failed(&vk->base)) return 0;
    uint64_t fit = row_bytes ? room / row_bytes : 0;
    if (!fit)
        backend_fail(&vk->base, op, WEFT_ERR_UNSUPPORTED,
                     "a row of %zu bytes does not fit a buffer binding of %llu bytes: use a larger "
                     "--max-buffer or --device cpu",
                     row_bytes, (unsigned long long)l->window_bytes);
    return fit < (uint64_t)rows ? (int64_t)fit : rows;
}

/* ---- telling ---- */

static void *stream_grow(vk_backend *vk, const char *op, size_t size) {
    vk_stream *s = &vk->stream;
    if (s->size + size > s->capacity) {
        size_t capacity = 2 * (s->size + size);
        uint64_t *words = realloc(s->words, capacity * sizeof *words);
        if (!words) {
            backend_fail(&vk->base, op, WEFT_ERR_MEMORY, "out of memory for commands");
            return NULL;
        }
        s->words = words;
        s->capacity = capacity;
    }
    void *at = s->words + s->size;
    s->size += size;
    return at;
}

/* Room for a command; the segment is closed first if it is full, so that what was told last may
 * still be given its staged bytes. */
static vk_told *tell(vk_backend *vk, const vk_told *header) {
    vk_stream *s = &vk->stream;
    if (s->count >= (s->segments ? SEGMENT_LATER : SEGMENT_FIRST)) vk_segment_close(vk);
    vk_told *told = stream_grow(vk, header->op, header->words);
    if (!told) return NULL;
    *told = *header;
    s->count++;
    return told;
}

static vk_told_range *ranges_of(vk_told *told) {
    return (vk_told_range *)(void *)(told + 1);
}

void vk_tell_copy(vk_backend *vk, const char *op, const vk_memory *from, uint64_t from_offset,
                  const vk_memory *to, uint64_t to_offset, uint64_t bytes) {
    vk_told header = {.command = VK_COMMAND_COPY,
                      .binding_count = 2,
                      .access = VK_READ | VK_WRITE << 2,
                      .words = (sizeof(vk_told) + 2 * sizeof(vk_told_range)) / 8,
                      .op = op,
                      .bytes = 2 * (double)bytes};
    vk_told *told = tell(vk, &header);
    if (!told) return;
    ranges_of(told)[0] = (vk_told_range){from, from_offset, bytes};
    ranges_of(told)[1] = (vk_told_range){to, to_offset, bytes};
}

void vk_tell_fill(vk_backend *vk, const char *op, const vk_memory *to, uint64_t offset,
                  uint64_t bytes) {
    vk_told header = {.command = VK_COMMAND_FILL,
                      .binding_count = 1,
                      .access = VK_WRITE,
                      .words = (sizeof(vk_told) + sizeof(vk_told_range)) / 8,
                      .op = op,
                      .bytes = (double)bytes};
    vk_told *told = tell(vk, &header);
    if (told) ranges_of(told)[0] = (vk_told_range){to, offset, bytes};
}

/* Our own mistakes, found before the driver sees them. */
static const char *mistake(const vk_backend *vk, const vk_dispatch *d) {
    const vk_limits *l = &vk->device.limits;
    if ((unsigned)d->shader >= VK_SHADER_COUNT || !vk_has_shader(vk, d->shader))
        return "the shader is not available";
    if (!d->binding_count || d->binding_count > VK_BINDINGS_MAX ||
        d->constant_count > VK_CONSTANTS_MAX || d->push_bytes > VK_PUSH_MAX || d->push_bytes % 4)
        return "too many bindings or constants";
    if (d->groups[0] > l->groups_max || d->groups[1] > 65535 || d->groups[2] > 65535)
        return "too many work groups";
    for (uint32_t i = 0; i < d->binding_count; i++) {
        const vk_binding *b = &d->bindings[i];
        if (!b->at.buf || b->at.buf->owner != &vk->base || b->at.offset % 4 || !b->bytes ||
            b->at.offset > b->at.buf->bytes || b->bytes > b->at.buf->bytes - b->at.offset)
            return "a binding is outside its buffer";
        if (b->bytes + l->offset_alignment > l->window_bytes &&
            b->bytes + b->at.offset % l->offset_alignment > l->window_bytes)
            return "a binding is larger than the window";
    }
    return NULL;
}

void vk_run(vk_backend *vk, const vk_dispatch *d) {
    if (backend_has_failed(&vk->base) || !d->groups[0] || !d->groups[1] || !d->groups[2]) return;
    const char *wrong = mistake(vk, d);
    if (wrong) {
        backend_fail(&vk->base, d->op, WEFT_ERR_ARGUMENT, "%s (%s)", wrong,
                     (unsigned)d->shader < VK_SHADER_COUNT ? vk_shader_find(d->shader)->name : "?");
        return;
    }
    size_t small = d->constant_count + VK_BINDINGS_MAX + d->push_bytes / 4;
    size_t size = sizeof(vk_told) + d->binding_count * sizeof(vk_told_range) + 4 * small;
    vk_told header = {.command = VK_COMMAND_DISPATCH,
                      .binding_count = (uint8_t)d->binding_count,
                      .constant_count = (uint8_t)d->constant_count,
                      .push_words = (uint8_t)(d->push_bytes / 4),
                      .shader = (uint16_t)d->shader,
                      .groups = {d->groups[0], d->groups[1], d->groups[2]},
                      .words = (uint32_t)(round_up(size, 8) / 8),
                      .op = d->op,
                      .operations = d->operations,
                      .bytes = d->bytes};
    for (uint32_t i = 0; i < d->binding_count; i++)
        header.access |= (uint16_t)(d->bindings[i].access << 2 * i);
    vk_told *told = tell(vk, &header);
    if (!told) return;
    uint64_t mask = vk->device.limits.offset_alignment - 1;
    vk_told_range *ranges = ranges_of(told);
    uint32_t *words = (uint32_t *)(void *)(ranges + d->binding_count);
    memset(words, 0, (size_t)header.words * 8 - ((size_t)((char *)words - (char *)told)));
    if (d->constant_count) memcpy(words, d->constants, 4 * d->constant_count);
    words += d->constant_count;
    for (uint32_t i = 0; i < d->binding_count; i++) {
        const vk_binding *b = &d->bindings[i];
        uint64_t begin = b->at.offset & ~mask, end = round_up(b->at.offset + b->bytes, 4);
        ranges[i] = (vk_told_range){vk_memory_of(b->at.buf), begin, end - begin};
        words[i] = (uint32_t)((b->at.offset - begin) / 4);
    }
    if (d->push_bytes) memcpy(words + VK_BINDINGS_MAX, d->push, d->push_bytes);
    vk->stream.set_count++;
    vk->stream.binding_count += d->binding_count;
}
