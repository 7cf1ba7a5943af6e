// Vectors of eight numbers, and one binary for every x86-64 whose loader takes the clone that the CPU is made for.
#pragma once

#include <cstddef>
#include <cstdint>

// The loader takes the wide clone where the CPU has AVX2 and FMA. The sanitizers' runtime is not up yet when the loader
// chooses, so their build has the portable one alone.
#ifdef TRIREME_SANITIZED
#define TRIREME_WIDE
#else
#define TRIREME_WIDE __attribute__((target_clones("arch=x86-64-v3", "default")))
#endif
/// For what a wide function calls: it is compiled as part of each clone.
#define TRIREME_WIDE_INLINE __attribute__((always_inline)) inline

namespace trireme {

/// Eight at a time. Sixteen were 6 times slower where the compiler had to split them.
typedef float Lanes __attribute__((vector_size(32), aligned(4), may_alias));
typedef std::int32_t IntegerLanes __attribute__((vector_size(32), aligned(4), may_alias));
inline constexpr std::size_t lanes = 8;

}  // namespace trireme
