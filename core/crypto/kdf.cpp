#include "core/crypto/kdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <memory>

#include "core/base/wire.h"

namespace covey {
namespace {

EVP_KDF* hkdf_algorithm() {  // looked up once, as in digest.cpp
  static EVP_KDF* const algorithm = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  COVEY_CHECK(algorithm != nullptr);
  return algorithm;
}

OSSL_PARAM octets(const char* name, ByteSpan bytes) {
  // OpenSSL's parameter arrays are not const-correct; it only reads these.
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

void hkdf_sha256(const HkdfInput& input, std::span<std::uint8_t> out) {
  COVEY_CHECK(out.size() <= kHkdfBytesMax);
  COVEY_CHECK(!input.key_material.empty());
  if (out.empty()) return;
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      EVP_KDF_CTX_new(hkdf_algorithm()), EVP_KDF_CTX_free);
  COVEY_CHECK(context != nullptr);
  char digest[] = "SHA256";
  OSSL_PARAM params[5];
  std::size_t count = 0;
  params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
  params[count++] = octets(OSSL_KDF_PARAM_KEY, input.key_material);
  if (!input.salt.empty()) params[count++] = octets(OSSL_KDF_PARAM_SALT, input.salt);
  if (!input.info.empty()) params[count++] = octets(OSSL_KDF_PARAM_INFO, input.info);
  params[count] = OSSL_PARAM_construct_end();
  COVEY_CHECK(EVP_KDF_derive(context.get(), out.data(), out.size(), params) == 1);
}

Bytes derivation_info(std::string_view domain, ByteSpan context) {
  return ByteWriter().raw(bytes_of("covey derive v1")).text(domain).raw(context).take();
}

}  // namespace covey
