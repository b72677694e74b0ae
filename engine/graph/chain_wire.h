// The words of a chain (chain.h) on the wire: fields of 4 bytes, little-endian, like every machine that mote runs on.
#ifndef MOTE_ENGINE_GRAPH_CHAIN_WIRE_H_
#define MOTE_ENGINE_GRAPH_CHAIN_WIRE_H_

#include <stdint.h>
#include <string.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/graph/backend.h"

namespace mote {

// The first field of every message.
enum class ChainWord : uint32_t {
  // From the lead to all, and back, before the first step.
  kHello = 0x4d4f5431,  // "MOT1": of this version of the words alone
  kShare,
  kReady,
  // From rank to rank, and from the last to the lead.
  kMakeCache,
  kDropCache,
  kCopyPrefix,
  kStep,
  kResult,
  kFailed,
  kEnd,
};

class WireWriter {
 public:
  explicit WireWriter(ChainWord word) { Put(static_cast<uint32_t>(word)); }
  void Put(uint32_t value) { Append(&value, sizeof(value)); }
  void PutLong(uint64_t value) { Append(&value, sizeof(value)); }
  void PutDouble(double value) { Append(&value, sizeof(value)); }
  void PutText(std::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    Append(text.data(), text.size());
    bytes_.resize((bytes_.size() + 3) / 4 * 4);
  }
  template <class T>
  void PutAll(std::span<const T> values) {
    static_assert(sizeof(T) % 4 == 0);
    Append(values.data(), values.size() * sizeof(T));
  }
  // Room for `count` floats at the end, to be written by the caller; there until the next call.
  float* Floats(uint64_t count) {
    const size_t at = bytes_.size();
    bytes_.resize(at + count * sizeof(float));
    return reinterpret_cast<float*>(bytes_.data() + at);
  }
  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  void Append(const void* from, size_t size) {
    if (size == 0) return;
    const size_t at = bytes_.size();
    bytes_.resize(at + size);
    memcpy(bytes_.data() + at, from, size);
  }
  std::vector<uint8_t> bytes_;
};

// Reads what a peer sent. Past the end everything is 0 and empty, and ok() false from then on.
class WireReader {
 public:
  explicit WireReader(std::span<const uint8_t> bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }
  ChainWord Word() { return static_cast<ChainWord>(Take()); }
  uint32_t Take() { return TakeValue<uint32_t>(); }
  uint64_t TakeLong() { return TakeValue<uint64_t>(); }
  double TakeDouble() { return TakeValue<double>(); }
  std::string TakeText() {
    const std::span<const uint8_t> text = Bytes(Take());
    Bytes((4 - text.size() % 4) % 4);
    return std::string(text.begin(), text.end());
  }
  // A view of the message, which is aligned.
  template <class T>
  std::span<const T> TakeAll(uint64_t count) {
    static_assert(alignof(T) <= 4);
    if (count > rest_.size() / sizeof(T)) return Bytes(UINT64_MAX), std::span<const T>();
    return {reinterpret_cast<const T*>(Bytes(count * sizeof(T)).data()), static_cast<size_t>(count)};
  }

 private:
  template <class T>
  T TakeValue() {
    T value = 0;
    const std::span<const uint8_t> from = Bytes(sizeof(T));
    if (!from.empty()) memcpy(&value, from.data(), sizeof(T));
    return value;
  }
  std::span<const uint8_t> Bytes(uint64_t count) {
    if (!ok_ || count > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::span<const uint8_t> taken = rest_.first(static_cast<size_t>(count));
    rest_ = rest_.subspan(static_cast<size_t>(count));
    return taken;
  }
  std::span<const uint8_t> rest_;
  bool ok_ = true;
};

// A failure, as one rank tells it to the next; `chunk`: the rows that it befell.
WireWriter WriteFailure(uint32_t chunk, const Status& status);
// What WriteFailure wrote, after its word.
Status ReadFailure(WireReader& reader, uint32_t* chunk);

// Rows of a step on their way to the next rank: everything but the tokens, whose rows are in it instead.
struct ChainRows {
  uint32_t chunk = 0;
  std::span<const uint32_t> caches;  // their numbers
  Step step;                         // without caches, inputs and results
  const float* rows = nullptr;       // (positions, width); read alone
};
// Writes all but the rows; their place is returned.
float* WriteRows(const ChainRows& rows, uint64_t width, WireWriter* writer);
// Checks what sizes and spans alone tell. Views of the message.
Result<ChainRows> ReadRows(WireReader& reader, uint64_t width, uint32_t max_rows);

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_CHAIN_WIRE_H_
