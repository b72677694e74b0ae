// The model that is made sparse, running: it reads its material, and is examined.
#ifndef MOTE_EDGE_CLI_TOOLS_SPARSIFY_SUBJECT_H_
#define MOTE_EDGE_CLI_TOOLS_SPARSIFY_SUBJECT_H_

#include <stdint.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "edge/cli/interrupt.h"
#include "edge/cli/tools/sparsify_flags.h"
#include "edge/cli/tools/sparsify_material.h"
#include "engine/core/context.h"
#include "engine/format/gguf.h"
#include "engine/graph/backend.h"
#include "engine/run/model.h"

namespace mote::cli {

struct ExamResult {
  std::optional<double> perplexity;
  uint64_t scored_tokens = 0;
  std::optional<double> accuracy;  // percent of the answers that are right to the letter
  uint64_t scored_answers = 0;
};

// How IN is run, whatever its weights are at the time.
class SparsifySubject {
 public:
  // `tower`: IN is a vision file, and flags.decoder the model that it belongs to.
  SparsifySubject(const SparsifyFlags& flags, Platform& platform, bool tower, const StopGuard& stop)
      : flags_(flags), platform_(platform), tower_(tower), stop_(stop) {}
  SparsifySubject(const SparsifySubject&) = delete;
  SparsifySubject& operator=(const SparsifySubject&) = delete;

  // What the material is to this model: once, with the weights as they are in IN. Failure where it does not fit.
  void Prepare(std::unique_ptr<GgufFile> in, const SparsifyMaterials& materials);
  // Reads the calibration with these weights, before the observer's eyes; `flush` is called after each piece. False,
  // nothing read, where the engine does not take the file: it may have been cut to fewer layers than the family needs.
  bool Calibrate(std::unique_ptr<GgufFile> altered, bool may_fail, const ActivationObserver& observer,
                 const std::function<void()>& flush);
  // Reads the examination. `dynamic`: with the file's dynamic sparsity.
  ExamResult Examine(std::unique_ptr<GgufFile> file, const char* what, bool dynamic = false);

  size_t calibration_pieces() const { return calibration_.size() + pictures_.size(); }

 private:
  // A piece of text, or a question with its picture and perhaps its answer.
  struct Piece {
    Prompt prompt;
    std::vector<int32_t> targets;  // text: what stands where BOS was put
    size_t picture = SIZE_MAX;     // of a tower: the prompt is made when the tower is known
    std::string question;
    std::string answer;
    bool is_text = false;
  };

  Result<std::unique_ptr<mote::Model>> Load(std::unique_ptr<GgufFile> file, bool dynamic = false);
  void AddTexts(const mote::Model& model, const std::string& text, const std::string& name, std::vector<Piece>* pieces);
  void AddQuestions(mote::Model& model, const SparsifyMaterial& material, bool with_answers,
                    std::vector<Piece>* pieces);
  Prompt QuestionPrompt(mote::Model& model, const Picture& picture, const std::string& question,
                        const std::string& answer);
  void ScoreText(mote::Session& session, const Piece& piece, double* sum, uint64_t* count);
  bool Answers(mote::Session& session, const Prompt& prompt, const std::string& answer);
  void Eval(mote::Session& session, const PromptView& prompt,
            const std::function<void(uint32_t, std::span<const float>)>& row);
  void CheckStop() const;

  const SparsifyFlags& flags_;
  Platform& platform_;
  const bool tower_;
  const StopGuard& stop_;
  std::vector<Piece> calibration_;
  std::vector<Piece> exam_;
  std::vector<Picture> pictures_;  // of a tower: for calibration
  std::vector<Picture> exam_pictures_;
};

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_SPARSIFY_SUBJECT_H_
