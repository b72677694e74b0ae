// What matrices are multiplied with while a model reads something: the products of all pairs of columns.
#ifndef MOTE_ENGINE_TUNE_GRAM_H_
#define MOTE_ENGINE_TUNE_GRAM_H_

#include <stdint.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/graph/backend.h"

namespace mote::tune {

// The sum of x x^T over the rows x that a matrix has seen, in double.
struct Gram {
  uint64_t cols = 0;
  uint64_t rows = 0;  // that were seen
  Buffer sums;        // (cols, cols), symmetric once finished

  const double* line(uint64_t col) const { return sums.As<double>() + col * cols; }
  std::vector<double> Diagonal() const;
};

// Collects the Gram matrices of some tensors from a program that runs. Matrices that read the same rows (Q, K and V)
// share one. Observe only keeps the rows; Flush adds them up, with all workers of a pool.
class GramCollector {
 public:
  // `names`: the tensors to look at.
  explicit GramCollector(std::set<std::string> names) : names_(std::move(names)) {}
  GramCollector(const GramCollector&) = delete;
  GramCollector& operator=(const GramCollector&) = delete;

  // The program must not run longer than this lives, or be told to observe nothing first.
  ActivationObserver observer() { return {Observe, this}; }
  // Adds what came since the last call; the program must not be running. The sums depend neither on the pool nor on
  // where between rows this is called. kOutOfMemory; kMalformed where an activation was not finite.
  Status Flush(ThreadPool* pool);
  // After the last Flush: completes the sums.
  void Finish();
  // Null where nothing was seen. `matrix`: of a tensor with several (an expert), else 0.
  const Gram* Find(const std::string& tensor, uint32_t matrix) const;

 private:
  using Key = std::pair<std::string, uint32_t>;
  struct Entry {
    Key owner;  // the first matrix that read these rows
    Gram gram;
    std::vector<float> pending;  // rows that are not in the sums yet
  };

  static void Observe(void* self, const Weight& weight, uint32_t matrix, std::span<const float* const> rows);
  // Whether these are the rows that were taken last: what Q, K and V read, or gate and up.
  bool IsLatest(uint32_t matrix, uint64_t cols, std::span<const float* const> rows) const;
  void Take(const Key& key, uint64_t cols, std::span<const float* const> rows);
  Status Add(Entry* entry, ThreadPool* pool);

  const std::set<std::string> names_;
  std::vector<std::unique_ptr<Entry>> entries_;
  std::map<Key, size_t> entry_of_;
  size_t latest_ = SIZE_MAX;  // entry that took rows last, and where in its pending rows those begin
  size_t latest_begin_ = 0;
  Status status_;  // the first failure
};

}  // namespace mote::tune

#endif  // MOTE_ENGINE_TUNE_GRAM_H_
