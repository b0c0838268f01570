// Files for tests of readers: made by the test, or shared beside the repository.
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "tests/core/base/temporary_folder.h"

namespace covey {

inline bool mentions(const std::string& message, std::string_view what) {
  return message.find(what) != std::string::npos;
}

// A shared data set beside the repository, or empty where it is absent.
inline std::string shared_data(const std::string& name) {
  const std::string path = std::string(COVEY_SOURCE_DIR) + "/../shared/data/" + name;
  return std::filesystem::exists(path) ? path : std::string();
}

}  // namespace covey
