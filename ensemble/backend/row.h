// A user's raw row: its features by place, out of Feast's bytes (contracts/online_layout.py) or out of JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace trireme {

/// How a raw value lies in the online store (contracts.features.ValueType).
enum class Kind { text, integer, texts, integers, doubles };

using Texts = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;
using Doubles = std::vector<double>;
/// Its alternatives are in the order of Kind.
using Value = std::variant<std::string, std::int64_t, Texts, Integers, Doubles>;
using Row = std::vector<Value>;

/// A raw row that came with its request, and the instant for which the answer holds, ms.
struct GoldenRow {
  Row row;
  std::int64_t as_of;
};

/// One feature of a view: the hash field that holds it, and what a user without a row has.
struct Feature {
  std::string name;
  Kind kind;
  std::string field;
  Value otherwise;
};

/// Every feature of every view, in the order in which they are read.
struct Layout {
  std::string entity;
  std::vector<Feature> features;

  /// Where a feature lies; an ArtifactError when no view has it.
  std::size_t place(const std::string& name) const;

  /// The Redis key of the hash that holds all rows of an entity.
  std::string key(std::string_view value) const;

  /// The row of a user never seen.
  Row empty() const;

  /// A row from the values of its fields; a StoreError when bytes are not those of a feature's kind.
  Row decode(const std::vector<std::optional<std::string>>& values) const;
};

/// The value in Feast's bytes; a StoreError when they are not those of `kind`.
Value decode_value(Kind kind, std::string_view bytes);

}  // namespace trireme
