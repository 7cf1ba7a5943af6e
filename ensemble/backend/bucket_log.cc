#include "bucket_log.h"

#include <algorithm>
#include <limits>
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
                            std::vector<double>& counts) const {
  auto low = std::lower_bound(numbers_by_time_.begin(), numbers_by_time_.end(), first) - numbers_by_time_.begin();
  std::int64_t number = never;
  double weight = 0;
  for (std::size_t i = low; i < by_time_.size() && numbers_by_time_[i] < end; ++i) {
    // Rows come by bucket: an exponential a bucket, not one a row.
    if (numbers_by_time_[i] != number) {
      number = numbers_by_time_[i];
      weight = decay((end - 1 - number) * hours, half_life_hours);
    }
    auto row = by_time_[i];
    counts[buckets_->item[row] - first_value] += buckets_->count[row] * weight;
  }
}

void BucketLog::add_own(const std::string& region, std::int64_t end, double hours, double half_life_hours,
                        std::map<std::uint32_t, double>& counts) const {
  auto found = buckets_->regions.find(region);
  if (found == buckets_->regions.end()) return;
  auto stop = region_starts_[found->second + 1];
  for (auto row = region_starts_[found->second]; row < stop && buckets_->number[row] < end; ++row) {
    double weight = decay((end - 1 - buckets_->number[row]) * hours, half_life_hours);
    counts[static_cast<std::uint32_t>(buckets_->item[row] - first_value)] += buckets_->count[row] * weight;
  }
}

Counted::Counted(std::vector<std::shared_ptr<const BucketLog>> logs, std::size_t items)
    : vectors(most_kept), totals(most_kept), demands(most_kept), logs_(std::move(logs)), appears_(items, never) {
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

std::vector<double> Counted::decayed(std::int64_t first, std::int64_t end, double hours, double half_life_hours) const {
  std::vector<double> counts(appears_.size());
  for (const auto& log : logs_) log->add_decayed(first, end, hours, half_life_hours, counts);
  return counts;
}

Demand::Own Counted::own(const std::string& region, std::int64_t end, double hours, double half_life_hours) const {
  std::map<std::uint32_t, double> counts;
  for (const auto& log : logs_) log->add_own(region, end, hours, half_life_hours, counts);
  return {counts.begin(), counts.end()};
}

}  // namespace trireme
