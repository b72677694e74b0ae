// An outside program in C++: main [MODEL PROMPT]. Prints the greedy continuation, 20 tokens long.
#include <cstdio>
#include <mote.hpp>
#include <string>

static int Fail(const mote::Error& error) {
  std::fprintf(stderr, "%s: %s\n", mote_status_name(error.code), error.message.c_str());
  return 1;
}

int main(int argc, char** argv) {
  const auto missing = mote::Model::Load("no/such/file.gguf");
  if (missing.ok() || missing.error().code != MOTE_NOT_FOUND) {
    std::fprintf(stderr, "a missing file must be MOTE_NOT_FOUND\n");
    return 1;
  }
  if (argc < 3) return 0;
  auto model = mote::Model::Load(argv[1]);
  if (!model) return Fail(model.error());
  auto session = mote::Session::Create(*model);
  if (!session) return Fail(session.error());
  auto prompt = model->Tokenize(argv[2]);
  if (!prompt) return Fail(prompt.error());
  mote::GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = 20;
  std::string streamed;
  options.on_text = [&](std::string_view text, mote::Token) {
    streamed += text;
    return true;
  };
  auto answer = session->Generate(*prompt, options);
  if (!answer) return Fail(answer.error());
  if (streamed != answer->text) {
    std::fprintf(stderr, "streamed \"%s\", returned \"%s\"\n", streamed.c_str(), answer->text.c_str());
    return 1;
  }
  std::printf("%s\n", answer->text.c_str());
  return 0;
}
