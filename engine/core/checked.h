// Size arithmetic that cannot wrap. Every size that comes from a file or a request goes through these.
#ifndef MOTE_ENGINE_CORE_CHECKED_H_
#define MOTE_ENGINE_CORE_CHECKED_H_

#include <stddef.h>
#include <stdint.h>

namespace mote {

// An unsigned 64-bit size that remembers whether any step so far overflowed. Chain freely, test once:
//   Checked64 bytes = Checked64(rows) * row_bytes + padding;  if (!bytes.ok()) ...
class Checked64 {
 public:
  constexpr Checked64(uint64_t value) : value_(value) {}  // NOLINT: implicit, so plain sizes mix in
  constexpr bool ok() const { return ok_; }
  constexpr uint64_t value() const { return value_; }  // only when ok()

  constexpr Checked64 operator+(Checked64 other) const {
    uint64_t sum = 0;
    const bool wrapped = __builtin_add_overflow(value_, other.value_, &sum);
    return Checked64(sum, ok_ && other.ok_ && !wrapped);
  }
  constexpr Checked64 operator*(Checked64 other) const {
    uint64_t product = 0;
    const bool wrapped = __builtin_mul_overflow(value_, other.value_, &product);
    return Checked64(product, ok_ && other.ok_ && !wrapped);
  }
  // Rounds up to a multiple of `alignment`, a power of two.
  constexpr Checked64 AlignUp(uint64_t alignment) const {
    const Checked64 sum = *this + (alignment - 1);
    return Checked64(sum.value_ & ~(alignment - 1), sum.ok_);
  }
  // True if the value is known and at most `limit`.
  constexpr bool FitsIn(uint64_t limit) const { return ok_ && value_ <= limit; }

 private:
  constexpr Checked64(uint64_t value, bool ok) : value_(value), ok_(ok) {}
  uint64_t value_;
  bool ok_ = true;
};

// True where a 64-bit size can be a size_t of this platform (wasm32 and 32-bit Arm have 4 GiB).
constexpr bool FitsSizeT(uint64_t value) {
  return value <= SIZE_MAX / 2;
}

}  // namespace mote

#endif  // MOTE_ENGINE_CORE_CHECKED_H_
