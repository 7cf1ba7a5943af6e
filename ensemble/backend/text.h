// Text as Python sees and shows it, so that a refusal reads the same whoever refuses.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trireme {

/// Whether bytes are UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view bytes);

/// Code points of valid UTF-8: Python's `len`.
std::size_t length(std::string_view utf8);

/// Python's `str.isprintable`.
bool is_printable(std::string_view utf8);

/// Python's `repr` of the first `most` code points of a str, of the first `most` bytes of a bytes, and of a float.
std::string repr_text(std::string_view utf8, std::size_t most = 64);
std::string repr_bytes(std::string_view bytes, std::size_t most = 64);
std::string repr_number(double value);

}  // namespace trireme
