// Files of the Python libraries that readers are held against: tests/vectors/make_engine_files.py.
#pragma once
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "core/base/bytes.h"

namespace covey {

inline std::string engine_vector(const std::string& name) {
  return std::string(COVEY_SOURCE_DIR) + "/tests/vectors/engine/" + name;
}

inline std::string text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file, path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace covey
