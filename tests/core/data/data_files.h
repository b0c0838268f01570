// A folder that lives as long as a test case.
#pragma once
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace covey {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "covey-test-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Returns the file's path.
  std::string write(const std::string& name, std::string_view content) const {
    const std::filesystem::path path = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary);
    file << content;
    file.close();
    REQUIRE(file.good());
    return path.string();
  }

 private:
  std::string path_;
};

inline bool mentions(const std::string& message, std::string_view what) {
  return message.find(what) != std::string::npos;
}

// A shared data set beside the repository, or empty where it is absent.
inline std::string shared_data(const std::string& name) {
  const std::string path = std::string(COVEY_SOURCE_DIR) + "/../shared/data/" + name;
  return std::filesystem::exists(path) ? path : std::string();
}

}  // namespace covey
