// Numbers from the metadata of a model file, each checked against its range.
#ifndef MOTE_ENGINE_ARCH_KEY_READER_H_
#define MOTE_ENGINE_ARCH_KEY_READER_H_

#include <stdint.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/format/gguf.h"

namespace mote {

// Keys are "<prefix>.<key>".
class KeyReader {
 public:
  KeyReader(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix) + ".") {}

  // The first failure sticks.
  const Status& status() const { return status_; }
  bool Has(const char* key) const { return file_.Find(prefix_ + key) != nullptr; }

  uint32_t Uint(const char* key, uint64_t min, uint64_t max) {
    return Check(key, file_.RequireUint(prefix_ + key), min, max);
  }
  uint32_t UintOr(const char* key, uint32_t fallback, uint64_t min, uint64_t max) {
    return Has(key) ? Uint(key, min, max) : fallback;
  }

  float FloatOr(const char* key, double fallback, double min, double max) {
    const Result<double> value = file_.FloatOr(prefix_ + key, fallback);
    if (!value.ok()) return Fail(value.status()), 0;
    if (!(*value >= min && *value <= max)) {
      Fail(Error(Code::kMalformed, "%s%s is %g, expected %g to %g", prefix_.c_str(), key, *value, min, max));
    }
    return static_cast<float>(*value);
  }

  bool BoolOr(const char* key, bool fallback) {
    const Result<bool> value = file_.BoolOr(prefix_ + key, fallback);
    if (!value.ok()) return Fail(value.status()), fallback;
    return *value;
  }

  // Exactly `count` floats.
  void Floats(const char* key, size_t count, double min, double max, float* out) {
    const GgufValue* value = file_.Find(prefix_ + key);
    if (value == nullptr) return Fail(Error(Code::kNotFound, "no key %s%s", prefix_.c_str(), key));
    if (value->type() != GgufType::kArray || value->count() != count) {
      return Fail(Error(Code::kMalformed, "%s%s is not an array of %zu numbers", prefix_.c_str(), key, count));
    }
    for (size_t i = 0; i < count; ++i) {
      double element = 0;
      if (!value->FloatAt(i, &element) || !(element >= min && element <= max)) {
        return Fail(
            Error(Code::kMalformed, "%s%s[%zu] is %g, expected %g to %g", prefix_.c_str(), key, i, element, min, max));
      }
      out[i] = static_cast<float>(element);
    }
  }

  // Up to `most` numbers; none where the key is absent.
  std::vector<uint32_t> Uints(const char* key, size_t most, uint64_t min, uint64_t max) {
    const GgufValue* value = file_.Find(prefix_ + key);
    if (value == nullptr) return {};
    if (value->type() != GgufType::kArray || value->count() > most) {
      Fail(Error(Code::kMalformed, "%s%s is not an array of up to %zu unsigned integers", prefix_.c_str(), key, most));
      return {};
    }
    std::vector<uint32_t> out;
    for (uint64_t i = 0; i < value->count(); ++i) {
      uint64_t element = 0;
      if (!value->UintAt(i, &element)) {
        Fail(Error(Code::kMalformed, "%s%s[%llu] is not an unsigned integer", prefix_.c_str(), key,
                   static_cast<unsigned long long>(i)));
        return {};
      }
      out.push_back(Check(key, element, min, max));
    }
    return out;
  }

  // One number for all layers, or an array with one per layer.
  std::vector<uint32_t> PerLayer(const char* key, uint32_t layers, uint64_t min, uint64_t max) {
    const GgufValue* value = file_.Find(prefix_ + key);
    if (value == nullptr || value->type() != GgufType::kArray) {
      return std::vector<uint32_t>(layers, Uint(key, min, max));
    }
    std::vector<uint32_t> out(layers, 0);
    if (value->count() < layers) {
      Fail(Error(Code::kMalformed, "%s%s has %llu elements, expected one for each of %u layers", prefix_.c_str(), key,
                 static_cast<unsigned long long>(value->count()), layers));
      return out;
    }
    for (uint32_t i = 0; i < layers; ++i) {
      uint64_t element = 0;
      if (!value->UintAt(i, &element)) {
        Fail(Error(Code::kMalformed, "%s%s[%u] is not an unsigned integer", prefix_.c_str(), key, i));
        return out;
      }
      out[i] = Check(key, element, min, max);
    }
    return out;
  }

  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

 private:
  uint32_t Check(const char* key, const Result<uint64_t>& value, uint64_t min, uint64_t max) {
    if (!value.ok()) return Fail(value.status()), 0;
    if (*value < min || *value > max) {
      Fail(Error(Code::kMalformed, "%s%s is %llu, expected %llu to %llu", prefix_.c_str(), key,
                 static_cast<unsigned long long>(*value), static_cast<unsigned long long>(min),
                 static_cast<unsigned long long>(max)));
      return 0;
    }
    return static_cast<uint32_t>(*value);
  }

  const GgufFile& file_;
  std::string prefix_;
  Status status_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_ARCH_KEY_READER_H_
