#include "cold_start.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "contracts.h"
#include "diversity.h"
#include "retrieval.h"

namespace trireme {
namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

/// A weight from 0 to 1 that grows with the square of evidence and is one half at `half`; 1 throughout where that is 0.
double trust(double evidence, double half) {
  double square = evidence * evidence;
  return half == 0 ? 1 : square / (square + half * half);
}

/// contracts.blending.personal_score of one candidate.
double personal_score(double probability, double retrieval, const Blend& blend) {
  if (std::isnan(probability)) return retrieval;
  return blend.spread * (std::log(std::max(probability, least_probability)) + blend.retrieval_weight * retrieval);
}

}  // namespace

ColdStart::ColdStart(const Tables& tables, const Popularity& popularity, const Blend& blend, const Embeddings& vectors)
    : tables_(tables),
      popularity_(popularity),
      blend_(blend),
      weights_(Signals::weights(blend.signals)),
      vectors_(vectors) {}

Answer ColdStart::operator()(const Passage& passage) const {
  const Envelope& envelope = passage.envelope;
  auto trending = popularity_.trending(envelope.as_of, envelope.region);
  Listed list = listed(passage, *trending);
  if (list.codes.size() < static_cast<std::size_t>(envelope.k)) {
    fill(list, envelope.k, blocked_items(tables_, popularity_, passage), *trending);
  }
  return answer_of(envelope, std::move(list), tables_);
}

/// The personal part of contracts.blending.by_evidence, before its weight: the score over its greatest, from 0 to 1.
std::vector<double> ColdStart::personal(const Passage& passage, const Column& two_tower) const {
  auto retrieval = Signals::sum(passage.candidates, weights_);
  double weight = trust(static_cast<double>(passage.envelope.evidence), blend_.ranker_evidence_half);
  std::vector<double> mixed(retrieval.size());
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    double logged = personal_score(passage.ranked[i], retrieval[i], blend_);
    mixed[i] = std::isfinite(logged) ? weight * logged + (1 - weight) * two_tower[i] : none;
  }
  double greatest = mixed.empty() ? none : *std::max_element(mixed.begin(), mixed.end());
  for (double& score : mixed) score = std::exp(score - (std::isfinite(greatest) ? greatest : 0));
  return mixed;
}

Listed ColdStart::listed(const Passage& passage, const Demand& trending) const {
  const Candidates& found = passage.candidates;
  const ServeSettings& settings = tables_.serve;
  double weight = trust(static_cast<double>(passage.envelope.evidence), blend_.evidence_half);
  const Column& two_tower = found.signals[score_signal(source_place("two_tower"))];
  const Column& similar = found.signals[score_signal(source_place("similar"))];
  auto score = personal(passage, two_tower), in_session = session_weights(tables_, passage.query);
  std::vector<double> final(found.ids.size());
  std::vector<const char*> sources(found.ids.size());
  for (std::size_t i = 0; i < final.size(); ++i) {
    auto code = found.ids[i];
    double own = weight * score[i] + settings.session_weight * in_session[tables_.item_category[code]];
    double common = (1 - weight) * trending[code - first_value];
    final[i] = own + common;
    sources[i] = common > own ? "trending" : similar[i] > two_tower[i] ? "similar" : "personal";
  }
  Listed list;
  for (auto place : best(passage, final)) {
    list.codes.push_back(found.ids[place]);
    list.scores.push_back(final[place]);
    list.sources.push_back(sources[place]);
  }
  return list;
}

/// Places of the k best candidates, or of k good and unlike ones where the request asks for diversity.
std::vector<std::uint32_t> ColdStart::best(const Passage& passage, const std::vector<double>& final) const {
  std::size_t k = passage.envelope.k;
  double diversity = passage.envelope.diversity;
  auto places = top_k(std::span(final), Mask(final.size()), diversity > 0 ? std::max(k, diversity_pool) : k);
  if (diversity == 0) return places;
  std::vector<std::span<const float>> vectors;
  for (auto place : places) vectors.push_back(vectors_.row(passage.candidates.ids[place]));
  std::vector<std::uint32_t> out;
  for (auto i : spread_out(vectors, k, diversity)) out.push_back(places[i]);
  return out;
}

}  // namespace trireme
