// PyTorch's own OpenMP pool, found at run time: no second pool, no second idea of how many threads there are.
#pragma once

#include <atomic>

namespace chiliad {

// Threads that PyTorch gives the calling thread; 1 for one that is at work for others, so that a kernel may be a part of
// another's work, and where PyTorch was built without GNU OpenMP.
int threads_available();

// Run work(argument) on `threads` threads at once and wait for all of them.
void run_on_threads(void (*work)(void *), void *argument, int threads);

// Inside `run_on_threads`: how many threads there came to be.
int threads_running();

// Between two looks at what another thread may have changed.
inline void pause() {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

// A place where all threads of a region wait for each other. They watch for a while before they sleep: mostly the others
// are a few microseconds away, but on a busy machine one of them may not be running at all.
class Barrier {
  public:
    void wait(int threads) {
        const int turn = turn_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
            arrived_.store(0, std::memory_order_relaxed);
            turn_.fetch_add(1, std::memory_order_release);
            turn_.notify_all();
            return;
        }
        for (int look = 0; look < LOOKS; look++) {
            if (turn_.load(std::memory_order_acquire) != turn) return;
            pause();
        }
        turn_.wait(turn, std::memory_order_acquire);
    }

  private:
    static constexpr int LOOKS = 5000;
    std::atomic<int> arrived_{0}, turn_{0};
};

// One of the threads that go through a series of phases together: each phase is shared out, and ends for all at once.
class Member {
  public:
    struct Team {
        long next[2] = {0, 0};  // the first index that nobody has taken, in this phase and in the one after it
        int joined = 0;
        Barrier barrier;
    };

    explicit Member(Team &team)
        : team_(team), threads_(threads_running()), number_(__atomic_fetch_add(&team.joined, 1, __ATOMIC_RELAXED)) {}

    int threads() const { return threads_; }

    // Which of the threads this is, from 0.
    int number() const { return number_; }

    // Call f(begin, end) over [0, count) in pieces of at most `piece`, each piece once, by whichever thread is free; all
    // threads call this with the same numbers. What f computes for an index must not depend on the piece or on the
    // thread: then neither does any result.
    template <class F>
    void share(long count, long piece, const F &f) {
        long &next = team_.next[turn_];
        turn_ ^= 1;
        __atomic_store_n(&team_.next[turn_], 0, __ATOMIC_RELAXED);  // nobody is in the phase before any more
        for (;;) {
            const long begin = __atomic_fetch_add(&next, piece, __ATOMIC_RELAXED);
            if (begin >= count) break;
            const long end = begin + piece;
            f(begin, end < count ? end : count);
        }
        team_.barrier.wait(threads_);
    }

  private:
    Team &team_;
    int threads_, number_, turn_ = 0;
};

// Call f(member) on `threads` threads at once and wait for all of them.
template <class F>
void run_team(int threads, const F &f) {
    struct Job {
        const F &f;
        Member::Team team;

        static void work(void *argument) {
            Job &job = *static_cast<Job *>(argument);
            Member member(job.team);
            job.f(member);
        }
    } job{f, {}};
    run_on_threads(Job::work, &job, threads);
}

// One phase on its own.
template <class F>
void parallel_for(long count, long piece, const F &f) {
    const long pieces = (count + piece - 1) / piece, available = threads_available();
    run_team(static_cast<int>(pieces < available ? pieces : available),
             [&](Member &member) { member.share(count, piece, f); });
}

}  // namespace chiliad
