#include "threads.hpp"

#include <dlfcn.h>

namespace chiliad {
namespace {

using Parallel = void (*)(void (*)(void *), void *, unsigned, unsigned);
using Question = int (*)();

// `import torch` loads its OpenMP runtime into the global scope before this library is loaded.
const auto gomp_parallel = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
const auto omp_max_threads = reinterpret_cast<Question>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
const auto omp_in_parallel = reinterpret_cast<Question>(dlsym(RTLD_DEFAULT, "omp_in_parallel"));

}  // namespace

int threads_available() {
    const bool alone = !gomp_parallel || !omp_max_threads || (omp_in_parallel && omp_in_parallel());
    return alone ? 1 : omp_max_threads();
}

void run_on_threads(void (*work)(void *), void *argument, int threads) {
    if (threads <= 1 || !gomp_parallel) {
        work(argument);
    } else {
        gomp_parallel(work, argument, static_cast<unsigned>(threads), 0);
    }
}

}  // namespace chiliad
