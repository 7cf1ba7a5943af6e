// How often items are interacted with, as of an instant, from buckets that were closed by then (steps/popularity.py).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "demand.h"
#include "tables.h"

namespace trireme {

/// A vector over the catalogue, row i = code i + 3, shared by whoever still reads it.
using Vector = std::shared_ptr<const std::vector<double>>;

/// Vectors are kept by bucket, for all instances of a model: they change when a bucket closes.
class Popularity {
 public:
  /// Of the interactions that buckets count, which outlive this.
  Popularity(const Tables& tables, const Buckets& buckets);

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
  struct Range {
    const std::vector<std::uint32_t>* order;  ///< rows by time; none: rows are places themselves
    std::size_t first, last;
  };
  /// What is kept: kind, column, bucket, half-life, region.
  using Key = std::tuple<std::string, std::string, std::int64_t, double, std::int64_t>;

  Vector counts_at(std::int64_t now, double half_life_hours, std::int64_t region) const;
  std::shared_ptr<const Demand> trending_at(std::int64_t now, std::int64_t region) const;
  std::shared_ptr<const Counted> counted_at(std::int64_t now) const;
  Demand::Own own(std::int64_t now, std::int64_t region) const;
  std::vector<double> log_rate_at(std::int64_t now, double half_life_hours, const std::string& item_column) const;
  Range between(std::int64_t first, std::int64_t last, std::int64_t region) const;
  std::vector<double> decayed(std::int64_t now, double half_life_hours, Range rows) const;
  Vector keep(const Key& key, const std::function<std::vector<double>()>& compute) const;

  const Tables& tables_;
  const Buckets& buckets_;
  double hours_;  ///< of a bucket
  std::int64_t buckets_a_day_, first_ = 0;
  std::vector<std::uint32_t> by_time_;
  std::vector<std::int64_t> numbers_by_time_, appears_;
  std::vector<std::size_t> region_starts_;
  mutable std::mutex mutex_;
  mutable std::map<Key, Vector> kept_;
  mutable std::shared_ptr<const Counted> counted_;  ///< the newest that was asked for, and its bucket
  mutable std::int64_t counted_at_ = 0;
  mutable std::map<std::pair<std::int64_t, std::int64_t>, std::shared_ptr<const Demand>>
      demands_;                       ///< by bucket, region
  mutable std::size_t demanded_ = 0;  ///< numbers that they hold
};

}  // namespace trireme
