#include "listed.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace trireme {

void fill(Listed& list, std::size_t k, Mask blocked, const Demand& trending) {
  if (list.codes.size() >= k) return;
  for (auto code : list.codes) blocked[code - first_value] = 1;
  double last = 1;
  for (double score : list.scores) last = std::min(last, score);
  for (auto place : trending.best(blocked, k - list.codes.size())) {
    list.codes.push_back(place + first_value);
    list.scores.push_back(trending[place] * last);
    list.sources.push_back("trending");
  }
}

Answer answer_of(Envelope envelope, Listed list, const Tables& tables) {
  Answer answer;
  if (std::size_t number = list.codes.size(); number < static_cast<std::size_t>(envelope.k)) {
    envelope.skipped.emplace_back(
        "cold_start", std::to_string(number) + " of " + std::to_string(envelope.k) + " items: no others may be listed");
  }
  answer.request_id = envelope.request_id.empty() ? new_request_id() : std::move(envelope.request_id);
  answer.user_id = std::move(envelope.user_id);
  for (auto code : list.codes) answer.item_ids.push_back(tables.item_ids[code]);
  for (double score : list.scores) {
    if (!std::isfinite(score)) throw std::runtime_error("a score is no number");
    answer.scores.push_back(static_cast<float>(score));
  }
  answer.sources = std::move(list.sources);
  answer.release = tables.release;
  answer.variant = std::move(envelope.variant);
  answer.feature_age_ms = envelope.feature_age_ms;
  answer.skipped = std::move(envelope.skipped);
  return answer;
}

}  // namespace trireme
