#include "engine/text/bpe_merge_table.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace mote {

namespace {

constexpr char kMergesKey[] = "tokenizer.ggml.merges";

}  // namespace

Status MergeTable::Load(const GgufFile& file, const Vocabulary& vocab) {
  const GgufValue* value = file.Find(kMergesKey);
  if (value == nullptr) return Status(Code::kNotFound, std::string(kMergesKey) + " is missing");
  if (value->type() != GgufType::kArray || (value->count() > 0 && value->element_type() != GgufType::kString)) {
    return Status(Code::kMalformed, std::string(kMergesKey) + " is not an array of strings");
  }
  if (value->count() >= kNoRank / 2) {
    return Status(Code::kMalformed, std::string(kMergesKey) + " has " + std::to_string(value->count()) + " elements");
  }
  const size_t count = static_cast<size_t>(value->count());
  slots_.assign(HashSlots(count), Slot{kNoToken, kNoToken, 0, kNoToken});
  std::string joined;
  int32_t guess = kNoToken;
  for (size_t i = 0; i < count; ++i) {
    std::string_view merge;
    if (!value->StringAt(i, &merge)) return Status(Code::kMalformed, "merge " + std::to_string(i) + " cannot be read");
    // The first part has at least one byte: a space may be its first.
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      return Status(Code::kMalformed, "merge " + std::to_string(i) + " is \"" + std::string(merge.substr(0, 40)) +
                                          "\"; two tokens with a space between them are needed");
    }
    const std::string_view first = merge.substr(0, space);
    const std::string_view second = merge.substr(space + 1);
    joined.assign(first);
    joined += second;
    // Vocabularies mostly list tokens in the order of their merges: the next one is worth a look before a search.
    int32_t merged = guess != kNoToken && guess + 1 < vocab.size() ? guess + 1 : kNoToken;
    if (merged == kNoToken || vocab.text(merged) != joined) merged = vocab.Find(joined);
    guess = merged;
    if (merged == kNoToken || !vocab.IsPlain(merged)) continue;
    const int32_t left = vocab.FindPlain(first);
    const int32_t right = left == kNoToken ? kNoToken : vocab.FindPlain(second);
    if (right == kNoToken) continue;
    MOTE_RETURN_IF_ERROR(Add(left, right, static_cast<uint32_t>(i), merged));
  }
  return Status();
}

Status MergeTable::Add(int32_t left, int32_t right, uint32_t rank, int32_t merged) {
  const size_t mask = slots_.size() - 1;
  size_t at = HashPair(static_cast<uint32_t>(left), static_cast<uint32_t>(right)) & mask;
  uint32_t probe = 0;
  for (; slots_[at].left != kNoToken; at = (at + 1) & mask, ++probe) {
    if (slots_[at].left == left && slots_[at].right == right) return Status();
    if (probe == kMaxProbes) {
      return Status(Code::kMalformed, "the merges collide: the vocabulary was made to be slow");
    }
  }
  slots_[at] = {left, right, rank, merged};
  longest_probe_ = std::max(longest_probe_, probe);
  return Status();
}

}  // namespace mote
