// An array whose length is known before it is made and whose allocation may fail as a value. std::vector can do neither
// without exceptions, and its doubling costs up to three times the bytes while it grows.
#ifndef MOTE_ENGINE_FORMAT_FIXED_ARRAY_H_
#define MOTE_ENGINE_FORMAT_FIXED_ARRAY_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <new>
#include <span>

#include "engine/core/checked.h"
#include "engine/core/status.h"

namespace mote {

template <class T>
class FixedArray {
 public:
  // `count` value-initialised elements; kOutOfMemory names `what`.
  static Result<FixedArray> Create(uint64_t count, const char* what) {
    FixedArray array;
    if (count == 0) return array;
    // 64 bytes cover the cookie that new[] may put in front.
    const Checked64 bytes = Checked64(count) * sizeof(T) + 64;
    if (bytes.ok() && FitsSizeT(bytes.value())) {
      array.data_.reset(new (std::nothrow) T[static_cast<size_t>(count)]());
    }
    if (array.data_ == nullptr) {
      return Error(Code::kOutOfMemory, "could not allocate %llu %s of %zu bytes each",
                   static_cast<unsigned long long>(count), what, sizeof(T));
    }
    array.size_ = static_cast<size_t>(count);
    return array;
  }

  size_t size() const { return size_; }
  T* data() { return data_.get(); }
  T& operator[](size_t index) { return data_[index]; }
  const T& operator[](size_t index) const { return data_[index]; }
  std::span<T> span() { return {data_.get(), size_}; }
  std::span<const T> span() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<T[]> data_;
  size_t size_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_FIXED_ARRAY_H_
