// The table of settings, for people: `mote serve --help`, and the tables of docs/configuration.md.
#include <string_view>

#include "edge/server/config/setting_table.h"
#include "edge/server/config/values.h"

namespace mote::server {
namespace {

// Bars end a cell.
std::string Cell(std::string_view text) {
  std::string cell;
  for (const char c : text) cell += c == '|' ? std::string("\\|") : std::string(1, c);
  return cell;
}

std::string FlagCell(const Setting& setting) {
  std::string flags = "`" + setting.Flag() + "`";
  for (const std::string_view alias : Split(setting.aliases, ' ')) flags += ", `" + std::string(alias) + "`";
  return flags;
}

}  // namespace

std::string SettingsHelp() {
  std::string help;
  std::string_view section;
  for (const Setting& setting : SettingTable()) {
    if (section != setting.section) {
      section = setting.section;
      help += (help.empty() ? "" : "\n") + std::string(section) + ":\n";
    }
    std::string flags = setting.Flag();
    for (const std::string_view alias : Split(setting.aliases, ' ')) flags += ", " + std::string(alias);
    help += "  " + flags + "\n      " + setting.help;
    // That a path is text needs no saying.
    std::string facts = setting.written == Written::kText && *setting.words == '\0' ? "" : setting.Range();
    if (*setting.normal != '\0') facts += std::string(facts.empty() ? "" : "; ") + "default " + setting.normal;
    help += facts.empty() ? "\n" : " (" + facts + ")\n";
  }
  return help;
}

std::string SettingsPage() {
  std::string page;
  std::string_view section;
  for (const Setting& setting : SettingTable()) {
    if (section != setting.section) {
      section = setting.section;
      page += (page.empty() ? "## " : "\n## ") + std::string(section) + "\n\n";
      page += "| flag | environment | key | what it must be | default | meaning |\n|---|---|---|---|---|---|\n";
    }
    page += "| " + FlagCell(setting) + " | `" + setting.Variable() + "`";
    if (*setting.plain != '\0') page += std::string(", `") + setting.plain + "`";
    page += std::string(" | `") + setting.key + "` | " + Cell(setting.Range()) + " | ";
    page += *setting.normal == '\0' ? std::string("") : std::string("`") + setting.normal + "`";
    page += " | " + Cell(setting.help) + " |\n";
  }
  return page;
}

}  // namespace mote::server
