// Result<T>: a value or an Error, in std::expected's spelling.
#pragma once
#include <string>
#include <utility>
#include <variant>

#include "core/base/check.h"

namespace covey {

enum class ErrorCode {
  kInvalidArgument,     // a flag, a job setting, a call: the user can mend it
  kInvalidData,         // a data set or a file that does not hold what it should
  kInvalidMessage,      // a peer sent something malformed or out of bounds
  kInvalidUpdate,       // an update with NaN, infinity, a wrong size or a wrong model
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,    // unknown key, wrong role, spent or expired token
  kUnavailable,         // try again later
  kResourceExhausted,   // memory budget, quota, open files
  kDiskFull,            // of our own disk: a peer never says so, and a process that meets it ends
  kCorrupted,           // our own durable state does not verify
  kUnsupported,         // known, but not built into this version
  kInternal,
};

const char* name_of(ErrorCode code);

// `message` names the bad value, the bound and the remedy; it never holds a secret.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  bool operator==(const Error&) const = default;
};

struct Unexpected {
  Error error;
};

inline Unexpected unexpected(ErrorCode code, std::string message) {
  return Unexpected{Error{code, std::move(message)}};
}
inline Unexpected unexpected(Error error) { return Unexpected{std::move(error)}; }

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}          // NOLINT
  Result(Unexpected failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}  // NOLINT

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return checked(); }
  const T& value() const& { return const_cast<Result*>(this)->checked(); }
  T value() && { return std::move(checked()); }  // by value: what looks into a temporary outlives it
  T& operator*() & { return checked(); }
  const T& operator*() const& { return const_cast<Result*>(this)->checked(); }
  T operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &const_cast<Result*>(this)->checked(); }
  T value_or(T fallback) && { return has_value() ? std::move(checked()) : std::move(fallback); }

  const Error& error() const {
    COVEY_CHECK(!has_value());
    return std::get<1>(state_);
  }

 private:
  T& checked() {
    COVEY_CHECK(has_value());
    return std::get<0>(state_);
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Unexpected failure) : error_(std::move(failure.error)), failed_(true) {}  // NOLINT

  bool has_value() const { return !failed_; }
  explicit operator bool() const { return has_value(); }
  void value() const { COVEY_CHECK(has_value()); }
  const Error& error() const {
    COVEY_CHECK(failed_);
    return error_;
  }

 private:
  Error error_;
  bool failed_ = false;
};

// Puts words in front of an error's message, e.g. the file it came from.
inline Error in_context(const std::string& where, Error error) {
  error.message = where + ": " + error.message;
  return error;
}

}  // namespace covey

#define COVEY_CONCAT_INNER(a, b) a##b
#define COVEY_CONCAT(a, b) COVEY_CONCAT_INNER(a, b)

// COVEY_TRY(auto x, f());  declares x, or returns f's error.
#define COVEY_TRY(declaration, expression) \
  COVEY_TRY_INNER(declaration, expression, COVEY_CONCAT(covey_result_, __LINE__))
#define COVEY_TRY_INNER(declaration, expression, result)          \
  auto result = (expression);                                     \
  if (!result) return ::covey::unexpected(result.error());        \
  declaration = std::move(*result)

// COVEY_TRY_VOID(f());  returns f's error, if there is one.
#define COVEY_TRY_VOID(expression)                                       \
  do {                                                                   \
    auto covey_result_void = (expression);                               \
    if (!covey_result_void)                                              \
      return ::covey::unexpected(covey_result_void.error());             \
  } while (false)
