#include "threads.hpp"

#include <dlfcn.h>

namespace chiliad {
namespace {

using Parallel = void (*)(void (*)(void *), void *, unsigned, unsigned);
using Count = int (*)();

// `import torch` loads its OpenMP runtime into the global scope before this library is loaded.
const auto gomp_parallel = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
const auto omp_max_threads = reinterpret_cast<Count>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
const auto omp_num_threads = reinterpret_cast<Count>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"));
const auto omp_in_parallel = reinterpret_cast<Count>(dlsym(RTLD_DEFAULT, "omp_in_parallel"));
const bool has_pool = gomp_parallel && omp_max_threads && omp_num_threads && omp_in_parallel;

}  // namespace

int threads_available() { return has_pool && !omp_in_parallel() ? omp_max_threads() : 1; }

void run_on_threads(void (*work)(void *), void *argument, int threads) {
    if (has_pool) {
        gomp_parallel(work, argument, static_cast<unsigned>(threads > 1 ? threads : 1), 0);
    } else {
        work(argument);
    }
}

int threads_running() { return has_pool ? omp_num_threads() : 1; }

}  // namespace chiliad
