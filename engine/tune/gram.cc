#include "engine/tune/gram.h"

#include <math.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "engine/core/checked.h"
#include "engine/tune/parallel.h"

namespace mote::tune {
namespace {

// Rows added to a line of sums at once: the line is read and written once for all of them.
constexpr uint64_t kRowsTogether = 8;

// sums[0..count) += the sum over `rows` of scale[r] * x[r * stride + 0..count).
void AddRows(const double* x, uint64_t stride, const double* scales, uint64_t rows, uint64_t count, double* sums) {
  if (rows == kRowsTogether) {
    const double s0 = scales[0], s1 = scales[1], s2 = scales[2], s3 = scales[3];
    const double s4 = scales[4], s5 = scales[5], s6 = scales[6], s7 = scales[7];
    for (uint64_t i = 0; i < count; ++i) {
      const double* column = x + i;
      double sum = sums[i];
      sum += s0 * column[0];
      sum += s1 * column[stride];
      sum += s2 * column[2 * stride];
      sum += s3 * column[3 * stride];
      sum += s4 * column[4 * stride];
      sum += s5 * column[5 * stride];
      sum += s6 * column[6 * stride];
      sum += s7 * column[7 * stride];
      sums[i] = sum;
    }
    return;
  }
  for (uint64_t row = 0; row < rows; ++row) {
    for (uint64_t i = 0; i < count; ++i) sums[i] += scales[row] * x[row * stride + i];
  }
}

}  // namespace

std::vector<double> Gram::Diagonal() const {
  std::vector<double> diagonal(static_cast<size_t>(cols));
  for (uint64_t i = 0; i < cols; ++i) diagonal[static_cast<size_t>(i)] = line(i)[i];
  return diagonal;
}

void GramCollector::Observe(void* self, const Weight& weight, uint32_t matrix, std::span<const float* const> rows) {
  GramCollector& collector = *static_cast<GramCollector*>(self);
  if (rows.empty() || !collector.names_.contains(weight.tensor->name)) return;
  collector.Take({weight.tensor->name, matrix}, weight.cols, rows);
}

bool GramCollector::IsLatest(uint32_t matrix, uint64_t cols, std::span<const float* const> rows) const {
  if (latest_ == SIZE_MAX) return false;
  const Entry& entry = *entries_[latest_];
  if (entry.owner.second != matrix || entry.gram.cols != cols) return false;
  if (entry.pending.size() - latest_begin_ != rows.size() * cols) return false;
  for (size_t r = 0; r < rows.size(); ++r) {
    const float* known = entry.pending.data() + latest_begin_ + r * cols;
    if (memcmp(known, rows[r], cols * sizeof(float)) != 0) return false;
  }
  return true;
}

void GramCollector::Take(const Key& key, uint64_t cols, std::span<const float* const> rows) {
  if (!status_.ok()) return;
  const auto found = entry_of_.find(key);
  const bool owns = found != entry_of_.end() && entries_[found->second]->owner == key;
  if (!owns && IsLatest(key.second, cols, rows)) {
    entry_of_.try_emplace(key, latest_);
    return;
  }
  if (found == entry_of_.end()) {
    auto fresh = std::make_unique<Entry>();
    fresh->owner = key;
    fresh->gram.cols = cols;
    entry_of_[key] = entries_.size();
    entries_.push_back(std::move(fresh));
  } else if (!owns) {
    status_ = Error(Code::kInternal, "%s read what another matrix did, and then something else", key.first.c_str());
    return;
  }
  latest_ = entry_of_[key];
  Entry& entry = *entries_[latest_];
  latest_begin_ = entry.pending.size();
  for (const float* row : rows) entry.pending.insert(entry.pending.end(), row, row + cols);
}

Status GramCollector::Add(Entry* entry, ThreadPool* pool) {
  Gram& gram = entry->gram;
  const uint64_t cols = gram.cols;
  const uint64_t rows = entry->pending.size() / cols;
  if (gram.sums.data() == nullptr) {
    const Checked64 bytes = Checked64(cols) * cols * sizeof(double);
    if (!bytes.ok()) {
      return Error(Code::kOutOfMemory, "the products of %llu columns are too many",
                   static_cast<unsigned long long>(cols));
    }
    MOTE_ASSIGN_OR_RETURN(gram.sums, Buffer::CreateZeroed(bytes.value(), "products of columns"));
  }
  // In double once, and column-wise for the scales.
  MOTE_ASSIGN_OR_RETURN(Buffer wide, Buffer::Create(rows * cols * sizeof(double), "activations"));
  MOTE_ASSIGN_OR_RETURN(Buffer turned, Buffer::Create(rows * cols * sizeof(double), "activations"));
  double* x = wide.As<double>();
  double* xt = turned.As<double>();
  for (uint64_t i = 0; i < rows * cols; ++i) {
    x[i] = static_cast<double>(entry->pending[static_cast<size_t>(i)]);
    if (!isfinite(x[i])) return Error(Code::kMalformed, "an activation is not finite: the model cannot be calibrated");
    xt[i % cols * rows + i / cols] = x[i];
  }
  ForEach(pool, cols, [&](uint64_t i, int) {
    double* sums = gram.sums.As<double>() + i * cols;
    for (uint64_t row = 0; row < rows; row += kRowsTogether) {
      AddRows(x + row * cols, cols, xt + i * rows + row, std::min(kRowsTogether, rows - row), i + 1, sums);
    }
  });
  gram.rows += rows;
  return Status();
}

Status GramCollector::Flush(ThreadPool* pool) {
  MOTE_RETURN_IF_ERROR(status_);
  for (const auto& entry : entries_) {
    if (entry->pending.empty()) continue;
    status_ = Add(entry.get(), pool);
    MOTE_RETURN_IF_ERROR(status_);
    entry->pending.clear();
  }
  latest_ = SIZE_MAX;
  return Status();
}

void GramCollector::Finish() {
  for (const auto& entry : entries_) {
    Gram& gram = entry->gram;
    double* sums = gram.sums.As<double>();
    for (uint64_t i = 0; sums != nullptr && i < gram.cols; ++i) {
      for (uint64_t j = i + 1; j < gram.cols; ++j) sums[i * gram.cols + j] = sums[j * gram.cols + i];
    }
  }
}

const Gram* GramCollector::Find(const std::string& tensor, uint32_t matrix) const {
  const auto place = entry_of_.find({tensor, matrix});
  if (place == entry_of_.end() || entries_[place->second]->gram.rows == 0) return nullptr;
  return &entries_[place->second]->gram;
}

}  // namespace mote::tune
