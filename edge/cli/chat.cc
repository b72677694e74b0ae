// The conversation of `mote run` on a terminal.
#include <errno.h>
#include <string.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/line_reader.h"
#include "edge/cli/run_options.h"

namespace mote::cli {
namespace {

constexpr const char* kHelp =
    "/clear      forget the conversation\n"
    "/regen      another answer to the last message\n"
    "/save FILE  write the conversation as JSON\n"
    "/help       this list\n"
    "/exit       leave (or Ctrl+D)\n"
    "A line that ends with \\ goes on in the next one. Ctrl+C stops an answer; twice leaves.";

class Conversation {
 public:
  Conversation(const RunOptions& options, const Model& model)
      : model_(model), session_(CreateSession(model)), generate_(options.Generate()), interrupt_(session_.handle()) {
    if (!options.system.empty()) messages_.push_back({"system", options.system, ""});
    num_kept_ = messages_.size();
  }

  void Talk() {
    Note("mote: " + std::string(model_.info().backend) + "; /help lists the commands");
    std::string text;
    while (ReadMessage(&text)) {
      if (text.empty()) continue;
      if (text[0] == '/') {
        if (!Obey(text)) return;
        continue;
      }
      messages_.push_back({"user", text, ""});
      Answer();
    }
  }

 private:
  // False when the person leaves.
  bool ReadMessage(std::string* text) {
    text->clear();
    bool interrupted_before = answer_interrupted_;
    answer_interrupted_ = false;
    while (true) {
      std::string line;
      switch (lines_.Read(text->empty() ? "> " : ". ", &line)) {
        case LineReader::Event::kEnd:
          fputc('\n', stderr);
          return false;
        case LineReader::Event::kInterrupt:
          if (interrupted_before) return false;
          interrupted_before = true;
          interrupt_.Reset();
          text->clear();
          Note("Ctrl+C again, or /exit, leaves");
          continue;
        case LineReader::Event::kLine:
          break;
      }
      interrupted_before = false;
      if (!line.empty() && line.back() == '\\') {
        *text += line.substr(0, line.size() - 1) + "\n";
        continue;
      }
      *text += line;
      return true;
    }
  }

  // A line that begins with a slash. False: leave.
  bool Obey(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string word = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (word == "/exit" || word == "/quit") return false;
    if (word == "/clear") {
      messages_.resize(num_kept_);
      session_.Truncate(0);
    } else if (word == "/regen") {
      if (messages_.size() < num_kept_ + 2) {
        Note("there is no answer yet");
        return true;
      }
      messages_.pop_back();
      ++generate_.sampling.seed;
      Answer();
    } else if (word == "/save" && !rest.empty()) {
      Save(rest);
    } else {
      Note(kHelp);
    }
    return true;
  }

  // To messages_, which end with the person's.
  void Answer() {
    interrupt_.Reset();
    const Result<std::vector<Token>> prompt = model_.TokenizeChat(messages_);
    if (!prompt.ok()) return Refuse(prompt.error().message);
    if (prompt->size() >= session_.context()) {
      return Refuse(Format("the conversation has %zu tokens and the context holds %u; try /clear, or a larger -c",
                           prompt->size(), session_.context()));
    }
    bool written = true;
    generate_.on_text = [&](std::string_view fresh, Token) {
      written = fwrite(fresh.data(), 1, fresh.size(), stdout) == fresh.size() && fflush(stdout) == 0;
      return written;
    };
    const Result<Generation> generation = session_.Generate(*prompt, generate_);
    if (!written) Fail(std::string("standard output: ") + strerror(errno));
    if (!generation.ok()) return Refuse(generation.error().message);
    Write("\n");
    FlushOutput();
    Note(Summary(*generation));
    messages_.push_back({"assistant", generation->text, ""});
    answer_interrupted_ = generation->finish_reason == MOTE_FINISH_CANCELLED;
    interrupt_.Reset();
  }

  void Refuse(const std::string& why) {
    PrintFailure(why);
    messages_.pop_back();
  }

  void Save(const std::string& path) {
    nlohmann::json list = nlohmann::json::array();
    for (const ChatMessage& m : messages_) list.push_back({{"role", m.role}, {"content", m.content}});
    std::ofstream file(path, std::ios::binary);
    file << list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    file.close();
    if (!file) return PrintFailure(path + ": " + strerror(errno));
    Note(Format("%zu messages in %s", messages_.size(), path.c_str()));
  }

  const Model& model_;
  Session session_;
  GenerateOptions generate_;
  InterruptGuard interrupt_;
  LineReader lines_;
  std::vector<ChatMessage> messages_;
  size_t num_kept_ = 0;              // the system message survives /clear
  bool answer_interrupted_ = false;  // the last one: Ctrl+C at the next prompt is the second
};

}  // namespace

int Chat(const RunOptions& options, const Model& model) {
  const mote_model_info info = model.info();
  if (info.chat_template == nullptr) Note("mote: the model has no chat template: ChatML is used");
  if (info.template_error != nullptr) {
    Note(std::string("mote: the model's chat template cannot be used (") + info.template_error + "): ChatML instead");
  }
  Conversation(options, model).Talk();
  return kDone;
}

}  // namespace mote::cli
