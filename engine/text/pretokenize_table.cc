// The pre-tokenizers that GGUF files name in tokenizer.ggml.pre. The names, and which of them mean the same, are
// llama.cpp's (its converter writes them); the patterns are those of the models' own tokenizer.json, with (?i:...) and
// the case-aware letter sets as published there. Literal code points are written as \x{HEX} so that no editor can
// normalise them.
//
// Where two patterns cut alike the shorter stands here: \s*[\r\n] and \s*[\r\n]+ match the same, since \s holds \r \n.
#include "engine/text/pretokenize.h"

namespace mote {

namespace {

#define MOTE_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
// ByteLevel with use_regex, of GPT-2 and most that came after it.
#define MOTE_GPT2 "(?:'s|'t|'re|'ve|'m|'ll|'d)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define MOTE_SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define MOTE_LETTERS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define MOTE_OTHERS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define MOTE_LLAMA3 MOTE_CONTRACTIONS "|" MOTE_LETTERS "|\\p{N}{1,3}" MOTE_OTHERS MOTE_SPACES
#define MOTE_QWEN2 MOTE_CONTRACTIONS "|" MOTE_LETTERS "|\\p{N}" MOTE_OTHERS MOTE_SPACES
// Words that begin in upper case and go on in lower case, as GPT-4o cuts them; `tail` follows each.
#define MOTE_UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define MOTE_LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define MOTE_CASED(tail)                                                                                \
  "[^\\r\\n\\p{L}\\p{N}]?[" MOTE_UPPER "]*[" MOTE_LOWER "]+" tail "|[^\\r\\n\\p{L}\\p{N}]?[" MOTE_UPPER \
  "]+[" MOTE_LOWER "]*" tail
#define MOTE_CASED_OTHERS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" MOTE_SPACES
#define MOTE_GPT4O MOTE_CASED(MOTE_CONTRACTIONS "?") "|\\p{N}{1,3}" MOTE_CASED_OTHERS
#define MOTE_NOT_HAN "&&[^\\p{Han}]"
#define MOTE_KIMI                                                                                         \
  "\\p{Han}+"                                                                                             \
  "|[^\\r\\n\\p{L}\\p{N}]?[" MOTE_UPPER MOTE_NOT_HAN "]*[" MOTE_LOWER MOTE_NOT_HAN "]+" MOTE_CONTRACTIONS \
  "?"                                                                                                     \
  "|[^\\r\\n\\p{L}\\p{N}]?[" MOTE_UPPER MOTE_NOT_HAN "]+[" MOTE_LOWER MOTE_NOT_HAN "]*" MOTE_CONTRACTIONS \
  "?"                                                                                                     \
  "|\\p{N}{1,3}" MOTE_OTHERS MOTE_SPACES
#define MOTE_DEEPSEEK3_WORDS                              \
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+" \
  "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
#define MOTE_DEEPSEEK3 MOTE_DEEPSEEK3_WORDS "[\\r\\n]*" MOTE_SPACES
// Letters of scripts with case, as deepseek-llm lists them.
#define MOTE_DEEPSEEK_LETTERS                                                                                      \
  "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}" \
  "\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}"   \
  "\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}"     \
  "\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}"                \
  "\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}"                \
  "\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}"        \
  "\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}"       \
  "\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}"        \
  "\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"                  \
  "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}"        \
  "\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}"                 \
  "\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}"                \
  "\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}"        \
  "\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"
#define MOTE_DEEPSEEK_CJK "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define MOTE_KANA_CJK "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define MOTE_BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
#define MOTE_YOUTU_CJK                                                                           \
  "[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+"                                                    \
  "|[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}\\x{2018}\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}" \
  "\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|[\\x{3105}-\\x{312F}]+|" MOTE_KANA_CJK
#define MOTE_AFMOE_ASIAN                                                                             \
  "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}" \
  "\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{E40}-\\x{E7F}\\x{E80}-\\x{EFF}\\x{1780}-\\x{17FF}"      \
  "\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}\\x{1100}-\\x{11FF}]+"
#define MOTE_JAIS2_SPACES                                                                        \
  "|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)" \
  "|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"

constexpr StageKind kPattern = StageKind::kPattern;
constexpr StageKind kTrailing = StageKind::kTrailing;
constexpr StageKind kGroupsOfThree = StageKind::kGroupsOfThree;
constexpr StageKind kGroupsAtWordEnd = StageKind::kGroupsAtWordEnd;
constexpr StageKind kCutBeforeThreesEnd = StageKind::kCutBeforeThreesEnd;

constexpr PretokenizerSpec kPretokenizers[] = {
    {.names = "default",
     .stages = {{kPattern, "[\\p{P}$+<=>^~|]+"},
                {kPattern, MOTE_GPT2},
                {kPattern, "\\p{N}+"},
                {kPattern, "[0-9][0-9][0-9]"}}},
    {.names = "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     .ignore_merges = true,
     .add_bos = true,
     .stages = {{kPattern, MOTE_LLAMA3}}},
    {.names = "dbrx smaug-bpe", .stages = {{kPattern, MOTE_LLAMA3}}},
    {.names = "glm4 chatglm-bpe", .no_bos = true, .stages = {{kPattern, MOTE_LLAMA3}}},
    {.names = "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
     .stages = {{kPattern, MOTE_QWEN2}}},
    {.names = "qwen35",
     .stages = {{kPattern, MOTE_CONTRACTIONS
                 "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" MOTE_SPACES}}},
    {.names = "ufakzeka", .stages = {{kPattern, MOTE_LETTERS "|\\p{N}" MOTE_OTHERS MOTE_SPACES}}},
    {.names = "laguna", .stages = {{kPattern, "[^\\n]+|\\n+"}, {kPattern, MOTE_QWEN2}}},
    {.names = "minicpm5",
     .ignore_merges = true,
     .stages = {{kPattern, "\\p{N}{1,3}"},
                {kPattern, MOTE_CONTRACTIONS "|" MOTE_LETTERS "|\\p{N}+" MOTE_OTHERS MOTE_SPACES}}},
    {.names = "jais-2",
     .stages = {{kPattern, MOTE_CONTRACTIONS "|" MOTE_LETTERS "|\\p{N}{1,3}" MOTE_OTHERS MOTE_JAIS2_SPACES}}},
    {.names = "bailingmoe bailingmoe2 llada-moe",
     .stages = {{kPattern, "(?i:'s|'d|'m|'t|'ll|'ve|'re)|" MOTE_LETTERS "|\\p{N}" MOTE_OTHERS MOTE_SPACES}}},
    {.names = "seed-coder",
     .stages = {{kPattern, MOTE_CONTRACTIONS "|" MOTE_LETTERS "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" MOTE_SPACES}}},
    {.names = "exaone-moe",
     .stages = {{kPattern, MOTE_CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?words)|\\p{N}"
                                             "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?" MOTE_SPACES}}},
    {.names = "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert exaone4 "
              "jina-v1-en jina-v2-code roberta-bpe mpt olmo jais trillion granite-docling",
     .stages = {{kPattern, MOTE_GPT2}}},
    {.names = "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
     .stages = {{kPattern, "\\p{N}"}, {kPattern, MOTE_GPT2}}},
    {.names = "falcon",
     .stages = {{kPattern, "[\\p{P}$+<=>^~|`]+"}, {kPattern, MOTE_GPT2}, {kPattern, "[0-9][0-9][0-9]"}}},
    {.names = "deepseek-llm",
     .stages = {{kPattern, "[\\r\\n]"},
                {kPattern, "\\s?[" MOTE_DEEPSEEK_LETTERS "]+"},
                {kPattern, "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"},
                {kTrailing, "\\s"},
                {kPattern, MOTE_DEEPSEEK_CJK},
                {kPattern, "\\p{N}+"}}},
    {.names = "deepseek-coder",
     .stages = {{kPattern, "[\\r\\n]"},
                {kPattern, "\\s?\\p{L}+"},
                {kPattern, "\\s?\\p{P}+"},
                {kPattern, MOTE_DEEPSEEK_CJK},
                {kPattern, "\\p{N}"}}},
    {.names = "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     .stages = {{kPattern, "\\p{N}{1,3}"}, {kPattern, MOTE_KANA_CJK}, {kPattern, MOTE_DEEPSEEK3}}},
    {.names = "spark2_5",
     .stages = {{kPattern, "\\p{N}{1,3}"},
                {kPattern, MOTE_KANA_CJK},
                {kPattern, MOTE_DEEPSEEK3_WORDS "|[\\r\\n]|\\s+(?!\\S)|\\s+"},
                {kPattern, "\\p{N}"}}},
    {.names = "afmoe",
     .stages = {{kGroupsOfThree, "\\p{N}"}, {kPattern, MOTE_AFMOE_ASIAN}, {kPattern, MOTE_DEEPSEEK3}}},
    {.names = "tekken",
     .ignore_merges = true,
     .add_bos = true,
     .stages = {{kPattern, MOTE_CASED("") "|\\p{N}" MOTE_CASED_OTHERS}}},
    {.names = "gpt-4o llama4 kanana2 talkie minimax-m2", .stages = {{kPattern, MOTE_GPT4O}}},
    {.names = "granite-embed-multi-97m", .ignore_merges = true, .stages = {{kPattern, MOTE_GPT4O}}},
    {.names = "tiny_aya cohere2moe", .stages = {{kGroupsAtWordEnd, "\\d"}, {kPattern, MOTE_GPT4O}}},
    {.names = "youtu",
     .ignore_merges = true,
     .stages = {{kPattern, MOTE_YOUTU_CJK}, {kPattern, MOTE_CASED(MOTE_CONTRACTIONS "?") "|\\p{N}" MOTE_CASED_OTHERS}}},
    {.names = "kimi-k2", .stages = {{kPattern, MOTE_KIMI}}},
    {.names = "poro-chat bloom gpt3-finnish", .stages = {{kPattern, MOTE_BLOOM}}},
    {.names = "viking", .stages = {{kPattern, MOTE_BLOOM}, {kPattern, "\\p{N}"}}},
    {.names = "superbpe", .stages = {{kPattern, "\\p{N}+"}, {kCutBeforeThreesEnd, "\\d"}}},
    {.names = "chameleon",
     .add_bos = true,
     .stages = {{kPattern, "<sentinel:[0-9]+>"},
                {kPattern, "IMGIMG[A-I]{1,4}Z"},
                {kPattern, "[\\t\\n]| {4}| {2}"},
                {kPattern, "\\p{N}"},
                {kPattern, "[\\p{P}!-/:-@\\[-`{-~]"},
                {kPattern, MOTE_GPT2}}},
    {.names = "gemma4 granite-embed-multi-311m",
     .add_bos = true,
     .raw_utf8 = true,
     .stages = {{kPattern, "[^\\n]+|\\n+"}}},
    {.names = "sarvam-moe", .raw_utf8 = true, .stages = {{kPattern, "[^\\n]+|\\n+"}}},
};

#undef MOTE_CONTRACTIONS
#undef MOTE_GPT2
#undef MOTE_SPACES
#undef MOTE_LETTERS
#undef MOTE_OTHERS
#undef MOTE_LLAMA3
#undef MOTE_QWEN2
#undef MOTE_UPPER
#undef MOTE_LOWER
#undef MOTE_CASED
#undef MOTE_CASED_OTHERS
#undef MOTE_GPT4O
#undef MOTE_NOT_HAN
#undef MOTE_KIMI
#undef MOTE_DEEPSEEK3_WORDS
#undef MOTE_DEEPSEEK3
#undef MOTE_DEEPSEEK_LETTERS
#undef MOTE_DEEPSEEK_CJK
#undef MOTE_KANA_CJK
#undef MOTE_BLOOM
#undef MOTE_YOUTU_CJK
#undef MOTE_AFMOE_ASIAN
#undef MOTE_JAIS2_SPACES

}  // namespace

std::span<const PretokenizerSpec> Pretokenizers() {
  return kPretokenizers;
}

}  // namespace mote
