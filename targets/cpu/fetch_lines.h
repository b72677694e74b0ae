// What was found out (fetch_choice.h), as lines of text: "mote-fetch-2", CPU, instruction set, threads, type, rows,
// columns, the two distances in bytes, and the streams, with tabs between.
#ifndef MOTE_TARGETS_CPU_FETCH_LINES_H_
#define MOTE_TARGETS_CPU_FETCH_LINES_H_

#include <stdint.h>

#include <span>
#include <string>
#include <string_view>

#include "simd/fetch.h"
#include "targets/cpu/cpu_info.h"

namespace mote {

// What a choice holds for. A line begins with it.
struct FetchKey {
  std::string machine;  // MachineKey
  std::string type;     // of the weights, "Q4_K", "I8 sparse"
  uint64_t rows = 0;
  uint64_t cols = 0;

  std::string Text() const;  // up to the tab before the distances
};

// CPU, instruction set and threads, with the tabs between. A hypervisor may call all CPUs of a maker the same, so
// family, model and stepping stand beside the name.
std::string MachineKey(const cpu::CpuInfo& cpu, std::string_view isa, int threads);

// The fields behind the key, with tabs between: a line's end, less the newline.
std::string FetchFields(simd::FetchAhead ahead);

// With its end.
std::string FetchLine(const FetchKey& key, simd::FetchAhead ahead);

// Which of the candidates the first line with this key names; -1: there is none, or it names another one.
int FindFetch(std::string_view lines, const FetchKey& key, std::span<const simd::FetchAhead> candidates);

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_FETCH_LINES_H_
