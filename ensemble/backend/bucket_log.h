// Interactions by bucket, indexed by time, and the vectors over the catalogue made of them (steps/bucket_log.py).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "demand.h"
#include "kept.h"
#include "tables.h"

namespace trireme {

/// A vector over the catalogue, row i = code i + 3, shared by whoever still reads it.
using Vector = std::shared_ptr<const std::vector<double>>;

/// Buckets in the order of their regions and of their time.
class BucketLog {
 public:
  BucketLog(std::shared_ptr<const Buckets> buckets, std::size_t items);

  bool knows(const std::string& region) const { return buckets_->regions.contains(region); }
  bool empty() const { return by_time_.empty(); }
  std::int64_t first() const { return empty() ? 0 : numbers_by_time_.front(); }

  /// The first bucket that names an item.
  const std::vector<std::int64_t>& appears() const { return appears_; }

  /// Adds the counts of the buckets [first, end) of `hours` each, of all regions; those of bucket end - 1 weigh 1.
  void add_decayed(std::int64_t first, std::int64_t end, double hours, double half_life_hours,
                   std::vector<double>& counts) const;

  /// The same of one region and of all buckets before `end`, by place where it has any: few of a large catalogue.
  void add_own(const std::string& region, std::int64_t end, double hours, double half_life_hours,
               std::map<std::uint32_t, double>& counts) const;

 private:
  std::shared_ptr<const Buckets> buckets_;
  std::vector<std::uint32_t> by_time_;
  std::vector<std::int64_t> numbers_by_time_, appears_;
  std::vector<std::size_t> region_starts_;
};

/// All that is counted: the release's log, and that of later buckets where there is one. It never changes: newer counts
/// make another, which has nothing of what is kept here.
class Counted {
 public:
  /// Of a vector: kind, column, bucket, half-life.
  using Key = std::tuple<std::string, std::string, std::int64_t, double>;

  Counted(std::vector<std::shared_ptr<const BucketLog>> logs, std::size_t items);

  std::int64_t first() const { return first_; }
  const std::vector<std::int64_t>& appears() const { return appears_; }
  bool knows(const std::string& region) const;

  std::vector<double> decayed(std::int64_t first, std::int64_t end, double hours, double half_life_hours) const;
  Demand::Own own(const std::string& region, std::int64_t end, double hours, double half_life_hours) const;

  mutable Kept<Key, std::vector<double>> vectors;
  mutable Kept<std::int64_t, Total> totals;                            ///< by bucket
  mutable Kept<std::pair<std::int64_t, std::string>, Demand> demands;  ///< by bucket, region ("*": all together)

 private:
  std::vector<std::shared_ptr<const BucketLog>> logs_;
  std::int64_t first_ = 0;
  std::vector<std::int64_t> appears_;
};

}  // namespace trireme
