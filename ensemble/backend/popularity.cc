#include "popularity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "contracts.h"
#include "scores.h"

namespace trireme {
namespace {

constexpr std::int64_t everywhere = -1;  // in place of a region: all of them together
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

Popularity::Popularity(const Tables& tables, const Buckets& buckets)
    : tables_(tables),
      buckets_(buckets),
      hours_(tables.features.bucket_minutes / 60.0),
      buckets_a_day_(ms_per_day / tables.features.bucket_ms()),
      by_time_(buckets.number.size()),
      appears_(tables.items, never) {
  std::iota(by_time_.begin(), by_time_.end(), 0);
  std::stable_sort(by_time_.begin(), by_time_.end(),
                   [&](auto a, auto b) { return buckets.number[a] < buckets.number[b]; });
  for (auto row : by_time_) numbers_by_time_.push_back(buckets.number[row]);
  if (!by_time_.empty()) first_ = numbers_by_time_.front();
  for (std::size_t i = 0; i < buckets.item.size(); ++i) {
    auto& appears = appears_[buckets.item[i] - first_value];
    appears = std::min(appears, buckets.number[i]);
  }
  for (std::int64_t region = 0; region <= static_cast<std::int64_t>(buckets.regions.size()); ++region) {
    region_starts_.push_back(std::lower_bound(buckets.region.begin(), buckets.region.end(), region) -
                             buckets.region.begin());
  }
}

Vector Popularity::counts(std::int64_t as_of, double half_life_hours) const {
  return counts_at(tables_.features.bucket(as_of), half_life_hours, everywhere);
}

Vector Popularity::log_rate(std::int64_t as_of, double half_life_hours, const std::string& item_column) const {
  auto now = tables_.features.bucket(as_of);
  return keep({"rate", item_column, now, half_life_hours, everywhere},
              [&] { return log_rate_at(now, half_life_hours, item_column); });
}

Vector Popularity::trend(std::int64_t as_of, const std::string& item_column) const {
  auto now = tables_.features.bucket(as_of);
  return keep({"trend", item_column, now, 0, everywhere}, [&] {
    const auto& half_lives = tables_.features.popularity_half_lives_hours;
    auto trend = log_rate_at(now, half_lives.front(), item_column);
    auto usual = log_rate_at(now, half_lives.back(), item_column);
    std::transform(trend.begin(), trend.end(), usual.begin(), trend.begin(), std::minus());
    return trend;
  });
}

Vector Popularity::age_hours(std::int64_t as_of) const {
  auto now = tables_.features.bucket(as_of);
  return keep({"age", "", now, 0, everywhere}, [&] {
    std::vector<double> age(appears_.size());
    for (std::size_t i = 0; i < age.size(); ++i) age[i] = appears_[i] < now ? (now - appears_[i]) * hours_ : 0.0;
    return age;
  });
}

Vector Popularity::appeared(std::int64_t as_of) const {
  auto now = live() ? tables_.features.bucket(as_of) : 0;
  return keep({"appeared", "", now, 0, everywhere}, [&] {
    std::vector<double> there(appears_.size(), 1);
    for (std::size_t i = 0; live() && i < there.size(); ++i) there[i] = appears_[i] < now;
    return there;
  });
}

std::shared_ptr<const Demand> Popularity::trending(std::int64_t as_of, const std::string& region) const {
  auto now = tables_.features.bucket(as_of);
  auto found = buckets_.regions.find(region);
  std::pair key(now, found == buckets_.regions.end() ? everywhere : found->second);
  {
    std::lock_guard lock(mutex_);
    if (auto kept = demands_.find(key); kept != demands_.end()) return kept->second;
  }
  auto made = trending_at(now, key.second);
  std::lock_guard lock(mutex_);
  if (demanded_ + made->size() > most_kept) {
    demands_.clear();
    demanded_ = 0;
  }
  if (demands_.emplace(key, made).second) demanded_ += made->size();
  return made;
}

/// A region's own counts are joined by those of all, scaled to `trending_min_count`.
std::shared_ptr<const Demand> Popularity::trending_at(std::int64_t now, std::int64_t region) const {
  auto all = counted_at(now);
  double whole = sum(all->counts);
  if (region == everywhere || whole <= 0) return std::make_shared<const Demand>(all, Demand::Own(), 1);
  return std::make_shared<const Demand>(all, own(now, region), tables_.serve.trending_min_count / whole);
}

std::shared_ptr<const Counted> Popularity::counted_at(std::int64_t now) const {
  {
    std::lock_guard lock(mutex_);
    if (counted_ && counted_at_ == now) return counted_;
  }
  auto made = std::make_shared<const Counted>(*counts_at(now, tables_.serve.trending_half_life_hours, everywhere));
  std::lock_guard lock(mutex_);
  counted_ = made;
  counted_at_ = now;
  return made;
}

/// A region's decayed counts where it has any: few of a large catalogue.
Demand::Own Popularity::own(std::int64_t now, std::int64_t region) const {
  std::map<std::uint32_t, double> counts;
  Range rows = between(first_, now, region);
  for (std::size_t row = rows.first; row < rows.last; ++row) {
    double weight = decay((now - 1 - buckets_.number[row]) * hours_, tables_.serve.trending_half_life_hours);
    counts[static_cast<std::uint32_t>(buckets_.item[row] - first_value)] += buckets_.count[row] * weight;
  }
  return {counts.begin(), counts.end()};
}

/// Log of the interactions a day: counts over the weight of the days that there are (a geometric series).
std::vector<double> Popularity::log_rate_at(std::int64_t now, double half_life_hours, const std::string& column) const {
  std::vector<double> rates = *counts_at(now, half_life_hours, everywhere);
  if (!column.empty()) {
    const auto& codes = tables_.codes_of(column);
    std::vector<double> by_code(tables_.vocabulary(column).codes());
    for (std::size_t i = 0; i < rates.size(); ++i) by_code[codes[i + first_value]] += rates[i];
    for (std::size_t i = 0; i < rates.size(); ++i) rates[i] = by_code[codes[i + first_value]];
  }
  auto buckets = static_cast<double>(std::max<std::int64_t>(now - first_, 1));
  double days = (1 - decay(buckets * hours_, half_life_hours)) / (1 - decay(hours_, half_life_hours)) / buckets_a_day_;
  for (double& rate : rates) rate = std::log(rate / days + least_rate);
  return rates;
}

/// Midnight's counts are summed up from the whole log, once; those of later buckets are theirs, decayed, and the day's.
Vector Popularity::counts_at(std::int64_t now, double half_life_hours, std::int64_t region) const {
  std::int64_t since_midnight = (now % buckets_a_day_ + buckets_a_day_) % buckets_a_day_;
  return keep({"counts", "", now, half_life_hours, region}, [&] {
    if (since_midnight == 0) return decayed(now, half_life_hours, between(first_, now, region));
    std::int64_t midnight = now - since_midnight;
    Vector known = counts_at(midnight, half_life_hours, region);
    auto counts = decayed(now, half_life_hours, between(midnight, now, region));
    double kept = decay(since_midnight * hours_, half_life_hours);
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += (*known)[i] * kept;
    return counts;
  });
}

/// Rows of the buckets from `first` to before `last`.
Popularity::Range Popularity::between(std::int64_t first, std::int64_t last, std::int64_t region) const {
  bool all = region == everywhere;
  const auto& numbers = all ? numbers_by_time_ : buckets_.number;
  auto begin = numbers.begin() + (all ? 0 : region_starts_[region]);
  auto end = all ? numbers.end() : numbers.begin() + region_starts_[region + 1];
  auto low = std::lower_bound(begin, end, first), high = std::lower_bound(low, end, std::max(first, last));
  return {all ? &by_time_ : nullptr, std::size_t(low - numbers.begin()), std::size_t(high - numbers.begin())};
}

std::vector<double> Popularity::decayed(std::int64_t now, double half_life_hours, Range rows) const {
  std::vector<double> counts(tables_.items);
  std::int64_t number = never;
  double weight = 0;
  for (std::size_t i = rows.first; i < rows.last; ++i) {
    std::size_t row = rows.order ? (*rows.order)[i] : i;
    // Rows come by bucket: an exponential a bucket, not one a row.
    if (buckets_.number[row] != number) {
      number = buckets_.number[row];
      weight = decay((now - 1 - number) * hours_, half_life_hours);
    }
    counts[buckets_.item[row] - first_value] += buckets_.count[row] * weight;
  }
  return counts;
}

/// Two who miss at once both compute, and agree.
Vector Popularity::keep(const Key& key, const std::function<std::vector<double>()>& compute) const {
  {
    std::lock_guard lock(mutex_);
    if (auto found = kept_.find(key); found != kept_.end()) return found->second;
  }
  auto made = std::make_shared<const std::vector<double>>(compute());
  std::lock_guard lock(mutex_);
  if ((kept_.size() + 1) * made->size() > most_kept) kept_.clear();
  kept_.insert_or_assign(key, made);
  return made;
}

}  // namespace trireme
