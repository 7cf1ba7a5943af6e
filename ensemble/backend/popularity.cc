#include "popularity.h"

#include <algorithm>
#include <cmath>

#include "contracts.h"
#include "scores.h"

namespace trireme {
namespace {

constexpr auto everywhere = std::nullopt;

}  // namespace

Popularity::Popularity(const Tables& tables, const Buckets& buckets, Lookups& lookups)
    : tables_(tables),
      lookups_(lookups),
      hours_(tables.features.bucket_minutes / 60.0),
      buckets_a_day_(ms_per_day / tables.features.bucket_ms()),
      // The tables hold the buckets for as long as this is there.
      released_(std::make_shared<BucketLog>(std::shared_ptr<const Buckets>(&buckets, [](auto) {}), tables.items)),
      counted_(std::make_shared<Counted>(std::vector{released_}, tables.items, lookups)) {}

void Popularity::take(Buckets newer) {
  auto log = std::make_shared<const BucketLog>(std::make_shared<Buckets>(std::move(newer)), tables_.items);
  counted_.put(std::make_shared<Counted>(std::vector{released_, std::move(log)}, tables_.items, lookups_));
}

Vector Popularity::counts(std::int64_t as_of, double half_life_hours) const {
  return counts_at(counted(), tables_.features.bucket(as_of), half_life_hours, everywhere);
}

Vector Popularity::log_rate(std::int64_t as_of, double half_life_hours, const std::string& item_column) const {
  auto log = counted();
  auto now = tables_.features.bucket(as_of);
  return log->keep({"rate", item_column, now, half_life_hours, everywhere},
                   [&] { return log_rate_at(log, now, half_life_hours, item_column); });
}

Vector Popularity::trend(std::int64_t as_of, const std::string& item_column) const {
  auto log = counted();
  auto now = tables_.features.bucket(as_of);
  return log->keep({"trend", item_column, now, 0, everywhere}, [&] {
    const auto& half_lives = tables_.features.popularity_half_lives_hours;
    auto trend = log_rate_at(log, now, half_lives.front(), item_column);
    auto usual = log_rate_at(log, now, half_lives.back(), item_column);
    std::transform(trend.begin(), trend.end(), usual.begin(), trend.begin(), std::minus());
    return trend;
  });
}

Vector Popularity::age_hours(std::int64_t as_of) const {
  auto log = counted();
  auto now = tables_.features.bucket(as_of);
  return log->keep({"age", "", now, 0, everywhere}, [&] {
    const auto& appears = log->appears();
    std::vector<double> age(appears.size());
    for (std::size_t i = 0; i < age.size(); ++i) age[i] = appears[i] < now ? (now - appears[i]) * hours_ : 0.0;
    return age;
  });
}

Vector Popularity::appeared(std::int64_t as_of) const {
  auto log = counted();
  auto now = live() ? tables_.features.bucket(as_of) : 0;
  return log->keep({"appeared", "", now, 0, everywhere}, [&] {
    const auto& appears = log->appears();
    std::vector<double> there(appears.size(), 1);
    for (std::size_t i = 0; live() && i < there.size(); ++i) there[i] = appears[i] < now;
    return there;
  });
}

std::shared_ptr<const Demand> Popularity::trending(std::int64_t as_of, const std::string& region) const {
  auto log = counted();
  return demand_at(log, tables_.features.bucket(as_of), log->knows(region) ? Region(region) : everywhere);
}

/// A region's own counts are joined by those of all, scaled to `trending_min_count`.
std::shared_ptr<const Demand> Popularity::demand_at(const Log& log, std::int64_t now, const Region& region) const {
  double half_life = tables_.serve.trending_half_life_hours;
  return log->keep_demand(now, region, [&]() -> Demand {
    if (!region) return {std::make_shared<const Ranks>(*counts_at(log, now, half_life, everywhere)), {}, 1};
    auto all = demand_at(log, now, everywhere)->of_all();
    if (all->whole <= 0) return {all, {}, 1};
    return {all, log->own(now, hours_, half_life, region), tables_.serve.trending_min_count / all->whole};
  });
}

/// Log of the interactions a day: counts over the weight of the days that there are (a geometric series).
std::vector<double> Popularity::log_rate_at(const Log& log, std::int64_t now, double half_life_hours,
                                            const std::string& column) const {
  std::vector<double> rates = *counts_at(log, now, half_life_hours, everywhere);
  if (!column.empty()) {
    const auto& codes = tables_.codes_of(column);
    std::vector<double> by_code(tables_.vocabulary(column).codes());
    for (std::size_t i = 0; i < rates.size(); ++i) by_code[codes[i + first_value]] += rates[i];
    for (std::size_t i = 0; i < rates.size(); ++i) rates[i] = by_code[codes[i + first_value]];
  }
  auto buckets = static_cast<double>(std::max<std::int64_t>(now - log->first(), 1));
  double days = (1 - decay(buckets * hours_, half_life_hours)) / (1 - decay(hours_, half_life_hours)) / buckets_a_day_;
  for (double& rate : rates) rate = std::log(rate / days + least_rate);
  return rates;
}

/// Midnight's counts are summed up from the whole log, once; those of later buckets are theirs, decayed, and the day's.
Vector Popularity::counts_at(const Log& log, std::int64_t now, double half_life_hours, const Region& region) const {
  std::int64_t since_midnight = (now % buckets_a_day_ + buckets_a_day_) % buckets_a_day_;
  return log->keep({"counts", "", now, half_life_hours, region}, [&] {
    if (since_midnight == 0) return log->decayed(log->first(), now, hours_, half_life_hours, region);
    std::int64_t midnight = now - since_midnight;
    Vector known = counts_at(log, midnight, half_life_hours, region);
    auto counts = log->decayed(midnight, now, hours_, half_life_hours, region);
    double kept = decay(since_midnight * hours_, half_life_hours);
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += (*known)[i] * kept;
    return counts;
  });
}

}  // namespace trireme
