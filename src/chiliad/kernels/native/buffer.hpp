// Memory that starts at a cache line.
#pragma once

#include <cstdlib>
#include <new>
#include <utility>

namespace chiliad {

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
        const std::size_t lines = (static_cast<std::size_t>(size) * sizeof(T) + 63) / 64;
        data_ = static_cast<T *>(std::aligned_alloc(64, 64 * lines));
        if (!data_) throw std::bad_alloc();
        size_ = size;
    }

    T *data() const { return data_; }
    long bytes() const { return size_ * static_cast<long>(sizeof(T)); }

  private:
    T *data_ = nullptr;
    long size_ = 0;
};

}  // namespace chiliad
