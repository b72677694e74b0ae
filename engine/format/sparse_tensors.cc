#include "engine/format/sparse_tensors.h"

#include <vector>

#include "engine/core/checked.h"
#include "engine/format/gguf_parser.h"

namespace mote {
namespace {

constexpr char kVersionKey[] = "mote.sparse.version";
constexpr char kNamesKey[] = "mote.sparse.names";
constexpr char kTypesKey[] = "mote.sparse.types";
constexpr char kRowsKey[] = "mote.sparse.rows";
constexpr char kColsKey[] = "mote.sparse.cols";
constexpr char kDensityKey[] = "mote.sparse.density";

// Of the values' tensor.
DType ValuesType(DType type) {
  return SparseScaleCols(type) != 0 ? DType::kI8 : type;
}

// The four arrays that list the matrices.
struct Lists {
  const GgufValue* names = nullptr;
  const GgufValue* types = nullptr;
  const GgufValue* rows = nullptr;
  const GgufValue* cols = nullptr;
};

Result<Lists> FindLists(const GgufFile& file) {
  Lists lists;
  const struct {
    const char* key;
    const GgufValue** value;
    GgufType type;
  } wanted[] = {{kNamesKey, &lists.names, GgufType::kString},
                {kTypesKey, &lists.types, GgufType::kUint32},
                {kRowsKey, &lists.rows, GgufType::kUint32},
                {kColsKey, &lists.cols, GgufType::kUint32}};
  for (const auto& [key, value, type] : wanted) {
    *value = file.Find(key);
    if (*value == nullptr) return Error(Code::kMalformed, "metadata key %s is missing beside %s", key, kVersionKey);
    if ((*value)->type() != GgufType::kArray || (*value)->element_type() != type) {
      return Error(Code::kMalformed, "metadata key %s is %s; an array of %s is right", key,
                   DescribeValue(**value).c_str(), GgufTypeName(type));
    }
    if ((*value)->count() != lists.names->count()) {
      return Error(Code::kMalformed, "metadata key %s has %llu elements, %s has %llu", key,
                   static_cast<unsigned long long>((*value)->count()), kNamesKey,
                   static_cast<unsigned long long>(lists.names->count()));
    }
  }
  return lists;
}

// The part `suffix` of a matrix: of this type, of one dimension, and of so many elements; 0: any number.
Result<const TensorInfo*> FindPart(const GgufFile& file, const std::string& name, const char* suffix, DType type,
                                   uint64_t elements) {
  const std::string full = name + suffix;
  const TensorInfo* part = file.FindTensor(full);
  if (part == nullptr) {
    return Error(Code::kMalformed, "tensor %s of a block-sparse matrix is missing", Quote(full).c_str());
  }
  if (part->type != type || part->rows() != 1 || (elements != 0 && part->cols() != elements)) {
    return Error(Code::kMalformed, "tensor %s is %llu x %llu of %s; a row of %llu values of %s is right",
                 Quote(full).c_str(), static_cast<unsigned long long>(part->rows()),
                 static_cast<unsigned long long>(part->cols()), DTypeName(part->type),
                 static_cast<unsigned long long>(elements != 0 ? elements : part->cols()), DTypeName(type));
  }
  return part;
}

Result<SparseShape> ShapeAt(const Lists& lists, uint64_t i, const std::string& name) {
  uint64_t type = 0;
  SparseShape shape;
  lists.types->UintAt(i, &type);
  lists.rows->UintAt(i, &shape.rows);
  lists.cols->UintAt(i, &shape.cols);
  shape.type = static_cast<DType>(type);
  if (!shape.valid()) {
    return Error(Code::kMalformed,
                 "block-sparse matrix %s: type %s (%llu), %llu rows, %llu columns; I8 and Q4_0 with a multiple of 32 "
                 "columns, F16 and BF16 with a multiple of 2, up to %llu of both are right",
                 Quote(name).c_str(), DTypeName(static_cast<uint32_t>(type)), static_cast<unsigned long long>(type),
                 static_cast<unsigned long long>(shape.rows), static_cast<unsigned long long>(shape.cols),
                 static_cast<unsigned long long>(kSparseMaxSide));
  }
  return shape;
}

Status Describe(const GgufFile& file, const SparseShape& shape, TensorInfo* tensor, SparseParts* parts) {
  const std::string& name = tensor->name;
  if (file.FindTensor(name) != nullptr) {
    return Error(Code::kMalformed, "tensor %s is there dense and block-sparse", Quote(name).c_str());
  }
  MOTE_ASSIGN_OR_RETURN(parts->counts, FindPart(file, name, ".sparse_counts", DType::kI8, shape.num_counts()));
  MOTE_ASSIGN_OR_RETURN(parts->index, FindPart(file, name, ".sparse_index", DType::kI8, 0));
  parts->blocks = parts->index->cols();
  if (shape.num_scales() != 0) {
    MOTE_ASSIGN_OR_RETURN(parts->scales, FindPart(file, name, ".sparse_scales", DType::kF16, shape.num_scales()));
  }
  const uint64_t value_bytes = ValuesType(shape.type) == DType::kI8 ? 1 : 2;
  // A tensor of the file: its bytes are far below 2^58.
  MOTE_ASSIGN_OR_RETURN(parts->values, FindPart(file, name, ".sparse_values", ValuesType(shape.type),
                                                parts->blocks * (kSparseBlockBytes / value_bytes)));
  tensor->type = shape.type;
  tensor->num_dims = 2;
  tensor->shape = {shape.cols, shape.rows, 1, 1};
  tensor->bytes = parts->counts->bytes + parts->index->bytes + parts->values->bytes +
                  (parts->scales == nullptr ? 0 : parts->scales->bytes);
  tensor->sparse = parts;
  return Status();
}

}  // namespace

Status GgufParser::FindSparseTensors(GgufFile* file) {
  const GgufValue* version = file->Find(kVersionKey);
  if (version == nullptr) return Status();
  uint64_t number = 0;
  if (!version->GetUint(&number) || number != kSparseVersion) {
    return Error(Code::kUnsupported, "metadata key %s is %s; this mote reads version %u of block-sparse files",
                 kVersionKey, DescribeValue(*version).c_str(), kSparseVersion);
  }
  MOTE_ASSIGN_OR_RETURN(const Lists lists, FindLists(*file));
  const uint64_t count = lists.names->count();
  // Each is three tensors at least: nothing is allocated on the word of the list.
  if (count > file->tensors().size() / 3) {
    return Error(Code::kMalformed, "metadata key %s lists %llu matrices, of three tensors at least; there are %zu",
                 kNamesKey, static_cast<unsigned long long>(count), file->tensors().size());
  }
  GgufFile::Impl& impl = *file->impl_;
  MOTE_ASSIGN_OR_RETURN(FixedArray<TensorInfo> tensors, FixedArray<TensorInfo>::Create(count, "block-sparse matrices"));
  MOTE_ASSIGN_OR_RETURN(impl.sparse_parts, FixedArray<SparseParts>::Create(count, "parts of block-sparse matrices"));
  for (size_t i = 0; i < tensors.size(); ++i) {
    std::string_view name;
    lists.names->StringAt(i, &name);
    if (!IsPrintableName(name, kGgufMaxNameBytes)) {
      return Error(Code::kMalformed, "metadata key %s: name %zu, %s, is not 1 to %llu bytes of printable ASCII",
                   kNamesKey, i, Quote(name).c_str(), static_cast<unsigned long long>(kGgufMaxNameBytes));
    }
    tensors[i].name = std::string(name);
    MOTE_ASSIGN_OR_RETURN(const SparseShape shape, ShapeAt(lists, i, tensors[i].name));
    MOTE_RETURN_IF_ERROR(Describe(*file, shape, &tensors[i], &impl.sparse_parts[i]));
  }
  size_t duplicate = NameIndex::kNone;
  const auto name_of = [&tensors](size_t i) { return std::string_view(tensors[i].name); };
  MOTE_ASSIGN_OR_RETURN(impl.sparse_index,
                        NameIndex::Create(tensors.size(), "names of block-sparse matrices", name_of, &duplicate));
  if (duplicate != NameIndex::kNone) {
    return Error(Code::kMalformed, "block-sparse matrix %s is there twice", Quote(tensors[duplicate].name).c_str());
  }
  impl.sparse_tensors = std::move(tensors);
  return Status();
}

Result<SparseView> GgufFile::ReadSparse(const TensorInfo& tensor) const {
  if (tensor.sparse == nullptr) {
    return Error(Code::kInvalidArgument, "tensor %s is not block-sparse", Quote(tensor.name).c_str());
  }
  SparseView view;
  view.shape = {tensor.type, tensor.rows(), tensor.cols()};
  MOTE_ASSIGN_OR_RETURN(view.counts, TensorBytes(*tensor.sparse->counts));
  MOTE_ASSIGN_OR_RETURN(view.index, TensorBytes(*tensor.sparse->index));
  if (tensor.sparse->scales != nullptr) {
    MOTE_ASSIGN_OR_RETURN(view.scales, TensorBytes(*tensor.sparse->scales));
  }
  MOTE_ASSIGN_OR_RETURN(view.values, TensorBytes(*tensor.sparse->values));
  MOTE_RETURN_IF_ERROR(CheckSparseTensor(tensor.name, view));
  return view;
}

Status CheckSparseTensor(const std::string& name, const SparseView& view) {
  const SparseFault fault = CheckSparse(view);
  if (fault.what == nullptr) return Status();
  return Error(Code::kMalformed, "block-sparse matrix %s: %s is wrong: element %llu is %llu, %llu is right or the most",
               Quote(name).c_str(), fault.what, static_cast<unsigned long long>(fault.at),
               static_cast<unsigned long long>(fault.got), static_cast<unsigned long long>(fault.limit));
}

Status AddSparseTensors(std::span<const SparseEntry> entries, GgufWriter* writer) {
  std::vector<std::string> names;
  std::vector<uint32_t> types, rows, cols;
  uint64_t kept = 0;
  uint64_t all = 0;
  const auto add = [writer](const std::string& name, DType type, uint64_t elements) {
    TensorInfo part;
    part.name = name;
    part.type = type;
    part.num_dims = 1;
    part.shape[0] = elements;
    writer->AddTensor(part);
  };
  for (const SparseEntry& entry : entries) {
    const SparseShape& shape = entry.shape;
    if (!shape.valid() || entry.blocks == 0 || entry.blocks > shape.all_blocks()) {
      return Error(Code::kInvalidArgument, "%s: %llu blocks of %llu x %llu of %s cannot be a block-sparse matrix",
                   Quote(entry.name).c_str(), static_cast<unsigned long long>(entry.blocks),
                   static_cast<unsigned long long>(shape.rows), static_cast<unsigned long long>(shape.cols),
                   DTypeName(shape.type));
    }
    names.push_back(entry.name);
    types.push_back(static_cast<uint32_t>(shape.type));
    rows.push_back(static_cast<uint32_t>(shape.rows));
    cols.push_back(static_cast<uint32_t>(shape.cols));
    kept += entry.blocks;
    all += shape.all_blocks();
    add(entry.name + ".sparse_counts", DType::kI8, shape.num_counts());
    add(entry.name + ".sparse_index", DType::kI8, entry.blocks);
    if (shape.num_scales() != 0) add(entry.name + ".sparse_scales", DType::kF16, shape.num_scales());
    const DType values = ValuesType(shape.type);
    add(entry.name + ".sparse_values", values, entry.blocks * kSparseBlockBytes / (values == DType::kI8 ? 1 : 2));
  }
  writer->SetUint32(kVersionKey, kSparseVersion);
  writer->SetStrings(kNamesKey, names);
  writer->SetUint32s(kTypesKey, types);
  writer->SetUint32s(kRowsKey, rows);
  writer->SetUint32s(kColsKey, cols);
  writer->SetFloat32(kDensityKey,
                     all == 0 ? 1.0f : static_cast<float>(static_cast<double>(kept) / static_cast<double>(all)));
  return Status();
}

}  // namespace mote
