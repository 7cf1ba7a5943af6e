#include "arrays.h"

#include <cstdint>
#include <cstring>

#include "error.h"

namespace trireme {
namespace {

/// A little-endian number at a place; an ArtifactError beyond the end.
template <class Number>
Number at(std::string_view bytes, std::size_t place) {
  Number value;
  if (place > bytes.size() || bytes.size() - place < sizeof value) throw ArtifactError("an array's file ends early");
  std::memcpy(&value, bytes.data() + place, sizeof value);
  return value;
}

std::string_view part(std::string_view bytes, std::size_t start, std::size_t length) {
  if (start > bytes.size() || bytes.size() - start < length) throw ArtifactError("an array's file ends early");
  return bytes.substr(start, length);
}

/// What follows `'name': ` in the Python dict of an npy header.
std::string_view entry(std::string_view header, const std::string& name) {
  auto start = header.find("'" + name + "': ");
  if (start == header.npos) throw ArtifactError("an array's header has no " + name);
  return header.substr(start + name.size() + 4);
}

std::vector<std::size_t> shape_of(std::string_view tuple) {
  std::vector<std::size_t> shape;
  std::size_t number = 0;
  bool within = false;
  for (char letter : tuple.substr(0, tuple.find(')') + 1)) {
    if (letter >= '0' && letter <= '9') {
      number = number * 10 + (letter - '0');
      within = true;
    } else if (within) {
      shape.push_back(number);
      number = 0;
      within = false;
    }
  }
  return shape;
}

template <class Held, class Number>
std::vector<Number> converted(const Array& array) {
  std::vector<Held> held(array.size());
  if (!held.empty()) std::memcpy(held.data(), array.bytes.data(), array.bytes.size());
  return std::vector<Number>(held.begin(), held.end());
}

void append_utf8(std::string& out, char32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(lead[more] | code >> (6 * more));
  while (more-- > 0) out += static_cast<char>(0x80 | (code >> (6 * more) & 0x3F));
}

std::size_t width_of(const std::string& type) {
  if (type == "<i4" || type == "<f4") return 4;
  if (type == "<i8" || type == "<f8") return 8;
  if (type.starts_with("<U")) return 4 * std::stoul(type.substr(2));
  throw ArtifactError("an array is of type " + type + ", which is none that a release holds");
}

}  // namespace

std::size_t Array::size() const {
  std::size_t product = 1;
  for (auto extent : shape) product *= extent;
  return product;
}

template <class Number>
std::vector<Number> Array::as() const {
  if (type == "<i4") return converted<std::int32_t, Number>(*this);
  if (type == "<i8") return converted<std::int64_t, Number>(*this);
  if (type == "<f4") return converted<float, Number>(*this);
  if (type == "<f8") return converted<double, Number>(*this);
  throw ArtifactError("expected an array of numbers, got one of type " + type);
}

template std::vector<std::int32_t> Array::as() const;
template std::vector<std::int64_t> Array::as() const;
template std::vector<float> Array::as() const;
template std::vector<double> Array::as() const;

std::vector<std::string> Array::texts() const {
  std::size_t width = width_of(type) / 4;
  std::vector<std::string> out(size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::size_t j = 0; j < width; ++j) {
      auto code = at<std::uint32_t>(bytes, 4 * (i * width + j));
      if (code != 0) append_utf8(out[i], code);
    }
  }
  return out;
}

Array read_npy(std::string_view file) {
  if (!file.starts_with("\x93NUMPY")) throw ArtifactError("expected an .npy file, got something else");
  bool first_version = at<unsigned char>(file, 6) == 1;
  std::size_t length = first_version ? at<std::uint16_t>(file, 8) : at<std::uint32_t>(file, 8);
  std::size_t start = first_version ? 10 : 12;
  auto header = part(file, start, length);
  if (!entry(header, "fortran_order").starts_with("False")) throw ArtifactError("expected an array in row order");
  auto type = entry(header, "descr").substr(1);
  Array array{std::string(type.substr(0, type.find('\''))), shape_of(entry(header, "shape")), {}};
  array.bytes = part(file, start + length, file.size() - start - length);
  if (array.bytes.size() != array.size() * width_of(array.type)) throw ArtifactError("an array's file ends early");
  return array;
}

std::map<std::string, Array> read_npz(std::string_view file) {
  auto end = file.rfind("PK\x05\x06");
  if (end == file.npos) throw ArtifactError("expected an .npz file, got something else");
  std::map<std::string, Array> arrays;
  std::size_t place = at<std::uint32_t>(file, end + 16);
  for (int number = at<std::uint16_t>(file, end + 10); number > 0; --number) {
    if (at<std::uint16_t>(file, place + 10) != 0) throw ArtifactError("expected an .npz file without compression");
    auto size = at<std::uint32_t>(file, place + 20), local = at<std::uint32_t>(file, place + 42);
    auto name_length = at<std::uint16_t>(file, place + 28);
    auto name = part(file, place + 46, name_length);
    std::size_t start = local + 30 + at<std::uint16_t>(file, local + 26) + at<std::uint16_t>(file, local + 28);
    if (size == 0xFFFFFFFF) throw ArtifactError("expected arrays of less than 4 GiB in an .npz file");
    arrays[std::string(name.substr(0, name.find(".npy")))] = read_npy(part(file, start, size));
    place += 46 + name_length + at<std::uint16_t>(file, place + 30) + at<std::uint16_t>(file, place + 32);
  }
  return arrays;
}

}  // namespace trireme
