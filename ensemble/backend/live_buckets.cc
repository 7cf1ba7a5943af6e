#include "live_buckets.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <tuple>

#include "chain.h"
#include "contracts.h"

namespace trireme {
namespace {

constexpr std::chrono::milliseconds timeout(2000);
constexpr std::chrono::milliseconds period(static_cast<int>(live_buckets_period_seconds * 1000));

template <class Number>
Number number_in(const std::string& text) {
  Number number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) throw RedisError("expected a number, got " + text);
  return number;
}

/// Which bucket a key is of (contracts/buckets.py: number_of).
std::int64_t bucket_of(const std::string& name) {
  return number_in<std::int64_t>(name.substr(name.rfind(':') + 1));
}

}  // namespace

LiveBuckets::LiveBuckets(const std::string& address, const Tables& tables, Popularity& popularity)
    : redis_(address.substr(0, address.rfind(':')), address.substr(address.rfind(':') + 1)),
      tables_(tables),
      popularity_(popularity),
      last_(-1),
      periodic_(period, [this] { look(now_ms()); }) {
  for (auto number : tables.buckets.number) last_ = std::max(last_, number);
}

void LiveBuckets::look(std::int64_t now_ms) {
  auto running = tables_.features.bucket(now_ms);
  auto names =
      redis_.zrangebyscore(bucket_index_key, "(" + std::to_string(last_), "(" + std::to_string(running), timeout);
  auto totals = redis_.hmget(names, {bucket_total_field}, timeout);
  std::map<std::string, Known> known;
  bool changed = false;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& total = totals[i][0];
    if (!total) continue;  // its time was over between the two questions
    auto before = known_.find(names[i]);
    bool same = before != known_.end() && before->second.total == *total;
    changed |= !same;
    known.emplace(names[i], same ? before->second : read(names[i]));
  }
  if (!changed && known.size() == known_.size()) return;
  known_ = std::move(known);
  popularity_.take(buckets());
}

/// The counts of a bucket's hash; items outside of the release's catalogue come with the next one.
LiveBuckets::Known LiveBuckets::read(const std::string& name) {
  Known out;
  for (const auto& [field, count] : redis_.hgetall(name, timeout)) {
    if (field == bucket_total_field) {
      out.total = count;
      continue;
    }
    auto named = nlohmann::json::parse(field, nullptr, false);
    if (!named.is_array() || named.size() != 2 || !named[0].is_string() || !named[1].is_string()) {
      throw RedisError("expected region and item, got " + field);
    }
    auto code = tables_.code("item_id", named[1].get<std::string>());
    if (code >= first_value) out.counts.push_back({{named[0].get<std::string>(), code}, number_in<double>(count)});
  }
  return out;
}

/// All that is known, as the release has it: by region, then bucket.
Buckets LiveBuckets::buckets() const {
  Buckets out;
  std::vector<std::tuple<std::int64_t, std::int64_t, std::int64_t, double>> rows;
  for (const auto& [name, held] : known_) {
    auto number = bucket_of(name);
    for (const auto& [taken, count] : held.counts) {
      auto region = out.regions.emplace(taken.first, out.regions.size()).first->second;
      rows.emplace_back(region, number, taken.second, count);
    }
  }
  std::sort(rows.begin(), rows.end());
  for (const auto& [region, number, item, count] : rows) {
    out.region.push_back(region);
    out.number.push_back(number);
    out.item.push_back(item);
    out.count.push_back(count);
  }
  return out;
}

}  // namespace trireme
