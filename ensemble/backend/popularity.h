// How often items are interacted with, as of an instant, from buckets that were closed by then (steps/popularity.py).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bucket_log.h"
#include "demand.h"
#include "swapped.h"
#include "tables.h"

namespace trireme {

/// Vectors are kept by bucket, for all instances of a model: they change when a bucket closes.
class Popularity {
 public:
  /// Of the interactions that buckets count, which outlive this, as `lookups` does: by it looks for what is kept are
  /// counted.
  Popularity(const Tables& tables, const Buckets& buckets, Lookups& lookups);

  /// Counts what came after the release's buckets: all of it, at each call. What was made of earlier counts stays with
  /// them.
  void take(Buckets newer);

  /// Counts of all regions; those of the newest closed bucket weigh 1, and half a half-life earlier.
  Vector counts(std::int64_t as_of, double half_life_hours) const;

  /// Log of the interactions a day; with a column, of all items together that share an item's value in it.
  Vector log_rate(std::int64_t as_of, double half_life_hours, const std::string& item_column = "") const;

  /// The same over the shortest half-life against that over the longest.
  Vector trend(std::int64_t as_of, const std::string& item_column = "") const;

  /// Whether a catalogue's items appear one by one, and the hours since the bucket in which each was first met.
  bool live() const { return tables_.features.live_items; }
  Vector age_hours(std::int64_t as_of) const;

  /// 1 where an item may be answered: of a live catalogue those that a closed bucket names.
  Vector appeared(std::int64_t as_of) const;

  /// What is in demand in a region, from 0 to 1 (the first of the list).
  std::shared_ptr<const Demand> trending(std::int64_t as_of, const std::string& region) const;

 private:
  using Log = std::shared_ptr<const Counted>;

  Log counted() const { return counted_.get(); }
  Vector counts_at(const Log& log, std::int64_t now, double half_life_hours, const Region& region) const;
  std::shared_ptr<const Demand> demand_at(const Log& log, std::int64_t now, const Region& region) const;
  std::vector<double> log_rate_at(const Log& log, std::int64_t now, double half_life_hours,
                                  const std::string& item_column) const;

  const Tables& tables_;
  Lookups& lookups_;
  double hours_;  ///< of a bucket
  std::int64_t buckets_a_day_;
  std::shared_ptr<const BucketLog> released_;
  Swapped<Counted> counted_;
};

}  // namespace trireme
