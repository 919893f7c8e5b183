/* The table of known split patterns. It owns the facts; what runs them is splitter.c. Names whose
 * patterns are not established are not in the table, so that such a file is refused and never
 * misread. */
#include "text/pretokenizers.h"

#include <string.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2                                                                                       \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+"                                                  \
    "| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3                                                                                     \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"                                      \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define QWEN2                                                                                      \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define QWEN35                                                                                     \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"                                   \
                 "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES
/* Words by case: an optional run of capitals, then small letters, or capitals alone. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?"                                  \
    "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" CONTRACTIONS "?"                                 \
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define TEKKEN                                                                                     \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*"        \
    "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define BAILINGMOE                                                                                 \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}"                                  \
    "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define SEED_CODER                                                                                 \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES
#define DEEPSEEK3                                                                                  \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                                        \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
#define CJK_DEEPSEEK3 "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define CJK_DEEPSEEK  "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define BLOOM         " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
#define PUNCTUATION   "[\\p{P}\\$\\+<=>\\^~\\|"

/* Letters of bicameral alphabets, as DeepSeek LLM lists them. */
#define DEEPSEEK_LETTERS                                                                           \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"                 \
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}"         \
    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"                  \
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"                       \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"                 \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"                 \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}"        \
    "\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}"         \
    "\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"                 \
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"                  \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{"     \
    "212d}"                                                                                        \
    "\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}"         \
    "\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}"         \
    "\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}"                 \
    "\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"                 \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"             \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"         \
    "\\x{1e900}-\\x{1e943}"

const char *const pretokenizer_gpt2_pattern = GPT2;

/* SuperBPE groups digits in threes from the right. Its own form of the second stage, an empty match
 * at (?=(\d{3})+(?!\d)), takes quadratic time. This one cuts at the same places: it looks to the
 * end of a run only from its first three digits, and then (\G) goes on in threes. DeepSeek LLM's
 * fourth stage is \s+$ there; the look-behind only spares repeated starts. */
#define SUPERBPE_THREES                                                                            \
    "(?<!\\d{3})\\d{3}(?=(?:\\d{3})+(?!\\d))|(?<!\\d{3})(?=\\d{3}(?!\\d))"                         \
    "|\\G(?<=\\d)\\d{3}(?=\\d)"
#define SPACES_AT_END "(?<!\\s)\\s+\\z"

/* clang-format off */
#define PRE(name, ignore, bos, ...) { name, ignore, bos, { __VA_ARGS__ } }
/* clang-format on */

/* The first of several names with the same pattern is the one that is written to files. */
static const pretokenizer table[] = {
    PRE("llama-bpe", true, true, LLAMA3),
    PRE("llama3", true, true, LLAMA3),
    PRE("llama-v3", true, true, LLAMA3),
    PRE("falcon3", true, true, LLAMA3),
    PRE("falcon-h1", true, true, LLAMA3),
    PRE("pixtral", true, true, LLAMA3),
    PRE("midm-2.0", true, true, LLAMA3),
    PRE("lfm2", true, true, LLAMA3),
    PRE("jina-v5-nano", true, true, LLAMA3),
    PRE("smaug-bpe", false, false, LLAMA3),
    PRE("dbrx", false, false, LLAMA3),
    PRE("glm4", false, false, LLAMA3),
    PRE("chatglm-bpe", false, false, LLAMA3),
    PRE("qwen2", false, false, QWEN2),
    PRE("deepseek-r1-qwen", false, false, QWEN2),
    PRE("megrez", false, false, QWEN2),
    PRE("kormo", false, false, QWEN2),
    PRE("f2llmv2", false, false, QWEN2),
    PRE("stablelm2", false, false, QWEN2),
    PRE("hunyuan", false, false, QWEN2),
    PRE("solar-open", false, false, QWEN2),
    PRE("grok-2", false, false, QWEN2),
    PRE("qwen35", false, false, QWEN35),
    PRE("gpt-2", false, false, GPT2),
    PRE("phi-2", false, false, GPT2),
    PRE("mpt", false, false, GPT2),
    PRE("olmo", false, false, GPT2),
    PRE("jais", false, false, GPT2),
    PRE("trillion", false, false, GPT2),
    PRE("granite-docling", false, false, GPT2),
    PRE("gigachat", false, false, GPT2),
    PRE("a.x-4.0", false, false, GPT2),
    PRE("mellum", false, false, GPT2),
    PRE("modern-bert", false, false, GPT2),
    PRE("exaone4", false, false, GPT2),
    PRE("jina-es", false, false, GPT2),
    PRE("jina-de", false, false, GPT2),
    PRE("jina-v1-en", false, false, GPT2),
    PRE("jina-v2-es", false, false, GPT2),
    PRE("jina-v2-de", false, false, GPT2),
    PRE("jina-v2-code", false, false, GPT2),
    PRE("roberta-bpe", false, false, GPT2),
    PRE("starcoder", false, false, "\\p{N}", GPT2),
    PRE("refact", false, false, "\\p{N}", GPT2),
    PRE("command-r", false, false, "\\p{N}", GPT2),
    PRE("smollm", false, false, "\\p{N}", GPT2),
    PRE("codeshell", false, false, "\\p{N}", GPT2),
    PRE("exaone", false, false, "\\p{N}", GPT2),
    PRE("minerva-7b", false, false, "\\p{N}", GPT2),
    PRE("falcon", false, false, PUNCTUATION "`]+", GPT2, "[0-9][0-9][0-9]"),
    PRE("default", false, false, PUNCTUATION "]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"),
    PRE("gpt-4o", false, false, O200K),
    PRE("llama4", false, false, O200K),
    PRE("kanana2", false, false, O200K),
    PRE("minimax-m2", false, false, O200K),
    PRE("tekken", true, true, TEKKEN),
    PRE("deepseek-v3", false, false, "\\p{N}{1,3}", CJK_DEEPSEEK3, DEEPSEEK3),
    PRE("hunyuan-dense", false, false, "\\p{N}{1,3}", CJK_DEEPSEEK3, DEEPSEEK3),
    PRE("joyai-llm", false, false, "\\p{N}{1,3}", CJK_DEEPSEEK3, DEEPSEEK3),
    PRE("deepseek-coder", false, false, "[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK_DEEPSEEK,
        "\\p{N}"),
    PRE("deepseek-llm", false, false, "[\r\n]", "\\s?[" DEEPSEEK_LETTERS "]+",
        "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+",
        SPACES_AT_END, CJK_DEEPSEEK, "\\p{N}+"),
    PRE("bailingmoe", false, false, BAILINGMOE),
    PRE("bailingmoe2", false, false, BAILINGMOE),
    PRE("llada-moe", false, false, BAILINGMOE),
    PRE("seed-coder", false, false, SEED_CODER),
    PRE("superbpe", false, false, "\\p{N}+", SUPERBPE_THREES),
    PRE("bloom", false, false, BLOOM),
    PRE("gpt3-finnish", false, false, BLOOM),
    PRE("poro-chat", false, false, BLOOM),
    PRE("viking", false, false, BLOOM, "\\p{N}"),
    PRE("chameleon", false, true, "<sentinel:[0-9]+>", "(?:IMGIMG)(?:[A-I]{1,4})Z",
        "(?:[\\t\\n]|    |  )", "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", GPT2),
};

const pretokenizer *pretokenizer_named(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].name) == size && memcmp(table[i].name, name, size) == 0)
            return &table[i];
    return NULL;
}

static bool same_stages(const pretokenizer *p, const char *const *stages, int count) {
    for (int i = 0; i < count; i++)
        if (i == SPLIT_STAGES_MAX || !p->stages[i] || strcmp(p->stages[i], stages[i]) != 0)
            return false;
    return count == SPLIT_STAGES_MAX || !p->stages[count];
}

const pretokenizer *pretokenizer_matching(const char *const *stages, int count,
                                          bool ignore_merges) {
    const pretokenizer *found = NULL;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!same_stages(&table[i], stages, count)) continue;
        if (table[i].ignore_merges == ignore_merges) return &table[i];
        if (!found) found = &table[i];
    }
    return found;
}
