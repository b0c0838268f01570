// Bounds on everything that a peer or a user can make large. Errors name these.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/base/blob_store.h"
#include "core/base/time.h"

namespace covey {

inline constexpr std::uint32_t kProtocolVersion = 1;     // the newest that this build speaks
inline constexpr std::uint32_t kProtocolVersionMin = 1;  // the oldest
inline constexpr Duration kReconnectWindowMax = std::chrono::minutes(10);
inline constexpr std::size_t kControlFrameBytesMax = 16 * 1024;
inline constexpr std::size_t kBulkFrameBytesMax = kChunkBytes + 4096;
inline constexpr std::size_t kJobTomlBytesMax = 64 * 1024;
inline constexpr std::size_t kNameBytesMax = 64;
inline constexpr std::size_t kErrorTextBytesMax = 512;
inline constexpr std::size_t kPageRowsMax = 50;             // rows in one operator reply
inline constexpr std::size_t kVouchPageRowsMax = 32;        // certificates in one reply, credentials in one request
inline constexpr std::size_t kChainPageRowsMax = 64;        // records of a chain in one operator reply
inline constexpr std::size_t kChainPageBytesMax = 14 * 1024;  // of them, encoded: fits a control frame
inline constexpr std::uint64_t kEpochMax = std::uint64_t{1} << 48;
inline constexpr std::size_t kSmallBlobBytes = 64 * 1024;   // comes along with BlobFetched
inline constexpr std::size_t kSecAggNoteBytesMax = 12 * 1024;  // of secure aggregation, in a control frame
inline constexpr std::size_t kSecAggLetterBytesMax = 8 * 1024 * 1024;  // longer ones come as blobs
inline constexpr std::size_t kMaskedNoteBytesMax = 1024;
inline constexpr std::size_t kChunkHashesPerPage = 4096;    // 128 KiB of a blob's chunk list
inline constexpr std::uint32_t kChunkCreditsMax = 8;
inline constexpr std::uint64_t kBlobBytesMax = std::uint64_t{1} << 36;  // 64 GiB
inline constexpr Duration kHeartbeatInterval = std::chrono::seconds(5);
inline constexpr Duration kLinkTimeout = std::chrono::seconds(20);      // no heartbeat: the link is dead
inline constexpr Duration kIdentityChallenge = std::chrono::seconds(2);

}  // namespace covey
