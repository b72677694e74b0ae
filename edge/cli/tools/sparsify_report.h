// What mote sparsify says of its work.
#ifndef MOTE_EDGE_CLI_TOOLS_SPARSIFY_REPORT_H_
#define MOTE_EDGE_CLI_TOOLS_SPARSIFY_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "edge/cli/tools/sparsify_flags.h"
#include "edge/cli/tools/sparsify_material.h"
#include "edge/cli/tools/sparsify_plan.h"
#include "edge/cli/tools/sparsify_subject.h"
#include "edge/cli/tools/sparsify_write.h"

namespace mote::cli {

struct SparsifyOutcome {
  ExamResult before;
  ExamResult after;
  std::string failed_floor;  // empty: none
  double seconds = 0;
};

// "layer 0", as the names of its tensors count.
std::string LayerName(int64_t layer);

// One line on stderr: what a layer lost.
void NoteLayer(int64_t layer, const std::vector<SparsifyMatrix*>& matrices, bool from_state);

nlohmann::json ExamToJson(const ExamResult& result);
std::string ExamInWords(const ExamResult& result);  // empty: nothing was examined

// The floor that was not reached, in words; empty if none.
std::string FailedFloor(const SparsifyFloors& floors, const ExamResult& after);

// On stdout: a row for each matrix, bytes and density before and after, and both examinations.
void PrintSparsified(const GgufFile& in, const SparsifyFlags& flags, const SparsifyPlan& plan,
                     const SparsifiedModel& model, const SparsifyMaterials& materials, const SparsifyOutcome& outcome);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_SPARSIFY_REPORT_H_
