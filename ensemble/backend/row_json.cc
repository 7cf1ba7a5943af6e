#include "row_json.h"

#include "contracts.h"
#include "error.h"

namespace trireme {
namespace {

using Json = nlohmann::json;

template <class Held>
Value held(const Json& raw) {
  return raw.is_null() ? Held() : raw.get<Held>();
}

/// The JSON library would cut a float off, or worse.
std::int64_t integer(const Json& raw) {
  if (!raw.is_number_integer()) throw RequestError("golden_row", "expected an integer, got " + raw.dump());
  return raw.get<std::int64_t>();
}

Value integers(const Json& raw) {
  Integers out;
  for (const Json& number : raw) out.push_back(integer(number));
  return out;
}

}  // namespace

Kind kind_of(const std::string& name) {
  const std::map<std::string, Kind> kinds = {{"STRING", Kind::text},
                                             {"INT64", Kind::integer},
                                             {"STRING_LIST", Kind::texts},
                                             {"INT64_LIST", Kind::integers},
                                             {"DOUBLE_LIST", Kind::doubles}};
  auto found = kinds.find(name);
  if (found == kinds.end()) throw ArtifactError("a feature is of kind " + name + ", which this backend cannot read");
  return found->second;
}

Value value_of(Kind kind, const Json& raw) {
  switch (kind) {
    case Kind::text:
      return held<std::string>(raw);
    case Kind::integer:
      return raw.is_null() ? 0 : integer(raw);
    case Kind::texts:
      return held<Texts>(raw);
    case Kind::integers:
      return integers(raw);
    default:
      return held<Doubles>(raw);
  }
}

GoldenRow golden_row(const Layout& layout, std::string_view text) {
  try {
    Json document = Json::parse(text);
    GoldenRow golden{{}, integer(document.at("as_of"))};
    for (const Feature& feature : layout.features) {
      golden.row.push_back(value_of(feature.kind, document.at("row").at(feature.name)));
    }
    return golden;
  } catch (const Json::exception& error) {
    throw RequestError("golden_row", error.what());
  }
}

}  // namespace trireme
