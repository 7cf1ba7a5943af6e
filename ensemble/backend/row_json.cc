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
      return held<std::int64_t>(raw);
    case Kind::texts:
      return held<Texts>(raw);
    case Kind::integers:
      return held<Integers>(raw);
    default:
      return held<Doubles>(raw);
  }
}

GoldenRow golden_row(const Layout& layout, std::string_view text) {
  try {
    Json document = Json::parse(text);
    GoldenRow golden{{}, document.at("as_of").get<std::int64_t>()};
    for (const Feature& feature : layout.features) {
      golden.row.push_back(value_of(feature.kind, document.at("row").at(feature.name)));
    }
    return golden;
  } catch (const Json::exception& error) {
    throw RequestError("golden_row", error.what());
  }
}

}  // namespace trireme
