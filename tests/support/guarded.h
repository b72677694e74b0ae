// Output buffers that notice what a kernel must not do: write outside, leave an element unwritten, depend on what was
// in the buffer before.
#ifndef MOTE_TESTS_SUPPORT_GUARDED_H_
#define MOTE_TESTS_SUPPORT_GUARDED_H_

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <span>
#include <vector>

namespace mote::testing {

// What an element holds before it is written. Two patterns that differ in every byte: a value that a kernel really
// computes can equal one of them by chance, never both. As float64, float32 and float16 they are signalling NaNs, so
// that arithmetic on them shows.
enum class Poison : uint8_t { kFirst, kSecond };

template <size_t kBytes>
constexpr uint64_t PoisonBits(Poison poison) {
  static_assert(kBytes == 1 || kBytes == 2 || kBytes == 4 || kBytes == 8);
  const bool first = poison == Poison::kFirst;
  if constexpr (kBytes == 8) return first ? 0x7ff4c3e1a5b7d2f9u : 0xfff31d2e5a6b3c8du;
  if constexpr (kBytes == 4) return first ? 0x7fa5c3e1u : 0xffb61d2eu;
  if constexpr (kBytes == 2) return first ? 0x7dc3u : 0xfd5au;
  return first ? 0xa5u : 0x5au;
}

template <class T>
T PoisonValue(Poison poison) {
  const uint64_t bits = PoisonBits<sizeof(T)>(poison);
  T value;
  memcpy(&value, &bits, sizeof(T));  // little-endian, as all our targets are
  return value;
}

// True also where arithmetic has turned the signalling NaN into a quiet one: the element was read, not written.
inline bool LooksPoisoned(float value) {
  constexpr uint32_t kQuiet = 1u << 22;
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  bits &= ~kQuiet;
  return bits == PoisonBits<4>(Poison::kFirst) || bits == PoisonBits<4>(Poison::kSecond);
}

// `count` elements that start `misalign` elements past a 64-byte boundary, between two guards of kGuardBytes. Not
// copyable, so that data() stays where it is.
template <class T>
class Guarded {
 public:
  static constexpr size_t kGuardBytes = 256;  // four of the widest vectors
  static constexpr size_t kBoundary = 64;

  explicit Guarded(size_t count, size_t misalign = 0, Poison poison = Poison::kFirst)
      : count_(count), poison_(poison), storage_(kBoundary + 2 * kGuardBytes + (count + misalign) * sizeof(T)) {
    const uintptr_t base = reinterpret_cast<uintptr_t>(storage_.data()) + kGuardBytes;
    const uintptr_t aligned = (base + kBoundary - 1) / kBoundary * kBoundary;
    data_ = reinterpret_cast<T*>(storage_.data() + kGuardBytes + (aligned - base)) + misalign;
    for (size_t i = 0; i < storage_.size(); ++i) storage_[i] = GuardByte(i);
    const T value = PoisonValue<T>(poison);
    for (size_t i = 0; i < count; ++i) memcpy(data_ + i, &value, sizeof(T));
  }
  // For inputs and in-place operations: holds `contents`; the guards are there all the same.
  explicit Guarded(std::span<const T> contents, size_t misalign = 0) : Guarded(contents.size(), misalign) {
    if (!contents.empty()) memcpy(data_, contents.data(), contents.size_bytes());
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  std::span<T> span() { return {data_, count_}; }
  std::span<const T> span() const { return {data_, count_}; }

  // No byte outside the elements has changed; says which one, counted in bytes from the nearer end.
  ::testing::AssertionResult GuardsIntact() const {
    const size_t begin = static_cast<size_t>(reinterpret_cast<const uint8_t*>(data_) - storage_.data());
    const size_t end = begin + count_ * sizeof(T);
    for (size_t i = begin; i-- > 0;) {
      if (storage_[i] != GuardByte(i)) {
        return ::testing::AssertionFailure() << "a write " << begin - i << " bytes before the first of " << count_
                                             << " elements of " << sizeof(T) << " bytes";
      }
    }
    for (size_t i = end; i < storage_.size(); ++i) {
      if (storage_[i] != GuardByte(i)) {
        return ::testing::AssertionFailure() << "a write " << i - end + 1 << " bytes past the last of " << count_
                                             << " elements of " << sizeof(T) << " bytes";
      }
    }
    return ::testing::AssertionSuccess();
  }

  bool IsPoison(size_t i) const {
    const T value = PoisonValue<T>(poison_);
    return memcmp(data_ + i, &value, sizeof(T)) == 0;
  }

  // Every element differs from the poison. Certain for floats (a NaN is no result); where any bit pattern is a possible
  // result (integers, packed blocks), use WritesAllAndOnly.
  ::testing::AssertionResult AllWritten() const {
    for (size_t i = 0; i < count_; ++i) {
      if (IsPoison(i)) return ::testing::AssertionFailure() << "element " << i << " of " << count_ << " is unwritten";
    }
    return ::testing::AssertionSuccess();
  }

 private:
  // Never constant over a vector, so that a store of equal bytes cannot go unnoticed.
  static uint8_t GuardByte(size_t i) { return static_cast<uint8_t>(0xc5 ^ (i * 37)); }

  size_t count_;
  Poison poison_;
  std::vector<uint8_t> storage_;
  T* data_ = nullptr;
};

// Calls write(T* out) on two buffers of different poison: nothing outside may change, every element must be written,
// and both results must be the same bits. Right for every T.
template <class T, class Write>
::testing::AssertionResult WritesAllAndOnly(size_t count, size_t misalign, Write write) {
  Guarded<T> first(count, misalign, Poison::kFirst);
  Guarded<T> second(count, misalign, Poison::kSecond);
  write(first.data());
  write(second.data());
  if (::testing::AssertionResult guards = first.GuardsIntact(); !guards) return guards;
  if (::testing::AssertionResult guards = second.GuardsIntact(); !guards) return guards;
  for (size_t i = 0; i < count; ++i) {
    if (first.IsPoison(i) && second.IsPoison(i)) {
      return ::testing::AssertionFailure() << "element " << i << " of " << count << " is unwritten";
    }
    if (memcmp(first.data() + i, second.data() + i, sizeof(T)) != 0) {
      return ::testing::AssertionFailure() << "element " << i << " of " << count
                                           << " depends on what was in the buffer before, or changes from run to run";
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_GUARDED_H_
