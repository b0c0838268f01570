// What the scripts beside this file compare with the Python libraries: reads their files with core/data
// and writes what it understood. usage: covey-engine-files encode TOKENIZER.json TEXTS IDS
//        covey-engine-files speed TOKENIZER.json TEXT
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/wire.h"
#include "core/data/bpe/tokenizer.h"
#include "core/data/files.h"

namespace covey {
namespace {

using Arguments = std::vector<std::string>;

constexpr std::uint64_t kBytesMax = std::uint64_t{1} << 32;

Result<Tokenizer> read_tokenizer(const std::string& path) {
  COVEY_TRY(const Bytes json, read_data_file(path, kTokenizerBytesMax));
  COVEY_TRY(TokenizerSpec spec, parse_tokenizer_json(text_of(json)));
  return Tokenizer::make(std::move(spec));
}

Result<void> write_file(const std::string& path, ByteSpan bytes) {
  COVEY_TRY(const FileDescriptor file, open_file(path, OpenMode::kReplace));
  return write_at(file, 0, bytes, path);
}

// TEXTS and IDS: records of a u32 count and that many bytes, or u32 ids; little-endian.
Result<void> encode(const Arguments& arguments) {
  COVEY_TRY(const Tokenizer tokenizer, read_tokenizer(arguments[0]));
  COVEY_TRY(const Bytes texts, read_data_file(arguments[1], kBytesMax));
  TokenEncoder encoder(tokenizer);
  ByteWriter out;
  ByteSpan rest = texts;
  while (rest.size() >= 4) {
    const std::size_t bytes = ByteReader(rest).u32();
    if (bytes > rest.size() - 4) return unexpected(ErrorCode::kInvalidData, arguments[1] + ": is cut");
    const TokenIds ids = encoder.encode(text_of(rest.subspan(4, bytes)));
    out.u32(static_cast<std::uint32_t>(ids.size()));
    for (const TokenId id : ids) out.u32(id);
    rest = rest.subspan(4 + bytes);
  }
  return write_file(arguments[2], out.bytes());
}

// Encodes TEXT line by line, over and over for a second, and prints the best rate of a pass.
Result<void> speed(const Arguments& arguments) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  COVEY_TRY(const Tokenizer tokenizer, read_tokenizer(arguments[0]));
  const double read_s = std::chrono::duration<double>(Clock::now() - start).count();
  COVEY_TRY(const Bytes text, read_data_file(arguments[1], kBytesMax));
  double best = 0;
  std::size_t tokens = 0;
  for (int pass = 0; pass < 5; ++pass) {
    TokenEncoder encoder(tokenizer);  // its cache is cold in every pass
    const auto from = Clock::now();
    tokens = encoder.encode(text_of(text)).size();
    const double seconds = std::chrono::duration<double>(Clock::now() - from).count();
    best = std::max(best, static_cast<double>(text.size()) / 1e6 / seconds);
  }
  std::printf("read %.3f s, %zu bytes, %zu tokens, %.1f MB/s\n", read_s, text.size(), tokens, best);
  return {};
}

struct Command {
  const char* name;
  std::size_t arguments;
  Result<void> (*run)(const Arguments&);
};
constexpr Command kCommands[] = {{"encode", 3, encode}, {"speed", 2, speed}};

}  // namespace
}  // namespace covey

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  for (const covey::Command& command : covey::kCommands) {
    if (arguments.size() != command.arguments + 1 || arguments[0] != command.name) continue;
    const auto done = command.run({arguments.begin() + 1, arguments.end()});
    if (done) return 0;
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  std::fprintf(stderr, "usage: see the top of bench/peers/engine_files.cpp\n");
  return 2;
}
