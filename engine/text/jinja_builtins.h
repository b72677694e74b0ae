// The names that templates may use: filters, tests, functions and methods. Each is a row in a table of its file.
#ifndef MOTE_ENGINE_TEXT_JINJA_BUILTINS_H_
#define MOTE_ENGINE_TEXT_JINJA_BUILTINS_H_

#include <stdint.h>

#include <span>
#include <string_view>

#include "engine/text/jinja_interp.h"

namespace mote::jinja {

std::span<const Function> StringFilters();    // jinja_filters_string.cc
std::span<const Function> SequenceFilters();  // jinja_filters_sequence.cc
std::span<const Function> SelectFilters();    // jinja_filters_select.cc
std::span<const Function> Tests();            // jinja_tests.cc
std::span<const Function> Globals();          // jinja_globals.cc
std::span<const Function> StringMethods();    // jinja_methods_string.cc
std::span<const Function> ListMethods();      // jinja_methods.cc
std::span<const Function> DictMethods();
std::span<const Function> TupleMethods();
std::span<const Function> LoopMethods();
std::span<const Function> CyclerMethods();

const Function* FindFunction(std::span<const Function> table, std::string_view name);

// Numbers for the syntax tree; kNone (jinja_ast.h) where there is none of that name.
uint32_t FindFilter(std::string_view name);
uint32_t FindTest(std::string_view name);
const Function* FilterAt(uint32_t index);
const Function* TestAt(uint32_t index);

// The work behind several filters and methods, in jinja_format.cc, json_writer.cc and jinja_time.cc.
bool FormatPercent(Interp& in, std::string_view format, const Value& values, Value* out);      // format % values
bool FormatBraces(Interp& in, std::string_view format, const Args& args, Value* out);          // str.format
bool ToJson(Interp& in, const Value& value, const Args& args, Value* out);                     // |tojson
bool FormatTime(Interp& in, std::string_view format, int64_t unix_seconds, std::string* out);  // strftime, UTC

// str methods that filters share, in jinja_methods_string.cc.
bool ReplaceText(Interp& in, const Value& text, const Value& from, const Value& to, int64_t count, Value* out);
bool StripText(Interp& in, const Value& text, const Value& chars, bool left, bool right, Value* out);
bool MapCase(Interp& in, const Value& text, bool upper, Value* out);
bool Capitalize(Interp& in, const Value& text, Value* out);
bool Center(Interp& in, const Value& text, int64_t width, Value* out);
// Appends text with & < > and both quotes as HTML entities.
bool EscapeHtml(Interp& in, std::string_view text, std::string* out);
void SplitLines(std::string_view text, std::vector<std::string_view>* lines);

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JINJA_BUILTINS_H_
