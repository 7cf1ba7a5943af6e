// Interactions by bucket, indexed by time, and the vectors over the catalogue made of them (steps/bucket_log.py).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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

/// A region by its name; none stands for all of them together.
using Region = std::optional<std::string>;

/// Buckets in the order of their regions and of their time.
class BucketLog {
 public:
  BucketLog(std::shared_ptr<const Buckets> buckets, std::size_t items);

  bool knows(const std::string& region) const { return buckets_->regions.contains(region); }
  bool empty() const { return by_time_.empty(); }
  std::int64_t first() const { return empty() ? 0 : numbers_by_time_.front(); }

  /// The first bucket that names an item.
  const std::vector<std::int64_t>& appears() const { return appears_; }

  /// Adds the counts of the buckets [first, end) of `hours` each, by place; those of bucket end - 1 weigh 1.
  void add_decayed(std::int64_t first, std::int64_t end, double hours, double half_life_hours, const Region& region,
                   const std::function<void(std::size_t place, double count)>& add) const;

 private:
  struct Range {
    const std::vector<std::uint32_t>* order;  ///< rows by time; none: rows are places themselves
    std::size_t first, last;
  };
  Range between(std::int64_t first, std::int64_t end, const Region& region) const;

  std::shared_ptr<const Buckets> buckets_;
  std::vector<std::uint32_t> by_time_;
  std::vector<std::int64_t> numbers_by_time_, appears_;
  std::vector<std::size_t> region_starts_;
};

/// All that is counted: the release's log, and that of later buckets where there is one. It never changes: newer counts
/// make another, which has nothing of this one's vectors.
class Counted {
 public:
  /// What is kept: kind, column, bucket, half-life, region.
  using Key = std::tuple<std::string, std::string, std::int64_t, double, Region>;

  /// Looks for what is kept are counted by `lookups`, which outlives this.
  Counted(std::vector<std::shared_ptr<const BucketLog>> logs, std::size_t items, Lookups& lookups);

  std::int64_t first() const { return first_; }
  const std::vector<std::int64_t>& appears() const { return appears_; }
  bool knows(const std::string& region) const;

  std::vector<double> decayed(std::int64_t first, std::int64_t end, double hours, double half_life_hours,
                              const Region& region) const;

  /// A region's decayed counts before bucket `end` where it has any: few of a large catalogue.
  Demand::Own own(std::int64_t end, double hours, double half_life_hours, const Region& region) const;

  /// What is in demand in a region in a bucket, as it was made or is made now.
  std::shared_ptr<const Demand> keep_demand(std::int64_t bucket, const Region& region,
                                            const std::function<Demand()>& compute) const {
    return demands_.keep({bucket, region}, compute);
  }

  /// What was made under that key, or is made now.
  Vector keep(const Key& key, const std::function<std::vector<double>()>& compute) const {
    return vectors_.keep(key, compute);
  }

 private:
  std::vector<std::shared_ptr<const BucketLog>> logs_;
  std::int64_t first_ = 0;
  std::vector<std::int64_t> appears_;
  mutable Kept<Key, std::vector<double>> vectors_;
  mutable Kept<std::pair<std::int64_t, Region>, Demand> demands_;
};

}  // namespace trireme
