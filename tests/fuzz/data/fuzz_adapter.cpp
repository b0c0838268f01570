// A LoRA adapter from anywhere: the length of adapter_config.json (u16, little-endian), that file, and
// adapter_model.safetensors.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "core/data/hf/peft_adapter.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/fuzz/data/data_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  static const TemporaryFolder folder;
  static const HfConfig config = [] {
    HfConfig made;
    made.vocabulary = 40;
    made.width = 16;
    made.layers = 2;
    made.heads = 4;
    made.kv_heads = 2;
    made.ffn = 24;
    made.context = 32;
    return made;
  }();
  if (size < 2) return 0;
  const ByteSpan files(data + 2, size - 2);
  const std::size_t text = std::min<std::size_t>(files.size(), data[0] + std::size_t{256} * data[1]);
  write_data_file(folder / "adapter_config.json", files.first(text));
  write_data_file(folder / "adapter_model.safetensors", files.subspan(text));
  const auto adapter = read_peft(folder.path(), config);
  if (!adapter) return 0;
  COVEY_CHECK(!adapter->parts.empty() && std::isfinite(adapter->scale()));
  std::filesystem::remove_all(folder / "again");
  COVEY_CHECK(write_peft(folder / "again", config, *adapter).has_value());
  const auto again = read_peft(folder / "again", config);
  COVEY_CHECK(again.has_value() && *again == *adapter);
  return 0;
}
