// SHA-256 (FIPS 180-4): files of a release are checked before they are read.
#pragma once

#include <string>
#include <string_view>

namespace trireme {

/// The digest of bytes, as 64 hexadecimal letters.
std::string sha256(std::string_view bytes);

}  // namespace trireme
