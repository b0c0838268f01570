// What strangers send to become members. Every decoder gets every input; what it accepts, it writes
// again with the same bytes, and a signature made up by a fuzzer does not hold.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/protocol/credential.h"
#include "core/protocol/key_change.h"
#include "core/protocol/withdrawals.h"

namespace {

template <class Value>
void written_the_same(const covey::Result<Value>& value, covey::ByteSpan input) {
  if (!value) return;
  const covey::Bytes again = covey::encode(*value);
  COVEY_CHECK(again == covey::Bytes(input.begin(), input.end()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const covey::ByteSpan input(data, size);
  const covey::VerifyKey stranger{};
  const auto certificate = covey::decode_certificate(input);
  written_the_same(certificate, input);
  if (certificate) COVEY_CHECK(!covey::verify(*certificate, stranger));
  const auto delegation = covey::decode_delegation(input);
  written_the_same(delegation, input);
  if (delegation) COVEY_CHECK(!covey::verify(*delegation, stranger, covey::Instant{}));
  const auto renewal = covey::decode_renewal(input);
  written_the_same(renewal, input);
  if (renewal) COVEY_CHECK(!covey::verify(*renewal, covey::Certificate{"x", renewal->signing, renewal->curve, {}, {}}, stranger));
  const auto credential = covey::decode_credential(input);
  written_the_same(credential, input);
  if (credential) COVEY_CHECK(!covey::verify(*credential, stranger, credential->epoch));

  const auto list = covey::decode_withdrawals(input);
  written_the_same(list, input);
  if (list) COVEY_CHECK(!covey::verify(*list, stranger));
  const auto change = covey::decode_key_change(input);
  written_the_same(change, input);
  if (change) COVEY_CHECK(!covey::verify(*change, stranger, change->record));
  written_the_same(covey::decode_address(input), input);

  const auto token = covey::join_token_from(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!token) return 0;
  const auto again = covey::join_token_from(covey::to_text(*token));
  COVEY_CHECK(again.has_value());
  COVEY_CHECK(again->coordinator == token->coordinator);
  COVEY_CHECK(again->delegation == token->delegation);
  return 0;
}
