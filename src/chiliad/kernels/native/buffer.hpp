// Memory for numbers, in large pages where there is enough of it: a step reads hundreds of megabytes in order, and with small
// pages half of its time would go into finding them.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace chiliad {

constexpr std::size_t LARGE_PAGE = 2 << 20;

// Memory of its own mapping, aligned to large pages: what is freed goes back to the system at once, whereas the allocator would
// keep the gaps that adapters of a few megabytes leave.
inline void *map_large(std::size_t bytes) {
    const std::size_t all = bytes + LARGE_PAGE;
    void *const taken = mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (taken == MAP_FAILED) throw std::bad_alloc();
    const auto begin = reinterpret_cast<std::uintptr_t>(taken);
    const std::size_t before = (LARGE_PAGE - begin % LARGE_PAGE) % LARGE_PAGE;
    void *const data = reinterpret_cast<void *>(begin + before);
    if (before) munmap(taken, before);
    munmap(static_cast<char *>(data) + bytes, all - before - bytes);
    madvise(data, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
    return data;
}

// One mapping that is ready before it is asked for. What the system gives for the first time it has to find and to clear, and on a
// virtual machine that takes milliseconds for each megabyte: longer than to fill it.
class Spare {
  public:
    // Have one of this size ready, all zeros, in place of what was.
    void keep(std::size_t bytes) {
        if (bytes < LARGE_PAGE || bytes == bytes_) return;
        void *const data = map_large(bytes);
        std::memset(data, 0, bytes);
        const std::lock_guard guard(lock_);
        if (data_) munmap(data_, bytes_);
        data_ = data;
        bytes_ = bytes;
    }

    // It, if it has this size.
    void *take(std::size_t bytes) {
        const std::lock_guard guard(lock_);
        if (bytes != bytes_) return nullptr;
        bytes_ = 0;
        return std::exchange(data_, nullptr);
    }

  private:
    std::mutex lock_;
    void *data_ = nullptr;
    std::atomic<std::size_t> bytes_ = 0;
};

inline Spare spare;

// Room for numbers, whatever they are: growing it does not keep them.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    Buffer(Buffer &&other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Buffer &operator=(Buffer &&) = delete;
    ~Buffer() { release(); }

    // Room for at least `size` numbers. Throws std::bad_alloc, and then has no room.
    void reserve(long size) {
        if (size > size_) take(size);
    }

    // Room for `size` zeros, where there was none. What is mapped is zero by itself.
    void reserve_zeros(long size) {
        take(size);
        if (taken_for(size) < LARGE_PAGE) std::memset(data_, 0, taken_for(size));
    }

    // Have memory ready for another one like this.
    void keep_spare() const { spare.keep(taken_for(size_)); }

    T *data() const { return data_; }
    long bytes() const { return size_ * static_cast<long>(sizeof(T)); }

  private:
    static constexpr std::size_t ALIGNMENT = 64, SMALL_PAGE = 4096;

    static std::size_t taken_for(long size) {
        const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
        const std::size_t unit = bytes < LARGE_PAGE - SMALL_PAGE ? ALIGNMENT : SMALL_PAGE;
        return (bytes + unit - 1) / unit * unit;
    }

    void take(long size) {
        release();
        const std::size_t taken = taken_for(size);
        void *data = taken < LARGE_PAGE ? std::aligned_alloc(ALIGNMENT, taken) : spare.take(taken);
        if (!data && taken >= LARGE_PAGE) data = map_large(taken);
        if (!data) throw std::bad_alloc();
        data_ = static_cast<T *>(data);
        size_ = size;
    }

    void release() {
        const std::size_t taken = taken_for(size_);
        if (taken < LARGE_PAGE) {
            std::free(data_);
        } else {
            munmap(data_, taken);
        }
        data_ = nullptr;
        size_ = 0;
    }

    T *data_ = nullptr;
    long size_ = 0;
};

}  // namespace chiliad
