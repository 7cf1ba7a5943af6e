// What was interacted with since the release was made: the stream's counts by bucket (ensemble/live_buckets.py).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "periodic.h"
#include "popularity.h"
#include "redis.h"
#include "tables.h"

namespace trireme {

/// The buckets after those of a release; without the store the last known stay.
class LiveBuckets {
 public:
  /// `address` is host:port; connects at the first look.
  LiveBuckets(const std::string& address, const Tables& tables, Popularity& popularity);

  /// Look from now on, until this ends.
  void start() { periodic_.start(); }

  /// Take newer buckets in if there are any or they have changed; a RedisTimeout or RedisError without the store.
  void look(std::int64_t now_ms);

 private:
  /// A bucket of one shard: its sum, and how often what was taken where.
  struct Known {
    std::string total;
    std::vector<std::pair<std::pair<std::string, std::int64_t>, double>> counts;  ///< (region, item code) -> count
  };

  Known read(const std::string& name);
  Buckets buckets() const;

  Redis redis_;
  const Tables& tables_;
  Popularity& popularity_;
  std::int64_t last_;  ///< bucket of the release
  std::map<std::string, Known> known_;
  Periodic periodic_;
};

}  // namespace trireme
