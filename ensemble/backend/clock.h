// Hours and days of the week by the clock of a data set (contracts/request_context.py).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace trireme {

/// A time zone's, read in the log's own time: a log whose times are shifted keeps its days of the week.
class Clock {
 public:
  /// When it was set (an instant, and how far it is ahead of UTC from then on), and how far all times are shifted, ms.
  Clock(std::vector<std::pair<std::int64_t, std::int64_t>> changes, std::int64_t shift_ms)
      : changes_(std::move(changes)), shift_ms_(shift_ms) {}

  /// The value of the column `hour` or `weekday` at an instant, ms.
  std::string hour(std::int64_t as_of) const;
  std::string weekday(std::int64_t as_of) const;

 private:
  std::int64_t hours(std::int64_t as_of) const;

  std::vector<std::pair<std::int64_t, std::int64_t>> changes_;
  std::int64_t shift_ms_;
};

}  // namespace trireme
