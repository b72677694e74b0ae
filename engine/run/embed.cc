#include "engine/run/embed.h"

#include <math.h>

#include <algorithm>

namespace mote {
namespace {

// What files may say, as llama.cpp numbers it: 0 none, 1 mean, 2 first token ("CLS"), 3 last token, 4 a rank.
Result<Pooling> PoolingOf(const Model& model, Pooling wanted) {
  if (wanted != Pooling::kModel) return wanted;
  MOTE_ASSIGN_OR_RETURN(const uint64_t type, model.file().UintOr(model.hyper().architecture + ".pooling_type", 0));
  switch (type) {
    case 0:
    case 1:
      return Pooling::kMean;
    case 2:
      return Pooling::kFirst;
    case 3:
      return Pooling::kLast;
    default:
      return Error(Code::kUnsupported, "pooling_type %llu of the file; 0 to 3 (none, mean, first, last) are supported",
                   static_cast<unsigned long long>(type));
  }
}

// Added row by row in the order of tokens, in double: no cut of the prompt shows.
struct Pool {
  Pooling pooling;
  uint32_t rows;
  std::vector<double> sum;

  static bool Add(void* self, uint32_t index, std::span<const float> hidden) {
    Pool& p = *static_cast<Pool*>(self);
    if (p.pooling == Pooling::kFirst && index != 0) return true;
    if (p.pooling == Pooling::kLast && index + 1 != p.rows) return true;
    for (size_t i = 0; i < hidden.size(); ++i) p.sum[i] += static_cast<double>(hidden[i]);
    return true;
  }
};

}  // namespace

Result<std::vector<float>> Embed(Session& session, const PromptView& prompt, const EmbedParams& params) {
  Model& model = session.model();
  MOTE_ASSIGN_OR_RETURN(const Pooling pooling, PoolingOf(model, params.pooling));
  if (prompt.tokens.empty()) return Error(Code::kInvalidArgument, "the prompt has no tokens; at least one is needed");
  if (prompt.tokens.size() > session.context()) {
    return Error(Code::kContextFull, "the prompt has %zu tokens; the context holds %u", prompt.tokens.size(),
                 session.context());
  }
  MOTE_RETURN_IF_ERROR(Session::Check(model, prompt));
  session.Truncate(0);
  Pool pool{pooling, static_cast<uint32_t>(prompt.tokens.size()), std::vector<double>(model.hyper().width)};
  Evaluation evaluation;
  MOTE_RETURN_IF_ERROR(session.Begin(prompt, 0, /*wants_logits=*/false, &evaluation));
  evaluation.job.hidden = {Pool::Add, &pool};
  evaluation.job.cancel = params.cancel;
  const Status status = model.scheduler().Run(evaluation.job);
  session.Keep(evaluation);
  MOTE_RETURN_IF_ERROR(status);

  double scale = pooling == Pooling::kMean ? 1.0 / pool.rows : 1.0;
  if (params.normalize) {
    double squares = 0;
    for (const double v : pool.sum) squares += v * v;
    scale = squares > 0 ? 1.0 / sqrt(squares) : 0.0;
  }
  std::vector<float> result(pool.sum.size());
  std::transform(pool.sum.begin(), pool.sum.end(), result.begin(),
                 [&](double v) { return static_cast<float>(v * scale); });
  return result;
}

}  // namespace mote
