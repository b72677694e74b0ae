// The machine's measured limits, as doctor and bench tell them.
#ifndef MOTE_EDGE_CLI_TOOLS_PEAKS_REPORT_H_
#define MOTE_EDGE_CLI_TOOLS_PEAKS_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "engine/core/context.h"
#include "targets/cpu/cpu_info.h"
#include "targets/cpu/peaks.h"

namespace mote::cli {

// Of the instruction set that MOTE_ISA forces, if it does. Ends the program where that cannot be done.
cpu::Peaks TakePeaks(ThreadPool& pool, const Clock& clock, const cpu::CpuInfo& info, int passes);

// {"bandwidth": [...], "compute": [...]}: bytes and operations per second.
nlohmann::ordered_json PeaksToJson(const cpu::Peaks& peaks);

// One line a row; of what PeaksToJson gives.
std::string PeaksToText(const nlohmann::ordered_json& peaks);
std::string PeaksToCsv(const nlohmann::ordered_json& peaks);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_PEAKS_REPORT_H_
