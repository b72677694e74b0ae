// Properties of code points: what tokenizers need of the Unicode Character Database, and no more.
#ifndef MOTE_ENGINE_TEXT_UNICODE_H_
#define MOTE_ENGINE_TEXT_UNICODE_H_

#include <stddef.h>
#include <stdint.h>

namespace mote {

inline constexpr uint32_t kMaxCodePoint = 0x10FFFF;
inline constexpr uint32_t kReplacementCharacter = 0xFFFD;

// General categories; the generated table holds these values (scripts/gen-unicode.py has the same order).
enum class Category : uint8_t {
  kCn = 0,  // unassigned
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCs,
  kCo,
};

// Sets of categories: bit i stands for Category(i).
constexpr uint32_t CategoryBit(Category category) {
  return uint32_t{1} << static_cast<uint32_t>(category);
}
constexpr uint32_t CategoryRange(Category first, Category last) {
  return (CategoryBit(last) << 1) - CategoryBit(first);
}
inline constexpr uint32_t kLetters = CategoryRange(Category::kLu, Category::kLo);
inline constexpr uint32_t kMarks = CategoryRange(Category::kMn, Category::kMe);
inline constexpr uint32_t kNumbers = CategoryRange(Category::kNd, Category::kNo);
inline constexpr uint32_t kPunctuation = CategoryRange(Category::kPc, Category::kPo);
inline constexpr uint32_t kSymbols = CategoryRange(Category::kSm, Category::kSo);
inline constexpr uint32_t kSeparators = CategoryRange(Category::kZs, Category::kZp);

// Category in bits 0..4, White_Space in bit 5. Code points past U+10FFFF are unassigned.
uint8_t CodePointProperties(uint32_t code_point);
inline constexpr uint8_t kWhiteSpaceBit = 32;
inline constexpr uint32_t kNumProperties = 64;  // values of CodePointProperties are below this

inline Category CategoryOf(uint32_t code_point) {
  return static_cast<Category>(CodePointProperties(code_point) & 31);
}
inline bool IsWhiteSpace(uint32_t code_point) {
  return (CodePointProperties(code_point) & kWhiteSpaceBit) != 0;
}
inline bool InCategories(uint32_t code_point, uint32_t categories) {
  return (categories >> static_cast<uint32_t>(CategoryOf(code_point)) & 1) != 0;
}

// Simple lower-case mapping; the code point itself where there is none.
uint32_t ToLower(uint32_t code_point);

// Full canonical decomposition (NFD of one code point, without reordering of marks across code points). Writes at
// most kMaxDecomposition code points to `out` and returns how many; 1, the code point itself, where there is none.
inline constexpr size_t kMaxDecomposition = 4;  // the longest in the database; a test holds it
size_t Decompose(uint32_t code_point, uint32_t* out);

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_UNICODE_H_
