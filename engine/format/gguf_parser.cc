// Puts a GgufFile together out of one part or several.
#include "engine/format/gguf_parser.h"

#include <algorithm>
#include <utility>

#include "engine/core/checked.h"

namespace mote {

const GgufValue* GgufMetadata::Find(std::string_view key) const {
  const size_t position = index.Find(key, [this](size_t i) { return entries[i].key; });
  return position == NameIndex::kNone ? nullptr : &entries[position].value;
}

// general.alignment as the specification has it: uint32, and a power of two as every writer and reader takes it.
static Result<uint64_t> AlignmentOf(const GgufValue& value) {
  uint64_t alignment = 0;
  if (value.type() != GgufType::kUint32 || !value.GetUint(&alignment)) {
    return Error(Code::kMalformed, "general.alignment is of type %s; uint32 is right", GgufTypeName(value.type()));
  }
  if (alignment < kGgufMinAlignment || alignment > kGgufMaxAlignment || (alignment & (alignment - 1)) != 0) {
    return Error(Code::kMalformed, "general.alignment is %llu; a power of two from %llu to %llu is right",
                 static_cast<unsigned long long>(alignment), static_cast<unsigned long long>(kGgufMinAlignment),
                 static_cast<unsigned long long>(kGgufMaxAlignment));
  }
  return alignment;
}

// Makes tensor->offset absolute and checks that the tensor lies in its file. `data_begin` may not be ok.
static Status PlaceTensor(Checked64 data_begin, uint64_t file_bytes, TensorInfo* tensor) {
  const Checked64 begin = data_begin + tensor->offset;
  const Checked64 end = begin + tensor->bytes;
  if (!end.FitsIn(INT64_MAX)) return Error(Code::kMalformed, "it ends beyond 2^63 bytes");
  if (end.value() > file_bytes) {
    return Error(Code::kMalformed, "bytes %llu to %llu are beyond the file's end at %llu: it is cut off or damaged",
                 static_cast<unsigned long long>(begin.value()), static_cast<unsigned long long>(end.value()),
                 static_cast<unsigned long long>(file_bytes));
  }
  tensor->offset = begin.value();
  return Status();
}

// No two tensors of one part may share bytes: no writer makes such files, and packing weights would not expect it.
// Tensors of foreign formats, whose sizes nobody here can tell, get the bytes up to the next tensor or the file's end.
static Status CheckOverlap(std::span<TensorInfo> tensors, uint64_t file_bytes) {
  MOTE_ASSIGN_OR_RETURN(FixedArray<uint32_t> order, FixedArray<uint32_t>::Create(tensors.size(), "tensor positions"));
  for (size_t i = 0; i < tensors.size(); ++i) order[i] = static_cast<uint32_t>(i);
  std::sort(order.data(), order.data() + order.size(),
            [&](uint32_t a, uint32_t b) { return tensors[a].offset < tensors[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    TensorInfo& before = tensors[order[i - 1]];
    const TensorInfo& after = tensors[order[i]];
    if (before.bytes == 0) before.bytes = after.offset - before.offset;
    if (after.offset - before.offset < before.bytes) {
      return Error(Code::kMalformed, "tensors %s (%llu bytes at %llu) and %s (at %llu) overlap",
                   Quote(before.name).c_str(), static_cast<unsigned long long>(before.bytes),
                   static_cast<unsigned long long>(before.offset), Quote(after.name).c_str(),
                   static_cast<unsigned long long>(after.offset));
    }
  }
  if (order.size() > 0) {
    TensorInfo& last = tensors[order[order.size() - 1]];
    if (last.bytes == 0 && last.offset < file_bytes) last.bytes = file_bytes - last.offset;
  }
  return Status();
}

// Whether a part that says this of itself may stand in place `number` of `num_parts`.
static Status CheckPlace(const GgufParser::Split& split, uint64_t number, uint64_t num_parts) {
  if (split.count <= 1 && num_parts == 1) return Status();
  if (split.count != num_parts) {
    return split.count > 1
               ? Error(Code::kMalformed,
                       "this is part %llu of %llu of a split model, and %llu was or were given; parts are found by "
                       "names that end in -%05llu-of-%05llu.gguf",
                       static_cast<unsigned long long>(split.no) + 1, static_cast<unsigned long long>(split.count),
                       static_cast<unsigned long long>(num_parts), static_cast<unsigned long long>(split.no) + 1,
                       static_cast<unsigned long long>(split.count))
               : Error(Code::kMalformed, "this is a whole file (no split.count), not part %llu of %llu",
                       static_cast<unsigned long long>(number) + 1, static_cast<unsigned long long>(num_parts));
  }
  if (split.no != number) {
    return Error(Code::kMalformed, "split.no says part %llu of %llu, but it stands in the place of part %llu",
                 static_cast<unsigned long long>(split.no) + 1, static_cast<unsigned long long>(split.count),
                 static_cast<unsigned long long>(number) + 1);
  }
  return Status();
}

Result<GgufParser::Part> GgufParser::Scan(ByteSource& source, bool header_only) {
  if (!FitsSizeT(source.size())) {
    return Error(Code::kUnsupported, "%llu bytes are more than this platform can address; split the model into parts",
                 static_cast<unsigned long long>(source.size()));
  }
  Part part;
  MOTE_ASSIGN_OR_RETURN(part.bytes, source.View(0, source.size()));
  HeaderCursor cursor(part.bytes);
  MOTE_RETURN_IF_ERROR(ReadPrologue(&cursor, &part));
  GgufFile::Entry entry;
  for (uint64_t i = 0; i < part.num_entries; ++i) {
    MOTE_RETURN_IF_ERROR(ReadEntry(&cursor, nullptr, &part.num_strings, &entry));
    if (entry.key == "general.alignment") {
      MOTE_ASSIGN_OR_RETURN(part.alignment, AlignmentOf(entry.value));
    }
  }
  part.tensors_begin = cursor.position();
  TensorInfo tensor;
  std::string_view name;
  for (uint64_t i = 0; i < part.num_tensors; ++i) {
    MOTE_RETURN_IF_ERROR(ReadTensor(&cursor, part.alignment, header_only, &tensor, &name));
  }
  part.header_bytes = cursor.position();
  return part;
}

Result<GgufMetadata> GgufParser::BuildMetadata(const Part& part) {
  GgufMetadata metadata;
  MOTE_ASSIGN_OR_RETURN(metadata.entries, FixedArray<GgufFile::Entry>::Create(part.num_entries, "metadata entries"));
  MOTE_ASSIGN_OR_RETURN(metadata.string_offsets, FixedArray<uint32_t>::Create(part.num_strings, "string offsets"));
  HeaderCursor cursor(part.bytes);
  Part again = part;
  MOTE_RETURN_IF_ERROR(ReadPrologue(&cursor, &again));
  std::span<uint32_t> strings = metadata.string_offsets.span();
  uint64_t num_strings = 0;
  for (GgufFile::Entry& entry : metadata.entries.span()) {
    MOTE_RETURN_IF_ERROR(ReadEntry(&cursor, &strings, &num_strings, &entry));
  }
  size_t duplicate = NameIndex::kNone;
  const auto key_of = [&metadata](size_t i) { return metadata.entries[i].key; };
  MOTE_ASSIGN_OR_RETURN(metadata.index,
                        NameIndex::Create(metadata.entries.size(), "metadata keys", key_of, &duplicate));
  if (duplicate != NameIndex::kNone) {
    return Error(Code::kMalformed, "metadata key %s is there twice", Quote(key_of(duplicate)).c_str());
  }
  return metadata;
}

Status GgufParser::BuildTensors(const Part& part, uint32_t number, bool header_only, std::span<TensorInfo> tensors) {
  HeaderCursor cursor(part.bytes);
  MOTE_RETURN_IF_ERROR(cursor.Skip("the metadata", part.tensors_begin));
  const Checked64 data_begin = Checked64(part.header_bytes).AlignUp(part.alignment);
  const uint64_t file_bytes = header_only ? static_cast<uint64_t>(INT64_MAX) : part.bytes.size();
  for (TensorInfo& tensor : tensors) {
    std::string_view name;
    MOTE_RETURN_IF_ERROR(ReadTensor(&cursor, part.alignment, header_only, &tensor, &name));
    tensor.name = std::string(name);
    tensor.part = number;
    const Status placed = PlaceTensor(data_begin, file_bytes, &tensor);
    if (!placed.ok()) return placed.Within("tensor " + Quote(name));
  }
  return CheckOverlap(tensors, part.bytes.size());
}

Result<GgufParser::Split> GgufParser::SplitOf(const GgufMetadata& metadata) {
  Split split;
  uint64_t tensors = 0;
  const struct {
    const char* key;
    uint64_t* out;
  } fields[] = {{"split.no", &split.no}, {"split.count", &split.count}, {"split.tensors.count", &tensors}};
  for (const auto& field : fields) {
    const GgufValue* value = metadata.Find(field.key);
    if (value == nullptr) continue;
    if (!value->GetUint(field.out)) {
      return Error(Code::kMalformed, "metadata key \"%s\" is %s; a non-negative integer is right", field.key,
                   DescribeValue(*value).c_str());
    }
    if (field.out == &tensors) split.tensors = tensors;
  }
  return split;
}

Result<GgufParser::Split> GgufParser::ReadSplit(ByteSource& source) {
  const auto read = [&source]() -> Result<Split> {
    MOTE_ASSIGN_OR_RETURN(const Part part, Scan(source, /*header_only=*/true));
    MOTE_ASSIGN_OR_RETURN(const GgufMetadata metadata, BuildMetadata(part));
    return SplitOf(metadata);
  };
  Result<Split> split = read();
  return split.ok() ? split : split.status().Within(source.name());
}

Result<std::unique_ptr<GgufFile>> GgufParser::Parse(std::vector<std::unique_ptr<ByteSource>> sources,
                                                    bool header_only) {
  if (sources.empty() || sources.size() > kGgufMaxParts) {
    return Error(Code::kInvalidArgument, "%zu sources; 1 to %llu are right", sources.size(),
                 static_cast<unsigned long long>(kGgufMaxParts));
  }
  if (std::any_of(sources.begin(), sources.end(), [](const auto& source) { return source == nullptr; })) {
    return Error(Code::kInvalidArgument, "a source is null");
  }
  std::unique_ptr<GgufFile> file(new GgufFile());
  GgufFile::Impl& impl = *file->impl_;
  impl.parts = std::move(sources);
  std::vector<Part> parts;
  uint64_t num_tensors = 0;
  for (const auto& source : impl.parts) {
    Result<Part> part = Scan(*source, header_only);
    if (!part.ok()) return part.status().Within(source->name());
    num_tensors += part->num_tensors;  // parts x header bytes: cannot wrap
    impl.header_bytes += part->header_bytes;
    impl.file_bytes += source->size();
    parts.push_back(*part);
  }
  impl.version = parts[0].version;
  impl.alignment = parts[0].alignment;
  MOTE_ASSIGN_OR_RETURN(impl.tensors, FixedArray<TensorInfo>::Create(num_tensors, "tensor descriptions"));
  std::vector<Split> splits;
  size_t done = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Status status = [&]() -> Status {
      MOTE_ASSIGN_OR_RETURN(GgufMetadata metadata, BuildMetadata(parts[i]));
      MOTE_ASSIGN_OR_RETURN(const Split split, SplitOf(metadata));
      splits.push_back(split);
      MOTE_RETURN_IF_ERROR(CheckPlace(splits.back(), i, parts.size()));
      if (i == 0) impl.metadata = std::move(metadata);
      const std::span<TensorInfo> tensors =
          impl.tensors.span().subspan(done, static_cast<size_t>(parts[i].num_tensors));
      done += tensors.size();
      return BuildTensors(parts[i], static_cast<uint32_t>(i), header_only, tensors);
    }();
    if (!status.ok()) return status.Within(impl.parts[i]->name());
  }
  for (size_t i = 0; i < parts.size() && parts.size() > 1; ++i) {
    if (splits[i].tensors.value_or(num_tensors) != num_tensors) {
      return Error(Code::kMalformed, "%s: split.tensors.count is %llu, but the %zu parts hold %llu tensors",
                   impl.parts[i]->name().c_str(), static_cast<unsigned long long>(*splits[i].tensors), parts.size(),
                   static_cast<unsigned long long>(num_tensors));
    }
  }
  size_t duplicate = NameIndex::kNone;
  const auto name_of = [&impl](size_t i) { return std::string_view(impl.tensors[i].name); };
  MOTE_ASSIGN_OR_RETURN(impl.tensor_index, NameIndex::Create(impl.tensors.size(), "tensor names", name_of, &duplicate));
  if (duplicate != NameIndex::kNone) {
    const TensorInfo& tensor = impl.tensors[duplicate];
    return Error(Code::kMalformed, "%s: tensor %s is there twice", impl.parts[tensor.part]->name().c_str(),
                 Quote(tensor.name).c_str());
  }
  if (const Status rows = FindI8Rows(file.get()); !rows.ok()) return rows.Within(file->name());
  if (const Status sparse = FindSparseTensors(file.get()); !sparse.ok()) return sparse.Within(file->name());
  return file;
}

}  // namespace mote
