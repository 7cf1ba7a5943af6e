// What may be asked: the twin of contracts/requests.py, refusal by refusal.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "contracts.h"

namespace trireme {

/// Which items may be answered: contracts.requests.CandidateFilter.
struct CandidateFilter {
  std::vector<std::string> category;  ///< none named is all
  std::optional<double> price_min, price_max;
  bool available = true;
};

/// What every kind of request may ask for.
struct Wishes {
  int k = default_k;
  std::string region;
  std::vector<std::string> exclude_ids;
  std::string request_id;
  int deadline_ms = default_deadline_ms;
  CandidateFilter candidate_filter;
  double diversity = 0;
};

/// One checked request; the fields are those of contracts.requests.Request.
struct Request : Wishes {
  std::string user_id, anonymous_id, device, session_id;
  std::string context = "{}";  ///< JSON, names in their order

  /// Whose list it is: the user's, else that of the anonymous id.
  const std::string& answered_id() const { return user_id.empty() ? anonymous_id : user_id; }
};

/// contracts.requests.SimilarRequest.
struct SimilarRequest : Wishes {
  std::string item_id;
};

/// What a body asks: one request, or a batch of them, each of which is a request or its refusal.
struct Body {
  bool batch = false;
  std::vector<std::variant<Request, std::string>> elements;
};

/// Check a JSON body; a RequestError names the field, what was expected and what came.
Request parse_request(std::string_view body);
Body parse_body(std::string_view body);
SimilarRequest parse_similar(std::string_view body);

/// Check the values of typed tensors, by name.
Request check_typed(const nlohmann::json& raw);
SimilarRequest check_similar(const nlohmann::json& raw);

/// A text of a typed tensor; a RequestError when it is no UTF-8.
std::string decoded(std::string_view bytes, const char* field);

}  // namespace trireme
