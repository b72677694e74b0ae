// A chat with memory: chat MODEL.gguf. One line in, one answer out; an empty line ends it.
#include <iostream>
#include <mote.hpp>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: chat MODEL.gguf\n";
    return 2;
  }
  auto model = mote::Model::Load(argv[1]);
  if (!model) {
    std::cerr << "chat: " << model.error().message << "\n";
    return 1;
  }
  auto session = mote::Session::Create(*model);
  if (!session) {
    std::cerr << "chat: " << session.error().message << "\n";
    return 1;
  }
  mote::GenerateOptions options;
  options.max_tokens = 256;
  options.sampling.seed = 1;
  options.on_text = [](std::string_view text, mote::Token) { return bool(std::cout << text << std::flush); };

  std::vector<mote::ChatMessage> messages;
  std::string line;
  while (std::cerr << "> " && std::getline(std::cin, line) && !line.empty()) {
    messages.push_back({"user", line, ""});
    // The whole conversation each time: the session computes only what it has not seen.
    auto prompt = model->TokenizeChat(messages);
    auto answer = prompt ? session->Generate(*prompt, options) : prompt.error();
    if (!answer) {
      std::cerr << "chat: " << answer.error().message << "\n";
      return 1;
    }
    std::cout << "\n";
    messages.push_back({"assistant", answer->text, ""});
  }
  return 0;
}
