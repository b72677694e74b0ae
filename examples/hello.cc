// Continues a text: hello MODEL.gguf "Once upon a time"
#include <iostream>
#include <mote.hpp>

static int Fail(const mote::Error& error) {
  std::cerr << "hello: " << error.message << "\n";
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: hello MODEL.gguf TEXT\n";
    return 2;
  }
  auto model = mote::Model::Load(argv[1]);
  if (!model) return Fail(model.error());
  auto session = mote::Session::Create(*model);
  if (!session) return Fail(session.error());
  auto prompt = model->Tokenize(argv[2]);
  if (!prompt) return Fail(prompt.error());

  mote::GenerateOptions options;
  options.sampling.temperature = 0;  // the likeliest token each time
  options.max_tokens = 64;
  options.on_text = [](std::string_view text, mote::Token) { return bool(std::cout << text << std::flush); };
  auto answer = session->Generate(*prompt, options);
  return answer ? 0 : Fail(answer.error());
}
