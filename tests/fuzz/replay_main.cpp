// Stands in for libFuzzer where there is no clang: feeds every file of a corpus to the fuzzer's
// function, then cheap damage to it: truncations and single changed bytes, the same ones each time.
// A finding is a crash, a sanitizer's report or a failed COVEY_CHECK. usage: <program> CORPUS
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t kDamagesPerInput = 128;

std::size_t runs = 0;

// A copy of exactly the input's size, so that the address sanitizer sees a read past its end.
void feed(const Input& input, std::size_t size) {
  const Input exact(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(size));
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  ++runs;
}

void feed_truncated(const Input& input) {
  const std::size_t step = std::max<std::size_t>(1, input.size() / kDamagesPerInput);
  for (std::size_t size = 0; size < input.size(); size += step) feed(input, size);
}

void feed_changed(Input& input) {
  std::uint64_t state = 0x9e3779b97f4a7c15;  // any odd number; fixed, so that a finding repeats
  for (std::size_t i = 0; i < kDamagesPerInput && !input.empty(); ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
    const std::size_t place = static_cast<std::size_t>(state >> 33) % input.size();
    const std::uint8_t before = input[place];
    input[place] = static_cast<std::uint8_t>(before ^ (1 + (state >> 20) % 255));
    feed(input, input.size());
    input[place] = before;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " CORPUS-FOLDER\n";
    return 2;
  }
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1], error)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  if (files.empty()) {
    std::cerr << argv[1] << ": no corpus (" << error.message() << ")\n";
    return 1;
  }
  std::sort(files.begin(), files.end());
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    Input input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file) {
      std::cerr << path << ": cannot be read\n";
      return 1;
    }
    std::cout << path.filename().string() << ": " << input.size() << " bytes" << std::endl;  // before a crash
    feed(input, input.size());
    feed_truncated(input);
    feed_changed(input);
  }
  std::cout << files.size() << " inputs, " << runs << " runs\n";
  return 0;
}
