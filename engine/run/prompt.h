// What a session is given to read: tokens, and images between them.
#ifndef MOTE_ENGINE_RUN_PROMPT_H_
#define MOTE_ENGINE_RUN_PROMPT_H_

#include <stdint.h>

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/buffer.h"

namespace mote {

// Stands among a prompt's or a session's tokens for each row of an image.
inline constexpr int32_t kImageToken = -1;

// An image, or one tile of it, as a decoder reads it: rows that take the place of tokens. Immutable and shared.
struct ImageRows {
  std::array<uint8_t, 32> digest = {};  // of the pixels, of how they were cut, and of the tower that read them
  uint32_t rows = 0;                    // [1, 2^20]
  uint32_t cols = 0;                    // floats of a row: the decoder's Graph::input_cols()
  // For decoders that rotate by row and column: the rows are a grid, from left to right and from top to bottom, and
  // what follows stands max(grid_rows, grid_cols) places on. 0: rows stand behind each other, as tokens do.
  uint32_t grid_rows = 0;
  uint32_t grid_cols = 0;
  bool sees_itself = false;  // each row sees all rows of the image, not only those before it
  Buffer values;             // (rows, cols) float32

  const float* row(uint32_t i) const { return values.As<float>() + uint64_t{i} * cols; }
};

struct ImagePlace {
  uint32_t begin = 0;  // of its rows among the tokens
  std::shared_ptr<const ImageRows> image;

  uint32_t end() const { return begin + image->rows; }
};

struct Prompt {
  std::vector<int32_t> tokens;     // kImageToken for rows of images
  std::vector<ImagePlace> images;  // in the order of their places, which do not overlap

  void Append(std::span<const int32_t> more) { tokens.insert(tokens.end(), more.begin(), more.end()); }
  void Append(std::shared_ptr<const ImageRows> image) {
    const uint32_t begin = static_cast<uint32_t>(tokens.size());
    tokens.insert(tokens.end(), image->rows, kImageToken);
    images.push_back({begin, std::move(image)});
  }
};

// A prompt that somebody else owns.
struct PromptView {
  std::span<const int32_t> tokens;
  std::span<const ImagePlace> images;

  PromptView() = default;
  PromptView(std::span<const int32_t> t) : tokens(t) {}                // NOLINT: text is a prompt
  PromptView(const std::vector<int32_t>& t) : tokens(t) {}             // NOLINT
  PromptView(const Prompt& p) : tokens(p.tokens), images(p.images) {}  // NOLINT
  PromptView(std::span<const int32_t> t, std::span<const ImagePlace> i) : tokens(t), images(i) {}
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_PROMPT_H_
