// One version of a model: its shards as content-addressed blobs. The hash of the encoded manifest
// is the model's hash.
#pragma once
#include <span>
#include <vector>

#include "core/base/blob_store.h"
#include "core/spec/model_spec.h"
#include "core/spec/parameter_table.h"

namespace covey {

struct ModelManifest {
  ModelSpec spec;
  std::uint32_t version = 0;      // rounds that made it: 0 is the initial model
  std::vector<BlobRef> shards;    // aligned with parameter_table(spec).shards; f32 little-endian
  bool operator==(const ModelManifest&) const = default;
};
Bytes encode(const ModelManifest& manifest);
// Errors: kInvalidMessage when malformed, or when shards do not fit the spec's table.
Result<ModelManifest> decode_manifest(ByteSpan bytes);

// Parameters into blobs and back. Durable when write_model returns; gives the manifest's blob.
Result<BlobRef> write_model(BlobStore& blobs, const ModelSpec& spec, std::uint32_t version,
                            std::span<const float> parameters);
struct StoredModel {
  ModelManifest manifest;
  std::vector<float> parameters;  // parameter_table(spec).size elements
};
Result<StoredModel> read_model(BlobStore& blobs, const Digest& manifest);

// The id that BlobStore::put gives the value, without storing it.
BlobRef blob_ref_of(ByteSpan value);

// Little-endian f32 values as bytes and back; the size must be a multiple of 4.
Bytes bytes_of_floats(std::span<const float> values);
Result<std::vector<float>> floats_of_bytes(ByteSpan bytes);

}  // namespace covey
