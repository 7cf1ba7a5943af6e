#include "retrieval.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "arrays.h"
#include "contracts.h"
#include "error.h"

namespace trireme {
namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

template <class Number>
void append(std::vector<Number>& all, const std::vector<Number>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

template <class Score>
void choose(std::span<const Score> scores, const Mask& blocked, std::size_t number, Mask& chosen) {
  for (auto place : top_k(scores, blocked, number)) chosen[place] = 1;
}

/// The chosen items, ordered by the merged score; of equals the smaller code is first.
Candidates merged(const Mask& chosen, std::span<const float> two_tower, std::span<const double> similar,
                  double similar_weight) {
  Candidates found;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (!chosen[i]) continue;
    found.ids.push_back(static_cast<std::int32_t>(i) + first_value);
    found.two_tower.push_back(two_tower[i]);
    found.similar.push_back(static_cast<float>(similar[i]));
  }
  auto score = merged_score(found, similar_weight, 0, {});
  std::vector<std::size_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return score[a] > score[b]; });
  Candidates sorted;
  for (auto place : order) {
    sorted.ids.push_back(found.ids[place]);
    sorted.two_tower.push_back(found.two_tower[place]);
    sorted.similar.push_back(found.similar[place]);
  }
  return sorted;
}

}  // namespace

Mask blocked_items(const Tables& tables, const Popularity& popularity, const Passage& passage) {
  Mask blocked(tables.items);
  if (popularity.live()) {
    Vector appeared = popularity.appeared(passage.envelope.as_of);
    std::transform(appeared->begin(), appeared->end(), blocked.begin(), [](double there) { return there == 0; });
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

std::vector<double> merged_score(const Candidates& candidates, double similar_weight, double trend_weight,
                                 std::span<const double> trend) {
  auto two_tower = standardised(candidates.two_tower), similar = log_of_greatest(candidates.similar);
  std::vector<double> out(two_tower.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = (1 - similar_weight) * two_tower[i] + similar_weight * similar[i];
    if (!trend.empty()) out[i] += trend_weight * trend[i];
  }
  return out;
}

Neighbours::Neighbours(const Release& release, std::size_t items) : items_(items) {
  auto table = read_npz(release.read("retrieval/1/item_item.npz"));
  const Array& codes = table["neighbours"];
  weights_ = table["weights"].as<float>();
  if (codes.shape.size() != 2 || codes.shape[0] != items || weights_.size() != codes.size()) {
    throw ArtifactError("expected neighbours and weights of every item in item_item.npz");
  }
  width_ = codes.shape[1];
  for (auto code : codes.as<std::int64_t>()) {
    bool known = code >= first_value && code < static_cast<std::int64_t>(items) + first_value;
    neighbours_.push_back(static_cast<std::uint32_t>(known ? code - first_value : items));
  }
}

std::vector<double> Neighbours::scores(std::span<const std::int64_t> seen) const {
  std::vector<double> out(items_ + 1, seen.empty() ? none : 0.0);
  for (auto code : seen) {
    std::size_t start = (code - first_value) * width_;
    for (std::size_t i = start; i < start + width_; ++i) out[neighbours_[i]] += weights_[i];
  }
  out.pop_back();
  return out;
}

Retrieval::Retrieval(const Tables& tables, const Popularity& popularity, const Covisits& covisits,
                     const Release& release, std::shared_ptr<const OnnxLibrary> onnx)
    : tables_(tables),
      popularity_(popularity),
      covisits_(covisits),
      tower_(onnx, release.read("retrieval/1/query_tower.onnx")),
      embeddings_(release.read("retrieval/1/item_embeddings.npy")),
      neighbours_(release, tables.items) {
  if (embeddings_.items() != tables.items) throw ArtifactError("expected an embedding of every item");
}

void Retrieval::operator()(const Batch& batch) const {
  auto scores = embeddings_.scores(query_embeddings(batch), batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    find(*batch[i], std::span(scores).subspan(i * tables_.items, tables_.items));
  }
}

std::vector<float> Retrieval::query_embeddings(const Batch& batch) const {
  std::vector<std::int64_t> codes, recent;
  std::vector<float> weights;
  for (const Passage* passage : batch) {
    append(codes, passage->query.user_codes);
    append(recent, passage->query.recent_items);
    append(weights, passage->query.recent_weights);
  }
  auto rows = static_cast<std::int64_t>(batch.size());
  auto shape = [&](std::size_t numbers) { return std::vector{rows, static_cast<std::int64_t>(numbers) / rows}; };
  return tower_.run({{"user_codes", shape(codes.size()), &codes, nullptr},
                     {"recent_items", shape(recent.size()), &recent, nullptr},
                     {"recent_weights", shape(weights.size()), nullptr, &weights}},
                    "query_embedding", batch.size() * embeddings_.width());
}

void Retrieval::find(Passage& passage, std::span<const float> two_tower) const {
  const ServeSettings& settings = tables_.serve;
  const Envelope& envelope = passage.envelope;
  Mask blocked = blocked_items(tables_, popularity_, passage), chosen(tables_.items);
  auto similar = neighbours_.scores(passage.query.seen_items);
  choose(two_tower, blocked, settings.two_tower_candidates, chosen);
  choose(std::span<const double>(similar), blocked, settings.similar_candidates, chosen);
  Vector trending = popularity_.trending(envelope.as_of, envelope.region);
  choose(std::span(*trending), blocked, settings.trending_candidates, chosen);
  if (const auto& half_lives = tables_.features.covisit_half_lives_hours; !half_lives.empty()) {
    std::span newest(passage.query.recent_items.data(), std::min<std::size_t>(1, passage.query.recent_items.size()));
    auto counts = covisits_.counts(envelope.as_of, newest, half_lives.back());
    for (double& count : counts) count = count > 0 ? count : none;
    choose(std::span<const double>(counts), blocked, settings.covisit_candidates, chosen);
  }
  choose_session(passage, blocked, *trending, chosen);
  passage.candidates = merged(chosen, two_tower, similar, settings.similar_weight);
}

/// Trending items of the running session's categories; most requests have no session and cost nothing.
void Retrieval::choose_session(Passage& passage, const Mask& blocked, std::span<const double> trending,
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

}  // namespace trireme
