#include "bucket_log.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "contracts.h"
#include "scores.h"

namespace trireme {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

}  // namespace

BucketLog::BucketLog(std::shared_ptr<const Buckets> buckets, std::size_t items)
    : buckets_(std::move(buckets)), by_time_(buckets_->number.size()), appears_(items, never) {
  const auto& number = buckets_->number;
  std::iota(by_time_.begin(), by_time_.end(), 0);
  std::stable_sort(by_time_.begin(), by_time_.end(), [&](auto a, auto b) { return number[a] < number[b]; });
  for (auto row : by_time_) numbers_by_time_.push_back(number[row]);
  for (std::size_t i = 0; i < number.size(); ++i) {
    auto& appears = appears_[buckets_->item[i] - first_value];
    appears = std::min(appears, number[i]);
  }
  const auto& regions = buckets_->region;
  for (std::int64_t region = 0; region <= static_cast<std::int64_t>(buckets_->regions.size()); ++region) {
    region_starts_.push_back(std::lower_bound(regions.begin(), regions.end(), region) - regions.begin());
  }
}

void BucketLog::add_decayed(std::int64_t first, std::int64_t end, double hours, double half_life_hours,
                            const Region& region,
                            const std::function<void(std::size_t place, double count)>& add) const {
  Range rows = between(first, end, region);
  std::int64_t number = never;
  double weight = 0;
  for (std::size_t i = rows.first; i < rows.last; ++i) {
    std::size_t row = rows.order ? (*rows.order)[i] : i;
    // Rows come by bucket: an exponential a bucket, not one a row.
    if (buckets_->number[row] != number) {
      number = buckets_->number[row];
      weight = decay((end - 1 - number) * hours, half_life_hours);
    }
    add(buckets_->item[row] - first_value, buckets_->count[row] * weight);
  }
}

/// Rows of the buckets from `first` to before `end`.
BucketLog::Range BucketLog::between(std::int64_t first, std::int64_t end, const Region& region) const {
  auto found = region ? buckets_->regions.find(*region) : buckets_->regions.end();
  if (region && found == buckets_->regions.end()) return {nullptr, 0, 0};
  const auto& numbers = region ? buckets_->number : numbers_by_time_;
  auto begin = numbers.begin() + (region ? region_starts_[found->second] : 0);
  auto stop = region ? numbers.begin() + region_starts_[found->second + 1] : numbers.end();
  auto low = std::lower_bound(begin, stop, first), high = std::lower_bound(low, stop, std::max(first, end));
  return {region ? nullptr : &by_time_, std::size_t(low - numbers.begin()), std::size_t(high - numbers.begin())};
}

Counted::Counted(std::vector<std::shared_ptr<const BucketLog>> logs, std::size_t items, Lookups& lookups)
    : logs_(std::move(logs)), appears_(items, never), vectors_(lookups), demands_(lookups) {
  std::int64_t first = never;
  for (const auto& log : logs_) {
    if (!log->empty()) first = std::min(first, log->first());
    for (std::size_t i = 0; i < items; ++i) appears_[i] = std::min(appears_[i], log->appears()[i]);
  }
  if (first != never) first_ = first;
}

bool Counted::knows(const std::string& region) const {
  return std::any_of(logs_.begin(), logs_.end(), [&](const auto& log) { return log->knows(region); });
}

std::vector<double> Counted::decayed(std::int64_t first, std::int64_t end, double hours, double half_life_hours,
                                     const Region& region) const {
  std::vector<double> counts(appears_.size());
  auto add = [&](std::size_t place, double count) { counts[place] += count; };
  for (const auto& log : logs_) log->add_decayed(first, end, hours, half_life_hours, region, add);
  return counts;
}

Demand::Own Counted::own(std::int64_t end, double hours, double half_life_hours, const Region& region) const {
  std::map<std::uint32_t, double> counts;
  auto add = [&](std::size_t place, double count) { counts[static_cast<std::uint32_t>(place)] += count; };
  for (const auto& log : logs_) log->add_decayed(first_, end, hours, half_life_hours, region, add);
  return {counts.begin(), counts.end()};
}

}  // namespace trireme
