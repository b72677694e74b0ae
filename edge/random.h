// Chance, for what need not be guessed at: seeds and names that should differ.
#ifndef MOTE_EDGE_RANDOM_H_
#define MOTE_EDGE_RANDOM_H_

#include <stdint.h>

#include <random>

namespace mote::edge {

// 64 bits from the system.
inline uint64_t RandomBits() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace mote::edge

#endif  // MOTE_EDGE_RANDOM_H_
