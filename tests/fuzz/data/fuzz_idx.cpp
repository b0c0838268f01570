// Images and labels. An input is the length of the images' file (u16, little-endian), that file, and
// the labels' file; either may be gzip.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tests/core/base/temporary_folder.h"
#include "tests/fuzz/data/data_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  static const TemporaryFolder folder;
  if (size < 2) return 0;
  const ByteSpan files(data + 2, size - 2);
  const std::size_t images = std::min<std::size_t>(files.size(), data[0] + std::size_t{256} * data[1]);
  write_data_file(folder / "a-images-idx3-ubyte", files.first(images));
  write_data_file(folder / "a-labels-idx1-ubyte", files.subspan(images));
  LoadRequest request;
  request.path = folder.path();
  request.data.format = DataFormat::kIdx;
  request.model.family = ModelFamily::kLogistic;
  request.model.inputs = 6;  // 2 x 3
  request.model.image_height = 2;
  request.model.image_width = 3;
  request.model.classes = 4;
  load_and_check(request);
  return 0;
}
