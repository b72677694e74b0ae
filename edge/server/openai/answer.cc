#include "edge/server/openai/answer.h"

#include <algorithm>
#include <utility>

#include "edge/server/openai/json.h"

namespace mote::server {

std::string StageJson(Stage stage, double fraction) {
  switch (stage) {
    case Stage::kQueued:
      return "{\"event\":\"queued\"}";
    case Stage::kImageDecoded:
      return "{\"event\":\"image_decoded\"}";
    case Stage::kImageEncoded:
      return "{\"event\":\"image_encoded\"}";
    case Stage::kPrefill: {
      const int percent = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100);
      return "{\"event\":\"prefill\",\"percent\":" + std::to_string(percent) + "}";
    }
    case Stage::kFirstToken:
      break;
  }
  return "{\"event\":\"first_token\"}";
}

void ChoiceReader::Feed(std::string_view text, std::vector<AnswerPiece>* pieces) {
  if (tail_.empty()) {
    const size_t keep = IncompleteUtf8(text);
    Read(text.substr(0, text.size() - keep), pieces);
    tail_ = text.substr(text.size() - keep);
    return;
  }
  std::string whole = std::exchange(tail_, {});
  whole += text;
  Feed(whole, pieces);
}

void ChoiceReader::Read(std::string_view text, std::vector<AnswerPiece>* pieces) {
  std::string rest;
  thoughts_.Feed(text, pieces, &rest);
  parser_.Feed(rest, pieces);
}

void ChoiceReader::Finish(std::vector<AnswerPiece>* pieces) {
  if (!tail_.empty()) Read(std::exchange(tail_, {}), pieces);
  std::string rest;
  thoughts_.Finish(pieces, &rest);
  parser_.Feed(rest, pieces);
  parser_.Finish(pieces);
}

}  // namespace mote::server
