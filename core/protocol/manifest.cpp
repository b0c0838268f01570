#include "core/protocol/manifest.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/wire.h"
#include "core/crypto/digest.h"

namespace covey {
namespace {

// Formats 2 and 3 say more of the model. A model that needs none of it is written in the format before, and so
// keeps its hash.
constexpr std::uint8_t kFormatPlain = 1, kFormatMore = 2, kFormatNorm = 3;

static_assert(std::endian::native == std::endian::little, "parameters are stored little-endian");

void write_list(ByteWriter& out, const std::vector<std::uint32_t>& values) {
  out.u32(static_cast<std::uint32_t>(values.size()));
  for (const std::uint32_t value : values) out.u32(value);
}

std::vector<std::uint32_t> read_list(ByteReader& in) {
  std::vector<std::uint32_t> values(in.count(4));
  for (std::uint32_t& value : values) value = in.u32();
  return values;
}

void write_spec(ByteWriter& out, const ModelSpec& spec) {
  out.u8(static_cast<std::uint8_t>(spec.family)).u32(spec.inputs);
  write_list(out, spec.hidden);
  out.u32(spec.classes).u32(spec.image_height).u32(spec.image_width).u32(spec.image_channels);
  write_list(out, spec.conv_channels);
  out.u32(spec.kernel).u32(spec.dense).u32(spec.vocabulary).u32(spec.layers).u32(spec.width);
  out.u32(spec.heads).u32(spec.ffn).u32(spec.context);
}

ModelSpec read_spec(ByteReader& in) {
  ModelSpec spec;
  spec.family = static_cast<ModelFamily>(in.u8());
  spec.inputs = in.u32();
  spec.hidden = read_list(in);
  spec.classes = in.u32();
  spec.image_height = in.u32();
  spec.image_width = in.u32();
  spec.image_channels = in.u32();
  spec.conv_channels = read_list(in);
  spec.kernel = in.u32();
  spec.dense = in.u32();
  spec.vocabulary = in.u32();
  spec.layers = in.u32();
  spec.width = in.u32();
  spec.heads = in.u32();
  spec.ffn = in.u32();
  spec.context = in.u32();
  return spec;
}

// What format 1 does not say of a model.
void write_more(ByteWriter& out, const ModelSpec& spec) {
  out.u8(static_cast<std::uint8_t>(spec.style)).u32(spec.kv_heads).boolean(spec.tied_head);
  out.f64(spec.rope_theta).f64(spec.dropout).u8(static_cast<std::uint8_t>(spec.blocks));
  out.u32(spec.lora.rank).f64(spec.lora.alpha).f64(spec.lora.dropout);
  out.u32(static_cast<std::uint32_t>(spec.lora.targets.size()));
  for (const std::string& target : spec.lora.targets) out.text(target);
}

void read_more(ByteReader& in, ModelSpec& spec) {
  spec.style = static_cast<TransformerStyle>(in.u8());
  spec.kv_heads = in.u32();
  spec.tied_head = in.boolean();
  spec.rope_theta = in.f64();
  spec.dropout = in.f64();
  spec.blocks = static_cast<CnnBlocks>(in.u8());
  spec.lora.rank = in.u32();
  spec.lora.alpha = in.f64();
  spec.lora.dropout = in.f64();
  spec.lora.targets.resize(in.count(4));
  for (std::string& target : spec.lora.targets) target = in.text();
}

bool needs_more(const ModelSpec& spec) {
  ByteWriter own, plain;
  write_more(own, spec);
  write_more(plain, ModelSpec{});
  return own.bytes() != plain.bytes();
}

// What format 2 does not say.
bool needs_norm(const ModelSpec& spec) { return spec.norm_epsilon != ModelSpec{}.norm_epsilon; }

std::uint8_t format_of(const ModelSpec& spec) {
  return needs_norm(spec) ? kFormatNorm : needs_more(spec) ? kFormatMore : kFormatPlain;
}

Unexpected bad_manifest(const std::string& what) {
  return unexpected(ErrorCode::kInvalidMessage, "model manifest: " + what);
}

Result<void> check_shards(const ModelManifest& manifest) {
  const ParameterTable table = parameter_table(manifest.spec);
  if (manifest.shards.size() != table.shards.size())
    return bad_manifest(std::to_string(manifest.shards.size()) + " shards, but its model has " +
                        std::to_string(table.shards.size()));
  for (std::size_t i = 0; i < table.shards.size(); ++i)
    if (manifest.shards[i].size != table.shards[i].size * sizeof(float))
      return bad_manifest("shard \"" + table.shards[i].name + "\" has " + std::to_string(manifest.shards[i].size) +
                          " bytes, but its model needs " + std::to_string(table.shards[i].size * sizeof(float)));
  return {};
}

ByteSpan bytes_in(std::span<const float> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace

Bytes encode(const ModelManifest& manifest) {
  ByteWriter out;
  const std::uint8_t format = format_of(manifest.spec);
  out.u8(format).u32(manifest.version);
  write_spec(out, manifest.spec);
  if (format >= kFormatMore) write_more(out, manifest.spec);
  if (format >= kFormatNorm) out.f64(manifest.spec.norm_epsilon);
  out.u32(static_cast<std::uint32_t>(manifest.shards.size()));
  for (const BlobRef& shard : manifest.shards) out.fixed(shard.id).u64(shard.size);
  return out.take();
}

Result<ModelManifest> decode_manifest(ByteSpan bytes) {
  ByteReader in(bytes);
  const std::uint8_t format = in.u8();
  if (format < kFormatPlain || format > kFormatNorm)
    return bad_manifest("format " + std::to_string(format) + ", this version reads 1 to 3");
  ModelManifest manifest;
  manifest.version = in.u32();
  manifest.spec = read_spec(in);
  if (format >= kFormatMore) read_more(in, manifest.spec);
  if (format >= kFormatNorm) manifest.spec.norm_epsilon = in.f64();
  manifest.shards.resize(in.count(40));
  for (BlobRef& shard : manifest.shards) {
    shard.id = in.fixed<Digest>();
    shard.size = in.u64();
  }
  if (const auto whole = in.finish("model manifest"); !whole) return bad_manifest(whole.error().message);
  if (const auto valid = manifest.spec.validate(); !valid) return bad_manifest(valid.error().message);
  if (const std::uint8_t least = format_of(manifest.spec); format != least)
    return bad_manifest("format " + std::to_string(format) + " for a model that format " + std::to_string(least) +
                        " describes: it would have two hashes");
  COVEY_TRY_VOID(check_shards(manifest));
  return manifest;
}

Bytes bytes_of_floats(std::span<const float> values) {
  Bytes bytes(values.size_bytes());
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

Result<std::vector<float>> floats_of_bytes(ByteSpan bytes) {
  if (bytes.size() % sizeof(float) != 0)
    return unexpected(ErrorCode::kInvalidData, std::to_string(bytes.size()) + " bytes are no whole number of f32 values");
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

BlobRef blob_ref_of(ByteSpan value) {
  std::vector<Digest> chunks;
  for (std::size_t at = 0; at < value.size(); at += kChunkBytes)
    chunks.push_back(chunk_digest(value.subspan(at, std::min(kChunkBytes, value.size() - at))));
  return {blob_id(value.size(), chunks), value.size()};
}

Result<BlobRef> write_model(BlobStore& blobs, const ModelSpec& spec, std::uint32_t version,
                            std::span<const float> parameters) {
  const ParameterTable table = parameter_table(spec);
  COVEY_CHECK(parameters.size() == table.size);
  ModelManifest manifest{spec, version, {}};
  for (const ShardRange& shard : table.shards) {
    COVEY_TRY(BlobRef blob, blobs.put(bytes_in(parameters.subspan(shard.offset, shard.size))));
    manifest.shards.push_back(blob);
  }
  return blobs.put(encode(manifest));
}

Result<StoredModel> read_model(BlobStore& blobs, const Digest& id) {
  COVEY_TRY(Bytes bytes, blobs.get(id));
  COVEY_TRY(ModelManifest manifest, decode_manifest(bytes));
  const ParameterTable table = parameter_table(manifest.spec);
  StoredModel model{std::move(manifest), std::vector<float>(table.size)};
  for (std::size_t i = 0; i < table.shards.size(); ++i) {
    COVEY_TRY(Bytes shard, blobs.get(model.manifest.shards[i].id));
    if (shard.size() != model.manifest.shards[i].size)
      return unexpected(ErrorCode::kCorrupted, "shard \"" + table.shards[i].name + "\" has " + std::to_string(shard.size()) + " bytes");
    if (!shard.empty()) std::memcpy(model.parameters.data() + table.shards[i].offset, shard.data(), shard.size());
  }
  return model;
}

}  // namespace covey
