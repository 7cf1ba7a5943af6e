// Rows out of JSON: golden requests bring theirs along (contracts.tensors.GOLDEN_ROW).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "row.h"

namespace trireme {

/// A feature's kind by its name in contracts.features.ValueType.
Kind kind_of(const std::string& name);

/// A JSON value as one of a kind; null is the kind's empty value.
Value value_of(Kind kind, const nlohmann::json& raw);

/// The document of a golden_row tensor; a RequestError when it is none.
GoldenRow golden_row(const Layout& layout, std::string_view text);

}  // namespace trireme
