#include "row.h"

#include <cstring>

#include "contracts.h"
#include "error.h"
#include "text.h"

namespace trireme {
namespace {

/// The number of the field of Feast's Value message that holds each kind, and the kind's name.
constexpr int field_number[] = {2, 4, 12, 14, 15};
constexpr const char* kind_name[] = {"STRING", "INT64", "STRING_LIST", "INT64_LIST", "DOUBLE_LIST"};
constexpr char list_tag = 0x0A;  // repeated val = 1, length-delimited
using Reason = std::runtime_error;

/// Bytes that are taken from the front, never beyond the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool done() const { return bytes_.empty(); }

  std::uint64_t varint() {
    std::uint64_t number = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      auto byte = static_cast<unsigned char>(take(1)[0]);
      number |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return number;
    }
    throw Reason("a number has more than ten bytes");
  }

  std::string_view take(std::uint64_t length) {
    if (length > bytes_.size()) throw Reason("its end is cut off");
    auto taken = bytes_.substr(0, length);
    bytes_.remove_prefix(length);
    return taken;
  }

  /// What is left, as one field that fills it.
  std::string_view whole() {
    auto length = varint();
    if (length != bytes_.size())
      throw Reason(std::to_string(bytes_.size()) + " bytes follow instead of " + std::to_string(length));
    return take(length);
  }

 private:
  std::string_view bytes_;
};

std::string text(std::string_view bytes) {
  if (!is_utf8(bytes)) throw Reason("a text is not UTF-8");
  return std::string(bytes);
}

Texts texts(std::string_view payload) {
  Texts out;
  for (Reader reader(payload); !reader.done();) {
    if (reader.take(1)[0] != list_tag) throw Reason("no string starts where one should");
    out.push_back(text(reader.take(reader.varint())));
  }
  return out;
}

std::string_view packed(std::string_view payload) {
  Reader reader(payload);
  if (reader.done()) return payload;
  if (reader.take(1)[0] != list_tag) throw Reason("its numbers are not packed");
  return reader.whole();
}

Integers integers(std::string_view payload) {
  Integers out;
  for (Reader reader(packed(payload)); !reader.done();) out.push_back(static_cast<std::int64_t>(reader.varint()));
  return out;
}

Doubles doubles(std::string_view payload) {
  auto bytes = packed(payload);
  if (bytes.size() % sizeof(double) != 0) throw Reason("its last number is cut off");
  Doubles out(bytes.size() / sizeof(double));
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

Value decoded(Kind kind, std::string_view bytes) {
  int number = field_number[static_cast<int>(kind)];
  Reader reader(bytes);
  if (static_cast<unsigned char>(reader.take(1)[0]) != (number << 3 | (kind == Kind::integer ? 0 : 2))) {
    throw Reason("its tag is " + repr_bytes(bytes.substr(0, 1)));
  }
  if (kind == Kind::integer) return static_cast<std::int64_t>(reader.varint());
  auto payload = reader.whole();
  if (kind == Kind::text) return text(payload);
  if (kind == Kind::texts) return texts(payload);
  if (kind == Kind::integers) return integers(payload);
  return doubles(payload);
}

}  // namespace

Value decode_value(Kind kind, std::string_view bytes) {
  try {
    return decoded(kind, bytes);
  } catch (const Reason& error) {
    throw StoreError("online row cannot be decoded: expected Feast's bytes of a " +
                     std::string(kind_name[static_cast<int>(kind)]) + ", got " + repr_bytes(bytes, 24) + ": " +
                     error.what() + "; was the row written by another version of the view?");
  }
}

std::size_t Layout::place(const std::string& name) const {
  for (std::size_t i = 0; i < features.size(); ++i) {
    if (features[i].name == name) return i;
  }
  throw ArtifactError("no feature view of the release has " + name);
}

std::string Layout::key(std::string_view value) const {
  const std::string text_type("\2\0\0\0", 4);  // Feast's number of a STRING entity key
  auto length = static_cast<std::uint32_t>(value.size());
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return text_type + entity + text_type + bytes + std::string(value) + store_project;
}

Row Layout::empty() const {
  Row row;
  for (const Feature& feature : features) row.push_back(feature.otherwise);
  return row;
}

Row Layout::decode(const std::vector<std::optional<std::string>>& values) const {
  Row row;
  for (std::size_t i = 0; i < features.size(); ++i) {
    bool there = i < values.size() && values[i] && !values[i]->empty();
    row.push_back(there ? decode_value(features[i].kind, *values[i]) : features[i].otherwise);
  }
  return row;
}

}  // namespace trireme
