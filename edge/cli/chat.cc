// The conversation of `mote run` on a terminal.
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/json_text.h"
#include "edge/cli/line_reader.h"
#include "edge/cli/output_file.h"
#include "edge/cli/run_options.h"

namespace mote::cli {
namespace {

constexpr const char* kHelp =
    "/image FILE show an image with the next message; alone, lists those that wait\n"
    "/clear      forget the conversation\n"
    "/regen      another answer to the last message\n"
    "/save FILE  write the conversation as JSON\n"
    "/help       this list\n"
    "/exit       leave (or Ctrl+D)\n"
    "A line that ends with \\ goes on in the next one. Ctrl+C stops an answer; twice leaves.";

class Conversation {
 public:
  Conversation(const RunOptions& options, Model& model, std::string vision_path, std::vector<Picture> pictures)
      : options_(options),
        model_(model),
        vision_path_(std::move(vision_path)),
        session_(CreateSession(model)),
        generate_(options.Generate()),
        interrupt_(session_.handle()),
        waiting_(std::move(pictures)) {
    if (!options.system.empty()) messages_.push_back({"system", options.system, ""});
    num_kept_ = messages_.size();
    counts_.resize(num_kept_);
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
      if (text.find('\0') != std::string::npos) {
        PrintFailure("the message holds a NUL byte, where it would end; take it out");
        continue;
      }
      messages_.push_back({"user", WithMarks(text, waiting_.size()), ""});
      counts_.resize(messages_.size());
      counts_.back() = waiting_.size();
      const double decode_seconds = DecodeSeconds(waiting_);
      for (Picture& picture : waiting_) shown_.push_back(std::move(picture));
      waiting_.clear();
      Answer(decode_seconds);
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
      shown_.clear();
      waiting_.clear();
      session_.Truncate(0);
    } else if (word == "/regen") {
      if (messages_.size() < num_kept_ + 2) {
        Note("there is no answer yet");
        return true;
      }
      messages_.pop_back();
      ++generate_.sampling.seed;
      Answer(0);
    } else if (word == "/image") {
      ShowImage(rest);
    } else if (word == "/save" && !rest.empty()) {
      Save(rest);
    } else {
      Note(kHelp);
    }
    return true;
  }

  // An image for the next message, or the list of those that wait for it.
  void ShowImage(const std::string& path) {
    if (path.empty()) {
      if (waiting_.empty()) Note("no image waits for the next message; try /image FILE");
      for (const Picture& picture : waiting_) {
        Note(Format("%s, %u x %u", picture.path.c_str(), picture.width, picture.height));
      }
      return;
    }
    try {
      options_.vision.Check(/*has_images=*/true);
      Picture picture = LoadPicture(path);
      if (!model_.vision_info().has_value()) {
        vision_path_ = AttachVision(options_.vision, options_.model.path, &model_);
      }
      Note(Format("%s, %u x %u, goes with the next message", path.c_str(), picture.width, picture.height));
      waiting_.push_back(std::move(picture));
    } catch (const Failure& failure) {
      PrintFailure(failure.what());
    }
  }

  // To messages_, which end with the person's.
  void Answer(double decode_seconds) {
    interrupt_.Reset();
    Progress progress("reading the image");
    const Result<Prompt> prompt =
        Prompt::FromChat(model_, messages_, ToC(shown_), {}, ReadingImages(&progress, session_));
    progress.Clear();
    if (!prompt.ok()) return Refuse(prompt.error().message);
    const mote_prompt_info info = prompt->info();
    if (info.tokens >= session_.context()) {
      return Refuse(Format("the conversation has %u tokens and the context holds %u; try /clear, or a larger -c",
                           info.tokens, session_.context()));
    }
    bool written = true;
    generate_.on_text = [&](std::string_view fresh, Token) {
      written = WriteNow(fresh);
      return written;
    };
    const Result<Generation> generation = session_.Generate(*prompt, generate_);
    if (!written) FailOutput();
    if (!generation.ok()) return Refuse(generation.error().message);
    if (!WriteNow("\n")) FailOutput();
    Note(Summary(*generation, info, decode_seconds));
    messages_.push_back({"assistant", generation->text, ""});
    counts_.resize(messages_.size());
    answer_interrupted_ = generation->finish_reason == MOTE_FINISH_CANCELLED;
    interrupt_.Reset();
  }

  // Takes the last message back; its images wait again.
  void Refuse(const std::string& why) {
    PrintFailure(why);
    const auto first = shown_.end() - static_cast<ptrdiff_t>(counts_[messages_.size() - 1]);
    waiting_.insert(waiting_.begin(), std::make_move_iterator(first), std::make_move_iterator(shown_.end()));
    shown_.erase(first, shown_.end());
    messages_.pop_back();
  }

  // Files that are read: the model from its file as long as it runs.
  std::vector<std::string> Inputs() const {
    std::vector<std::string> files = {options_.model.path, vision_path_, options_.vision.mmproj};
    for (const std::vector<Picture>* pictures : {&shown_, &waiting_}) {
      for (const Picture& picture : *pictures) files.push_back(picture.path);
    }
    return files;
  }

  void Save(const std::string& path) {
    nlohmann::json list = nlohmann::json::array();
    size_t next = 0;
    for (size_t i = 0; i < messages_.size(); ++i) {
      list.push_back({{"role", messages_[i].role}, {"content", messages_[i].content}});
      for (size_t image = 0; image < counts_[i]; ++image) list.back()["images"].push_back(shown_[next++].path);
    }
    const std::string text = JsonText(list, 2) + "\n";
    try {
      RefuseInput("/save", path, Inputs());
      OutputFile file(path, text.size());
      if (!file.Write(text.data(), text.size())) Fail(file.why());
      file.Finish();
    } catch (const Failure& failure) {
      return PrintFailure(failure.what());
    }
    Note(Format("%zu messages in %s", messages_.size(), path.c_str()));
  }

  const RunOptions& options_;
  Model& model_;
  std::string vision_path_;  // empty: none, or the built-in one
  Session session_;
  GenerateOptions generate_;
  InterruptGuard interrupt_;
  LineReader lines_;
  std::vector<ChatMessage> messages_;
  std::vector<size_t> counts_;       // images of each message
  std::vector<Picture> shown_;       // of all messages, in order
  std::vector<Picture> waiting_;     // for the next one
  size_t num_kept_ = 0;              // the system message survives /clear
  bool answer_interrupted_ = false;  // the last one: Ctrl+C at the next prompt is the second
};

}  // namespace

int Chat(const RunOptions& options, Model& model, std::string vision_path, std::vector<Picture> pictures) {
  const mote_model_info info = model.info();
  if (info.chat_template == nullptr) Note("mote: the model has no chat template: ChatML is used");
  if (info.template_error != nullptr) {
    Note(std::string("mote: the model's chat template cannot be used (") + info.template_error + "): ChatML instead");
  }
  Conversation(options, model, std::move(vision_path), std::move(pictures)).Talk();
  return kDone;
}

}  // namespace mote::cli
