// Values of the template language and the heap that one rendering makes them in.
//
// A Value is 16 bytes, copied freely. What it points to lives in the Heap until the rendering ends: no reference
// counts, so no destructor recursion on deep values and no leak on cyclic ones. The evaluator charges fuel for
// everything that it makes here, which bounds the heap's size.
#ifndef MOTE_ENGINE_TEXT_JINJA_VALUE_H_
#define MOTE_ENGINE_TEXT_JINJA_VALUE_H_

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mote::jinja {

enum class Kind : uint8_t {
  kMissing,    // internal: no such variable, argument not given
  kUndefined,  // jinja2's Undefined: prints as nothing, raises when used
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kNamespace,
  kRange,
  kDictView,  // dict.keys(), .values(), .items()
  kIterator,  // what generators and reversed() give: consumed by reading
  kMacro,
  kFunction,  // a global function
  kMethod,    // a method with its receiver
  kLoop,
  kCycler,
  kJoiner,
};

// Bytes that somebody else owns (template, input or heap): UTF-8, though bytes of no valid sequence count as one
// character each.
struct Str {
  const char* data = "";
  uint32_t size = 0;    // bytes
  uint32_t length = 0;  // characters; size == length means that indexing is direct
  bool markup = false;  // made by |safe or |escape: adding to it escapes the other side

  std::string_view view() const { return {data, size}; }
  bool ascii() const { return size == length; }
};

struct List;
struct Dict;
struct Range;
struct DictView;
struct Iterator;
struct Macro;
struct Method;
struct Loop;
struct Cycler;
struct Joiner;
struct Function;

struct Value {
  Kind kind = Kind::kUndefined;
  bool attribute = false;  // of kUndefined: `str` names a missing attribute, not a missing variable
  union {
    bool boolean;
    int64_t integer;
    double real;
    const Str* str;  // of kUndefined: the name, or null
    List* list;      // kList, kTuple
    Dict* dict;      // kDict, kNamespace
    Range* range;
    DictView* view;
    Iterator* iterator;
    const Macro* macro;
    const Function* function;
    const Method* method;
    Loop* loop;
    Cycler* cycler;
    Joiner* joiner;
  };

  Value() : integer(0) {}
  static Value None() { return OfKind(Kind::kNone); }
  static Value Missing() { return OfKind(Kind::kMissing); }
  static Value OfKind(Kind kind) {
    Value value;
    value.kind = kind;
    return value;
  }
  static Value Undefined(const Str* name, bool attribute) {
    Value value;
    value.attribute = attribute;
    value.str = name;
    return value;
  }
  static Value Bool(bool b) {
    Value value = OfKind(Kind::kBool);
    value.integer = 0;
    value.boolean = b;
    return value;
  }
  static Value Int(int64_t i) {
    Value value = OfKind(Kind::kInt);
    value.integer = i;
    return value;
  }
  static Value Float(double f) {
    Value value = OfKind(Kind::kFloat);
    value.real = f;
    return value;
  }
  static Value String(const Str* s) {
    Value value = OfKind(Kind::kString);
    value.str = s;
    return value;
  }

  bool IsUndefined() const { return kind == Kind::kUndefined; }
  bool IsMissing() const { return kind == Kind::kMissing; }
  bool IsNone() const { return kind == Kind::kNone; }
  bool IsString() const { return kind == Kind::kString; }
  bool IsIntegral() const { return kind == Kind::kInt || kind == Kind::kBool; }
  bool IsNumber() const { return IsIntegral() || kind == Kind::kFloat; }
  bool IsSequence() const { return kind == Kind::kList || kind == Kind::kTuple; }
  int64_t AsInt() const { return kind == Kind::kBool ? int64_t{boolean} : integer; }             // only IsIntegral()
  double AsFloat() const { return kind == Kind::kFloat ? real : static_cast<double>(AsInt()); }  // only IsNumber()
};

struct List {
  bool grouped = false;  // a pair of groupby, whose parts are .grouper and .list too
  std::vector<Value> items;
};

// -1, 0 or 1 for two numbers, exact for any int64 against any double; NaN sorts below everything and equals itself.
int CompareNumbers(const Value& a, const Value& b);

// A total order over the values that may be dict keys: None, numbers (True == 1 == 1.0), strings.
struct KeyLess {
  bool operator()(const Value& a, const Value& b) const;
};

// Python's dict: insertion order, keys are None, numbers and strings.
struct Dict {
  struct Entry {
    Value key;
    Value value;
  };
  std::vector<Entry> entries;

  static bool IsKey(const Value& key) { return key.kind == Kind::kNone || key.IsNumber() || key.kind == Kind::kString; }
  // Index into entries, or SIZE_MAX.
  size_t Find(const Value& key) const;
  const Value* Get(std::string_view key) const;
  void Set(const Value& key, const Value& value);
  void Erase(size_t index);
  void Clear();

 private:
  // Built past kLinear entries: a balanced tree, because a hash table's worst case is the template author's choice.
  static constexpr size_t kLinear = 12;
  std::map<Value, size_t, KeyLess> index_;
};

struct Range {
  int64_t start = 0;
  int64_t stop = 0;  // as given: repr() shows it
  int64_t step = 1;
  int64_t length = 0;
  int64_t At(int64_t i) const { return start + i * step; }
};

struct DictView {
  enum class What : uint8_t { kKeys, kValues, kItems } what = What::kKeys;
  const Dict* dict = nullptr;
};

struct Iterator {
  std::vector<Value> items;
  size_t next = 0;
};

struct Cycler {
  std::vector<Value> items;
  size_t position = 0;
};

struct Joiner {
  Value separator;
  bool used = false;
};

struct Loop {
  int64_t index0 = 0;
  int64_t length = 0;
  int64_t depth0 = 0;
  Value previous = Value::Missing();
  Value next = Value::Missing();
  std::vector<Value> changed;  // what loop.changed() saw last
  bool has_changed = false;
};

// Objects of one rendering. Move-only by way of its members; addresses are stable.
class Heap {
 public:
  Heap() = default;
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // `bytes` must outlive the heap.
  const Str* View(std::string_view bytes, bool markup = false);
  const Str* Copy(std::string_view bytes, bool markup = false);
  // Room for a string of `size` bytes; the caller fills it and passes it to View.
  char* Bytes(size_t size);

  Value NewString(std::string_view bytes, bool markup = false) { return Value::String(Copy(bytes, markup)); }
  Value NewList(Kind kind = Kind::kList) {
    Value value = Value::OfKind(kind);
    value.list = &lists_.emplace_back();
    return value;
  }
  Value NewDict(Kind kind = Kind::kDict) {
    Value value = Value::OfKind(kind);
    value.dict = &dicts_.emplace_back();
    return value;
  }
  Value NewRange(const Range& range) {
    Value value = Value::OfKind(Kind::kRange);
    value.range = &ranges_.emplace_back(range);
    return value;
  }
  Value NewView(const DictView& view) {
    Value value = Value::OfKind(Kind::kDictView);
    value.view = &views_.emplace_back(view);
    return value;
  }
  Value NewIterator() {
    Value value = Value::OfKind(Kind::kIterator);
    value.iterator = &iterators_.emplace_back();
    return value;
  }
  Value NewCycler() {
    Value value = Value::OfKind(Kind::kCycler);
    value.cycler = &cyclers_.emplace_back();
    return value;
  }
  Value NewJoiner() {
    Value value = Value::OfKind(Kind::kJoiner);
    value.joiner = &joiners_.emplace_back();
    return value;
  }
  Value NewLoop() {
    Value value = Value::OfKind(Kind::kLoop);
    value.loop = &loops_.emplace_back();
    return value;
  }

 private:
  std::deque<Str> strings_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Range> ranges_;
  std::deque<DictView> views_;
  std::deque<Iterator> iterators_;
  std::deque<Cycler> cyclers_;
  std::deque<Joiner> joiners_;
  std::deque<Loop> loops_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* chunk_ = nullptr;  // free part of the last small chunk
  size_t chunk_left_ = 0;
};

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JINJA_VALUE_H_
