#include "engine/format/i8_rows.h"

#include "engine/format/gguf_parser.h"

namespace mote {

Status ToI8Rows(TensorInfo* tensor) {
  const uint32_t tail = DTypeInfoOf(DType::kI8Row)->tail_bytes;
  const uint64_t cols = tensor->cols() - tail;
  if (tensor->cols() <= tail || cols % DTypeInfoOf(DType::kI8Row)->block_values != 0 || cols > kI8RowMostValues) {
    return Error(Code::kMalformed,
                 "tensor %s has rows of %llu bytes; I8 matrices have a multiple of 4 columns, 4 to %zu, and four bytes "
                 "more for the row's scale",
                 Quote(tensor->name).c_str(), static_cast<unsigned long long>(tensor->cols()), kI8RowMostValues);
  }
  tensor->type = DType::kI8Row;
  tensor->shape[0] = cols;
  return Status();
}

void ToFileForm(TensorInfo* tensor) {
  if (tensor->type != DType::kI8Row) return;
  tensor->type = DType::kI8;
  tensor->shape[0] += DTypeInfoOf(DType::kI8Row)->tail_bytes;
}

Status GgufParser::FindI8Rows(GgufFile* file) {
  const GgufValue* version = file->Find(kI8RowsKey);
  if (version == nullptr) return Status();
  uint64_t number = 0;
  if (!version->GetUint(&number) || number != kI8RowsVersion) {
    return Error(Code::kUnsupported, "metadata key %s is %s; this mote reads version %u of I8 matrices", kI8RowsKey,
                 DescribeValue(*version).c_str(), kI8RowsVersion);
  }
  FixedArray<TensorInfo>& tensors = file->impl_->tensors;
  for (size_t i = 0; i < tensors.size(); ++i) {
    TensorInfo& tensor = tensors[i];
    if (tensor.type == DType::kI8 && tensor.num_dims > 1) MOTE_RETURN_IF_ERROR(ToI8Rows(&tensor));
  }
  return Status();
}

}  // namespace mote
