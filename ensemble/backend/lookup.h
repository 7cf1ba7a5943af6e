// Raw rows to codes: what the step feature_lookup does after the Redis read (ensemble/steps/lookup.py).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "clock.h"
#include "query.h"
#include "release.h"
#include "row.h"
#include "tables.h"

namespace trireme {

/// Encodes requests and rows with the tables of a release.
class Lookup {
 public:
  Lookup(const Tables& tables, const Release& release);

  const Row& unknown_row() const { return unknown_; }

  /// One row out of those of a person's ids, at most two; without any it is that of a user never seen.
  Row person(const std::vector<const Row*>& rows) const;

  /// The request as the later steps need it; `started_ms` is the wall clock at which it came.
  Envelope envelope(const Request& request, const Row& row, std::int64_t as_of, std::int64_t started_ms,
                    const std::string& variant) const;

  /// The part of an envelope that every kind of request has.
  void set_wishes(Envelope& envelope, const Wishes& wishes) const;

  /// A request's raw row as of its instant; a std::runtime_error when its lists do not fit each other.
  Query query(const Envelope& envelope, const Row& row) const;

 private:
  void encode_recent(Query& query, const Row& row, std::int64_t as_of) const;
  void encode_category_counts(Query& query, const Row& row, std::int64_t as_of) const;

  /// Where the features that have a meaning of their own lie in a row.
  struct Places {
    std::size_t recent_item_ids, recent_event_times, interaction_count, last_event_time, session_dwell_ms;
    std::size_t count_categories, home_region, seen_item_ids;
    std::vector<std::size_t> counts;  ///< by half-life
  };

  /// A column of the query tower's user_codes: its raw value of a request.
  struct Column {
    std::string name;
    std::function<std::string(const Envelope&, const Row&)> value;
  };

  Column column(const std::string& name, const Layout& layout) const;

  const Tables& tables_;
  const Layout& layout_;
  const Clock clock_;
  std::vector<Column> columns_;
  Places at_;
  Row unknown_;
};

}  // namespace trireme
