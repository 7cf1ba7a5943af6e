#include "request_values.h"

#include <algorithm>

#include "contracts.h"
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

std::string joined(std::span<const char* const> names) {
  std::string out;
  for (const char* name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

void refuse_unknown(const Json& raw, std::span<const char* const> known, const char* of) {
  std::optional<std::string> first;
  for (const auto& [name, value] : raw.items()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string quoted = repr_text(name);
    std::string bare = quoted.substr(1, quoted.size() - 2);
    if (!first || bare < *first) first = bare;
  }
  if (first) throw RequestError(*first, std::string("is not a field of ") + of + "; known fields: " + joined(known));
}

const std::string& checked_text(const Json& value, const std::string& field, bool required) {
  if (!value.is_string() || (required && value.get_ref<const std::string&>().empty())) {
    throw RequestError(field,
                       std::string("expected a ") + (required ? "non-empty " : "") + "string, got " + shown(value));
  }
  const auto& text = value.get_ref<const std::string&>();
  if (auto number = length(text); number > max_id_chars) {
    throw RequestError(
        field, "expected at most " + std::to_string(max_id_chars) + " characters, got " + std::to_string(number));
  }
  if (!is_printable(text)) throw RequestError(field, "expected printable characters, got " + repr_text(text));
  return text;
}

}  // namespace

std::string shown(const Json& value) {
  if (value.is_string()) return repr_text(value.get_ref<const std::string&>());
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number_float()) return repr_number(value.get<double>());
  return value.is_number() ? value.dump() : "a " + type_name(value);
}

Json document_of(std::string_view body) {
  if (body.size() > max_body_bytes) {
    throw RequestError(
        "body", "expected at most " + std::to_string(max_body_bytes) + " bytes, got " + std::to_string(body.size()));
  }
  Json raw = Json::parse(body, nullptr, false);
  if (raw.is_discarded()) throw RequestError("body", "expected a JSON object, got " + repr_bytes(body));
  return raw;
}

Fields::Fields(const Json& raw, std::span<const char* const> known, const char* of, std::string within)
    : raw_(raw), within_(std::move(within)) {
  if (!raw.is_object()) throw RequestError("body", "expected a JSON object, got " + type_name(raw));
  refuse_unknown(raw, known, of);
}

const Json* Fields::find(const char* name) const {
  auto found = raw_.find(name);
  return found == raw_.end() ? nullptr : &*found;
}

std::string Fields::text(const char* name, bool required) const {
  const Json* value = find(name);
  if (!value && !required) return "";
  return checked_text(value ? *value : Json(), named(name), required);
}

std::vector<std::string> Fields::texts(const char* name, std::size_t most, const char* what) const {
  std::vector<std::string> out;
  const Json* value = find(name);
  if (!value) return out;
  if (!value->is_array() || value->size() > most) {
    std::string got = value->is_array() ? std::to_string(value->size()) : shown(*value);
    throw RequestError(named(name), "expected a list of at most " + std::to_string(most) + " " + what + ", got " + got);
  }
  for (const Json& item : *value) out.push_back(checked_text(item, named(name), true));
  return out;
}

int Fields::integer(const char* name, int low, int high, int otherwise) const {
  const Json* value = find(name);
  if (!value) return otherwise;
  // Beyond 64 bits an integer is read as a float, and refused all the same.
  bool fits = value->is_number_unsigned() ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(high)
                                          : value->is_number_integer() && value->get<std::int64_t>() <= high;
  if (!fits || value->get<std::int64_t>() < low) {
    throw RequestError(named(name), "expected an integer from " + std::to_string(low) + " to " + std::to_string(high) +
                                        ", got " + shown(*value));
  }
  return value->get<int>();
}

std::optional<double> Fields::number(const char* name, std::int64_t low, std::int64_t high) const {
  const Json* value = find(name);
  if (!value) return {};
  if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high)) {
    throw RequestError(named(name), "expected a number from " + std::to_string(low) + " to " + std::to_string(high) +
                                        ", got " + shown(*value));
  }
  return value->get<double>();
}

bool Fields::boolean(const char* name, bool otherwise) const {
  const Json* value = find(name);
  if (!value) return otherwise;
  if (!value->is_boolean()) throw RequestError(named(name), "expected true or false, got " + shown(*value));
  return value->get<bool>();
}

std::string Fields::context(const char* name) const {
  const Json* value = find(name);
  if (!value) return "{}";
  if (!value->is_object() || value->size() > max_context) {
    std::string got = value->is_object() ? std::to_string(value->size()) : shown(*value);
    throw RequestError(named(name),
                       "expected an object of at most " + std::to_string(max_context) + " names, got " + got);
  }
  for (const auto& [inner, held] : value->items()) {
    if (held.is_string()) {
      checked_text(held, named(name), false);
    } else if (!held.is_boolean() && !held.is_number()) {
      throw RequestError(named(name), "expected strings, numbers, true or false, got " + shown(held));
    }
    checked_text(inner, named(name), true);
  }
  return value->dump();
}

}  // namespace trireme
