// Checks of single values of a request: contracts/request_values.py, word for word.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// contracts.errors.shown: short and printable, whatever came.
std::string shown(const nlohmann::json& value);

/// What a body says in JSON; a RequestError when it is too long or no JSON.
nlohmann::json document_of(std::string_view body);

/// The fields of an object, checked one by one; `of` says whose they are, `within` is put before a field's name.
class Fields {
 public:
  /// A RequestError when `raw` is no object or has a field that is not among the known ones.
  Fields(const nlohmann::json& raw, std::span<const char* const> known, const char* of, std::string within = "");

  std::string text(const char* name, bool required = false) const;
  std::vector<std::string> texts(const char* name, std::size_t most, const char* what) const;
  int integer(const char* name, int low, int high, int otherwise) const;
  std::optional<double> number(const char* name, std::int64_t low, std::int64_t high) const;
  bool boolean(const char* name, bool otherwise) const;
  std::string context(const char* name) const;

  /// A field's value, or nothing.
  const nlohmann::json* find(const char* name) const;

 private:
  std::string named(const char* name) const { return within_ + name; }

  const nlohmann::json& raw_;
  std::string within_;
};

}  // namespace trireme
