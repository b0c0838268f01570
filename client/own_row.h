// Rows that hold one document which the authority signed for this client: a renewal, a credential.
#pragma once
#include <string>

#include "client/client.h"
#include "core/base/wire.h"

namespace covey::client {

inline constexpr std::uint8_t kOwnRowVersion = 1;

inline Bytes own_row_value(const Bytes& document) { return ByteWriter().u8(kOwnRowVersion).blob(document).take(); }

// The document of `row`, verified. `judge` holds it against this client's certificate, which is given.
// Errors: kCorrupted naming the row.
template <class Document, class Judge>
Result<Document> own_document(const Row& row, const ClientConfig& config, Result<Document> (*decode)(ByteSpan), Judge judge) {
  const auto bad = [&](const std::string& why) {
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + ": " + why);
  };
  ByteReader in(row.value);
  if (in.u8() != kOwnRowVersion) in.refuse();
  const ByteSpan encoded = in.blob();
  COVEY_TRY_VOID(in.finish("row " + row.key));
  auto document = decode(encoded);
  if (!document) return bad(document.error().message);
  if (!config.certificate) return bad("a document of the authority for this client, which has no certificate");
  if (const Result<void> own = judge(*document, *config.certificate); !own)
    return bad(own.error().message + "; a node that enrolled anew needs a new --home");
  return document;
}

}  // namespace covey::client
