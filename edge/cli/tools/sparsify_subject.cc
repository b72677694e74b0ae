#include "edge/cli/tools/sparsify_subject.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "edge/cli/console.h"
#include "edge/cli/tools/engine_params.h"
#include "engine/run/generate.h"
#include "engine/run/session.h"

namespace mote::cli {
namespace {

constexpr uint32_t kDefaultContext = 512;
constexpr int32_t kAnswerTokens = 64;

ImageView ViewOf(const Picture& picture) {
  return {picture.rgb.get(), picture.width, picture.height, size_t{3} * picture.width};
}

std::string Trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

double LossOf(std::span<const float> logits, int32_t next) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit - highest));
  return std::log(total) - static_cast<double>(logits[static_cast<size_t>(next)] - highest);
}

}  // namespace

void SparsifySubject::CheckStop() const {
  if (stop_.stopped())
    Fail("stopped; " + flags_.out + " was not written. The same command goes on with the next layer");
}

Result<std::unique_ptr<mote::Model>> SparsifySubject::Load(std::unique_ptr<GgufFile> file, bool dynamic) {
  ModelParams params = EngineParams(flags_.model);
  params.device = {};  // the CPU: the same bytes come out on every machine
  params.dynamic_sparsity = dynamic;
  std::unique_ptr<GgufFile> text;
  std::unique_ptr<GgufFile> vision;
  if (tower_) {
    text = OrFailure(GgufFile::Open(platform_.files(), flags_.decoder));
    vision = std::move(file);
  } else {
    text = std::move(file);
    if (!flags_.mmproj.empty()) vision = OrFailure(GgufFile::Open(platform_.files(), flags_.mmproj));
  }
  const Result<std::string> architecture = text->StringOr("general.architecture", "");
  const Result<uint64_t> trained = text->UintOr((architecture.ok() ? *architecture : "") + ".context_length", 0);
  if (params.context == 0) {
    const uint64_t most = trained.ok() && *trained > 0 ? *trained : kDefaultContext;
    params.context = static_cast<uint32_t>(std::min<uint64_t>(most, kDefaultContext));
  }
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<mote::Model> model, mote::Model::Load(std::move(text), params));
  if (vision != nullptr) {
    VisionParams vision_params;
    vision_params.cache_bytes = 0;  // every look is a new one
    MOTE_RETURN_IF_ERROR(model->AttachVision(std::move(vision), vision_params));
  }
  return model;
}

void SparsifySubject::Eval(mote::Session& session, const PromptView& prompt,
                           const std::function<void(uint32_t, std::span<const float>)>& row) {
  struct Watch {
    const StopGuard* stop;
    const std::function<void(uint32_t, std::span<const float>)>* row;
  } watch = {&stop_, &row};
  EvalOptions eval;
  // Wanting all logits brings every row through the last layer.
  eval.sink.user = &watch;
  eval.sink.row = [](void* user, uint32_t index, std::span<const float> logits) {
    const Watch& w = *static_cast<Watch*>(user);
    if (*w.row) (*w.row)(index, logits);
    return !w.stop->stopped();
  };
  const Status status = session.Eval(prompt, 0, eval);
  if (status.code() == Code::kCancelled) CheckStop();
  OrFailure(status);
}

void SparsifySubject::AddTexts(const mote::Model& model, const std::string& text, const std::string& name,
                               std::vector<Piece>* pieces) {
  if (text.empty()) return;
  const Tokenizer& tokenizer = model.tokenizer();
  EncodeOptions encode;
  encode.add_special = true;
  const std::vector<int32_t> tokens = OrFailure(tokenizer.Encode(text, encode));
  const size_t length = model.context();
  const size_t available = tokens.size() / length;
  if (available == 0) {
    Fail(Format("%s gives %zu tokens, fewer than one chunk of %zu; try a longer text, or a smaller -c", name.c_str(),
                tokens.size(), length));
  }
  const size_t chunks = flags_.chunks < 0 ? available : std::min(available, static_cast<size_t>(flags_.chunks));
  for (size_t i = 0; i < chunks; ++i) {
    Piece piece;
    piece.is_text = true;
    piece.targets.assign(tokens.begin() + static_cast<ptrdiff_t>(i * length),
                         tokens.begin() + static_cast<ptrdiff_t>((i + 1) * length));
    std::vector<int32_t> chunk = piece.targets;
    if (tokenizer.add_bos()) chunk[0] = tokenizer.bos();
    piece.prompt.Append(chunk);
    pieces->push_back(std::move(piece));
  }
}

Prompt SparsifySubject::QuestionPrompt(mote::Model& model, const Picture& picture, const std::string& question,
                                       const std::string& answer) {
  const ImageView view = ViewOf(picture);
  ReadStats stats;
  Result<std::vector<EncodedImage>> images = model.vision()->Encode({&view, 1}, {}, &stats);
  if (!images.ok()) Fail(picture.path + ": " + images.status().message());
  ChatInput chat;
  chat.messages.push_back({"user", question, ""});
  Prompt prompt = OrFailure(model.EncodeChat(chat, *images));
  if (!answer.empty()) {
    EncodeOptions plain;
    plain.add_special = false;
    prompt.Append(OrFailure(model.tokenizer().Encode(answer, plain)));
  }
  return prompt;
}

void SparsifySubject::AddQuestions(mote::Model& model, const SparsifyMaterial& material, bool with_answers,
                                   std::vector<Piece>* pieces) {
  Progress progress("looking at pictures");
  for (size_t i = 0; i < material.questions.size(); ++i) {
    CheckStop();
    const PictureQuestion& question = material.questions[i];
    Piece piece;
    piece.picture = question.picture;
    piece.question = question.question;
    piece.answer = question.answer;
    if (!tower_) {
      piece.prompt = QuestionPrompt(model, material.pictures[question.picture], question.question,
                                    with_answers ? question.answer : "");
      if (piece.prompt.tokens.size() > model.context()) {
        Fail(Format("%s: a question of %zu tokens in a context of %u; try a larger -c",
                    material.pictures[question.picture].path.c_str(), piece.prompt.tokens.size(), model.context()));
      }
    }
    pieces->push_back(std::move(piece));
    progress.Update(i + 1, material.questions.size());
  }
}

void SparsifySubject::Prepare(std::unique_ptr<GgufFile> in, const SparsifyMaterials& materials) {
  const std::unique_ptr<mote::Model> model = OrFailure(Load(std::move(in)));
  if (!materials.calibration.pictures.empty() && model->vision() == nullptr) {
    WrongWords("--images needs the model's vision file; try -mm MMPROJ.gguf");
  }
  AddTexts(*model, materials.calibration.text, flags_.calibration, &calibration_);
  AddTexts(*model, materials.test.text, flags_.test.empty() ? flags_.calibration : flags_.test, &exam_);
  if (tower_) {
    pictures_ = materials.calibration.pictures;
  } else {
    AddQuestions(*model, materials.calibration, /*with_answers=*/true, &calibration_);
  }
  exam_pictures_ = materials.test.pictures;
  SparsifyMaterial answered = materials.test;
  std::erase_if(answered.questions, [](const PictureQuestion& q) { return q.answer.empty(); });
  AddQuestions(*model, answered, /*with_answers=*/false, &exam_);
}

bool SparsifySubject::Calibrate(std::unique_ptr<GgufFile> altered, bool may_fail, const ActivationObserver& observer,
                                const std::function<void()>& flush) {
  Result<std::unique_ptr<mote::Model>> loaded = Load(std::move(altered));
  if (!loaded.ok() && may_fail) return false;
  const std::unique_ptr<mote::Model> model = OrFailure(std::move(loaded));
  const size_t pieces = calibration_pieces();
  Progress progress("calibrating");
  size_t done = 0;
  if (tower_) {
    model->vision()->program().Observe(observer);
    for (const Picture& picture : pictures_) {
      CheckStop();
      const ImageView view = ViewOf(picture);
      ReadStats stats;
      OrFailure(model->vision()->Encode({&view, 1}, {}, &stats).status());
      flush();
      progress.Update(++done, pieces);
    }
    model->vision()->program().Observe({});
    return true;
  }
  const std::unique_ptr<mote::Session> session = OrFailure(mote::Session::Create(*model, 0));
  model->program().Observe(observer);
  for (const Piece& piece : calibration_) {
    session->Truncate(0);
    Eval(*session, piece.prompt, nullptr);
    flush();
    progress.Update(++done, pieces);
  }
  model->program().Observe({});
  return true;
}

// As mote perplexity scores: the second half of a chunk, where every token has seen at least half of one.
void SparsifySubject::ScoreText(mote::Session& session, const Piece& piece, double* sum, uint64_t* count) {
  const size_t first = piece.targets.size() / 2;
  Eval(session, piece.prompt, [&](uint32_t index, std::span<const float> logits) {
    const size_t next = size_t{index} + 1;
    if (index < first || next >= piece.targets.size()) return;
    *sum += LossOf(logits, piece.targets[next]);
    ++*count;
  });
}

bool SparsifySubject::Answers(mote::Session& session, const Prompt& prompt, const std::string& answer) {
  GenerateParams params;
  params.sampler.temperature = 0;
  params.max_tokens = kAnswerTokens;
  const GenerateResult result = OrFailure(Generate(session, prompt, params));
  return Trimmed(result.text) == Trimmed(answer);
}

ExamResult SparsifySubject::Examine(std::unique_ptr<GgufFile> file, const char* what, bool dynamic) {
  ExamResult result;
  if (exam_.empty()) return result;
  const std::unique_ptr<mote::Model> model = OrFailure(Load(std::move(file), dynamic));
  const std::unique_ptr<mote::Session> session = OrFailure(mote::Session::Create(*model, 0));
  Progress progress(what);
  double sum = 0;
  uint64_t right = 0;
  for (size_t i = 0; i < exam_.size(); ++i) {
    CheckStop();
    const Piece& piece = exam_[i];
    session->Truncate(0);
    if (piece.is_text) {
      ScoreText(*session, piece, &sum, &result.scored_tokens);
    } else {
      ++result.scored_answers;
      Prompt seen;
      if (tower_) seen = QuestionPrompt(*model, exam_pictures_[piece.picture], piece.question, "");
      right += Answers(*session, tower_ ? seen : piece.prompt, piece.answer) ? 1 : 0;
    }
    progress.Update(i + 1, exam_.size());
  }
  if (result.scored_tokens != 0) result.perplexity = std::exp(sum / static_cast<double>(result.scored_tokens));
  if (result.scored_answers != 0) {
    result.accuracy = 100.0 * static_cast<double>(right) / static_cast<double>(result.scored_answers);
  }
  return result;
}

}  // namespace mote::cli
