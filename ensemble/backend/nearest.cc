#include "nearest.h"

#include <algorithm>
#include <cmath>

#include "lanes.h"
#include "together.h"

namespace trireme {
namespace {

constexpr float most_byte = 127;
/// Rows that are passed over before the bar is raised.
constexpr std::size_t slice = 1024;

float greatest(std::span<const float> numbers) {
  float out = 0;
  for (float number : numbers) out = std::max(out, std::abs(number));
  return out;
}

/// Keep those that may still be among the k best; what the k-th is at least.
template <class Likely>
float raise(std::vector<Likely>& pool, std::size_t k) {
  auto better = [](const Likely& a, const Likely& b) { return a.least > b.least; };
  std::nth_element(pool.begin(), pool.begin() + (k - 1), pool.end(), better);
  float bar = pool[k - 1].least;
  std::erase_if(pool, [&](const Likely& one) { return one.most < bar; });
  return bar;
}

}  // namespace

TRIREME_WIDE void dot_products(std::span<const float> query, const float* rows, std::span<const std::uint32_t> places,
                               float* out) {
  std::size_t width = query.size();
  for (std::size_t n = 0; n < places.size(); ++n) {
    const float* row = rows + std::size_t{places[n]} * width;
    Lanes sums = {};
    std::size_t i = 0;
    for (; i + lanes <= width; i += lanes) {
      sums += *reinterpret_cast<const Lanes*>(query.data() + i) * *reinterpret_cast<const Lanes*>(row + i);
    }
    float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    for (; i < width; ++i) sum += query[i] * row[i];
    out[n] = sum;
  }
}

Nearest::Nearest(std::span<const float> rows, std::size_t width, std::size_t leading_from)
    : rows_(rows), width_(width), bytes_(rows.size()), scales_(rows.size() / width) {
  for (std::size_t i = 0; i < scales_.size(); ++i) {
    auto row = rows.subspan(i * width, width);
    scales_[i] = greatest(row) / most_byte;
    for (std::size_t j = 0; j < width && scales_[i] > 0; ++j) {
      bytes_[i * width + j] = static_cast<std::int8_t>(std::lround(row[j] / scales_[i]));
    }
  }
  if (scales_.size() >= leading_from) leading_ = Leading(rows, width);
}

/// A row's numbers are off by half its scale at most, the query's by half of its own.
Nearest::Query Nearest::rounded(std::span<const float> query) const {
  float steps = std::min(32767.f, std::floor(1e9f / (most_byte * static_cast<float>(width_))));
  Query out{std::vector<std::int16_t>(width_), greatest(query) / steps, 0, {}};
  float sum = 0;
  for (std::size_t i = 0; i < width_; ++i) {
    sum += std::abs(query[i]);
    if (out.scale > 0) out.numbers[i] = static_cast<std::int16_t>(std::lround(query[i] / out.scale));
  }
  // A thousandth more than the sum of both: whatever float32 rounds is less than that.
  out.error = 1.001f * .5f * (sum + out.scale * most_byte * static_cast<float>(width_));
  if (!leading_.empty()) out.leading = leading_.turned(query);
  return out;
}

std::vector<std::uint32_t> Nearest::best(std::span<const float> query, const Mask& blocked, std::size_t k) const {
  if (k == 0 || !std::all_of(query.begin(), query.end(), [](float number) { return std::isfinite(number); })) return {};
  const Query asked = rounded(query);
  std::vector<Likely> pool;
  std::size_t end = scales_.size(), half = end / 2;
  if (end < large) {  // what one thread would read for milliseconds two share
    pool = likely(asked, 0, end, blocked, k);
  } else {
    std::vector<Likely> other;
    together([&] { pool = likely(asked, 0, half, blocked, k); }, [&] { other = likely(asked, half, end, blocked, k); });
    pool.insert(pool.end(), other.begin(), other.end());
    if (pool.size() > k) raise(pool, k);
  }
  std::vector<std::uint32_t> places;
  for (const Likely& one : pool) places.push_back(one.place);
  std::vector<float> exact(places.size());
  dot_products(query, rows_.data(), places, exact.data());
  std::vector<std::pair<float, std::uint32_t>> order;
  for (std::size_t i = 0; i < places.size(); ++i) order.emplace_back(-exact[i], places[i]);
  auto last = order.begin() + std::min(k, order.size());
  std::partial_sort(order.begin(), last, order.end());
  places.clear();
  for (auto one = order.begin(); one != last; ++one) places.push_back(one->second);
  return places;
}

/// All of the places from `first` to before `end` that may be among their k best.
std::vector<Nearest::Likely> Nearest::likely(const Query& query, std::size_t first, std::size_t end,
                                             const Mask& blocked, std::size_t k) const {
  std::vector<Likely> pool;
  float bar = -std::numeric_limits<float>::infinity(), most[slice];
  for (; first < end; first += slice) {
    std::size_t last = std::min(first + slice, end);
    if (leading_.empty()) {
      bound(query, first, last, most);
      add_likely(query, first, {most, last - first}, blocked, bar, pool);
    } else {
      leading_.bound(query.leading, first, last, most);
      for (std::size_t i = first; i < last; ++i) {
        if (!(most[i - first] >= bar) || blocked[i]) continue;
        float upper;
        bound(query, i, i + 1, &upper);
        add_likely(query, i, {&upper, 1}, blocked, bar, pool);
      }
    }
    if (pool.size() >= 2 * k) bar = raise(pool, k);
  }
  if (pool.size() > k) raise(pool, k);
  return pool;
}

/// Those of the places from `first` on that may reach the bar.
void Nearest::add_likely(const Query& query, std::size_t first, std::span<const float> most, const Mask& blocked,
                         float bar, std::vector<Likely>& pool) const {
  for (std::size_t i = first; i < first + most.size(); ++i) {
    float upper = most[i - first];
    if (upper >= bar && !blocked[i]) {
      pool.push_back({upper - 2 * scales_[i] * query.error, upper, static_cast<std::uint32_t>(i)});
    }
  }
}

TRIREME_WIDE void Nearest::bound(const Query& query, std::size_t first, std::size_t last, float* most) const {
  const std::int16_t* numbers = query.numbers.data();
  for (std::size_t i = first; i < last; ++i) {
    const std::int8_t* row = bytes_.data() + i * width_;
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < width_; ++j) sum += static_cast<std::int16_t>(row[j]) * numbers[j];
    *most++ = scales_[i] * (static_cast<float>(sum) * query.scale + query.error);
  }
}

}  // namespace trireme
