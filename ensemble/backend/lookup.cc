#include "lookup.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "contracts.h"
#include "error.h"
#include "merge.h"

namespace trireme {
namespace {

std::int64_t integer(const Row& row, std::size_t place) {
  return std::get<std::int64_t>(row[place]);
}

/// Milliseconds between two instants, whatever numbers a row holds; the future has age 0.
double age_ms(std::int64_t as_of, std::int64_t time) {
  return std::max(0.0, static_cast<double>(as_of) - static_cast<double>(time));
}

}  // namespace

Lookup::Lookup(const Tables& tables, const Release& release)
    : tables_(tables),
      layout_(release.derived.layout),
      clock_(release.derived.clock, release.shift_ms),
      unknown_(release.derived.layout.empty()) {
  const Layout& layout = release.derived.layout;
  at_ = {layout.place("recent_item_ids"), layout.place("recent_event_times"), layout.place("interaction_count"),
         layout.place("last_event_time"), layout.place("session_dwell_ms"),   layout.place("count_categories"),
         layout.place("home_region"),     layout.place("seen_item_ids"),      {}};
  for (double hours : tables.features.count_half_lives_hours) {
    at_.counts.push_back(layout.place("category_counts_" + std::to_string(std::llround(hours)) + "h"));
  }
  for (const std::string& name : release.derived.query_columns) columns_.push_back(column(name, layout));
}

/// Who asks, what is asked beside it (contracts/request_context.py), or an attribute of the row.
Lookup::Column Lookup::column(const std::string& name, const Layout& layout) const {
  if (name == "user_id") return {name, [](const Envelope& asked, const Row&) { return asked.user_id; }};
  const auto& context = tables_.features.context;
  if (std::find(context.begin(), context.end(), name) == context.end()) {
    return {name, [place = layout.place(name)](const Envelope&, const Row& row) {
              return std::get<std::string>(row[place]);
            }};
  }
  if (name == "region") return {name, [](const Envelope& asked, const Row&) { return asked.region; }};
  if (name == "hour") return {name, [this](const Envelope& asked, const Row&) { return clock_.hour(asked.as_of); }};
  if (name == "weekday")
    return {name, [this](const Envelope& asked, const Row&) { return clock_.weekday(asked.as_of); }};
  throw ArtifactError("the query tower asks for " + name + ", which this backend does not know");
}

Row Lookup::person(const std::vector<const Row*>& rows) const {
  if (rows.empty()) return unknown_;
  return rows.size() == 1 ? *rows[0] : merge(*rows[0], *rows[1], layout_, tables_.features);
}

Envelope Lookup::envelope(const Request& request, const Row& row, std::int64_t as_of, std::int64_t started_ms,
                          const std::string& variant) const {
  Envelope out;
  out.user_id = request.answered_id();
  set_wishes(out, request);
  out.region = request.region.empty() ? std::get<std::string>(row[at_.home_region]) : request.region;
  out.variant = variant;
  out.as_of = as_of;
  out.deadline = started_ms + request.deadline_ms;
  out.evidence = integer(row, at_.interaction_count);
  out.session_dwell_ms = integer(row, at_.session_dwell_ms);
  auto newest = integer(row, at_.last_event_time);
  std::int64_t age = -1;
  bool beyond = __builtin_sub_overflow(as_of, newest, &age);
  out.feature_age_ms = newest == 0 ? -1 : beyond ? 0 : std::max<std::int64_t>(0, age);
  return out;
}

void Lookup::set_wishes(Envelope& envelope, const Wishes& wishes) const {
  envelope.request_id = wishes.request_id;
  envelope.k = wishes.k;
  envelope.diversity = wishes.diversity;
  const Vocabulary& items = tables_.vocabulary("item_id");
  for (const std::string& id : wishes.exclude_ids) {
    if (auto code = items.code(id, pad); code != pad) envelope.excluded.push_back(code);
  }
  const CandidateFilter& wished = wishes.candidate_filter;
  envelope.filter = {{}, wished.price_min, wished.price_max, wished.available};
  if (wished.category.empty()) return;
  auto& categories = envelope.filter.categories.emplace();
  auto known = tables_.vocabularies.find(tables_.features.category);
  if (known == tables_.vocabularies.end()) return;
  for (const std::string& name : wished.category) {
    if (auto code = known->second.code(name, pad); code != pad) categories.push_back(code);
  }
}

Query Lookup::query(const Envelope& envelope, const Row& row) const {
  Query out;
  for (const Column& column : columns_) {
    out.user_codes.push_back(tables_.code(column.name, column.value(envelope, row)));
  }
  encode_recent(out, row, envelope.as_of);
  const Vocabulary& items = tables_.vocabulary("item_id");
  std::vector<bool> known(tables_.item_ids.size());
  auto add_seen = [&](const Texts& ids, std::size_t most) {
    for (std::size_t i = 0; i < std::min(most, ids.size()); ++i) {
      auto code = items.code(ids[i], pad);
      if (code == pad || known[code]) continue;
      known[code] = true;
      out.seen_items.push_back(code);
    }
  };
  add_seen(std::get<Texts>(row[at_.recent_item_ids]), tables_.features.recent_items);
  add_seen(std::get<Texts>(row[at_.seen_item_ids]), tables_.features.max_seen_items);
  encode_category_counts(out, row, envelope.as_of);
  return out;
}

void Lookup::encode_recent(Query& query, const Row& row, std::int64_t as_of) const {
  std::size_t width = tables_.features.recent_items;
  const Texts& ids = std::get<Texts>(row[at_.recent_item_ids]);
  const Integers& times = std::get<Integers>(row[at_.recent_event_times]);
  if (std::min(ids.size(), width) != std::min(times.size(), width)) {
    throw std::runtime_error("expected as many recent_event_times as recent_item_ids in a row");
  }
  std::size_t held = std::min(width, ids.size());
  query.recent_items.assign(width, pad);
  query.recent_weights.assign(width, 0);
  double newest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < held; ++i) newest = std::min(newest, age_ms(as_of, times[i]));
  for (std::size_t i = 0; i < held; ++i) {
    query.recent_items[i] = tables_.code("item_id", ids[i]);
    // Relative to the newest; what weighs too little to be seen beside it weighs nothing (contracts.blending).
    double halvings = (age_ms(as_of, times[i]) - newest) / (tables_.recent_half_life_hours * ms_per_hour);
    if (halvings <= most_halvings) query.recent_weights[i] = static_cast<float>(std::exp2(-halvings));
  }
}

void Lookup::encode_category_counts(Query& query, const Row& row, std::int64_t as_of) const {
  const auto& half_lives = tables_.features.count_half_lives_hours;
  std::size_t width = tables_.categories;
  query.category_counts.assign(half_lives.size() * width, 0);
  const Texts& names = std::get<Texts>(row[at_.count_categories]);
  double hours = age_ms(as_of, integer(row, at_.last_event_time)) / ms_per_hour;
  for (std::size_t j = 0; j < half_lives.size() && !names.empty(); ++j) {
    const Doubles& counts = std::get<Doubles>(row[at_.counts[j]]);
    if (counts.size() != names.size()) throw std::runtime_error("expected as many counts as count_categories in a row");
    std::vector<double> sums(width);
    for (std::size_t i = 0; i < names.size(); ++i) {
      sums[tables_.code(tables_.features.category, names[i])] += counts[i] * decay(hours, half_lives[j]);
    }
    for (std::size_t i = 0; i < width; ++i) query.category_counts[j * width + i] = static_cast<float>(sums[i]);
  }
}

}  // namespace trireme
