#include "retrieval.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "contracts.h"
#include "stages.h"

namespace trireme {
namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

template <class Number>
void reorder(std::vector<Number>& numbers, const std::vector<std::size_t>& order) {
  std::vector<Number> out;
  out.reserve(order.size());
  for (auto place : order) out.push_back(numbers[place]);
  numbers = std::move(out);
}

}  // namespace

Mask blocked_items(const Tables& tables, const Popularity& popularity, const Passage& passage) {
  Mask blocked = passage.shelf->blocked(passage.envelope.filter);
  if (popularity.live()) {
    Vector appeared = popularity.appeared(passage.envelope.as_of);
    for (std::size_t i = 0; i < blocked.size(); ++i) blocked[i] |= (*appeared)[i] == 0;
  }
  if (tables.serve.exclude_seen) {
    for (auto code : passage.query.seen_items) blocked[code - first_value] = 1;
  }
  for (auto code : passage.envelope.excluded) blocked[code - first_value] = 1;
  return blocked;
}

std::vector<double> session_weights(const Tables& tables, const Query& query) {
  // Counts of the shortest half-life; known categories only: what is unknown of two items makes them no kin.
  std::vector<double> weights(query.category_counts.begin(), query.category_counts.begin() + tables.categories);
  std::fill_n(weights.begin(), first_value, 0.0);
  double total = std::accumulate(weights.begin(), weights.end(), 0.0) + 1;
  for (double& weight : weights) {
    weight /= total;
    if (weight < 1e-3) weight = 0;  // a session long over
  }
  return weights;
}

Retrieval::Retrieval(const Tables& tables, const Popularity& popularity, const Covisits& covisits,
                     const Signals& signals, const Release& release, std::shared_ptr<const OnnxLibrary> onnx)
    : tables_(tables),
      popularity_(popularity),
      covisits_(covisits),
      signals_(signals),
      sources_(release, tables.items, onnx),
      weights_(Signals::weights(release.blend.signals)) {}

void Retrieval::operator()(const Batch& batch) const {
  auto queries = sources_.queries(batch);
  std::size_t width = sources_.items().width();
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Scores scores(sources_, batch[i]->query, std::span(queries).subspan(i * width, width));
    merge(*batch[i], chosen(*batch[i], scores), scores);
  }
}

/// Codes in their order.
std::vector<std::int32_t> Retrieval::chosen(const Passage& passage, const Scores& scores) const {
  During choosing(Stage::top_k);
  const ServeSettings& settings = tables_.serve;
  const Envelope& envelope = passage.envelope;
  Mask blocked = blocked_items(tables_, popularity_, passage);
  std::vector<std::int32_t> codes;
  auto choose = [&](const std::vector<std::uint32_t>& places) {
    for (auto place : places) codes.push_back(static_cast<std::int32_t>(place) + first_value);
  };
  for (std::size_t s = 0; s < std::size(proposing); ++s) {
    choose(scores.best(s, blocked, settings.source_candidates[s]));
  }
  auto trending = popularity_.trending(envelope.as_of, envelope.region);
  choose(trending->best(blocked, settings.trending_candidates));
  if (const auto& half_lives = tables_.features.covisit_half_lives_hours; !half_lives.empty()) {
    std::span newest(passage.query.recent_items.data(), std::min<std::size_t>(1, passage.query.recent_items.size()));
    auto counts = covisits_.counts(envelope.as_of, newest, half_lives.back());
    for (double& count : counts) count = count > 0 ? count : none;
    choose(top_k(std::span<const double>(counts), blocked, settings.covisit_candidates));
  }
  choose(of_session(passage, blocked, *trending));
  std::sort(codes.begin(), codes.end());
  codes.erase(std::unique(codes.begin(), codes.end()), codes.end());
  return codes;
}

/// Places of trending items of the running session's categories; most requests have no session and cost nothing.
std::vector<std::uint32_t> Retrieval::of_session(const Passage& passage, const Mask& blocked,
                                                 const Demand& trending) const {
  auto weights = session_weights(tables_, passage.query);
  if (std::all_of(weights.begin(), weights.end(), [](double weight) { return weight == 0; })) return {};
  auto weighted = [&](std::size_t place, double demand) {
    return demand * weights[tables_.item_category[place + first_value]];
  };
  return trending.best(blocked, tables_.serve.session_candidates, weighted,
                       *std::max_element(weights.begin(), weights.end()));
}

/// The chosen items, ordered by the merged score; of equals the smaller code is first.
void Retrieval::merge(Passage& passage, std::vector<std::int32_t> chosen, const Scores& scores) const {
  During merging(Stage::merge);
  Candidates& found = passage.candidates;
  found = {};
  found.ids = std::move(chosen);
  for (std::size_t s = 0; s < std::size(sources); ++s) found.scores[s] = scores.of(s, found.ids);
  signals_(passage);
  auto merged = Signals::sum(found, weights_);
  std::vector<std::size_t> order(merged.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return merged[a] > merged[b]; });
  reorder(found.ids, order);
  for (auto& source : found.scores) reorder(source, order);
  for (auto& signal : found.signals) reorder(signal, order);
}

}  // namespace trireme
