// What may be asked: the twin of contracts/requests.py, refusal by refusal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "contracts.h"

namespace trireme {

/// One checked request; the fields are those of contracts.requests.Request.
struct Request {
  std::string user_id;
  int k = default_k;
  std::string region;
  std::vector<std::string> exclude_ids;
  std::string request_id;
  int deadline_ms = default_deadline_ms;
};

/// Check a JSON body; a RequestError names the field, what was expected and what came.
Request parse_request(std::string_view body);

/// Check typed tensors' values; what is absent has its default.
Request check_typed(std::optional<std::string_view> user_id, std::optional<std::int64_t> k,
                    std::optional<std::string_view> region);

}  // namespace trireme
