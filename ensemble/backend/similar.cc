#include "similar.h"

#include <algorithm>
#include <cmath>

#include "contracts.h"
#include "diversity.h"
#include "retrieval.h"

namespace trireme {
namespace {

/// What is above 0, as parts of the greatest among all items but one (a place), each weighed, added to a sum.
void add_parts(std::vector<double>& sum, std::vector<double> values, std::size_t but, double weight) {
  values[but] = 0;
  double greatest = 1e-30;
  for (double value : values) greatest = std::max(greatest, value);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += weight * (std::max(values[i], 0.0) / greatest);
}

}  // namespace

SimilarItems::SimilarItems(const Tables& tables, const Popularity& popularity, const Covisits& covisits,
                           const Sources& sources)
    : tables_(tables), popularity_(popularity), covisits_(covisits), sources_(sources) {
  for (std::size_t i = 0; i < tables.items; ++i) {
    double squares = 0;
    for (float part : sources.items().row(i + first_value)) squares += double{part} * part;
    lengths_.push_back(std::max(std::sqrt(squares), least_length));
  }
}

Answer SimilarItems::operator()(const SimilarRequest& request, const Lookup& lookup, const Shelves& shelves,
                                std::int64_t as_of, bool recorded, const std::string& variant) const {
  Passage passage;
  Envelope& envelope = passage.envelope;
  envelope.user_id = request.item_id;
  envelope.region = request.region;
  envelope.as_of = as_of;
  envelope.variant = variant;
  lookup.set_wishes(envelope, request);
  passage.shelf = recorded ? shelves.recorded() : shelves.now();
  auto item = tables_.vocabulary("item_id").code(request.item_id, out_of_vocabulary);
  bool known = item != out_of_vocabulary;
  if (known) {
    envelope.excluded.push_back(item);
  } else {
    envelope.skipped.emplace_back("retrieval", "no item of the release has this id");
  }
  Mask blocked = blocked_items(tables_, popularity_, passage);
  auto trending = popularity_.trending(as_of, envelope.region);
  Listed list;
  if (known) {
    list = like(passage, item, blocked);
    const auto& category = passage.shelf->category;
    auto own = category[item - first_value];
    Mask others = blocked;
    for (std::size_t i = 0; i < others.size(); ++i) others[i] |= category[i] != own || own <= null_code;
    fill(list, envelope.k, std::move(others), *trending);
  }
  fill(list, envelope.k, std::move(blocked), *trending);
  Answer answer = answer_of(std::move(envelope), std::move(list), tables_);
  answer.subject = "item_id";
  return answer;
}

std::vector<double> SimilarItems::scores(std::int64_t code, std::int64_t as_of) const {
  const ServeSettings& serve = tables_.serve;
  std::vector<double> sum(tables_.items);
  auto place = static_cast<std::size_t>(code - first_value);
  add_parts(sum, sources_.neighbours().of(code), place, serve.similar_item_item);
  auto vector = sources_.items().row(code);
  auto products = sources_.items().scores({vector.begin(), vector.end()});
  std::vector<double> cosines(products.begin(), products.end());
  for (std::size_t i = 0; i < cosines.size(); ++i) cosines[i] /= lengths_[i];
  add_parts(sum, std::move(cosines), place, serve.similar_two_tower);
  if (const auto& hours = tables_.features.covisit_half_lives_hours; !hours.empty()) {
    add_parts(sum, covisits_.counts(as_of, std::span(&code, 1), hours.back()), place, serve.similar_covisits);
  }
  return sum;
}

/// What goes with an item, best first.
Listed SimilarItems::like(const Passage& passage, std::int64_t code, const Mask& blocked) const {
  const Envelope& envelope = passage.envelope;
  auto score = scores(code, envelope.as_of);
  Mask out = blocked;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] |= !(score[i] > 0);
  std::size_t k = envelope.k;
  auto places = top_k(std::span<const double>(score), out, envelope.diversity > 0 ? std::max(k, diversity_pool) : k);
  std::vector<std::size_t> order(std::min(k, places.size()));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (envelope.diversity > 0) {
    std::vector<std::span<const float>> vectors;
    for (auto at : places) vectors.push_back(sources_.items().row(at + first_value));
    order = spread_out(vectors, k, envelope.diversity);
  }
  Listed list;
  for (auto i : order) {
    list.codes.push_back(places[i] + first_value);
    list.scores.push_back(score[places[i]]);
    list.sources.push_back("similar");
  }
  return list;
}

}  // namespace trireme
