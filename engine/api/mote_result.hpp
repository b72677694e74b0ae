// Part of mote.hpp, which includes it: values or errors.
#ifndef MOTE_ENGINE_API_MOTE_RESULT_HPP_
#define MOTE_ENGINE_API_MOTE_RESULT_HPP_

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include "mote.h"

namespace mote {
inline namespace v0 {

using Token = int32_t;

struct Error {
  mote_status code = MOTE_OK;
  std::string message;
};

// A value, or an Error. value(), *, -> only when ok().
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}      // NOLINT: implicit, so that `return value;` reads well
  Result(Error error) : error_(std::move(error)) {}  // NOLINT
  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return error_; }
  T& value() { return *value_; }
  const T& value() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }

 private:
  std::optional<T> value_;
  Error error_;
};

// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT
  bool ok() const { return error_.code == MOTE_OK; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return error_; }

 private:
  Error error_;
};

namespace internal {

inline Error Take(mote_status status, const mote_error& error) {
  return Error{status, error.message};
}

inline Result<void> Done(mote_status status, const mote_error& error) {
  if (status != MOTE_OK) return Take(status, error);
  return {};
}

// C takes a string up to its first NUL. One that goes on after it is refused, as what it says would change.
struct NamedText {
  const char* name;
  const std::string* text;
};
// The name of the first that has a NUL, or null.
inline const char* WithNul(std::initializer_list<NamedText> texts) {
  for (const NamedText& t : texts) {
    if (t.text->find('\0') != std::string::npos) return t.name;
  }
  return nullptr;
}
inline Error NulIn(const char* name) {
  return Error{MOTE_INVALID_ARGUMENT, std::string(name) + " has a NUL, with which strings end in C"};
}

// Calls `call(buffer, capacity, &size, &error)` for the size, then for the contents.
template <class Container, class Call>
Result<Container> Fill(Call call) {
  mote_error error = {};
  size_t size = 0;
  mote_status status = call(nullptr, size_t{0}, &size, &error);
  if (status != MOTE_OK) return Take(status, error);
  Container container(size, typename Container::value_type());
  if (size > 0) status = call(container.data(), size, &size, &error);
  if (status != MOTE_OK) return Take(status, error);
  return container;
}

template <auto Function>
struct Deleter {
  template <class T>
  void operator()(T* handle) const {
    Function(handle);
  }
};

}  // namespace internal

}  // namespace v0
}  // namespace mote

#endif  // MOTE_ENGINE_API_MOTE_RESULT_HPP_
