// What the scripts beside this file compare with the Python libraries: reads their files with core/data
// and writes what it understood. usage: covey-engine-files encode TOKENIZER.json TEXTS IDS
//        covey-engine-files speed TOKENIZER.json TEXT
//        covey-engine-files rewrite MODEL-FOLDER NEW-FOLDER FILE-BYTES-MAX
//        covey-engine-files gguf MODEL-FOLDER NEW-FILE F32|F16|BF16
//        covey-engine-files adapter ADAPTER-FOLDER MODEL-FOLDER NEW-FOLDER
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/wire.h"
#include "core/data/bpe/tokenizer.h"
#include "core/data/files.h"
#include "core/data/hf/gguf.h"
#include "core/data/hf/hf_folder.h"
#include "core/data/hf/peft_adapter.h"

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
    for (const TextToken id : ids) out.u32(id);
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

Result<void> rewrite(const Arguments& arguments) {
  COVEY_TRY(const HfFolder folder, HfFolder::open(arguments[0]));
  COVEY_TRY(const auto tokenizer, folder.tokenizer());
  const HfWriting writing{folder.config(), tokenizer ? &*tokenizer : nullptr, std::stoull(arguments[2])};
  return write_hf(arguments[1], writing, [&](const HfPart& part) { return folder.read(part); });
}

Result<void> gguf(const Arguments& arguments) {
  COVEY_TRY(const HfFolder folder, HfFolder::open(arguments[0]));
  COVEY_TRY(const auto tokenizer, folder.tokenizer());
  const GgufWriting writing{folder.config(), tokenizer ? &*tokenizer : nullptr,
                            file_dtype_from(arguments[2]).dtype, "parity"};
  return write_gguf(arguments[1], writing, [&](const HfPart& part) { return folder.read(part); });
}

Result<void> adapter(const Arguments& arguments) {
  COVEY_TRY(const HfFolder folder, HfFolder::open(arguments[1]));
  COVEY_TRY(const LoraAdapter read, read_peft(arguments[0], folder.config()));
  return write_peft(arguments[2], folder.config(), read);
}

struct Command {
  const char* name;
  std::size_t arguments;
  Result<void> (*run)(const Arguments&);
};
constexpr Command kCommands[] = {{"encode", 3, encode},
                                 {"speed", 2, speed},
                                 {"rewrite", 3, rewrite},
                                 {"gguf", 3, gguf},
                                 {"adapter", 3, adapter}};

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
