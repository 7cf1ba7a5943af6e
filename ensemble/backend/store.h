// The reader of the online store: one round trip a batch, and what to do without an answer (ensemble/online.py).
#pragma once

#include <chrono>
#include <string>
#include <variant>
#include <vector>

#include "redis.h"
#include "row.h"

namespace trireme {

/// A row, or why it cannot be had.
using Read = std::variant<Row, std::string>;

/// Reads users' rows; connects at the first read. One for each thread.
class OnlineStore {
 public:
  /// `address` is host:port.
  OnlineStore(const std::string& address, const Layout& layout);

  /// Raw rows of users, defaults where there is none; a StoreError when the store does not answer in time.
  std::vector<Read> read(const std::vector<std::string>& user_ids);

 private:
  std::vector<Fields> fetch(const std::vector<std::string>& keys);

  Redis redis_;
  const Layout& layout_;
  std::vector<std::string> fields_;
  int timeouts_ = 0;  ///< in a row
  std::chrono::steady_clock::time_point paused_until_;
};

}  // namespace trireme
