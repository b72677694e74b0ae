// Settings from the command line, the environment and a file.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <utility>

#include "edge/server/config/setting_table.h"
#include "edge/server/config/settings.h"
#include "edge/server/config/values.h"

namespace mote::server {
namespace {

// One setting, said in one place. `where` is the start of the message should it be wrong.
struct Said {
  const Setting* setting;
  std::string value;
  std::string where;
};

Error Wrong(std::string message) {
  return Error{MOTE_INVALID_ARGUMENT, std::move(message)};
}

// For messages: secrets left out, long ones cut, nothing that a terminal would obey.
std::string Shown(const Setting& setting, const std::string& value) {
  if (setting.secret) return "...";
  std::string shown = value.size() > 80 ? value.substr(0, 77) + "..." : value;
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return shown;
}

const Setting* FindKey(std::string_view key) {
  for (const Setting& setting : SettingTable()) {
    if (key == setting.key) return &setting;
  }
  return nullptr;
}

const Setting* FindFlag(std::string_view flag) {
  for (const Setting& setting : SettingTable()) {
    if (flag == setting.Flag()) return &setting;
    for (const std::string_view alias : Split(setting.aliases, ' ')) {
      if (flag == alias) return &setting;
    }
  }
  return nullptr;
}

Error UnknownFlag(const std::string& flag) {
  std::vector<std::string> flags = {"--config"};
  for (const Setting& setting : SettingTable()) {
    flags.push_back(setting.Flag());
    if (setting.stands_alone()) flags.push_back("--no-" + setting.Flag().substr(2));
  }
  const std::string nearest = Nearest(flag, flags);
  return Wrong("unknown option " + flag + (nearest.empty() ? "" : "; did you mean " + nearest + "?") +
               "; mote serve --help lists them");
}

// The command line's settings, and the file that it names.
Result<std::vector<Said>> ReadArguments(const std::vector<std::string>& words, std::string* config) {
  std::vector<Said> said;
  bool only_words = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!only_words && word == "--") {
      only_words = true;
      continue;
    }
    if (only_words || word.size() < 2 || word[0] != '-') {
      said.push_back({FindKey("model"), word, word + " (command line)"});
      continue;
    }
    const size_t equals = word.find('=');
    const std::string flag = word.substr(0, equals);
    const Setting* setting = FindFlag(flag);
    const bool is_config = flag == "--config";
    if (setting == nullptr && flag.starts_with("--no-") && equals == std::string::npos) {
      setting = FindFlag("--" + flag.substr(5));
      if (setting == nullptr || !setting->stands_alone()) return UnknownFlag(flag);
      said.push_back({setting, "off", flag + " (command line)"});
      continue;
    }
    if (setting == nullptr && !is_config) return UnknownFlag(flag);
    std::string value = "on";
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (is_config || !setting->stands_alone()) {
      if (i + 1 == words.size() || words[i + 1].starts_with("--")) {
        return Wrong(flag + " (command line): needs a value" + (is_config ? "" : "; it must be " + setting->Range()));
      }
      value = words[++i];
    }
    if (is_config) {
      *config = value;
    } else {
      said.push_back({setting, value, flag + " " + Shown(*setting, value) + " (command line)"});
    }
  }
  return said;
}

std::vector<Said> ReadVariables(const std::map<std::string, std::string>& environment, bool plain) {
  std::vector<Said> said;
  for (const Setting& setting : SettingTable()) {
    const std::string name = plain ? setting.plain : setting.Variable();
    const auto found = environment.find(name);
    if (name.empty() || found == environment.end() || found->second.empty()) continue;
    said.push_back({&setting, found->second, name + "=" + Shown(setting, found->second) + " (environment)"});
  }
  return said;
}

// A mistyped variable would leave a limit unset in silence.
std::vector<std::string> OddVariables(const std::map<std::string, std::string>& environment) {
  std::vector<std::string> known = {"MOTE_ISA", "MOTE_CONFIG"};
  for (const Setting& setting : SettingTable()) known.push_back(setting.Variable());
  const std::set<std::string> exact(known.begin(), known.end());
  std::vector<std::string> notes;
  for (const auto& [name, value] : environment) {
    // What Kubernetes tells of a service that is called mote.
    const bool link = name.find("_SERVICE_") != std::string::npos || name.find("_TCP") != std::string::npos;
    if (!name.starts_with("MOTE_") || link || exact.contains(name)) continue;
    const std::string nearest = Nearest(name, known);
    notes.push_back(name + " (environment) is no setting" + (nearest.empty() ? "" : "; did you mean " + nearest + "?"));
  }
  return notes;
}

// What stands behind the "=": a word up to a comment, or text in quotes. False if it is neither.
bool ReadFileValue(std::string_view text, std::string* value) {
  text = Trim(text);
  value->clear();
  if (text.empty() || (text[0] != '"' && text[0] != '\'')) {
    size_t end = text.starts_with("#") ? 0 : text.size();
    for (size_t i = 1; i < text.size() && end == text.size(); ++i) {
      if (text[i] == '#' && (text[i - 1] == ' ' || text[i - 1] == '\t')) end = i;
    }
    *value = Trim(text.substr(0, end));
    return true;
  }
  const char quote = text[0];
  size_t i = 1;
  for (; i < text.size() && text[i] != quote; ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
      if (i == text.size() || (text[i] != '"' && text[i] != '\\')) return false;
    }
    *value += text[i];
  }
  const std::string_view rest = i < text.size() ? Trim(text.substr(i + 1)) : "?";
  return rest.empty() || rest[0] == '#';
}

Result<std::vector<Said>> ReadFile(const std::string& path, std::string_view text) {
  std::vector<Said> said;
  std::set<std::string, std::less<>> seen;
  std::vector<std::string> keys;
  for (const Setting& setting : SettingTable()) keys.emplace_back(setting.key);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string here = path + ":" + std::to_string(number) + ": ";
    for (const char c : line) {
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F)
        return Wrong(here + "has a control character");
    }
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '[') return Wrong(here + "has a section; must be KEY = VALUE, without sections");
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return Wrong(here + "must be KEY = VALUE, or begin with #");
    const std::string key(Trim(line.substr(0, equals)));
    const Setting* setting = FindKey(key);
    if (setting == nullptr) {
      const std::string nearest = Nearest(key, keys);
      return Wrong(here + "unknown key \"" + key.substr(0, 80) + "\"" +
                   (nearest.empty() ? "" : "; did you mean " + nearest + "?"));
    }
    if (!seen.insert(key).second && !setting->repeatable()) return Wrong(here + key + " is there twice");
    std::string value;
    if (!ReadFileValue(line.substr(equals + 1), &value)) {
      return Wrong(here + key + ": quotes must close, with nothing but a comment behind");
    }
    said.push_back({setting, value, here + key + " = " + Shown(*setting, value)});
  }
  return said;
}

// Lists of a nearer source take the place of those of a farther one.
Result<void> Apply(const std::vector<Said>& said, Settings* settings) {
  std::set<const Setting*> started;
  for (const Said& one : said) {
    if (one.setting->repeatable() && started.insert(one.setting).second) Clear(*one.setting, settings);
    const std::string wrong = Assign(*one.setting, one.value, settings);
    if (!wrong.empty()) return Wrong(one.where + ": " + wrong);
  }
  return {};
}

Result<std::string> ReadWholeFile(const std::string& path) {
  constexpr size_t kLimit = 1 << 20;
  const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "rb"), fclose);
  if (file == nullptr) return Error{MOTE_IO, path + ": " + strerror(errno)};
  std::string text(kLimit + 1, '\0');
  text.resize(fread(text.data(), 1, text.size(), file.get()));
  if (ferror(file.get()) != 0) return Error{MOTE_IO, path + ": " + strerror(errno)};
  if (text.size() > kLimit) return Error{MOTE_INVALID_ARGUMENT, path + ": is larger than 1 MiB"};
  return text;
}

}  // namespace

SettingSources SystemSources(std::vector<std::string> arguments) {
  SettingSources sources;
  sources.arguments = std::move(arguments);
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const char* equals = strchr(*variable, '=');
    if (equals != nullptr)
      sources.environment.emplace(std::string(*variable, static_cast<size_t>(equals - *variable)), equals + 1);
  }
  sources.read_file = ReadWholeFile;
  return sources;
}

Result<Settings> ReadSettings(const SettingSources& sources) {
  Settings settings;
  std::string config;
  const Result<std::vector<Said>> arguments = ReadArguments(sources.arguments, &config);
  if (!arguments) return arguments.error();
  const auto variable = sources.environment.find("MOTE_CONFIG");
  if (config.empty() && variable != sources.environment.end()) config = variable->second;
  std::vector<std::vector<Said>> levels;  // the nearest last
  if (!config.empty()) {
    const Result<std::string> text = sources.read_file(config);
    if (!text) return Error{text.error().code, "the file of --config: " + text.error().message};
    Result<std::vector<Said>> file = ReadFile(config, *text);
    if (!file) return file.error();
    levels.push_back(std::move(*file));
  }
  levels.push_back(ReadVariables(sources.environment, /*plain=*/true));
  levels.push_back(ReadVariables(sources.environment, /*plain=*/false));
  levels.push_back(*arguments);
  for (const std::vector<Said>& level : levels) {
    const Result<void> applied = Apply(level, &settings);
    if (!applied) return applied.error();
  }
  settings.notes = OddVariables(sources.environment);
  const Result<void> checked = Check(settings);
  if (!checked) return checked.error();
  return settings;
}

}  // namespace mote::server
