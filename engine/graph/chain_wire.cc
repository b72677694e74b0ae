#include "engine/graph/chain_wire.h"

namespace mote {
namespace {

// Optional parts of a step.
enum StepPart : uint32_t { kRopes = 1, kBegins0 = 2, kEnds0 = 4, kBegins1 = 8, kEnds1 = 16, kAllParts = 31 };

template <class T>
uint32_t PartOf(std::span<const T> values, StepPart part) {
  return values.empty() ? 0 : static_cast<uint32_t>(part);
}

bool InOrder(std::span<const uint32_t> indices, uint32_t limit) {
  for (size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] >= limit || (i > 0 && indices[i] <= indices[i - 1])) return false;
  }
  return true;
}

}  // namespace

WireWriter WriteFailure(uint32_t chunk, const Status& status) {
  WireWriter writer(ChainWord::kFailed);
  writer.Put(chunk);
  writer.Put(static_cast<uint32_t>(status.code()));
  writer.PutText(status.message());
  return writer;
}

Status ReadFailure(WireReader& reader, uint32_t* chunk) {
  *chunk = reader.Take();
  const uint32_t code = reader.Take();
  const std::string text = reader.TakeText();
  const bool known = reader.done() && code > 0 && code <= static_cast<uint32_t>(Code::kInternal);
  return known ? Status(static_cast<Code>(code), text) : Error(Code::kMalformed, "a failure that cannot be read");
}

float* WriteRows(const ChainRows& rows, uint64_t width, WireWriter* writer) {
  const Step& step = rows.step;
  writer->Put(rows.chunk);
  writer->Put(static_cast<uint32_t>(step.positions.size()));
  writer->Put(static_cast<uint32_t>(rows.caches.size()));
  writer->Put(static_cast<uint32_t>(step.outputs.size()));
  writer->Put(static_cast<uint32_t>(step.hidden_rows.size()));
  writer->Put(PartOf(step.ropes, kRopes) | PartOf(step.sights[0].begins, kBegins0) |
              PartOf(step.sights[0].ends, kEnds0) | PartOf(step.sights[1].begins, kBegins1) |
              PartOf(step.sights[1].ends, kEnds1));
  writer->PutAll(step.positions);
  writer->PutAll(step.sequences);
  writer->PutAll(rows.caches);
  writer->PutAll(step.outputs);
  writer->PutAll(step.hidden_rows);
  writer->PutAll(step.ropes);
  for (const Sight& sight : step.sights) {
    writer->PutAll(sight.begins);
    writer->PutAll(sight.ends);
  }
  return writer->Floats(step.positions.size() * width);
}

Result<ChainRows> ReadRows(WireReader& reader, uint64_t width, uint32_t max_rows) {
  ChainRows rows;
  rows.chunk = reader.Take();
  const uint32_t count = reader.Take();
  const uint32_t caches = reader.Take();
  const uint32_t outputs = reader.Take();
  const uint32_t hidden = reader.Take();
  const uint32_t parts = reader.Take();
  if (!reader.ok() || count == 0 || count > max_rows || (parts & ~static_cast<uint32_t>(kAllParts)) != 0) {
    return Error(Code::kMalformed, "a step of %u rows; 1 to %u are possible", count, max_rows);
  }
  Step& step = rows.step;
  step.positions = reader.TakeAll<int32_t>(count);
  step.sequences = reader.TakeAll<uint32_t>(count);
  rows.caches = reader.TakeAll<uint32_t>(caches);
  step.outputs = reader.TakeAll<uint32_t>(outputs);
  step.hidden_rows = reader.TakeAll<uint32_t>(hidden);
  if ((parts & kRopes) != 0) step.ropes = reader.TakeAll<RopePosition>(count);
  if ((parts & kBegins0) != 0) step.sights[0].begins = reader.TakeAll<uint32_t>(count);
  if ((parts & kEnds0) != 0) step.sights[0].ends = reader.TakeAll<uint32_t>(count);
  if ((parts & kBegins1) != 0) step.sights[1].begins = reader.TakeAll<uint32_t>(count);
  if ((parts & kEnds1) != 0) step.sights[1].ends = reader.TakeAll<uint32_t>(count);
  rows.rows = reader.TakeAll<float>(count * width).data();
  if (!reader.done()) return Error(Code::kMalformed, "a step of %u rows whose message has another length", count);
  bool right = InOrder(step.outputs, count) && InOrder(step.hidden_rows, count);
  for (const uint32_t sequence : step.sequences) right = right && sequence < caches;
  if (!right) return Error(Code::kMalformed, "a step of %u rows that names others", count);
  return rows;
}

}  // namespace mote
