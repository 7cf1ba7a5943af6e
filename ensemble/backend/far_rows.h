// Rows of a large table, read one after the other though they lie far apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace trireme {

/// Visit every element of some rows in order: `row(n)` is the span of the nth, `visit(n, element)` what is done. While
/// one row is read the next is fetched; without that, waiting for memory takes half of the time.
template <class Row, class Visit>
void visit_rows(std::size_t rows, Row row, Visit visit) {
  for (std::size_t n = 0; n < rows; ++n) {
    const auto now = row(n), next = row(std::min(n + 1, rows - 1));
    constexpr std::size_t line = 64 / sizeof(now[0]);
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (i % line == 0 && i < next.size()) __builtin_prefetch(&next[i]);
      visit(n, now[i]);
    }
  }
}

}  // namespace trireme
