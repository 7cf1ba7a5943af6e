// numpy's .npy and .npz files (uncompressed, as np.save and np.savez write them), read without pickle.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// One array of a file, in row order.
struct Array {
  std::string type;  ///< numpy's name: "<i4", "<i8", "<f4", "<f8" or "<U" and a length
  std::vector<std::size_t> shape;
  std::string bytes;

  /// Elements; 1 for a scalar.
  std::size_t size() const;

  /// Its numbers as another type; an ArtifactError where it holds none.
  template <class Number>
  std::vector<Number> as() const;

  /// Its texts as UTF-8.
  std::vector<std::string> texts() const;
};

Array read_npy(std::string_view file);
std::map<std::string, Array> read_npz(std::string_view file);

}  // namespace trireme
