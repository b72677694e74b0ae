#include "targets/cpu/fetch_lines.h"

#include <stdio.h>

namespace mote {
namespace {

// To be changed with whatever makes an old line mean something else.
constexpr const char* kVersion = "mote-fetch-2";
constexpr size_t kMostName = 64;

// Graphic ASCII with single spaces: a name comes from the processor, or from whoever emulates it.
std::string PlainName(std::string_view name) {
  std::string plain;
  for (const char c : name.substr(0, kMostName)) {
    if (c > ' ' && c < '\x7f') {
      plain += c;
    } else if (!plain.empty() && plain.back() != ' ') {
      plain += ' ';
    }
  }
  if (!plain.empty() && plain.back() == ' ') plain.pop_back();
  return plain;
}

}  // namespace

std::string MachineKey(const cpu::CpuInfo& cpu, std::string_view isa, int threads) {
  char signature[16];
  snprintf(signature, sizeof(signature), "%08x", cpu.signature);
  return PlainName(cpu.brand.empty() ? cpu.vendor : cpu.brand) + " " + signature + "\t" + std::string(isa) + "\t" +
         std::to_string(threads);
}

std::string FetchKey::Text() const {
  return std::string(kVersion) + "\t" + machine + "\t" + type + "\t" + std::to_string(rows) + "\t" +
         std::to_string(cols) + "\t";
}

std::string FetchFields(simd::FetchAhead ahead) {
  return std::to_string(ahead.near) + "\t" + std::to_string(ahead.far) + "\t" + std::to_string(ahead.streams);
}

std::string FetchLine(const FetchKey& key, simd::FetchAhead ahead) {
  return key.Text() + FetchFields(ahead) + "\n";
}

int FindFetch(std::string_view lines, const FetchKey& key, std::span<const simd::FetchAhead> candidates) {
  const std::string begin = key.Text();
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
    if (!line.starts_with(begin)) continue;
    for (size_t i = 0; i < candidates.size(); ++i) {
      // Written out and compared: no number is read.
      const std::string wanted = FetchLine(key, candidates[i]);
      if (line == std::string_view(wanted).substr(0, wanted.size() - 1)) return static_cast<int>(i);
    }
    return -1;
  }
  return -1;
}

}  // namespace mote
