// The ranks behind the lead.
#include <algorithm>
#include <utility>

#include "engine/graph/chain.h"

namespace mote {

Result<std::unique_ptr<ChainStage>> ChainStage::Create(Program& program, const Shape& shape, Transport& transport) {
  if (transport.rank() < 1 || transport.rank() >= transport.ranks()) {
    return Error(Code::kInvalidArgument, "rank %d of %d; those behind the lead are 1 to %d", transport.rank(),
                 transport.ranks(), transport.ranks() - 1);
  }
  return std::unique_ptr<ChainStage>(new ChainStage(program, shape, transport));
}

Status ChainStage::Forward(std::span<const uint8_t> message) {
  return last() ? Status() : transport_.Send(next(), message);
}

Result<bool> ChainStage::Handle(std::span<const uint8_t> message) {
  WireReader reader(message);
  const ChainWord word = reader.Word();
  switch (word) {
    case ChainWord::kMakeCache:
      MOTE_RETURN_IF_ERROR(MakeCache(reader));
      break;
    case ChainWord::kDropCache:
      slots_.erase(reader.Take());
      break;
    case ChainWord::kCopyPrefix:
      MOTE_RETURN_IF_ERROR(CopyPrefix(reader));
      break;
    case ChainWord::kStep: {
      uint32_t chunk = 0;
      const Status status = Run(reader, &chunk);
      if (status.ok()) return true;
      const Status told = status.Within("rank " + std::to_string(transport_.rank()));
      MOTE_RETURN_IF_ERROR(transport_.Send(next(), WriteFailure(chunk, told).bytes()));
      return true;
    }
    case ChainWord::kFailed:
      MOTE_RETURN_IF_ERROR(transport_.Send(next(), message));
      return true;
    case ChainWord::kEnd:
      MOTE_RETURN_IF_ERROR(Forward(message));
      return false;
    default:
      return Error(Code::kMalformed, "rank %d sent a message of kind %u and %zu bytes, which a chain has not", source(),
                   static_cast<uint32_t>(word), message.size());
  }
  if (!reader.ok())
    return Error(Code::kMalformed, "rank %d sent half a message of %zu bytes", source(), message.size());
  MOTE_RETURN_IF_ERROR(Forward(message));
  return true;
}

// Nobody waits for this: a cache that cannot be had is told by the first step that wants it.
Status ChainStage::MakeCache(WireReader& reader) {
  const uint32_t number = reader.Take();
  const uint32_t context = reader.Take();
  if (!reader.done() || context == 0 || context > shape_.context) {
    return Error(Code::kMalformed, "a cache of %u positions; 1 to %u are possible", context, shape_.context);
  }
  Slot& slot = slots_[number];
  Result<std::unique_ptr<KvCache>> cache = program_.CreateKvCache(context);
  slot.status = cache.status();
  if (cache.ok()) slot.cache = std::move(cache).value();
  return Status();
}

Status ChainStage::CopyPrefix(WireReader& reader) {
  const auto to = slots_.find(reader.Take());
  const auto from = slots_.find(reader.Take());
  const uint32_t length = reader.Take();
  if (!reader.done() || to == slots_.end() || from == slots_.end()) {
    return Error(Code::kMalformed, "a copy between caches that there are not");
  }
  Slot& target = to->second;
  if (target.cache == nullptr) return Status();
  if (from->second.cache == nullptr) {
    target.status = from->second.status;
    target.cache.reset();
    return Status();
  }
  if (length > target.cache->context() || length > from->second.cache->context()) {
    return Error(Code::kMalformed, "a copy of %u positions, which the caches have no room for", length);
  }
  target.cache->CopyPrefix(*from->second.cache, length);
  return Status();
}

Status ChainStage::TakeCaches(const ChainRows& rows) {
  caches_.clear();
  for (const uint32_t number : rows.caches) {
    const auto slot = slots_.find(number);
    if (slot == slots_.end()) return Error(Code::kMalformed, "a step with cache %u, which there is not", number);
    MOTE_RETURN_IF_ERROR(slot->second.status);
    caches_.push_back(slot->second.cache.get());
  }
  const Step& step = rows.step;
  for (size_t row = 0; row < step.positions.size(); ++row) {
    const uint32_t context = caches_[step.sequences[row]]->context();
    const uint32_t position = static_cast<uint32_t>(step.positions[row]);
    bool right = position < context;
    for (const Sight& sight : step.sights) {
      const uint32_t end = sight.ends.empty() ? position + 1 : sight.ends[row];
      right = right && end <= context && (sight.begins.empty() || sight.begins[row] < end);
    }
    if (!right) return Error(Code::kMalformed, "a row at position %u of a cache of %u", position, context);
  }
  return Status();
}

Status ChainStage::Run(WireReader& reader, uint32_t* chunk) {
  MOTE_ASSIGN_OR_RETURN(const ChainRows rows, ReadRows(reader, shape_.width, shape_.max_tokens));
  *chunk = rows.chunk;
  MOTE_RETURN_IF_ERROR(TakeCaches(rows));
  const size_t results = rows.step.outputs.size() + rows.step.hidden_rows.size();
  if (results > shape_.max_outputs) {
    return Error(Code::kMalformed, "%zu results of a step; at most %u are possible", results, shape_.max_outputs);
  }
  inputs_.clear();
  for (size_t row = 0; row < rows.step.positions.size(); ++row) inputs_.push_back(rows.rows + row * shape_.width);
  return last() ? RunLast(rows) : RunOn(rows);
}

Status ChainStage::RunLast(const ChainRows& rows) {
  WireWriter writer(ChainWord::kResult);
  writer.Put(rows.chunk);
  Step own = rows.step;
  own.caches = caches_;
  own.inputs = inputs_;
  const uint64_t logits = own.outputs.size() * uint64_t{shape_.result_cols};
  own.logits = writer.Floats(logits + own.hidden_rows.size() * uint64_t{shape_.width});
  own.hidden = own.logits + logits;
  MOTE_RETURN_IF_ERROR(program_.Run(own));
  return transport_.Send(0, writer.bytes());
}

Status ChainStage::RunOn(const ChainRows& rows) {
  WireWriter writer(ChainWord::kStep);
  Step own = rows.step;
  own.logits = WriteRows(rows, shape_.width, &writer);
  all_rows_.clear();
  for (uint32_t row = 0; row < own.positions.size(); ++row) all_rows_.push_back(row);
  own.caches = caches_;
  own.inputs = inputs_;
  own.outputs = all_rows_;
  own.hidden_rows = {};
  own.hidden = nullptr;
  MOTE_RETURN_IF_ERROR(program_.Run(own));
  return transport_.Send(next(), writer.bytes());
}

}  // namespace mote
