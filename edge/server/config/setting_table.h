// The table of all settings: from it come the command line, the environment, the file, the help and the page.
#ifndef MOTE_EDGE_SERVER_CONFIG_SETTING_TABLE_H_
#define MOTE_EDGE_SERVER_CONFIG_SETTING_TABLE_H_

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "edge/server/config/settings.h"

namespace mote::server {

// Reads the text into its setting. False if it cannot be that.
using ParseSetting = bool (*)(std::string_view text, Settings* settings);

// How a value is written.
enum class Written {
  kCount,     // low to high
  kBytes,     // low to high, with K, M, G or T
  kNumber,    // low to high, read by `parse`
  kSeconds,   // low to high, also as 500ms, 30s, 5m, 1h
  kSwitch,    // on or off; as a flag alone: on, and --no-... off
  kText,      // any
  kList,      // commas between
  kChoice,    // one of `words`
  kOwn,       // as `words` says, read by `parse`
  kOwnList,   // the same, but several, with ; between
  kOwnSwitch  // kOwn that may stand alone as a flag: on
};

struct Setting {
  const char* section;
  const char* key;      // in the file; --max-connections and MOTE_MAX_CONNECTIONS follow from it
  const char* aliases;  // more flags, "-c --ctx-size"
  const char* plain;    // environment variable without MOTE_, or ""
  Written written;
  double low, high;
  const char* words;   // of kChoice: "a|b|c"; of kOwn: what is right ("a floor and a ceiling, 1 to 256, like 2-8")
  const char* normal;  // the default, as it would be written
  const char* help;
  std::variant<std::monostate, bool Settings::*, uint64_t Settings::*, double Settings::*, std::string Settings::*,
               std::vector<std::string> Settings::*>
      member;
  ParseSetting parse = nullptr;  // kChoice and kOwn
  bool secret = false;           // its value is never repeated

  std::string Flag() const;      // "--max-connections"
  std::string Variable() const;  // "MOTE_MAX_CONNECTIONS"
  std::string Range() const;     // "1 to 65535", for messages and the page
  bool repeatable() const { return written == Written::kList || written == Written::kOwnList; }
  bool stands_alone() const { return written == Written::kSwitch || written == Written::kOwnSwitch; }
};

std::span<const Setting> SettingTable();

// Reads `text` into `settings`; lists grow. What was wrong ("must be 1 to 65535"), or "".
std::string Assign(const Setting& setting, std::string_view text, Settings* settings);
// Lists: empty them.
void Clear(const Setting& setting, Settings* settings);

// What the page's tables are: Markdown, a table for each section.
std::string SettingsPage();

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_CONFIG_SETTING_TABLE_H_
