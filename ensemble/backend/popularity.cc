#include "popularity.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "contracts.h"
#include "scores.h"

namespace trireme {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

Popularity::Popularity(const Tables& tables, const Buckets& buckets)
    : tables_(tables),
      hours_(tables.features.bucket_minutes / 60.0),
      buckets_a_day_(ms_per_day / tables.features.bucket_ms()),
      // The tables hold the buckets for as long as this is there.
      released_(std::make_shared<BucketLog>(std::shared_ptr<const Buckets>(&buckets, [](auto) {}), tables.items)),
      counted_(std::make_shared<Counted>(std::vector{released_}, tables.items)) {}

void Popularity::take(Buckets newer) {
  auto log = std::make_shared<const BucketLog>(std::make_shared<Buckets>(std::move(newer)), tables_.items);
  auto counted = std::make_shared<Counted>(std::vector{released_, std::move(log)}, tables_.items);
  std::lock_guard lock(mutex_);
  counted_ = std::move(counted);
}

Popularity::Log Popularity::counted() const {
  std::lock_guard lock(mutex_);
  return counted_;
}

Vector Popularity::counts(std::int64_t as_of, double half_life_hours) const {
  return counts_at(*counted(), tables_.features.bucket(as_of), half_life_hours);
}

Vector Popularity::log_rate(std::int64_t as_of, double half_life_hours, const std::string& item_column) const {
  return log_rate_at(*counted(), tables_.features.bucket(as_of), half_life_hours, item_column);
}

Vector Popularity::trend(std::int64_t as_of, const std::string& item_column) const {
  auto log = counted();
  auto now = tables_.features.bucket(as_of);
  return log->vectors({"trend", item_column, now, 0}, [&] {
    const auto& half_lives = tables_.features.popularity_half_lives_hours;
    auto trend = std::make_shared<std::vector<double>>(*log_rate_at(*log, now, half_lives.front(), item_column));
    auto usual = log_rate_at(*log, now, half_lives.back(), item_column);
    std::transform(trend->begin(), trend->end(), usual->begin(), trend->begin(), std::minus());
    return trend;
  });
}

Vector Popularity::age_hours(std::int64_t as_of) const {
  auto log = counted();
  auto now = tables_.features.bucket(as_of);
  return log->vectors({"age", "", now, 0}, [&] {
    const auto& appears = log->appears();
    auto age = std::make_shared<std::vector<double>>(appears.size());
    for (std::size_t i = 0; i < age->size(); ++i) (*age)[i] = appears[i] < now ? (now - appears[i]) * hours_ : 0.0;
    return age;
  });
}

Vector Popularity::appeared(std::int64_t as_of) const {
  auto log = counted();
  auto now = live() ? tables_.features.bucket(as_of) : 0;
  return log->vectors({"appeared", "", now, 0}, [&] {
    const auto& appears = log->appears();
    auto there = std::make_shared<std::vector<double>>(appears.size(), 1);
    for (std::size_t i = 0; live() && i < there->size(); ++i) (*there)[i] = appears[i] < now;
    return there;
  });
}

std::shared_ptr<const Demand> Popularity::trending(std::int64_t as_of, const std::string& region) const {
  auto log = counted();
  auto now = tables_.features.bucket(as_of);
  bool own = log->knows(region);
  return log->demands({now, own ? region : "*"}, [&] { return trending_at(*log, now, own ? &region : nullptr); });
}

/// A region's own counts are joined by those of all, scaled to `trending_min_count`.
std::shared_ptr<const Demand> Popularity::trending_at(const Counted& counted, std::int64_t now,
                                                      const std::string* region) const {
  double half_life = tables_.serve.trending_half_life_hours;
  auto all = counted.totals(now, [&] { return std::make_shared<Total>(*counts_at(counted, now, half_life)); });
  double whole = sum(all->counts);
  if (!region || whole <= 0) return std::make_shared<const Demand>(all, Demand::Own(), 1);
  auto own = counted.own(*region, now, hours_, half_life);
  return std::make_shared<const Demand>(all, std::move(own), tables_.serve.trending_min_count / whole);
}

/// Log of the interactions a day: counts over the weight of the days that there are (a geometric series).
Vector Popularity::log_rate_at(const Counted& counted, std::int64_t now, double half_life_hours,
                               const std::string& column) const {
  return counted.vectors({"rate", column, now, half_life_hours}, [&] {
    auto rates = std::make_shared<std::vector<double>>(*counts_at(counted, now, half_life_hours));
    if (!column.empty()) {
      const auto& codes = tables_.codes_of(column);
      std::vector<double> by_code(tables_.vocabulary(column).codes());
      for (std::size_t i = 0; i < rates->size(); ++i) by_code[codes[i + first_value]] += (*rates)[i];
      for (std::size_t i = 0; i < rates->size(); ++i) (*rates)[i] = by_code[codes[i + first_value]];
    }
    auto buckets = static_cast<double>(std::max<std::int64_t>(now - counted.first(), 1));
    double all = 1 - decay(buckets * hours_, half_life_hours), one = 1 - decay(hours_, half_life_hours);
    double days = all / one / static_cast<double>(buckets_a_day_);
    for (double& rate : *rates) rate = std::log(rate / days + least_rate);
    return rates;
  });
}

/// Midnight's counts are summed up from the whole log, once; those of later buckets are theirs, decayed, and the day's.
Vector Popularity::counts_at(const Counted& counted, std::int64_t now, double half_life_hours) const {
  std::int64_t since_midnight = (now % buckets_a_day_ + buckets_a_day_) % buckets_a_day_,
               midnight = now - since_midnight;
  return counted.vectors({"counts", "", now, half_life_hours}, [&] {
    auto first = since_midnight == 0 ? counted.first() : midnight;
    auto counts = std::make_shared<std::vector<double>>(counted.decayed(first, now, hours_, half_life_hours));
    if (since_midnight == 0) return counts;
    Vector known = counts_at(counted, midnight, half_life_hours);
    double kept = decay(since_midnight * hours_, half_life_hours);
    for (std::size_t i = 0; i < counts->size(); ++i) (*counts)[i] += (*known)[i] * kept;
    return counts;
  });
}

}  // namespace trireme
