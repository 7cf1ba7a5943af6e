#include "request.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "error.h"
#include "text.h"

namespace trireme {
namespace {

using Json = nlohmann::json;

std::string type_name(const Json& value) {
  if (value.is_array()) return "list";
  if (value.is_object()) return "dict";
  if (value.is_string()) return "str";
  if (value.is_null()) return "NoneType";
  if (value.is_boolean()) return "bool";
  return value.is_number_float() ? "float" : "int";
}

/// contracts.errors.shown: short and printable, whatever came.
std::string shown(const Json& value) {
  if (value.is_string()) return repr_text(value.get_ref<const std::string&>());
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number_float()) return repr_number(value.get<double>());
  return value.is_number() ? value.dump() : "a " + type_name(value);
}

std::string known_fields() {
  std::string out;
  for (const char* name : request_fields) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

void refuse_unknown(const Json& raw) {
  std::optional<std::string> first;
  for (const auto& [name, value] : raw.items()) {
    if (std::find(std::begin(request_fields), std::end(request_fields), name) != std::end(request_fields)) continue;
    std::string quoted = repr_text(name);
    std::string bare = quoted.substr(1, quoted.size() - 2);
    if (!first || bare < *first) first = bare;
  }
  if (first) throw RequestError(*first, "is not a field of a request; known fields: " + known_fields());
}

std::string text_of(const Json* value, const char* field, bool required) {
  if (!value && !required) return "";
  if (!value || !value->is_string() || (required && value->get_ref<const std::string&>().empty())) {
    throw RequestError(field, std::string("expected a ") + (required ? "non-empty " : "") + "string, got " +
                                  (value ? shown(*value) : "None"));
  }
  const auto& text = value->get_ref<const std::string&>();
  if (auto number = length(text); number > max_id_chars) {
    throw RequestError(
        field, "expected at most " + std::to_string(max_id_chars) + " characters, got " + std::to_string(number));
  }
  if (!is_printable(text)) throw RequestError(field, "expected printable characters, got " + repr_text(text));
  return text;
}

int integer_of(const Json* value, const char* field, int low, int high, int otherwise) {
  if (!value) return otherwise;
  // Beyond 64 bits an integer is read as a float, and refused all the same.
  bool fits = value->is_number_unsigned() ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(high)
                                          : value->is_number_integer() && value->get<std::int64_t>() <= high;
  if (!fits || value->get<std::int64_t>() < low) {
    throw RequestError(field, "expected an integer from " + std::to_string(low) + " to " + std::to_string(high) +
                                  ", got " + shown(*value));
  }
  return value->get<int>();
}

std::vector<std::string> excluded_of(const Json* value) {
  std::vector<std::string> ids;
  if (!value) return ids;
  for (const Json& item : *value) ids.push_back(text_of(&item, "exclude_ids", true));
  return ids;
}

Request check(const Json& raw) {
  if (!raw.is_object()) throw RequestError("body", "expected a JSON object, got " + type_name(raw));
  refuse_unknown(raw);
  auto field = [&](const char* name) {
    auto found = raw.find(name);
    return found == raw.end() ? nullptr : &*found;
  };
  const Json* excluded = field("exclude_ids");
  if (excluded && (!excluded->is_array() || excluded->size() > max_excluded)) {
    std::string got = excluded->is_array() ? std::to_string(excluded->size()) : shown(*excluded);
    throw RequestError("exclude_ids",
                       "expected a list of at most " + std::to_string(max_excluded) + " item ids, got " + got);
  }
  Request request;
  request.user_id = text_of(field("user_id"), "user_id", true);
  request.k = integer_of(field("k"), "k", 1, max_k, default_k);
  request.region = text_of(field("region"), "region", false);
  request.exclude_ids = excluded_of(excluded);
  request.request_id = text_of(field("request_id"), "request_id", false);
  request.deadline_ms = integer_of(field("deadline_ms"), "deadline_ms", 1, max_deadline_ms, default_deadline_ms);
  return request;
}

std::string decoded(std::string_view bytes, const char* field) {
  if (!is_utf8(bytes)) throw RequestError(field, "expected UTF-8, got " + repr_bytes(bytes));
  return std::string(bytes);
}

}  // namespace

Request parse_request(std::string_view body) {
  if (body.size() > max_body_bytes) {
    throw RequestError(
        "body", "expected at most " + std::to_string(max_body_bytes) + " bytes, got " + std::to_string(body.size()));
  }
  Json raw = Json::parse(body, nullptr, false);
  if (raw.is_discarded()) throw RequestError("body", "expected a JSON object, got " + repr_bytes(body));
  return check(raw);
}

Request check_typed(std::optional<std::string_view> user_id, std::optional<std::int64_t> k,
                    std::optional<std::string_view> region) {
  if (!user_id) throw RequestError("user_id", "expected a non-empty string, got none");
  Json raw = {{"user_id", decoded(*user_id, "user_id")}};
  if (k) raw["k"] = *k;
  if (region) raw["region"] = decoded(*region, "region");
  return check(raw);
}

}  // namespace trireme
