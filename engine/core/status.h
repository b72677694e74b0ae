// Errors as values. Nothing in the engine throws, prints, aborts or exits.
//
// A Status is a code plus one line for people: what was wrong (with the tensor, key or op named, and the shape or
// bytes received) and what would have been right. Result<T> is a value or a Status that is not ok.
#ifndef MOTE_ENGINE_CORE_STATUS_H_
#define MOTE_ENGINE_CORE_STATUS_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <utility>

namespace mote {

// Values are part of the C ABI (engine/api/mote.h repeats them as MOTE_...; a static_assert in api/ holds the two
// together).
enum class Code : int32_t {
  kOk = 0,
  kInvalidArgument = 1,  // the caller's argument is outside its stated range
  kMalformed = 2,        // a file or a request breaks its format
  kUnsupported = 3,      // well-formed, but of a kind that mote does not run
  kNotFound = 4,         // no such file, key, tensor or token
  kOutOfMemory = 5,      // an allocation failed, or the plan does not fit the limit given
  kContextFull = 6,      // more tokens than the session's context holds
  kCancelled = 7,        // the caller asked to stop
  kIo = 8,               // the operating system refused a read, write or map
  kInternal = 9,         // a bug in mote: please report it
};

// "malformed", "unsupported", ...: stable, lower case.
const char* CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same failure, told from one level further out: "context: message".
  Status Within(const std::string& context) const { return ok() ? *this : Status(code_, context + ": " + message_); }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// printf-style constructor; the text is cut at 1023 bytes.
[[gnu::format(printf, 2, 3)]] Status Error(Code code, const char* format, ...);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by design, so `return value;` reads well
  Result(Status status) : status_(std::move(status)) {}  // NOLINT
  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  // Only when ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

#define MOTE_CONCAT_INNER(a, b) a##b
#define MOTE_CONCAT(a, b) MOTE_CONCAT_INNER(a, b)
// Leaves the function with the status if it is not ok.
#define MOTE_RETURN_IF_ERROR(expr)                                                     \
  do {                                                                                 \
    if (::mote::Status mote_status_ = (expr); !mote_status_.ok()) return mote_status_; \
  } while (false)
// MOTE_ASSIGN_OR_RETURN(auto x, F()): declares or assigns x, or leaves with F's status.
#define MOTE_ASSIGN_OR_RETURN(lhs, expr) MOTE_ASSIGN_OR_RETURN_IMPL(MOTE_CONCAT(mote_result_, __LINE__), lhs, expr)
#define MOTE_ASSIGN_OR_RETURN_IMPL(result, lhs, expr) \
  auto result = (expr);                               \
  if (!result.ok()) return result.status();           \
  lhs = std::move(result).value()

}  // namespace mote

#endif  // MOTE_ENGINE_CORE_STATUS_H_
