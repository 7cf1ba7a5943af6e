#include "answer.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

namespace trireme {

std::string Answer::to_json() const {
  nlohmann::ordered_json document = {{"request_id", request_id},
                                     {subject, user_id},
                                     {"item_ids", item_ids},
                                     {"scores", std::vector<double>(scores.begin(), scores.end())},
                                     {"sources", sources},
                                     {"release", release},
                                     {"variant", variant},
                                     {"feature_age_ms", feature_age_ms},
                                     {"skipped", nlohmann::json::array()}};
  for (const auto& [stage, reason] : skipped) document["skipped"].push_back({{"stage", stage}, {"reason", reason}});
  // A reason may quote what came; whatever is no UTF-8 is replaced, for an answer is always JSON.
  return document.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

std::string batch_json(std::span<const Answer> answers, const std::vector<std::string>& refusals) {
  std::string out;
  auto answer = answers.begin();
  for (const std::string& refusal : refusals) {
    nlohmann::json error = {{"error", refusal}};
    out += out.empty() ? "{\"answers\":[" : ",";
    out += refusal.empty() ? (answer++)->to_json() : error.dump(-1, ' ', true);
  }
  return out + "]}";
}

std::string new_request_id() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  std::uint64_t high = (generator() & ~0xF000ull) | 0x4000, low = (generator() >> 2) | 1ull << 63;
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(high),
                static_cast<unsigned long long>(low));
  return text;
}

}  // namespace trireme
