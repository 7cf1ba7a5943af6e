// What is answered: contracts.requests.Answer and its JSON.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trireme {

/// Lists are in the order of recommendation; sources are "personal", "similar" or "trending".
struct Answer {
  std::string request_id, user_id;
  const char* subject = "user_id";  ///< what `user_id` is called: "item_id" in an answer to an item's request
  std::vector<std::string> item_ids;
  std::vector<float> scores;
  std::vector<const char*> sources;
  std::string release, variant;
  std::int64_t feature_age_ms = -1;
  std::vector<std::pair<std::string, std::string>> skipped;  ///< (stage, reason)

  std::string to_json() const;
};

/// The JSON that answers a batch: the refusals of its elements, and where there is none ("") the next answer.
std::string batch_json(std::span<const Answer> answers, const std::vector<std::string>& refusals);

/// A request id for a client that sent none: a random UUID as 32 hexadecimal letters.
std::string new_request_id();

}  // namespace trireme
