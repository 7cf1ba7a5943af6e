#include "impression.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>

#include "contracts.h"

namespace trireme {
namespace {

/// Avro's encoding, as far as a record needs it.
class Writer {
 public:
  explicit Writer(std::size_t expected = 0) { out_.reserve(expected); }

  void raw(std::string_view bytes) { out_ += bytes; }

  /// Zigzag, seven bits a byte, the lowest first.
  void number(std::int64_t value) {
    auto left = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
    for (; left > 0x7F; left >>= 7) out_ += static_cast<char>((left & 0x7F) | 0x80);
    out_ += static_cast<char>(left);
  }

  void text(std::string_view value) {
    number(static_cast<std::int64_t>(value.size()));
    out_ += value;
  }

  template <class Texts>
  void texts(const Texts& values) {
    if (std::size(values) > 0) {
      number(static_cast<std::int64_t>(std::size(values)));
      for (const auto& value : values) text(value);
    }
    number(0);
  }

  /// A table of numbers; those of `Number` that are of another type are converted.
  template <class Number, class Values>
  void table(const Values& values) {
    static_assert(sizeof(Number) == 4);
    std::vector<Number> held(std::begin(values), std::end(values));
    number(static_cast<std::int64_t>(held.size() * sizeof(Number)));
    out_.append(reinterpret_cast<const char*>(held.data()), held.size() * sizeof(Number));
  }

  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

template <class Texts>
std::string written(const Texts& values) {
  Writer out;
  out.texts(values);
  return out.take();
}

/// Where each item of an answer is among the candidates; -1: it is none.
std::vector<std::ptrdiff_t> places(const Tables& tables, const Passage& passage, const Answer& answer) {
  std::vector<std::pair<std::int64_t, std::size_t>> shown;  // code and position, by code
  for (std::size_t i = 0; i < answer.item_ids.size(); ++i) {
    shown.emplace_back(tables.vocabulary("item_id").code(answer.item_ids[i], pad), i);
  }
  std::sort(shown.begin(), shown.end());
  std::vector<std::ptrdiff_t> out(shown.size(), -1);
  const auto& ids = passage.candidates.ids;
  for (std::size_t place = 0; place < ids.size(); ++place) {
    auto found = std::lower_bound(shown.begin(), shown.end(), std::pair<std::int64_t, std::size_t>(ids[place], 0));
    if (found != shown.end() && found->first == ids[place]) out[found->second] = static_cast<std::ptrdiff_t>(place);
  }
  return out;
}

/// The ranker's inputs by position; 0 and NaN where it was not asked.
std::vector<std::int64_t> codes_of(const RankerFeatures& features, const Passage& passage,
                                   const std::vector<std::ptrdiff_t>& at) {
  std::vector<std::int64_t> out(at.size() * features.categorical_width(), pad), codes;
  if (passage.inputs.tiles.empty()) return out;
  Passage shown;
  shown.query.user_codes = passage.query.user_codes;
  for (auto place : at) {
    if (place >= 0) shown.candidates.ids.push_back(passage.candidates.ids[place]);
  }
  features.append_codes(shown, codes);
  auto next = codes.begin();
  for (std::size_t i = 0; i < at.size(); ++i) {
    auto width = static_cast<std::ptrdiff_t>(features.categorical_width());
    if (at[i] < 0) continue;
    std::copy(next, next + width, out.begin() + static_cast<std::ptrdiff_t>(i) * width);
    next += width;
  }
  return out;
}

std::vector<float> numbers_of(const RankerFeatures& features, const Passage& passage,
                              const std::vector<std::ptrdiff_t>& at) {
  std::size_t width = features.continuous_width();
  std::vector<float> out(at.size() * width, std::numeric_limits<float>::quiet_NaN());
  if (passage.inputs.tiles.empty()) return out;
  const auto& [tiles, rows] = passage.inputs;
  for (std::size_t i = 0; i < at.size(); ++i) {
    if (at[i] < 0) continue;
    auto place = static_cast<std::size_t>(at[i]);
    auto from = tiles.begin() + static_cast<std::ptrdiff_t>(place / rows * width * rows + place % rows);
    for (std::size_t j = 0; j < width; ++j) out[i * width + j] = from[static_cast<std::ptrdiff_t>(j * rows)];
  }
  return out;
}

}  // namespace

Impressions::Impressions(const Tables& tables, const RankerFeatures& features, const Derived& derived)
    : tables_(tables),
      features_(features),
      query_columns_(written(derived.query_columns)),
      sources_(written(sources)),
      categorical_columns_(written(derived.ranker_categorical)),
      continuous_columns_(written(derived.ranker_continuous)) {}

std::string Impressions::operator()(const Request& request, const Passage& passage, const Answer& answer) const {
  std::string_view user = request.user_id == request.anonymous_id ? std::string_view() : request.user_id;
  return record({user, "", request.anonymous_id, request.session_id, request.device, request.context}, passage, answer);
}

std::string Impressions::operator()(const SimilarRequest& request, const Passage& passage, const Answer& answer) const {
  return record({"", request.item_id, "", "", "", "{}"}, passage, answer);
}

// The order of the fields is that of contracts.impressions.FIELDS.
std::string Impressions::record(const Who& who, const Passage& passage, const Answer& answer) const {
  const Envelope& envelope = passage.envelope;
  const Query& query = passage.query;
  auto at = places(tables_, passage, answer);
  Writer out(4096 + at.size() * (64 + 4 * (features_.continuous_width() + features_.categorical_width())));
  const char header[] = {0, 0, 0, 0, impression_version};
  out.raw({header, sizeof header});
  out.text(answer.request_id);
  for (auto text : {who.user_id, who.item_id, who.anonymous_id, who.session_id, who.device, who.context}) {
    out.text(text);
  }
  out.text(envelope.region);
  out.number(envelope.as_of);
  out.text(answer.release);
  out.text(answer.variant);
  out.number(envelope.k);
  out.number(envelope.feature_age_ms);
  out.number(envelope.evidence);
  out.number(envelope.session_dwell_ms);
  std::map<std::string, std::string> skipped;
  for (const auto& [stage, reason] : answer.skipped) skipped[stage] = reason;
  if (!skipped.empty()) out.number(static_cast<std::int64_t>(skipped.size()));
  for (const auto& [stage, reason] : skipped) {
    out.text(stage);
    out.text(reason);
  }
  out.number(0);
  if (query.user_codes.empty()) {
    out.number(0);
  } else {
    out.raw(query_columns_);
  }
  out.table<std::int32_t>(query.user_codes);
  auto held = std::find(query.recent_items.begin(), query.recent_items.end(), pad) - query.recent_items.begin();
  out.table<std::int32_t>(std::span(query.recent_items).first(static_cast<std::size_t>(held)));
  out.table<float>(std::span(query.recent_weights).first(static_cast<std::size_t>(held)));
  out.table<float>(query.category_counts);
  out.texts(answer.item_ids);
  out.table<float>(answer.scores);
  out.texts(answer.sources);
  out.raw(sources_);
  constexpr float none = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> said, probabilities;
  for (auto place : at) {
    for (const auto& scores : passage.candidates.scores) said.push_back(place < 0 ? none : scores[place]);
    probabilities.push_back(place < 0 || passage.ranked.empty() ? none : passage.ranked[place]);
  }
  out.table<float>(said);
  out.table<float>(probabilities);
  out.raw(categorical_columns_);
  out.table<std::int32_t>(codes_of(features_, passage, at));
  out.raw(continuous_columns_);
  out.table<float>(numbers_of(features_, passage, at));
  return out.take();
}

bool is_shown(const Wishes& request) {
  return request.request_id != probe_request_id;
}

}  // namespace trireme
