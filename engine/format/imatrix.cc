#include "engine/format/imatrix.h"

#include <math.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "engine/core/checked.h"
#include "engine/format/gguf.h"
#include "engine/format/gguf_writer.h"

namespace mote {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";
constexpr uint64_t kMaxCount = uint64_t{1} << 53;  // exact as a double; float32 counts of real files lie far below

// The older form, front to back. Nothing in it is aligned.
class Cursor {
 public:
  explicit Cursor(std::span<const uint8_t> bytes) : rest_(bytes) {}
  size_t remaining() const { return rest_.size(); }
  // The next `count` bytes; null where there are not as many.
  const uint8_t* Take(uint64_t count) {
    if (count > rest_.size()) return nullptr;
    const uint8_t* here = rest_.data();
    rest_ = rest_.subspan(static_cast<size_t>(count));
    return here;
  }
  // Not negative.
  bool TakeInt(uint32_t* out) {
    const uint8_t* here = Take(sizeof(*out));
    if (here == nullptr) return false;
    memcpy(out, here, sizeof(*out));
    return *out <= INT32_MAX;
  }

 private:
  std::span<const uint8_t> rest_;
};

// Sums of squares: finite, not negative.
Status CheckSums(const float* sums, uint64_t values, const std::string& file, std::string_view name) {
  for (uint64_t i = 0; i < values; ++i) {
    if (sums[i] >= 0 && isfinite(sums[i])) continue;
    return Error(Code::kMalformed, "%s: value %llu of %.*s is %g; sums of squares are finite and not negative",
                 file.c_str(), static_cast<unsigned long long>(i), static_cast<int>(name.size()), name.data(),
                 static_cast<double>(sums[i]));
  }
  return Status();
}

const TensorInfo* FindFloats(const GgufFile& file, std::string_view weight, std::string_view suffix) {
  const TensorInfo* tensor = file.FindTensor(std::string(weight) + std::string(suffix));
  return tensor != nullptr && tensor->type == DType::kF32 ? tensor : nullptr;
}

}  // namespace

const Imatrix::Entry* Imatrix::Find(std::string_view name) const {
  const auto found = positions_.find(name);
  return found == positions_.end() ? nullptr : entries_[found->second].get();
}

Result<Imatrix::Entry*> Imatrix::Create(std::string_view name, uint64_t values, uint64_t matrices) {
  const std::string shown(name.substr(0, 80));
  if (Find(name) != nullptr) {
    return Error(Code::kMalformed, "%s: %s is there twice", source_name.c_str(), shown.c_str());
  }
  if (name.empty() || values == 0 || matrices == 0 || values % matrices != 0) {
    return Error(Code::kMalformed, "%s: \"%s\" has %llu values for %llu matrices", source_name.c_str(), shown.c_str(),
                 static_cast<unsigned long long>(values), static_cast<unsigned long long>(matrices));
  }
  const Checked64 bytes = Checked64(values) * sizeof(float);
  if (!bytes.ok()) return Error(Code::kOutOfMemory, "%s: too large", source_name.c_str());
  auto entry = std::make_unique<Entry>();
  entry->name = name;
  entry->values = values;
  MOTE_ASSIGN_OR_RETURN(entry->sums, Buffer::CreateZeroed(bytes.value(), "importances"));
  entry->counts.assign(static_cast<size_t>(matrices), 0);
  entries_.push_back(std::move(entry));
  positions_[entries_.back()->name] = entries_.size() - 1;
  return entries_.back().get();
}

Result<Imatrix> Imatrix::Read(FileSystem& files, const std::string& path, uint32_t chunk_size) {
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, files.Open(path));
  return FromSource(std::move(source), chunk_size);
}

Result<Imatrix> Imatrix::FromSource(std::unique_ptr<ByteSource> source, uint32_t chunk_size) {
  Imatrix imatrix;
  imatrix.source_name = source->name();
  MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, source->View(0, source->size()));
  const bool gguf = bytes.size() >= 4 && memcmp(bytes.data(), "GGUF", 4) == 0;
  MOTE_RETURN_IF_ERROR(gguf ? imatrix.ReadGguf(std::move(source)) : imatrix.ReadLegacy(bytes, chunk_size));
  return imatrix;
}

Status Imatrix::ReadGguf(std::unique_ptr<ByteSource> source) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(std::move(source));
  MOTE_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::FromSources(std::move(parts)));
  for (const TensorInfo& tensor : file->tensors()) {
    if (!tensor.name.ends_with(kSums)) continue;
    const std::string_view name(tensor.name.data(), tensor.name.size() - kSums.size());
    const TensorInfo* sums = FindFloats(*file, name, kSums);
    const TensorInfo* counts = FindFloats(*file, name, kCounts);
    if (sums == nullptr || counts == nullptr) {
      return Error(Code::kMalformed, "%s: %s needs F32 tensors .in_sum2 and .counts", source_name.c_str(),
                   std::string(name).c_str());
    }
    MOTE_ASSIGN_OR_RETURN(Entry* const entry, Create(name, sums->values(), counts->values()));
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> sum_bytes, file->TensorBytes(*sums));
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> count_bytes, file->TensorBytes(*counts));
    memcpy(entry->sums.data(), sum_bytes.data(), sum_bytes.size());
    MOTE_RETURN_IF_ERROR(CheckSums(entry->sums.As<float>(), entry->values, source_name, name));
    for (size_t i = 0; i < entry->counts.size(); ++i) {
      float count;
      memcpy(&count, count_bytes.data() + i * sizeof(count), sizeof(count));
      if (!(count >= 0) || count > static_cast<float>(kMaxCount)) {
        return Error(Code::kMalformed, "%s: a count of %s is %g", source_name.c_str(), entry->name.c_str(),
                     static_cast<double>(count));
      }
      entry->counts[i] = static_cast<uint64_t>(count + 0.5f);
    }
  }
  if (entries_.empty()) {
    return Error(Code::kMalformed, "%s holds no importance matrix: it has no tensors NAME.in_sum2",
                 source_name.c_str());
  }
  const GgufValue* names = file->Find("imatrix.datasets");
  for (uint64_t i = 0; names != nullptr && i < names->count(); ++i) {
    std::string_view text;
    if (names->StringAt(i, &text)) datasets.emplace_back(text);
  }
  MOTE_ASSIGN_OR_RETURN(const uint64_t chunks, file->UintOr("imatrix.chunk_count", 0));
  MOTE_ASSIGN_OR_RETURN(const uint64_t tokens, file->UintOr("imatrix.chunk_size", 0));
  chunk_count = static_cast<uint32_t>(std::min<uint64_t>(chunks, UINT32_MAX));
  chunk_size = static_cast<uint32_t>(std::min<uint64_t>(tokens, UINT32_MAX));
  return Status();
}

// int32 number of entries; each: int32 length of the name, the name, int32 chunks, int32 values, and as many floats,
// which are mean squares times chunks. Then, in most files: int32 chunks, int32 length, the name of the text.
Status Imatrix::ReadLegacy(std::span<const uint8_t> file, uint32_t tokens_per_chunk) {
  const auto broken = [&](const char* what) {
    return Error(Code::kMalformed, "%s is no importance matrix: %s", source_name.c_str(), what);
  };
  Cursor cursor(file);
  uint32_t num_entries = 0;
  if (!cursor.TakeInt(&num_entries) || num_entries == 0) return broken("neither GGUF nor a list of entries");
  for (uint32_t i = 0; i < num_entries; ++i) {
    uint32_t length = 0;
    if (!cursor.TakeInt(&length) || length == 0 || length > kGgufMaxNameBytes) return broken("a name has a wrong size");
    const uint8_t* name = cursor.Take(length);
    uint32_t chunks = 0;
    uint32_t values = 0;
    if (name == nullptr || !cursor.TakeInt(&chunks) || !cursor.TakeInt(&values)) return broken("it ends in an entry");
    const uint8_t* sums = cursor.Take(uint64_t{values} * sizeof(float));
    if (sums == nullptr || values == 0) return broken("it ends in an entry");
    const std::string_view text(reinterpret_cast<const char*>(name), length);
    MOTE_ASSIGN_OR_RETURN(Entry* const entry, Create(text, values, 1));
    float* out = entry->sums.As<float>();
    memcpy(out, sums, uint64_t{values} * sizeof(float));
    MOTE_RETURN_IF_ERROR(CheckSums(out, values, source_name, text));
    // Files from before chunks were counted hold means.
    entry->counts[0] = uint64_t{std::max(chunks, 1u)} * tokens_per_chunk;
    for (uint32_t v = 0; v < values; ++v) out[v] *= static_cast<float>(tokens_per_chunk);
    MOTE_RETURN_IF_ERROR(CheckSums(out, values, source_name, text));
    chunk_count = std::max(chunk_count, chunks);
  }
  chunk_size = tokens_per_chunk;
  uint32_t last = 0;
  uint32_t length = 0;
  if (cursor.remaining() == 0) return Status();
  if (!cursor.TakeInt(&last)) return broken("it ends in the number of chunks");
  chunk_count = last;
  if (cursor.TakeInt(&length) && length != 0) {
    const uint8_t* name = cursor.Take(length);
    if (name == nullptr) return broken("it ends in the name of the text");
    datasets.emplace_back(reinterpret_cast<const char*>(name), length);
  }
  return Status();
}

Status Imatrix::Add(std::string_view name, uint64_t matrix, uint64_t matrices, std::span<const double> squares,
                    uint64_t tokens) {
  Entry* entry = const_cast<Entry*>(Find(name));
  const Checked64 values = Checked64(squares.size()) * matrices;
  if (!values.ok() || matrix >= matrices) return Error(Code::kInvalidArgument, "importances: no such matrix");
  if (entry == nullptr) {
    MOTE_ASSIGN_OR_RETURN(entry, Create(name, values.value(), matrices));
  }
  if (entry->values != values.value() || entry->counts.size() != matrices) {
    return Error(Code::kMalformed, "%s has %llu importances in one place and %llu in another", entry->name.c_str(),
                 static_cast<unsigned long long>(entry->values), static_cast<unsigned long long>(values.value()));
  }
  float* sums = entry->sums.As<float>() + matrix * squares.size();
  for (size_t i = 0; i < squares.size(); ++i) {
    sums[i] = static_cast<float>(static_cast<double>(sums[i]) + squares[i]);
    if (!isfinite(sums[i])) {
      return Error(Code::kMalformed, "%s: the activations of column %zu are not finite", entry->name.c_str(), i);
    }
  }
  entry->counts[static_cast<size_t>(matrix)] += tokens;
  return Status();
}

Status Imatrix::Merge(const Imatrix& other) {
  for (const std::unique_ptr<Entry>& theirs : other.entries_) {
    Entry* ours = const_cast<Entry*>(Find(theirs->name));
    if (ours == nullptr) {
      MOTE_ASSIGN_OR_RETURN(ours, Create(theirs->name, theirs->values, theirs->counts.size()));
    }
    // A file of the older form has one count where others have one per expert.
    if (ours->values == theirs->values && ours->counts.size() == 1 && theirs->counts.size() > 1) {
      ours->counts.assign(theirs->counts.size(), ours->counts[0]);
    }
    const bool shared = theirs->counts.size() == 1;
    if (ours->values != theirs->values || (!shared && ours->counts.size() != theirs->counts.size())) {
      return Error(Code::kMalformed, "%s: %s has %llu importances, elsewhere it has %llu; another model?",
                   other.source_name.c_str(), ours->name.c_str(), static_cast<unsigned long long>(theirs->values),
                   static_cast<unsigned long long>(ours->values));
    }
    float* sums = ours->sums.As<float>();
    for (uint64_t i = 0; i < ours->values; ++i) sums[i] += theirs->sums.As<float>()[i];
    MOTE_RETURN_IF_ERROR(CheckSums(sums, ours->values, other.source_name, ours->name));
    for (size_t i = 0; i < ours->counts.size(); ++i) ours->counts[i] += theirs->counts[shared ? 0 : i];
  }
  datasets.insert(datasets.end(), other.datasets.begin(), other.datasets.end());
  chunk_count += other.chunk_count;
  if (chunk_size == 0) chunk_size = other.chunk_size;
  return Status();
}

void Imatrix::Means(const Entry& entry, float* means) {
  const uint64_t columns = entry.values / entry.counts.size();
  const float* sums = entry.sums.As<float>();
  for (size_t matrix = 0; matrix < entry.counts.size(); ++matrix) {
    const float count = static_cast<float>(entry.counts[matrix]);
    for (uint64_t i = matrix * columns; i < (matrix + 1) * columns; ++i) means[i] = count > 0 ? sums[i] / count : 1.0f;
  }
}

Result<Buffer> Imatrix::Write() const {
  std::vector<const Entry*> sorted;
  for (const std::unique_ptr<Entry>& entry : entries_) sorted.push_back(entry.get());
  std::sort(sorted.begin(), sorted.end(), [](const Entry* a, const Entry* b) { return a->name < b->name; });
  GgufWriter writer;
  writer.SetString("general.type", "imatrix");
  writer.SetStrings("imatrix.datasets", datasets);
  writer.SetUint32("imatrix.chunk_count", chunk_count);
  writer.SetUint32("imatrix.chunk_size", chunk_size);
  for (const Entry* entry : sorted) {
    TensorInfo tensor;
    tensor.num_dims = 2;
    tensor.name = entry->name + std::string(kSums);
    tensor.shape = {entry->values / entry->counts.size(), entry->counts.size(), 1, 1};
    writer.AddTensor(tensor);
    tensor.name = entry->name + std::string(kCounts);
    tensor.shape = {1, entry->counts.size(), 1, 1};
    writer.AddTensor(tensor);
  }
  MOTE_ASSIGN_OR_RETURN(const GgufWriter::Layout layout, writer.Finish());
  MOTE_ASSIGN_OR_RETURN(Buffer file, Buffer::CreateZeroed(layout.file_bytes, "the importance matrix's file"));
  memcpy(file.data(), layout.header.data(), layout.header.size());
  for (size_t i = 0; i < sorted.size(); ++i) {
    memcpy(file.data() + layout.tensors[2 * i].offset, sorted[i]->sums.data(), layout.tensors[2 * i].bytes);
    float* counts = reinterpret_cast<float*>(file.data() + layout.tensors[2 * i + 1].offset);
    for (size_t m = 0; m < sorted[i]->counts.size(); ++m) counts[m] = static_cast<float>(sorted[i]->counts[m]);
  }
  return file;
}

}  // namespace mote
