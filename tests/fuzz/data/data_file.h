// A file that a reader can open, whose content is the fuzzer's.
#pragma once
#include <cmath>
#include <cstdio>
#include <span>
#include <string>

#include "core/base/bytes.h"
#include "core/base/check.h"
#include "core/data/dataset.h"

namespace covey {

inline void write_data_file(const std::string& path, ByteSpan content) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  COVEY_CHECK(file != nullptr);
  if (!content.empty()) COVEY_CHECK(std::fwrite(content.data(), 1, content.size(), file) == content.size());
  COVEY_CHECK(std::fclose(file) == 0);
}

// Loads, and holds what was loaded against what every data set promises.
inline void load_and_check(const LoadRequest& request) {
  const auto data = load_dataset(request);
  if (!data) {
    COVEY_CHECK(!data.error().message.empty());
    return;
  }
  COVEY_CHECK((*data)->size() > 0);
  BatchBuffer buffer(**data, 1);
  for (std::uint32_t index = 0; index < (*data)->size(); ++index) {
    COVEY_CHECK((*data)->label(index) < request.model.classes);
    COVEY_CHECK((*data)->group(index) < (*data)->groups().size());
    const Minibatch batch = buffer.fill(std::span(&index, 1));
    COVEY_CHECK(batch.targets.i32()[0] >= 0);
    for (std::int64_t i = 0; i < batch.inputs.elements(); ++i) COVEY_CHECK(std::isfinite(batch.inputs.f32()[i]));
  }
}

}  // namespace covey
