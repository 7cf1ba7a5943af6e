#include "text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "contracts.h"

namespace trireme {
namespace {

/// Bytes after a leading byte; -1 where none can lead.
int following(unsigned char lead) {
  if (lead < 0x80) return 0;
  if (lead < 0xC2) return -1;
  if (lead < 0xE0) return 1;
  if (lead < 0xF0) return 2;
  return lead < 0xF5 ? 3 : -1;
}

/// The code point at a place of valid UTF-8, which moves on to the next.
char32_t next(std::string_view utf8, std::size_t& at) {
  auto lead = static_cast<unsigned char>(utf8[at++]);
  int more = following(lead);
  char32_t code = more == 0 ? lead : lead & (0x3F >> more);
  for (; more > 0; --more) code = code << 6 | (static_cast<unsigned char>(utf8[at++]) & 0x3F);
  return code;
}

bool is_printable(char32_t code) {
  if (code < 0x7F) return code >= 0x20;
  auto after = std::upper_bound(std::begin(unprintable), std::end(unprintable), code,
                                [](char32_t value, const CodePoints& range) { return value < range.first; });
  return after == std::begin(unprintable) || code > std::prev(after)->last;
}

/// Single quotes, unless only they occur.
char quote_of(std::string_view text) {
  return text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
}

void append_escaped(std::string& out, char32_t code, char quote) {
  char escaped[16];
  if (code == '\\' || code == static_cast<char32_t>(quote)) {
    out += '\\';
    out += static_cast<char>(code);
  } else if (code == '\t' || code == '\n' || code == '\r') {
    out += code == '\t' ? "\\t" : code == '\n' ? "\\n" : "\\r";
  } else {
    const char* format = code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x";
    std::snprintf(escaped, sizeof escaped, format, static_cast<unsigned>(code));
    out += escaped;
  }
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    int more = following(static_cast<unsigned char>(bytes[at]));
    if (more < 0 || at + more >= bytes.size()) return false;
    for (int i = 1; i <= more; ++i) {
      if ((static_cast<unsigned char>(bytes[at + i]) & 0xC0) != 0x80) return false;
    }
    char32_t code = next(bytes, at);
    constexpr char32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
  }
  return true;
}

std::size_t length(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char byte) { return (byte & 0xC0) != 0x80; });
}

bool is_printable(std::string_view utf8) {
  for (std::size_t at = 0; at < utf8.size();) {
    if (!is_printable(next(utf8, at))) return false;
  }
  return true;
}

std::string repr_text(std::string_view utf8, std::size_t most) {
  std::size_t end = 0;
  for (std::size_t n = 0; n < most && end < utf8.size(); ++n) next(utf8, end);
  utf8 = utf8.substr(0, end);
  char quote = quote_of(utf8);
  std::string out(1, quote);
  for (std::size_t at = 0; at < utf8.size();) {
    std::size_t start = at;
    char32_t code = next(utf8, at);
    if (code == '\\' || code == static_cast<char32_t>(quote) || !is_printable(code)) {
      append_escaped(out, code, quote);
    } else {
      out += utf8.substr(start, at - start);
    }
  }
  return out + quote;
}

std::string repr_bytes(std::string_view bytes, std::size_t most) {
  bytes = bytes.substr(0, most);
  char quote = quote_of(bytes);
  std::string out = std::string("b") + quote;
  for (unsigned char byte : bytes) {
    if (byte == '\\' || byte == static_cast<unsigned char>(quote) || byte < 0x20 || byte > 0x7E) {
      append_escaped(out, byte, quote);
    } else {
      out += static_cast<char>(byte);
    }
  }
  return out + quote;
}

std::string repr_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[40];
  auto end = std::to_chars(digits, std::end(digits), value, std::chars_format::scientific).ptr;
  std::string scientific(digits, end);
  int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  if (exponent < -4 || exponent >= 16) return scientific;
  end = std::to_chars(digits, std::end(digits), value, std::chars_format::fixed).ptr;
  std::string fixed(digits, end);
  return fixed.find('.') == fixed.npos ? fixed + ".0" : fixed;
}

}  // namespace trireme
