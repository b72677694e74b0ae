#include "engine/run/session.h"

#include <algorithm>

namespace mote {
namespace {

Status CheckImage(const Model& model, const PromptView& prompt, const ImagePlace& place) {
  const ImageRows& image = *place.image;
  if (image.cols != model.image_cols()) {
    return Error(Code::kInvalidArgument, "an image of rows of %u values; the model reads rows of %u", image.cols,
                 model.image_cols());
  }
  if (image.sees_itself && image.rows > model.max_batch()) {
    return Error(Code::kInvalidArgument, "an image of %u rows that see each other; a batch has %u rows, it needs %u",
                 image.rows, model.max_batch(), image.rows);
  }
  const bool inside = image.rows > 0 && place.end() <= prompt.tokens.size();
  const auto rows = inside ? prompt.tokens.subspan(place.begin, image.rows) : std::span<const int32_t>();
  if (inside && std::all_of(rows.begin(), rows.end(), [](int32_t t) { return t == kImageToken; })) return {};
  return Error(Code::kInvalidArgument, "an image of %u rows from token %u on has no such place among %zu tokens",
               image.rows, place.begin, prompt.tokens.size());
}

// How far an image moves what follows, where its rows are a grid.
int32_t PlacesOf(const ImageRows& image) {
  return static_cast<int32_t>(std::max(image.grid_rows, image.grid_cols));
}

// What a job needs beside its tokens. `first`: position of prompt token `from` in the session; `place`: where it stands
// for rotations.
void FillRows(const PromptView& prompt, uint32_t from, uint32_t first, int32_t place, bool axes, Evaluation* out) {
  const uint32_t count = static_cast<uint32_t>(prompt.tokens.size()) - from;
  out->inputs.assign(count, nullptr);
  out->ends.resize(count);
  out->ropes.resize(axes ? count : 0);
  uint32_t at = 0;
  const auto text_to = [&](uint32_t end) {
    for (; at < end; ++at, ++place) {
      out->ends[at] = first + at + 1;
      if (axes) out->ropes[at] = {place, place, place};
    }
  };
  for (const ImagePlace& p : prompt.images) {
    if (p.begin < from) continue;
    text_to(p.begin - from);
    const ImageRows& image = *p.image;
    const bool grid = axes && image.grid_cols != 0;
    for (uint32_t i = 0; i < image.rows; ++i, ++at) {
      out->inputs[at] = image.row(i);
      out->ends[at] = first + (image.sees_itself ? p.end() - from : at + 1);
      const int32_t row = grid ? static_cast<int32_t>(i / image.grid_cols) : static_cast<int32_t>(i);
      const int32_t col = grid ? static_cast<int32_t>(i % image.grid_cols) : static_cast<int32_t>(i);
      if (axes) out->ropes[at] = {grid ? place : place + row, place + row, place + col};
    }
    place += grid ? PlacesOf(image) : static_cast<int32_t>(image.rows);
  }
  text_to(count);
}

}  // namespace

Result<std::unique_ptr<Session>> Session::Create(Model& model, uint32_t context) {
  if (context > model.context()) {
    return Error(Code::kInvalidArgument, "a session of %u tokens: the model was loaded for up to %u", context,
                 model.context());
  }
  std::unique_ptr<Session> session(new Session(model));
  MOTE_ASSIGN_OR_RETURN(session->cache_, model.program().CreateKvCache(context == 0 ? model.context() : context));
  return session;
}

Status Session::Check(const Model& model, const PromptView& prompt) {
  size_t image_rows = 0;
  uint32_t end = 0;
  for (const ImagePlace& place : prompt.images) {
    MOTE_RETURN_IF_ERROR(CheckImage(model, prompt, place));
    if (place.begin < end) return Error(Code::kInvalidArgument, "images overlap at token %u", place.begin);
    end = place.end();
    image_rows += place.image->rows;
  }
  for (size_t i = 0; i < prompt.tokens.size(); ++i) {
    const int32_t token = prompt.tokens[i];
    if (token == kImageToken && image_rows > 0) {
      --image_rows;
      continue;
    }
    if (token >= 0 && static_cast<uint32_t>(token) < model.vocab_size()) continue;
    return Error(Code::kInvalidArgument, "token %zu of the prompt is %d; the vocabulary has ids 0 to %u", i, token,
                 model.vocab_size() - 1);
  }
  return {};
}

// Where the next token stands for rotations, in a decoder whose images are grids.
int32_t Session::NextPlace() const {
  int32_t place = static_cast<int32_t>(length());
  for (const ImagePlace& p : images_) {
    if (p.image->grid_cols != 0) place += PlacesOf(*p.image) - static_cast<int32_t>(p.image->rows);
  }
  return place;
}

Status Session::Eval(const PromptView& prompt, uint32_t from, const EvalOptions& options) {
  MOTE_RETURN_IF_ERROR(Check(model_, prompt));
  Evaluation evaluation;
  MOTE_RETURN_IF_ERROR(Begin(prompt, from, /*wants_logits=*/true, &evaluation));
  evaluation.job.sink = options.sink;
  evaluation.job.cancel = options.cancel;
  evaluation.job.progress = options.progress;
  evaluation.job.progress_user = options.progress_user;
  const Status status = model_.scheduler().Run(evaluation.job);
  Keep(evaluation);
  return status;
}

Status Session::Begin(const PromptView& prompt, uint32_t from, bool wants_logits, Evaluation* evaluation) {
  if (from >= prompt.tokens.size()) {
    return Error(Code::kInvalidArgument, "no tokens to evaluate; at least one is needed");
  }
  const std::span<const int32_t> tokens = prompt.tokens.subspan(from);
  if (uint64_t{length()} + tokens.size() > context()) {
    return Error(Code::kContextFull, "%zu more tokens after %u do not fit a context of %u", tokens.size(), length(),
                 context());
  }
  std::vector<ImagePlace> images;
  for (const ImagePlace& place : prompt.images) {
    if (place.end() <= from) continue;
    if (place.begin < from) {
      return Error(Code::kInvalidArgument, "token %u lies within an image of %u rows", from, place.image->rows);
    }
    images.push_back({length() + place.begin - from, place.image});
  }
  Job& job = evaluation->job;
  job = Job();
  evaluation->kept = 0;
  const bool axes = model_.has_axes();
  if (!images.empty() || (axes && !images_.empty())) {
    FillRows(prompt, from, length(), axes ? NextPlace() : 0, axes, evaluation);
    job.inputs = evaluation->inputs;
    job.ropes = evaluation->ropes;
    job.ends = evaluation->ends;
  }
  evaluation->images = std::move(images);
  job.tokens = tokens;
  job.start = length();
  // Whatever of it is cached: a prompt's last token is read as it would be with those before it.
  job.reads = model_.fast_prompts() && prompt.tokens.size() > 1;
  job.cache = cache_.get();
  has_logits_ = false;
  if (wants_logits) {
    logits_.resize(model_.vocab_size());
    job.last_logits = logits_;
  }
  return {};
}

void Session::Keep(Evaluation& evaluation) {
  const Job& job = evaluation.job;
  uint32_t end = job.start + job.done;
  while (!evaluation.images.empty()) {
    const ImagePlace& next = evaluation.images.front();
    if (next.end() > end) {
      end = std::min(end, next.begin);
      break;
    }
    images_.push_back(next);
    evaluation.images.erase(evaluation.images.begin());
  }
  const uint32_t keep = end - job.start;
  tokens_.insert(tokens_.end(), job.tokens.begin() + evaluation.kept, job.tokens.begin() + keep);
  evaluation.kept = keep;
  has_logits_ = job.finished && job.status.ok() && !job.last_logits.empty() && job.best.empty();
}

void Session::Truncate(uint32_t new_length) {
  new_length = std::min(new_length, length());
  while (!images_.empty() && images_.back().end() > new_length) {
    new_length = std::min(new_length, images_.back().begin);
    images_.pop_back();
  }
  if (new_length == length()) return;
  tokens_.resize(new_length);
  has_logits_ = false;
}

uint32_t Session::CopyPrefix(const Session& source, uint32_t new_length) {
  if (&source == this) {
    Truncate(new_length);
    return length();
  }
  new_length = std::min({new_length, source.length(), context()});
  images_.clear();
  for (const ImagePlace& place : source.images_) {
    if (place.begin >= new_length) break;
    if (place.end() > new_length) {
      new_length = place.begin;
      break;
    }
    images_.push_back(place);
  }
  tokens_.assign(source.tokens_.begin(), source.tokens_.begin() + new_length);
  has_logits_ = false;
  cache_->CopyPrefix(*source.cache_, new_length);
  return new_length;
}

uint32_t Session::KeepPrefix(const PromptView& prompt) {
  const size_t limit = std::min(tokens_.size(), prompt.tokens.empty() ? 0 : prompt.tokens.size() - 1);
  size_t same = 0;
  size_t image = 0;
  while (same < limit && tokens_[same] == prompt.tokens[same]) {
    if (tokens_[same] != kImageToken) {
      ++same;
      continue;
    }
    // Both begin an image here, or tokens before would differ.
    if (image >= prompt.images.size() || prompt.images[image].image->digest != images_[image].image->digest ||
        prompt.images[image].begin != images_[image].begin || images_[image].end() > limit) {
      break;
    }
    same = images_[image++].end();
  }
  Truncate(static_cast<uint32_t>(same));
  return static_cast<uint32_t>(same);
}

}  // namespace mote
