#include "retrieval.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "contracts.h"
#include "stages.h"

namespace trireme {
namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

template <class Score>
void choose(std::span<const Score> scores, const Mask& blocked, std::size_t number, Mask& chosen) {
  for (auto place : top_k(scores, blocked, number)) chosen[place] = 1;
}

/// What every source says of the candidates; -inf where it knows nobody.
void set_scores(Candidates& found, const std::array<SourceScores, std::size(sources)>& scores) {
  for (std::size_t s = 0; s < scores.size(); ++s) {
    found.scores[s].clear();
    for (auto code : found.ids) {
      auto at = [&](const auto& all) { return all.empty() ? none : static_cast<double>(all[code - first_value]); };
      found.scores[s].push_back(static_cast<float>(std::visit(at, scores[s])));
    }
  }
}

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
  auto scores = sources_(batch);
  for (std::size_t i = 0; i < batch.size(); ++i) merge(*batch[i], chosen(*batch[i], scores[i]), scores[i]);
}

Mask Retrieval::chosen(const Passage& passage, const Scores& scores) const {
  During choosing(Stage::top_k);
  const ServeSettings& settings = tables_.serve;
  const Envelope& envelope = passage.envelope;
  Mask blocked = blocked_items(tables_, popularity_, passage), out(tables_.items);
  for (std::size_t s = 0; s < std::size(proposing); ++s) {
    std::visit(
        [&](const auto& held) {
          if (!held.empty()) choose(std::span(held), blocked, settings.source_candidates[s], out);
        },
        scores[s]);
  }
  Vector trending = popularity_.trending(envelope.as_of, envelope.region);
  choose(std::span(*trending), blocked, settings.trending_candidates, out);
  if (const auto& half_lives = tables_.features.covisit_half_lives_hours; !half_lives.empty()) {
    std::span newest(passage.query.recent_items.data(), std::min<std::size_t>(1, passage.query.recent_items.size()));
    auto counts = covisits_.counts(envelope.as_of, newest, half_lives.back());
    for (double& count : counts) count = count > 0 ? count : none;
    choose(std::span<const double>(counts), blocked, settings.covisit_candidates, out);
  }
  choose_session(passage, blocked, *trending, out);
  return out;
}

/// Trending items of the running session's categories; most requests have no session and cost nothing.
void Retrieval::choose_session(const Passage& passage, const Mask& blocked, std::span<const double> trending,
                               Mask& chosen) const {
  auto weights = session_weights(tables_, passage.query);
  if (std::all_of(weights.begin(), weights.end(), [](double weight) { return weight == 0; })) return;
  std::vector<double> scores(trending.begin(), trending.end());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] *= weights[tables_.item_category[i + first_value]];
    if (!(scores[i] > 0)) scores[i] = none;
  }
  choose(std::span<const double>(scores), blocked, tables_.serve.session_candidates, chosen);
}

/// The chosen items, ordered by the merged score; of equals the smaller code is first.
void Retrieval::merge(Passage& passage, const Mask& chosen, const Scores& scores) const {
  During merging(Stage::merge);
  Candidates& found = passage.candidates;
  found = {};
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i]) found.ids.push_back(static_cast<std::int32_t>(i) + first_value);
  }
  set_scores(found, scores);
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
