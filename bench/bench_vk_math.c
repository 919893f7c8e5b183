/* The float products of one Vulkan device at the sizes of a 2B model: LoRA, the output head, the
 * loss through it, attention and its backward.
 *
 *     bench_vk_math [--device N] [--tokens LIST] [--vocabulary V] [--full-only]
 *
 * Times are the device's own. Operations are those that the result needs: two for each product of
 * a weight and a token, or of a query, a key that it sees and a dimension (five times as many
 * backward, where a forward has two). */
#define BENCH_NAME "bench_vk_math"
#include "bench_vk.h"

enum { HIDDEN = 2560, INNER = 6912, HEADS = 20, KV_HEADS = 5, HEAD_DIM = 128, DOCUMENT = 512 };
enum { CONTEXT = 4096, REPEATS = 4, TABLES = 9, TOKEN_COUNTS_MAX = 8 };

typedef struct bench {
    backend *be;
    int64_t tokens_max, vocabulary;
    buffer *tables[TABLES]; /* (tokens_max, INNER) floats each */
    buffer *first, *last;
    bool full_only;
} bench;

typedef struct shape {
    int64_t tokens, k, n, r;
    precision grade;
    const dense_weight *head;
    view scratch;
} shape;

typedef void (*operation)(bench *b, const shape *s);

static view table(const bench *b, int i) {
    return view_of(b->tables[i]);
}

/* Runs it some times; prints its time, its speed by what it needs, and the share of each shader. */
static void measure(bench *b, const char *name, operation run, const shape *s, double operations,
                    double bytes) {
    int count;
    double total = 0;
    backend_begin(b->be);
    run(b, s);
    submit(b->be);
    vk_profile_clear(b->be);
    backend_begin(b->be);
    for (int i = 0; i < REPEATS; i++) run(b, s);
    submit(b->be);
    const vk_profile_entry *entries = vk_profile_read(b->be, &count);
    for (int i = 0; i < count; i++) total += (double)entries[i].ns * 1e-9 / REPEATS;
    printf("%-34s %5lld tokens %10.1f us %8.2f TFLOP/s %7.0f GB/s ", name, (long long)s->tokens,
           total * 1e6, operations / total * 1e-12, bytes / total * 1e-9);
    for (int i = 0; i < count; i++) {
        double seconds = (double)entries[i].ns * 1e-9 / REPEATS;
        printf(" %s %.1f us", entries[i].shader, seconds * 1e6);
        if (entries[i].operations > 0)
            printf(" (%.1f T)", entries[i].operations / REPEATS / seconds * 1e-12);
    }
    printf("\n");
    fflush(stdout);
}

/* ---- LoRA ---- */

static void run_down(bench *b, const shape *s) {
    op_lora_down(b->be, table(b, 0), table(b, 1), s->tokens, s->k, s->r, table(b, 2));
}

static void run_up(bench *b, const shape *s) {
    op_lora_up(b->be, table(b, 2), table(b, 1), s->tokens, s->n, s->r, 0.5f, table(b, 3));
}

static void run_lora_backward(bench *b, const shape *s) {
    lora_backward_args args = {.x = table(b, 0),
                               .h = table(b, 1),
                               .dy = table(b, 2),
                               .a = table(b, 3),
                               .b = table(b, 4),
                               .g = table(b, 5),
                               .da = table(b, 6),
                               .db = table(b, 7),
                               .dx = table(b, 8),
                               .tokens = s->tokens,
                               .k = s->k,
                               .n = s->n,
                               .r = s->r,
                               .scale = 0.5f,
                               .add = true};
    op_lora_backward(b->be, &args);
}

static void bench_lora(bench *b, int64_t tokens, int64_t k, int64_t n, int64_t r) {
    char name[64];
    shape s = {.tokens = tokens, .k = k, .n = n, .r = r};
    double x = (double)(tokens * k), y = (double)(tokens * n), rank = (double)r;
    snprintf(name, sizeof name, "lora down %lld, rank %lld", (long long)k, (long long)r);
    measure(b, name, run_down, &s, 2 * x * rank, 4 * x);
    snprintf(name, sizeof name, "lora up %lld, rank %lld", (long long)n, (long long)r);
    measure(b, name, run_up, &s, 2 * y * rank, 8 * y);
    if (tokens < 16) return;
    snprintf(name, sizeof name, "lora backward %lld x %lld, rank %lld", (long long)n, (long long)k,
             (long long)r);
    measure(b, name, run_lora_backward, &s, 4 * (x + y) * rank, 4 * (3 * x + y));
}

/* ---- the head ---- */

static void run_head(bench *b, const shape *s) {
    op_dense_matmul(b->be, s->head, table(b, 0), s->tokens, s->grade, s->scratch);
}

static void run_loss(bench *b, const shape *s) {
    op_head_loss(b->be, s->head, table(b, 0), view_of(b->first), s->tokens, 0.5f, s->grade,
                 table(b, 1), table(b, 2), s->scratch);
}

static dense_weight *head_of(bench *b, dense_type type) {
    size_t row_bytes = type == DENSE_F16 ? HIDDEN * 2 : HIDDEN / 256 * 210;
    size_t bytes = (size_t)b->vocabulary * row_bytes;
    uint8_t *data = allocate(bytes);
    dense_weight *w;
    weft_error err;
    for (size_t i = 0; i < bytes; i++) data[i] = i % 2 ? 0x2c : (uint8_t)(i * 7 >> 3);
    dense_matrix m = {data, type, b->vocabulary, HIDDEN, row_bytes};
    if (dense_weight_create(b->be, &m, &w, &err)) fail("weight", &err);
    free(data);
    return w;
}

static void bench_head(bench *b, const int64_t *tokens, int count, dense_type type) {
    dense_weight *w = head_of(b, type);
    const char *of = type == DENSE_F16 ? "F16" : "Q6_K";
    size_t bytes = head_loss_scratch_bytes(b->be, w), weight = (size_t)b->vocabulary * HIDDEN;
    int64_t most = (int64_t)(bytes / 4) / b->vocabulary;
    buffer *scratch = buffer_of(b->be, bytes);
    double weight_bytes = (double)weight * (type == DENSE_F16 ? 2 : 210.0 / 256);
    for (int i = 0; i < count; i++) {
        for (int grade = 0; grade <= (b->full_only ? 0 : 1); grade++) {
            shape s = {.tokens = tokens[i],
                       .grade = (precision)grade,
                       .head = w,
                       .scratch = view_of(scratch)};
            double work = 2.0 * (double)s.tokens * (double)weight;
            char name[64];
            snprintf(name, sizeof name, "head %s%s", of, grade ? ", rounded" : "");
            if (s.tokens <= most) measure(b, name, run_head, &s, work, weight_bytes);
            snprintf(name, sizeof name, "loss %s%s", of, grade ? ", rounded" : "");
            if (s.tokens >= 512 && s.tokens <= 2048)
                measure(b, name, run_loss, &s, 2 * work, 2 * weight_bytes);
        }
    }
    buffer_free(b->be, &scratch);
    dense_weight_free(b->be, &w);
}

/* ---- attention ---- */

static attention_args args_of(bench *b, const shape *s) {
    return (attention_args){.q = table(b, 0),
                            .k = table(b, 1),
                            .v = table(b, 2),
                            .first = view_of(b->first),
                            .last = view_of(b->last),
                            .out = table(b, 3),
                            .tokens = s->tokens,
                            .keys = s->k,
                            .heads = HEADS,
                            .kv_heads = KV_HEADS,
                            .head_dim = HEAD_DIM,
                            .scale = 0.09f,
                            .grade = s->grade};
}

static void run_attention(bench *b, const shape *s) {
    attention_args args = args_of(b, s);
    op_attention(b->be, &args);
}

static void run_attention_backward(bench *b, const shape *s) {
    attention_args args = args_of(b, s);
    op_attention_backward(b->be, &args, table(b, 4), table(b, 5), table(b, 6), table(b, 7));
}

/* Documents of so many tokens, or the last tokens of as many keys; the pairs that are seen. */
static double set_ranges(bench *b, int64_t tokens, int64_t keys, int64_t document) {
    int32_t *first = allocate((size_t)tokens * 8), *last = first + tokens;
    double pairs = 0;
    for (int64_t t = 0; t < tokens; t++) {
        first[t] = document ? (int32_t)(t / document * document) : 0;
        last[t] = (int32_t)(document ? t : keys - tokens + t);
        pairs += last[t] - first[t] + 1;
    }
    backend_write(b->be, view_of(b->first), first, (size_t)tokens * 4);
    backend_write(b->be, view_of(b->last), last, (size_t)tokens * 4);
    free(first);
    return pairs;
}

static void bench_attention(bench *b, int64_t tokens, int64_t document) {
    char name[64];
    int64_t keys = document ? tokens : CONTEXT;
    double pairs = set_ranges(b, tokens, keys, document);
    double work = 4.0 * pairs * HEADS * HEAD_DIM, bytes = 8.0 * (double)keys * KV_HEADS * HEAD_DIM;
    for (int grade = 0; grade <= (b->full_only ? 0 : 1); grade++) {
        shape s = {.tokens = tokens, .k = keys, .grade = (precision)grade};
        const char *rounded = grade ? ", rounded" : "";
        if (document)
            snprintf(name, sizeof name, "documents of %d%s", (int)document, rounded);
        else
            snprintf(name, sizeof name, "attention to %d keys%s", CONTEXT, rounded);
        measure(b, name, run_attention, &s, work, bytes);
        if (!document) continue;
        snprintf(name, sizeof name, "backward, of %d%s", (int)document, rounded);
        measure(b, name, run_attention_backward, &s, 2.5 * work, bytes);
    }
}

/* ---- all of it ---- */

static void open_tables(bench *b) {
    int64_t count = b->tokens_max * INNER;
    float *values = allocate((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++) values[i] = 2 * rng_uniform(1, (uint64_t)i) - 1;
    for (int i = 0; i < TABLES; i++) {
        b->tables[i] = buffer_of(b->be, (size_t)count * sizeof *values);
        backend_write(b->be, table(b, i), values, (size_t)count * sizeof *values);
    }
    b->first = buffer_of(b->be, (size_t)b->tokens_max * 4);
    b->last = buffer_of(b->be, (size_t)b->tokens_max * 4);
    free(values);
}

static void close_tables(bench *b) {
    for (int i = 0; i < TABLES; i++) buffer_free(b->be, &b->tables[i]);
    buffer_free(b->be, &b->first);
    buffer_free(b->be, &b->last);
}

static int parse_tokens(const char *list, int64_t *tokens) {
    int count = 0;
    char *end;
    for (; *list && count < TOKEN_COUNTS_MAX; list = *end ? end + 1 : end) {
        tokens[count++] = strtoll(list, &end, 10);
        if (end == list || tokens[count - 1] < 1) fail("--tokens wants 1,512,...", NULL);
    }
    return count;
}

static void run_all(bench *b, const int64_t *tokens, int count) {
    open_tables(b);
    for (int i = 0; i < count; i++) {
        bench_lora(b, tokens[i], HIDDEN, HIDDEN, 8);
        bench_lora(b, tokens[i], HIDDEN, INNER, 8);
        bench_lora(b, tokens[i], HIDDEN, HIDDEN, 64);
        if (tokens[i] <= 64)
            bench_attention(b, tokens[i], 0);
        else {
            bench_attention(b, tokens[i], DOCUMENT);
            bench_attention(b, tokens[i], tokens[i]);
        }
    }
    set_ranges(b, b->tokens_max, b->tokens_max, 0); /* targets: all 0 */
    bench_head(b, tokens, count, DENSE_F16);
    bench_head(b, tokens, count, DENSE_Q6_K);
    close_tables(b);
}

int main(int argc, char **argv) {
    bench b = {.vocabulary = 128256};
    int64_t tokens[TOKEN_COUNTS_MAX] = {1, 8, 512, 2048, 8192};
    int count = 5;
    vk_options options = {.device = -1, .tier_max = VK_TIER_BEST, .profile = true};
    weft_error err;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (more && strcmp(argv[i], "--device") == 0)
            options.device = atoi(argv[++i]);
        else if (more && strcmp(argv[i], "--tokens") == 0)
            count = parse_tokens(argv[++i], tokens);
        else if (more && strcmp(argv[i], "--vocabulary") == 0)
            b.vocabulary = atoll(argv[++i]);
        else if (strcmp(argv[i], "--full-only") == 0)
            b.full_only = true;
        else
            fail("use --device N, --tokens LIST, --vocabulary V or --full-only", NULL);
    }
    b.tokens_max = CONTEXT;
    for (int i = 0; i < count; i++)
        if (tokens[i] > b.tokens_max) b.tokens_max = tokens[i];
    if (backend_create_vk(&options, &b.be, &err)) fail("Vulkan", &err);
    printf("%s\n", backend_name(b.be));
    run_all(&b, tokens, count);
    backend_free(&b.be);
    return 0;
}
