// Importance matrices: how much each input column of a weight matters, as the mean square of the activations that the
// column was multiplied with while a model read some text.
//
// Two forms are read, both of llama.cpp's llama-imatrix: GGUF (tensors NAME.in_sum2 and NAME.counts), and the older
// .dat (one list of entries, no magic number). GGUF is written.
#ifndef MOTE_ENGINE_FORMAT_IMATRIX_H_
#define MOTE_ENGINE_FORMAT_IMATRIX_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/core/status.h"

namespace mote {

class Imatrix {
 public:
  // Of one weight tensor. A tensor of experts has one matrix per expert, each with a count of its own; other files keep
  // one count for all.
  struct Entry {
    std::string name;  // of the weight
    uint64_t values = 0;
    Buffer sums;                   // (values) float: squares of the activations, summed over the tokens
    std::vector<uint64_t> counts;  // tokens, per matrix of values / counts.size() columns
  };

  // Either form, told apart by the first bytes. kMalformed names the entry and what is wrong with it. `chunk_size`:
  // tokens of a chunk, for files of the older form, which count chunks.
  static Result<Imatrix> Read(FileSystem& files, const std::string& path, uint32_t chunk_size = 512);
  static Result<Imatrix> FromSource(std::unique_ptr<ByteSource> source, uint32_t chunk_size = 512);

  // Adds sums of squares: `columns` of them, of `tokens` tokens, for matrix `matrix` of the `matrices` of `name`.
  Status Add(std::string_view name, uint64_t matrix, uint64_t matrices, std::span<const double> squares,
             uint64_t tokens);
  // Adds what another run saw. kMalformed where shapes differ.
  Status Merge(const Imatrix& other);

  const Entry* Find(std::string_view name) const;
  std::span<const std::unique_ptr<Entry>> entries() const { return entries_; }
  // The mean squares of all columns of an entry, into `means` (entry.values). 1 for a matrix that no token met.
  static void Means(const Entry& entry, float* means);

  // The bytes of a file in the GGUF form, entries sorted by name.
  Result<Buffer> Write() const;

  std::vector<std::string> datasets;  // names of the texts
  uint32_t chunk_count = 0;
  uint32_t chunk_size = 0;  // tokens
  std::string source_name;  // the file that it was read from

 private:
  // A new entry of zeros.
  Result<Entry*> Create(std::string_view name, uint64_t values, uint64_t matrices);
  Status ReadGguf(std::unique_ptr<ByteSource> source);
  Status ReadLegacy(std::span<const uint8_t> file, uint32_t tokens_per_chunk);

  std::vector<std::unique_ptr<Entry>> entries_;
  std::unordered_map<std::string_view, size_t> positions_;  // keys view the entries' names
};

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_IMATRIX_H_
