// Memory for numbers, in large pages where there is enough of it: a step reads hundreds of megabytes in order, and with small
// pages half of its time would go into finding them.
#pragma once

#include <cstdlib>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace chiliad {

constexpr std::size_t LARGE_PAGE = 2 << 20;

// Room for numbers, whatever they are: growing it does not keep them.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    Buffer(Buffer &&other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Buffer &operator=(Buffer &&) = delete;
    ~Buffer() { std::free(data_); }

    // Room for at least `size` numbers. Throws std::bad_alloc, and then has no room.
    void reserve(long size) {
        if (size <= size_) return;
        std::free(std::exchange(data_, nullptr));
        size_ = 0;
        const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
        const std::size_t alignment = bytes < LARGE_PAGE ? 64 : LARGE_PAGE;
        void *data = nullptr;
        if (posix_memalign(&data, alignment, bytes)) throw std::bad_alloc();
        if (alignment == LARGE_PAGE) madvise(data, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
        data_ = static_cast<T *>(data);
        size_ = size;
    }

    T *data() const { return data_; }
    long bytes() const { return size_ * static_cast<long>(sizeof(T)); }

  private:
    T *data_ = nullptr;
    long size_ = 0;
};

}  // namespace chiliad
