#include "clock.h"

#include <algorithm>
#include <limits>

#include "contracts.h"

namespace trireme {
namespace {

constexpr std::int64_t ms_per_quarter = 900'000;      // clocks are set at whole quarters of an hour
constexpr std::int64_t most = std::int64_t{1} << 60;  // beyond it an instant is none, and sums would overflow
constexpr std::int64_t first_weekday = 3;             // 1970-01-01 was a Thursday

std::int64_t floor_of(std::int64_t number, std::int64_t part) {
  return number / part - (number % part < 0);
}

}  // namespace

std::string Clock::hour(std::int64_t as_of) const {
  auto number = hours(as_of);
  return std::to_string(number - floor_of(number, 24) * 24);
}

std::string Clock::weekday(std::int64_t as_of) const {
  auto day = floor_of(hours(as_of), 24) + first_weekday;
  return weekdays[day - floor_of(day, 7) * 7];
}

/// Whole hours on this clock since 1970-01-01.
std::int64_t Clock::hours(std::int64_t as_of) const {
  auto quarter = floor_of(std::clamp(as_of, -most, most) - shift_ms_, ms_per_quarter) * ms_per_quarter;
  auto after =
      std::upper_bound(changes_.begin(), changes_.end(), std::pair(quarter, std::numeric_limits<std::int64_t>::max()));
  auto ahead = after == changes_.begin() ? changes_.front().second : std::prev(after)->second;
  return floor_of(quarter + ahead, ms_per_hour);
}

}  // namespace trireme
