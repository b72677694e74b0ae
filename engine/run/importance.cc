#include "engine/run/importance.h"

#include <string_view>
#include <utility>

namespace mote {

ImportanceCollector::Sums* ImportanceCollector::SumsOf(const TensorInfo& tensor) {
  std::unique_ptr<Sums>& sums = sums_[&tensor];
  if (sums != nullptr) return sums.get();
  auto fresh = std::make_unique<Sums>();
  fresh->cols = tensor.cols();
  fresh->counts.assign(static_cast<size_t>(tensor.shape[2]), 0);
  Result<Buffer> squares = Buffer::CreateZeroed(tensor.cols() * tensor.shape[2] * sizeof(double), "importances");
  if (!squares.ok()) {
    if (status_.ok()) status_ = squares.status();
    return nullptr;
  }
  fresh->squares = std::move(squares).value();
  sums = std::move(fresh);
  return sums.get();
}

void ImportanceCollector::Observe(void* self, const Weight& weight, uint32_t matrix,
                                  std::span<const float* const> rows) {
  ImportanceCollector& collector = *static_cast<ImportanceCollector*>(self);
  const std::string_view name = weight.tensor->name;
  const bool output = name == "output.weight" || name == "token_embd.weight";
  if (!name.starts_with("blk.") && !(output && collector.with_output_)) return;
  Sums* sums = collector.SumsOf(*weight.tensor);
  if (sums == nullptr || matrix >= sums->counts.size() || weight.cols != sums->cols) return;
  double* squares = sums->squares.As<double>() + matrix * sums->cols;
  for (const float* row : rows) {
    for (uint64_t i = 0; i < sums->cols; ++i) {
      const double x = static_cast<double>(row[i]);
      squares[i] += x * x;
    }
  }
  sums->counts[matrix] += rows.size();
}

Status ImportanceCollector::AddTo(Imatrix* imatrix) const {
  MOTE_RETURN_IF_ERROR(status_);
  for (const auto& [tensor, sums] : sums_) {
    for (size_t matrix = 0; matrix < sums->counts.size(); ++matrix) {
      const double* squares = sums->squares.As<double>() + matrix * sums->cols;
      MOTE_RETURN_IF_ERROR(imatrix->Add(tensor->name, matrix, sums->counts.size(),
                                        {squares, static_cast<size_t>(sums->cols)}, sums->counts[matrix]));
    }
  }
  return Status();
}

}  // namespace mote
