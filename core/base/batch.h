// A set of writes that becomes durable as one: what a state machine asks its driver to persist.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"

namespace covey {

struct Put {
  std::string key;
  Bytes value;
  bool operator==(const Put&) const = default;
};
struct Delete {
  std::string key;
  bool operator==(const Delete&) const = default;
};

struct Batch {
  std::vector<Put> puts;
  std::vector<Delete> deletes;  // applied after the puts

  void put(std::string key, Bytes value) { puts.push_back({std::move(key), std::move(value)}); }
  void erase(std::string key) { deletes.push_back({std::move(key)}); }
  bool empty() const { return puts.empty() && deletes.empty(); }
  void append(Batch other) {
    for (auto& p : other.puts) puts.push_back(std::move(p));
    for (auto& d : other.deletes) deletes.push_back(std::move(d));
  }
  bool operator==(const Batch&) const = default;
};

// One row of a store, in key order when scanned.
struct Row {
  std::string key;
  Bytes value;
  bool operator==(const Row&) const = default;
};

}  // namespace covey
