#include "core/protocol/manifest.h"

#include <doctest/doctest.h>

#include "core/crypto/digest.h"
#include "core/store/blobs.h"

using namespace covey;

namespace {

ModelSpec small_transformer() {
  ModelSpec spec;
  spec.family = ModelFamily::kTransformer;
  spec.layers = 2;
  spec.width = 16;
  spec.heads = 2;
  spec.context = 8;
  return spec;
}

std::vector<float> counting(std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(i) * 0.5F;
  return values;
}

}  // namespace

TEST_CASE("manifest: a model goes into blobs and comes back") {
  MemoryBlobs blobs;
  const ModelSpec spec = small_transformer();
  const std::vector<float> parameters = counting(parameter_table(spec).size);
  const auto written = write_model(blobs, spec, 3, parameters);
  REQUIRE(written.has_value());
  const auto read = read_model(blobs, written->id);
  REQUIRE(read.has_value());
  CHECK(read->manifest.version == 3);
  CHECK(read->manifest.spec == spec);
  CHECK(read->parameters == parameters);
}

TEST_CASE("manifest: an unchanged shard keeps its name") {
  MemoryBlobs blobs;
  const ModelSpec spec = small_transformer();
  const ParameterTable table = parameter_table(spec);
  std::vector<float> parameters = counting(table.size);
  const auto first = write_model(blobs, spec, 0, parameters);
  parameters.back() += 1;  // in the head
  const auto second = write_model(blobs, spec, 1, parameters);
  REQUIRE((first && second));
  const auto a = read_model(blobs, first->id);
  const auto b = read_model(blobs, second->id);
  REQUIRE((a && b));
  for (std::size_t i = 0; i + 1 < table.shards.size(); ++i)
    CHECK(a->manifest.shards[i] == b->manifest.shards[i]);
  CHECK(a->manifest.shards.back().id != b->manifest.shards.back().id);
}

TEST_CASE("manifest: truncations, changed bytes and wrong shard sizes are refused or harmless") {
  MemoryBlobs blobs;
  const ModelSpec spec = small_transformer();
  const auto written = write_model(blobs, spec, 0, counting(parameter_table(spec).size));
  REQUIRE(written.has_value());
  const auto bytes = blobs.get(written->id);
  REQUIRE(bytes.has_value());
  for (std::size_t n = 0; n < bytes->size(); ++n)
    CHECK_FALSE(decode_manifest(ByteSpan(*bytes).first(n)).has_value());
  for (std::size_t i = 0; i < bytes->size(); ++i) {
    Bytes changed = *bytes;
    changed[i] ^= 0x80;
    const auto decoded = decode_manifest(changed);
    if (decoded) CHECK(decoded->spec.validate().has_value());
  }
  auto manifest = decode_manifest(*bytes);
  REQUIRE(manifest.has_value());
  manifest->shards[0].size += 4;
  CHECK_FALSE(decode_manifest(encode(*manifest)).has_value());
}

TEST_CASE("manifest: a model of old keeps its bytes, a newer one says more, and nothing has two forms") {
  ModelManifest manifest{small_transformer(), 3, {}};
  for (const ShardRange& shard : parameter_table(manifest.spec).shards) manifest.shards.push_back({{}, 4 * shard.size});
  const Bytes old = encode(manifest);
  CHECK(old[0] == 1);
  CHECK(hex(sha256(old).span()) == "335a793464e0c691c8eb446323df47dfc7a8151a75ca09f77dbd5fdb99a322a0");
  Bytes two_forms = old;
  two_forms[0] = 2;
  CHECK_FALSE(decode_manifest(two_forms).has_value());

  manifest.spec.style = TransformerStyle::kGpt2;
  manifest.spec.tied_head = true;
  manifest.spec.dropout = 0.1;
  manifest.spec.lora = {2, 4, 0.1, {"*c_attn", "*c_fc"}};
  manifest.shards.clear();
  for (const ShardRange& shard : parameter_table(manifest.spec).shards) manifest.shards.push_back({{}, 4 * shard.size});
  const Bytes bytes = encode(manifest);
  CHECK(bytes[0] == 2);
  const auto read = decode_manifest(bytes);
  REQUIRE(read.has_value());
  CHECK(*read == manifest);
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode_manifest(ByteSpan(bytes).first(n)).has_value());

  Bytes three = bytes;  // format 3 says the norms' epsilon too, which is the default here
  three[0] = 3;
  CHECK_FALSE(decode_manifest(three).has_value());
  manifest.spec.norm_epsilon = 1e-6;
  const Bytes norm = encode(manifest);
  CHECK(norm[0] == 3);
  CHECK(norm.size() == bytes.size() + 8);
  CHECK(decode_manifest(norm).value() == manifest);
  for (std::size_t n = 0; n < norm.size(); ++n) CHECK_FALSE(decode_manifest(ByteSpan(norm).first(n)).has_value());
}

TEST_CASE("manifest: blob_ref_of names what put stores") {
  MemoryBlobs blobs;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kChunkBytes, 2 * kChunkBytes + 7}) {
    const Bytes value(size, 0x5A);
    const auto stored = blobs.put(value);
    REQUIRE(stored.has_value());
    CHECK(*stored == blob_ref_of(value));
  }
}
