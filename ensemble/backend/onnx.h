// onnxruntime without its headers, which no wheel ships: functions of its C API by their place in its table.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// One input of a graph; exactly one of the two is set, and it outlives the run.
struct OnnxInput {
  const char* name;
  std::vector<std::int64_t> shape;
  const std::vector<std::int64_t>* integers = nullptr;
  const std::vector<float>* floats = nullptr;
};

/// The library of the onnxruntime wheel, opened once a process.
class OnnxLibrary {
 public:
  explicit OnnxLibrary(const std::string& path);

 private:
  friend class OnnxGraph;
  const void* const* table_ = nullptr;
  std::shared_ptr<void> environment_, memory_;
};

/// An ONNX graph on the CPU, one thread and no spinning (ensemble/steps/sessions.py); many may run it at once.
class OnnxGraph {
 public:
  OnnxGraph(std::shared_ptr<const OnnxLibrary> library, std::string_view model);

  /// One output of floats, which has `size` elements; a std::runtime_error when the run fails.
  std::vector<float> run(const std::vector<OnnxInput>& inputs, const char* output, std::size_t size) const;

 private:
  std::shared_ptr<const OnnxLibrary> library_;
  std::shared_ptr<void> session_;
};

}  // namespace trireme
