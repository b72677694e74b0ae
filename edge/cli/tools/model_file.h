// What can be told of a model from its header alone.
#ifndef MOTE_EDGE_CLI_TOOLS_MODEL_FILE_H_
#define MOTE_EDGE_CLI_TOOLS_MODEL_FILE_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/arch/tower.h"
#include "engine/core/context.h"
#include "engine/format/gguf.h"

namespace mote::cli {

// Tensor data may be missing (a bare vocabulary, an unfinished download). Of a split model all parts are opened. An
// empty path stands for the built-in model.
std::unique_ptr<GgufFile> OpenModelFile(Platform& platform, const std::string& path);
// A vision file; an empty path stands for the built-in model's.
std::unique_ptr<GgufFile> OpenVisionFile(Platform& platform, const std::string& path);

struct TypeBytes {
  std::string type;
  uint64_t tensors = 0;
  uint64_t values = 0;
  uint64_t bytes = 0;
  bool supported = true;  // false: a format of other engines, whose bytes are told up to the next tensor
};
// Largest first.
std::vector<TypeBytes> BytesByType(const GgufFile& file);

// What one token costs, whatever the context: for telling speeds as shares of the machine's limits.
struct TokenWork {
  uint64_t values = 0;  // of all tensors
  uint64_t bytes_read =
      0;  // weights that one decode step reads: without unused experts and all but a row of embeddings
  uint64_t multiplies = 0;         // of the matrix products, without attention; as many additions
  uint64_t output_multiplies = 0;  // of these, the output matrix's
  // The same if every block of the block-sparse matrices were there.
  uint64_t dense_bytes_read = 0;
  uint64_t dense_multiplies = 0;
  uint64_t dense_output_multiplies = 0;
  bool mostly_int8 = false;   // most of them are done in 8-bit integers (quantised weights), not in float32
  bool mostly_plain = false;  // and in such as need no scales on the way (I8, block-sparse int8)
};
TokenWork WorkPerToken(const GgufFile& file);

// What a vision tower does with an image.
struct TowerWork {
  double operations = 0;     // multiplications and additions, of matrix products and of attention
  bool mostly_int8 = false;  // see TokenWork
  bool mostly_plain = false;
};
// `rows`: what the decoder gets of `views` views, in `lines` lines of rows each.
TowerWork WorkPerImage(const GgufFile& file, const TowerParams& tower, uint32_t rows, uint32_t views, uint32_t lines);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_MODEL_FILE_H_
