#include "ranker_features.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "contracts.h"
#include "error.h"

namespace trireme {
namespace {

/// contracts.features: `popularity_168h` and the like; half-lives are printed as Python's `:g` does.
std::string hourly(const char* name, double hours) {
  char text[32];
  std::snprintf(text, sizeof text, "%gh", hours);
  return std::string(name) + text;
}

/// The same number for every candidate.
Column same(const Passage& passage, double value) {
  return Column(passage.candidates.ids.size(), static_cast<float>(value));
}

double unchanged(double value) {
  return value;
}
double log1p_of(double value) {
  return std::log1p(value);
}

}  // namespace

RankerFeatures::RankerFeatures(const Tables& tables, const Popularity& popularity, const Popularity& novelty,
                               const Covisits& covisits, const Derived& derived)
    : tables_(tables),
      popularity_(popularity),
      novelty_(novelty),
      covisits_(covisits),
      known_(Signals::known()),
      user_columns_(derived.query_columns.size() - 1) {
  know_user();
  know_popularity();
  know_categories();
  for (const std::string& column : tables.features.item_categorical) {
    know_item_values(column);
    item_columns_.push_back(&tables.codes_of(column));
  }
  know_covisits();
  if (tables.features.first_takes) know_first_takes();
  for (const auto& [name, values] : tables.item_numeric) {
    known_[name] = [held = &values](const Passage& passage) {
      Column out;
      for (auto code : passage.candidates.ids) out.push_back((*held)[code]);
      return out;
    };
  }
  for (const std::string& name : derived.ranker_continuous) {
    auto found = known_.find(name);
    if (found == known_.end())
      throw ArtifactError("the ranker asks for " + name + ", which this backend does not know");
    continuous_.push_back(found->second);
  }
  if (derived.ranker_categorical.size() != categorical_width()) {
    throw ArtifactError("the ranker asks for categorical columns that this backend does not know");
  }
}

void RankerFeatures::append_codes(const Passage& passage, std::vector<std::int64_t>& codes) const {
  for (auto code : passage.candidates.ids) {
    codes.insert(codes.end(), passage.query.user_codes.begin() + 1, passage.query.user_codes.end());
    for (auto column : item_columns_) codes.push_back((*column)[code]);
  }
}

std::vector<float> RankerFeatures::tiles(const Passage& passage, std::size_t rows) const {
  std::size_t number = passage.candidates.ids.size(), width = continuous_.size();
  std::vector<float> out((number + rows - 1) / rows * rows * width);
  for (std::size_t j = 0; j < width; ++j) {
    Column column = continuous_[j](passage);
    for (std::size_t start = 0; start < number; start += rows) {
      auto from = column.begin() + start;
      std::copy(from, from + std::min(rows, number - start), out.begin() + start * width + j * rows);
    }
  }
  return out;
}

void RankerFeatures::know_user() {
  known_["evidence"] = [](const Passage& passage) {
    return same(passage, std::log1p(static_cast<double>(passage.envelope.evidence)));
  };
  known_["session_dwell"] = [](const Passage& passage) {
    return same(passage, std::log1p(static_cast<double>(passage.envelope.session_dwell_ms) / ms_per_minute));
  };
}

void RankerFeatures::know_popularity() {
  for (double hours : tables_.features.popularity_half_lives_hours) {
    known_[hourly("popularity_", hours)] = [this, hours](const Passage& passage) {
      return at_candidates(passage, popularity_.counts(passage.envelope.as_of, hours), log1p_of);
    };
  }
  known_["item_age"] = [this](const Passage& passage) {
    return at_candidates(passage, popularity_.age_hours(passage.envelope.as_of), log1p_of);
  };
  known_["trending"] = [this](const Passage& passage) {
    auto demand = popularity_.trending(passage.envelope.as_of, passage.envelope.region);
    return at_candidates(passage, demand, [](double part) { return std::log(part + least_trending); });
  };
}

/// By half-life: the candidate's category among the user's decayed counts (0 where all has decayed), and all of them.
void RankerFeatures::know_categories() {
  const auto& half_lives = tables_.features.count_half_lives_hours;
  for (std::size_t j = 0; j < half_lives.size(); ++j) {
    auto counts = [j, width = tables_.categories](const Passage& passage) {
      return std::span(passage.query.category_counts).subspan(j * width, width);
    };
    auto total = [](std::span<const float> held) { return std::accumulate(held.begin(), held.end(), 0.0); };
    known_[hourly("category_share_", half_lives[j])] = [this, counts, total](const Passage& passage) {
      auto held = counts(passage);
      double all = total(held);
      Column out;
      for (auto code : passage.candidates.ids) {
        out.push_back(all > 1e-30 ? static_cast<float>(held[tables_.item_category[code]] / all) : 0);
      }
      return out;
    };
    known_[hourly("activity_", half_lives[j])] = [counts, total](const Passage& passage) {
      return same(passage, std::log1p(total(counts(passage))));
    };
  }
}

void RankerFeatures::know_item_values(const std::string& column) {
  known_["recent_share_" + column] = [=, this](const Passage& p) { return value_share(p, column, false, false); };
  known_["seen_share_" + column] = [=, this](const Passage& p) { return value_share(p, column, true, false); };
  known_["seen_count_" + column] = [=, this](const Passage& p) { return value_share(p, column, true, true); };
  known_["trend_" + column] = [=, this](const Passage& passage) {
    return at_candidates(passage, popularity_.trend(passage.envelope.as_of, column), unchanged);
  };
}

/// How much of the weight of recent or seen items has the candidate's value in a column; of counts, the log.
Column RankerFeatures::value_share(const Passage& passage, const std::string& column, bool seen, bool count) const {
  const Query& query = passage.query;
  const auto& items = seen ? query.seen_items : query.recent_items;
  const auto& codes = tables_.codes_of(column);
  std::vector<double> held(tables_.vocabulary(column).codes());
  double total = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    double weight = seen ? 1.0 : query.recent_weights[i];
    held[codes[items[i]]] += weight;
    total += weight;
  }
  Column out;
  for (auto code : passage.candidates.ids) {
    double number = held[codes[code]];
    out.push_back(static_cast<float>(count ? std::log1p(number) : number / std::max(total, 1e-30)));
  }
  return out;
}

void RankerFeatures::know_covisits() {
  auto recent = [](const Passage& passage, std::size_t first, std::size_t number) {
    std::span<const std::int64_t> items = passage.query.recent_items;
    first = std::min(first, items.size());
    return items.subspan(first, std::min(number, items.size() - first));
  };
  const auto& half_lives = tables_.features.covisit_half_lives_hours;
  for (double hours : half_lives) {
    known_[hourly("covisit_", hours)] = [=, this](const Passage& passage) {
      auto counts = covisits_.counts(passage.envelope.as_of, recent(passage, 0, 1), hours);
      return covisits_.log_share(counts, passage.envelope.as_of, passage.candidates.ids);
    };
  }
  if (half_lives.empty()) return;
  known_["covisit_evidence"] = [=, this, hours = half_lives.back()](const Passage& passage) {
    auto counts = covisits_.counts(passage.envelope.as_of, recent(passage, 0, 1), hours);
    return same(passage, std::log1p(std::accumulate(counts.begin(), counts.end(), 0.0)));
  };
  known_["covisit_earlier"] = [=, this, hours = half_lives.back()](const Passage& passage) {
    auto counts = covisits_.counts(passage.envelope.as_of, recent(passage, 1, 3), hours);
    return covisits_.log_share(counts, passage.envelope.as_of, passage.candidates.ids);
  };
}

/// Log rates of first takes: of the item by half-life, and of its value in each column over the middle one.
void RankerFeatures::know_first_takes() {
  const auto& half_lives = tables_.features.popularity_half_lives_hours;
  auto rate = [this](double hours, const std::string& column) {
    return [=, this](const Passage& passage) {
      return at_candidates(passage, novelty_.log_rate(passage.envelope.as_of, hours, column), unchanged);
    };
  };
  for (double hours : half_lives) known_[hourly("first_takes_", hours)] = rate(hours, "");
  for (const std::string& column : tables_.features.item_categorical) {
    known_["first_takes_" + column] = rate(half_lives[half_lives.size() / 2], column);
  }
}

}  // namespace trireme
